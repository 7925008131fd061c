"""Delivery elements -> branches and shunts, from their primitive admittance and not class by class.

Every element is its Yprim between the nodes that it touches. One that joins two buses is a branch, seen from
the bus nearer to the source; one that stands at a single bus is a shunt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hcsim.opendss.elements import Element
from optim.data.network import Branch, BranchKind, Shunt
from optim.data.node import bus_of
from optim.feeder.two_port import OPEN, two_port

Complexes = NDArray[np.complex128]


@dataclass(frozen=True)
class Delivery:
    """An element between nodes: Yprim with conductors on the same node merged and ground struck out."""

    element: Element
    nodes: tuple[int, ...]
    y_s: Complexes
    bus_of: tuple[str, ...]
    """Bus of each node."""

    @property
    def buses(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.bus_of))

    @property
    def joins(self) -> bool:
        """Whether power can pass from one bus to another."""
        away = np.array([[a != b for b in self.bus_of] for a in self.bus_of], dtype=bool)
        return bool(np.any(np.abs(self.y_s[away]) > OPEN * self.scale))

    @property
    def scale(self) -> float:
        return float(np.max(np.abs(self.y_s), initial=0.0))

    def joined_nodes(self) -> list[tuple[int, int]]:
        """Pairs of nodes between which power can pass."""
        near, far = np.nonzero(np.triu(np.abs(self.y_s) > OPEN * self.scale, k=1))
        return [(self.nodes[a], self.nodes[b]) for a, b in zip(near, far, strict=True)]


def delivery(element: Element, node_names: Sequence[str]) -> Delivery:
    """Merge the conductors of an enabled element's Yprim onto the nodes that it touches."""
    nodes, y = merged(element.node_ref.ravel(), element.y_prim_s)
    return Delivery(element, nodes, y, tuple(bus_of(node_names[n]) for n in nodes))


def merged(conductors: NDArray[np.int64], y_prim_s: Complexes) -> tuple[tuple[int, ...], Complexes]:
    """Conductors on the same node as one, ground struck out: (k,) nodes in order of appearance, (k, k)."""
    nodes = tuple(dict.fromkeys(int(n) for n in conductors if n >= 0))
    onto = (conductors[:, None] == np.array(nodes, dtype=int)[None, :]).astype(float)
    return nodes, onto.T @ y_prim_s @ onto


def shunt(part: Delivery, v_base_v: NDArray[np.float64]) -> Shunt:
    """An element at one bus as the admittance it is; kvar at base voltage, from its diagonal terms to ground
    where its properties state none."""
    stated = part.element.properties.get("kvar")
    if part.element.kind == "Capacitor" and isinstance(stated, list):
        states = part.element.properties.get("states") or [1] * len(stated)
        kvar = float(sum(k for k, on in zip(stated, states, strict=False) if on))
    else:
        # balanced voltages of base magnitude: what the element would draw there
        angles = np.exp(-2j * np.pi / 3 * np.arange(len(part.nodes)))
        at = v_base_v[list(part.nodes)] * (angles if len(part.nodes) > 1 else 1.0)
        kvar = float(np.imag(at.conj() @ (part.y_s @ at))) / 1e3
    return Shunt(part.element.name, part.nodes, part.y_s, kvar)


def branch(part: Delivery, from_bus: str, node_names: Sequence[str], kind: BranchKind, *, rated: bool = True) -> Branch:
    """An element between buses as a two-port with its source side at `from_bus`; `rated` False where its rating is
    none of its own."""
    paired = _paired_conductors(part, from_bus)
    if paired is not None:
        two_port = _pi_section(part, *paired)
    else:
        here = [i for i, bus in enumerate(part.bus_of) if bus == from_bus]
        there = [i for i, bus in enumerate(part.bus_of) if bus != from_bus]
        two_port = _schur_section(part, here, there, node_names)
    here, there, transfer, z, y_from, y_to = two_port
    return Branch(
        name=part.element.name,
        kind=kind,
        from_nodes=tuple(part.nodes[i] for i in here),
        to_nodes=tuple(part.nodes[i] for i in there),
        transfer=transfer,
        z_ohm=z,
        y_from_s=y_from,
        y_to_s=y_to,
        i_rated_a=rating_a(part.element, from_bus) if rated else math.inf,
        prim_nodes=part.nodes,
        y_prim_s=part.y_s,
    )


Section = tuple[list[int], list[int], Complexes, Complexes, Complexes, Complexes]


def _paired_conductors(part: Delivery, from_bus: str) -> tuple[list[int], list[int]] | None:
    """Positions of the conductors at both ends, one to one, closed ones only: lines, reactors, switches.

    None where the element is no set of conductors from end to end (transformers, an end to ground).
    """
    element = part.element
    if element.kind in ("Transformer", "AutoTrans") or element.node_ref.shape[0] != 2:
        return None
    ends = [list(row) for row in element.node_ref]
    if part.nodes and from_bus not in {part.bus_of[part.nodes.index(n)] for n in ends[0] if n >= 0}:
        ends.reverse()
    pairs = [(f, t) for f, t in zip(*ends, strict=True) if f >= 0 or t >= 0]
    flat = [n for pair in pairs for n in pair]
    if -1 in flat or len(set(flat)) != len(flat):
        return None
    here = [part.nodes.index(f) for f, _ in pairs]
    there = [part.nodes.index(t) for _, t in pairs]
    closed = [k for k, f in enumerate(here) if abs(part.y_s[there[k], f]) > OPEN * part.scale]
    return [here[k] for k in closed], [there[k] for k in closed]


def _pi_section(part: Delivery, here: list[int], there: list[int]) -> Section:
    """Yprim of a pi section is [[y + y_f, -y], [-y, y + y_t]]: z = y^-1, transfer the identity."""
    y = -part.y_s[np.ix_(there, here)]
    y_from = part.y_s[np.ix_(here, here)] - y
    y_to = part.y_s[np.ix_(there, there)] - y
    return here, there, np.eye(len(here), dtype=complex), np.linalg.inv(y).astype(complex), y_from, y_to


def _schur_section(part: Delivery, here: list[int], there: list[int], names: Sequence[str]) -> Section:
    """Any other two-port, conductors at the to-side that end there left out."""
    keep = [i for i in there if np.max(np.abs(part.y_s[i])) > OPEN * part.scale]
    transfer, z, y_from = two_port(part.y_s, here, keep, [names[n] for n in part.nodes])
    return here, keep, transfer, z, y_from, np.zeros_like(z)


def rating_a(element: Element, from_bus: str) -> float:
    """Normal rating per phase at the to-side, amperes; inf where the feeder states none."""
    facts = element.properties
    if element.kind not in ("Transformer", "AutoTrans"):
        amps = float(facts.get("normamps") or 0.0)
        return amps if amps > 0.0 else math.inf
    there = next((w for w, bus in enumerate(element.buses) if bus.split(".", 1)[0] != from_bus), 0)
    kva, kv = _winding(facts, there)
    share = kva / _winding(facts, 0)[0] if _winding(facts, 0)[0] else 1.0
    phases = math.sqrt(3.0) if element.phases > 1 else 1.0
    normal = float(facts.get("normhkva") or 0.0)
    return normal * share / (kv * phases) if normal > 0 and kv > 0 else math.inf


def _winding(facts: Mapping[str, object], w: int) -> tuple[float, float]:
    """kVA and kV of winding w."""
    kvas, kvs = facts.get("kvas") or facts["kva"], facts.get("kvs") or facts["kv"]
    return float(kvas[w]), float(kvs[w])  # type: ignore[index]
