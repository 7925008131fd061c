"""Other solvers than HiGHS, through Pyomo's own factory; each gets the model as it stands."""

from __future__ import annotations

import time

import numpy as np
import pyomo.environ as pyo
from pyomo.common.log import LoggingIntercept

from optim.data.schedule import SolveStatus
from optim.errors import InfeasibleError, SolverError
from optim.solve.highs_process import others_may_use_highs
from optim.solve.options import SolveOptions
from optim.solve.outcome import Outcome

GAP_OPTION = {
    "appsi_highs": "mip_rel_gap",
    "cbc": "ratioGap",
    "cplex": "mip_tolerances_mipgap",
    "glpk": "mipgap",
    "gurobi": "MIPGap",
    "scip": "limits/gap",
    "scip_direct": "limits/gap",
}
"""What other solvers that Pyomo knows call the relative gap."""


def solve_with_pyomo(model: pyo.ConcreteModel, options: SolveOptions) -> Outcome:
    """Another solver through Pyomo's own factory; status and bound as that solver reports them.

    Time limit and gap are passed on; whether an unknown name in `options.extra` is refused is up to that solver.
    One that says "optimal" and reports no bound is taken at its word. Raises SolverError where the solver is
    not installed or its name for the gap is not known here, InfeasibleError.
    """
    with others_may_use_highs():
        return _solve(model, options)


def _solve(model: pyo.ConcreteModel, options: SolveOptions) -> Outcome:
    with LoggingIntercept(module="pyomo"):  # an unknown name is told below, not as a traceback in a log
        solver = pyo.SolverFactory(options.solver)
        available = solver is not None and solver.available(exception_flag=False)
    if available and options.solver not in GAP_OPTION:
        raise SolverError(
            f"How {options.solver!r} calls its gap is not known here.",
            f"Known solvers: highs, {', '.join(GAP_OPTION)}.",
        )
    if not available:
        raise SolverError(
            f"The solver {options.solver!r} is not available.", 'Install it, or write solver.name = "highs".'
        )
    begun = time.perf_counter()
    wanted = {GAP_OPTION[options.solver]: options.gap, **options.extra}
    results = solver.solve(model, load_solutions=False, timelimit=options.time_limit_s, options=wanted)
    seconds = time.perf_counter() - begun
    condition = results.solver.termination_condition
    if condition in (pyo.TerminationCondition.infeasible, pyo.TerminationCondition.infeasibleOrUnbounded):
        raise InfeasibleError("The program has no solution.")
    if not len(results.solution):
        return Outcome("time_limit", np.nan, np.nan, seconds, False)
    model.solutions.load_from(results)
    objective = pyo.value(next(model.component_data_objects(pyo.Objective, active=True)))
    maximize = results.problem.sense == pyo.maximize
    reported = results.problem.upper_bound if maximize else results.problem.lower_bound
    word: SolveStatus = "optimal" if condition == pyo.TerminationCondition.optimal else "time_limit"
    bound = float(objective if word == "optimal" else np.nan) if reported is None else float(reported)
    return Outcome(word, float(objective), bound, seconds, True)
