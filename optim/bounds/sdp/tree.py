"""A network as a tree of buses and sections in per unit, as the branch-flow relaxation wants it.

All elements between the same two buses are one section. What cannot be held is refused by name: no bound is better
than a wrong one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import block_diag

from optim.bounds.sdp.rows import Complexes, Floats
from optim.data.network import Branch, Network, Shunt
from optim.data.node import bus_of
from optim.errors import ModelError
from optim.feeder.parallel import merge_parallel

SAME = 1e-6
"""The two-port of an element is the element where their admittances agree to this share of the largest, per unit."""
OPEN = 1e-4
"""Admittance of a conductor that the two-port leaves out, by share of the largest."""
REMEDY = "Use --method balance."


@dataclass(frozen=True)
class TapRange:
    """Where a transformer's taps may go, as a factor on where they stand."""

    least: float
    most: float
    at_from: bool
    """Whether the tapped winding is on the source's side."""


@dataclass(frozen=True, eq=False)
class Section:
    """All elements between two buses, per unit: V_to = transfer V_from - z I_to."""

    name: str
    from_bus: str
    """"" for a source."""
    to_bus: str
    from_at: list[int]
    """Positions in the bus."""
    to_at: list[int]
    transfer: Complexes
    z: Complexes
    y_from: Complexes
    y_to: Complexes
    ratio_from: Floats
    """(kf, 2) least and most ratio of an ideal transformer at the from-side, V_from = ratio V_behind."""
    ratio_to: Floats
    """(kt, 2) at the to-side, V_to = ratio V_before."""


@dataclass(frozen=True)
class Tree:
    """Sections stand after the section that feeds them."""

    base_kva: float
    buses: dict[str, tuple[int, ...]]
    """Live nodes of every bus, by their index in the network."""
    place: dict[int, tuple[str, int]]
    """Node -> bus and position there."""
    v_base_v: Floats
    """(N,)"""
    sections: tuple[Section, ...]
    shunts: tuple[tuple[str, list[int], Complexes], ...]
    """Bus, positions, admittance in pu."""


def tree_of(network: Network, used: set[int], ranges: Mapping[str, TapRange], base_kva: float) -> Tree:
    """The network as it stands.

    Parameters
    ----------
    network
        Taps and banks as they are at the hour.
    used
        Nodes at which a load, PV or a battery stands; what hangs on an element that cannot be held is no matter where
        none does.
    ranges
        Transformers whose taps are free, by name in lower case; the others stand.
    base_kva
        Of one phase.

    Raises
    ------
    ModelError
        Meshed, or an element that the relaxation cannot hold.
    """
    network = _without_dead_ends(merge_parallel(network), used)
    _ = network.feeding_branch  # refuses what is not radial, by name
    live = _live_nodes(network)
    names = network.nodes
    buses: dict[str, tuple[int, ...]] = {}
    for n in sorted(live):
        buses[bus_of(names[n])] = (*buses.get(bus_of(names[n]), ()), n)
    place = {n: (bus, k) for bus, nodes in buses.items() for k, n in enumerate(nodes)}
    base = np.where(network.v_base_v > 0, network.v_base_v, 1.0)
    groups: dict[tuple[str, str], list[Branch]] = {}
    for branch in network.branches:
        if not set(branch.to_nodes) <= live or not branch.to_nodes:
            continue
        _require_exact(branch, base)
        ends = _one_bus(network, branch.name, branch.from_nodes), _one_bus(network, branch.name, branch.to_nodes)
        if ends[0] == ends[1]:
            raise ModelError(f"{branch.name} joins conductors of one bus, which the relaxation cannot hold.", REMEDY)
        groups.setdefault((ends[0] if branch.kind != "source" else f" {branch.name}", ends[1]), []).append(branch)
    sections = _in_order([_section(own, place, base, base_kva, ranges) for own in groups.values()])
    shunts = []
    for shunt in network.shunts:
        on = [n for n in shunt.nodes if n in live]
        if not on:
            continue
        if len(on) < len(shunt.nodes):
            raise ModelError(f"{shunt.name} stands at a node that nothing feeds.", REMEDY)
        bus = _one_bus(network, shunt.name, shunt.nodes)
        v = base[list(shunt.nodes)]
        shunts.append((bus, [place[n][1] for n in on], np.outer(v, v) * shunt.y_s / (base_kva * 1e3)))
    return Tree(base_kva, buses, place, base, sections, tuple(shunts))


def _one_bus(network: Network, element: str, nodes: Sequence[int]) -> str:
    buses = list(dict.fromkeys(bus_of(network.nodes[n]) for n in nodes))
    if len(buses) > 1:
        raise ModelError(f"{element} has one side at several buses ({', '.join(buses)}): not held.", REMEDY)
    return buses[0] if buses else ""


def _live_nodes(network: Network) -> set[int]:
    live: set[int] = set()
    for branch in network.branches:
        fed = [n in live for n in branch.from_nodes]
        if branch.kind == "source" or (fed and all(fed)):
            live.update(branch.to_nodes)
        elif any(fed):
            raise ModelError(f"{branch.name} is fed on some of its conductors only: not held.", REMEDY)
    return live


def _flaw(branch: Branch, base: Floats) -> str:
    """Why the two-port is not the element; "" where it is."""
    if branch.kind == "source" or branch.y_prim_s is None:
        return ""
    nodes = [*branch.from_nodes, *branch.to_nodes]
    if not set(nodes) <= set(branch.prim_nodes):
        return "its conductors are not those of its admittance"
    v = base[list(branch.prim_nodes)]
    whole = np.outer(v, v) * branch.y_prim_s
    scale = np.max(np.abs(whole), initial=0.0)
    at = [branch.prim_nodes.index(n) for n in nodes]
    rest = [i for i in range(len(v)) if i not in at]
    if rest and np.max(np.abs(whole[rest])) > OPEN * scale:
        return "a conductor of it is open or ends there"
    v_to = base[list(branch.to_nodes)]
    if np.linalg.cond(branch.z_ohm / np.outer(v_to, v_to)) > 1e10:
        return "its far side floats"
    rebuilt = replace(branch, y_prim_s=None).admittance[1]
    v = base[nodes]
    if np.max(np.abs(np.outer(v, v) * rebuilt - whole[np.ix_(at, at)])) > SAME * scale:
        return "no transfer and series impedance say what it does"
    return ""


def _require_exact(branch: Branch, base: Floats) -> None:
    flaw = _flaw(branch, base)
    if flaw:
        raise ModelError(f"{branch.name}: {flaw}, which the relaxation cannot hold.", REMEDY)


def _without_dead_ends(network: Network, used: set[int]) -> Network:
    """Elements that cannot be held and feed nobody become the admittance that they are, seen from the source."""
    base = np.where(network.v_base_v > 0, network.v_base_v, 1.0)
    gone: set[str] = set()
    shunts = list(network.shunts)
    for b, branch in enumerate(network.branches):
        if branch.name in gone or not _flaw(branch, base):
            continue
        behind = {*branch.to_nodes, *(n for n in branch.prim_nodes if n not in branch.from_nodes)}
        own = [branch]
        for later in network.branches[b + 1 :]:
            if behind.intersection(later.from_nodes) or (later.to_nodes and behind.intersection(later.to_nodes)):
                own.append(later)
                behind.update(later.to_nodes)
        outer = {n for o in own[1:] for n in o.from_nodes} - behind
        if behind & used or outer:
            continue
        parts = [o.admittance for o in own] + [(s.nodes, s.y_s) for s in shunts if behind.intersection(s.nodes)]
        near = tuple(n for n in dict.fromkeys(n for nodes, _ in parts for n in nodes) if n not in behind)
        if not set(near) <= set(branch.from_nodes):
            continue
        shunts = [s for s in shunts if not behind.intersection(s.nodes)]
        gone.update(o.name for o in own)
        shunts.append(Shunt(branch.name, near, _seen_from(near, parts), 0.0))
    if not gone:
        return network
    kept = tuple(branch for branch in network.branches if branch.name not in gone)
    return replace(network, branches=kept, shunts=tuple(shunts))


def _seen_from(near: tuple[int, ...], parts: Sequence[tuple[tuple[int, ...], Complexes]]) -> Complexes:
    nodes = [*near, *(n for n in dict.fromkeys(n for own, _ in parts for n in own) if n not in near)]
    y = np.zeros((len(nodes), len(nodes)), dtype=complex)
    for own, part in parts:
        at = [nodes.index(n) for n in own]
        y[np.ix_(at, at)] += part
    k = len(near)
    inner: Complexes = np.asarray(np.linalg.lstsq(y[k:, k:], y[k:, :k], rcond=None)[0], dtype=complex)
    found: Complexes = y[:k, :k] - y[:k, k:] @ inner
    return found


def _section(
    own: list[Branch], place: dict[int, tuple[str, int]], base: Floats, base_kva: float, ranges: Mapping[str, TapRange]
) -> Section:
    source = own[0].kind == "source"
    va = base_kva * 1e3
    transfers, zs, y_froms, y_tos = [], [], [], []
    froms: list[Floats] = []
    tos: list[Floats] = []
    for branch in own:
        there = base[list(branch.to_nodes)]
        here = np.ones(1) if source else base[list(branch.from_nodes)]
        transfers.append(branch.transfer * here / there[:, None])
        zs.append(branch.z_ohm * va / np.outer(there, there))
        y_froms.append(np.zeros((1, 1)) if source else branch.y_from_s * np.outer(here, here) / va)
        y_tos.append(branch.y_to_s * np.outer(there, there) / va)
        free = ranges.get(branch.name.lower())
        for name in branch.name.lower().split("+"):
            if free is None and name in ranges:
                raise ModelError(
                    f"{branch.name} stand side by side, and their taps cannot be left free.", "Use --taps bare."
                )
        fixed = np.ones((len(here), 2)), np.ones((len(there), 2))
        for side, at_from, target in ((0, True, froms), (1, False, tos)):
            moves = free is not None and free.at_from == at_from
            target.append(fixed[side] * [free.least, free.most] if moves and free is not None else fixed[side])
    from_nodes = [n for branch in own for n in branch.from_nodes]
    to_nodes = [n for branch in own for n in branch.to_nodes]
    if len(set(from_nodes)) < len(from_nodes):  # two elements on one conductor: seen from one
        onto = np.array([[f == n for n in dict.fromkeys(from_nodes)] for f in from_nodes], dtype=float)
    else:
        onto = np.eye(max(len(from_nodes), 1))
    ratio_from = np.concatenate(froms)
    if onto.shape[1] < onto.shape[0] and np.any(ratio_from != 1.0):
        raise ModelError(f"{own[0].name}: its taps cannot be left free beside {own[1].name}.", "Use --taps bare.")
    return Section(
        "+".join(branch.name for branch in own),
        "" if source else place[from_nodes[0]][0],
        place[to_nodes[0]][0],
        [] if source else [place[n][1] for n in dict.fromkeys(from_nodes)],
        [place[n][1] for n in to_nodes],
        block_diag(*transfers).astype(complex) @ onto,
        block_diag(*zs).astype(complex),
        onto.T @ block_diag(*y_froms).astype(complex) @ onto,
        block_diag(*y_tos).astype(complex),
        ratio_from[: onto.shape[1]],
        np.concatenate(tos),
    )


def _in_order(sections: list[Section]) -> tuple[Section, ...]:
    """After what feeds them; a bus may be fed by several sections."""
    waiting, found, fed = list(sections), [], {""}
    while waiting:
        ready = [s for s in waiting if s.from_bus in fed and not any(o.to_bus == s.from_bus for o in waiting)]
        if not ready:
            raise ModelError(f"{waiting[0].name} stands in a loop of buses: not held.", REMEDY)
        fed.update(s.to_bus for s in ready)
        found += ready
        waiting = [s for s in waiting if s not in ready]
    return tuple(found)
