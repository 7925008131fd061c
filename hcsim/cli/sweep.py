"""`hcsim sweep`: paper 2's scheme C for other revenues of hosting capacity."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hcsim.cli.common.console import INTERRUPTED, out_console, say
from hcsim.cli.common.options import CaseArgument, GapOption, ResumeOption, TimeOption
from hcsim.cli.common.progress import Show
from hcsim.errors import ConfigError


def sweep(
    case: CaseArgument,
    revenue: Annotated[
        str | None,
        typer.Option(help="CNY per MW of hosting capacity, several with commas: 2300,23000. Default: the study's."),
    ] = None,
    i_max: Annotated[
        str | None, typer.Option("--i-max", help="Current limit of the PVHC scenario in A, or off.")
    ] = None,
    gap: GapOption = None,
    time_limit: TimeOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. Default: ./hcsim-results/CASE/sweep")
    ] = None,
    resume: ResumeOption = False,
) -> None:
    """Plan scheme C again for other revenues of hosting capacity: from which on does the plan move?

    Writes sweep.csv, a figure and sweep.html.
    """
    from hcsim.report.planning.page import sweep_page, sweep_table
    from hcsim.studies.planning_sweep import sweep_revenue
    from hcsim.studies.runner import default_out, kept_steps
    from hcsim.util.files import write_csv
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Workbench
    from hcsim.workbench.planning import PlanningBench

    opened = Workbench.open(case)
    folder = hold_folder(out or default_out(opened.case) / "sweep")
    bench = PlanningBench.of(opened)
    if i_max is not None:
        limits = replace(bench.case.pvhc, i_max_a=None if i_max == "off" else _number(i_max, "--i-max"))
        bench = replace(bench, case=replace(bench.case, pvhc=limits))
    values = list(bench.section.sweep_revenue_cny_per_mw) if revenue is None else _numbers(revenue, "--revenue")
    kept = kept_steps(opened, "sweep", bench.day, folder, resume=resume)
    with Show() as listener:
        found = sweep_revenue(bench, values, bench.options(gap, time_limit), listener, kept)
    write_csv(folder / "sweep.csv", found)
    sweep_page(opened.case.name, found, folder)
    out_console.print(sweep_table(found))
    say(f"Results in {escape(str(folder))}; open {escape(str(folder / 'sweep.html'))}.")
    if len(found) < len(values):
        raise typer.Exit(INTERRUPTED)


def _numbers(text: str, option: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        values = []
    if not values or min(values) < 0 or not all(map(math.isfinite, values)):
        raise ConfigError(f"{option} {text}: not a number, or several with commas.", "For example 2300,9200,23000.")
    return values


def _number(text: str, option: str) -> float:
    values = _numbers(text, option)
    if len(values) > 1:
        raise ConfigError(f"{option} {text}: one number, not {len(values)}.")
    return values[0]
