"""Kinds of limits as data, and what "no worse than before" means for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optim.data.limits import Limits
from optim.data.operation import Operation


@dataclass(frozen=True)
class Criterion:
    """One kind of limit. What is judged is `sign * value > sign * limit + tolerance`."""

    name: str
    unit: str
    sign: float
    """-1 for a lower limit."""
    limit: Callable[[Limits], float | None]
    tolerance: Callable[[Limits], float]
    elements: Callable[[Operation], Sequence[str]]
    values: Callable[[Operation], NDArray[np.float64] | None]
    """(T, K); None where the operation does not say."""
    worse: Callable[[Limits], float] = lambda m: 0.0
    """Beyond the tolerance, the share of itself that an existing violation may gain."""
    gains: Callable[[Limits], float] = lambda m: 0.0
    """What an existing violation may gain at least, in its own unit, where that is more than the tolerance."""
    by_level: Callable[[Limits, NDArray[np.float64] | None], NDArray[np.float64]] | None = None
    """The limit node by node, where voltage levels have their own."""

    def judged(self, limits: Limits) -> bool:
        """Whether there is a limit at all."""
        if self.limit(limits) is not None:
            return True
        levels = np.array([b.kv_min or 0.0 for b in limits.bands])  # one inside each band
        return self.by_level is not None and bool(np.isfinite(self.by_level(limits, levels)).any())

    def limit_at(self, limits: Limits, kv_base: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """(K,) limits of its elements, or one for all of them; `sign` times infinity where there is none."""
        if self.by_level is not None:
            return self.by_level(limits, kv_base)
        limit = self.limit(limits)
        return np.array(self.sign * np.inf if limit is None else limit)


CRITERIA = (
    Criterion(
        "overvoltage",
        "pu",
        1.0,
        lambda m: m.v_max_pu,
        lambda m: m.v_tolerance_pu,
        lambda o: o.nodes,
        lambda o: o.v_pu,
        gains=lambda m: m.v_worse_pu,
        by_level=Limits.v_max_at,
    ),
    Criterion(
        "undervoltage",
        "pu",
        -1.0,
        lambda m: m.v_min_pu,
        lambda m: m.v_tolerance_pu,
        lambda o: o.nodes,
        lambda o: o.v_pu,
        gains=lambda m: m.v_worse_pu,
        by_level=Limits.v_min_at,
    ),
    Criterion(
        "reverse_flow",
        "kW",
        -1.0,
        lambda m: m.substation_min_kw,
        lambda m: m.p_tolerance_kw,
        lambda o: o.substation_phases,
        lambda o: o.substation_kw,
    ),
    Criterion(
        "loading",
        "pu",
        1.0,
        lambda m: m.loading_max_pu,
        lambda m: m.loading_tolerance_pu,
        lambda o: o.branches,
        lambda o: o.loading_pu,
        lambda m: m.loading_worse,
    ),
    Criterion(
        "voltage_deviation",
        "pu",
        1.0,
        lambda m: m.v_deviation_max_pu,
        lambda m: m.v_tolerance_pu,
        lambda o: o.nodes,
        lambda o: o.v_deviation_pu,
    ),
    Criterion(
        "voltage_unbalance",
        "%",
        1.0,
        lambda m: m.unbalance_max_pct,
        lambda m: m.unbalance_tolerance_pct,
        lambda o: o.unbalance_buses,
        lambda o: o.unbalance_pct,
    ),
    Criterion(
        "regulator_reverse_flow",
        "kW",
        -1.0,
        lambda m: m.regulator_min_kw,
        lambda m: m.p_tolerance_kw,
        lambda o: o.regulator_phases,
        lambda o: o.regulator_kw,
    ),
    Criterion(
        "tap_operations",
        "steps",
        1.0,
        lambda m: m.tap_operations_max,
        lambda m: 0.5,
        lambda o: o.regulator_controls,
        lambda o: o.tap_steps,
    ),
    Criterion("protection", "open", 1.0, lambda m: 0.0, lambda m: 0.5, lambda o: o.protection, lambda o: o.poles_open),
)
"""Every criterion there is. Half a step of tolerance on tap operations and poles: they are whole numbers."""


def thresholds(
    criterion: Criterion,
    limits: Limits,
    base: NDArray[np.float64] | None,
    shape: tuple[int, ...] = (),
    kv_base: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """What `sign * value` must exceed to be a new violation: the limit, or, where the base is beyond it
    already, what the base has ("no worse than before"); the tolerance on top. NaN in the base: the limit.

    Shape of `base`, or `shape` without one. `kv_base` as in `Operation`, for limits per voltage level. Infinite
    where there is no limit.
    """
    plain = criterion.sign * criterion.limit_at(limits, kv_base) + criterion.tolerance(limits)
    if base is None:
        return np.broadcast_to(plain, shape).copy()
    before = criterion.sign * base
    slack = max(criterion.tolerance(limits), criterion.gains(limits)) + criterion.worse(limits) * np.abs(base)
    return np.where(before > plain, before + slack, plain)


@dataclass(frozen=True)
class Before:
    """The feeder without the devices under study, what "no worse than before" compares with. Same nodes and times.

    Where a regulator or switched bank stands inside its deadband depends on the hours before, and so on the
    devices of those hours. What it may do without them is therefore a range: `days` are the feeder's own day
    first, then the same hours with controls come to rest elsewhere. An element that is within its limit all through
    the own day has no violation, though, whatever its range: there the limit holds.
    """

    days: tuple[Operation, ...]

    def worst(self, criterion: Criterion, limits: Limits, *, anywhere: bool = False) -> NDArray[np.float64] | None:
        """(T, K) the worst that each element has at each step on any of the days, if its own day breaks the limit at
        some step, or `anywhere`; else what its own day has. None where no day says."""
        own, *others = (criterion.values(day) for day in self.days)
        known = [v for v in others if v is not None]
        if own is None or not known or not criterion.judged(limits):
            return own
        worst = criterion.sign * np.fmax.reduce([criterion.sign * v for v in (own, *known)])
        if anywhere:
            return np.asarray(worst)
        plain = criterion.sign * criterion.limit_at(limits, self.days[0].kv_base) + criterion.tolerance(limits)
        return np.where(np.any(criterion.sign * own > plain, axis=0), worst, own)
