"""The ledger: what became of every element of the circuit, and what it is worth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from typing import Literal

import pandas as pd

Verdict = Literal["modelled", "approximated", "passive", "refused"]
"""modelled: exactly as OpenDSS has it at the base case; approximated: `reason` says how; passive: carries no
power (open, disabled, cut off, a meter); refused: not in the network, and `reason` says why."""

VERDICTS: tuple[Verdict, ...] = ("modelled", "approximated", "passive", "refused")


@dataclass(frozen=True)
class LedgerRow:
    element: str
    """Full OpenDSS name, "Line.l115"."""
    kind: str
    """OpenDSS class."""
    verdict: Verdict
    reason: str
    kw: float = 0.0
    """Loads: nominal consumption. Generators: negative."""
    kvar: float = 0.0
    """Loads: nominal consumption. Capacitors: negative."""
    rating: float = float("nan")
    """Normal rating in `rating_unit`; NaN where there is none."""
    rating_unit: Literal["", "A", "kVA"] = ""
    rating_made_up: bool = False
    """The files state none: `rating` is OpenDSS's own, and limits nothing."""


_OWN = "its power of each hour, as OpenDSS runs it without devices under study, stands in the base"
_CONTROL = "what it moves stands where it has it in each hour, or as the feeder was read ([program] taps)"
_SWITCH = "a switch in its position of each hour"
ROLES: dict[str, tuple[str, str]] = {
    "Load": ("demand of each hour, by its own curve or the study's", "follows its own curve, or the study's"),
    "Vsource": ("ideal voltage of each hour behind its impedance", "follows its own curve, if it has one"),
    "Isource": (_OWN, "follows its own curve, if it has one"),
    "PVSystem": (_OWN, "follows its own curve; the study's sun where it has none"),
    "Storage": (_OWN, "charges and discharges as its dispatch mode or its controller has it"),
    "Generator": (_OWN, "follows its own curve and dispatch mode"),
    "WindGen": (_OWN, "follows its own curve"),
    "IndMach012": (_OWN, "runs as OpenDSS has it"),
    "RegControl": (_CONTROL, "acts where controls are free"),
    "CapControl": (_CONTROL, "acts where controls are free; by the clock at the hour of the label"),
    "StorageController": (_OWN, "acts where controls are free; by the clock at the hour of the label"),
    "InvControl": (_OWN, "acts where controls are free"),
    "ExpControl": (_OWN, "acts where controls are free"),
    "GenDispatcher": (_OWN, "acts where controls are free"),
    "Fuse": (_SWITCH, "blows as OpenDSS has it"),
    "Relay": (_SWITCH, "trips as OpenDSS has it"),
    "Recloser": (_SWITCH, "trips and closes as OpenDSS has it"),
    "SwtControl": (_SWITCH, "switches as OpenDSS has it"),
    "Line": ("series impedance and charging", "as it is"),
    "Transformer": ("windings at the taps of each hour, or as read ([program] taps)", "as it is"),
    "AutoTrans": ("windings as read", "as it is"),
    "Capacitor": ("admittance of the steps closed in each hour, or as read ([program] taps)", "as it is"),
    "Reactor": ("admittance", "as it is"),
    "Monitor": ("nothing", "meters"),
    "EnergyMeter": ("nothing", "meters"),
    "Sensor": ("nothing", "meters"),
}
"""Class -> what its elements do in the program, and what in the replay."""


def role_of(kind: str, verdict: Verdict, reason: str) -> tuple[str, str]:
    """In the program, in the replay."""
    if verdict == "refused":
        return "refused", "runs in OpenDSS"
    if reason in ("disabled", "no path from the source"):
        return "nothing", "nothing"
    return ROLES.get(kind, ("as the base case has it", "as OpenDSS has it"))


@dataclass(frozen=True)
class NodeNote:
    """A node whose voltage is judged otherwise than to ground, or not at all."""

    node: str
    judged: Literal["line-to-neutral", "line-to-line", "not"]
    reason: str


@dataclass(frozen=True)
class Ledger:
    rows: tuple[LedgerRow, ...]
    """Every element of the circuit exactly once, in the circuit's order."""
    nodes: tuple[NodeNote, ...] = ()

    def __iter__(self) -> Iterator[LedgerRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def refused(self) -> tuple[LedgerRow, ...]:
        return tuple(row for row in self.rows if row.verdict == "refused")

    def count(self, verdict: Verdict) -> int:
        return sum(row.verdict == verdict for row in self.rows)

    def to_frame(self) -> pd.DataFrame:
        """One row per element: element, class, verdict, reason, kw, kvar, rating, rating_unit, rating_made_up, and what
        it does in_program and in_replay."""
        names = ["class" if f.name == "kind" else f.name for f in fields(LedgerRow)]
        rows = [(*astuple(row), *role_of(row.kind, row.verdict, row.reason)) for row in self.rows]
        return pd.DataFrame(rows, columns=[*names, "in_program", "in_replay"])

    def roles(self) -> list[tuple[str, int, str, str]]:
        """Class, how many of it, what they do in the program and in the replay."""
        found: dict[tuple[str, str, str], int] = {}
        for row in self.rows:
            key = (row.kind, *role_of(row.kind, row.verdict, row.reason))
            found[key] = found.get(key, 0) + 1
        return [(kind, n, program, replay) for (kind, program, replay), n in found.items()]

    def totals(self) -> pd.DataFrame:
        """Count, kW and kvar by class and verdict; the last row is the whole circuit."""
        by = self.to_frame().groupby(["class", "verdict"], sort=True)
        table = by.agg(elements=("element", "count"), kw=("kw", "sum"), kvar=("kvar", "sum")).reset_index()
        whole = {"class": "all", "verdict": "", **table[["elements", "kw", "kvar"]].sum().to_dict()}
        return pd.concat([table, pd.DataFrame([whole])], ignore_index=True)

    def nodes_frame(self) -> pd.DataFrame:
        """Nodes not judged to ground: node, judged, reason."""
        return pd.DataFrame([astuple(n) for n in self.nodes], columns=[f.name for f in fields(NodeNote)])


ABSURD_AMPS = (1.0, 5000.0)
"""A normal rating outside is no rating of a distribution line."""


@dataclass(frozen=True)
class Ratings:
    """Normal ratings of lines that a loading limit would have to trust. Full OpenDSS names."""

    lines: int
    """Lines that carry power, switches included."""
    missing: tuple[str, ...]
    default: tuple[str, ...]
    """Lines without a stated rating: 400 A is OpenDSS's own, and limits nothing."""
    absurd: tuple[str, ...]
    made_up: tuple[str, ...] = ()
    """Transformers, reactors and series capacitors whose rating is OpenDSS's own."""

    @classmethod
    def of(cls, ledger: Ledger) -> Ratings:
        rows = [row for row in ledger if row.kind == "Line" and row.verdict in ("modelled", "approximated")]
        low, high = ABSURD_AMPS
        missing = tuple(r.element for r in rows if not math.isfinite(r.rating))
        default = tuple(r.element for r in rows if r.rating_made_up)
        absurd = tuple(r.element for r in rows if math.isfinite(r.rating) and not low <= r.rating <= high)
        others = tuple(r.element for r in ledger if r.rating_made_up and r.kind != "Line" and r.verdict != "passive")
        return cls(len(rows), missing, default, absurd, others)
