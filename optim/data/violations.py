"""The definition of a violation, shared by program, replay and baseline: there is no other one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from optim.data.criteria import CRITERIA, Before, Criterion, thresholds
from optim.data.limits import Limits
from optim.data.node import node as cut
from optim.data.operation import Operation

VIOLATION_COLUMNS = (
    "criterion",
    "element",
    "phase",
    "step",
    "time",
    "value",
    "limit",
    "unit",
    "base_value",
    "existing",
)
SAME = 9
"""Digits after the point, pu or kW, up to which two violations are equally bad: then the first by name in the feeder's
order comes first, whatever the engine's last digits say."""


def violations(found: Operation, limits: Limits, base: Before | Operation | None = None) -> pd.DataFrame:
    """All violations as a table with VIOLATION_COLUMNS, worst of each criterion first.

    `base` is the same feeder without the devices under study, same nodes and times. A violation that the
    base has too, and that has not become worse than the worst of its days at the same element and step (see
    `Before.worst`), is `existing`; everything else is new, as in the California ICA's "no worse than before".
    The column `base_value` is what the feeder's own day has.
    """
    base = Before((base,)) if isinstance(base, Operation) else base
    parts = [part for c in CRITERIA if (part := _beyond(c, found, limits, base)) is not None]
    if not parts:
        return pd.DataFrame(columns=list(VIOLATION_COLUMNS))
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class Excess:
    """The new violation of one criterion that is farthest beyond what is allowed."""

    criterion: str
    unit: str
    element: str
    phase: str
    step: int
    value: float
    beyond: float
    """How far beyond what is allowed there: the limit, or what the feeder has without devices."""


def worst_new(
    found: Operation, limits: Limits, base: Before | None = None, *, anywhere: bool = False
) -> tuple[Excess, ...]:
    """The worst of `violations` that is new, of every criterion that has one; without its tables, for many days.
    `anywhere`: nothing counts that the feeder's controls, come to rest elsewhere, show without devices."""
    every = []
    for criterion in CRITERIA:
        value = criterion.values(found)
        if value is None or not value.size or not criterion.judged(limits):
            continue
        before = base.worst(criterion, limits, anywhere=anywhere) if base is not None else None
        allowed = thresholds(criterion, limits, before, value.shape, found.kv_base)
        excess = np.nan_to_num(criterion.sign * value - allowed, nan=-np.inf)
        step, column = np.unravel_index(int(np.argmax(np.round(excess, SAME))), excess.shape)
        if excess[step, column] > 0:
            element, phase = _element_and_phase(criterion.elements(found)[int(column)], criterion.name)
            beyond = float(excess[step, column]) + criterion.tolerance(limits)
            every.append(
                Excess(criterion.name, criterion.unit, element, phase, int(step), float(value[step, column]), beyond)
            )
    return tuple(every)


def new_violations(table: pd.DataFrame) -> pd.DataFrame:
    return table[~table["existing"].astype(bool)]


def _beyond(criterion: Criterion, found: Operation, limits: Limits, base: Before | None) -> pd.DataFrame | None:
    """Rows where the value is beyond its limit; None where there are none, the criterion is off or was not recorded."""
    value = criterion.values(found)
    if value is None or not criterion.judged(limits):
        return None
    limit = np.broadcast_to(criterion.limit_at(limits, found.kv_base), value.shape)
    plain = criterion.sign * limit + criterion.tolerance(limits)
    steps, columns = np.nonzero(criterion.sign * value > plain)
    if not len(steps):  # NaN compares False: not judged
        return None
    worth = criterion.sign * value[steps, columns]
    before = criterion.values(base.days[0]) if base is not None else None
    worst_before = base.worst(criterion, limits) if base is not None else None
    allowed = thresholds(criterion, limits, worst_before, value.shape, found.kv_base)[steps, columns]
    elements = criterion.elements(found)
    names = [_element_and_phase(elements[int(c)], criterion.name) for c in columns]
    table = pd.DataFrame(
        {
            "criterion": criterion.name,
            "element": [n[0] for n in names],
            "phase": [n[1] for n in names],
            "step": steps,
            "time": [found.times[int(s)] for s in steps],
            "value": value[steps, columns],
            "limit": limit[steps, columns],
            "unit": criterion.unit,
            "base_value": before[steps, columns] if before is not None else np.nan,
            "existing": worth <= allowed,
        }
    )
    return table.iloc[np.argsort(np.round(plain[steps, columns] - worth, SAME), kind="stable")]


def _element_and_phase(name: str, criterion: str) -> tuple[str, str]:
    """Buses and controls have no phase to cut off, whatever dots are in their names."""
    if criterion in ("voltage_unbalance", "tap_operations"):
        return name, ""
    return cut(name)
