"""The definition of a violation, shared by program, replay and baseline: there is no other one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optim.errors import ModelError

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


SAME_KV = 1e-6
"""Nominal voltages within this share of each other are one level: 277.13 V times the root of 3 is 480 V."""


@dataclass(frozen=True)
class VoltageBand:
    """Voltage limits of a level of its own: of the nodes whose nominal line-to-line voltage is at least `kv_min` and
    below `kv_max` (None: no bound). Limits in pu of a node's own nominal voltage; None: not judged there."""

    kv_min: float | None
    kv_max: float | None
    v_min_pu: float | None
    v_max_pu: float | None

    def holds(self, kv_base: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of these nominal voltages (kV, line to line) are in the band."""
        low = 0.0 if self.kv_min is None else self.kv_min
        high = np.inf if self.kv_max is None else self.kv_max
        kv = kv_base * (1.0 + SAME_KV)
        return np.asarray((kv >= low) & (kv < high))

    @property
    def words(self) -> str:
        """ "1 to 35 kV", "below 1 kV" """
        if not self.kv_min:
            return "all levels" if self.kv_max is None else f"below {self.kv_max:g} kV"
        return f"from {self.kv_min:g} kV" if self.kv_max is None else f"{self.kv_min:g} to {self.kv_max:g} kV"


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
    v_deviation_max_pu: float | None = None
    """Voltage change at a node when the devices under study come on, controls frozen."""
    unbalance_max_pct: float | None = None
    """ANSI C84.1, annex: largest deviation of a line-to-line magnitude from the mean of the three, per
    cent of that mean."""
    regulator_min_kw: float | None = None
    """Least active power through each regulator phase, away from the source (0: no reverse flow)."""
    tap_operations_max: float | None = None
    """Tap steps that one regulator takes within one step of the series."""
    unbalance_tolerance_pct: float = 1e-3
    loading_worse: float = 0.005
    """The share of what it carries by which an overloaded element may gain and still be "no worse than before": a
    device far away raises the voltage of its loads, and their current with it. Ours."""
    bands: tuple[VoltageBand, ...] = ()
    """Voltage levels with limits of their own, none overlapping; elsewhere `v_min_pu` and `v_max_pu` hold."""

    def v_min_at(self, kv_base: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """(N,) least voltage in pu at nodes of these nominal voltages (kV, line to line), -inf where none is set;
        one number for all of them where no level has a band of its own. Raises ModelError where bands meet nodes
        whose nominal voltage is not known."""
        return self._by_level(kv_base, "v_min_pu", -np.inf)

    def v_max_at(self, kv_base: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """(N,) the same for the largest voltage, +inf where none is set."""
        return self._by_level(kv_base, "v_max_pu", np.inf)

    def _by_level(self, kv_base: NDArray[np.float64] | None, side: str, none: float) -> NDArray[np.float64]:
        def number(limit: float | None) -> float:
            return none if limit is None else limit

        everywhere = np.array(number(getattr(self, side)))
        if not self.bands:
            return everywhere
        if kv_base is None:
            raise ModelError("Voltage bands per level need the nodes' nominal voltages, which are not known here.")
        limit = np.broadcast_to(everywhere, kv_base.shape).copy()
        for band in self.bands:
            limit[band.holds(kv_base)] = number(getattr(band, side))
        return limit

    def leaves_room(self) -> bool:
        """Whether there is a voltage between the limits of every level."""
        ranges = [(self.v_min_pu, self.v_max_pu), *((b.v_min_pu, b.v_max_pu) for b in self.bands)]
        return all(low is None or high is None or low < high for low, high in ranges)

    def levels(self, kv_base: NDArray[np.float64]) -> list[tuple[str, NDArray[np.bool_]]]:
        """Which nodes are in which band, in words, those elsewhere last; all of them under "" where there are none."""
        if not self.bands:
            return [("", np.ones(len(kv_base), dtype=bool))]
        held = [(band.words, band.holds(kv_base)) for band in self.bands]
        every = [*held, ("elsewhere", ~np.any([mask for _, mask in held], axis=0))]
        return [(words, mask) for words, mask in every if mask.any()]

    def v_lines(self, kv_base: NDArray[np.float64] | None = None) -> list[tuple[str, float]]:
        """Voltage limits with the level each holds for ("" where no level has its own), for figures; of levels that
        are not among `kv_base` none."""
        shown = [b for b in self.bands if kv_base is None or b.holds(kv_base).any()]
        every = [(b.words, b.v_min_pu, b.v_max_pu) for b in shown]
        if kv_base is None or not np.all(np.any([b.holds(kv_base) for b in self.bands], axis=0)):
            every.append(("elsewhere" if self.bands else "", self.v_min_pu, self.v_max_pu))
        return [(words, limit) for words, low, high in every for limit in (low, high) if limit is not None]

    @classmethod
    def screening(cls) -> Limits:
        """All criteria of a nodal or stochastic study: ANSI C84.1 range A (114 to 126 V on 120 V), 3 % of
        deviation and of unbalance (California ICA; C84.1 annex), normal ratings, no reverse flow. Ours: four
        tap steps, 2.5 % with the usual 32 over +-10 %."""
        return cls(
            v_min_pu=0.95,
            v_max_pu=1.05,
            substation_min_kw=0.0,
            loading_max_pu=1.0,
            v_deviation_max_pu=0.03,
            unbalance_max_pct=3.0,
            regulator_min_kw=0.0,
            tap_operations_max=4.0,
        )


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
    v_deviation_pu: NDArray[np.float64] | None = None
    """(T, N) |v - v without the devices|, controls where they stood without them."""
    unbalance_buses: tuple[str, ...] = ()
    unbalance_pct: NDArray[np.float64] | None = None
    """(T, K)"""
    regulator_phases: tuple[str, ...] = ()
    """(R,) "Transformer.reg1a.1": element and phase."""
    regulator_kw: NDArray[np.float64] | None = None
    """(T, R) positive away from the source."""
    regulator_controls: tuple[str, ...] = ()
    tap_steps: NDArray[np.float64] | None = None
    """(T, C) tap steps taken to reach this state."""
    kv_base: NDArray[np.float64] | None = None
    """(N,) nominal line-to-line voltage of the nodes, by which bands per voltage level are told."""


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
)
"""Every criterion there is. A half step of tolerance on tap operations: they are whole numbers."""


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
    slack = criterion.tolerance(limits) + criterion.worse(limits) * np.abs(base)
    return np.where(before > plain, before + slack, plain)


def violations(found: Operation, limits: Limits, base: Before | Operation | None = None) -> pd.DataFrame:
    """All violations as a table with VIOLATION_COLUMNS, worst of each criterion first.

    `base` is the same feeder without the devices under study, same nodes and times. A violation that the
    base has too, and that has not become worse than the worst of its days at the same element and step (see
    `Before.worst`), is `existing`; everything else is new, as in the California ICA's "no worse than before".
    The column `base_value` is what the feeder's own day has.
    """
    base = Before((base,)) if isinstance(base, Operation) else base
    parts = [_beyond(criterion, found, limits, base) for criterion in CRITERIA]
    parts = [p for p in parts if len(p)]
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
        step, column = np.unravel_index(int(np.argmax(excess)), excess.shape)
        if excess[step, column] > 0:
            element, phase = _element_and_phase(criterion.elements(found)[int(column)], criterion.name)
            beyond = float(excess[step, column]) + criterion.tolerance(limits)
            every.append(
                Excess(criterion.name, criterion.unit, element, phase, int(step), float(value[step, column]), beyond)
            )
    return tuple(every)


def new_violations(table: pd.DataFrame) -> pd.DataFrame:
    return table[~table["existing"].astype(bool)]


def _beyond(criterion: Criterion, found: Operation, limits: Limits, base: Before | None) -> pd.DataFrame:
    """Rows where the value is beyond its limit; nothing where the criterion is off or was not recorded."""
    value = criterion.values(found)
    nothing = pd.DataFrame(columns=list(VIOLATION_COLUMNS))
    if value is None or not criterion.judged(limits):
        return nothing
    limit = np.broadcast_to(criterion.limit_at(limits, found.kv_base), value.shape)
    plain = criterion.sign * limit + criterion.tolerance(limits)
    steps, columns = np.nonzero(criterion.sign * value > plain)
    if not len(steps):  # NaN compares False: not judged
        return nothing
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
    return table.iloc[np.argsort(plain[steps, columns] - worth, kind="stable")]


def _element_and_phase(name: str, criterion: str) -> tuple[str, str]:
    """Buses and controls have no phase to cut off, whatever dots are in their names."""
    if criterion in ("voltage_unbalance", "tap_operations"):
        return name, ""
    element, _, phase = name.rpartition(".")
    return (element, phase) if element else (phase, "")
