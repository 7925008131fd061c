"""The conic program by Clarabel: the dual value, and how far the known state is from the program's rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from optim.bounds.sdp.rows import ConicProgram, Floats
from optim.errors import SolverError

FILL = 6.0
"""Entries of the factors per entry of the system, as seen; what the estimate of memory goes by."""
GIB = 2**30
SOLVED = ("Solved", "AlmostSolved")
"""What Clarabel may end with; what its last step left open is in the allowance."""
TOLERANCE = 1e-7
ALLOWED = 1e-3
"""The largest allowance, by share of the bound, with which it is one."""
IN_CONE = 1e-8
"""By how much the dual point may be outside of its cone, rounding."""
LEEWAY = 10.0
"""How many times the values of the solution the variables may have where what is left of the dual equations counts."""


@dataclass(frozen=True)
class Solved:
    """What Clarabel says."""

    status: str
    most: float
    """The dual value, of what is made largest, with an allowance for what the dual equations are off."""
    allowance: float
    outside: float
    """How far the dual point is from its cone: nothing, but for rounding."""

    @property
    def trusted(self) -> bool:
        """Whether the dual value is a bound."""
        sound = np.isfinite(self.most) and self.outside <= IN_CONE
        return self.status in SOLVED and bool(sound) and self.allowance <= ALLOWED * max(abs(self.most), 1e-3)


def need_clarabel() -> None:
    """Raises SolverError where Clarabel is not installed."""
    try:
        import clarabel  # noqa: F401
    except ImportError as error:
        raise SolverError(
            "The semidefinite bound needs the solver Clarabel, which is not installed.",
            "Install it: pip install 'hcsim[conic]' (or pip install clarabel).",
        ) from error


def memory_gib(program: ConicProgram) -> float:
    """An estimate of what the solver takes."""
    blocks = sum((n * (n + 1) // 2) ** 2 for n in program.semidefinite)
    return float(16.0 * FILL * (2.0 * program.matrix.nnz + blocks + sum(program.matrix.shape)) / GIB)


def require_memory(program: ConicProgram, hours: int, there_gib: float) -> None:
    """Raises SolverError where the program takes more memory than can be had."""
    needed = memory_gib(program)
    if needed > there_gib:
        raise SolverError(
            f"The semidefinite program of {hours} hours would take some {needed:.1f} GiB of memory, and "
            f"{there_gib:.1f} GiB can be had.",
            "Ask for fewer hours (--hours): a bound over some hours is a bound.",
        )


def solved(program: ConicProgram) -> Solved:
    """Runs Clarabel on one thread. Raises SolverError where it is not installed."""
    need_clarabel()
    import clarabel

    cones = [clarabel.ZeroConeT(program.zeros), clarabel.NonnegativeConeT(program.nonnegatives)]
    cones += [clarabel.SecondOrderConeT(4)] * program.second_order
    cones += [clarabel.PSDTriangleConeT(n) for n in program.semidefinite]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_iter = 200
    if hasattr(settings, "max_threads"):  # not in its first versions
        settings.max_threads = 1
    settings.tol_feas = settings.tol_gap_abs = settings.tol_gap_rel = TOLERANCE
    quadratic = sparse.csc_array((len(program.cost),) * 2)
    found = clarabel.DefaultSolver(
        quadratic, program.cost, sparse.csc_array(program.matrix), program.right, cones, settings
    ).solve()
    x, z = np.array(found.x), np.array(found.z)
    left = program.cost + program.matrix.T @ z
    allowance = float(np.abs(left) @ np.maximum(1.0, LEEWAY * np.abs(x)))
    _, least, cone = _split(program, z)
    outside = max(float(np.max(-least, initial=0.0)), cone)
    return Solved(str(found.status), float(program.right @ z) + allowance, allowance, outside)


@dataclass(frozen=True)
class Fit:
    """How well the known state meets the program, per unit."""

    equalities: float
    inequalities: float
    cones: float

    @property
    def worst(self) -> float:
        return max(self.equalities, self.inequalities, self.cones)


def fit_of_state(program: ConicProgram) -> Fit:
    """The largest that the known state is beyond a row or out of a cone; rows that it need not meet left out."""
    equal, least, beyond = _split(program, program.right - program.matrix @ program.state)
    kept = [i for i in range(program.nonnegatives) if program.zeros + i not in program.loose]
    return Fit(float(np.max(np.abs(equal), initial=0.0)), float(np.max(-least[kept], initial=0.0)), beyond)


def _split(program: ConicProgram, slack: Floats) -> tuple[Floats, Floats, float]:
    """Entries at equalities, entries that must not be negative, and how far the others are out of their cones."""
    equal, rest = np.split(slack, [program.zeros])
    least, rest = np.split(rest, [program.nonnegatives])
    second, rest = np.split(rest, [4 * program.second_order])
    light = second.reshape(-1, 4)
    beyond = float(np.max(np.linalg.norm(light[:, 1:], axis=1) - light[:, 0], initial=0.0))
    for n in program.semidefinite:
        own, rest = np.split(rest, [n * (n + 1) // 2])
        full = np.zeros((n, n))
        column, row = np.tril_indices(n)
        full[row, column] = own / np.where(row == column, 1.0, np.sqrt(2.0))
        beyond = max(beyond, -float(np.linalg.eigvalsh(full, UPLO="U")[0]))
    return equal, least, beyond
