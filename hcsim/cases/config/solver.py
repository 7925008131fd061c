"""[solver] of study.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hcsim.cases.config.types import Positive, Section, key


class SolverSection(Section):
    """How the programs of paper 1 are solved."""

    name: str = key('"highs", or another solver that Pyomo knows.', "highs")
    gap: Annotated[float, Field(ge=0.0, lt=1.0)] = key(
        "A program stops when its claim is proven to this.", 1e-3, unit="share of the claim"
    )
    max_nodes: Annotated[int, Field(ge=1, le=10**6)] = key(
        "Of branch and bound, per program: the budget that ends the search for a better schedule or proof.",
        5_000,
        unit="nodes",
    )
    time_limit_s: Positive = key(
        "Per program: a guard, far outside of what its nodes take; what it cuts is said.", 3600.0, unit="s"
    )
    threads: Annotated[int, Field(ge=1, le=256)] = key(
        "Of other solvers than HiGHS, which works with one: the answer must not depend on how many there are.", 1
    )
