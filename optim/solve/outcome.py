"""What a solver has found: status, objective, bound and gap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optim.data.schedule import SolveInfo, SolveStatus
from optim.solve.options import SolveOptions


@dataclass(frozen=True)
class Outcome:
    """One run of the solver. `values_valid` is False where no feasible point was found."""

    status: SolveStatus
    objective: float
    bound: float
    seconds: float
    values_valid: bool

    @property
    def gap(self) -> float:
        return relative_gap(self.objective, self.bound)


def relative_gap(objective: float, bound: float) -> float:
    """|bound - objective| / |objective|, as HiGHS and Gurobi define it."""
    if not np.isfinite(objective) or not np.isfinite(bound):
        return float("inf")
    return abs(bound - objective) / max(abs(objective), 1e-9)


def solve_info(
    outcome: Outcome, build_s: float, solve_s: float, options: SolveOptions, notes: tuple[str, ...] = ()
) -> SolveInfo:
    return SolveInfo(
        outcome.status, outcome.objective, outcome.bound, outcome.gap, build_s, solve_s, options.solver, notes
    )
