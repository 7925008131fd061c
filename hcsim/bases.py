"""Voltage bases where a feeder states none, or leaves a level out: from its sources and windings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hcsim.elements import Element

if TYPE_CHECKING:
    from hcsim.engine import Circuit

FAR_PU = (0.5, 1.5)
_SAME_LEVEL = 0.07
"""Levels closer than this are one: 12.47 and 12 kV; 0.24 and 0.208 are two."""


def mend_voltage_bases(circuit: Circuit) -> str:
    """Set the bases of a solved circuit where buses have none or stand far from theirs because a level is missing.

    A sentence on what was done; "" where nothing was. The circuit must be solved again afterwards.
    """
    base = circuit.bus_base_v()
    names, v = circuit.node_names(), np.abs(circuit.voltages_v())
    live = [(name, size, base[name.rsplit(".", 1)[0]]) for name, size in zip(names, v, strict=True) if size > 1.0]
    phases = [(size, b) for name, size, b in live if name.endswith((".1", ".2", ".3"))]
    bare = {name.rsplit(".", 1)[0] for name, _, b in live if b <= 0.0}
    far = any(b > 0 and not FAR_PU[0] <= size / b <= FAR_PU[1] for size, b in phases)
    if not bare and not far:
        return ""
    stated = [] if len(bare) == len(set(base)) else _stated_kv(circuit)
    missing = [kv for kv in _levels(circuit) if not any(_same(kv, other) for other in stated)]
    if not missing and not bare:
        return ""
    levels = sorted({*stated, *missing}, reverse=True)
    circuit.command(f"set voltagebases=[{' '.join(f'{kv:.6g}' for kv in levels)}]")
    circuit.command("calcvoltagebases")
    found = ", ".join(f"{kv:.4g}" for kv in missing)
    if bare:
        return f"{len(bare)} buses had no voltage base: set from source and windings ({found or 'as stated'} kV)."
    return f"`set voltagebases` lacked a level of the windings: {found} kV added."


def _stated_kv(circuit: Circuit) -> list[float]:
    return [float(kv) for kv in circuit.command("get voltagebases").strip("[]() ").replace(",", " ").split()]


def _levels(circuit: Circuit) -> list[float]:
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
