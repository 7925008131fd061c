"""The closed loop: a hosting capacity that the full simulation, with every control acting, has passed.

Each round linearizes every hour where the replay of the present schedule came to stand (voltages, taps, banks),
solves the program inside a trust region around it, replays what it proposes with controls free, and moves
there if the replay agrees. Taps jump, so a linear model is never right for long: limits have a price instead
of being hard, a small margin is kept, the region shrinks where the replay disagrees, and the best schedule
that passed is kept throughout. Between it and a proposal that failed lies a segment of schedules with the same
decisions; the furthest that passes on it is looked for as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hcsim.errors import InfeasibleError, SolverError
from hcsim.linearize import replay_and_linearize
from hcsim.results import ReplayResult
from hcsim.workbench import Workbench
from optim.hosting_problem import HostingProblem, TrustRegion
from optim.hosting_search import solve_hosting
from optim.limits import new_violations
from optim.linear_model import Floats, LinearModel
from optim.schedule import Schedule
from optim.storage import Fleet


@dataclass(frozen=True)
class LoopOptions:
    """How long and how finely the loop looks."""

    time_limit_s: float = 120.0
    max_rounds: int = 40
    tolerance: float = 2e-3
    """Certified to tolerance: the certified capacity is within this share of the claim, and of the round
    before."""
    margin_pu: float = 2e-4
    margin_kw: float = 0.5
    elastic_kw_per_pu: float = 2e5
    first_radius: float = 1.0
    """Share of the first claim that a site's capacity or reactive power may move in one round."""
    smallest_radius: float = 1e-3
    probes: int = 3
    """Replays spent on the segment between the certified schedule and a proposal that failed."""


@dataclass(frozen=True)
class Round:
    """One round, as shown and stored."""

    number: int
    claim_kw: float
    """What the linear program proposes."""
    passed: bool
    new_violations: int
    worst: str
    """The worst new violation and where, in words; "" where there is none."""
    tap_operations: int
    certified_kw: float
    """Best so far, after this round."""
    radius_kw: float
    seconds: float


@dataclass(frozen=True)
class Certificate:
    """What the loop hands out. `schedule` passed its replay with controls free: no new violation."""

    case: str
    schedule: Schedule
    replay: ReplayResult
    claim_kw: float
    """Of the last linear program, inside its trust region."""
    bound_kw: float
    """Proven for the last linearization without trust region; NaN where it was not solved."""
    status: str
    """"certified to tolerance", "stalled" or "out of time"."""
    reason: str
    """One sentence: what stopped the loop."""
    rounds: tuple[Round, ...]
    power_flows: int
    seconds: float

    @property
    def certified_kw(self) -> float:
        return self.schedule.hc_kw


def certify(
    bench: Workbench,
    claim: Schedule,
    options: LoopOptions | None = None,
    listen: Callable[[Round], None] | None = None,
) -> Certificate:
    """Runs the loop from a claimed schedule; its placement and statuses are kept.

    Raises ConvergenceError only where the bare feeder itself does not converge.
    """
    return _Loop(bench, claim, options or LoopOptions(), listen).run()


@dataclass(frozen=True)
class _Center:
    """Where the loop stands: a schedule, the linear model at its replay, and what the replay is worth."""

    schedule: Schedule
    model: LinearModel
    merit: float


class _Loop:
    def __init__(self, bench: Workbench, claim: Schedule, options: LoopOptions,
                 listen: Callable[[Round], None] | None) -> None:  # fmt: skip
        self.begun = time.perf_counter()
        self.bench, self.options, self.claim = bench, options, claim
        self.listen = listen
        self.steps = len(bench.profiles)
        self.fleet = Fleet(claim.bess, _nodes_by_unit(claim)) if claim.bess else None
        self.charging = _statuses(claim) if claim.bess else None
        self.ports = tuple(dict.fromkeys((*bench.pv_nodes, *claim.pv_nodes, *claim.bess_nodes)))
        self.power_flows = 0
        self.rounds: list[Round] = []
        self.best: tuple[Schedule, ReplayResult] | None = None
        self.last_claim_kw = np.nan
        self.margin_pu, self.margin_kw = self.options.margin_pu, self.options.margin_kw

    def run(self) -> Certificate:
        bare, model = replay_and_linearize(
            self.bench.circuit, self.bench.network, self.bench.profiles, self.bench.limits, None, self.ports,
            controls="free",
        )  # fmt: skip
        self.bare = bare
        self.power_flows += self.steps
        nothing = idle(self.claim)
        self.best = (nothing, self._replay(nothing)[0])
        self.center = _Center(nothing, model, 0.0)
        self._begin_at_claim()
        largest = max(self.claim.hc_kw, 1.0)
        radius, settled = self.options.first_radius * largest, 0
        while True:
            stop = self._out_of_budget()
            if stop:
                break
            before = self.certified_kw
            try:
                proposal = self._propose(radius)
            except (InfeasibleError, SolverError) as error:
                stop = "stalled", f"The linear program of round {len(self.rounds) + 1} failed: {error}"
                break
            self.last_claim_kw = proposal.hc_kw
            found, there = self._replay(proposal)
            passed = self._keep_if_passed(proposal, found)
            moved = self._move(proposal, found, there)
            self._log(proposal, found, passed, radius)
            radius = min(radius * 1.5, largest) if passed else radius * (0.7 if moved else 0.4)
            self._adapt_margins(found)
            near = self.certified_kw >= (1.0 - self.options.tolerance) * self.last_claim_kw
            still = self.certified_kw - before <= self.options.tolerance / 4 * max(self.certified_kw, 1.0)
            settled = settled + 1 if near and still else 0
            if settled >= 2:
                stop = "certified to tolerance", (
                    f"Certified capacity and claim agree to {100 * self.options.tolerance:g} %, and another "
                    "round moved neither."
                )  # fmt: skip
                break
            if radius < self.options.smallest_radius * largest:
                stop = self._stalled()
                break
        return self._certificate(*stop)

    def _out_of_budget(self) -> tuple[str, str]:
        if time.perf_counter() - self.begun > self.options.time_limit_s:
            return "out of time", f"{self.options.time_limit_s:g} s were over."
        if len(self.rounds) >= self.options.max_rounds:
            return "stalled", f"{self.options.max_rounds} rounds did not settle it."
        return ()  # type: ignore[return-value]

    # -- one round ----------------------------------------------------------------------------------------

    def _begin_at_claim(self) -> None:
        """At the claim if its replay is worth more than doing nothing, else at what passes of it."""
        found, there = self._replay(self.claim)
        self._keep_if_passed(self.claim, found)
        self._move(self.claim, found, there)

    def _move(self, proposal: Schedule, found: ReplayResult, there: LinearModel) -> bool:
        """Moves the center to the proposal, or to the furthest on the way there that passes, if that is better."""
        merit = self._merit(proposal, found)
        if merit > self.center.merit:
            self.center = _Center(proposal, there, merit)
            moved = True
        else:
            moved = False
        if not found.passed:
            self._search_segment(proposal)
            if self.certified_kw > self.center.merit:
                assert self.best is not None
                again, model = self._replay(self.best[0])
                self.center = _Center(self.best[0], model, self._merit(self.best[0], again))
                moved = True
        return moved

    def _adapt_margins(self, found: ReplayResult) -> None:
        """A small overstep is what the linear model does not see: stay further inside by most of it."""
        table = new_violations(found.violations)
        volts = _worst_excess(table, ("overvoltage", "undervoltage"))
        power = _worst_excess(table, ("reverse_flow",))
        options = self.options
        self.margin_pu = min(max(options.margin_pu, 0.7 * self.margin_pu + 0.7 * min(volts, 1e-3)), 3e-3)
        self.margin_kw = min(max(options.margin_kw, 0.7 * self.margin_kw + 0.7 * min(power, 10.0)), 30.0)

    def _propose(self, radius: float) -> Schedule:
        options = self.bench.solve_options(None, max(10.0, self.options.time_limit_s / 4))
        problem = self._problem(self.center.model, self._trust(self.center.schedule, radius))
        return solve_hosting(problem, self.claim.case, options)

    def _problem(self, model: LinearModel, trust: TrustRegion | None) -> HostingProblem:
        return HostingProblem(
            model=model,
            profiles=self.bench.profiles,
            limits=self.bench.limits,
            pv_nodes=self.claim.pv_nodes,
            fleet=self.fleet,
            night_var=self.bench.pv.night_var,
            already=self.bare.operation,
            margin_pu=self.margin_pu,
            margin_kw=self.margin_kw,
            elastic_kw_per_pu=self.options.elastic_kw_per_pu,
            trust=trust,
            charging=self.charging,
        )

    def _trust(self, center: Schedule, radius: float) -> TrustRegion:
        largest = max((u.power_kw for u in center.bess), default=0.0)
        share = min(1.0, radius / max(self.claim.hc_kw, 1.0))
        net = {n: center.bess_p_kw[:, d] for d, n in enumerate(center.bess_nodes)}
        return TrustRegion(center.pv_kw, center.pv_q_kvar, net, radius, radius, max(2.0 * share * largest, 1.0))

    def _replay(self, schedule: Schedule) -> tuple[ReplayResult, LinearModel]:
        self.power_flows += self.steps
        b = self.bench
        return replay_and_linearize(
            b.circuit, b.network, b.profiles, b.limits, schedule, self.ports, controls="free", base=self.bare
        )

    def _keep_if_passed(self, schedule: Schedule, found: ReplayResult) -> bool:
        passed = found.passed
        if passed and schedule.hc_kw > self.certified_kw:
            self.best = (schedule, found)
        return passed

    def _search_segment(self, far: Schedule) -> None:
        """Bisects between the best certified schedule and one that failed for the furthest that passes."""
        assert self.best is not None
        near, low, high = self.best[0], 0.0, 1.0
        if far.hc_kw <= near.hc_kw:
            return
        for _ in range(self.options.probes):
            share = (low + high) / 2
            probe = blend(near, far, share)
            found = self._replay_only(probe)
            if self._keep_if_passed(probe, found):
                low = share
            else:
                high = share

    def _replay_only(self, schedule: Schedule) -> ReplayResult:
        self.power_flows += self.steps
        return self.bench.replay(schedule, "free", base=self.bare)

    def _merit(self, schedule: Schedule, found: ReplayResult) -> float:
        """Capacity less the price of what the replay broke, by the prices of the program."""
        table = new_violations(found.violations)
        cost = 0.0
        for row in table.itertuples():
            if not np.isfinite(row.value):
                return -np.inf
            over = abs(row.value - row.limit)
            cost += over * (10.0 if row.unit in ("kW", "kvar", "kWh") else 0.05 * self.options.elastic_kw_per_pu)
        return schedule.hc_kw - cost

    # -- the end ------------------------------------------------------------------------------------------

    @property
    def certified_kw(self) -> float:
        return self.best[0].hc_kw if self.best else -1.0

    def _stalled(self) -> tuple[str, str]:
        last = self.rounds[-1]
        if last.worst:
            return "stalled", f"Smaller steps did not remove it: {last.worst}."
        return "stalled", "Smaller steps did not raise the certified capacity."

    def _log(self, proposal: Schedule, found: ReplayResult, passed: bool, radius: float) -> None:
        table = new_violations(found.violations)
        self.rounds.append(
            Round(
                number=len(self.rounds) + 1,
                claim_kw=proposal.hc_kw,
                passed=passed,
                new_violations=len(table),
                worst=worst_in_words(found),
                tap_operations=found.tap_operations,
                certified_kw=self.certified_kw,
                radius_kw=radius,
                seconds=time.perf_counter() - self.begun,
            )
        )
        if self.listen:
            self.listen(self.rounds[-1])

    def _certificate(self, status: str, reason: str) -> Certificate:
        assert self.best is not None
        schedule, found = self.best
        return Certificate(
            case=self.claim.case,
            schedule=replace(schedule, assumptions=(*schedule.assumptions, "certified with controls free")),
            replay=found,
            claim_kw=self.last_claim_kw,
            bound_kw=np.nan,
            status=status,
            reason=reason,
            rounds=tuple(self.rounds),
            power_flows=self.power_flows,
            seconds=time.perf_counter() - self.begun,
        )


# -- schedules --------------------------------------------------------------------------------------------


def idle(schedule: Schedule) -> Schedule:
    """The same devices, doing nothing."""
    return blend(schedule, schedule, 0.0, scale=0.0)


def blend(near: Schedule, far: Schedule, share: float, scale: float = 1.0) -> Schedule:
    """(1 - share) near + share far, of equal devices and statuses: every constraint of one schedule is convex."""

    def between(a: Floats, b: Floats) -> Floats:
        return scale * ((1.0 - share) * a + share * b)

    return replace(
        near,
        pv_kw=between(near.pv_kw, far.pv_kw),
        pv_p_kw=between(near.pv_p_kw, far.pv_p_kw),
        pv_q_kvar=between(near.pv_q_kvar, far.pv_q_kvar),
        p_charge_kw=between(near.p_charge_kw, far.p_charge_kw),
        p_discharge_kw=between(near.p_discharge_kw, far.p_discharge_kw),
        soc_kwh=between(near.soc_kwh, far.soc_kwh) if scale else np.repeat(near.soc_kwh[:1], len(near.soc_kwh), 0),
        predicted_nodes=(),
        predicted_v_pu=None,
        substation_phases=(),
        predicted_substation_kw=None,
        solve=None,
    )


def _nodes_by_unit(schedule: Schedule) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(n for n, of in zip(schedule.bess_nodes, schedule.bess_of, strict=True) if of == u)
        for u in range(len(schedule.bess))
    )


def _statuses(schedule: Schedule) -> Floats:
    """(T, U) one where a unit charges."""
    net = np.zeros((len(schedule.times), len(schedule.bess)))
    for d, u in enumerate(schedule.bess_of):
        net[:, u] += schedule.p_charge_kw[:, d] - schedule.p_discharge_kw[:, d]
    return (net > 0).astype(float)


def _worst_excess(table: pd.DataFrame, criteria: tuple[str, ...]) -> float:
    chosen = table[table["criterion"].isin(criteria)]
    return float((chosen["value"] - chosen["limit"]).abs().max()) if len(chosen) else 0.0


def worst_in_words(found: ReplayResult) -> str:
    """The first new violation of the table, which stands worst first, with bus, phase and hour."""
    table = new_violations(found.violations)
    if not len(table):
        return ""
    row = table.iloc[0]
    where = f"{row.element}.{row.phase}" if row.phase else str(row.element)
    what = f"{row.criterion.replace('_', ' ')} {row.value:.5g} {row.unit} (limit {row.limit:.5g})"
    return f"{what} at {where} at {row.time}"
