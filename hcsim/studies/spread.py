"""The spread form of a study: what total capacity costs where it is, beside what every site could have."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from hcsim.certify.certificate import write_certificate
from hcsim.certify.loop import certify
from hcsim.certify.options import LoopOptions
from hcsim.results.allocation import SpreadResult
from hcsim.schedules.files import write_schedule
from hcsim.workbench.allocation import Workbench
from optim.hosting.search import solve_hosting
from optim.solve.options import SolveOptions


def spread_form(
    total: Workbench, objective: Literal["even", "load"], solver: SolveOptions, loop: LoopOptions, folder: Path
) -> SpreadResult:
    """The program without BESS for another objective, claimed and certified; written as schedules and certificates of
    the case none_<objective>. Raises ConfigError where no load stands at any site ("load"), InfeasibleError."""
    bench = total.with_objective(objective)
    claim = solve_hosting(bench.problem("none"), f"none_{objective}", solver)
    write_schedule(claim, folder / "schedules" / claim.case)
    found = certify(bench, claim, loop)
    write_certificate(found, folder)
    assert bench.spread is not None
    return SpreadResult(objective, claim, found, bench.spread)
