"""The closed loop: a hosting capacity that the full simulation, with every control acting, has passed.

Each round linearizes every hour where the replay of the present schedule came to stand (voltages, taps, banks),
solves the program inside a trust region around it, replays what it proposes with controls free, and moves
there if the replay agrees. Taps jump, so a linear model is never right for long: limits have a price instead
of being hard, a small margin is kept, the region shrinks where the replay disagrees, and the best schedule
that passed is kept throughout. Between it and a proposal that failed lies a segment of schedules with the same
decisions; the furthest that passes on it is looked for as well. Where nothing near a proposal has passed, what it
broke is taken back first (`repair`). Placement and statuses stay as they are while the loop walks, and are
decided anew where it stalls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hcsim.certify.certificate import CERTIFIED, OUT_OF_TIME, STALLED, Certificate, Round
from hcsim.certify.decisions import Decisions, decisions_of, open_fleet
from hcsim.certify.margins import Margins
from hcsim.certify.options import LoopOptions
from hcsim.certify.stalls import excess, why_stalled, worst_in_words
from hcsim.certify.trials import NEARBY, Standing, Trials
from hcsim.errors import InfeasibleError, SolverError
from hcsim.replay.operating_points import Visit
from hcsim.replay.result import ReplayResult
from hcsim.schedules.edit import same_devices, with_reserve
from hcsim.workbench.allocation import Workbench
from optim.data.schedule import Schedule
from optim.data.violations import new_violations
from optim.hosting.problem import HostingProblem, TrustRegion
from optim.hosting.search import solve_hosting

SOLVE_S = 10.0
"""No linear program of the loop takes much longer: one that does has lost its way."""
FAILURES = 3
"""Linear programs in a row that may end without a solution, each tried again in a smaller region."""
BOUND_SHARE = 0.15
"""Share of the time kept for the bound at the end."""
WORTH_REOPENING_S = 8.0
"""With less time left, what was decided stays."""
WIDE_RADIUS = 0.3
"""Share of the first claim with which another walk begins."""
REOPENED_RADIUS = 0.1
"""Share of the first claim that PV and reactive power may move where placement and statuses are open."""


def certify(
    bench: Workbench,
    claim: Schedule,
    options: LoopOptions | None = None,
    listen: Callable[[Round], None] | None = None,
    *,
    starts: Sequence[Schedule] = (),
    accept: Callable[[Schedule], bool] | None = None,
) -> Certificate:
    """Runs the loop from a claimed schedule. `starts` are further schedules to begin at: what passes of them is
    certified, whatever the programs make of the claim. `accept` is asked of a schedule that has passed, and what
    it refuses counts as failed.

    The devices doing nothing always pass, so there always is a certificate. Raises ConvergenceError only where
    the bare feeder itself does not converge, KeyboardInterrupt where the user wants to stop.
    """
    return _ClosedLoop(bench, claim, options or LoopOptions(), listen, accept).run(starts)


class _ClosedLoop:
    def __init__(
        self,
        bench: Workbench,
        claim: Schedule,
        options: LoopOptions,
        listen: Callable[[Round], None] | None,
        accept: Callable[[Schedule], bool] | None,
    ) -> None:
        self.begun = time.perf_counter()
        self.bench, self.options, self.listen = bench, options, listen
        reserve = options.soc_reserve
        self.claim = replace(claim, bess=tuple(with_reserve(u, reserve) for u in claim.bess))
        self.open_fleet = open_fleet(bench, self.claim, reserve)
        self.rounds: list[Round] = []
        self.visited: list[ReplayResult] = []
        """Replays of the rounds' proposals."""
        self.last_claim_kw = np.nan
        self.share = np.ones(len(bench.profiles))
        """Of the region that each hour has: none where controls hunted, as no linear model knows of that."""
        peak_kw = float(bench.network.loads.p_kw.sum() * bench.profiles.load_pu.max())
        self.least, self.most = Margins.least(options), Margins.most(peak_kw)
        self.margins = self.least
        self.largest = max(claim.hc_kw, peak_kw / 2, 1.0)
        """What radii are measured by: a claim of nothing still has to be moved away from."""
        self.trials = Trials(bench, self.claim, self.open_fleet, options, accept)
        self.decisions = decisions_of(self.claim)
        self.center = self.trials.start

    def run(self, starts: Sequence[Schedule]) -> Certificate:
        for start in (self.claim, *starts):
            if not same_devices(start, self.claim):
                self.trials.keep_if_passed(start, self.trials.visit(start).found)
                continue
            seen = self.trials.visit(start)
            self._move(start, seen, self.trials.keep_if_passed(start, seen.found))
        if not starts and self.trials.certified_kw <= 0:
            self.trials.search_segment(self.claim)
        stop = self._walk(self.options.first_radius)
        for _ in range(self.options.reopenings):
            if stop[0] != STALLED or self.open_fleet is None or self._seconds_left() < WORTH_REOPENING_S:
                break
            before, claimed = self.trials.certified_kw, self.last_claim_kw
            said = self._reopen()
            if not said:
                again = self._walk(REOPENED_RADIUS)
                if self.trials.certified_kw > before:
                    stop = again
                    continue
                said = f"Decided anew they claimed {self.last_claim_kw:.1f} kW, of which no more passed."
            self.last_claim_kw = claimed
            stop = stop[0], f"{stop[1]} {said}"
        for _ in range(self.options.walks - 1):
            before, claimed = self.trials.certified_kw, self.last_claim_kw
            if stop[0] == OUT_OF_TIME or self._seconds_left() < WORTH_REOPENING_S:
                break
            again = self._walk_again()
            if self.trials.certified_kw <= (1.0 + self.options.tolerance / 4) * before:
                self.last_claim_kw = claimed
                break
            stop = again
        return self._certificate(*stop)

    def _walk_again(self) -> tuple[str, str]:
        """From the best there is, in a wide region: the first walk's was small by the end, and with it what the
        programs could claim."""
        best, found = self.trials.best
        self._take_up(best)
        self.trials.keep_if_passed(best, found)
        self.center = Standing(best, self.trials.visit(best), self.trials.certified_kw)
        self.margins = replace(self.least, loading_pu=self.margins.loading_pu)
        self.share[:] = 1.0
        self.visited = []
        return self._walk(WIDE_RADIUS)

    def _take_up(self, schedule: Schedule) -> None:
        """The decisions of a schedule, from its devices doing nothing on."""
        self.decisions = decisions_of(schedule)
        self.center = self.trials.begin_anew(schedule)

    def _walk(self, first_radius: float) -> tuple[str, str]:
        """Rounds until claim and certificate meet, nothing helps, or time is up: status and sentence."""
        options = self.options
        radius, settled, failures = first_radius * self.largest, 0, 0
        while True:
            if stop := self._out_of_budget():
                return stop
            before = self.trials.certified_kw
            try:
                proposal = self._propose(radius)
            except (InfeasibleError, SolverError) as error:
                failures += 1
                if failures > FAILURES:
                    return STALLED, f"The linear program of round {len(self.rounds) + 1} failed: {error}"
                radius *= 0.4
                continue
            failures = 0
            self.last_claim_kw = proposal.hc_kw
            seen = self.trials.visit(proposal)
            self.visited.append(seen.found)
            passed = self.trials.keep_if_passed(proposal, seen.found)
            moved = self._move(proposal, seen, passed)
            self._log(proposal, seen.found, passed, radius)
            hunted = self._hold_hour(seen.found)
            radius = min(radius * 1.5, self.largest) if passed else radius * (0.7 if moved or hunted else 0.4)
            nearby = self.trials.anchor.hc_kw > NEARBY * self.last_claim_kw
            self.margins = self.margins.after(seen.found, self.least, self.most, nearby)
            near = abs(self.trials.certified_kw - self.last_claim_kw) <= options.tolerance * self.last_claim_kw
            still = self.trials.certified_kw - before <= options.tolerance / 4 * max(self.trials.certified_kw, 1.0)
            settled = settled + 1 if near and still else 0
            if settled >= 2:
                return CERTIFIED, (
                    f"Certified capacity and claim agree to {100 * options.tolerance:g} %, and another round "
                    "moved neither."
                )
            if radius < options.smallest_radius * self.largest:
                return STALLED, why_stalled(seen, self.visited, self.largest)

    def _reopen(self) -> str:
        """Decides placement and statuses anew at the best schedule; PV stays in a trust region. The center
        moves to the new decisions where they claim more ("" is returned); else a sentence says that they do not."""
        best = self.trials.best[0]
        seen = self.trials.visit(best)
        radius = REOPENED_RADIUS * self.largest
        trust = TrustRegion(best.pv_kw, best.pv_q_kvar, {}, radius, radius, np.inf)
        problem = self._problem(seen, trust, Decisions(self.open_fleet, None))
        options = self.bench.solve_options(None, min(SOLVE_S, self._seconds_left() / 3))
        try:
            anew = solve_hosting(problem, self.claim.case, options)
        except (InfeasibleError, SolverError) as error:
            return f"Deciding placement and statuses anew failed: {error}"
        if anew.hc_kw <= (1.0 + self.options.tolerance / 4) * self.trials.certified_kw:
            return f"Placement and statuses decided anew claim {anew.hc_kw:.1f} kW: they stay."
        self._take_up(anew)
        there = self.trials.visit(anew)
        passed = self.trials.keep_if_passed(anew, there.found)
        self.visited = [there.found]
        self._move(anew, there, passed)
        self._log(anew, there.found, passed, radius, "placement and statuses decided anew")
        return ""

    # -- one round ----------------------------------------------------------------------------------------

    def _propose(self, radius: float) -> Schedule:
        left = self._seconds_left()
        options = self.bench.solve_options(None, max(min(SOLVE_S, left), 1.0))
        problem = self._problem(self.center.seen, self._trust(self.center.schedule, radius), self.decisions)
        return solve_hosting(problem, self.claim.case, options)

    def _problem(self, seen: Visit, trust: TrustRegion | None, decisions: Decisions) -> HostingProblem:
        hard = trust is None
        return HostingProblem(
            model=seen.model,
            profiles=self.bench.profiles,
            limits=self.bench.limits,
            pv_nodes=self.claim.pv_nodes,
            fleet=decisions.fleet,
            night_var=self.bench.pv.night_var,
            already=self.trials.bare.before,
            margin_pu=0.0 if hard else self.margins.pu,
            margin_kw=0.0 if hard else self.margins.kw,
            margin_loading_pu=0.0 if hard else self.margins.loading_pu,
            elastic_kw_per_pu=None if hard else self.options.elastic_kw_per_pu,
            trust=trust,
            charging=decisions.charging,
        )

    def _trust(self, center: Schedule, radius: float) -> TrustRegion:
        largest = max((u.power_kw for u in center.bess), default=0.0)
        share = min(1.0, radius / self.largest)
        net = {n: center.bess_p_kw[:, d] for d, n in enumerate(center.bess_nodes)}
        return TrustRegion(
            center.pv_kw, center.pv_q_kvar, net, radius, radius, max(2.0 * share * largest, 1.0), self.share
        )

    def _move(self, proposal: Schedule, seen: Visit, passed: bool) -> bool:
        """Moves the center to the proposal, or to the furthest on the way there that passes, if that is better."""
        merit = -np.inf if not passed and self.trials.passes(seen.found) else self.trials.merit(proposal, seen.found)
        moved = merit > self.center.merit
        if moved:
            self.center = Standing(proposal, seen, merit)
        if not passed:
            if not self.trials.repair(proposal, seen, self.least):
                self.trials.search_segment(proposal)
            if self.trials.anchor.hc_kw > self.center.merit:
                self.center = Standing(
                    self.trials.anchor, self.trials.visit(self.trials.anchor), self.trials.anchor.hc_kw
                )
                moved = True
        return moved

    def _hold_hour(self, found: ReplayResult) -> bool:
        """The first hour without a solution keeps what it has at the center; whether that is news."""
        if found.converged.all():
            return False
        t = int(np.argmin(found.converged))
        news = self.share[t] > 0
        self.share[t] = 0.0
        return bool(news)

    # -- the end ------------------------------------------------------------------------------------------

    def _seconds_left(self) -> float:
        limit = (1.0 - BOUND_SHARE) * self.options.time_limit_s
        return limit - (time.perf_counter() - self.begun)

    def _out_of_budget(self) -> tuple[str, str] | None:
        if self._seconds_left() <= 0:
            last = f" {self.rounds[-1].worst} stood in the way." if self.rounds and self.rounds[-1].worst else ""
            return OUT_OF_TIME, f"{self.options.time_limit_s:g} s were over after {len(self.rounds)} rounds.{last}"
        if len(self.rounds) >= self.options.max_rounds:
            return STALLED, f"{self.options.max_rounds} rounds did not settle it."
        return None

    def _log(self, proposal: Schedule, found: ReplayResult, passed: bool, radius: float, note: str = "") -> None:
        self.rounds.append(
            Round(
                number=len(self.rounds) + 1,
                claim_kw=proposal.hc_kw,
                passed=passed,
                new_violations=len(new_violations(found.violations)),
                worst=worst_in_words(found),
                worst_pu=excess(found, ("overvoltage", "undervoltage")),
                tap_operations=found.tap_operations,
                certified_kw=self.trials.certified_kw,
                radius_kw=radius,
                seconds=time.perf_counter() - self.begun,
                note=note,
            )
        )
        if self.listen:
            self.listen(self.rounds[-1])

    def _bound_kw(self, best: Schedule) -> float:
        limit = max(0.5 * BOUND_SHARE * self.options.time_limit_s, 2.0)
        problem = self._problem(self.trials.visit(best), None, Decisions(self.open_fleet, None))
        try:
            solved = solve_hosting(problem, best.case, self.bench.solve_options(None, limit), tidy=False)
        except (InfeasibleError, SolverError):
            return np.nan
        return solved.solve.bound if solved.solve else np.nan

    def _certificate(self, status: str, reason: str) -> Certificate:
        schedule, found = self.trials.best
        bound_kw = self._bound_kw(schedule) if self.options.bound else np.nan
        return Certificate(
            case=self.claim.case,
            schedule=replace(schedule, assumptions=(*schedule.assumptions, f"certified, controls {found.controls}")),
            replay=found,
            claim_kw=self.last_claim_kw,
            bound_kw=bound_kw,
            status=status,
            reason=reason,
            rounds=tuple(self.rounds),
            power_flows=self.trials.power_flows,
            seconds=time.perf_counter() - self.begun,
            controls=self.bench.selection,
        )
