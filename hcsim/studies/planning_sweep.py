"""Scheme C planned again for other revenues per MW of hosting capacity: when does the plan begin to move?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial

import pandas as pd

from hcsim.errors import ConfigError
from hcsim.jobs.kept_steps import KeptSteps
from hcsim.results.planning import claim_in_words
from hcsim.studies.runner import how_it_ended
from hcsim.util.progress import Event, Listener, logged, silent
from hcsim.workbench.planning import PlanningBench
from optim.planning.case import PlanningCase
from optim.planning.result import PlanningResult
from optim.planning.schemes import solve_planning
from optim.solve.options import Progress, SolveOptions

COLUMNS = (
    "revenue_cny_per_mw",
    "pvhc_mw",
    "energy_kwh",
    "power_kw",
    "buses",
    "objective_cny",
    "capex_cny_per_year",
    "loss_cny_per_year",
    "gap",
    "status",
    "seconds",
)


def sweep_revenue(
    bench: PlanningBench,
    revenues: Sequence[float],
    options: SolveOptions,
    listener: Listener = silent,
    kept: KeptSteps | None = None,
) -> pd.DataFrame:
    """A row of COLUMNS per revenue [CNY per MW and year], in the order given. Ctrl-C keeps the finished ones, `kept`
    also for another run to go on from.

    Raises ConfigError without any revenue, InfeasibleError, SolverError.
    """
    if not revenues:
        raise ConfigError(
            "The sweep has no revenue to try.", "Say --revenue 2300,23000, or set [planning] sweep_revenue_cny_per_mw."
        )
    listener = logged(listener)
    rows: list[dict[str, object]] = []
    for revenue in revenues:
        part = f"scheme C at {revenue:,.0f} CNY/MW"
        listener(Event(part, "started"))
        make = partial(_planned, bench.case, revenue, options, _teller(part, options, listener))
        try:
            if kept is None:
                words, row = make()
            else:
                settings = (asdict(options), asdict(bench.case.pvhc))
                words, row = kept.do(part, make, settings, whole=lambda made: made[1]["status"] != "interrupted")
        except BaseException as error:
            listener(Event(part, "failed", how_it_ended(error)))
            if isinstance(error, KeyboardInterrupt) and rows:
                break
            raise
        rows.append(row)
        listener(Event(part, "done", words, 1.0))
        if row["status"] == "interrupted":
            break
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _planned(
    case: PlanningCase, revenue: float, options: SolveOptions, tell: Callable[[Progress], None]
) -> tuple[str, dict[str, object]]:
    """Scheme C for one revenue: in words, and as a row."""
    begun = time.perf_counter()
    case = replace(case, costs=replace(case.costs, pvhc_revenue_cny_per_mw=revenue))
    found = solve_planning(case, "C", options, tell)
    return claim_in_words(found), _row(revenue, found, time.perf_counter() - begun)


def _row(revenue: float, found: PlanningResult, seconds: float) -> dict[str, object]:
    return {
        "revenue_cny_per_mw": revenue,
        "pvhc_mw": found.pvhc_mw,
        "energy_kwh": sum(u.energy_kwh for u in found.plan),
        "power_kw": sum(u.power_kw for u in found.plan),
        "buses": " ".join(u.bus for u in found.plan),
        "objective_cny": found.objective_cny,
        "capex_cny_per_year": found.capex_cny_per_year,
        "loss_cny_per_year": found.loss_cny_per_year,
        "gap": found.solve.gap,
        "status": found.solve.status,
        "seconds": seconds,
    }


def _teller(part: str, options: SolveOptions, listener: Listener) -> Callable[[Progress], None]:
    def tell(said: Progress) -> None:
        stage = said.phase.partition(": ")[2] or said.phase
        listener(Event(part, "working", stage, min(said.seconds / options.time_limit_s, 1.0)))

    return tell
