"""Where devices may stand when nobody says so, and lists of sites from a file.

Rule. Candidates are the three-phase buses of the medium voltage (line-to-line base of 1 to 50 kV), all phases
live and judged, the source bus left out. The first site is the candidate electrically farthest from the
source, every further one the candidate farthest from those chosen (and from the source). The distance
between two buses is the least sum of series impedances between them, in per unit of one common power, so
that a service transformer is far and a switch is no distance. Feeders without such buses fall back to
three-phase buses of any voltage, and then to any live bus.
"""

from __future__ import annotations

import numpy as np

from hcsim.errors import FeederError
from hcsim.feeder.topology import distance_graph, distances
from optim.data.network import Network
from optim.data.node import bus_of
from optim.data.node import node as cut

MEDIUM_VOLTAGE_V = (1_000.0, 50_000.0)
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
    found = medium or three or list(phases)
    if not found:
        raise FeederError(f"{network.name} has no live bus behind its source: no device can stand anywhere.")
    return tuple(found)


def _bus(network: Network, node: int) -> str:
    return bus_of(network.nodes[node])
