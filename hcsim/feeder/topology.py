"""Which nodes a source reaches, in which order, and which of them have no path to ground."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components, dijkstra

from hcsim.feeder.branches import Delivery
from hcsim.opendss.elements import Element
from optim.data.network import Network
from optim.data.node import bus_of
from optim.feeder.two_port import FLOATING

Bools = NDArray[np.bool_]
Parts = Mapping[str, Delivery]


def enabled_sources(elements: Sequence[Element]) -> list[Element]:
    return [e for e in elements if e.kind == "Vsource" and e.enabled]


def live_nodes(names: Sequence[str], elements: Sequence[Element], parts: Parts) -> Bools:
    """(N,) nodes with a path for power from a source; couplings by capacitance alone are none.

    The neutral conductor of a wye load counts as reached from the load's phases, but not they from it.
    """
    label = _zones(names, [pair for part in parts.values() for pair in part.joined_nodes()])
    fed = [int(n) for source in enabled_sources(elements) for n in source.node_ref.ravel() if n >= 0]
    live = np.isin(label, label[fed])
    for element in elements:
        if element.kind == "Load" and element.enabled and element.properties["conn"] == "wye":
            *phases, neutral = (int(n) for n in element.node_ref[0])
            if neutral >= 0 and any(n >= 0 and live[n] for n in phases):
                live |= label == label[neutral]
    return live


def bus_order(names: Sequence[str], elements: Sequence[Element], parts: Parts) -> dict[str, int]:
    """Bus -> rank, breadth first from the first source; buses without a source come last.

    A branch leads from its bus of lower rank to the others, so a branch stands after all that feed it when
    branches are sorted by the rank of their from-bus.
    """
    at: dict[str, list[Delivery]] = {}
    for part in parts.values():
        if part.joins:
            for bus in part.buses:
                at.setdefault(bus, []).append(part)
    fed = [int(n) for source in enabled_sources(elements) for n in source.node_ref[0] if n >= 0]
    rank: dict[str, int] = {}
    for start in (_bus(names[n]) for n in (*fed, *range(len(names)))):
        if start in rank:
            continue
        rank[start] = len(rank)
        queue = deque([start])
        while queue:
            for part in at.get(queue.popleft(), ()):
                for bus in part.buses:
                    if bus not in rank:
                        rank[bus] = len(rank)
                        queue.append(bus)
    return rank


def floating_nodes(names: Sequence[str], elements: Sequence[Element], parts: Parts) -> Bools:
    """(N,) nodes of zones without a conductive path to ground.

    A zone is what lines, switches and windings join without crossing a transformer. It is grounded where a
    transformer, reactor or source draws current when all its nodes move together; line capacitance and
    capacitor banks do not ground a zone.
    """
    zone = _zones(names, [pair for part in parts.values() for pair in _galvanic(part)])
    grounded: set[int] = set()
    for source in enabled_sources(elements):
        grounded.update(int(zone[node]) for node in source.node_ref.ravel() if node >= 0)
    for part in parts.values():
        if part.element.kind not in ("Line", "Capacitor"):
            grounded.update(_grounds(part, zone))
    return ~np.isin(zone, list(grounded))


def _galvanic(part: Delivery) -> Sequence[tuple[int, int]]:
    """Pairs of nodes that a conductor joins; windings of different terminals are not joined."""
    if part.element.kind != "Transformer":
        return part.joined_nodes()
    terminals = [{int(n) for n in row if n >= 0} for row in part.element.node_ref]
    return [(a, b) for a, b in part.joined_nodes() if any({a, b} <= terminal for terminal in terminals)]


def _grounds(part: Delivery, zone: NDArray[np.int32]) -> list[int]:
    """Zones that an element ties to ground."""
    own = zone[list(part.nodes)]
    found = []
    for z in np.unique(own):
        members = np.flatnonzero(own == z)
        block = part.y_s[np.ix_(members, members)]
        if abs(block.sum()) > FLOATING * np.max(np.abs(block), initial=0.0) > 0:
            found.append(int(z))
    return found


def _zones(names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> NDArray[np.int32]:
    """(N,) label of the connected set that each node belongs to."""
    near, far = np.array(pairs, dtype=np.int32).reshape(-1, 2).T
    graph = sparse.coo_array((np.ones(len(near)), (near, far)), shape=(len(names), len(names)))
    return np.asarray(connected_components(graph, directed=False)[1])


def _bus(node: str) -> str:
    return bus_of(node)


def distance_graph(network: Network) -> sparse.csr_array:
    """(buses, buses) electrical distance of neighbours: series impedance in pu of 1 MVA on the branch's own voltage,
    the least of its phases and of parallel branches. The source's own impedance is none of the feeder's."""
    position = {bus: i for i, bus in enumerate(network.buses)}
    edges: dict[tuple[int, int], float] = {}
    for branch in network.branches:
        if branch.kind == "source":
            continue
        near = {position[_bus(network.nodes[n])] for n in branch.from_nodes}
        for k, n in enumerate(branch.to_nodes):
            base = max(float(network.v_base_v[n]), 1.0)
            size = max(abs(complex(branch.z_ohm[k, k])) * 1e6 / base**2, 1e-12)  # zero would be no edge
            far = position[_bus(network.nodes[n])]
            for b in near - {far}:
                key = (min(b, far), max(b, far))
                edges[key] = min(size, edges.get(key, np.inf))
    # the lowest scipy that is allowed takes no other whole numbers in a graph
    near_at, far_at = np.array(list(edges), dtype=np.int32).reshape(-1, 2).T
    size = len(position)
    return sparse.csr_array((list(edges.values()), (near_at, far_at)), shape=(size, size))


def distances(graph: sparse.csr_array, start: int) -> NDArray[np.float64]:
    """(buses,) from one bus the shortest way, infinite where there is none."""
    return np.asarray(dijkstra(graph, directed=False, indices=start))


def away_pct(network: Network) -> dict[str, float]:
    """Bus -> electrical distance from the source, per cent of the farthest's; infinite where nothing leads there."""
    position = {bus: i for i, bus in enumerate(network.buses)}
    found = distances(distance_graph(network), position[bus_of(network.nodes[network.source_nodes[0]])])
    farthest = max(float(found[np.isfinite(found)].max(initial=0.0)), 1e-12)
    return {bus: 100 * float(found[i]) / farthest for bus, i in position.items()}


def feeding_elements(network: Network) -> Callable[[str], frozenset[str]]:
    """Of a bus the elements that its power passes on the way to the source (the first way found, where there are
    several): full names, "Line.l115"."""
    above: dict[str, tuple[str, str]] = {}
    for branch in network.branches:
        near = {bus_of(network.nodes[n]) for n in branch.from_nodes}
        for far in {bus_of(network.nodes[n]) for n in branch.to_nodes} - near:
            if near and far not in above:
                above[far] = (branch.name, min(near))

    def passed(bus: str) -> frozenset[str]:
        found: dict[str, str] = {}
        while bus in above and bus not in found:
            name, nearer = above[bus]
            found[bus] = name
            bus = nearer
        return frozenset(found.values())

    return passed
