"""How far inside their limits the closed loop's programs stay: as far as replays had to teach them."""

from __future__ import annotations

from dataclasses import dataclass

from hcsim.certify.options import LoopOptions
from hcsim.certify.stalls import excess
from hcsim.replay.result import ReplayResult

KEPT = 0.7
"""Share of a margin that outlives a round, and of an overstep that becomes margin."""
MOST_PU, MOST_KW, MOST_SHARE = 3e-3, 30.0, 0.05
"""Half a tap step; what tap steps are worth in load: at most these kW, or this share of a phase's peak load where
that is more."""
MOST_LOADING_PU = 0.03


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
    def most(cls, peak_kw: float) -> Margins:
        """`peak_kw`: the feeder's peak load."""
        return cls(MOST_PU, max(MOST_KW, MOST_SHARE * peak_kw / 3), MOST_LOADING_PU)

    def of(self, criterion: str) -> float:
        """In the criterion's unit; 0 where none is kept."""
        known = {"overvoltage": self.pu, "undervoltage": self.pu, "reverse_flow": self.kw, "loading": self.loading_pu}
        return known.get(criterion, 0.0)

    def after(self, found: ReplayResult, least: Margins, most: Margins, near: bool) -> Margins:
        """What a replay broke, the linear model did not see: stay further inside by most of it. Everywhere, as
        what is kept inside here breaks next door. As long as nothing `near` has passed, margins only grow."""

        def wider(margin: float, least: float, most: float, *criteria: str) -> float:
            grown = min(KEPT * (margin + min(excess(found, criteria), most / 3)), most)
            return max(least, grown if near else max(grown, margin))

        return Margins(
            wider(self.pu, least.pu, most.pu, "overvoltage", "undervoltage"),
            wider(self.kw, least.kw, most.kw, "reverse_flow"),
            wider(self.loading_pu, least.loading_pu, most.loading_pu, "loading"),
        )
