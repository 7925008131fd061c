"""What the validation of a foreign dispatch hands back, and its files."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from hcsim.replay.result import ReplayResult
from hcsim.replay.verdict import strictly_new
from hcsim.util.files import output_folder, write_csv, write_json
from optim.data.network import Network
from optim.data.schedule import Schedule

Answer = Literal["holds", "refuted", "not_judged"]
WORDS = {"holds": "holds", "refuted": "refuted", "not_judged": "not judged"}


@dataclass(frozen=True)
class Scales:
    """The largest share of a dispatch that passes, each found by replays; 1 where all of it does."""

    whole: float | None = None
    pv: float | None = None
    """Of the PV alone, batteries as they are; None: not even without it."""
    charging: float | None = None
    discharging: float | None = None
    replays: int = 0
    left_out: str = ""
    """What was not searched, of a long dispatch."""
    step: float | None = None
    """A share larger by this much, at most, was seen to fail."""


def share_in_words(share: float) -> str:
    """Per cent, rounded down: never more than what was seen to pass."""
    return f"{math.floor(1e3 * share + 1e-9) / 10:.1f} %"


@dataclass(frozen=True)
class Validation:
    """A dispatch, and what OpenDSS says of it.

    >>> import dataclasses, hcsim
    >>> {"verdict", "words", "spans"} <= {field.name for field in dataclasses.fields(hcsim.Validation)}
    True
    """

    name: str
    feeder: str
    verdict: Answer
    """Against the range in which the bare feeder's controls may rest ("no worse than before")."""
    verdict_strict: Answer
    """Against the bare feeder's own day."""
    words: str
    """The verdict as one sentence, with the worst place and hour."""
    read_as: tuple[str, ...]
    """How the dispatch was understood, a sentence a guess."""
    schedule: Schedule
    network: Network
    replay: ReplayResult
    bare: ReplayResult
    dispatch_findings: pd.DataFrame
    spans: pd.DataFrame
    """Violations by place and stretch of time, see `hcsim.replay.spans`."""
    ansi: Mapping[str, Mapping[str, Any]]
    curtailed_kwh: float
    scales: Scales = field(default_factory=Scales)
    repair_kwh: float | None = None
    """Smallest change found that passes; None where none was sought or found."""
    repaired: Schedule | None = None
    source_names: tuple[str, ...] | None = None
    """(G,) the dispatch's own name of each PV plant and generator, phase by phase."""
    source_kinds: tuple[str, ...] | None = None
    repair_words: str = ""
    model_error: Mapping[str, Any] = field(default_factory=dict)
    """The optimizer's own voltages against OpenDSS's: worst and mean by bus and hour."""
    rules: Mapping[str, Any] = field(default_factory=dict)
    limits_pu: tuple[float, ...] = ()
    """Voltage limits in force."""
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether the verdict is that it holds."""
        return self.verdict == "holds"

    @property
    def violations(self) -> pd.DataFrame:
        """Every violation: criterion, element, phase, step, time, value, limit, unit, base_value, existing."""
        return self.replay.violations

    @property
    def new_violations(self) -> pd.DataFrame:
        """Those that the bare feeder does not have, or not as badly."""
        table = self.replay.violations
        return table[~table["existing"].astype(bool)] if len(table) else table

    @property
    def voltages(self) -> pd.DataFrame:
        """(T x N) judged voltages in pu: index time, columns "bus.phase"."""
        operation = self.replay.operation
        return pd.DataFrame(operation.v_pu, index=list(operation.times), columns=list(operation.nodes))

    def worst(self) -> list[dict[str, Any]]:
        """The worst new violation of each criterion."""
        fresh = self.spans[self.spans["is_new"]] if len(self.spans) else self.spans
        rows = fresh.drop_duplicates("criterion") if len(fresh) else fresh
        return [
            {
                "criterion": r.criterion,
                "bus": r.bus,
                "phase": r.phase,
                "hour": r.worst_at,
                "value": _number(r.worst_value),
                "limit": _number(r.limit),
                "unit": r.unit,
            }
            for r in rows.itertuples()
        ]

    def to_json(self) -> dict[str, Any]:
        """What validation.json holds."""
        new = len(self.new_violations)
        operations = self.replay.tap_operations
        step_h = self.schedule.step_h
        return {
            "name": self.name,
            "feeder": self.feeder,
            "verdict": self.verdict,
            "verdict_strict": self.verdict_strict,
            "words": self.words,
            "dispatch_findings": self.dispatch_findings.to_dict("records"),
            "new_violations": new,
            "existing_violations": len(self.violations) - new,
            "new_violations_strict": len(strictly_new(self.replay)),
            "ansi_a": self.ansi["ansi_a"]["node_steps"],
            "ansi_b": self.ansi["ansi_b"]["node_steps"],
            "ansi": {name: dict(row) for name, row in self.ansi.items()},
            "worst": self.worst(),
            "undelivered_kwh": self.replay.energy_not_delivered_kwh,
            "curtailed_kwh": self.curtailed_kwh,
            "losses_kwh": float(np.nansum(self.replay.losses_kw) * step_h),
            "losses_bare_kwh": float(np.nansum(self.bare.losses_kw) * step_h),
            "tap_operations": operations,
            "tap_operations_bare": self.bare.tap_operations,
            "scale_that_passes": self.scales.whole,
            "scales_that_pass": {
                "pv": self.scales.pv,
                "charging": self.scales.charging,
                "discharging": self.scales.discharging,
                "left_out": self.scales.left_out,
                "step": self.scales.step,
            },
            "repair_kwh": self.repair_kwh,
            "repair": self.repair_words,
            "model_error": dict(self.model_error),
            "rules": dict(self.rules),
            "read_as": list(self.read_as),
            "steps": len(self.schedule.times),
            "step_h": step_h,
            "seconds": self.seconds,
        }

    def _repr_html_(self) -> str:
        """What a notebook shows: verdict, the worst of each criterion, what the dispatch says against itself."""

        def cells(*values: object) -> str:
            return "<tr>" + "".join(f"<td>{html.escape(str(v))}</td>" for v in values) + "</tr>"

        worst = "".join(
            cells(
                str(w["criterion"]).replace("_", " "),
                f"{w['bus']}.{w['phase']}" if w["phase"] else w["bus"],
                w["hour"],
                "" if w["value"] is None else f"{w['value']:.5g} {w['unit']} (limit {w['limit']:.5g})",
            )
            for w in self.worst()
        )
        own = "".join(
            cells(str(r[0]).replace("_", " "), r[1], r[2], f"{r[4]:,.2f} {r[5]}")
            for r in self.dispatch_findings.head(10).itertuples(index=False)
        )
        head = f"<p><b>{html.escape(self.name)}</b> on {html.escape(self.feeder)}: {html.escape(self.words)}</p>"
        tables = "".join(
            f"<p>{title}</p><table>{rows}</table>"
            for title, rows in (("New violations, the worst of each kind", worst), ("By itself", own))
            if rows
        )
        return head + tables


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def write_validation(found: Validation, folder: Path) -> Path:
    """validation.json, and every table as CSV; the replay's own files are `hcsim.replay.result.write_replay`'s."""
    folder = output_folder(folder)
    write_csv(folder / "violations.csv", found.spans.drop(columns=["first_step", "last_step"], errors="ignore"))
    write_csv(folder / "dispatch_findings.csv", found.dispatch_findings)
    return write_json(folder / "validation.json", found.to_json())
