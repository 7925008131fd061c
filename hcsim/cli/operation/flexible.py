"""`hcsim flexible`: capacity against curtailed energy over a year."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from hcsim.cli.common.console import FAILED, err_console, out_console, say
from hcsim.cli.common.options import (
    AcceptOption,
    CaseArgument,
    DayOption,
    Program,
    ResumeOption,
    ZoneOption,
    numbers_of,
    refuse,
)


def flexible(
    ctx: typer.Context,
    case: CaseArgument,
    schedules: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="SCHEDULE", help="Schedule folders whose sites and batteries are taken. Default: certify programs."
        ),
    ] = None,
    curtailment: Annotated[
        str, typer.Option(metavar="0,1,2,5", help="Per cent of the year's PV energy that may be curtailed.")
    ] = "0,1,2,5",
    programs: Annotated[
        list[Program] | None,
        typer.Option("--program", help="Whose plans; repeat for several. Default: none, centralized, distributed."),
    ] = None,
    profiles: Annotated[
        Path | None,
        typer.Option(help="CSV of a year: hour, load_pu, pv_pu. Default: the feeder's own shapes, or made of the day."),
    ] = None,
    policy: Annotated[str, typer.Option(help="Which curtails: follow, rolling, schedule, or module:Class.")] = "follow",
    delay: Annotated[
        int | None, typer.Option(min=0, help="Steps by which measurements are late. Default: [operate].")
    ] = None,
    day: DayOption = None,
    zone: ZoneOption = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Worker processes. Default: all cores.")] = None,
    accept_gate: AcceptOption = False,
    resume: ResumeOption = False,
    out: Annotated[Path | None, typer.Option(help="Results folder. Default: hcsim-results/CASE/flexible.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="summary.json on standard output, nothing else.")] = False,
) -> None:
    """The largest PV capacity at which no more than a share of the year's energy is curtailed and no limit breaks.

    Every point is a run of 8,760 hours in OpenDSS under the policy. Exit code 1 where a plan or a point has no result.
    """
    from hcsim.cases.case import load_case
    from hcsim.cli.common.progress import Show
    from hcsim.operate.settings import OperateSettings
    from hcsim.report.operate.flexible_page import flexible_page, headline
    from hcsim.studies.flexible import PROGRAMS, flexible_capacity
    from hcsim.util.files import json_text

    if schedules:
        refuse(ctx, ("programs",), "A study of given schedules")
    loaded = load_case(case, None, day, zone)
    own = loaded.config.operate.seen()
    settings = OperateSettings(**{**own, **({} if delay is None else {"delay_steps": delay})})
    folder = out or Path("hcsim-results") / loaded.name / "flexible"
    names = (
        [p.value for p in programs]
        if programs
        else [p for p in PROGRAMS if p == "none" or loaded.config.bess or loaded.wanted]
    )
    with Show(err_console) as listener:
        found = flexible_capacity(
            loaded,
            profiles,
            folder,
            numbers_of(curtailment, "--curtailment", "0,1,2,5"),
            programs=names,
            schedules=schedules or (),
            policy=policy,
            settings=settings,
            accept_gate=accept_gate,
            processes=processes,
            resume=resume,
            listener=listener,
        )
        page = flexible_page(found, folder)
    if as_json:
        out_console.file.write(json_text(found.to_json()) + "\n")
    else:
        say(f"[bold]{escape(headline(found))}[/]")
        table = Table(box=None, pad_edge=False)
        for heading in ("plan", "curtailed, %", "kW", "kWh", "hours", "held by"):
            table.add_column(heading, justify="left" if heading in ("plan", "held by") else "right")
        for row in found.table.itertuples():
            where = f"{row.element}{'.' + row.phase if row.phase else ''}"
            held = f"{str(row.criterion).replace('_', ' ')} {where}" if row.verified else f"none: {row.why_not}"
            cells = [f"{x:,.0f}" if row.verified else "–" for x in (row.hc_kw, row.curtailed_kwh, row.hours_curtailed)]
            table.add_row(escape(str(row.case)), f"{row.curtailment_pct:g}", *cells, escape(held))
        out_console.print(table)
        for note in found.notes:
            say(escape(note))
        say(f"Results in {escape(str(folder))}; open {escape(str(page))}.")
    for name, why in found.missing.items():
        err_console.print(f"[yellow]Missing: {escape(name)}[/]: {escape(why)}", soft_wrap=True)
    if found.missing or not all(p.verified for p in found.points):
        raise typer.Exit(FAILED)
