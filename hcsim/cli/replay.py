"""`hcsim replay`: a schedule through OpenDSS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hcsim.cli.common.console import FAILED, mark_of, out_console, say, show_violations
from hcsim.cli.common.options import (
    CaseArgument,
    Controls,
    DayOption,
    EngineOption,
    Engines,
    FreeOption,
    InvertersOption,
    LockOption,
    ZoneOption,
    control_of,
    refuse,
)


def replay(
    ctx: typer.Context,
    case: CaseArgument,
    schedule: Annotated[Path, typer.Argument(metavar="SCHEDULE", help="Folder with schedule.json and its CSV files.")],
    controls: Annotated[
        Controls, typer.Option(help="Regulators and capacitors: free to act, locked as the program assumed, or both.")
    ] = Controls.both,
    free: FreeOption = None,
    lock: LockOption = None,
    inverters: InvertersOption = None,
    engine: EngineOption = Engines.first,
    day: DayOption = None,
    zone: ZoneOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for voltages, flows, SoC, violations as Parquet.")] = None,
) -> None:
    """Run a schedule through OpenDSS, every step and phase, and say whether its claim holds.

    The schedule may be edited by hand or come from another optimizer. Exit code 1 only where OpenDSS cannot
    judge (a step does not converge); a refuted schedule is an answer. With --inverters, PV follows its own
    voltage and only batteries the schedule; locked controls then hold everything but the inverters.
    """
    from hcsim.cases.case import load_case
    from hcsim.replay.inverter_day import at_unity, day_in_words, inverter_day, write_inverter_day
    from hcsim.replay.result import write_replay
    from hcsim.replay.verdict import three_lines, verdict
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Workbench
    from hcsim.workbench.planning import model_of, read_commanded, replayer
    from hcsim.workbench.second_engine import second_opinion, write_opinion

    if controls is Controls.locked:
        refuse(ctx, ("free", "lock"), "A replay with --controls locked, where no control acts,")
    folder = hold_folder(out) if out else None
    bench = Workbench.open(load_case(case, None, day, zone), free or (), lock or ())
    if bench.selection.held and controls is not Controls.locked:
        say(escape(bench.selection.words))
    commanded = read_commanded(bench, schedule)
    judged = True
    control = control_of(bench, inverters)
    plain, run = replayer(bench, commanded), replayer(bench, commanded, control)
    for word in ("locked", "free") if controls is Controls.both else (controls.value,):
        found = run(commanded, word, base := plain(None, word, None))
        said = verdict(found)
        judged = judged and said.kind != "not judged"
        colour = {"holds": "green", "refuted": "red"}.get(said.kind, "yellow")
        say(f"{commanded.hc_kw:.1f} kW, controls {word}: [{colour}]{escape(said.words)}[/]")
        for line in (three_lines(found)[0], three_lines(found)[2]):
            say(f"  {escape(line)}")
        show_violations(found, out_console)
        if folder:
            write_replay(found, folder / word)
            write_replay(base, folder / "bare" / word)  # what decides which violations were there before
        if engine is Engines.both:
            opinion = second_opinion(model_of(bench, commanded), bench.case, commanded, found, base)
            say(f"  {mark_of(opinion.agree)}{escape(opinion.words)}[/]")
            if folder:
                write_opinion(opinion, folder / word)
        if control:
            own = inverter_day(found, plain(at_unity(commanded), word, base), commanded.step_h)
            for sentence in day_in_words(own):
                say(escape(sentence))
            if folder:
                write_inverter_day(own, control, folder / word)
    if folder:
        say(f"Replay in {escape(str(folder))}")
    if not judged:
        raise typer.Exit(FAILED)
