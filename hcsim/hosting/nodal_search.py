"""The largest size that breaks nothing, by criterion, over all hours: bracketed by sensitivities, settled by
power flows.

Sizes are whole multiples k of the study's resolution, so that the answer does not depend on the way to it:
k passes, k + 1 fails. A criterion is settled when one hour fails at k + 1 and every other hour has passed at
k or at something larger. On the way there, passing at a larger size counts, hour by hour; where an hour that failed
passes again at a larger size, that is noted. What is found is then put back at that very size, every hour of it
(`hcsim.hosting.put_back`).

Regulators make gaps in what passes: just before a control moves, a limit may be broken that its move mends.
The first such gap lies where the frozen feeder breaks the limit, so there the search looks too, at the
`LOOKS` hours where that size is smallest. Gaps behind later tap changes can stay unseen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hcsim.hosting.hour_probe import HourVerdict, Mode

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FIRST_SHARE = 0.04
"""Of the largest size asked: the first probe, from which sensitivities are read."""
COARSE = 1.03
"""Where the power flow itself gives up, its size is settled to this ratio only: such solves are slow."""
GROW = 1.4
"""From size to size while no hour has failed yet."""
LOOKS = 8
BEYOND = 1.01
"""A prediction is overshot by this ratio, to get a failure to bracket with."""


@dataclass(frozen=True)
class Settled:
    """One criterion's answer, in multiples of the resolution."""

    k: int
    step: int
    """Step at which k + 1 fails; -1 where nothing fails."""
    at: int
    """Element index of the failure; -1."""
    why: str
    """Empty where the limit itself stops it; "convergence"; "largest" where the search ended; "base" where
    it is broken without the site."""
    not_monotone: bool
    again: tuple[int, int] = (0, 0)
    """Least and largest size seen to pass again at an hour that fails at a smaller one; zeros where none was."""


@dataclass
class SiteSearch:
    """One site. `ask(k, step, mode)` solves a power flow; `modes[c]` says in which mode c is judged."""

    ask: Callable[[int, int, Mode], HourVerdict]
    steps: Ints
    """(H,) steps at which the site has any power."""
    scale: Floats
    """(H,) its share of the size there."""
    base_excess: Floats
    """(H, C) without the site."""
    base_gaps: Callable[[int], tuple[Floats, ...]]
    """Step -> per criterion, value beyond threshold of every element without the site."""
    modes: tuple[Mode, ...]
    largest: int
    asked: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        shape = self.base_excess.shape
        self.low = np.zeros(shape, dtype=np.int64)
        self.high = np.full(shape, self.largest + 1, dtype=np.int64)
        self.low_excess, self.high_excess = self.base_excess.copy(), np.full(shape, np.nan)
        self.high_at = np.full(shape, -1)
        self.predicted = np.full(shape, float(self.largest + 1))
        self.predicted_frozen = self.predicted.copy()
        self.lost = np.full(shape[0], self.largest + 1, dtype=np.int64)
        """(H,) smallest size without a sound power flow."""
        self.sound = np.zeros(shape[0], dtype=np.int64)
        """(H,) largest size with one, below that."""
        self._passed: dict[tuple[int, int], list[int]] = defaultdict(list)
        """(hour, criterion) -> every size that passed there."""
        broken = self.base_excess > 0
        self.high[broken], self.high_excess[broken] = 0, self.base_excess[broken]

    def run(self) -> list[Settled]:
        """(C,) the answers."""
        count = self.base_excess.shape[1]
        if not len(self.steps):
            return [Settled(self.largest, -1, -1, "largest", False) for _ in range(count)]
        self._look()
        order = np.argsort(-self.predicted.min(axis=0), kind="stable")
        for c in order:
            self._settle(int(c))
            if self.modes[c] == "settled":
                self._look_before_controls_move(int(c))
        return [self._answer(c) for c in range(count)]

    # -- what to ask next ---------------------------------------------------------------------------------

    def _look(self) -> None:
        """A small size at every hour: sensitivities, and from them where each criterion should break."""
        for h in range(len(self.steps)):
            k = max(1, round(FIRST_SHARE * self.largest / max(self.scale[h], 0.2)))
            k = min(k, self.largest)
            without = self.base_gaps(int(self.steps[h]))
            for c, gap in enumerate(self._probe(h, k, "frozen").gaps):
                if gap is not None:
                    self.predicted_frozen[h, c] = min(_crossing(k, without[c], gap), self.largest + 1.0)
        self.predicted[:] = self.predicted_frozen

    def _settle(self, c: int) -> None:
        while (wanted := self._next(c)) is not None:
            self._probe(wanted[1], wanted[0], self.modes[c])

    def _look_before_controls_move(self, c: int) -> None:
        """Where the frozen feeder breaks c, ask whether the settled one does too, before a control moves."""
        for h in np.argsort(self.predicted_frozen[:, c], kind="stable")[:LOOKS]:
            k = int(self.predicted_frozen[h, c])
            if not 0 < k < self._candidate(c):
                continue
            gap = self._probe(int(h), k, "frozen").gaps[c]
            if gap is not None:
                k = int(min(_crossing(k, self.base_gaps(int(self.steps[h]))[c], gap) + 1, self.largest))
            if 0 < k < self._candidate(c):
                self._probe(int(h), k, self.modes[c])
                self._settle(c)

    def _next(self, c: int) -> tuple[int, int] | None:
        """(k, h) to ask; None when c is settled."""
        fails, lost = int(self.high[:, c].min()), int(self.lost.min())
        if lost < fails and not self._lost_is_settled:
            h = int(np.argmin(self.lost))
            return _between(int(self.sound[h]), lost), h
        candidate = self._candidate(c)
        h = int(np.argmin(self.high[:, c]))
        if candidate == fails - 1 and fails <= self.largest and self.low[h, c] < candidate:
            return self._inside(h, c), h
        open_hours = np.flatnonzero(self.low[:, c] < candidate)
        if not len(open_hours):
            return None
        h = int(open_hours[np.argmin(self.predicted[open_hours, c])])
        beyond = int(np.ceil(self.predicted[h, c] * BEYOND)) + 1
        if beyond <= self.low[h, c]:  # the prediction was too low
            beyond = candidate if fails <= self.largest else int(self.low[h, c] * GROW) + 1
        return min(beyond, candidate), h

    def _candidate(self, c: int) -> int:
        """The largest size that c may still be settled at."""
        fails, lost = int(self.high[:, c].min()), int(self.lost.min())
        return fails - 1 if fails <= lost else min(fails - 1, int(self.sound[np.argmin(self.lost)]))

    def _inside(self, h: int, c: int) -> int:
        """Between what passed and what failed: where a straight line says, held off the ends, or half way
        where it has not helped."""
        low, high = int(self.low[h, c]), int(self.high[h, c])
        below, above = self.low_excess[h, c], self.high_excess[h, c]
        guess = (low + high) / 2.0
        self._tries[h, c] += 1
        if self._tries[h, c] % 3 and np.isfinite(below) and np.isfinite(above) and above > below:
            guess = low + (high - low) * max(-below, 0.0) / (above - below)
            if low == 0 and low < self.predicted[h, c] < high:
                guess = self.predicted[h, c]
        return int(np.clip(round(guess), low + 1, high - 1))

    @property
    def _tries(self) -> Ints:
        if not hasattr(self, "_tries_made"):
            self._tries_made = np.zeros(self.base_excess.shape, dtype=np.int64)
        return self._tries_made

    @property
    def _lost_is_settled(self) -> bool:
        h = int(np.argmin(self.lost))
        return bool(self.lost[h] <= max(int(self.sound[h]), 1) * COARSE + 1)

    # -- what was learnt ----------------------------------------------------------------------------------

    def _probe(self, h: int, k: int, mode: Mode) -> HourVerdict:
        verdict = self.ask(k, int(self.steps[h]), mode)
        self.asked += 1
        if not verdict.sound:
            self.lost[h] = min(self.lost[h], k)
            self.sound[h] = min(self.sound[h], self.lost[h] - 1)
            return verdict
        if self.sound[h] < k < self.lost[h]:
            self.sound[h] = k
        for c in np.flatnonzero(~np.isnan(verdict.excess)):
            worst = verdict.excess[c]
            if worst > 0:
                if k < self.high[h, c]:
                    self.high[h, c], self.high_excess[h, c], self.high_at[h, c] = k, worst, verdict.at[c]
            else:
                self._passed[h, int(c)].append(k)
                if self.low[h, c] < k < self.high[h, c]:
                    self.low[h, c], self.low_excess[h, c] = k, worst
        return verdict

    def _answer(self, c: int) -> Settled:
        fails, lost = int(self.high[:, c].min()), int(self.lost.min())
        above = [k for (h, of), sizes in self._passed.items() if of == c for k in sizes if k > self.high[h, c]]
        again = (min(above), max(above)) if above else (0, 0)
        if lost < fails:
            h = int(np.argmin(self.lost))
            return Settled(self._candidate(c), int(self.steps[h]), -1, "convergence", bool(above), again)
        if fails > self.largest:
            return Settled(self.largest, -1, -1, "largest", bool(above), again)
        h = int(np.argmin(self.high[:, c]))
        if fails == 0:
            return Settled(0, int(self.steps[h]), int(self.high_at[h, c]), "base", bool(above), again)
        k = fails - 1
        return Settled(k, int(self.steps[h]), int(self.high_at[h, c]), "", bool(above), again)


def _crossing(k: int, without: Floats, gap: Floats) -> float:
    """The size at which the first element reaches its threshold, on straight lines from 0 to k."""
    rise = gap - without
    rising = (rise > 0) & (without <= 0)
    return k * float((-without[rising] / rise[rising]).min(initial=np.inf))


def _between(low: int, high: int) -> int:
    """Geometric middle, inside."""
    return int(np.clip(round(np.sqrt(max(low, 1) * float(high))), low + 1, high - 1))
