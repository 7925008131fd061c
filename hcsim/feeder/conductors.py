"""Between which conductors customers stand at each bus: what a node's voltage is judged against, and where a device
stands.

- A bus with a neutral conductor (four-wire low voltage, a triplex with an explicit neutral, an earth electrode
  behind a resistance): phase to neutral, unless its loads stand to ground.
- A low-voltage bus whose loads stand between phases or legs and never to ground (centre-tapped 120/240 V, 480 V
  delta loads): between those, as the loads do.
- A zone without a path to ground: phase to phase.
- Elsewhere: phase to ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hcsim.feeder.branches import Delivery
from hcsim.feeder.ledger import NodeNote
from hcsim.feeder.loads import Leg
from hcsim.feeder.topology import floating_nodes, live_nodes
from hcsim.opendss.elements import Element
from optim.data.node import bus_of, phase_number

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

GROUNDED_PU = 0.2
"""A node below this is as good as grounded: no voltage limit speaks of it."""
NEUTRAL_PU = 0.5
"""A conductor numbered above 3 is a neutral below this, and a phase above."""
LOW_VOLTAGE_V = 1000.0 / 3**0.5
RATIOS = np.array([1.0, np.sqrt(3.0), 2.0])
"""Nominal voltage across over that to ground: to a neutral, between phases, between the legs of a centre tap."""


@dataclass(frozen=True)
class Judged:
    """(N,) each, as `Network` has them."""

    reference: Ints
    ratio: Floats
    judged: Bools
    notes: tuple[NodeNote, ...]


def judged_conductors(
    names: Sequence[str],
    v_v: NDArray[np.complex128],
    v_base_v: Floats,
    elements: Sequence[Element],
    parts: dict[str, Delivery],
    legs: Sequence[Leg],
    live: Bools,
) -> Judged:
    """Reads off loads and topology what every node is judged against. `v_v` (N,) at the base case."""
    floating = live & floating_nodes(names, elements, parts)
    # the loose star point of a wye load is fed by the load alone: no conductor that a customer could be given
    wired = live_nodes(names, [e for e in elements if e.kind != "Load"], parts)
    index = {name: n for n, name in enumerate(names)}
    number = np.array([phase_number(name) for name in names], dtype=np.int64)
    v_pu = np.where(v_base_v > 0, np.abs(v_v) / np.where(v_base_v > 0, v_base_v, 1.0), 0.0)
    neutral = live & (((number > 3) & (v_pu < NEUTRAL_PU)) | (~floating & (v_pu < GROUNDED_PU)))
    neutral |= live & floating & (number > 3)
    neutrals_at: dict[str, list[int]] = {}
    for n in np.flatnonzero(neutral & wired).tolist():
        neutrals_at.setdefault(bus_of(names[n]), []).append(n)
    across = _across(legs, len(names))
    ends = {end for others in across.values() for end in others}
    reference, ratio = np.full(len(names), -1, dtype=np.int64), np.ones(len(names))
    judged, notes = live & ~neutral, []
    for n, name in enumerate(names):
        bus = bus_of(name)
        if not live[n]:
            notes.append(NodeNote(name, "not", "no path from the source"))
            continue
        if neutral[n]:
            why = "neutral conductor" if number[n] > 3 or n in ends else "as good as grounded"
            notes.append(NodeNote(name, "not", why))
            continue
        others = across.get(n, {})
        # a node numbered as a phase is taken for a neutral where a load says so, and nowhere else
        given = [m for m in neutrals_at.get(bus, []) if number[m] > 3 or m in others]
        found = _neutral_of(others, given)
        if found >= 0:
            reference[n] = found
            if number[found] <= 3:
                ratio[n] = _nearest_ratio(RATIOS, v_v[n] - v_v[found], v_base_v[n])  # a grounded corner
            notes.append(NodeNote(name, "line-to-neutral", f"judged against the neutral {names[found]}"))
            continue
        why = ""
        if floating[n]:
            cycle = (f"{bus}.{p}" for p in ((int(number[n]) + k - 1) % 3 + 1 for k in (1, 2)))
            found = next((index[o] for o in cycle if o in index and live[index[o]] and not neutral[index[o]]), -1)
            why = "ungrounded"
        elif v_base_v[n] < LOW_VOLTAGE_V and others and -1 not in others:
            found = _between(n, others, names, bus, live & ~neutral)
            why = "its loads stand between phases"
        if found >= 0:
            reference[n] = found
            ratio[n] = _nearest_ratio(RATIOS[1:], v_v[n] - v_v[found], v_base_v[n])
            notes.append(NodeNote(name, "line-to-line", f"{why}: judged against {names[found]}"))
        elif floating[n]:
            judged[n] = False
            notes.append(NodeNote(name, "not", "ungrounded, and the only phase of its bus"))
    return Judged(reference, ratio, judged, tuple(notes))


def _across(legs: Sequence[Leg], n: int) -> dict[int, dict[int, float]]:
    """Node -> what its loads stand against (-1 ground), in kVA; the far ends of its own legs first."""
    found: dict[int, dict[int, float]] = {}
    for near, far in (("plus", "minus"), ("minus", "plus")):
        for leg in legs:
            if not leg.name.lower().startswith("load."):
                continue
            here, there = getattr(leg, near), getattr(leg, far)
            if 0 <= here < n and (near == "plus" or there >= 0):
                at = found.setdefault(here, {})
                at[there] = at.get(there, 0.0) + (abs(complex(leg.p_kw, leg.q_kvar)) if near == "plus" else 0.0)
    return found


def _nearest_ratio(ratios: Floats, across_v: complex, base_v: float) -> float:
    size = max(abs(across_v) / base_v, 1e-6) if base_v > 0 else 1.0
    return float(ratios[np.argmin(np.abs(np.log(ratios / size)))])


def _neutral_of(others: dict[int, float], neutrals: Sequence[int]) -> int:
    """The neutral that a node's customers stand against, -1 where there is none, or where they stand to ground."""
    if not neutrals:
        return -1
    loaded = {n: kva for n, kva in others.items() if n in neutrals}
    if loaded:
        most = max(loaded, key=loaded.__getitem__)
        return most if loaded[most] >= others.get(-1, 0.0) else -1
    return -1 if others.get(-1, 0.0) > 0.0 else neutrals[0]


def _between(n: int, others: dict[int, float], names: Sequence[str], bus: str, phases: Bools) -> int:
    here = [o for o in others if o >= 0 and phases[o] and bus_of(names[o]) == bus]
    return max(here, key=lambda o: others[o], default=-1)
