"""`hcsim operate`: a schedule with the controller in the loop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hcsim.cli.common.console import FAILED, err_console, out_console, say
from hcsim.cli.common.options import CaseArgument, DayOption, ZoneOption


def operate(
    case: CaseArgument,
    schedule: Annotated[Path, typer.Argument(metavar="SCHEDULE", help="Schedule folder, as of `hcsim certify`.")],
    policies: Annotated[
        list[str] | None,
        typer.Option(
            "--policy", help="schedule, follow, rolling, or module:Class; repeatable. Default: schedule and follow."
        ),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Days drawn, load and sun each off by up to 10 %.")] = 200,
    days: Annotated[
        Path | None, typer.Option(help="Days of your own: a table of day, step, load_factor, pv_factor.")
    ] = None,
    delay: Annotated[
        int | None, typer.Option(min=0, help="Steps by which measurements are late. Default: [operate].")
    ] = None,
    foresight: Annotated[
        int, typer.Option(min=0, help="On so many of the days also what perfect foresight would have curtailed.")
    ] = 10,
    seed: Annotated[int, typer.Option(help="Of the drawn days.")] = 1,
    day: DayOption = None,
    zone: ZoneOption = None,
    out: Annotated[Path | None, typer.Option(help="Results folder. Default: hcsim-results/CASE/operate.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="summary.json on standard output, nothing else.")] = False,
) -> None:
    """Operate a schedule on days of other load and sun, under policies that act while the day runs.

    A limit counts as broken where the bare feeder keeps it on that day. Exit code 1 where a policy could not be run.
    """
    from hcsim.cases.case import load_case
    from hcsim.cli.common.progress import Show
    from hcsim.operate.days import SPREAD, drawn
    from hcsim.schedules.files import read_schedule
    from hcsim.studies.operate import operate as run_policies
    from hcsim.studies.operate import read_days, settings_of, write_all
    from hcsim.util.files import json_text
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Workbench

    bench = Workbench.open(load_case(case, None, day, zone))
    plan = read_schedule(schedule, network=bench.network, profiles=bench.profiles)
    folder = hold_folder(out or Path("hcsim-results") / bench.case.name / "operate")
    settings = settings_of(bench, delay_steps=delay, seed=seed)
    steps = len(bench.profiles)
    chosen = read_days(days, steps) if days else drawn(draws, seed, SPREAD, steps)
    with Show(err_console) as listener:
        found = run_policies(
            bench,
            plan,
            policies or ("schedule", "follow"),
            chosen,
            settings,
            foresight_days=foresight,
            listener=listener,
        )
        page = write_all(found, folder)
    if as_json:
        out_console.file.write(json_text(found.to_json()) + "\n")
    else:
        from hcsim.results.operate import conditions_in_words, foresight_in_words, in_words

        say(f"{escape(found.schedule)}, {found.hc_kw:,.1f} kW of PV:")
        for name, each in found.policies.items():
            say(f"  {escape(in_words(name, each))}")
        for words in (*foresight_in_words(found), conditions_in_words(found)):
            say(f"  {escape(words)}")
        say(f"Results in {escape(str(folder))}; open {escape(str(page))}.")
    for name, why in found.cut.items():
        err_console.print(f"[yellow]Missing: {escape(name)}[/]: {escape(why)}", soft_wrap=True)
    if found.cut:
        raise typer.Exit(FAILED)
