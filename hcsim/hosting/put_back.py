"""A size put back as a user would: the devices in, the whole day in order, controls free from the feeder's own start.

A nodal or stochastic study asks hour by hour, each from where the bare feeder stands (see
`hcsim.hosting.hour_probe`). On a real day an hour finds the controls where the hours before left them, devices
included. So every size that is handed out is run through that day once more; what fails there is not handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hcsim.hosting.hour_probe import FAR, FROZEN_ONLY, SETTLED_ONLY, Mode, Prober
from optim.data.criteria import thresholds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class DayVerdict:
    """A whole day judged. (C,) by `Prober.criteria`; NaN where a day does not judge a criterion."""

    failed: int
    """First step without an answer, -1 where there is none."""
    excess: Floats
    """Largest value beyond its threshold; above zero a new violation."""
    at: Ints
    step: Ints
    """Element and step of the worst; -1 where nothing is violated."""
    strict: Floats
    """Excess where nothing is forgiven beyond the bare feeder's own day."""

    def fails(self, c: int) -> bool:
        return self.failed >= 0 or bool(self.excess[c] > 0)


class WholeDay:
    """Runs days in the circuit of a prober, with the devices that are placed there. `skip_steps` are not judged, nor
    steps that the feeder without devices has no answer to, nor what is judged in the frozen state only."""

    def __init__(self, prober: Prober, skip_steps: Collection[int] = ()) -> None:
        self._prober = prober
        self._steps = frozenset(int(t) for t in prober.steps) - set(skip_steps)
        self._judged = [c for c, criterion in enumerate(prober.criteria) if criterion.name not in FROZEN_ONLY]
        self._limits, self._own = list(prober.thresholds), list(prober.own_thresholds)
        for c, criterion in enumerate(prober.criteria):
            if criterion.name in SETTLED_ONLY:
                self._limits[c] = self._own[c] = self._tap_limits(c)

    def _tap_limits(self, c: int) -> Floats:
        """(T, K) tap steps from one hour to the next: the limit, or what the bare feeder takes itself."""
        prober, names = self._prober, self._prober.series.regulators
        stands = np.array([[at[n] for n in names] for at in prober.bare_taps], dtype=float)
        stands = stands.reshape(len(prober.bare_taps), len(names))
        return np.minimum(thresholds(prober.criteria[c], prober.limits, np.abs(np.diff(stands, axis=0))), FAR)

    def run(self) -> DayVerdict:
        prober, count = self._prober, len(self._prober.criteria)
        worst, strict = np.full(count, -np.inf), np.full(count, -np.inf)
        at, when, failed = np.full(count, -1), np.full(count, -1), -1
        prober.go_to_start()
        prober.circuit.start_from(prober.start_v(0))
        before = prober.bare_taps[0]
        for t in range(len(prober.profiles)):
            if prober.profiles.fixed:
                prober.series.set_fixed(t)
            sound = prober.circuit.step(t, controls=prober.controls == "free")
            prober.power_flows += 1
            now = prober.circuit.taps()
            reading = prober.reader.read(None, before, now)
            before = now
            if t not in self._steps:
                continue
            if not sound or not prober.sane(reading):
                failed = t
                break
            for c in self._judged:
                gap = prober.gap(c, t, reading, self._limits[c])
                own = gap if self._own[c] is self._limits[c] else prober.gap(c, t, reading, self._own[c])
                strict[c] = max(strict[c], own.max(initial=-np.inf))
                equal = 0.1 * prober.criteria[c].tolerance(prober.limits)  # of equals the first
                if (beyond := gap.max(initial=-np.inf)) > 0 and beyond > worst[c] + equal * (when[c] >= 0):
                    at[c], when[c] = int(np.argmax(gap >= beyond - equal)), t
                worst[c] = max(worst[c], beyond)
        prober.forget_state()
        unjudged = [c for c in range(count) if c not in self._judged]
        worst[unjudged] = strict[unjudged] = np.nan
        return DayVerdict(failed, worst, at, when, strict)


@dataclass(frozen=True)
class Stood:
    """The largest size, at most the one searched, that holds when it is put back; in multiples of the resolution."""

    k: int
    step: int
    """Where k + 1 fails when it is put back; -1 where the size searched holds as it is."""
    at: int
    strict: bool
    """Whether it also holds with nothing forgiven beyond the bare feeder's own day."""
    again: tuple[int, int] = (0, 0)
    """Sizes above it between which one is known to hold when it is put back; zeros where none is."""


@dataclass(frozen=True)
class _Failure:
    excess: float
    step: int
    at: int


class SitePutBack:
    """One site, placed in the prober: sizes put back over the whole day; and hour by hour as the study asks them
    where a day does not judge (controls frozen), or where the search saw hours that fail below sizes that pass.

    `resize(k)` gives the devices their size, `steps` are the hours at which they have any power."""

    def __init__(self, prober: Prober, day: WholeDay, steps: Ints, resize: Callable[[int], None]) -> None:
        self._prober, self._day, self._steps, self._resize = prober, day, steps, resize
        self._modes = prober.mode_of_criteria
        self._days: dict[int, DayVerdict] = {}
        self._hours: dict[tuple[int, Mode], list[_Failure | None]] = {}

    def settle(self, c: int, searched: int, gaps: bool) -> Stood:
        """Down from `searched` in growing strides to a size that holds, then up to the last one that does. `gaps`:
        whether the search saw sizes that fail below others that pass."""
        self._gaps = gaps
        failure = self._fails(c, searched)
        if failure is None:
            return Stood(searched, -1, -1, self._is_strict(c, searched))
        low, high, stride = searched, searched, self._first_stride(c, searched, failure)
        while low > 0:
            low = max(high - stride, 0)
            found = self._fails(c, low)
            if found is None:
                break
            high, failure, stride = low, found, 2 * stride
        while high - low > 1:
            middle = (low + high) // 2
            found = self._fails(c, middle)
            if found is None:
                low = middle
            else:
                high, failure = middle, found
        return Stood(low, failure.step, failure.at, self._is_strict(c, low))

    def holds(self, c: int, k: int) -> bool:
        return self._fails(c, k) is None

    def _first_stride(self, c: int, k: int, failure: _Failure) -> int:
        """How far down a straight line from the feeder without devices reaches the limit."""
        rise = failure.excess - float(self._prober.excess_without(failure.step)[c])
        return max(1, int(np.ceil(k * failure.excess / rise))) if np.isfinite(rise) and rise > failure.excess else 1

    def _fails(self, c: int, k: int) -> _Failure | None:
        """None where size k breaks nothing of criterion c."""
        if k == 0:
            return None
        if self._prober.criteria[c].name in FROZEN_ONLY:
            return self._hour_by_hour(k, self._modes[c])[c]
        day = self._whole_day(k)
        if not day.fails(c):
            return self._hour_by_hour(k, self._modes[c])[c] if self._gaps else None
        lost = day.failed >= 0
        return _Failure(float(day.excess[c]), day.failed if lost else int(day.step[c]), -1 if lost else int(day.at[c]))

    def _is_strict(self, c: int, k: int) -> bool:
        if k == 0 or self._prober.criteria[c].name in FROZEN_ONLY:
            return True
        return not self._whole_day(k).strict[c] > 0

    def _whole_day(self, k: int) -> DayVerdict:
        if k not in self._days:
            self._resize(k)
            self._days[k] = self._day.run()
        return self._days[k]

    def _hour_by_hour(self, k: int, mode: Mode) -> list[_Failure | None]:
        """(C,) the worst hour of each criterion; the first hour without an answer fails them all."""
        if (k, mode) in self._hours:
            return self._hours[k, mode]
        count = len(self._modes)
        worst: list[_Failure | None] = [None] * count
        self._resize(k)
        for t in self._steps:
            verdict = self._prober.probe(int(t), mode)
            if not verdict.sound:
                worst = [_Failure(np.inf, int(t), -1)] * count
                break
            for c in np.flatnonzero(verdict.excess > 0):
                known = worst[c]
                if known is None or verdict.excess[c] > known.excess:
                    worst[c] = _Failure(float(verdict.excess[c]), int(t), int(verdict.at[c]))
        self._hours[k, mode] = worst
        return worst
