"""Violations as an engineer tells them: where, from when to when, how bad, and whether it was so before."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hcsim.replay.result import ReplayResult
from optim.data.network import Network

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
)
ANSI = {"a": ((0.95, 1.05), (0.975, 1.05)), "b": ((0.917, 1.058), (0.95, 1.058))}
"""ANSI C84.1-2020, table 1, service voltage: limits in pu up to 600 V, and above."""
LOW_VOLTAGE_KV = 0.6


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
            )
        )
    out = pd.DataFrame(rows, columns=list(SPAN_COLUMNS))
    beyond = (out["worst_value"] - out["limit"]).abs() / out["limit"].abs().clip(lower=1.0)
    order = pd.DataFrame({"old": ~out["is_new"], "beyond": -beyond.fillna(np.inf)})
    return out.loc[order.sort_values(["old", "beyond"], kind="stable").index].reset_index(drop=True)


def ansi_counts(found: ReplayResult, network: Network, step_h: float) -> dict[str, dict[str, float | int | str]]:
    """Absolute counts by ANSI C84.1 range A and B: node-hours outside, nodes concerned, worst node and hour.

    Nothing that stood in the feeder before is forgiven here.
    """
    v = found.operation.v_pu
    kv = found.operation.kv_base
    kv = network.kv_of(found.operation.nodes) if kv is None else kv
    low = np.asarray(kv) < LOW_VOLTAGE_KV
    counts: dict[str, dict[str, float | int | str]] = {}
    for name, (service, primary) in ANSI.items():
        least = np.where(low, service[0], primary[0])
        most = np.where(low, service[1], primary[1])
        with np.errstate(invalid="ignore"):
            beyond = np.fmax(v - most, least - v)
        outside = np.nan_to_num(beyond, nan=-1.0) > 1e-6
        row: dict[str, float | int | str] = {
            "node_hours": float(outside.sum() * step_h),
            "nodes": int(outside.any(axis=0).sum()),
            "steps": int(outside.any(axis=1).sum()),
        }
        if outside.any():
            t, n = np.unravel_index(int(np.nanargmax(beyond)), beyond.shape)
            bus, phase = found.operation.nodes[n].rsplit(".", 1)
            row |= {
                "worst_bus": bus,
                "worst_phase": phase,
                "worst_hour": found.operation.times[t],
                "worst_pu": float(v[t, n]),
            }
        counts[name] = row
    return counts
