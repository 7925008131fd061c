"""`hcsim baseline`: hosting capacity by plain simulation, of a day or of a year."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from hcsim.cli.common.console import limit_words, say
from hcsim.cli.common.options import (
    CaseArgument,
    Controls,
    DayOption,
    FreeOption,
    Inverters,
    InvertersOption,
    LockOption,
    ResumeOption,
    ZoneOption,
    control_of,
    refuse,
)
from hcsim.cli.common.progress import working
from hcsim.cli.simulation import year_baseline
from hcsim.errors import ConfigError

if TYPE_CHECKING:
    from hcsim.replay.recording import Controls as ControlsWord


class Weights(StrEnum):
    uniform = "uniform"
    load = "load"
    schedule = "schedule"


def baseline(
    ctx: typer.Context,
    case: CaseArgument,
    bess: Annotated[
        Path | None,
        typer.Option(
            metavar="SCHEDULE",
            help="Run the BESS of this schedule beside the PV; with --year "
            "a schedule of 8760 hours, or of one day that is repeated.",
        ),
    ] = None,
    weights: Annotated[
        Weights,
        typer.Option(
            help="How capacity is shared among the PV nodes: the same everywhere, by nominal load, or as in "
            "the schedule (then with its reactive power too)."
        ),
    ] = Weights.uniform,
    controls: Annotated[Controls, typer.Option(help="Regulators and capacitors during the search.")] = Controls.free,
    free: FreeOption = None,
    lock: LockOption = None,
    inverters: InvertersOption = None,
    day: DayOption = None,
    zone: ZoneOption = None,
    year: Annotated[
        bool, typer.Option("--year", help="8760 hours instead of the case's day; the year is recorded too.")
    ] = False,
    profiles: Annotated[
        Path | None, typer.Option(help="With --year, a CSV of it: hour, load_pu, pv_pu. Default: made of the day.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for baseline.json and every probe.")] = None,
    resume: ResumeOption = False,
) -> None:
    """Hosting capacity by plain simulation: raise PV until OpenDSS shows the first new violation.

    Bracket and bisection on whole days. Names the limit that binds, where and when.
    """
    if controls is Controls.both:
        raise ConfigError("A search runs under one kind of controls.", "Use --controls free or locked.")
    word: ControlsWord = "locked" if controls is Controls.locked else "free"
    if year:
        refuse(ctx, ("free", "lock"), "A year", "[controls] of study.toml holds there too.")
        if weights is Weights.schedule:
            raise ConfigError("A year has no use for --weights schedule.", "Use --weights uniform or load.")
        refuse(ctx, ("day",), "A year", "It has all days.")
        _refuse_inverters(case, inverters)
        year_baseline((case, zone), "load" if weights is Weights.load else "uniform", word, bess, profiles, out, resume)
        return
    refuse(ctx, ("profiles", "resume"), "A search on the case's day", "Add --year.")
    if controls is Controls.locked:
        refuse(ctx, ("free", "lock"), "A search with --controls locked, where no control acts,")
    from hcsim.cases.case import load_case
    from hcsim.devices.inverter_curves import InverterControl
    from hcsim.hosting.result import write_baseline
    from hcsim.hosting.weights import schedule_at, shares_of
    from hcsim.report.simulation.pages import AtCapacity, baseline_page
    from hcsim.report.simulation.words import baseline_headline
    from hcsim.schedules.files import read_schedule
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Reactive, Workbench

    folder = hold_folder(out) if out else None
    bench = Workbench.open(load_case(case, None, day, zone), free or (), lock or ())
    beside = read_schedule(bess, network=bench.network, profiles=bench.profiles) if bess else None
    reactive: Reactive = control_of(bench, inverters) or "as_given"
    with working("simulation HC") as work:
        found = bench.baseline(weights.value, beside, controls=word, progress=work.count("probes"), reactive=reactive)
    say(f"[bold]{escape(baseline_headline(bench.case.name, found))}[/]")
    say(f"[bold]{escape(found.words)}[/] after {found.power_flows} power flows in {found.seconds:.1f} s")
    say(f"Limit: {escape(limit_words(found.limit))}")
    if found.again_words:
        say(f"Not monotone: {found.again_words}, above sizes that fail")
    if found.fails_below_kw:
        sizes = ", ".join(f"{kw:,.0f}" for kw in found.fails_below_kw)
        say(f"Smaller sizes fail, with too little PV for the batteries: {sizes} kW")
    if bench.selection.held and controls is Controls.free:
        say(escape(bench.selection.words))
    if found.at_hc and found.inverters != "off":
        say(f"Inverters on {found.inverters}: {_at_hc_words(found.at_hc)}")
    for again in found.passed_again_kw:
        say(f"[yellow]{again:.1f} kW passed again[/]: violation is not monotone here (regulators step).")
    kw = 0.0 if found.undefined else found.hc_kw
    if folder:
        write_baseline(found, folder)
        shares = shares_of(bench.network, bench.pv_nodes, weights.value, beside, bench.caps)
        at = schedule_at(shares, kw, bench.profiles, beside)
        bare = bench.bare(word).found
        inverted = reactive if isinstance(reactive, InverterControl) else None
        at_capacity = bench.replay(at, word, base=bare, inverters=inverted) if kw > 0 else None
        page = baseline_page(found, AtCapacity(bench.case.name, bench.model, at, at_capacity, bare), folder)
        say(f"Probes in {escape(str(folder))}; open {escape(str(page))}.")


def _refuse_inverters(case: str, word: Inverters | None) -> None:
    """A year is simulated at unity power factor only. Raises ConfigError where anything else is asked for."""
    from hcsim.cases.case import load_case

    if (word.value if word else load_case(case).config.inverters.control) != "off":
        raise ConfigError(
            "--year simulates inverters at unity power factor, not on their own.",
            "Add --inverters off, or leave --year out.",
        )


def _at_hc_words(at_hc: Mapping[str, float]) -> str:
    """What inverters do at a hosting capacity, "12.3 of 19,280 kWh curtailed, 1,073 kvarh absorbed, 2 injected"."""
    return (
        f"{at_hc['curtailed_kwh']:,.1f} of {at_hc['available_kwh']:,.0f} kWh curtailed, "
        f"{at_hc['absorbed_kvarh']:,.0f} kvarh absorbed, {at_hc['injected_kvarh']:,.0f} injected"
    )
