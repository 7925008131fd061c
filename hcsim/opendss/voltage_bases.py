"""Voltage bases where a feeder states none, or leaves a level out: from its sources and windings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hcsim.opendss.elements import Element
from optim.data.node import node as cut

FAR_PU = (0.5, 1.5)
_SAME_LEVEL = 0.07
"""Levels closer than this are one: 12.47 and 12 kV; 0.24 and 0.208 are two."""


class Based(Protocol):
    """What is asked of a circuit here."""

    def node_names(self) -> tuple[str, ...]: ...
    def voltages_v(self) -> NDArray[np.complex128]: ...
    def bus_base_v(self) -> dict[str, float]: ...
    def classes(self) -> tuple[str, ...]: ...
    def elements(self, kinds: Iterable[str] | None = None) -> Iterator[Element]: ...
    def command(self, text: str) -> str: ...


def state_missing_bases(circuit: Based) -> tuple[str, ...]:
    """Set the bases of a circuit that states none at all, before its first solution: OpenDSS judges by them whether
    an iteration has converged, and a large feeder without them may not come to rest.

    One sentence on what was done, none where some bus has a base.
    """
    circuit.command("makebuslist")
    base = circuit.bus_base_v()
    if not base or any(v > 0 for v in base.values()):
        return ()
    circuit.command("calcvoltagebases")  # of OpenDSS's own levels: it builds what the windings are read from
    levels = sorted(_levels(circuit), reverse=True)
    if not levels:
        return ()
    circuit.command(f"set voltagebases=[{' '.join(f'{kv:.6g}' for kv in levels)}]")
    circuit.command("calcvoltagebases")
    found = ", ".join(f"{kv:.4g}" for kv in levels)
    return (f"{len(base)} buses had no voltage base: set from source and windings ({found} kV).",)


def mend_voltage_bases(circuit: Based) -> tuple[str, ...]:
    """Set the bases of a solved circuit where buses have none, or stand far from theirs: because a level is
    missing, or because OpenDSS took the base from an open phase.

    Sentences on what was done, none where nothing was. The circuit must be solved again afterwards.
    """
    largest = _largest_v(circuit)
    base = circuit.bus_base_v()
    bare, far = _without_base(largest, base), _far_off(largest, base)
    if not bare and not far:
        return ()
    stated = [] if len(bare) == len(largest) else _stated_kv(circuit)
    missing = [kv for kv in _levels(circuit) if not any(_same(kv, other) for other in stated)]
    levels = sorted({*stated, *missing}, reverse=True)
    said = []
    if missing or bare:
        circuit.command(f"set voltagebases=[{' '.join(f'{kv:.6g}' for kv in levels)}]")
        circuit.command("calcvoltagebases")
        found = ", ".join(f"{kv:.4g}" for kv in missing) or "as stated"
        said.append(
            f"{len(bare)} buses had no voltage base: set from source and windings ({found} kV)."
            if bare
            else f"`set voltagebases` lacked a level of the windings: {found} kV added."
        )
    moved = []
    for bus in _far_off(largest, circuit.bus_base_v()):
        kv = min(levels, key=lambda level: abs(math.log(largest[bus] / (1e3 * level / math.sqrt(3.0)))))
        if _near(largest[bus], 1e3 * kv / math.sqrt(3.0)):
            circuit.command(f'setkvbase bus="{bus}" kvll={kv:.6g}')
            moved.append(bus)
    if moved:
        said.append(
            f"{len(moved)} buses had the voltage base of another level, as an open phase makes it: set by their "
            f"voltage (e.g. {moved[0]})."
        )
    return tuple(said)


def _largest_v(circuit: Based) -> dict[str, float]:
    """Bus -> largest voltage of its phase nodes, live buses only."""
    found: dict[str, float] = {}
    for name, size in zip(circuit.node_names(), np.abs(circuit.voltages_v()), strict=True):
        bus, phase = cut(name)
        if int(phase) <= 3 and size > 1.0:
            found[bus] = max(found.get(bus, 0.0), float(size))
    return found


def _without_base(largest: dict[str, float], base: dict[str, float]) -> list[str]:
    return [bus for bus in largest if base[bus] <= 0.0]


def _far_off(largest: dict[str, float], base: dict[str, float]) -> list[str]:
    return [bus for bus, size in largest.items() if base[bus] > 0.0 and not _near(size, base[bus])]


def _near(size_v: float, base_v: float) -> bool:
    return FAR_PU[0] <= size_v / base_v <= FAR_PU[1]


def _stated_kv(circuit: Based) -> list[float]:
    return [float(kv) for kv in circuit.command("get voltagebases").strip("[]() ").replace(",", " ").split()]


def _levels(circuit: Based) -> list[float]:
    """Line-to-line levels of sources and windings in kV, each once."""
    kinds = [k for k in ("Vsource", "Transformer", "AutoTrans") if k in circuit.classes()]
    found: list[float] = []
    for element in circuit.elements(kinds):
        for kv in _of_element(element) if element.enabled else ():
            if kv > 0 and not any(_same(kv, other) for other in found):
                found.append(kv)
    return found


def _of_element(element: Element) -> Iterator[float]:
    facts = element.properties
    if element.kind == "Vsource":
        yield float(facts["basekv"]) * (1.0 if element.phases > 1 else math.sqrt(3.0))
        return
    for bus, kv in zip(element.buses, facts.get("kvs") or [], strict=False):
        nodes = {n for n in bus.split(".")[1:] if n in ("1", "2", "3")}
        to_ground = element.phases == 1 and len(nodes) < 2
        yield float(kv) * (math.sqrt(3.0) if to_ground else 1.0)


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= _SAME_LEVEL * max(a, b)
