"""What a solver is told, and what it says while it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SolveOptions:
    """`gap` is relative; `time_limit_s` is wall time for one program, all its rounds together."""

    gap: float = 1e-3
    time_limit_s: float = 60.0
    max_nodes: int = 20_000
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
