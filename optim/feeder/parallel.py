"""Branches side by side -> one branch, where a radial model wants every node fed once.

Two lines between the same buses, an open-delta bank of single-phase regulators with its jumper: their
admittances add up, and the sum is a two-port like any other. With Y over from-nodes f and to-nodes t,
V_t = -Y_tt^-1 Y_tf V_f - Y_tt^-1 I_t, which is transfer and series impedance; what is left at the from-side is shunt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from optim.data.network import Branch, Network
from optim.data.node import bus_of
from optim.feeder.two_port import two_port


def merge_parallel(network: Network) -> Network:
    """The network with branches that feed a node together merged into one; itself where there are none.

    Branches are merged only between the same two buses; loops over several buses stay. The common mode of a to-side
    that floats is left out, as it is with a single branch. A merged branch is named "Line.a+Line.b"; its rating is the
    sum of what each conductor's branches carry, by share of admittance, and infinite where one has none.
    """
    groups: dict[tuple[frozenset[str], frozenset[str]], list[int]] = {}
    for b, branch in enumerate(network.branches):
        if branch.kind != "source" and branch.from_nodes and branch.to_nodes:
            groups.setdefault((_buses(network, branch.from_nodes), _buses(network, branch.to_nodes)), []).append(b)
    first: dict[int, Branch] = {}
    gone: set[int] = set()
    for members in groups.values():
        together = [network.branches[b] for b in members]
        if len(members) > 1 and _overlap(together):
            merged = _merged(network, together)
            if merged is not None:
                first[members[0]] = merged
                gone.update(members[1:])
    if not first:
        return network
    kept = tuple(first.get(b, branch) for b, branch in enumerate(network.branches) if b not in gone)
    return replace(network, branches=kept)


def _merged(network: Network, together: Sequence[Branch]) -> Branch | None:
    here = tuple(dict.fromkeys(n for b in together for n in b.from_nodes))
    there = tuple(dict.fromkeys(n for b in together for n in b.to_nodes))
    nodes = (*here, *there)
    y = np.zeros((len(nodes), len(nodes)), dtype=complex)
    for branch in together:
        own, part = branch.admittance
        if not set(own) <= set(nodes):
            return None
        at = [nodes.index(n) for n in own]
        y[np.ix_(at, at)] += part
    f, t = list(range(len(here))), list(range(len(here), len(nodes)))
    try:
        transfer, z, y_from = two_port(y, f, t, [network.nodes[n] for n in nodes])
    except np.linalg.LinAlgError:
        return None
    return Branch(
        name="+".join(b.name for b in together),
        kind=together[0].kind,
        from_nodes=here,
        to_nodes=there,
        transfer=transfer,
        z_ohm=z,
        y_from_s=y_from,
        y_to_s=np.zeros_like(z),
        i_rated_a=_rating_a(together),
        prim_nodes=nodes,
        y_prim_s=y,
    )


def _rating_a(together: Sequence[Branch]) -> float:
    """What all carry when the first of them, loaded by its share of admittance, reaches its rating."""
    nodes = {n for b in together for n in b.to_nodes}
    least = np.inf
    for n in nodes:
        own = [
            (b, abs(1.0 / b.z_ohm[b.to_nodes.index(n), b.to_nodes.index(n)]))
            for b in together
            if n in b.to_nodes
            if b.z_ohm[b.to_nodes.index(n), b.to_nodes.index(n)] != 0
        ]
        whole = sum(y for _, y in own)
        least = min([least, *(b.i_rated_a * whole / y for b, y in own)])
    return float(least)


def _overlap(together: Sequence[Branch]) -> bool:
    seen: set[int] = set()
    for branch in together:
        if seen.intersection(branch.to_nodes):
            return True
        seen.update(branch.to_nodes)
    return False


def _buses(network: Network, nodes: Sequence[int]) -> frozenset[str]:
    return frozenset(bus_of(network.nodes[n]) for n in nodes)
