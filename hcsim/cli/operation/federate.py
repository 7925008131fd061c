"""`hcsim federate`: the feeder as referee for anyone's controller."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hcsim.cli.common.console import FAILED, err_console, out_console, say
from hcsim.cli.common.options import CaseArgument, DayOption, ZoneOption
from hcsim.errors import ConfigError


def federate(
    case: CaseArgument,
    schedule: Annotated[Path, typer.Argument(metavar="SCHEDULE", help="Folder: sizes, and what acts unasked.")],
    broker: Annotated[
        str | None,
        typer.Option(metavar="tcp://HOST:PORT", help="A HELICS broker that runs already. Default: one of our own."),
    ] = None,
    port: Annotated[int, typer.Option(min=1024, max=65535, help="Of our own broker.")] = 23404,
    commands: Annotated[
        str, typer.Option(metavar="TOPIC", help="The publication whose commands act.")
    ] = "controller/commands",
    wait: Annotated[float, typer.Option(min=0.01, help="Seconds in which an answer must come.")] = 10.0,
    join: Annotated[float, typer.Option(min=1.0, help="Seconds in which the controller must join.")] = 120.0,
    late: Annotated[str, typer.Option(help="What acts where no answer comes: last (commands) or schedule.")] = "last",
    draws: Annotated[
        int, typer.Option(min=0, help="Days drawn, load and sun each off by up to 10 %; 0: the study's own day.")
    ] = 0,
    days: Annotated[
        Path | None, typer.Option(help="Days of your own: a table of day, step, load_factor, pv_factor.")
    ] = None,
    delay: Annotated[
        int | None, typer.Option(min=0, help="Steps by which measurements are late. Default: [operate].")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the drawn days.")] = 1,
    day: DayOption = None,
    zone: ZoneOption = None,
    out: Annotated[Path | None, typer.Option(help="Results folder. Default: hcsim-results/CASE/federate.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="summary.json on standard output, nothing else.")] = False,
) -> None:
    """Let a controller in another program operate the schedule, by HELICS (extra cosim).

    Publishes voltages, head power, what devices deliver and could, stored energy; waits for commands; says at the end
    whether the day holds. A step without an answer in time is marked and goes on. Exit code 1 where steps were.
    """
    from hcsim.cases.case import load_case
    from hcsim.cli.common.progress import Show
    from hcsim.operate.days import SPREAD, drawn
    from hcsim.operate.federate import FederateOptions
    from hcsim.results.operate import conditions_in_words, in_words
    from hcsim.schedules.files import read_schedule
    from hcsim.studies.federate import federate as run_federate
    from hcsim.studies.federate import write_federated
    from hcsim.studies.operate import read_days, settings_of
    from hcsim.util.files import json_text
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Workbench

    if late not in ("last", "schedule"):
        raise ConfigError(f"--late {late} is neither last nor schedule.")
    bench = Workbench.open(load_case(case, None, day, zone))
    plan = read_schedule(schedule, network=bench.network, profiles=bench.profiles)
    folder = hold_folder(out or Path("hcsim-results") / bench.case.name / "federate")
    settings = settings_of(bench, delay_steps=delay, seed=seed)
    steps = len(bench.profiles)
    chosen = read_days(days, steps) if days else (drawn(draws, seed, SPREAD, steps) if draws else None)
    options = FederateOptions(broker, port, commands, wait, join, "last" if late == "last" else "schedule")
    if broker is None:
        err_console.print(f"Waiting for a controller at tcp://127.0.0.1:{port}; its topic: {escape(commands)}.")
    with Show(err_console) as listener:
        found = run_federate(bench, plan, options, chosen, settings, listener=listener)
        page = write_federated(found, folder)
    if as_json:
        out_console.file.write(json_text(found.to_json()) + "\n")
    else:
        say(f"{escape(plan.case)}, {plan.hc_kw:,.1f} kW of PV, {found.exchanges} exchanges:")
        for name, each in found.operated.policies.items():
            say(f"  {escape(in_words(name, each))}")
        say(f"  {escape(conditions_in_words(found.operated))}")
        say(f"Results in {escape(str(folder))}; open {escape(str(page))}.")
    if found.late:
        shown = ", ".join(found.late[:8]) + (f" and {len(found.late) - 8} more" if len(found.late) > 8 else "")
        acted = "the last commands" if late == "last" else "the schedule"
        err_console.print(f"[yellow]No answer in time at {escape(shown)}: {acted} acted.[/]", soft_wrap=True)
        raise typer.Exit(FAILED)
