"""Paper 2: siting and sizing of storage on a radial feeder, schemes A, B and C.

A: the feeder as it is. B: storage for the typical day. C: storage for the typical day and the hosting
capacity. Given the plan, the two scenarios are independent: each scheme's hosting capacity is that of its
plan in the PVHC scenario, with a dispatch of its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyomo.environ as pyo

from optim.data.schedule import SolveInfo
from optim.errors import InfeasibleError
from optim.planning.case import PlanningCase, ScenarioName, Scheme
from optim.planning.conflict import explained
from optim.planning.exactness import largest_violation
from optim.planning.model import MONEY, PlanningProgram
from optim.planning.program import build, loss_rate
from optim.planning.refine import refine_hosting_capacity
from optim.planning.result import (
    PlannedUnit,
    PlanningResult,
    ScenarioOperation,
    bare_operation,
    plan_of,
    program_operation,
)
from optim.planning.search import SolvedProgram, solve_program
from optim.solve.options import ProgressCallback, SolveOptions


def solve_planning(
    case: PlanningCase, scheme: Scheme, options: SolveOptions, progress: ProgressCallback | None = None
) -> PlanningResult:
    """One scheme of paper 2.

    `options.time_limit_s` holds for each of the scheme's programs. Raises InfeasibleError naming bus, hour and
    limit; SolverError where the time limit comes before any plan. Stopped later, the result is the best plan
    so far with its proven bound.
    """
    if scheme == "A":
        return scheme_a(case, options, progress)
    return storage_scheme(case, scheme, options, progress)


def scheme_a(case: PlanningCase, options: SolveOptions, progress: ProgressCallback | None) -> PlanningResult:
    """No storage: a power flow of the typical day, and the hosting capacity of the feeder as it is."""
    begun = time.perf_counter()
    typical = bare_operation(case)
    loss_cny = MONEY * loss_rate(case) * float(typical.losses_kw.sum()) / 1e3
    hosted = host(case, (), "scheme A", options, progress)
    solve = SolveInfo(
        "optimal",
        loss_cny / MONEY,
        loss_cny / MONEY,
        0.0,
        0.0,
        time.perf_counter() - begun,
        notes=("There is nothing to decide: a power flow of the typical day.",),
    )
    return PlanningResult(
        scheme="A",
        exactness=case.exactness,
        plan=(),
        capex_cny_per_year=0.0,
        om_cny_per_year=0.0,
        loss_cny_per_year=loss_cny,
        pvhc_mw=hosted.mw,
        pvhc_revenue_cny=_revenue(case, hosted.mw),
        objective_cny=loss_cny,
        typical=typical,
        pvhc=hosted.operation,
        solve=solve,
        pvhc_solve=hosted.info,
        cones=hosted.solved.cones,
        rounds=hosted.solved.rounds,
        slack_relaxed=0.0,
        violation=hosted.violation,
        pvhc_refined_mw=hosted.refined_mw,
        notes=_notes(case),
    )


def storage_scheme(
    case: PlanningCase, scheme: Scheme, options: SolveOptions, progress: ProgressCallback | None
) -> PlanningResult:
    """B decides the plan on the typical day alone, C on both scenarios together."""
    scenarios: tuple[ScenarioName, ...] = ("typical",) if scheme == "B" else ("typical", "pvhc")
    program, solved = _solve(case, scenarios, None, f"scheme {scheme}", options, progress)
    plan, m = plan_of(program), program.model
    capex, om, loss = (MONEY * pyo.value(f) for f in (m.f_idess, m.f_odess, m.f_loss))
    hosted = host(case, plan, f"scheme {scheme}, hosting capacity", options, progress)
    revenue = _revenue(case, hosted.mw)
    return PlanningResult(
        scheme=scheme,
        exactness=case.exactness,
        plan=plan,
        capex_cny_per_year=capex,
        om_cny_per_year=om,
        loss_cny_per_year=loss,
        pvhc_mw=hosted.mw,
        pvhc_revenue_cny=revenue,
        objective_cny=capex + om + loss - (revenue if scheme == "C" else 0.0),
        typical=program_operation(program, "typical"),
        pvhc=hosted.operation,
        solve=_info(solved, options),
        pvhc_solve=hosted.info,
        cones=solved.cones,
        rounds=solved.rounds,
        slack_relaxed=solved.slack_relaxed["typical"],
        violation=max(solved.violation, hosted.violation),
        pvhc_refined_mw=hosted.refined_mw,
        notes=_notes(case),
    )


@dataclass(frozen=True)
class _Hosted:
    mw: float
    refined_mw: float
    operation: ScenarioOperation
    solved: SolvedProgram
    violation: float
    info: SolveInfo


def host(
    case: PlanningCase, plan: Sequence[PlannedUnit], what: str, options: SolveOptions, progress: ProgressCallback | None
) -> _Hosted:
    """The hosting capacity of a plan: the PVHC program, then climbed on the AC equations."""
    program, solved = _solve(case, ("pvhc",), plan, what, options, progress)
    begun = time.perf_counter()
    refined, violation = 0.0, solved.violation
    if case.exactness == "capped":
        refined = refine_hosting_capacity(program)
        violation = largest_violation(program)
    operation = program_operation(program, "pvhc")
    mw = sum(operation.pvhc_kw.values()) / 1e3
    seconds = solved.seconds - solved.build_s + time.perf_counter() - begun
    if case.exactness == "capped":
        notes = ("The best local optimum found on the AC equations; nothing global is proven.",)
        info = SolveInfo("feasible", mw, float("nan"), float("nan"), solved.build_s, seconds, options.solver, notes)
    else:
        info = SolveInfo(solved.status, mw, -solved.bound, solved.gap, solved.build_s, seconds, options.solver)
    return _Hosted(mw, refined, operation, solved, violation, info)


def _solve(
    case: PlanningCase,
    scenarios: tuple[ScenarioName, ...],
    plan: Sequence[PlannedUnit] | None,
    what: str,
    options: SolveOptions,
    progress: ProgressCallback | None,
) -> tuple[PlanningProgram, SolvedProgram]:
    """Builds and solves a program, the plan given or free (scheme A: no storage at all)."""
    storage = plan is not None or "typical" in scenarios
    if plan is not None:
        case = with_sites_of(case, plan)
        storage = bool(plan)
    program = build(case, scenarios, storage=storage)
    if plan is not None:
        hold_plan(program, plan)
    try:
        return program, solve_program(program, options, progress, what)
    except InfeasibleError as error:
        raise explained(case, scenarios, storage, what[0].upper() + what[1:]) from error


def with_sites_of(case: PlanningCase, plan: Sequence[PlannedUnit]) -> PlanningCase:
    """The case with no candidates but the plan's buses."""
    storage = replace(case.storage, min_units=0)
    return replace(case, areas={unit.area: (unit.bus,) for unit in plan}, storage=storage)


def hold_plan(program: PlanningProgram, plan: Sequence[PlannedUnit]) -> None:
    """Fixes sites and sizes to the plan."""
    m, storage = program.model, program.case.storage
    for unit in plan:
        for variable, value in (
            (m.site[unit.bus], 1),
            (m.energy_steps[unit.area], round(unit.energy_kwh / storage.energy_step_kwh)),
            (m.power_steps[unit.area], round(unit.power_kw / storage.power_step_kw)),
        ):
            variable.setlb(value)
            variable.setub(value)


def _revenue(case: PlanningCase, mw: float) -> float:
    return case.costs.pvhc_revenue_cny_per_mw * mw


def _info(solved: SolvedProgram, options: SolveOptions) -> SolveInfo:
    return SolveInfo(
        solved.status,
        solved.objective,
        solved.bound,
        solved.gap,
        solved.build_s,
        solved.seconds - solved.build_s,
        options.solver,
    )


def _notes(case: PlanningCase) -> tuple[str, ...]:
    if case.exactness == "capped":
        return (
            *case.feeder.notes,
            "Limits are held on lossless flows corrected by an AC power flow: the operating points are exact and "
            "feasible; the bound is that of the program under these corrections.",
        )
    return (
        *case.feeder.notes,
        "The program is solved as written: where the cones are slack, its voltages and losses are not those "
        "of any power flow.",
    )
