"""Rotated second-order cones for HiGHS, which knows only rows: outer approximation by tangent cuts.

A cone says  sum_k x_k^2 <= a b,  a >= 0, b >= 0.  For every vector t

    a + |t|^2 b >= 2 t.x                                                        (cut of t)

holds on it, because a + |t|^2 b >= 2 |t| sqrt(a b) >= 2 |t| |x|; all cuts together are the cone, and the one
with t = x / b is tangent at (x, b). So whatever t is, rounded or clipped, no feasible point is ever cut off,
and every relaxation with cuts is a lower bound of a minimization.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from numpy.typing import NDArray
from pyomo.core.base.var import VarData
from pyomo.repn import generate_standard_repn

from optim.errors import InfeasibleError, ModelError
from optim.solve.highs import HighsSession
from optim.solve.outcome import Outcome

Floats = NDArray[np.float64]
Linear = Any
"""A Pyomo expression linear in variables, a variable, or a number."""

_T_MAX = 1e4
_T_ZERO = 1e-4
"""Smaller slopes make coefficients that HiGHS would drop; a slope of zero gives a valid cut instead."""


@dataclass(frozen=True)
class RotatedCone:
    """sum of squares^2 <= left * right. Choose as `left` the side that the objective pushes down."""

    name: str
    squares: tuple[Linear, ...]
    left: Linear
    right: Linear


def add_as_they_are(model: pyo.ConcreteModel, cones: Sequence[RotatedCone]) -> None:
    """The cones as quadratic constraints `model.cones`, for solvers that take them."""
    model.cones = pyo.ConstraintList(doc="rotated second-order cones")
    for cone in cones:
        model.cones.add(sum(x * x for x in cone.squares) <= cone.left * cone.right)


@dataclass(frozen=True)
class ConeReport:
    """How well the cones hold at the last point, and what it took."""

    violation: float
    """Largest sum x^2 / right - left beyond the cone, relative to max(1, sum x^2 / right)."""
    tolerance: float
    lp_rounds: int
    milp_rounds: int
    cuts: int


class OuterApproximation:
    """Cuts for the cones of a program on a HiGHS session (minimization)."""

    def __init__(
        self, session: HighsSession, cones: Sequence[RotatedCone], *, tolerance: float = 1e-6, max_rounds: int = 60
    ) -> None:
        if session.maximize:
            raise ModelError("Outer approximation is written for minimization.", "Turn the objective's sign.")
        self.session = session
        self.tolerance = tolerance
        self.max_rounds = max_rounds
        self.lp_rounds = self.milp_rounds = self.cuts = 0
        self.violation = np.inf
        width = max((len(c.squares) for c in cones), default=0)
        self._squares = [
            _compile(session, [c.squares[k] if k < len(c.squares) else 0.0 for c in cones]) for k in range(width)
        ]
        self._left = _compile(session, [c.left for c in cones])
        self._right = _compile(session, [c.right for c in cones])

    @property
    def report(self) -> ConeReport:
        return ConeReport(self.violation, self.tolerance, self.lp_rounds, self.milp_rounds, self.cuts)

    def cut_off(self, point: Floats) -> int:
        """Adds the tangent cut of every cone violated at the point (in column order); returns how many."""
        x, scale, excess = self._members(point)
        self.violation = float(excess.max(initial=0.0))
        chosen = np.flatnonzero(excess > self.tolerance)
        if not len(chosen):
            return 0
        slopes = [_snap(v[chosen] / scale[chosen]) for v in x]
        weight = sum((t**2 for t in slopes), np.zeros(len(chosen)))
        rows = self._left[0][chosen] + sp.diags_array(weight) @ self._right[0][chosen]
        constant = self._left[1][chosen] + weight * self._right[1][chosen]
        for t, (matrix, offset) in zip(slopes, self._squares, strict=True):
            rows = rows - 2.0 * (sp.diags_array(t) @ matrix[chosen])
            constant = constant - 2.0 * t * offset[chosen]
        rows = sp.csr_array(rows)
        rows.eliminate_zeros()
        self.session.add_rows(rows, -constant, np.full(len(chosen), np.inf), "cone cut")
        self.cuts += len(chosen)
        return len(chosen)

    def measure(self, point: Floats) -> None:
        """Takes the violation that `report` speaks of at this point (in column order)."""
        self.violation = float(self._members(point)[2].max(initial=0.0))

    def _members(self, point: Floats) -> tuple[list[Floats], Floats, Floats]:
        """Squared members, right side (kept off zero), relative excess over the cone; one entry per cone."""
        x = [matrix @ point + constant for matrix, constant in self._squares]
        left = self._left[0] @ point + self._left[1]
        right = self._right[0] @ point + self._right[1]
        squared = sum((v**2 for v in x), np.zeros_like(left))
        scale = np.maximum(right, np.sqrt(squared) / _T_MAX)
        needed = np.divide(squared, scale, out=np.zeros_like(squared), where=squared > 0)
        return x, scale, (needed - left) / np.maximum(1.0, needed)

    def solve_continuous(self, *, overtime: bool = False, explain: bool = True) -> Outcome:
        """LP and cuts in turn until no cone is violated beyond the tolerance.

        Integrality must be off (`session.set_integer`). Stopped by time or Ctrl-C, the outcome has the last
        LP's objective as bound and no valid values. Cones still violated after `max_rounds` give the status
        `gap`; `report.violation` says by how much.
        """
        bound, seconds = -np.inf, 0.0
        for _ in range(self.max_rounds):
            found = self.session.run(overtime=overtime, explain=explain)
            self.lp_rounds += 1
            seconds += found.seconds
            if found.status != "optimal":
                return Outcome(found.status, np.nan, bound, seconds, False)
            bound = found.objective
            if not self.cut_off(self.session.point):
                return Outcome("optimal", bound, bound, seconds, True)
        return Outcome("gap", bound, bound, seconds, True)

    def milp_round(self, *, gap: float) -> Outcome:
        """One mixed-integer run under the cuts so far, and the cuts that its point violates.

        The outcome's bound holds for the conic program; its objective only if `report.violation` is within
        the tolerance. Integrality is as the session has it.
        """
        found = self.session.run(gap=gap)
        self.milp_rounds += 1
        if found.values_valid:
            self.cut_off(self.session.point)
        return found

    def fix_and_polish(self, integers: Sequence[VarData], values: Floats, *, overtime: bool = False) -> Outcome | None:
        """The continuous program with integers fixed; None where they admit no point inside the cones."""
        self.session.set_integer(integers, False)
        self.session.set_bounds(integers, values, values)
        try:
            return self.solve_continuous(overtime=overtime, explain=False)
        except InfeasibleError:
            return None
        finally:
            self.session.restore_bounds(integers)


def _snap(t: Floats) -> Floats:
    clipped = np.clip(t, -_T_MAX, _T_MAX)
    return np.where(np.abs(clipped) < _T_ZERO, 0.0, clipped)


def _compile(session: HighsSession, expressions: Sequence[Linear]) -> tuple[sp.csr_array, Floats]:
    """Expressions -> matrix over the session's columns, and constants."""
    rows, columns, data = [], [], []
    constants = np.zeros(len(expressions))
    for i, expression in enumerate(expressions):
        repn = generate_standard_repn(expression, compute_values=True)
        if not repn.is_linear():
            raise ModelError("A cone's members must be linear.", "Give such a member its own variable.")
        constants[i] = pyo.value(repn.constant)
        rows += [i] * len(repn.linear_vars)
        columns += list(session.columns(repn.linear_vars))
        data += [float(c) for c in repn.linear_coefs]
    shape = (len(expressions), len(session.variables))
    return sp.csr_array((data, (rows, columns)), shape=shape), constants
