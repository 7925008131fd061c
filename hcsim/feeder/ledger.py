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
        """One row per element: element, class, verdict, reason, kw, kvar, rating, rating_unit, rating_made_up."""
        names = ["class" if f.name == "kind" else f.name for f in fields(LedgerRow)]
        return pd.DataFrame([astuple(row) for row in self.rows], columns=names)

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
