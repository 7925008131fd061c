"""`hcsim optimize`: one program, one schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hcsim.cli.common.console import INTERRUPTED, command, say
from hcsim.cli.common.options import (
    AcceptOption,
    CaseArgument,
    DayOption,
    GapOption,
    Program,
    TimeOption,
    ZoneOption,
    same_feeder,
)
from hcsim.cli.common.progress import working


def optimize(
    case: CaseArgument,
    program: Annotated[Program, typer.Option("--program", help="Which program to solve.")] = Program.centralized,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the schedule. Default: ./hcsim-results/CASE/schedules/PROGRAM")
    ] = None,
    gap: GapOption = None,
    time_limit: TimeOption = None,
    day: DayOption = None,
    zone: ZoneOption = None,
    accept_gate: AcceptOption = False,
) -> None:
    """Solve one program and write its schedule, claim, bound and gap.

    The folder holds CSV files with units in the headers; edit them and `hcsim replay` the result.
    """
    from hcsim.cases.case import load_case
    from hcsim.results.allocation import claim_in_words
    from hcsim.schedules.files import write_schedule
    from hcsim.studies.runner import default_out
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Workbench
    from optim.hosting.search import STOPPED, solve_hosting

    loaded = load_case(case, None, day, zone)
    folder = hold_folder(out or default_out(loaded) / "schedules" / program.value)
    bench = Workbench.open(loaded)
    bench.require_gate(accept=accept_gate)
    solver = bench.solve_options(gap, time_limit)
    with working(f"program {program.value}") as work:
        work.say(f"at most {solver.time_limit_s:g} s")
        schedule = solve_hosting(bench.problem(program.value), program.value, solver)
        work.say(claim_in_words(schedule))
    write_schedule(schedule, folder)
    say(f"{program.value}: {claim_in_words(schedule)}")
    if schedule.bess:
        say("BESS at " + ", ".join(f"{escape(u.bus)} ({u.energy_kwh:g} kWh)" for u in schedule.bess))
    check = command("hcsim", "replay", case, folder, *same_feeder(day, zone))
    say(f"Schedule in {escape(str(folder))}; check it with: {check}")
    if schedule.solve and STOPPED in schedule.solve.notes:
        raise typer.Exit(INTERRUPTED)
