"""Linear programs as matrices that change from solve to solve: rows come and go by key, the basis stays.

A program is loaded as a whole (milliseconds) and HiGHS begins at the basis that the last one ended with, by column
and by the key of each row. One thread, a limit on simplex iterations and none on seconds but a guard: the same
programs in the same order have the same answers, on any machine.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import highspy
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from optim.errors import InfeasibleError, SolverError
from optim.solve.highs_process import QuietHighs, run, use_threads

Floats = NDArray[np.float64]
INF = highspy.kHighsInf
_BASIC = highspy.HighsBasisStatus.kBasic


@dataclass(frozen=True)
class Rows:
    """lower <= A x <= upper, a key for each row."""

    matrix: sp.csr_array
    lower: Floats
    upper: Floats
    keys: Sequence[Hashable]


@dataclass(frozen=True)
class Answer:
    """Values, reduced costs (C,) and prices (R,) of a linear program; signs as HiGHS has them."""

    objective: float
    values: Floats
    column_prices: Floats
    row_prices: Floats
    keys: tuple[Hashable, ...]
    iterations: int
    cut: Literal["", "work", "time"]
    """What ended the solve before its optimum: the limit on iterations, or the guard."""


class LinearPrograms:
    """A series of similar programs, maximized. `most_iterations` is for each solve, `guard_s` too."""

    def __init__(self, most_iterations: int, guard_s: float) -> None:
        self._h = QuietHighs()
        use_threads(1)
        self.iterations = 0
        """Of all solves so far."""
        for name, value in (
            ("threads", 1),
            ("parallel", "off"),
            ("solver", "simplex"),
            ("random_seed", 0),
            ("simplex_iteration_limit", most_iterations),
        ):
            self._h.setOptionValue(name, value)
        self._guard_s = guard_s
        self._columns: list[highspy.HighsBasisStatus] = []
        self._rows: dict[Hashable, highspy.HighsBasisStatus] = {}
        self._keys: list[Hashable] = []

    def load(self, cost: Floats, lower: Floats, upper: Floats, rows: Rows) -> None:
        """A whole program; the basis of the last one is where it begins, if it has as many columns."""
        a = rows.matrix
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(cost), a.shape[0]
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = cost, lower, upper
        lp.row_lower_, lp.row_upper_ = rows.lower, rows.upper
        lp.sense_ = highspy.ObjSense.kMaximize
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = a.indptr, a.indices, a.data
        self._keys = list(rows.keys)
        if self._h.passModel(lp) == highspy.HighsStatus.kError:
            raise SolverError("HiGHS refuses a linear program.", "This is a fault of hcsim: please report it.")
        if len(self._columns) == len(cost):
            basis = highspy.HighsBasis()
            basis.col_status = self._columns
            basis.row_status = [self._rows.get(key, _BASIC) for key in self._keys]
            basis.alien = True  # rows have come and gone: HiGHS completes it
            self._h.setBasis(basis)

    def add(self, rows: Rows) -> None:
        a = rows.matrix
        self._h.addRows(
            a.shape[0],
            rows.lower,
            rows.upper,
            a.nnz,
            a.indptr[:-1].astype(np.int32),
            a.indices.astype(np.int32),
            a.data,
        )
        self._keys += list(rows.keys)

    def set_cost(self, cost: Floats) -> None:
        n = len(cost)
        self._h.changeColsCost(n, np.arange(n, dtype=np.int32), cost)

    @property
    def columns(self) -> int:
        return int(self._h.getNumCol())

    def add_columns(self, widths: Floats) -> None:
        """Columns from nothing to these widths that stand in no row yet."""
        n, none = len(widths), np.zeros(0, dtype=np.int32)
        self._h.addCols(n, np.zeros(n), np.zeros(n), widths, 0, np.zeros(n, dtype=np.int32), none, np.zeros(0))

    def forget(self) -> None:
        """The next program begins from nothing."""
        self._columns, self._rows = [], {}

    def solve(self) -> Answer:
        """Raises InfeasibleError, SolverError (unbounded, numerical trouble twice)."""
        kinds = highspy.HighsModelStatus
        self._h.setOptionValue("time_limit", self._h.getRunTime() + self._guard_s)
        run(self._h)
        if self._h.getModelStatus() in (kinds.kUnknown, kinds.kSolveError):
            self._h.clearSolver()  # numerical trouble from the last basis; a run from nothing mostly ends it
            self._h.run()
        status, info = self._h.getModelStatus(), self._h.getInfo()
        self.iterations += max(int(info.simplex_iteration_count), 0)
        if status in (kinds.kInfeasible, kinds.kUnboundedOrInfeasible):
            self.forget()
            raise InfeasibleError("The linear program has no solution.")
        if status == kinds.kUnbounded:
            raise SolverError("The program is unbounded, nothing limits the PV capacity.", "Add a limit.")
        ends: dict[highspy.HighsModelStatus, Literal["", "work", "time"]] = {
            kinds.kOptimal: "",
            kinds.kIterationLimit: "work",
            kinds.kTimeLimit: "time",
        }
        if status not in ends:
            raise SolverError(f"HiGHS ended with {self._h.modelStatusToString(status)}, twice.")
        solution, basis = self._h.getSolution(), self._h.getBasis()
        self._columns = list(basis.col_status)
        self._rows = dict(zip(self._keys, basis.row_status, strict=True))
        return Answer(
            float(info.objective_function_value),
            np.array(solution.col_value),
            np.array(solution.col_dual),
            np.array(solution.row_dual),
            tuple(self._keys),
            int(info.simplex_iteration_count),
            ends[status],
        )
