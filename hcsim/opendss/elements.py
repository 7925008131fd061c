"""Facts of circuit elements as the engine hands them over. Pure data; `engine` fills it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Complexes = NDArray[np.complex128]
Ints = NDArray[np.int64]

CONTROL_AND_METER_CLASSES = frozenset(
    {
        "RegControl",
        "CapControl",
        "GenDispatcher",
        "StorageController",
        "Relay",
        "Recloser",
        "Fuse",
        "SwtControl",
        "UPFCControl",
        "ESPVLControl",
        "InvControl",
        "ExpControl",
        "Monitor",
        "EnergyMeter",
        "Sensor",
    }
)
"""Circuit elements without a primitive admittance: they carry no current."""


@dataclass(frozen=True)
class Element:
    """Raw facts of one circuit element, as the engine states them."""

    name: str
    """Full OpenDSS name, class as OpenDSS writes it, own name in lower case: "Line.l115"."""
    kind: str
    """OpenDSS class, "Line"."""
    enabled: bool
    buses: tuple[str, ...]
    """One per terminal, as the feeder wrote them: "611.3", "b1.3.0"."""
    phases: int
    node_ref: Ints
    """(terminals, conductors) positions in `Circuit.node_names()`, -1 ground. Empty where the element is
    disabled or carries no current."""
    y_prim_s: Complexes
    """(n, n), n = terminals x conductors, terminal by terminal, at present taps. Empty likewise."""
    properties: Mapping[str, Any]
    """Every property by lower-case name, with OpenDSS's units."""


@dataclass(frozen=True)
class Layout:
    """How the flat vectors of one element class are cut: element i owns [offset[i], offset[i+1])."""

    names: tuple[str, ...]
    """Full OpenDSS names, disabled elements included (their values are zero)."""
    conductors: Ints
    terminals: Ints
    offset: Ints

    @cached_property
    def position(self) -> dict[str, int]:
        return {name.lower(): i for i, name in enumerate(self.names)}

    def of(self, name: str) -> slice:
        """Where the element stands in the flat vector, terminal by terminal."""
        i = self.position[name.lower()]
        return slice(int(self.offset[i]), int(self.offset[i + 1]))


def parse_properties(text: str) -> list[dict[str, Any]]:
    """OpenDSS's JSON of a class -> one dictionary per element, property names in lower case.

    OpenDSS writes a Capacitor's unused CMatrix from memory that it never filled, "Nan" included, which is no
    JSON; such numbers become NaN.
    """
    legal = re.sub(r"(?<=[\[,:])\s*[+-]?(nan|inf)\s*(?=[,\]}])", "NaN", text, flags=re.IGNORECASE)
    return [{key.lower(): value for key, value in row.items()} for row in json.loads(legal)]
