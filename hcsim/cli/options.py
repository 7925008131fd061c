"""`hcsim options`: what raises certified capacity, settings before capital."""

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
)
from hcsim.errors import ConfigError


def options(
    case: CaseArgument,
    program: Annotated[
        Program, typer.Option(help="Whose certified capacity is raised: none is the feeder without batteries.")
    ] = Program.none,
    kinds: Annotated[
        str, typer.Option(metavar="KIND,KIND", help="Which: regulator, capacitor, inverters, battery, conductor.")
    ] = "regulator,capacitor,inverters,battery,conductor",
    steps: Annotated[
        str, typer.Option(metavar="V,V", help="Moves of regulators' set points, V on their own base.")
    ] = "-4,-2,2,4",
    batteries: Annotated[int, typer.Option(min=0, help="Places for the battery of [bess] that are tried.")] = 3,
    sections: Annotated[int, typer.Option(min=0, help="Sections of line that are tried with a second conductor.")] = 3,
    costs: Annotated[
        Path | None,
        typer.Option(
            help="CSV with columns option (a name of the table, or a wildcard) and cost: ranks by kW per cost."
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Rounds of each closed loop. Default: [certify] max_rounds.")
    ] = None,
    day: DayOption = None,
    zone: ZoneOption = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Worker processes. Default: all cores.")] = None,
    accept_gate: AcceptOption = False,
    resume: ResumeOption = False,
    out: Annotated[Path | None, typer.Option(help="Results folder. Default: hcsim-results/CASE/options.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="options.json on standard output, nothing else.")] = False,
) -> None:
    """Rank what raises certified capacity: set points, line-drop compensation, banks, curves, a battery, a conductor.

    Every change is certified by itself in the changed feeder, and judged against the feeder as it is. Exit code 1
    where a change has no result.
    """
    from hcsim.cases.case import load_case
    from hcsim.cli.common.progress import Show
    from hcsim.report.operate.options_page import options_page
    from hcsim.studies.options import rank_options
    from hcsim.util.files import json_text

    loaded = load_case(case, None, day, zone)
    folder = out or Path("hcsim-results") / loaded.name / "options"
    with Show(err_console) as listener:
        found = rank_options(
            loaded,
            folder,
            program=program.value,
            kinds=[k.strip() for k in kinds.split(",") if k.strip()],
            steps_v=_volts(steps),
            batteries=batteries,
            sections=sections,
            costs=costs,
            rounds=rounds,
            accept_gate=accept_gate,
            processes=processes,
            resume=resume,
            listener=listener,
        )
        page = options_page(found, folder)
    if as_json:
        out_console.file.write(json_text(found.to_json()) + "\n")
    else:
        say(f"[bold]{escape(found.headline)}[/]")
        table = Table(box=None, pad_edge=False)
        priced = any(o.cost for o in found.options)
        for heading in ("option", "kW", "gained, kW", *(("kW per cost",) if priced else ()), "held by", "status"):
            table.add_column(heading, justify="left" if heading in ("option", "held by", "status") else "right")
        for o in found.options:
            numbers = [f"{o.hc_kw:,.1f}", f"{o.gained_kw:+,.1f}"] if o.hc_kw is not None else ["–", "–"]
            if priced:
                numbers.append(f"{o.kw_per_cost:.3g}" if o.kw_per_cost is not None else "–")
            status = f"refused: {o.refused}" if o.refused else o.word
            table.add_row(escape(o.change.name), *numbers, escape(o.held_by), escape(status))
        out_console.print(table)
        for note in found.notes:
            say(escape(note))
        say(f"Results in {escape(str(folder))}; open {escape(str(page))}.")
    for name, why in found.missing.items():
        err_console.print(f"[yellow]Missing: {escape(name)}[/]: {escape(why)}", soft_wrap=True)
    if found.missing:
        raise typer.Exit(FAILED)


def _volts(text: str) -> list[float]:
    found = numbers_of(text, "--steps", "-2,2")
    if wrong := [v for v in found if not 0 < abs(v) <= 24]:
        raise ConfigError(f"--steps {wrong[0]:g}: a set point moves by up to 24 V, and not by nothing.")
    return found
