"""Commands of the simulation side: nodal, stochastic, and the year of `hcsim baseline --year`."""

from __future__ import annotations

import os
from enum import StrEnum
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from hcsim.cli.common.console import FAILED, err_console, out_console, say
from hcsim.cli.common.options import CaseArgument, DayOption, ResumeOption, ZoneOption, refuse
from hcsim.cli.common.progress import working
from hcsim.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from hcsim.cases.time_axis import TimeAxis
    from hcsim.hosting.open_feeder import OpenFeeder


OutOption = Annotated[Path | None, typer.Option(help="Folder for the results.")]
ProcessesOption = Annotated[
    int | None, typer.Option(min=1, help="Worker processes on this machine. Default: its cores.")
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(metavar="tcp://HOST:PORT", help="Dask scheduler; needs hcsim[cluster] and files at the same path."),
]
LimitOption = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        help="CRITERION=VALUE or CRITERION=off, repeatable: overvoltage, undervoltage, reverse_flow, loading, "
        "voltage_deviation, voltage_unbalance, regulator_reverse_flow, tap_operations.",
    ),
]
LockedOption = Annotated[
    bool, typer.Option("--locked", help="Regulators and capacitors stay where the bare feeder has them.")
]


DAY_HOURS = 24


class Pattern(StrEnum):
    random = "random"
    near = "near"
    far = "far"


HoursOption = Annotated[
    int, typer.Option(help="24: the case's day; 576: month x weekday/weekend x hour; 8760: a year.")
]
YearFileOption = Annotated[
    Path | None, typer.Option("--profiles", help="CSV of a year: hour, load_pu, pv_pu. Default: made of the day.")
]


def nodal(
    ctx: typer.Context,
    case: CaseArgument,
    load: Annotated[bool, typer.Option("--load", help="Also the largest new load of every bus.")] = False,
    bess: Annotated[
        Path | None, typer.Option(metavar="SCHEDULE", help="Also with the batteries of this schedule; the gain.")
    ] = None,
    hours: HoursOption = 24,
    profiles: YearFileOption = None,
    day: DayOption = None,
    zone: ZoneOption = None,
    bus: Annotated[list[str] | None, typer.Option(help="Only this bus; repeat for several.")] = None,
    limit: LimitOption = None,
    locked: LockedOption = False,
    resolution: Annotated[float, typer.Option(min=0.001, help="Capacities are multiples of this, kW.")] = 1.0,
    largest: Annotated[
        float | None, typer.Option(min=1.0, help="kW at a three-phase bus where the search ends.")
    ] = None,
    out: OutOption = None,
    resume: ResumeOption = False,
    processes: ProcessesOption = None,
    scheduler: SchedulerOption = None,
) -> None:
    """Hosting capacity of every bus, by criterion: the iterative method of California's ICA.

    Writes nodal.csv, nodal.parquet, summary.json, figures and nodal.html, with [feeder] crs also nodal.geojson. Every
    finished bus is kept at once; a killed run goes on with --resume.
    """
    from hcsim.cases.screening_limits import simulation_limits
    from hcsim.hosting.nodal_result import NodalSettings, smallest
    from hcsim.hosting.open_feeder import bare_run
    from hcsim.jobs.campaign import Execution
    from hcsim.report.simulation.pages import nodal_page
    from hcsim.report.simulation.words import nodal_headline
    from hcsim.schedules.files import read_schedule
    from hcsim.studies.nodal import buses_of, run_nodal

    if scheduler:
        refuse(ctx, ("processes",), "A study on a Dask scheduler", "Its workers say how many tasks run at once.")
    if hours != DAY_HOURS:
        refuse(ctx, ("day",), f"A study of {hours} hours", "It has all days.")
    opened, axis, folder = _open((case, day, zone), hours, profiles, out, "nodal")
    beside = read_schedule(bess, network=opened.network, profiles=None) if bess else None
    settings = NodalSettings(
        limits=simulation_limits(opened.case.config.limits, limit or (), opened.case.config.simulation),
        controls="locked" if locked else "free",
        resolution_kw=resolution,
        largest_kw=largest,
        buses=buses_of(bus, opened.network) if bus else None,
        skip_steps=axis.skip_steps,
        load=load,
        bess=beside,
    )
    execution = Execution(processes or os.cpu_count() or 1, scheduler, resume)
    with working("nodal") as work:
        result = run_nodal(opened, axis.profiles, settings, folder, execution, progress=work.count("buses"))
    for name, outcome in result.outcomes.items():
        say(
            f"[bold]{name.replace('_', ' ')}[/]: {outcome.tasks} buses, {outcome.power_flows} power flows, "
            f"{outcome.seconds:.1f} s" + (f", {outcome.resumed} resumed" if outcome.resumed else "")
        )
        say(f"[bold]{escape(nodal_headline(result, name))}[/]")
        _show_smallest(smallest(outcome.table))
        _show_set_aside(outcome.set_aside)
        _show_missing(outcome.missing)
    if dead := result.dead_buses:
        zone = f" inside of the zone of EnergyMeter {opened.network.zone}" if opened.network.zone else ""
        say(escape(f"No capacity, as no phase there is live{zone}: {_some(dead)}."))
    bare = bare_run(opened, axis.profiles, settings.limits, settings.controls)
    page = partial(nodal_page, result, bare=bare, limits=settings.limits)
    _finish(folder, "nodal.html", page, result.unwritten, failed=bool(result.missing))


def stochastic(
    ctx: typer.Context,
    case: CaseArgument,
    deployments: Annotated[int, typer.Option(min=1, help="How many random deployments.")] = 1000,
    steps: Annotated[
        str, typer.Option(help="Penetration in % of the feeder's nominal load: FROM:TO:STEP.")
    ] = "10:100:10",
    pattern: Annotated[
        list[Pattern] | None,
        typer.Option(help="Who gets PV first: random, near the source, far from it. Repeat; default: in turns."),
    ] = None,
    size_per_load: Annotated[
        float, typer.Option(min=0.01, help="Rooftop kW per kW of the customer's nominal load.")
    ] = 1.5,
    size_kw: Annotated[float | None, typer.Option(min=0.01, help="The same rooftop kW for everyone, instead.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same deployments.")] = 1,
    bess: Annotated[Path | None, typer.Option(metavar="SCHEDULE", help="With the batteries of this schedule.")] = None,
    hours: HoursOption = 24,
    profiles: YearFileOption = None,
    day: DayOption = None,
    zone: ZoneOption = None,
    limit: LimitOption = None,
    locked: LockedOption = False,
    out: OutOption = None,
    resume: ResumeOption = False,
    processes: ProcessesOption = None,
    scheduler: SchedulerOption = None,
) -> None:
    """Hosting capacity over random deployments of rooftop PV: what share breaks a limit at which penetration.

    Writes stochastic.parquet, shares.csv, capacities.csv, summary.json, figures and stochastic.html.
    """
    from hcsim.cases.screening_limits import simulation_limits
    from hcsim.hosting.stochastic_result import StochasticSettings
    from hcsim.jobs.campaign import Execution
    from hcsim.report.simulation.pages import stochastic_page
    from hcsim.report.simulation.words import stochastic_headline
    from hcsim.schedules.files import read_schedule
    from hcsim.studies.stochastic import run_stochastic

    if scheduler:
        refuse(ctx, ("processes",), "A study on a Dask scheduler", "Its workers say how many tasks run at once.")
    if size_kw:
        refuse(ctx, ("size_per_load",), "A study with --size-kw, the same for everyone,")
    penetrations = _steps(steps)
    if hours != DAY_HOURS:
        refuse(ctx, ("day",), f"A study of {hours} hours", "It has all days.")
    opened, axis, folder = _open((case, day, zone), hours, profiles, out, "stochastic")
    settings = StochasticSettings(
        limits=simulation_limits(opened.case.config.limits, limit or (), opened.case.config.simulation),
        deployments=deployments,
        penetrations_pct=penetrations,
        patterns=tuple(p.value for p in pattern or Pattern),
        seed=seed,
        per_load=None if size_kw else size_per_load,
        fixed_kw=size_kw,
        controls="locked" if locked else "free",
        skip_steps=axis.skip_steps,
    )
    beside = read_schedule(bess, network=opened.network, profiles=None) if bess else None
    execution = Execution(processes or os.cpu_count() or 1, scheduler, resume)
    with working("stochastic") as work:
        result = run_stochastic(
            opened, axis.profiles, settings, folder, execution, bess=beside, progress=work.count("deployments")
        )
    summary = result.summary
    say(f"[bold]{escape(stochastic_headline(result))}[/]")
    say(
        f"{summary['deployments']} deployments, {summary['power_flows']} power flows, {summary['seconds']:.1f} s"
        + (f", {summary['resumed']} resumed" if summary["resumed"] else "")
    )
    if summary["hc_kw"]:
        words = ", ".join(f"{q[1:]} %: {kw:,.0f} kW" for q, kw in summary["hc_kw"].items() if kw is not None)
        say(f"[bold]Hosting capacity[/] of the deployments, {words or escape(summary.get('reason', 'not defined'))}")
        say("Breaks first: " + ", ".join(f"{c.replace('_', ' ')} ({n})" for c, n in summary["binds_first"].items()))
    _show_set_aside(result.outcome.set_aside)
    _show_missing(summary["missing"])
    page = partial(stochastic_page, result, limits=settings.limits)
    _finish(folder, "stochastic.html", page, result.unwritten, failed=bool(result.outcome.missing))


def year_baseline(
    feeder: tuple[str, str | None],
    weights: Literal["uniform", "load"],
    controls: Literal["free", "locked"],
    bess: Path | None,
    profiles: Path | None,
    out: Path | None,
    resume: bool = False,
) -> None:
    """What `hcsim baseline --year` does; `feeder` is a case and the zone of it."""
    from hcsim.hosting.year_result import YearSettings
    from hcsim.report.simulation.pages import year_page
    from hcsim.report.simulation.words import year_headline
    from hcsim.schedules.files import read_schedule
    from hcsim.studies.year import run_year

    case, zone = feeder
    opened, axis, folder = _open((case, None, zone), 8760, profiles, out, "year")
    beside = read_schedule(bess, network=opened.network, profiles=None) if bess else None
    with working("year") as work:
        settings = YearSettings(weights, controls)
        study = run_year(opened, axis, folder, settings, bess=beside, progress=work.count_parts, resume=resume)
    found, limit = study.capacity, study.capacity.limit
    say(f"[bold]{escape(year_headline(study))}[/]")
    say(f"[bold]{escape(found.words)}[/] after {found.power_flows} power flows in {found.seconds:.1f} s")
    say("Limit: " + escape(", ".join(f"{k} {v}" for k, v in limit.items() if v not in ("", None))))
    for name, year in study.years.items():
        words = year.summary()
        say(
            f"{name.replace('_', ' ')}: {words['v_min_pu']:.4f} to {words['v_max_pu']:.4f} pu, "
            f"{sum(year.tap_operations.values())} tap operations, recorded in {year.seconds:.1f} s"
        )
        _show_missing(year.failures)
    failed = any(year.failures for year in study.years.values())
    _finish(folder, "year.html", partial(year_page, study), study.unwritten, failed=failed)


def _finish(
    folder: Path, name: str, page: Callable[[Path], object], unwritten: dict[str, str], *, failed: bool
) -> None:
    """The page, what could not be written, and the exit code."""
    from hcsim.util.files import write_or_say

    write_or_say(unwritten, folder / name, lambda path: page(path.parent))
    _show_missing(unwritten)
    there = "" if name in unwritten else f"; open {escape(str(folder / name))}"
    say(f"Results in {escape(str(folder))}{there}.")
    if failed or unwritten:
        raise typer.Exit(FAILED)


def _some(names: Sequence[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _steps(text: str) -> tuple[float, ...]:
    """ "10:100:10" or "25,50,75" in per cent."""
    try:
        if ":" in text:
            first, last, step = (float(x) for x in text.split(":"))
            count = int((last - first) / step + 1e-9) + 1
            values = [first + i * step for i in range(count)]
        else:
            values = [float(x) for x in text.split(",")]
    except (ValueError, ZeroDivisionError):
        values = []
    if not values or min(values) <= 0 or any(a >= b for a, b in pairwise(values)):
        raise ConfigError(f"--steps {text}: not increasing per cents above 0.", "Say 10:100:10, or 25,50,75.")
    return tuple(values)


def _open(
    asked: tuple[str, str | None, str | None], hours: int, profiles: Path | None, out: Path | None, name: str
) -> tuple[OpenFeeder, TimeAxis, Path]:
    """`asked` are a case, --day and --zone."""
    from dataclasses import replace

    from hcsim.cases.case import load_case
    from hcsim.cases.existing_devices import with_existing
    from hcsim.cases.time_axis import time_axis
    from hcsim.hosting.open_feeder import open_feeder
    from hcsim.util.locks import hold_folder

    case, day, zone = asked
    loaded = load_case(case, None, day, zone)
    time_axis(loaded.profiles, hours, profiles)  # what is wrong with it is said before the feeder is read
    folder = hold_folder(out or Path("hcsim-results") / loaded.name / name)
    opened = open_feeder(loaded)
    axis = with_existing(opened.case, opened.network, hours, profiles)
    opened = replace(opened, notes=(*opened.notes, *axis.notes))
    for note in opened.notes:
        err_console.print(f"[yellow]{escape(note)}[/]", soft_wrap=True)
    return opened, axis, folder


def _show_smallest(table: pd.DataFrame, most: int = 10) -> None:
    """The buses that take least."""
    shown = Table(box=None, pad_edge=False)
    for heading in ("bus", "phases", "hc_kw", "criterion", "element", "hour", "status"):
        shown.add_column(heading, justify="right" if heading == "hc_kw" else "left")
    for row in table.nsmallest(most, "hc_kw").itertuples():
        element = ".".join(x for x in (str(row.binding_element), str(row.binding_phase)) if x)
        kw = f"{row.hc_kw:,.0f}"
        cells = (row.bus, row.phases, kw, row.criterion, element, row.binding_hour, row.status)
        shown.add_row(*(escape(str(cell)) for cell in cells))
    out_console.print(shown)
    if len(table) > most:
        say(f"and {len(table) - most} buses more.")


def _show_set_aside(parts: Mapping[str, str]) -> None:
    for task, why in parts.items():
        err_console.print(f"[yellow]The part of {escape(task)} was {escape(why)}.[/]", soft_wrap=True)


def _show_missing(missing: Mapping[str, str], most: int = 12) -> None:
    for task, reason in islice(missing.items(), most):
        err_console.print(f"[yellow]Missing: {escape(task)}[/]: {escape(reason)}", soft_wrap=True)
    if len(missing) > most:
        err_console.print(f"[yellow]and {len(missing) - most} more[/]")
