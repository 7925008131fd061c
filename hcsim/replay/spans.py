"""Violations as an engineer tells them: where, from when to when, how bad, and whether it was so before."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hcsim.replay.result import ReplayResult
from hcsim.replay.verdict import ANSI
from optim.data.limits import Limits

SPAN_COLUMNS = (
    "criterion",
    "bus",
    "phase",
    "from",
    "to",
    "duration_h",
    "worst_value",
    "limit",
    "unit",
    "worst_at",
    "before_value",
    "is_new",
    "first_step",
    "last_step",
)


def spans(found: ReplayResult, step_h: float) -> pd.DataFrame:
    """One row for every unbroken stretch of steps in which one place breaks one limit, worst first.

    Returns
    -------
    DataFrame
        `SPAN_COLUMNS`; "from" and "to" are labels of the first and last step, `duration_h` counts hours, not steps;
        `bus` is the element where the limit is not one of a bus.
    """
    table = found.violations
    if table.empty:
        return pd.DataFrame(columns=list(SPAN_COLUMNS))
    table = table.sort_values(["criterion", "element", "phase", "existing", "step"], kind="stable")
    key = table[["criterion", "element", "phase", "existing"]]
    fresh = (key != key.shift()).any(axis=1) | (table["step"].diff() != 1)
    rows = []
    for _, run in table.groupby(fresh.cumsum(), sort=False):
        excess = (run["value"].astype(float) - run["limit"].astype(float)).abs().fillna(0.0)
        worst = run.loc[excess.idxmax()]
        first, last = run.iloc[0], run.iloc[-1]
        rows.append(
            (
                worst["criterion"],
                worst["element"],
                str(worst["phase"]),
                first["time"],
                last["time"],
                len(run) * step_h,
                float(worst["value"]),
                float(worst["limit"]),
                worst["unit"],
                worst["time"],
                float(worst.get("base_value", np.nan)),
                not bool(worst["existing"]),
                int(first["step"]),
                int(last["step"]),
            )
        )
    out = pd.DataFrame(rows, columns=list(SPAN_COLUMNS))
    beyond = (out["worst_value"] - out["limit"]).abs() / out["limit"].abs().clip(lower=1.0)
    order = pd.DataFrame({"old": ~out["is_new"], "beyond": -beyond.fillna(np.inf)})
    return out.loc[order.sort_values(["old", "beyond"], kind="stable").index].reset_index(drop=True)


def hours_broken(spans: pd.DataFrame, step_h: float) -> dict[str, float]:
    """Criterion -> hours in which it is broken anywhere: a step counts once, on however many places and phases."""
    hours = {}
    for criterion, rows in spans.groupby("criterion", sort=False) if len(spans) else ():
        steps: set[int] = set()
        for first, last in zip(rows["first_step"], rows["last_step"], strict=True):
            steps.update(range(int(first), int(last) + 1))
        hours[str(criterion)] = len(steps) * step_h
    return hours


def ansi_ranges(found: ReplayResult, step_h: float) -> dict[str, dict[str, float | int | str]]:
    """What lies outside of ANSI C84.1's ranges as `hcsim.replay.verdict.ansi_counts` counts it, nothing forgiven:
    node-steps, node-hours, hours in which any node is outside, nodes, and the worst node and hour."""
    v = found.operation.v_pu
    judged = v[found.converged]
    tolerance = (found.limits or Limits()).v_tolerance_pu
    counts: dict[str, dict[str, float | int | str]] = {}
    for name, (least, most) in ANSI.items():
        with np.errstate(invalid="ignore"):
            beyond = np.fmax(judged - most, least - judged)
        outside = np.nan_to_num(beyond, nan=-1.0) > tolerance
        row: dict[str, float | int | str] = {
            "least_pu": least,
            "most_pu": most,
            "node_steps": int(outside.sum()),
            "node_hours": float(outside.sum() * step_h),
            "hours": float(outside.any(axis=1).sum() * step_h),
            "nodes": int(outside.any(axis=0).sum()),
        }
        if outside.any():
            t, n = np.unravel_index(int(np.nanargmax(beyond)), beyond.shape)
            bus, phase = found.operation.nodes[n].rsplit(".", 1)
            row |= {
                "worst_bus": bus,
                "worst_phase": phase,
                "worst_hour": found.operation.times[int(np.flatnonzero(found.converged)[t])],
                "worst_pu": float(judged[t, n]),
            }
        counts[name] = row
    return counts
