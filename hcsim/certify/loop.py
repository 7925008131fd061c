"""The closed loop: a hosting capacity that the full simulation, with every control acting, has passed.

Each round linearizes every hour where the replay of the present schedule came to stand (voltages, taps, banks), solves
the program inside a trust region around it, and replays what it proposes with controls free (`walk`). The loop ends
where the tangent at the best schedule offers no move that gains more than the tolerance; a region that shrinks to
nothing is no agreement, and it sets out anew from the best there is, in the first region, as long as that brings
something. Placement and statuses stay as they are while it walks, and are decided anew where it stalls.

From the claim alone it first goes as if nothing else were known; what else is known to start from comes after, so that
more knowledge never ends lower. Limits hold everywhere where that can be had; where the bare feeder breaks some that no
device mends, they give way there to what it is.

What decides is counted: rounds, power flows, iterations. Seconds are a guard.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hcsim.certify.certificate import CERTIFIED, OUT_OF_ROUNDS, OUT_OF_TIME, STALLED, Certificate, Round
from hcsim.certify.decisions import Decisions, decisions_of, open_fleet
from hcsim.certify.options import LoopOptions
from hcsim.certify.stalls import excess, why_stalled, worst_in_words
from hcsim.certify.trials import Standing, Trials
from hcsim.certify.walk import Ended, Proposed, Walk
from hcsim.errors import InfeasibleError, SolverError
from hcsim.schedules.edit import reduced, same_devices, with_reserve
from hcsim.workbench.allocation import Workbench
from optim.data.criteria import Before
from optim.data.schedule import Schedule
from optim.data.violations import new_violations
from optim.hosting.decided import Decided
from optim.hosting.problem import HostingProblem, TrustRegion
from optim.hosting.search import solve_hosting

_LOG = logging.getLogger(__name__)


def certify(
    bench: Workbench,
    claim: Schedule,
    options: LoopOptions | None = None,
    listen: Callable[[Round], None] | None = None,
    *,
    starts: Sequence[Schedule] = (),
    accept: Callable[[Schedule], bool] | None = None,
) -> Certificate:
    """Runs the closed loop from a claimed schedule.

    The devices doing nothing always pass, so there always is a certificate.

    Parameters
    ----------
    bench : Workbench
        The case, made ready.
    claim : Schedule
        What a program claims, or anyone.
    options : LoopOptions, optional
        Budgets, margins and regions of the loop.
    listen : callable, optional
        Called with every `Round` as it ends.
    starts : sequence of Schedule, optional
        Further schedules to begin at: what passes of them is certified, whatever the programs make of the claim.
    accept : callable, optional
        Asked of a schedule that has passed; what it refuses counts as failed.

    Returns
    -------
    Certificate
        The best schedule that the full simulation has passed, kW, its replay, and why the loop ended.

    Raises
    ------
    ConvergenceError
        The bare feeder itself does not converge.
    KeyboardInterrupt
        The user wants to stop.

    Examples
    --------
    What is certified passes a replay of its own; here the claim itself, and no round:

    >>> import hcsim
    >>> from optim.hosting.search import solve_hosting
    >>> bench = hcsim.Workbench.open("ieee123")
    >>> claim = solve_hosting(bench.problem("none"), "none", bench.solve_options())
    >>> found = hcsim.certify(bench, claim, hcsim.LoopOptions(max_rounds=0, bound=False))
    >>> found.replay.passed, 0 < found.certified_kw <= claim.hc_kw + 1e-6
    (True, True)
    """
    options = options or LoopOptions()
    bare = bench.bare(options.controls).found
    begun = time.perf_counter()
    strict = None
    if len(bare.violations):
        strict = _ClosedLoop(bench, claim, options, listen, accept, None, begun)
        if strict.can_be_mended():
            strict.run(starts)
            if not strict.worth_forgiving((claim, *starts), bare.before):
                return strict.certificate()
    loop = _ClosedLoop(bench, claim, options, listen, accept, bare.before, begun)
    if strict is not None:
        loop.rounds = strict.rounds
        loop.trials.power_flows += strict.trials.power_flows
    loop.run(starts)
    return loop.certificate()


class _ClosedLoop:
    def __init__(
        self,
        bench: Workbench,
        claim: Schedule,
        options: LoopOptions,
        listen: Callable[[Round], None] | None,
        accept: Callable[[Schedule], bool] | None,
        before: Before | None,
        begun: float,
    ) -> None:
        self.begun = begun
        self.bench, self.options, self.listen = bench, options, listen
        reserve = options.soc_reserve
        self.claim = replace(claim, bess=tuple(with_reserve(u, reserve) for u in claim.bess))
        self.open_fleet = open_fleet(bench, self.claim, reserve)
        self.rounds: list[Round] = []
        self.most_rounds = 0
        """At which the present leg of the way ends."""
        peak_kw = float(bench.profiles.load_kw(bench.network.loads.p_kw).max())
        self.largest_kw = max(claim.hc_kw, peak_kw / 2, 1.0)
        """What radii are measured by: a claim of nothing still has to be moved away from."""
        self.trials = Trials(bench, self.claim, self.open_fleet, options, accept, before)
        self.ended: Ended = "refused"
        self.walk = self._walk(self.claim)
        self.said: list[str] = []
        self.reopened = 0

    def _walk(self, schedule: Schedule) -> Walk:
        return Walk(
            self.trials, decisions_of(schedule), self.options, self.largest_kw, self._log, lambda: bool(self._cut())
        )

    def can_be_mended(self) -> bool:
        """Whether devices can keep what the bare feeder breaks inside its limits, by its own tangent."""
        try:
            offered = self.walk.offer(self.trials.start, self.options.first_radius)
        except (InfeasibleError, SolverError):
            return False
        return offered.overstep_mw <= 1e-6

    def worth_forgiving(self, starts: Sequence[Schedule], before: Before) -> bool:
        """Whether clearly more passes once what the bare feeder breaks is forgiven."""
        forgiving = Trials(self.bench, self.claim, self.open_fleet, self.options, self.trials.accept, before)
        for start in (*starts, self.trials.best.schedule):
            start = replace(start, bess=tuple(with_reserve(u, self.options.soc_reserve) for u in start.bess))
            forgiving.keep_if_passed(start, forgiving.visit(start))
        self.trials.power_flows += forgiving.power_flows
        if self.trials.certified_kw <= 0 or self.ended == "cut":
            return not self.trials.passes(self.trials.best.seen.found)
        return self.trials.certified_kw < self.options.strict_share * forgiving.certified_kw

    def run(self, starts: Sequence[Schedule]) -> None:
        options, trials = self.options, self.trials
        self.most_rounds = len(self.rounds) + options.max_rounds
        if options.max_rounds:
            self._leg(trials.start)
        others = []
        for start in (self.claim, *starts):
            seen = trials.visit(start)
            known = trials.certified_kw
            if trials.keep_if_passed(start, seen) and trials.worth_kw(start) > known:
                others.append(trials.best)
        if others and options.max_rounds:
            best = others[-1]
            self.most_rounds = len(self.rounds) + options.max_rounds
            if not same_devices(best.schedule, self.walk.trials.anchor.schedule):
                trials.begin_anew(best.schedule)
                trials.keep_if_passed(best.schedule, best.seen)
            self.walk = self._walk(best.schedule)
            self._leg(best)

    def _leg(self, center: Standing) -> None:
        """Walks on from `center`, again from the best there is, and with what is decided anew, as long as it pays."""
        options, trials = self.options, self.trials
        for _ in range(options.walks):
            before = trials.certified_kw
            self.ended = self.walk.go(center, options.first_radius)
            gained = trials.certified_kw > (1.0 + options.tolerance / 4) * before
            if self.ended == "cut" or (not gained and not self._reopened()):
                return
            center = trials.best
            if not same_devices(center.schedule, trials.anchor.schedule):
                return

    def _reopened(self) -> bool:
        """Decides placement and statuses anew at the best schedule, PV in a trust region; whether that is a way on."""
        if self.open_fleet is None or self.reopened >= self.options.reopenings or self._cut():
            return False
        self.reopened += 1
        trials, best = self.trials, self.trials.best
        radius = self.options.reopened_radius * self.largest_kw
        trust = TrustRegion(best.schedule.pv_kw, best.schedule.pv_q_kvar, {}, radius, radius, np.inf)
        problem = replace(
            self._open_problem(best),
            elastic_kw_per_pu=self.options.elastic_kw_per_pu,
            elastic_kw_per_kw=self.options.elastic_kw_per_kw,
            trust=trust,
        )
        solver = replace(self.bench.solve_options(), max_nodes=self.options.deciding_nodes)
        try:
            anew = solve_hosting(problem, self.claim.case, solver, tidy=False)
        except (InfeasibleError, SolverError) as error:
            self.said.append(f"Deciding placement and statuses anew failed: {error}")
            return False
        if trials.worth_kw(anew) <= (1.0 + self.options.tolerance / 4) * trials.certified_kw:
            self.said.append(f"Placement and statuses decided anew claim {anew.hc_kw:.1f} kW: they stay.")
            return False
        known = trials.certified_kw
        start, walk = trials.begin_anew(anew), self.walk
        self.walk = self._walk(anew)
        there = trials.visit(anew)
        trials.keep_if_passed(anew, there)
        trials.search_segment(anew)
        self._log(
            Proposed(anew, there.found, trials.passes(there.found), radius), "placement and statuses decided anew"
        )
        self.ended = self.walk.go(max(start, trials.anchor, key=lambda s: s.merit), self.options.reopened_radius)
        if trials.certified_kw > known:
            return True
        self.said.append(f"Decided anew they claimed {anew.hc_kw:.1f} kW, of which no more passed.")
        self.walk = walk
        return False

    # -- budgets and notes ----------------------------------------------------------------------------------

    def _cut(self) -> str:
        if time.perf_counter() - self.begun > self.options.time_limit_s:
            return "time"
        return "work" if len(self.rounds) >= self.most_rounds else ""

    def _log(self, round_: Proposed, note: str = "") -> None:
        found = round_.found
        self.rounds.append(
            Round(
                number=len(self.rounds) + 1,
                claim_kw=round_.proposal.hc_kw,
                passed=round_.passed,
                new_violations=len(new_violations(found.violations)),
                worst=worst_in_words(found),
                worst_pu=excess(found, ("overvoltage", "undervoltage")),
                tap_operations=found.tap_operations,
                certified_kw=self.trials.best.schedule.hc_kw,
                radius_kw=round_.radius_kw,
                seconds=time.perf_counter() - self.begun,
                note=note,
            )
        )
        _LOG.info("%s: %s", self.claim.case, self.rounds[-1])
        if self.listen:
            self.listen(self.rounds[-1])

    # -- the end --------------------------------------------------------------------------------------------

    def _open_problem(self, at: Standing, decisions: Decisions | None = None) -> HostingProblem:
        decisions = decisions or Decisions(self.open_fleet, None)
        return replace(
            self.bench.problem("none"),
            model=at.seen.model,
            pv_nodes=self.claim.pv_nodes,
            fleet=decisions.fleet,
            already=self.trials.before,
            charging=decisions.charging,
        )

    def _bound_kw(self, best: Standing) -> float:
        solver = replace(self.bench.solve_options(), max_nodes=self.options.deciding_nodes)
        try:
            solved = solve_hosting(self._open_problem(best), self.claim.case, solver, tidy=False)
        except (InfeasibleError, SolverError):
            return np.nan
        return solved.solve.bound if solved.solve else np.nan

    def _offered(self, best: Standing) -> Decided | None:
        self.walk.decisions = decisions_of(best.schedule)
        try:
            return self.walk.offer(best, self.options.first_radius)
        except (InfeasibleError, SolverError):
            return None

    def _settled(self, best: Standing) -> tuple[bool, Decided | None, float]:
        """Whether the tangent offers nothing to speak of there, what it offers, and how many kW more."""
        offered = self._offered(best)
        offered_kw = 1e3 * offered.worth_mw - best.merit if offered else np.nan
        return offered_kw <= self.options.tolerance * max(best.merit, 1.0), offered, offered_kw

    def _quieter(self, best: Standing) -> Standing:
        """The same capacity with less reactive power, as far as OpenDSS passes it: first where there is no sun."""
        trials = self.trials
        dark = best.schedule.pv_p_kw.sum(axis=1) <= 0.0
        for hours in (dark, ~dark):
            for share in np.arange(self.options.quieter) / max(self.options.quieter, 1):
                if not np.abs(best.schedule.pv_q_kvar[hours]).any():
                    break
                kept = np.where(hours, share, 1.0)[:, None]
                less = reduced(best.schedule, np.ones(len(best.schedule.pv_nodes)), kept)
                seen = trials.visit(less)
                if trials.passes(seen.found) and (trials.accept is None or trials.accept(less)):
                    best = Standing(less, seen, best.merit)
                    break
        return best

    def certificate(self) -> Certificate:
        best, options = self.trials.best, self.options
        settled, offered, offered_kw = self._settled(best)
        if options.max_rounds and (quiet := self._quieter(best)) is not best:
            after = self._settled(quiet)
            if after[0] or not settled:
                best, (settled, offered, offered_kw) = quiet, after
        status, cut = STALLED, ""
        if settled:
            status = CERTIFIED
        elif self.ended == "cut":
            cut = self._cut()
            status = OUT_OF_TIME if cut == "time" else OUT_OF_ROUNDS
        schedule, found = best.schedule, best.seen.found
        return Certificate(
            case=self.claim.case,
            schedule=replace(schedule, assumptions=(*schedule.assumptions, f"certified, controls {found.controls}")),
            replay=found,
            claim_kw=schedule.hc_kw + max(offered_kw, 0.0) if offered else self.walk.last_claim_kw,
            bound_kw=self._bound_kw(best) if options.bound else np.nan,
            status=status,
            reason=" ".join([self._reason(status, offered_kw, settled), *self.said]),
            rounds=tuple(self.rounds),
            power_flows=self.trials.power_flows,
            seconds=time.perf_counter() - self.begun,
            controls=self.bench.selection,
            cut=cut,
            offered_kw=offered_kw,
            binding=offered.prices if offered else (),
            bare_losses_kwh=float(self.trials.bare.losses_kw.sum() * schedule.step_h),
        )

    def _reason(self, status: str, offered_kw: float, settled: bool) -> str:
        tolerance, reach = 100 * self.options.tolerance, self.options.first_radius * self.largest_kw
        last = f" {self.rounds[-1].worst} stood in the way." if self.rounds and self.rounds[-1].worst else ""
        if status == OUT_OF_TIME:
            return f"{self.options.time_limit_s:g} s were over after {len(self.rounds)} rounds.{last}"
        if settled:
            return (
                f"Within {reach:.0f} kW at each site the tangent offers no move that gains more than {tolerance:g} %."
            )
        words = f"Within {reach:.0f} kW at each site the tangent offers {offered_kw:.1f} kW more"
        if status == OUT_OF_ROUNDS:
            return f"{words}; {len(self.rounds)} rounds did not settle it.{last}"
        seen = self.walk.visited
        why = why_stalled(seen[-1], [s.found for s in seen], self.largest_kw) if seen else self.walk.why
        return f"{words}, which replays refuse. {why}"
