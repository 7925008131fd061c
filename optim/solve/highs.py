"""Pyomo -> HiGHS: one session per program, rows added as they are found violated, every claim with its bound.

The Pyomo model is the program; the session compiles it once to matrices and keeps HiGHS beside it, so that
adding cuts, fixing decisions and re-solving cost what changed and no more. Another solver that Pyomo knows gets the
model as it stands (`pyomo_solvers`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence

import highspy
import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from numpy.typing import NDArray
from pyomo.common.gc_manager import PauseGC
from pyomo.core.base.constraint import ConstraintData
from pyomo.core.base.var import VarData
from pyomo.core.expr.numeric_expr import LinearExpression
from pyomo.repn import generate_standard_repn
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

from optim.data.schedule import SolveStatus
from optim.errors import InfeasibleError, SolverError
from optim.solve.highs_process import QuietHighs, run, use_threads
from optim.solve.options import Progress, ProgressCallback, SolveOptions
from optim.solve.outcome import Outcome, relative_gap

_LOG = logging.getLogger("hcsim.optim.solve")
_SET_RUN_BY_RUN = {"mip_rel_gap": "gap", "time_limit": "time_limit_s"}
"""Options of HiGHS that a name of `SolveOptions` rules: given beside it they would be overwritten."""


class HighsSession:
    """HiGHS beside a Pyomo model.

    Columns are the model's variables in declaration order; rows are its constraints, then those added.
    Maximization and minimization are kept as the model states them: `Outcome.bound` is above the objective
    when maximizing, below when minimizing.
    """

    def __init__(
        self, model: pyo.ConcreteModel, options: SolveOptions, progress: ProgressCallback | None = None, phase: str = ""
    ) -> None:
        self.model = model
        self.options = options
        self.phase = phase
        self._progress = progress
        self._started = time.perf_counter()
        self.nodes = 0
        """Branch-and-bound nodes of all runs so far."""
        self.interrupted = False
        """Whether the user has pressed Ctrl-C in any run."""
        self._h = QuietHighs()
        self._set_options()
        self._compile()

    # -- building ---------------------------------------------------------------------------------------

    def _set_options(self) -> None:
        wanted: dict[str, bool | int | float | str] = {"threads": 1, "parallel": "off", "random_seed": 0}
        wanted |= {"mip_rel_gap": self.options.gap, **self.options.extra}
        for name, own in _SET_RUN_BY_RUN.items():
            if name in self.options.extra:
                raise SolverError(f"Option {name} of HiGHS is set anew for every run.", f"Use {own} instead.")
        use_threads(wanted["threads"])
        for name, value in wanted.items():
            if self._h.setOptionValue(name, value) != highspy.HighsStatus.kOk:
                raise SolverError(
                    f"HiGHS does not take option {name} = {value!r}.",
                    "See the list of HiGHS options; names are checked so that none is ignored.",
                )

    def _compile(self) -> None:
        objective = next(self.model.component_data_objects(pyo.Objective, active=True))
        self.maximize = objective.sense == pyo.maximize
        self.variables: list[VarData] = list(self.model.component_data_objects(pyo.Var))
        info = LinearStandardFormCompiler().write(
            self.model, mixed_form=True, column_order=self.variables, set_sense=None
        )
        # the compiler drops variables that stand in no row yet; rows added later may need them: at the end
        kept = {id(v) for v in info.columns}
        dropped = [v for v in self.variables if id(v) not in kept]
        self.variables = [*info.columns, *dropped]
        self._column = {id(v): i for i, v in enumerate(self.variables)}
        self.point: NDArray[np.float64] = np.full(len(self.variables), np.nan)
        """Values at the last run, in the order of `variables`."""
        n, a = len(self.variables), info.A.tocsr()
        lower, upper = _variable_bounds(self.variables)
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = n, a.shape[0]
        cost = np.asarray(info.c.todense()).reshape(-1) if info.c.shape[0] else np.zeros(len(info.columns))
        lp.col_cost_ = np.concatenate([cost, np.zeros(len(dropped))])
        lp.offset_ = float(info.c_offset[0]) if len(info.c_offset) else 0.0
        lp.sense_ = highspy.ObjSense.kMaximize if self.maximize else highspy.ObjSense.kMinimize
        lp.col_lower_, lp.col_upper_ = lower, upper
        kinds = np.array([kind for _, kind in info.rows], dtype=int)
        rhs = np.asarray(info.rhs, dtype=float)
        lp.row_lower_ = np.where(kinds <= 0, rhs, -highspy.kHighsInf)
        lp.row_upper_ = np.where(kinds >= 0, rhs, highspy.kHighsInf)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = a.indptr, a.indices, a.data
        lp.integrality_ = [_kind(v) for v in self.variables]
        self.row_names = [constraint.name for constraint, _ in info.rows]
        self._known = set(self.row_names)
        if self._h.passModel(lp) == highspy.HighsStatus.kError:
            raise SolverError("HiGHS refuses the program.", "This is a fault of hcsim: please report it.")

    def add(self, constraints: Iterable[ConstraintData]) -> None:
        """Adds rows that already stand in the Pyomo model."""
        with PauseGC():  # thousands of small objects that all live on
            for constraint in constraints:
                coefficients, variables, constant = _linear_parts(constraint.body)
                columns = np.array([self._column[id(v)] for v in variables], dtype=np.int32)
                lower = -highspy.kHighsInf if constraint.lower is None else pyo.value(constraint.lower)
                upper = highspy.kHighsInf if constraint.upper is None else pyo.value(constraint.upper)
                self._h.addRow(
                    lower - constant, upper - constant, len(columns), columns, np.array(coefficients, dtype=float)
                )
                self.row_names.append(constraint.name)
                self._known.add(constraint.name)

    def add_rows(self, rows: sp.csr_array, lower: NDArray[np.float64], upper: NDArray[np.float64], name: str) -> None:
        """Adds rows given as a matrix over `variables`; all of them carry one name."""
        rows.sort_indices()
        self._h.addRows(
            rows.shape[0],
            lower,
            upper,
            rows.nnz,
            rows.indptr[:-1].astype(np.int32),
            rows.indices.astype(np.int32),
            rows.data,
        )
        self.row_names += [name] * rows.shape[0]

    def set_bounds(self, variables: Iterable[VarData], lower: Iterable[float], upper: Iterable[float]) -> None:
        """Bounds in the solver only; the Pyomo model keeps its own. Equal bounds fix a variable."""
        columns = self.columns(variables)
        self._h.changeColsBounds(
            len(columns), columns, np.asarray(list(lower), dtype=float), np.asarray(list(upper), dtype=float)
        )

    def restore_bounds(self, variables: Iterable[VarData]) -> None:
        chosen = list(variables)
        self.set_bounds(chosen, *_variable_bounds(chosen))

    def set_integer(self, variables: Iterable[VarData], integer: bool) -> None:
        columns = self.columns(variables)
        kind = highspy.HighsVarType.kInteger if integer else highspy.HighsVarType.kContinuous
        self._h.changeColsIntegrality(len(columns), columns, np.full(len(columns), int(kind), dtype=np.uint8))

    def columns(self, variables: Iterable[VarData]) -> NDArray[np.int32]:
        """Positions in `variables`, `point` and the columns of `add_rows`."""
        return np.array([self._column[id(v)] for v in variables], dtype=np.int32)

    # -- solving ----------------------------------------------------------------------------------------

    @property
    def seconds_left(self) -> float:
        return self.options.time_limit_s - (time.perf_counter() - self._started)

    @property
    def nodes_left(self) -> int:
        return max(self.options.max_nodes - self.nodes, 0)

    def start_from(self, variables: Iterable[VarData], values: Iterable[float]) -> None:
        """A (partial) starting point; HiGHS completes and checks it."""
        columns = self.columns(variables)
        self._h.setSolution(len(columns), columns, np.asarray(list(values), dtype=float))

    def set_option(self, name: str, value: bool | int | float | str) -> None:
        if self._h.setOptionValue(name, value) != highspy.HighsStatus.kOk:
            raise SolverError(f"HiGHS does not take option {name} = {value!r}.")

    def run(
        self,
        *,
        gap: float | None = None,
        time_limit_s: float | None = None,
        max_nodes: int | None = None,
        overtime: bool = False,
        explain: bool = True,
    ) -> Outcome:
        """Solves and loads the values into the Pyomo variables.

        `time_limit_s` is for this run; the program's own limit holds too, unless `overtime` is given: for the
        short runs that make a decision usable which was found just before the end.

        Raises InfeasibleError with the names of an irreducible set of conflicting rows (without `explain` no
        names, which are dear where infeasibility is part of the search), SolverError where
        HiGHS fails. A time limit without any feasible point comes back as `values_valid=False`.
        """
        begun = time.perf_counter()
        wanted = time_limit_s if time_limit_s is not None else np.inf
        limit = wanted if overtime else min(self.seconds_left, wanted)
        self._h.setOptionValue("mip_rel_gap", self.options.gap if gap is None else gap)
        nodes = self.nodes_left if max_nodes is None else min(max_nodes, self.nodes_left)
        budgets = {"mip_max_nodes": max(nodes, 1), "simplex_iteration_limit": self.options.max_iterations}
        for name, most in budgets.items():
            if name not in self.options.extra:  # what the user says by the solver's own name holds in every run
                self._h.setOptionValue(name, most)
        # whether HiGHS counts time per run or over all runs of one object depends on its version: the option
        # never cuts short, the callback ends the run in time
        self._h.setOptionValue("time_limit", self._h.getRunTime() + max(limit, 0.1))
        interrupted = self._run_interruptibly(begun + max(limit, 0.1))
        if self._h.getModelStatus() in (highspy.HighsModelStatus.kUnknown, highspy.HighsModelStatus.kSolveError):
            # numerical trouble from the last basis; a run from nothing mostly ends it
            self._h.clearSolver()
            interrupted = self._run_interruptibly(begun + max(limit, 0.1))
        seconds = time.perf_counter() - begun
        status = self._h.getModelStatus()
        info = self._h.getInfo()
        self.nodes += max(int(info.mip_node_count), 0)
        kinds = highspy.HighsModelStatus
        if status in (kinds.kInfeasible, kinds.kUnboundedOrInfeasible):
            rows = tuple(conflicting_rows(self)) if explain else ()
            raise InfeasibleError("The program has no solution.", _conflict(rows) if explain else "", rows)
        if status == kinds.kUnbounded:
            raise SolverError(
                "The program is unbounded: nothing limits its objective.",
                "Add a limit (reverse flow, voltage or rating).",
            )
        values = np.asarray(self._h.getSolution().col_value)
        valid = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
        if valid:
            self.point = values
            for variable, number in zip(self.variables, values.tolist(), strict=True):
                variable.set_value(number, skip_validation=True)
        worst = np.inf if self.maximize else -np.inf
        is_mip = np.isfinite(info.mip_dual_bound) and info.mip_node_count >= 0
        objective = float(info.objective_function_value) if valid else np.nan
        continuous_bound = objective if status == kinds.kOptimal else worst
        bound = float(info.mip_dual_bound) if is_mip else continuous_bound
        if status == kinds.kOptimal:
            proven = relative_gap(objective, bound) <= 1e-6
            word: SolveStatus = "optimal" if proven else "gap"
        elif interrupted:
            word = "interrupted"
        elif status in (kinds.kInterrupt, kinds.kTimeLimit):
            word = "time_limit"
        elif status in (kinds.kSolutionLimit, kinds.kIterationLimit):
            word = "work_limit"
        else:
            raise SolverError(
                f"HiGHS ended with {self._h.modelStatusToString(status)}, twice.",
                "Look for limits or profile values that are out of proportion.",
            )
        _LOG.debug("%s: %s, objective %.9g, bound %.9g, %.2f s", self.phase, word, objective, bound, seconds)
        return Outcome(word, objective, bound, seconds, bool(valid))

    def value(self, variables: Iterable[VarData]) -> NDArray[np.float64]:
        return np.array([v.value for v in variables], dtype=float)

    def binding_rows(self, price: float = 1e-6) -> set[str]:
        """Names of the rows that have a price (dual value) in the last continuous solve."""
        duals = np.asarray(self._h.getSolution().row_dual)
        return {self.row_names[r] for r in np.flatnonzero(np.abs(duals) > price)}

    def has_row(self, name: str) -> bool:
        return name in self._known

    def _run_interruptibly(self, deadline: float) -> bool:
        """Runs HiGHS in a thread, so that Ctrl-C stops it and keeps its best point. True where it was pressed."""
        stop = threading.Event()

        def on_mip(event: highspy.HighsCallbackEvent) -> None:
            if self._progress and event.data_out is not None:
                out = event.data_out
                seconds = time.perf_counter() - self._started
                self._progress(
                    Progress(self.phase, seconds, _finite(out.mip_primal_bound), _finite(out.mip_dual_bound))
                )

        def on_check(event: highspy.HighsCallbackEvent) -> None:
            if stop.is_set() or time.perf_counter() > deadline:
                event.interrupt()

        self._h.cbMipLogging.subscribe(on_mip)
        for channel in (self._h.cbMipInterrupt, self._h.cbSimplexInterrupt, self._h.cbIpmInterrupt):
            channel.subscribe(on_check)
        failure: list[BaseException] = []
        ended = threading.Event()  # not Thread.is_alive, which is wrong after a Ctrl-C in Thread.join (Python 3.11)

        def work() -> None:
            try:
                run(self._h)
            except BaseException as error:
                failure.append(error)
            finally:
                ended.set()

        worker = threading.Thread(target=work, daemon=True)
        try:
            try:
                worker.start()
            except KeyboardInterrupt:  # while it waited for the thread to begin
                if worker.ident is None:
                    raise
                stop.set()
            while not ended.is_set():
                try:
                    ended.wait(0.2)
                except KeyboardInterrupt:
                    stop.set()
        finally:
            self._h.cbMipLogging.unsubscribe(on_mip)
            for channel in (self._h.cbMipInterrupt, self._h.cbSimplexInterrupt, self._h.cbIpmInterrupt):
                channel.unsubscribe(on_check)
        if failure:
            raise SolverError(f"HiGHS failed: {failure[0]}")
        self.interrupted = self.interrupted or stop.is_set()
        return stop.is_set()


def _conflict(rows: tuple[str, ...]) -> str:
    if not rows:
        return "The integer decisions admit no solution, though their relaxation has one."
    shown = ", ".join(rows[:12]) + (f" and {len(rows) - 12} more" if len(rows) > 12 else "")
    return f"These cannot hold together: {shown}."


def _linear_parts(body: object) -> tuple[Sequence[float], Sequence[VarData], float]:
    """Coefficients, variables and constant of a linear body; ours are written as they are read here."""
    if isinstance(body, LinearExpression) and len(set(map(id, body.linear_vars))) == len(body.linear_vars):
        return body.linear_coefs, body.linear_vars, float(body.constant)
    repn = generate_standard_repn(body, compute_values=True)
    return repn.linear_coefs, repn.linear_vars, repn.constant


def conflicting_rows(session: HighsSession) -> list[str]:
    """Rows of an irreducible infeasible subset of the linear relaxation, by their names in the model."""
    strategy = highspy.IisStrategy
    wanted = (strategy.kIisStrategyFromLp, strategy.kIisStrategyIrreducible, strategy.kIisStrategyRelaxation)
    session.set_option("iis_strategy", sum(int(s) for s in wanted))
    status, iis = session._h.getIis()
    if status == highspy.HighsStatus.kError:
        return []
    return [session.row_names[i] for i in iis.row_index_]


def _variable_bounds(variables: list[VarData]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lower = [v.value if v.fixed else v.lb for v in variables]
    upper = [v.value if v.fixed else v.ub for v in variables]
    return (
        np.array([-highspy.kHighsInf if b is None else b for b in lower], dtype=float),
        np.array([highspy.kHighsInf if b is None else b for b in upper], dtype=float),
    )


def _kind(variable: VarData) -> highspy.HighsVarType:
    """A fixed variable needs no integrality: one would make a linear program a MIP, without prices."""
    if variable.fixed:
        return highspy.HighsVarType.kContinuous
    return highspy.HighsVarType.kContinuous if variable.is_continuous() else highspy.HighsVarType.kInteger


def _finite(value: float) -> float:
    return float(value) if abs(value) < highspy.kHighsInf else float("nan")
