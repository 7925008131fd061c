"""`hcsim bound`: what no schedule of a case can exceed."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from hcsim.cli.common.console import FAILED, out_console, say
from hcsim.cli.common.options import CaseArgument, DayOption, Program, ZoneOption, refuse
from hcsim.errors import ConfigError

METHODS = ("balance", "sdp")


class TapsTaken(StrEnum):
    any = "any"
    bare = "bare"


def bound(
    ctx: typer.Context,
    case: CaseArgument,
    program: Annotated[
        list[Program] | None, typer.Option(help="Only these programs' batteries; repeatable. Default: all of the case.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="balance: energy in every hour against what loads can draw. sdp: the three-phase power flow relaxed "
            "to a semidefinite program, voltages and reverse flow of every phase in it (extra conic)."
        ),
    ] = "balance",
    hours: Annotated[
        str | None,
        typer.Option(
            metavar="HOUR,...",
            help="With --method sdp: these hours alone, by their names, 10:00,12:00; over some hours it is still a "
            "bound. Default: all.",
        ),
    ] = None,
    taps: Annotated[
        TapsTaken,
        typer.Option(
            help="With --method sdp: taps of regulators anywhere in their range, or where the bare feeder has them."
        ),
    ] = TapsTaken.any,
    losses: Annotated[
        float | None,
        typer.Option(min=0.0, help="Ceiling on losses in kW, every hour. Default: the bare feeder's own in that hour."),
    ] = None,
    day: DayOption = None,
    zone: ZoneOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for bound.json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="bound.json on standard output, nothing else.")] = False,
) -> None:
    """Say what no schedule can exceed, as long as it loses no more than a stated ceiling.

    The bound of a linear program bounds that program; this one bounds the feeder. Exit code 1 where there is none.
    Where reverse flow binds, balance says nearly all; where voltages bind, sdp says more. A feeder that sdp cannot hold
    has no bound by it, and the reason is named.
    """
    from hcsim.cases.case import load_case
    from hcsim.replay.verdict import listed
    from hcsim.util.files import json_text, output_folder, write_json
    from hcsim.workbench.allocation import Workbench
    from hcsim.workbench.bounds import no_more_than
    from hcsim.workbench.sdp_bounds import no_more_than_sdp
    from optim.bounds.sdp.solving import need_clarabel

    if method not in METHODS:
        raise ConfigError(f"--method {method} is unknown.", f"Known: {', '.join(METHODS)}.")
    if method == "balance":
        refuse(ctx, ("hours", "taps"), "--method balance", "It looks at all hours and at no taps.")
    else:
        need_clarabel()
    asked = None if hours is None else [name.strip() for name in hours.split(",")]
    bench = Workbench.open(load_case(case, None, day, zone))
    has_bess = bench.case.config.bess is not None
    wanted = [p.value for p in program or Program if p is Program.none or has_bess]
    rows: dict[str, dict[str, Any]] = {}
    for name in wanted:
        begun = time.perf_counter()
        if method == "balance":
            found = no_more_than(bench, name, losses_kw=losses)
        else:
            found = no_more_than_sdp(bench, name, losses_kw=losses, hours=asked, taps=taps.value)
        content: dict[str, Any] = found.to_json()
        rows[name] = {"bound_kw": content.pop("no_more_than_kw"), **content, "seconds": time.perf_counter() - begun}
        if not as_json:
            kw = rows[name]["bound_kw"]
            decided = "decided at" if method == "balance" else "looked at"
            words = f"no more than {kw:,.1f} kW, {decided} {listed(content['hours'], 6)}" if kw else ""
            say(f"{escape(name)}: {escape(words or str(content['status']))}")
    if not as_json:
        say(f"Ceiling on losses: {escape(str(content['losses_ceiling']))}. {escape(str(content['assumes']))}")
    whole: dict[str, Any] = {"case": bench.case.name, "programs": rows}
    if len(rows) == 1:
        whole |= next(iter(rows.values()))
    if out is not None:
        write_json(output_folder(out) / "bound.json", whole)
    if as_json:
        out_console.file.write(json_text(whole) + "\n")
    if all(row["bound_kw"] is None for row in rows.values()):
        raise typer.Exit(FAILED)
