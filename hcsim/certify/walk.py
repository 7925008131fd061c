"""One walk of the closed loop: tangent, program in a trust region, replay, and on, until nothing is offered any more.

The program proposes what gains most; what gains nothing stays where it is (`TrustRegion.move_price`), so that the
regulators of an hour that does not bind are left alone. What a replay breaks in an hour is kept at a distance in that
hour, and the hour moves less. Between the best that passed and a proposal that failed lies a segment of schedules with
the same decisions: the furthest on it that passes is looked for; where there is none, what was broken is taken back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hcsim.certify.decisions import Decisions
from hcsim.certify.margins import Learned, Margins
from hcsim.certify.options import LoopOptions
from hcsim.certify.trials import Standing, Trials
from hcsim.errors import InfeasibleError, SolverError
from hcsim.replay.operating_points import Visit
from hcsim.replay.result import ReplayResult
from optim.data.schedule import Schedule
from optim.hosting.decided import Decided, DecidedProgram
from optim.hosting.problem import HostingProblem, TrustRegion

Ended = Literal["nothing offered", "refused", "failed", "cut"]


@dataclass(frozen=True)
class Proposed:
    """A round, for whoever writes them down."""

    proposal: Schedule
    found: ReplayResult
    passed: bool
    radius_kw: float


class Walk:
    """From where the trials stand, with decisions that stay. `cut` says whether a budget is spent."""

    def __init__(
        self,
        trials: Trials,
        decisions: Decisions,
        options: LoopOptions,
        largest_kw: float,
        tell: Callable[[Proposed], None],
        cut: Callable[[], bool],
    ) -> None:
        self.trials, self.decisions, self.options = trials, decisions, options
        self.largest_kw, self.tell, self.cut = largest_kw, tell, cut
        bench = trials.bench
        peak_kw = float(bench.profiles.load_kw(bench.network.loads.p_kw).max())
        self.least = Margins.least(options)
        self.learned = Learned(options, Margins.most(options, peak_kw), len(bench.profiles))
        self.program = DecidedProgram()
        self.visited: list[Visit] = []
        """Of the rounds' proposals."""
        self.last_claim_kw = np.nan
        self.why = ""

    def go(self, center: Standing, radius: float) -> Ended:
        """Rounds from `center` on, the first region `radius` of the largest claim wide."""
        options, trials = self.options, self.trials
        self.learned.forget()
        reach = first = radius * self.largest_kw
        failures, at_edge = 0, False
        while not self.cut():
            try:
                decided = self.program.solve(self._problem(center, reach), trials.anchor.schedule.case, order=0)
            except (InfeasibleError, SolverError) as error:
                failures += 1
                self.why = str(error)
                if failures > options.failures:
                    return "failed"
                reach *= options.failed
                continue
            failures = 0
            proposal = decided.schedule
            self.last_claim_kw = proposal.hc_kw
            gain = 1e3 * decided.worth_mw - center.merit
            whole = reach >= first
            least = options.tolerance if whole else options.tolerance / 4
            if center is trials.best and gain <= least * max(center.merit, 1.0):
                if whole and not at_edge:  # nothing more a little inside the limits: and up to them?
                    at_edge = True
                    self.learned.forget(to_the_edge=True)
                    continue
                return "nothing offered" if whole else "refused"
            seen = trials.visit(proposal)
            self.visited.append(seen)
            before = center
            passed, center = self._take(proposal, seen, center)
            self.tell(Proposed(proposal, seen.found, passed, reach))
            moved = center is not before
            self.learned.take(seen.found, moved=moved)
            kept = options.halted if moved else options.refused
            reach = min(options.grown * reach, self.largest_kw) if passed else reach * kept
            if reach < options.smallest_radius * self.largest_kw:
                return "refused"
        return "cut"

    def _take(self, proposal: Schedule, seen: Visit, center: Standing) -> tuple[bool, Standing]:
        """Where to stand after a proposal: there, if it is worth more; or at the best on the way that passed."""
        trials = self.trials
        passed = trials.keep_if_passed(proposal, seen)
        lost = trials.lost_too_much_kw(seen.found) > 0
        refused = not passed and seen.found.passed and not lost  # within every limit, but for taps or on other days
        merit = -np.inf if refused else trials.merit(proposal, seen.found)
        if merit > center.merit:
            center = trials.best if trials.best.schedule is proposal else Standing(proposal, seen, merit)
        if not passed and not trials.search_segment(proposal):
            trials.repair(proposal, seen, self.least)
        if trials.anchor.merit > center.merit:
            center = trials.best if trials.best.schedule is trials.anchor.schedule else trials.anchor
        return passed, center

    def offer(self, center: Standing, radius: float) -> Decided:
        """What the tangent offers at `center` within `radius` of the largest claim, hard limits, nothing kept inside.

        Raises InfeasibleError, SolverError.
        """
        self.learned.forget(to_the_edge=True)
        problem = self._problem(center, radius * self.largest_kw)
        return self.program.solve(problem, center.schedule.case, order=0)

    def _problem(self, center: Standing, reach: float) -> HostingProblem:
        trials, kept = self.trials, self.learned.kept[:, :, None]
        bench = trials.bench
        schedule = center.schedule
        largest = max((u.power_kw for u in schedule.bess), default=0.0)
        battery = max(2.0 * min(1.0, reach / self.largest_kw) * largest, 1.0)
        net = {n: schedule.bess_p_kw[:, d] for d, n in enumerate(schedule.bess_nodes)}
        return HostingProblem(
            model=center.seen.model,
            profiles=bench.profiles,
            limits=bench.limits,
            pv_nodes=schedule.pv_nodes,
            fleet=self.decisions.fleet,
            night_var=bench.pv.night_var,
            already=trials.before,
            margin_pu=kept[0],
            margin_kw=kept[1],
            margin_loading_pu=kept[2],
            elastic_kw_per_pu=self.options.elastic_kw_per_pu,
            elastic_kw_per_kw=self.options.elastic_kw_per_kw,
            trust=TrustRegion(
                schedule.pv_kw,
                schedule.pv_q_kvar,
                net,
                reach,
                reach,
                battery,
                self.learned.share,
                self.options.move_price,
            ),
            caps=bench.caps,
            losses_max_kw=bench.losses_max_kw,
            cycles_per_day=bench.cycles_per_day,
            spread=trials.spread,
            charging=self.decisions.charging,
        )
