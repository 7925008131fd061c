"""`hcsim study`: the main job, of either kind."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from hcsim.cli.common.console import end_of_study, out_console, say
from hcsim.cli.common.options import (
    AcceptOption,
    CaseArgument,
    DayOption,
    GapOption,
    Inverters,
    MarginTimeOption,
    Program,
    ResumeOption,
    SitesOption,
    StudyKind,
    TimeOption,
    ZoneOption,
    refuse,
    sites_wanted,
)
from hcsim.cli.common.progress import Show
from hcsim.errors import ConfigError

if TYPE_CHECKING:
    from hcsim.cases.case import Case


class Exactness(StrEnum):
    capped = "capped"
    none = "none"


ALLOCATION_ONLY = (
    "year",
    "profiles",
    "programs",
    "certify",
    "certify_time",
    "inverters",
    "robustness",
    "operated",
    "margin_time",
)
PLANNING_ONLY = ("schemes", "exactness")
DAY_ONLY = ("certify", "inverters", "robustness", "operated", "margin_time")
"""Parameters that only one kind of study has a use for; the other refuses them."""


def study(
    ctx: typer.Context,
    case: CaseArgument,
    out: Annotated[Path | None, typer.Option(help="Folder for the results. Default: ./hcsim-results/CASE")] = None,
    kind: Annotated[
        StudyKind | None,
        typer.Option(
            "--study",
            help="Kind of study: allocation (paper 1) or planning (paper 2: schemes A, B, C). "
            "Default: [program] kind of study.toml.",
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Worker processes that do the study's parts side by side; 1 for none but this. Default: as many as "
            "there are cores and memory for.",
        ),
    ] = None,
    resume: ResumeOption = False,
    gap: GapOption = None,
    time_limit: TimeOption = None,
    sites: SitesOption = None,
    day: DayOption = None,
    zone: ZoneOption = None,
    accept_gate: AcceptOption = False,
    year: Annotated[
        bool,
        typer.Option(
            "--year", help="Allocation: a plan that passes every day of a year, worst days first, 8,760 hours."
        ),
    ] = False,
    profiles: Annotated[
        Path | None,
        typer.Option(help="With --year: CSV of a year. Default: the feeder's own shapes, or made of the day."),
    ] = None,
    programs: Annotated[
        list[Program] | None,
        typer.Option("--program", help="Allocation: only this program; repeat for several. Default: all four."),
    ] = None,
    certify: Annotated[bool, typer.Option(help="Allocation: certify each claim with controls free.")] = True,
    certify_time: Annotated[
        float | None,
        typer.Option("--certify-time", min=1.0, help="Allocation: guard in seconds per program to certify."),
    ] = None,
    inverters: Annotated[
        Inverters | None,
        typer.Option(
            "--inverters",
            help="Allocation: lay hosting capacities with autonomous inverters beside those of the schedules. "
            "Default: [inverters] compare.",
        ),
    ] = None,
    robustness: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Allocation: drawn days of load and PV off by 10 % on which to try each certified schedule. "
            "Default: [certify] robustness_draws.",
        ),
    ] = None,
    operated: Annotated[
        int | None,
        typer.Option(
            min=0, help="Allocation: drawn days of the column operated; 0 for none. Default: [operate] draws."
        ),
    ] = None,
    margin_time: MarginTimeOption = None,
    schemes: Annotated[
        str | None, typer.Option(help="Planning: only these schemes, for example B or A,C. Default: all three.")
    ] = None,
    exactness: Annotated[
        Exactness | None, typer.Option(help="Planning: none is the program as the paper writes it. Default: capped.")
    ] = None,
) -> None:
    """The main job: optimize, replay in OpenDSS, compare with simulation, certify, report.

    Four programs (no BESS, one central BESS, distributed BESS with and without power circulating between
    units), each claim replayed over the day with regulators locked and free, and the hosting capacity that
    plain simulation finds; then the closed loop certifies what OpenDSS passes with controls free. Ends
    with a table and a folder: summary.json, report.html, schedules, replays, figures. Ctrl-C keeps what is finished,
    and --resume goes on from there.

    A planning study (ieee33) sites and sizes storage instead: schemes A, B and C of paper 2, each replayed.
    """
    from hcsim.cases.case import load_case
    from optim.hosting.problem import CASES

    loaded = load_case(case, sites_wanted(sites), day, zone)
    if (kind or loaded.config.program.kind) == "planning":
        refuse(
            ctx,
            ALLOCATION_ONLY,
            "A planning study",
            "They belong to `--study allocation`; `hcsim replay CASE SCHEDULE --inverters ...` takes plans one by one.",
        )
        _planning(
            loaded,
            out,
            schemes=schemes,
            gap=gap,
            time_limit_s=time_limit,
            exactness=exactness.value if exactness else None,
            accept_gate=accept_gate,
            processes=processes,
            resume=resume,
        )
        return
    refuse(ctx, PLANNING_ONLY, "An allocation study", "They belong to `--study planning`.")
    if year:
        refuse(ctx, DAY_ONLY, "A study of a year", "It certifies over chosen days, and runs all of them.")
        _year(
            loaded,
            out,
            profiles,
            programs=[p.value for p in programs] if programs else None,
            gap=gap,
            time_limit_s=time_limit,
            certify_time_s=certify_time,
            accept_gate=accept_gate,
            processes=processes,
            resume=resume,
        )
        return
    refuse(ctx, ("profiles",), "A study of a day", "It belongs to `--year`.")
    if not certify:
        refuse(ctx, ("certify_time", "robustness", "operated", "margin_time"), "A study with --no-certify")
    draws = loaded.config.certify.robustness_draws if robustness is None else robustness
    if margin_time and not draws:
        raise ConfigError("--margin-time has no use without drawn days.", "Add --robustness 200, for one.")
    _allocation(
        loaded,
        out,
        programs=[p.value for p in programs] if programs else list(CASES),
        gap=gap,
        time_limit_s=time_limit,
        accept_gate=accept_gate,
        certify=certify,
        certify_time_s=certify_time,
        inverters=inverters.value if inverters else None,
        robustness_draws=robustness,
        operated_draws=operated,
        margin_search_s=margin_time,
        processes=processes,
        resume=resume,
    )


def _allocation(case: Case, out: Path | None, **asked: Any) -> None:
    """Runs the study with what was asked of `Study.run`, prints the table, and says where the rest is."""
    from hcsim.cases.defaults import fewer_on
    from hcsim.report.allocation.closed_loop import robustness_lines
    from hcsim.report.allocation.first import headline
    from hcsim.report.allocation.inverters import inverter_sentences
    from hcsim.report.allocation.tables import existing_on_terminal, main_table
    from hcsim.results.allocation_summary import cut_sentences, spread_sentences, summarize
    from hcsim.studies.allocation import Study
    from hcsim.studies.runner import default_out

    # paper 1's program, whatever study.toml names
    program = case.config.program.model_copy(update={"kind": "allocation"})
    loaded = Study(replace(case, config=case.config.model_copy(update={"program": program})))
    folder = out or default_out(case)
    with Show() as listener:
        result = loaded.run(folder, **asked, listener=listener)
    if said := headline(result):
        say(f"[bold]{escape(said)}[/]")
    out_console.print(main_table(summarize(result)))
    if fewer := fewer_on(result.network, case.wanted):
        say(fewer)
    if (existing := existing_on_terminal(result)) is not None:
        out_console.print(existing)
    for sentence in (
        *inverter_sentences(result),
        *robustness_lines(result),
        *spread_sentences(result),
        *cut_sentences(result),
    ):
        say(escape(sentence))
    end_of_study(folder, result.missing)


def _year(case: Case, out: Path | None, profiles: Path | None, *, programs: list[str] | None, **asked: Any) -> None:
    """Plans the year, prints what each program comes to, and says where the rest is."""
    from hcsim.report.operate.year_page import headline, year_page
    from hcsim.studies.year_plan import PROGRAMS, plan_year

    folder = out or Path("hcsim-results") / case.name / "year"
    names = programs or [p for p in PROGRAMS if p == "none" or case.config.bess or case.wanted]
    with Show() as listener:
        found = plan_year(case, profiles, folder, names, **asked, listener=listener)
        year_page(found, folder)
    say(f"[bold]{escape(headline(found))}[/]")
    for plan in found.plans.values():
        say(escape(f"{plan.words}."))
    for note in found.notes:
        say(escape(note))
    end_of_study(folder, found.missing, "year.html")


def _planning(case: Case, out: Path | None, *, schemes: str | None, **asked: Any) -> None:
    """Runs schemes A, B, C (or those named), prints the paper's two tables with ours, and says where the rest is."""
    from hcsim.report.planning.tables import planning_tables
    from hcsim.results.planning_summary import summarize_planning
    from hcsim.studies.planning import SCHEMES, PlanningStudy
    from hcsim.studies.runner import default_out

    folder = out or default_out(case)
    names = list(SCHEMES) if schemes is None else [s for s in schemes.replace(",", " ").split() if s]
    if not names:
        raise ConfigError("--schemes names no scheme.", f"Schemes: {', '.join(SCHEMES)}.")
    with Show() as listener:
        result = PlanningStudy(case).run(folder, schemes=names, **asked, listener=listener)
    for table in planning_tables(summarize_planning(result)) if result.schemes else []:
        out_console.print(table)
    end_of_study(folder, result.missing)
