"""What changes of a feeder are worth: the ranking, its costs, and its files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd

from hcsim.errors import ConfigError
from hcsim.schedules.files import write_schedule
from hcsim.util.files import output_folder, write_csv, write_json
from hcsim.workbench.changes import Change
from optim.data.schedule import Schedule

SAME_KW = 0.05
"""A gain below this is none."""


@dataclass(frozen=True)
class Option:
    """A change and what is certified with it."""

    change: Change
    hc_kw: float | None
    """None where it is refused."""
    gained_kw: float | None
    word: str
    """How sure: certified, best found and why, simulated, refused."""
    verified: bool
    refused: str
    """What it breaks without any device; "" where nothing."""
    limit: Mapping[str, Any]
    """criterion, element, phase, time of what binds first; empty where nothing is known."""
    losses_pct: float | None = None
    """Energy lost in the feeder, per cent of what its loads draw; None without a schedule."""
    circulated_kwh: float | None = None
    """Energy that goes round between batteries; None likewise."""
    cost: float | None = None
    schedule: Schedule | None = None
    """What is certified in the changed feeder; None where nothing is dispatched."""

    @property
    def folder(self) -> str:
        """Of its schedule."""
        return re.sub(r"[^a-z0-9]+", "_", self.change.name.lower().replace("-", " minus ")).strip("_")

    @property
    def held_by(self) -> str:
        """ "overvoltage at 83, phase 1, at 20:00"; "" where it is not known."""
        if not self.limit.get("criterion"):
            return ""
        place = f" at {self.limit['element']}" if self.limit.get("element") else ""
        phase = f", phase {self.limit['phase']}" if self.limit.get("phase") else ""
        hour = f", at {self.limit['time']}" if self.limit.get("time") else ""
        return f"{str(self.limit['criterion']).replace('_', ' ')}{place}{phase}{hour}"

    @property
    def kw_per_cost(self) -> float | None:
        """kW gained per unit of money; None without a cost or a gain."""
        if not self.cost or self.gained_kw is None or self.gained_kw <= SAME_KW:
            return None
        return self.gained_kw / self.cost

    def to_json(self) -> dict[str, Any]:
        """As in options.json."""
        change = {k: v for k, v in asdict(self.change).items() if k != "words"}
        rest = {k: v for k, v in self.__dict__.items() if k not in ("change", "schedule")}
        return {**change, "what": self.change.words, **rest, "kw_per_cost": self.kw_per_cost}


@dataclass(frozen=True)
class OptionsResult:
    """The ranking."""

    case: str
    program: str
    base_kw: float
    base_word: str
    options: Sequence[Option]
    """Most kW per unit of money first where every gain has a cost, else most kW."""
    notes: Sequence[str] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def table(self) -> pd.DataFrame:
        """A row per option: option, kind, what, hc_kw, gained_kw, held_by, losses_pct, circulated_kwh, status,
        verified, cost, kw_per_cost, refused, edits."""
        return pd.DataFrame(
            {
                "option": o.change.name,
                "kind": o.change.kind,
                "what": o.change.words,
                "hc_kw": o.hc_kw,
                "gained_kw": o.gained_kw,
                "held_by": o.held_by,
                "losses_pct": o.losses_pct,
                "circulated_kwh": o.circulated_kwh,
                "status": o.word,
                "verified": o.verified,
                "cost": o.cost,
                "kw_per_cost": o.kw_per_cost,
                "refused": o.refused,
                "edits": "; ".join(o.change.edits),
            }
            for o in self.options
        )

    @property
    def headline(self) -> str:
        """The best of them in a sentence."""
        best = next((o for o in self.options if o.gained_kw is not None and o.gained_kw > SAME_KW), None)
        base = f"{self.case} takes {self.base_kw:,.0f} kW ({self.base_word})"
        if best is None:
            return f"{base}; no change of the {len(self.options)} tried raises that."
        assert best.hc_kw is not None
        said = f"{base}; with {best.change.words} {best.hc_kw:,.0f} kW, {best.gained_kw:+,.0f} kW"
        said += f" ({best.word}{', limited by ' + best.held_by if best.held_by else ''})"
        if best.kw_per_cost is not None:
            said += f", {best.kw_per_cost:.3g} kW per unit of money"
        return f"{said}."

    def to_json(self) -> dict[str, Any]:
        """What options.json holds."""
        return {
            "case": self.case,
            "program": self.program,
            "base": {"hc_kw": self.base_kw, "word": self.base_word},
            "options": [o.to_json() for o in self.options],
            "notes": list(self.notes),
            "missing": dict(self.missing),
            "seconds": self.seconds,
        }


def ranked(options: Sequence[Option]) -> list[Option]:
    """Most kW per unit of money first where every gain has a cost, else most kW; then names."""
    gains = [o for o in options if o.gained_kw is not None and o.gained_kw > SAME_KW]
    by_cost = bool(gains) and all(o.kw_per_cost is not None for o in gains)

    def order(o: Option) -> tuple[float, float, str]:
        kw = -1e18 if o.gained_kw is None else round(o.gained_kw, 6)
        return (-(o.kw_per_cost or 0.0) if by_cost else 0.0, -kw, o.change.name)

    return sorted(options, key=order)


def read_costs(file: Path) -> list[tuple[str, float]]:
    """Rows of a CSV with columns option (a name or wildcard) and cost, in their order. Raises ConfigError."""
    try:
        table = pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}.", "A CSV with columns option, cost.") from None
    if not {"option", "cost"} <= set(table.columns):
        raise ConfigError(f"{file}: columns {', '.join(map(str, table.columns))}.", "It needs option and cost.")
    cost = pd.to_numeric(table["cost"], errors="coerce")
    bad = cost.isna() | (cost <= 0)
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise ConfigError(f"{file}, row {row + 2}: cost {table['cost'][row]!r} is no positive number.")
    return [(str(name).lower(), float(c)) for name, c in zip(table["option"], cost, strict=True)]


def cost_of(name: str, costs: Sequence[tuple[str, float]]) -> float | None:
    """Of the first row whose name or wildcard fits."""
    return next((cost for pattern, cost in costs if fnmatchcase(name.lower(), pattern)), None)


def write_options(found: OptionsResult, folder: Path) -> Path:
    """options.json, options.csv and schedules/. Raises OutputError."""
    folder = output_folder(folder)
    for option in found.options:
        if option.schedule is not None:
            write_schedule(option.schedule, folder / "schedules" / option.folder)
    write_csv(folder / "options.csv", found.table)
    return write_json(folder / "options.json", found.to_json())
