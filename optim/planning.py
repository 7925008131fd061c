"""Paper 2: siting and sizing of storage on a radial feeder, schemes A, B and C.

A: the feeder as it is. B: storage for the typical day. C: storage for the typical day and the hosting
capacity. Given the plan, the two scenarios are independent: each scheme's hosting capacity is that of its
plan in the PVHC scenario, with a dispatch of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyomo.environ as pyo

from optim.errors import InfeasibleError
from optim.planning_case import PlanningCase, ScenarioName, Scheme
from optim.planning_conflict import explained
from optim.planning_model import MONEY, PlanningProgram, build, loss_rate
from optim.planning_result import (
    PlannedUnit,
    PlanningResult,
    ScenarioOperation,
    bare_operation,
    plan_of,
    program_operation,
)
from optim.planning_solve import SolvedProgram, solve_program
from optim.schedule import SolveInfo
from optim.solver import ProgressCallback, SolveOptions


def solve_planning(case: PlanningCase, scheme: Scheme, options: SolveOptions,
                   progress: ProgressCallback | None = None) -> PlanningResult:  # fmt: skip
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
    typical = bare_operation(case)
    program, solved = _solve(case, ("pvhc",), None, "scheme A", options, progress)
    loss_cny = MONEY * loss_rate(case) * float(typical.losses_kw.sum()) / 1e3
    return _result(case, "A", (), typical, program_operation(program, "pvhc"), solved, solved, options,
                   objective_cny=loss_cny, loss_cny=loss_cny, capex_cny=0.0, om_cny=0.0)  # fmt: skip


def storage_scheme(case: PlanningCase, scheme: Scheme, options: SolveOptions,
                   progress: ProgressCallback | None) -> PlanningResult:  # fmt: skip
    """B decides the plan on the typical day alone, C on both scenarios together."""
    scenarios: tuple[ScenarioName, ...] = ("typical",) if scheme == "B" else ("typical", "pvhc")
    program, solved = _solve(case, scenarios, None, f"scheme {scheme}", options, progress)
    plan, m = plan_of(program), program.model
    typical = program_operation(program, "typical")
    capex, om, loss = (MONEY * pyo.value(f) for f in (m.f_idess, m.f_odess, m.f_loss))
    hosting, hosted = _solve(case, ("pvhc",), plan, f"scheme {scheme}, hosting capacity", options, progress)
    pvhc = program_operation(hosting, "pvhc")
    if scheme == "C":
        together = program_operation(program, "pvhc")
        if _mw(together) > _mw(pvhc):  # caps agreed at another point: see exactness.py
            pvhc = together
    revenue = case.costs.pvhc_revenue_cny_per_mw * _mw(pvhc) if scheme == "C" else 0.0
    return _result(case, scheme, plan, typical, pvhc, solved, hosted, options,
                   objective_cny=capex + om + loss - revenue, loss_cny=loss, capex_cny=capex, om_cny=om)  # fmt: skip


def _solve(
    case: PlanningCase, scenarios: tuple[ScenarioName, ...], plan: Sequence[PlannedUnit] | None, what: str,
    options: SolveOptions, progress: ProgressCallback | None,
) -> tuple[PlanningProgram, SolvedProgram]:  # fmt: skip
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


def _mw(operation: ScenarioOperation) -> float:
    return sum(operation.pvhc_kw.values()) / 1e3


def _result(
    case: PlanningCase, scheme: Scheme, plan: tuple[PlannedUnit, ...], typical: ScenarioOperation,
    pvhc: ScenarioOperation, solved: SolvedProgram, hosted: SolvedProgram, options: SolveOptions, *,
    objective_cny: float, loss_cny: float, capex_cny: float, om_cny: float,
) -> PlanningResult:  # fmt: skip
    return PlanningResult(
        scheme=scheme, exactness=case.exactness, plan=plan, capex_cny_per_year=capex_cny,
        om_cny_per_year=om_cny, loss_cny_per_year=loss_cny, pvhc_mw=_mw(pvhc),
        pvhc_revenue_cny=case.costs.pvhc_revenue_cny_per_mw * _mw(pvhc), objective_cny=objective_cny,
        typical=typical, pvhc=pvhc, solve=_info(solved, options), pvhc_solve=_info(hosted, options),
        cones=solved.cones, rounds=solved.rounds, slack_relaxed=solved.slack_relaxed.get("typical", 0.0),
        violation=max(solved.violation, hosted.violation), notes=(*case.feeder.notes, *_notes(case)),
    )  # fmt: skip


def _info(solved: SolvedProgram, options: SolveOptions) -> SolveInfo:
    return SolveInfo(solved.status, solved.objective, solved.bound, solved.gap, solved.build_s,
                     solved.seconds - solved.build_s, options.solver)  # fmt: skip


def _notes(case: PlanningCase) -> tuple[str, ...]:
    if case.exactness == "capped":
        return (
            "Limits are held on lossless flows corrected by an AC power flow: the operating points are exact and "
            "feasible; the bound is that of the program under these corrections.",
        )
    return (
        "The program is solved as written: where the cones are slack, its voltages and losses are not those "
        "of any power flow.",
    )
