"""What a solver is told, and what it says while it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SolveOptions:
    """`gap` is relative. Nodes and iterations are the budget of one program; `time_limit_s`, the wall time of all its
    rounds together, is a guard: what it cuts may end elsewhere on another machine, and says so."""

    gap: float = 1e-3
    time_limit_s: float = 3600.0
    max_iterations: int = 5_000_000
    """Of the simplex method, for each linear program."""
    max_nodes: int = 5_000
    """Branch-and-bound nodes of one program, all its stages together: a budget, where seconds are a guard."""
    threads: int = 1
    """Of other solvers than HiGHS, which always has one: its answer must not depend on how many there are."""
    solver: str = "highs"
    extra: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    """Options by the solver's own names; an unknown name or value is an error, never swallowed."""


@dataclass(frozen=True)
class Progress:
    """What a solver says while it works; objective and bound in the program's own unit, NaN if none yet."""

    phase: str
    seconds: float
    objective: float
    bound: float


ProgressCallback = Callable[[Progress], None]
