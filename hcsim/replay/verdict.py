"""Claim against replay against baseline. Everything is joined by name; positions are never trusted.

`summarize` makes the content of summary.json; the words of a verdict are made here once, for terminal and
report alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from hcsim.replay.result import ReplayResult
from optim.data.criteria import CRITERIA
from optim.data.limits import Limits
from optim.data.node import phase_of
from optim.data.schedule import Schedule
from optim.data.violations import new_violations
from optim.errors import ModelError

UNDELIVERED_WORTH_A_WORD_KWH = 1.0
"""Below this the difference is what power flow and inverter set points leave over."""


@dataclass(frozen=True)
class VoltageError:
    """Predicted minus replayed voltage over all nodes and converged steps that both have."""

    max_pu: float
    """Largest magnitude, with the sign it has: positive where the claim is too high."""
    mean_pu: float
    """Mean of the magnitudes."""
    node: str
    step: int
    time: str
    predicted_pu: float
    replayed_pu: float
    points: int


@dataclass(frozen=True)
class Verdict:
    kind: Literal["holds", "refuted", "not judged"]
    words: str
    new: int
    existing: int


ANSI = {"ansi_a": (114.0 / 120.0, 126.0 / 120.0), "ansi_b": (110.0 / 120.0, 127.0 / 120.0)}
"""ANSI C84.1-2020, table 1, service voltage up to 600 V: least and largest, per unit."""


def match_voltages(schedule: Schedule, replay: ReplayResult) -> pd.DataFrame:
    """The voltages that both speak of: step, time, node, predicted_pu, replayed_pu, difference_pu.

    Steps that did not converge and nodes where no limit applies (NaN in the replay) are left out. Empty where
    the schedule predicts nothing. Raises ModelError where the two are not about the same steps, or where the
    claim speaks of a node that the replay does not know.
    """
    columns = ["step", "time", "node", "predicted_pu", "replayed_pu", "difference_pu"]
    if schedule.predicted_v_pu is None:
        return pd.DataFrame(columns=columns)
    found = replay.operation
    if schedule.times != found.times:
        raise ModelError(
            f"Schedule {schedule.case!r} and its replay differ in their steps: "
            f"{len(schedule.times)} from {schedule.times[0]}, {len(found.times)} from {found.times[0]}.",
            "Replay the schedule with the profiles it was made for.",
        )
    place = {node: i for i, node in enumerate(found.nodes)}
    strange = [n for n in schedule.predicted_nodes if n not in place]
    if strange:
        raise ModelError(
            f"Schedule {schedule.case!r} predicts voltages at {', '.join(strange[:5])}, "
            f"which the replayed feeder does not have ({len(strange)} nodes).",
            "Was it made for another feeder?",
        )
    replayed = found.v_pu[:, [place[n] for n in schedule.predicted_nodes]]
    steps, width = replayed.shape
    table = pd.DataFrame(
        {
            "step": np.repeat(np.arange(steps), width),
            "time": np.repeat(np.array(found.times, dtype=object), width),
            "node": np.tile(np.array(schedule.predicted_nodes, dtype=object), steps),
            "predicted_pu": schedule.predicted_v_pu.reshape(-1),
            "replayed_pu": replayed.reshape(-1),
        }
    )
    table["difference_pu"] = table["predicted_pu"] - table["replayed_pu"]
    usable = np.repeat(replay.converged, width) & table["difference_pu"].notna().to_numpy()
    return table[usable].reset_index(drop=True)


def voltage_error(schedule: Schedule, replay: ReplayResult) -> VoltageError | None:
    """How far the linear model's voltages are from OpenDSS's; None where nothing is predicted or replayed."""
    table = match_voltages(schedule, replay)
    if table.empty:
        return None
    size = table["difference_pu"].abs().to_numpy()
    worst = table.iloc[int(size.argmax())]
    return VoltageError(
        max_pu=float(worst["difference_pu"]),
        mean_pu=float(size.mean()),
        node=str(worst["node"]),
        step=int(worst["step"]),
        time=str(worst["time"]),
        predicted_pu=float(worst["predicted_pu"]),
        replayed_pu=float(worst["replayed_pu"]),
        points=len(table),
    )


def verdict(replay: ReplayResult) -> Verdict:
    """What OpenDSS says of a schedule. A violation that the bare feeder has too is not held against it."""
    fresh = new_violations(replay.violations)
    new, existing = len(fresh), len(replay.violations) - len(fresh)
    answered = replay.converged | replay.operation.cut_off
    failed = [t for t, ok in zip(replay.operation.times, answered, strict=True) if not ok]
    if failed:
        return Verdict("not judged", f"not judged: no convergence at {listed(failed)}", new, existing)
    words = "holds" if not new else f"refuted: {counted(new, 'new violation')}, {worst_words(fresh)}"
    if existing:
        words += f" ({counted(existing, 'violation')} there before)"
    if replay.energy_not_delivered_kwh > UNDELIVERED_WORTH_A_WORD_KWH:
        words += f"; {replay.energy_not_delivered_kwh:.1f} kWh commanded were not delivered"
    return Verdict("refuted" if new else "holds", words, new, existing)


def strictly_new(replay: ReplayResult) -> pd.DataFrame:
    """Violations that are worse than on the bare feeder's own day: nothing is forgiven because its controls may rest
    elsewhere in their bands."""
    table, limits = replay.violations, replay.limits or Limits()
    keep = ~table["existing"].astype(bool).to_numpy(copy=True)
    for criterion in CRITERIA:
        mine = (table["criterion"] == criterion.name).to_numpy() & ~keep
        if not mine.any():
            continue
        value, limit, base = (table.loc[mine, c].to_numpy(float) for c in ("value", "limit", "base_value"))
        plain = criterion.sign * limit + criterion.tolerance(limits)
        slack = criterion.tolerance(limits) + criterion.worse(limits) * np.abs(base)
        before = criterion.sign * base
        keep[mine] = criterion.sign * value > np.where(before > plain, before + slack, plain)
    return table[keep]


def ansi_counts(replay: ReplayResult) -> dict[str, int]:
    """Judged voltages (node and step) outside of ANSI C84.1's service voltage ranges A and B, absolute: whatever the
    bare feeder has. The ranges are those of services up to 600 V (114 to 126 V and 110 to 127 V on 120 V), at every
    node, as if customers stood there."""
    v_pu = replay.operation.v_pu[replay.converged]
    tolerance = (replay.limits or Limits()).v_tolerance_pu
    return {
        name: int(((v_pu < low - tolerance) | (v_pu > high + tolerance)).sum()) for name, (low, high) in ANSI.items()
    }


def verdict_facts(replay: ReplayResult) -> dict[str, Any]:
    """The three lines of a verdict for summary.json: against the range in which the bare feeder's controls may rest,
    against its own day, and absolute."""
    judged, strict = verdict(replay), strictly_new(replay)
    unjudged = judged.kind == "not judged"
    return {
        "verdict": judged.kind,
        "verdict_strict": judged.kind if unjudged else "refuted" if len(strict) else "holds",
        "new_violations_strict": len(strict),
        **ansi_counts(replay),
    }


def three_lines(replay: ReplayResult) -> list[str]:
    """The same for people: strict, range, absolute."""
    judged, strict, counts = verdict(replay), strictly_new(replay), ansi_counts(replay)
    own = "holds" if not len(strict) else f"refuted: {counted(len(strict), 'new violation')}, {worst_words(strict)}"
    a, b = (counted(counts[name], "node-hour") for name in ANSI)
    return [
        f"against the bare feeder's own day: {judged.words if judged.kind == 'not judged' else own}",
        f"against the range in which its controls may rest: {judged.words}",
        f"absolute, by ANSI C84.1: {a} outside of range A, {b} outside of range B",
    ]


def worst_words(table: pd.DataFrame) -> str:
    """The worst violation of each criterion, "worst overvoltage 1.0567 pu at 83.1 at 10:00"."""
    words = []
    for criterion, rows in table.groupby("criterion", sort=False):
        worst = worst_of(rows)
        value = quantity(float(worst["value"]), str(worst["unit"]))
        words.append(f"worst {str(criterion).replace('_', ' ')} {value} at {place(worst)} at {worst['time']}")
    return "; ".join(words)


def place(row: pd.Series) -> str:
    """ "83.1": element and phase of a violation."""
    return f"{row['element']}.{row['phase']}" if row["phase"] else str(row["element"])


def worst_of(rows: pd.DataFrame) -> pd.Series:
    """The row farthest beyond its limit; the first where the rows have no value."""
    excess = (rows["value"].astype(float) - rows["limit"].astype(float)).abs().fillna(0.0)
    return rows.loc[excess.idxmax()]


def quantity(value: float, unit: str) -> str:
    """A value as its unit is read: 1.0567 pu, -12.3 kW; nothing where it is not a number."""
    if not np.isfinite(value):
        return ""
    digits = 4 if unit == "pu" else 1
    return f"{round(value, digits) + 0.0:.{digits}f} {unit}".strip()


def replay_summary(schedule: Schedule, replay: ReplayResult, step_h: float) -> dict[str, Any]:
    found, judged, error = replay.operation, verdict(replay), voltage_error(schedule, replay)
    ok = replay.converged
    seen = np.isfinite(found.v_pu[ok]).any()
    return {
        "converged": bool(ok.all()),
        **verdict_facts(replay),
        "v_min_pu": float(np.nanmin(found.v_pu[ok])) if seen else None,
        "v_max_pu": float(np.nanmax(found.v_pu[ok])) if seen else None,
        "new_violations": judged.new,
        "existing_violations": judged.existing,
        "min_substation_kw": {
            label: float(found.substation_kw[ok, i].min()) if ok.any() else None
            for i, label in enumerate(phase_labels(found.substation_phases))
        },
        "dv_max_pu": abs(error.max_pu) if error else None,
        "dv_mean_pu": error.mean_pu if error else None,
        "losses_kwh": float(replay.losses_kw[ok].sum()) * step_h,
        "tap_operations": replay.tap_operations,
        "energy_not_delivered_kwh": replay.energy_not_delivered_kwh,
    }


def phase_labels(names: Sequence[str]) -> tuple[str, ...]:
    """ "1", "2", "3" of the phases at which power enters; with their bus where there are several sources."""
    phases = [phase_of(name) for name in names]
    return tuple(phases) if len(set(phases)) == len(phases) else tuple(names)


def counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def listed(words: list[str], most: int = 4) -> str:
    """A few of the words, and how many more there are."""
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
