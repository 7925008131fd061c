"""How a simulation-based hosting capacity spreads PV over the sites: shares and reactive power per kW."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hcsim.devices.held_controls import held_in_words
from hcsim.errors import ConfigError
from hcsim.replay.options import ReplayOptions
from optim.data.network import Network
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule
from optim.hosting.spread import Cap

Floats = NDArray[np.float64]
Weights = Literal["uniform", "load", "schedule"]


@dataclass(frozen=True)
class PvShares:
    """Where PV is raised together, and how the total is shared out.

    >>> import hcsim
    >>> import numpy as np
    >>> shares = hcsim.PvShares(("18.1", "29.1"), np.array([1.0, 3.0]))  # a quarter of all PV at bus 18
    >>> shares.q_per_kw is None  # unity power factor
    True
    """

    pv_nodes: tuple[str, ...]
    """(G,)"""
    weights: Floats
    """(G,) shares of the total capacity, normalized where they are used."""
    q_per_kw: Floats | None = None
    """(T, G) kvar into the network per kW of inverter capacity; None is unity power factor."""
    most_kw: Floats | None = None
    """(G,) kW that each node takes at most, infinity without a cap; where one is full, the others go on. None is no cap
    anywhere."""

    @property
    def largest_kw(self) -> float:
        """What all nodes take together."""
        return np.inf if self.most_kw is None else float(np.sum(np.where(self.weights > 0, self.most_kw, 0.0)))

    def sizes(self, total_kw: float) -> Floats:
        """(G,) kW by node of `total_kw` in all, at most `largest_kw`."""
        weights = np.asarray(self.weights, dtype=float)
        if self.most_kw is None:
            return np.asarray(weights * (total_kw / weights.sum()))
        found = np.zeros(len(weights))
        open_ = weights > 0
        while open_.any():
            left_kw = total_kw - float(found[~open_].sum())
            found[open_] = weights[open_] * (max(left_kw, 0.0) / weights[open_].sum())
            full = open_ & (found > self.most_kw)
            if not full.any():
                break
            found[full] = self.most_kw[full]
            open_ &= ~full
        return found


def shares_of(
    network: Network, pv_nodes: tuple[str, ...], weights: Weights, schedule: Schedule | None, caps: Sequence[Cap] = ()
) -> PvShares:
    """How PV is shared among the site nodes, each site at most at its cap.

    `uniform`: the same on every site node; `load`: in proportion to the nominal load at the bus; `schedule`: the
    optimizer's shares and its reactive power, scaled with the capacity.

    Raises ConfigError where the weights asked for do not exist.
    """
    if weights == "schedule":
        if schedule is None:
            raise ConfigError("Weights from a schedule need a schedule.", "Name one with --bess.")
        if schedule.hc_kw <= 0:
            raise ConfigError("The schedule has no PV capacity to take weights from.", "Use --weights uniform.")
        size = np.where(schedule.pv_kw > 0, schedule.pv_kw, 1.0)
        q_per_kw = np.where(schedule.pv_kw > 0, schedule.pv_q_kvar / size, 0.0)
        return _capped(PvShares(schedule.pv_nodes, schedule.pv_kw / schedule.hc_kw, q_per_kw), caps)
    if weights == "load":
        at_sites = np.array([_load_kw(network, node) for node in pv_nodes])
        if at_sites.sum() <= 0:
            raise ConfigError("No load stands at the PV buses.", "Use --weights uniform.")
        return _capped(PvShares(pv_nodes, at_sites / at_sites.sum(), None), caps)
    sites = len(pv_nodes)
    return _capped(PvShares(pv_nodes, np.full(sites, 1.0 / sites), None), caps)


def _capped(shares: PvShares, caps: Sequence[Cap]) -> PvShares:
    """A site's cap divided over its nodes as its share is. Raises ConfigError where every site has a cap of nothing."""
    at = {node: g for g, node in enumerate(shares.pv_nodes)}
    most_kw = np.full(len(at), np.inf)
    for cap in caps:
        mine = [at[node] for node in cap.nodes if node in at]
        own = shares.weights[mine]
        most_kw[mine] = cap.max_kw * own / max(float(own.sum()), 1e-300)
    if not caps:
        return shares
    found = replace(shares, most_kw=most_kw)
    if not found.largest_kw > 0:
        raise ConfigError("Every site with a share has a cap of nothing.", "Raise [pv] max_kw_per_bus or max_kw.")
    return found


def schedule_at(shares: PvShares, hc_kw: float, profiles: Profiles, bess: Schedule | None) -> Schedule:
    """The PV of a capacity shared out, as a schedule; the batteries of `bess` beside it."""
    checked_weights(shares.weights, shares.pv_nodes)
    pv_kw = shares.sizes(hc_kw)
    none = np.zeros((len(profiles), 0))
    empty = Schedule("baseline", profiles.times, profiles.step_h, (), pv_kw, none, none, (), (), (), none, none, none)
    beside = bess or replace(empty, soc_kwh=np.zeros((len(profiles) + 1, 0)))
    q = np.zeros((len(profiles), len(pv_kw))) if shares.q_per_kw is None else shares.q_per_kw * pv_kw
    return replace(
        beside,
        case="baseline",
        pv_nodes=shares.pv_nodes,
        pv_kw=pv_kw,
        pv_kva=None,
        pv_p_kw=profiles.sun(shares.pv_nodes) * pv_kw,
        pv_q_kvar=q,
        predicted_nodes=(),
        predicted_v_pu=None,
        substation_phases=(),
        predicted_substation_kw=None,
        solve=None,
    )


def _load_kw(network: Network, node: str) -> float:
    """Nominal load at a node; a leg between two phases counts half at each."""
    at, loads = network.node_index[node], network.loads
    plus, minus = loads.node_plus == at, loads.node_minus == at
    between = (loads.node_plus >= 0) & (loads.node_minus >= 0)
    return float(np.sum(loads.p_kw * np.where(between, 0.5, 1.0) * (plus | minus)))


def checked_weights(weights: Floats, pv_nodes: Sequence[str]) -> Floats:
    """(G,) shares as floats. Raises ConfigError for another number of them, a negative one, or all zero."""
    weights = np.asarray(weights, dtype=float)
    if weights.shape != (len(pv_nodes),) or np.any(weights < 0) or not weights.sum() > 0:
        raise ConfigError(
            f"The shares of {len(pv_nodes)} PV nodes must be as many numbers, none negative, not all zero.",
            "Give equal shares to share evenly.",
        )
    found: Floats = weights / weights.sum()
    return found


def method_words(
    shares: PvShares,
    options: ReplayOptions,
    bess: Schedule | None,
    tolerance_kw: float,
    failed_below_kw: tuple[float, ...],
    held: Sequence[str],
) -> str:
    """How a capacity was found, in sentences."""
    reactive = "Unity power factor." if shares.q_per_kw is None else "The schedule's reactive power, scaled with size."
    if options.inverters is not None:
        reactive = f"Inverters on their own: {options.inverters.words}."
    words = [
        f"PV at {len(shares.pv_nodes)} node-phases raised together by fixed shares; every probe an OpenDSS time "
        f"series with controls {options.controls}; bracketed by doubling, bisected to {tolerance_kw:g} kW, then "
        "probed below and above.",
        reactive,
        "No BESS." if bess is None else f"The batteries of schedule {bess.case} dispatched unchanged.",
    ]
    if shares.most_kw is not None:
        words.append("No site above its cap: where one is full, the others go on in their shares.")
    words += [held_in_words(held)] if held else []
    if failed_below_kw:
        sizes = ", ".join(f"{k:.0f}" for k in failed_below_kw)
        words.append(f"Smaller probes failed, with too little PV for the batteries: {sizes} kW.")
    return " ".join(words)
