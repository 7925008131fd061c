"""The definition of a violation, shared by program, replay and baseline: there is no other one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

VIOLATION_COLUMNS = (
    "criterion", "element", "phase", "step", "time", "value", "limit", "unit", "base_value", "existing",
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What may not be exceeded. A criterion set to None is not judged.

    `v_tolerance_pu`, `p_tolerance_kw`, `loading_tolerance_pu` cover numerical noise of solver and power
    flow only, not engineering judgement.
    """

    v_min_pu: float | None = 0.95
    v_max_pu: float | None = 1.05
    substation_min_kw: float | None = 0.0
    """Least active power into the feeder per source phase (paper 1, eq. 7e: no reverse flow)."""
    loading_max_pu: float | None = None
    """Branch current over its normal rating."""
    v_tolerance_pu: float = 1e-5
    p_tolerance_kw: float = 0.05
    loading_tolerance_pu: float = 1e-4


@dataclass(frozen=True)
class Operation:
    """What limits are judged on: one simulated or predicted time series. All arrays by name."""

    times: tuple[str, ...]
    nodes: tuple[str, ...]
    v_pu: NDArray[np.float64]
    """(T, N) judged voltages; NaN where no limit applies."""
    substation_phases: tuple[str, ...]
    substation_kw: NDArray[np.float64]
    """(T, 3)"""
    branches: tuple[str, ...] = ()
    """(B,) "Line.l115.1": element and phase."""
    loading_pu: NDArray[np.float64] | None = None
    """(T, B)"""


def violations(found: Operation, limits: Limits, base: Operation | None = None) -> pd.DataFrame:
    """All violations as a table with VIOLATION_COLUMNS, worst of each criterion first.

    `base` is the same feeder without the devices under study, same nodes and times. A violation that the
    base has too, at the same element and step, and that has not become worse, is `existing`; everything
    else is new, as in the California ICA's "no worse than before".
    """
    parts = []
    if limits.v_max_pu is not None:
        parts.append(_above("overvoltage", found.nodes, found.v_pu, limits.v_max_pu, limits.v_tolerance_pu,
                            "pu", found.times, base.v_pu if base else None))  # fmt: skip
    if limits.v_min_pu is not None:
        parts.append(_above("undervoltage", found.nodes, -found.v_pu, -limits.v_min_pu, limits.v_tolerance_pu,
                            "pu", found.times, -base.v_pu if base else None))  # fmt: skip
    if limits.substation_min_kw is not None:
        parts.append(_above("reverse_flow", found.substation_phases, -found.substation_kw,
                            -limits.substation_min_kw, limits.p_tolerance_kw, "kW", found.times,
                            -base.substation_kw if base else None))  # fmt: skip
    if limits.loading_max_pu is not None and found.loading_pu is not None:
        parts.append(_above("loading", found.branches, found.loading_pu, limits.loading_max_pu,
                            limits.loading_tolerance_pu, "pu", found.times,
                            base.loading_pu if base else None))  # fmt: skip
    parts = [p for p in parts if len(p)]
    if not parts:
        return pd.DataFrame(columns=list(VIOLATION_COLUMNS))
    return pd.concat(parts, ignore_index=True)


def new_violations(table: pd.DataFrame) -> pd.DataFrame:
    return table[~table["existing"].astype(bool)]


def _above(
    criterion: str, elements: Sequence[str], value: NDArray[np.float64], limit: float, tolerance: float,
    unit: str, times: Sequence[str], base: NDArray[np.float64] | None,
) -> pd.DataFrame:  # fmt: skip
    """Rows where value > limit + tolerance. Lower limits come in with the sign of both turned."""
    steps, columns = np.nonzero(value > limit + tolerance)  # NaN compares False: not judged
    if not len(steps):
        return pd.DataFrame(columns=list(VIOLATION_COLUMNS))
    sign = -1.0 if criterion in ("undervoltage", "reverse_flow") else 1.0
    worst = value[steps, columns]
    before = base[steps, columns] if base is not None else np.full(len(steps), np.nan)
    existing = (before > limit + tolerance) & (worst <= before + tolerance)
    names = np.array([(*name.rsplit(".", 1), "")[:2] for name in elements], dtype=object)[columns]
    table = pd.DataFrame(
        {
            "criterion": criterion,
            "element": names[:, 0],
            "phase": names[:, 1],
            "step": steps,
            "time": np.array(times, dtype=object)[steps],
            "value": sign * worst,
            "limit": sign * limit,
            "unit": unit,
            "base_value": sign * before,
            "existing": existing,
        }
    )
    return table.iloc[np.argsort(-worst, kind="stable")]
