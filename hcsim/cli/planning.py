"""Paper 2 on the command line: the planning study behind `hcsim study`, and `hcsim sweep`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from hcsim.cli.console import INTERRUPTED, end_of_study, err_console, out_console, say
from hcsim.errors import ConfigError

if TYPE_CHECKING:
    from hcsim.cases.case import Case


ProgramOption = Annotated[
    str | None, typer.Option(help="allocation (paper 1) or planning (paper 2: schemes A, B, C). Default: the study's.")
]
SchemesOption = Annotated[
    str | None, typer.Option(help="Planning: only these schemes, for example B or A,C. Default: all three.")
]
ExactnessOption = Annotated[
    str | None, typer.Option(help="Planning: capped, or none for the program as the paper writes it.")
]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module to the program."""
    app.command()(sweep)


def program_of(case: Case, asked: str | None) -> str:
    """Which paper's program a study runs. Raises ConfigError for another word."""
    kind = case.config.program.kind if asked is None else asked
    if kind not in ("allocation", "planning"):
        raise ConfigError(f"There is no program {kind!r}.", "Programs: allocation (paper 1), planning (paper 2).")
    return kind


def planning_study(
    case: Case,
    out: Path | None,
    *,
    schemes: str | None,
    gap: float | None,
    time_limit: float | None,
    exactness: str | None,
    accept_gate: bool,
) -> None:
    """Runs schemes A, B, C (or those named), prints the paper's two tables with ours, and says where the rest is."""
    from hcsim.cli.progress import Show
    from hcsim.report.planning.tables import planning_tables
    from hcsim.results.planning_summary import summarize_planning
    from hcsim.studies.planning import SCHEMES, PlanningStudy
    from hcsim.studies.runner import default_out

    if exactness not in (None, "capped", "none"):
        raise ConfigError(f"There is no exactness {exactness!r}.", "Say capped, or none for the program as written.")
    folder = out or default_out(case)
    names = [s for s in schemes.replace(",", " ").split() if s] if schemes else list(SCHEMES)
    with Show(err_console) as listener:
        result = PlanningStudy(case).run(
            folder,
            schemes=names,
            gap=gap,
            time_limit_s=time_limit,
            exactness=exactness,  # type: ignore[arg-type]
            accept_gate=accept_gate,
            listener=listener,
        )
    for table in planning_tables(summarize_planning(result)) if result.schemes else []:
        out_console.print(table)
    end_of_study(folder, result.missing)


def sweep(
    case: Annotated[str, typer.Argument(metavar="CASE", help="Bundled case or folder with a [planning] section.")],
    revenue: Annotated[
        str | None,
        typer.Option(help="CNY per MW of hosting capacity, several with commas: 2300,23000. Default: the study's."),
    ] = None,
    i_max: Annotated[
        str | None, typer.Option("--i-max", help="Current limit of the PVHC scenario in A, or off.")
    ] = None,
    gap: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Relative gap per plan.")] = None,
    time_limit: Annotated[float | None, typer.Option("--time-limit", min=0.1, help="Seconds per program.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. Default: ./hcsim-results/<case>/sweep")
    ] = None,
) -> None:
    """Plan scheme C again for other revenues of hosting capacity: from which on does the plan move?

    Writes sweep.csv, a figure and sweep.html.
    """
    from hcsim.cli.progress import Show
    from hcsim.report.planning.page import sweep_page, sweep_table
    from hcsim.studies.planning_sweep import sweep_revenue
    from hcsim.studies.runner import default_out
    from hcsim.util.files import write_csv
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Workbench
    from hcsim.workbench.planning import PlanningBench

    opened = Workbench.open(case)
    folder = hold_folder(out or default_out(opened.case) / "sweep")
    bench = PlanningBench.of(opened)
    if i_max is not None:
        limits = replace(bench.case.pvhc, i_max_a=None if i_max == "off" else _numbers(i_max, "--i-max")[0])
        bench = replace(bench, case=replace(bench.case, pvhc=limits))
    values = _numbers(revenue, "--revenue") if revenue else list(bench.section.sweep_revenue_cny_per_mw)
    with Show(err_console) as listener:
        found = sweep_revenue(bench, values, bench.options(gap, time_limit), listener)
    write_csv(folder / "sweep.csv", found)
    sweep_page(opened.case.name, found, folder)
    out_console.print(sweep_table(found))
    say(f"Results in {escape(str(folder))}; open {escape(str(folder / 'sweep.html'))}.")
    if len(found) < len(values):
        raise typer.Exit(INTERRUPTED)


def allocation_case(case: Case) -> Case:
    """The case with paper 1's program, whatever study.toml names."""
    program = case.config.program.model_copy(update={"kind": "allocation"})
    return replace(case, config=case.config.model_copy(update={"program": program}))


def _numbers(text: str, option: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        values = []
    if not values or min(values) < 0:
        raise ConfigError(f"{option} {text}: not a number, or several with commas.", "For example 2300,9200,23000.")
    return values
