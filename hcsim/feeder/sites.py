"""Where devices may stand when nobody says so, and lists of sites from a file.

Rule. Candidates are the three-phase buses of the medium voltage (line-to-line base of 1 to 50 kV), all phases
live and judged, the buses of sources left out; but where most of the load hangs in low-voltage networks, or there are
hardly any buses of medium voltage, those at which load hangs. The first site is the candidate electrically farthest
from the source, every further one the candidate farthest from those chosen (and from the source). The distance
between two buses is the least sum of series impedances between them, in per unit of one common power, so that a
service transformer is far and a switch is no distance. Feeders without such buses fall back to three-phase buses of
any voltage, and then to any live bus.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from hcsim.errors import FeederError
from hcsim.feeder.topology import distance_graph, distances
from optim.data.network import Network
from optim.data.node import bus_of
from optim.data.node import node as cut

MEDIUM_VOLTAGE_V = (1_000.0, 50_000.0)
FEW_BUSES = 3
CUSTOMERS_OF_A_NETWORK = 12
"""Loaded buses behind one transformer from which on its low voltage is a network of its own."""
DEFAULT_SITES = 20
_SAME_PLACE = 1e-9


def spread_sites(network: Network, count: int) -> tuple[str, ...]:
    """Up to `count` buses by the rule above, in the order of choice. Raises FeederError where no bus will do."""
    candidates = candidate_buses(network)
    graph = distance_graph(network)
    position = {bus: i for i, bus in enumerate(network.buses)}
    at = np.array([position[bus] for bus in candidates])
    source = sorted({position[_bus(network, n)] for n in network.source_nodes})
    nearest = distances(graph, source[0])[at]
    nearest[~np.isfinite(nearest)] = 0.0
    chosen: list[str] = []
    while len(chosen) < count:
        farthest = int(np.argmax(nearest))
        if nearest[farthest] <= _SAME_PLACE:
            break  # whatever is left stands where a site stands already
        chosen.append(candidates[farthest])
        nearest = np.minimum(nearest, distances(graph, int(at[farthest]))[at])
    return tuple(chosen or candidates[:1])


def head_bus(network: Network) -> str:
    """The candidate electrically nearest to the source: where one central unit stands."""
    candidates = candidate_buses(network)
    position = {bus: i for i, bus in enumerate(network.buses)}
    distance = distances(distance_graph(network), position[_bus(network, network.source_nodes[0])])
    return min(candidates, key=lambda bus: distance[position[bus]])


def candidate_buses(network: Network) -> tuple[str, ...]:
    """Buses that the rule may choose from, in the network's order."""
    return candidates_in_words(network)[0]


def candidates_in_words(network: Network) -> tuple[tuple[str, ...], str]:
    """Buses that the rule may choose from, in the network's order, and what they are. Raises FeederError where there
    is none."""
    live = network.v_judged & (np.abs(network.v_solved_v) > 1e-3 * network.v_base_v)
    source = {_bus(network, n) for n in network.source_nodes}
    phases: dict[str, list[int]] = {}
    for n, name in enumerate(network.nodes):
        bus, phase = cut(name)
        if live[n] and int(phase) <= 3 and bus not in source:
            phases.setdefault(bus, []).append(n)
    three = [bus for bus, nodes in phases.items() if len(nodes) == 3]
    low, high = MEDIUM_VOLTAGE_V
    medium = [bus for bus in three if low < np.sqrt(3.0) * network.v_base_v[phases[bus][0]] <= high]
    load_kw = {bus: kw for bus, kw in _load_kw(network).items() if bus in phases}
    networks = _low_voltage_networks(network, load_kw)
    if sum(load_kw[bus] for bus in networks) > 0.5 * sum(load_kw.values()):
        loaded = [bus for bus in phases if bus in networks]
    else:
        loaded = list(load_kw) if len(medium) < FEW_BUSES and len(load_kw) > len(medium) else []
    if loaded:
        at_all_phases = [bus for bus in loaded if bus in three]
        if at_all_phases:
            return tuple(at_all_phases), "three-phase buses at which load hangs"
        return tuple(bus for bus in phases if bus in loaded), "buses at which load hangs"
    found = medium or three or list(phases)
    if not found:
        raise FeederError(f"{network.name} has no live bus behind its source: no device can stand anywhere.")
    return tuple(found), f"three-phase {'medium-voltage ' if medium else ''}buses" if three else "buses"


def _load_kw(network: Network) -> dict[str, float]:
    """Bus -> nominal load that hangs at it, where there is any."""
    found: dict[str, float] = {}
    loads = network.loads
    for name, n, kw in zip(loads.names, loads.node_plus.tolist(), loads.p_kw.tolist(), strict=True):
        if name.lower().startswith("load.") and kw > 0 and n >= 0:
            found[_bus(network, n)] = found.get(_bus(network, n), 0.0) + kw
    return found


def _low_voltage_networks(network: Network, load_kw: dict[str, float]) -> set[str]:
    """Loaded buses of low-voltage networks of more than a few customers; a transformer with a handful of service drops
    is none, and its customers are met at the medium voltage."""
    position = {bus: i for i, bus in enumerate(network.buses)}
    base_v = dict(zip((_bus(network, n) for n in range(len(network.nodes))), network.v_base_v.tolist(), strict=True))
    pairs = [
        (position[_bus(network, b.from_nodes[0])], position[_bus(network, b.to_nodes[0])])
        for b in network.branches
        if b.kind in ("line", "switch", "reactor") and b.from_nodes and b.to_nodes
    ]
    near, far = np.array(pairs, dtype=np.int32).reshape(-1, 2).T
    graph = sparse.coo_array((np.ones(len(near)), (near, far)), shape=(len(position), len(position)))
    label = connected_components(graph, directed=False)[1]
    low = [bus for bus in load_kw if np.sqrt(3.0) * base_v[bus] < MEDIUM_VOLTAGE_V[0]]
    count = np.bincount([label[position[bus]] for bus in low], minlength=len(position)) if low else np.zeros(0)
    return {bus for bus in low if count[label[position[bus]]] >= CUSTOMERS_OF_A_NETWORK}


def _bus(network: Network, node: int) -> str:
    return bus_of(network.nodes[node])
