"""A node of a network: a bus and a phase, cut from its name "bus.phase" in one place.

A name of a branch-phase ("Line.l115.1": element and phase) is cut in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple


class Node(NamedTuple):
    """Where a single-phase device, a load or a voltage stands."""

    bus: str
    """In lower case; may hold dots of its own."""
    phase: str
    """The number of OpenDSS's conductor, "1", "2", "3" (4 and above: neutrals and the like); "" where a name has
    no phase."""

    @property
    def name(self) -> str:
        """ "bus.phase", by which arrays and tables are joined."""
        return f"{self.bus}.{self.phase}" if self.phase else self.bus


@cache
def node(name: str) -> Node:
    """The bus and the phase of "bus.phase"; a name without a dot is a bus."""
    bus, dot, phase = name.rpartition(".")
    return Node(bus, phase) if dot else Node(name, "")


def bus_of(name: str) -> str:
    """The bus of "bus.phase", or the element of "element.phase"."""
    return node(name).bus


def phase_of(name: str) -> str:
    """The phase of "bus.phase" or "element.phase"; "" where there is none."""
    return node(name).phase


def phase_number(name: str) -> int:
    """The phase as OpenDSS's conductor number."""
    return int(node(name).phase)


def columns(names: Iterable[str], of: str = "bus") -> dict[str, list[str]]:
    """Names as the two columns of a table: `of` ("bus" or "element") and "phase"."""
    cut = [node(name) for name in names]
    return {of: [n.bus for n in cut], "phase": [n.phase for n in cut]}
