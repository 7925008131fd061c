"""How far inside their limits the closed loop's programs stay: as far as replays had to teach them, hour by hour."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hcsim.certify.options import LoopOptions
from hcsim.certify.stalls import oversteps
from hcsim.replay.result import ReplayResult
from optim.data.linear_model import Floats
from optim.data.violations import new_violations

LEVERS = {"overvoltage": 0, "undervoltage": 0, "reverse_flow": 1, "loading": 2}
"""Criterion -> which of (pu of voltage, kW, pu of loading) keeps it at a distance."""


@dataclass(frozen=True)
class Margins:
    """From voltage limits, of each source phase, and from ratings, as a share of them."""

    pu: float
    kw: float
    loading_pu: float

    @classmethod
    def least(cls, options: LoopOptions) -> Margins:
        return cls(options.margin_pu, options.margin_kw, options.margin_loading_pu)

    @classmethod
    def most(cls, options: LoopOptions, peak_kw: float) -> Margins:
        """`peak_kw`: the feeder's peak load."""
        kw = max(options.most_margin_kw, options.most_margin_share * peak_kw / 3)
        return cls(options.most_margin_pu, kw, options.most_margin_loading_pu)

    def of(self, criterion: str) -> float:
        """In the criterion's unit; 0 where none is kept."""
        lever = LEVERS.get(criterion)
        return 0.0 if lever is None else (self.pu, self.kw, self.loading_pu)[lever]

    @property
    def levers(self) -> Floats:
        return np.array([self.pu, self.kw, self.loading_pu])


@dataclass
class Learned:
    """What replays have taught of each hour: margins and its share of the trust region. What is broken in one hour
    says little of the others."""

    options: LoopOptions
    most: Margins
    steps: int
    least: Margins = field(init=False)
    kept: Floats = field(init=False)
    """(3, T) of LEVERS."""
    share: Floats = field(init=False)
    """(T,)"""

    def __post_init__(self) -> None:
        self.least = Margins.least(self.options)
        self.forget()

    def forget(self, *, to_the_edge: bool = False) -> None:
        """Begin anew with the least margins; `to_the_edge`: with none."""
        self._floor = np.zeros(3) if to_the_edge else self.least.levers
        self.kept = np.repeat(self._floor[:, None], self.steps, axis=1)
        self.share = np.ones(self.steps)

    def take(self, found: ReplayResult, *, moved: bool) -> None:
        """What a replay broke, the linear model did not see: that hour stays further inside by most of it and moves
        less. Where nothing is broken margins fade, as long as the loop moves; an hour without a solution keeps what
        it has."""
        table = new_violations(found.violations)
        most, least = self.most.levers[:, None], self._floor[:, None]
        over = np.zeros_like(self.kept)
        broken = np.zeros(self.steps, dtype=bool)
        for criterion, step, by in zip(table["criterion"], table["step"].astype(int), oversteps(table), strict=True):
            broken[step] = True
            lever = LEVERS.get(str(criterion))
            if lever is not None and np.isfinite(by):
                over[lever, step] = max(over[lever, step], float(by))
        grown = self.options.margin_kept * (self.kept + np.minimum(over, most / 3))
        self.kept = np.clip(grown if moved else np.where(over > 0, grown, self.kept), least, most)
        less = np.maximum(self.options.hour_broke * self.share, self.options.least_hour_share)
        self.share = np.where(broken, less, np.minimum(self.options.hour_calm * self.share, 1.0))
        if not found.converged.all():
            self.share[int(np.argmin(found.converged))] = 0.0
