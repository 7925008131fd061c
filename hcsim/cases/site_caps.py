"""What may stand at a site at most, and what load stands there: [pv] max_kw_per_bus, max_kw, [program] objective."""

from __future__ import annotations

import numpy as np

from hcsim.cases.config.pv import PvSection
from hcsim.errors import ConfigError
from hcsim.util.suggest import did_you_mean
from optim.data.network import Network
from optim.data.node import bus_of
from optim.errors import ModelError
from optim.hosting.spread import Cap, Objective, Spread


def caps_of(pv: PvSection, network: Network, pv_nodes: tuple[str, ...], where: str) -> tuple[Cap, ...]:
    """A cap for each site that has one, in the sites' order.

    Raises ConfigError for a cap at a bus that is no site.
    """
    sites = grouped(pv_nodes)
    own = {bus.lower(): kw for bus, kw in pv.max_kw.items()}
    lost = sorted(own.keys() - sites.keys())
    if lost:
        raise ConfigError(f"{where} max_kw: {lost[0]!r} is no site. {did_you_mean(lost[0], list(sites))}".strip())
    rated = rated_kva(network) if pv.max_kw_per_bus == "rating" else {}
    found = []
    for bus, nodes in sites.items():
        if bus in own:
            found.append(Cap(bus, nodes, own[bus], "stated for this bus"))
        elif isinstance(pv.max_kw_per_bus, float | int):
            found.append(Cap(bus, nodes, float(pv.max_kw_per_bus), "stated for every bus"))
        elif bus in rated:
            found.append(Cap(bus, nodes, rated[bus], "rating of what feeds the bus"))
    return tuple(found)


def rated_kva(network: Network) -> dict[str, float]:
    """Bus -> what the lines and transformers that feed it are rated for, all phases; only where each of them has a
    rating."""
    found: dict[str, float] = {}
    for branch in network.branches:
        if branch.kind == "source":
            continue
        kva = sum(branch.i_rated_a * network.v_base_v[n] / 1e3 for n in branch.to_nodes)
        for bus in dict.fromkeys(bus_of(network.nodes[n]) for n in branch.to_nodes):
            found[bus] = found.get(bus, 0.0) + float(kva)
    return {bus: kva for bus, kva in found.items() if np.isfinite(kva)}


def spread_of(
    objective: Objective, network: Network, pv_nodes: tuple[str, ...], caps: tuple[Cap, ...], where: str
) -> Spread | None:
    """None for "total". Raises ConfigError where no load stands at any site ("load"), or every cap is nothing."""
    if objective == "total":
        return None
    try:
        if objective == "load":
            load = loads_at(network)
            return Spread("load", tuple((n,) for n in pv_nodes), tuple(load.get(n, 0.0) for n in pv_nodes))
        sites, most = grouped(pv_nodes), {cap.site: cap.max_kw for cap in caps if cap.why.startswith("stated")}
        served = {bus: nodes for bus, nodes in sites.items() if most.get(bus, 1.0) > 0}
        if not served:
            raise ModelError("Every site has a cap of nothing.", "Raise [pv] max_kw_per_bus or max_kw.")
        # in shares of caps only where each site has one that somebody stated; else in kW
        weights = [most[b] if served.keys() <= most.keys() else 1.0 for b in served]
        return Spread("even", tuple(served.values()), tuple(weights))
    except ModelError as error:
        raise ConfigError(f"{where}: {error}") from None


def loads_at(network: Network) -> dict[str, float]:
    """Node -> kW of nominal load that stands there, consumption only, between phases half at each."""
    found: dict[str, float] = {}
    loads = network.loads
    for plus, minus, p_kw in zip(loads.node_plus, loads.node_minus, loads.p_kw, strict=True):
        ends = [int(n) for n in (plus, minus) if n >= 0]
        for n in ends:
            found[network.nodes[n]] = found.get(network.nodes[n], 0.0) + max(float(p_kw), 0.0) / len(ends)
    return found


def grouped(pv_nodes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Bus -> its node-phases, in their order."""
    found: dict[str, list[str]] = {}
    for node in pv_nodes:
        found.setdefault(bus_of(node), []).append(node)
    return {bus: tuple(nodes) for bus, nodes in found.items()}
