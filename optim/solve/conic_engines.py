"""Two ways to solve a program with cones: HiGHS with tangent cuts, or a Pyomo solver that knows cones."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray
from pyomo.core.base.var import VarData

from optim.errors import InfeasibleError
from optim.solve.cones import ConeReport, OuterApproximation, RotatedCone, add_as_they_are
from optim.solve.highs import HighsSession
from optim.solve.options import ProgressCallback, SolveOptions
from optim.solve.outcome import Outcome
from optim.solve.pyomo_solvers import solve_with_pyomo

Floats = NDArray[np.float64]
ABSOLUTE_GAP = 1e-4
"""In the objective's unit, beside the relative one: an objective may be near zero."""


class ConicEngine(Protocol):
    """What `planning_solve` asks for. Every call leaves the values in the Pyomo variables if it found any."""

    @property
    def seconds_left(self) -> float: ...

    @property
    def report(self) -> ConeReport:
        """How well the cones hold at the model's present values."""

    @property
    def cuts_made(self) -> int: ...

    def relax(self) -> Outcome:
        """Integrality off. Raises InfeasibleError."""

    def improve(
        self, integers: Sequence[VarData], start: tuple[Sequence[VarData], Floats] | None, gap: float
    ) -> Outcome:
        """A mixed-integer round: its bound is proven, its point may still violate cones."""

    def fix(self, variables: Sequence[VarData], values: Floats, *, overtime: bool) -> Outcome | None:
        """Integrality off, variables fixed for this call; None where that leaves no solution."""

    def set_bounds(self, variables: Iterable[VarData], lower: Floats, upper: Floats) -> None: ...


class HighsEngine:
    """Outer approximation: `optim.solve.cones` on a HiGHS session."""

    def __init__(
        self,
        model: pyo.ConcreteModel,
        cones: Sequence[RotatedCone],
        options: SolveOptions,
        progress: ProgressCallback | None,
        phase: str,
    ) -> None:
        self.session = HighsSession(model, options, progress, phase)
        self.cuts = OuterApproximation(self.session, cones)
        self.session.set_option("mip_abs_gap", 0.5 * ABSOLUTE_GAP)
        self._integers = [v for v in self.session.variables if not v.is_continuous() and not v.fixed]

    @property
    def seconds_left(self) -> float:
        return self.session.seconds_left

    @property
    def report(self) -> ConeReport:
        self.cuts.measure(self.session.value(self.session.variables))
        return self.cuts.report

    @property
    def cuts_made(self) -> int:
        return self.cuts.cuts

    def relax(self) -> Outcome:
        self.session.set_integer(self._integers, False)
        return self.cuts.solve_continuous(explain=False)  # the rows would not name bus and hour

    def improve(
        self, integers: Sequence[VarData], start: tuple[Sequence[VarData], Floats] | None, gap: float
    ) -> Outcome:
        self.session.set_integer(self._integers, False)
        self.session.set_integer(integers, True)
        if start is not None:
            self.session.start_from(*start)
        return self.cuts.milp_round(gap=gap)

    def fix(self, variables: Sequence[VarData], values: Floats, *, overtime: bool) -> Outcome | None:
        self.session.set_integer(self._integers, False)
        return self.cuts.fix_and_polish(variables, values, overtime=overtime)

    def set_bounds(self, variables: Iterable[VarData], lower: Floats, upper: Floats) -> None:
        self.session.set_bounds(variables, lower, upper)


class PyomoEngine:
    """A solver named by the user, which gets the cones as they are."""

    def __init__(
        self,
        model: pyo.ConcreteModel,
        cones: Sequence[RotatedCone],
        options: SolveOptions,
        progress: ProgressCallback | None,
        phase: str,
    ) -> None:
        self.model, self.options = model, options
        self._started = time.perf_counter()
        self._runs = 0
        self._integers = [v for v in model.component_data_objects(pyo.Var) if not v.is_continuous()]
        self._kinds = {id(v): v.domain for v in self._integers}
        self._cones = list(cones)
        add_as_they_are(model, cones)

    @property
    def seconds_left(self) -> float:
        return self.options.time_limit_s - (time.perf_counter() - self._started)

    @property
    def cuts_made(self) -> int:
        return 0

    @property
    def report(self) -> ConeReport:
        worst = 0.0
        for cone in self._cones:
            needed = sum(pyo.value(x) ** 2 for x in cone.squares)
            worst = max(worst, (needed - pyo.value(cone.left) * pyo.value(cone.right)) / max(1.0, needed))
        return ConeReport(worst, 1e-6, self._runs, 0, 0)

    def relax(self) -> Outcome:
        with self._continuous(self._integers):
            return self._solve()

    def improve(
        self, integers: Sequence[VarData], start: tuple[Sequence[VarData], Floats] | None, gap: float
    ) -> Outcome:
        wanted = {id(v) for v in integers}
        with self._continuous([v for v in self._integers if id(v) not in wanted]):
            return self._solve()

    def fix(self, variables: Sequence[VarData], values: Floats, *, overtime: bool) -> Outcome | None:
        with self._continuous(self._integers):
            for v, value in zip(variables, values, strict=True):
                v.fix(float(value))
            try:
                return self._solve()
            except InfeasibleError:
                return None
            finally:
                for v in variables:
                    v.unfix()

    def set_bounds(self, variables: Iterable[VarData], lower: Floats, upper: Floats) -> None:
        for v, low, high in zip(variables, lower, upper, strict=True):
            v.setlb(low if np.isfinite(low) else None)
            v.setub(high if np.isfinite(high) else None)

    def _solve(self) -> Outcome:
        self._runs += 1
        return solve_with_pyomo(self.model, self.options)

    @contextmanager
    def _continuous(self, variables: Sequence[VarData]):  # type: ignore[no-untyped-def]
        for v in variables:
            low, high = v.bounds  # a binary's bounds belong to its domain
            v.domain = pyo.Reals
            v.setlb(low)
            v.setub(high)
        try:
            yield
        finally:
            for v in variables:
                v.domain = self._kinds[id(v)]
