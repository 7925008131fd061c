"""The commands. Each works from files of the step before; all physics is elsewhere.

Rooms are imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from hcsim import __version__
from hcsim.cli.certify import register as register_certify
from hcsim.cli.console import DONE, FAILED, INTERRUPTED, WRONG_USE, end_of_study, err_console, out_console, say
from hcsim.cli.feeder import AcceptOption, SitesOption, sites_wanted
from hcsim.cli.feeder import register as register_feeder_commands
from hcsim.cli.inverters import CompareOption, InvertersOption, control_of, refuse_in_year, show_day
from hcsim.cli.planning import (
    ExactnessOption,
    ProgramOption,
    SchemesOption,
    allocation_case,
    planning_study,
    program_of,
)
from hcsim.cli.planning import register as register_planning
from hcsim.cli.simulation import register as register_simulation
from hcsim.cli.simulation import year_baseline
from hcsim.cli.words import FreeOption, LockOption, MarginTimeOption, at_hc_words, limit_words, show_violations
from hcsim.errors import ConfigError, HcsimError, OutputError
from hcsim.util.locks import release_folders


class Guarded(TyperGroup):
    """One place where faults become words and exit codes: a user's mistake never shows a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HcsimError as error:
            err_console.print(f"[red]{escape(error.message)}[/]", soft_wrap=True)
            if error.remedy:
                err_console.print(escape(error.remedy), soft_wrap=True)
            raise typer.Exit(WRONG_USE if isinstance(error, ConfigError | OutputError) else FAILED) from None
        except KeyboardInterrupt:
            err_console.print("Interrupted; what was finished has been kept.")
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params.get("debug") or _is_usage_error(error):
                raise
            err_console.print(
                f"[red]A fault of hcsim itself ({type(error).__name__}: {escape(str(error))}).[/]\n"
                "Please report it with what `hcsim --debug ...` prints.",
                soft_wrap=True,
            )
            raise typer.Exit(FAILED) from None
        finally:
            release_folders()


def _is_usage_error(error: Exception) -> bool:
    """Wrong options are typer's to explain (exit code 2); its base class has moved between versions."""
    return any(cls.__name__ == "ClickException" for cls in type(error).__mro__)


app = typer.Typer(
    cls=Guarded,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Checks what an optimizer claims about PV hosting capacity and batteries against OpenDSS.\n\n"
    "Start with `hcsim study ieee123`. A CASE is a bundled name (see `hcsim cases`), a folder with a "
    "study.toml, or the master .dss file of a feeder of your own (try `hcsim check` on it first).\n\n"
    "Exit codes: 0 done, 1 the study or a part of it failed, 2 wrong use, 130 interrupted.",
)

CaseArgument = Annotated[
    str, typer.Argument(metavar="CASE", help="Bundled case, folder with a study.toml, or a feeder's master .dss file.")
]
GapOption = Annotated[
    float | None, typer.Option(min=0.0, max=1.0, help="Stop a program when it is proven to this share: 0.002 is 0.2 %.")
]
TimeOption = Annotated[float | None, typer.Option("--time-limit", min=0.1, help="Seconds per program.")]


class Program(StrEnum):
    none = "none"
    centralized = "centralized"
    distributed = "distributed"
    distributed_no_circulation = "distributed_no_circulation"


class Controls(StrEnum):
    free = "free"
    locked = "locked"
    both = "both"


class Weights(StrEnum):
    uniform = "uniform"
    load = "load"
    schedule = "schedule"


register_feeder_commands(app)
register_certify(app)


def _version(wanted: bool) -> None:
    if wanted:
        out_console.print(f"hcsim {__version__}")
        raise typer.Exit(DONE)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(help="Show the traceback of a fault in hcsim itself.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Version.")] = False,
) -> None:
    """Options that hold for every command."""


@app.command()
def study(
    case: CaseArgument,
    out: Annotated[Path | None, typer.Option(help="Folder for the results. Default: ./hcsim-results/<case>")] = None,
    gap: GapOption = None,
    time_limit: TimeOption = None,
    only: Annotated[
        list[Program] | None, typer.Option("--case", help="Only this program; repeat for several. Default: all four.")
    ] = None,
    sites: SitesOption = None,
    accept_gate: AcceptOption = False,
    certify: Annotated[bool, typer.Option(help="Close the loop: certify each claim with controls free.")] = True,
    certify_time: Annotated[
        float | None, typer.Option("--certify-time", min=1.0, help="Seconds per case for the closed loop.")
    ] = None,
    inverters: CompareOption = None,
    robustness: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Drawn days of load and PV off by 10 % on which to try each certified schedule. "
            "Default: [certify] robustness_draws.",
        ),
    ] = None,
    margin_time: MarginTimeOption = None,
    program: ProgramOption = None,
    schemes: SchemesOption = None,
    exactness: ExactnessOption = None,
) -> None:
    """The main job: optimize, replay in OpenDSS, compare with simulation, certify, report.

    Four programs (no BESS, one central BESS, distributed BESS with and without power circulating between
    units), each claim replayed over the day with regulators locked and free, and the hosting capacity that
    plain simulation finds; then the closed loop certifies what OpenDSS passes with controls free. Ends
    with a table and a folder: summary.json, report.html, schedules, replays, figures. Ctrl-C keeps what is finished.

    A planning study (ieee33) sites and sizes storage instead: schemes A, B and C of paper 2, each replayed.
    """
    from hcsim.cli.progress import Show
    from hcsim.report.allocation.closed_loop import robustness_lines
    from hcsim.report.allocation.inverters import inverter_sentences
    from hcsim.report.allocation.tables import main_table
    from hcsim.results.allocation_summary import summarize
    from hcsim.studies.allocation import Study
    from hcsim.studies.runner import default_out
    from optim.hosting.problem import CASES

    loaded = Study.load(case, sites_wanted(sites))
    if program_of(loaded.case, program) == "planning":
        if inverters:
            raise ConfigError(
                "A planning study lays no autonomous inverters beside its schemes.",
                "`hcsim replay CASE SCHEDULE --inverters ...` takes its schedules one by one.",
            )
        planning_study(
            loaded.case,
            out,
            schemes=schemes,
            gap=gap,
            time_limit=time_limit,
            exactness=exactness,
            accept_gate=accept_gate,
        )
        return
    loaded = Study(allocation_case(loaded.case))
    folder = out or default_out(loaded.case)
    names = [p.value for p in only] if only else list(CASES)
    with Show(err_console) as listener:
        result = loaded.run(
            folder,
            programs=names,
            gap=gap,
            time_limit_s=time_limit,
            accept_gate=accept_gate,
            certify=certify,
            certify_time_s=certify_time,
            inverters=inverters.value if inverters else None,
            robustness_draws=robustness,
            margin_search_s=margin_time,
            listener=listener,
        )
    out_console.print(main_table(summarize(result)))
    for sentence in (*inverter_sentences(result), *robustness_lines(result)):
        say(escape(sentence))
    end_of_study(folder, result.missing)


@app.command()
def cases() -> None:
    """The bundled cases, and where their files lie."""
    from hcsim.cases.case import bundled_folder, bundled_names, load_case

    table = Table(box=None, pad_edge=False)
    for heading in ("case", "program", "title"):
        table.add_column(heading)
    for name in bundled_names():
        config = load_case(name).config
        table.add_row(name, config.program.kind, config.title)
    out_console.print(table)
    say(f"Files: {bundled_folder()}. A folder of your own with a study.toml is a case too.")


@app.command()
def export(
    case: CaseArgument,
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    accept_gate: AcceptOption = False,
) -> None:
    """Write the linear model of a feeder (LinDist3Flow matrices A, D_r, D_x) for use elsewhere.

    Matrix Market files, CSV files that name every row and column, ledger.csv that says how each element was
    read, and a README.
    """
    from hcsim.feeder.export import export_linear_model
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Workbench

    folder = hold_folder(out)
    bench = Workbench.open(case)
    bench.require_gate(accept=accept_gate)
    export_linear_model(bench.network, bench.ledger, folder)
    say(f"Linear model of {bench.network.name} ({len(bench.network.nodes)} nodes) in {escape(str(folder))}")


@app.command()
def optimize(
    case: CaseArgument,
    program: Annotated[Program, typer.Option("--case", help="Which program to solve.")] = Program.centralized,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the schedule. Default: ./hcsim-results/<case>/schedules/<program>")
    ] = None,
    gap: GapOption = None,
    time_limit: TimeOption = None,
    accept_gate: AcceptOption = False,
) -> None:
    """Solve one program and write its schedule, claim, bound and gap.

    The folder holds CSV files with units in the headers; edit them and `hcsim replay` the result.
    """
    from hcsim.cases.case import load_case
    from hcsim.schedules.files import write_schedule
    from hcsim.studies.allocation import claim_in_words
    from hcsim.studies.runner import default_out
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Workbench
    from optim.hosting.search import STOPPED, solve_hosting

    loaded = load_case(case)
    folder = hold_folder(out or default_out(loaded) / "schedules" / program.value)
    bench = Workbench.open(loaded)
    bench.require_gate(accept=accept_gate)
    solver = bench.solve_options(gap, time_limit)
    with err_console.status(f"{program.value}: solving, at most {solver.time_limit_s:g} s"):
        schedule = solve_hosting(bench.problem(program.value), program.value, solver)
    write_schedule(schedule, folder)
    say(f"{program.value}: {claim_in_words(schedule)}")
    if schedule.bess:
        say("BESS at " + ", ".join(f"{u.bus} ({u.energy_kwh:g} kWh)" for u in schedule.bess))
    say(escape(f"Schedule in {folder}; check it with: hcsim replay {case} {folder}"))
    if schedule.solve and STOPPED in schedule.solve.notes:
        raise typer.Exit(INTERRUPTED)


@app.command()
def replay(
    case: CaseArgument,
    schedule: Annotated[Path, typer.Argument(metavar="SCHEDULE", help="Folder with schedule.json and its CSV files.")],
    controls: Annotated[
        Controls, typer.Option(help="Regulators and capacitors: free to act, locked as the program assumed, or both.")
    ] = Controls.both,
    free: FreeOption = None,
    lock: LockOption = None,
    inverters: InvertersOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for voltages, flows, SoC, violations as Parquet.")] = None,
) -> None:
    """Run a schedule through OpenDSS, every step and phase, and say whether its claim holds.

    The schedule may be edited by hand or come from another optimizer. Exit code 1 only where OpenDSS cannot
    judge (a step does not converge); a refuted schedule is an answer. With --inverters, PV follows its own
    voltage and only batteries the schedule; locked controls then hold everything but the inverters.
    """
    from hcsim.replay.inverter_day import at_unity, inverter_day, write_inverter_day
    from hcsim.replay.result import write_replay
    from hcsim.replay.verdict import verdict
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Workbench
    from hcsim.workbench.planning import read_commanded, replayer

    folder = hold_folder(out) if out else None
    bench = Workbench.open(case, free or (), lock or ())
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
        show_violations(found, out_console)
        if folder:
            write_replay(found, folder / word)
        if control:
            day = inverter_day(found, plain(at_unity(commanded), word, base), commanded.step_h)
            show_day(day, out_console)
            if folder:
                write_inverter_day(day, control, folder / word)
    if folder:
        say(f"Replay in {escape(str(folder))}")
    if not judged:
        raise typer.Exit(FAILED)


@app.command()
def baseline(
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
    year: Annotated[
        bool, typer.Option("--year", help="8760 hours instead of the case's day; the year is recorded too.")
    ] = False,
    profiles: Annotated[
        Path | None, typer.Option(help="With --year, a CSV of it: hour, load_pu, pv_pu. Default: made of the day.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for baseline.json and every probe.")] = None,
) -> None:
    """Hosting capacity by plain simulation: raise PV until OpenDSS shows the first new violation.

    Bracket and bisection on whole days. Names the limit that binds, where and when.
    """
    if year:
        if weights is Weights.schedule or controls is Controls.both or free or lock:
            raise ConfigError(
                "--year goes with --weights uniform or load, --controls free or locked, and without --free and --lock.",
                "[controls] of study.toml holds there too.",
            )
        refuse_in_year(case, inverters)
        year_baseline(
            case,
            "load" if weights is Weights.load else "uniform",
            "locked" if controls is Controls.locked else "free",
            bess,
            profiles,
            out,
        )
        return
    from hcsim.hosting.result import write_baseline
    from hcsim.schedules.files import read_schedule
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Workbench

    if controls is Controls.both:
        raise ConfigError("A search runs under one kind of controls.", "Use --controls free or locked.")
    folder = hold_folder(out) if out else None
    bench = Workbench.open(case, free or (), lock or ())
    beside = read_schedule(bess, network=bench.network, profiles=bench.profiles) if bess else None
    with err_console.status("simulating"):
        found = bench.baseline(
            weights.value,
            beside,
            controls="locked" if controls is Controls.locked else "free",
            reactive=control_of(bench, inverters) or "as_given",
        )
    say(f"[bold]{found.hc_kw:.1f} kW[/] after {found.power_flows} power flows in {found.seconds:.1f} s")
    say(f"Limit: {escape(limit_words(found.limit))}")
    if bench.selection.held and controls is Controls.free:
        say(escape(bench.selection.words))
    if found.at_hc and found.inverters != "off":
        say(f"Inverters on {found.inverters}: {at_hc_words(found.at_hc)}")
    for again in found.passed_again_kw:
        say(f"[yellow]{again:.1f} kW passed again[/]: violation is not monotone here (regulators step).")
    if folder:
        write_baseline(found, folder)
        say(f"Probes in {escape(str(folder))}")


register_simulation(app)
register_planning(app)


def main() -> None:
    """Entry point of the `hcsim` command."""
    app()
