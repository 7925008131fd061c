"""`hcsim certify`: the closed loop on the command line."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from hcsim.cli.common.console import command, out_console, say
from hcsim.cli.common.options import (
    CaseArgument,
    DayOption,
    FreeOption,
    LockOption,
    MarginTimeOption,
    Program,
    ResumeOption,
    ZoneOption,
    refuse,
    same_feeder,
)
from hcsim.cli.common.progress import working
from hcsim.errors import ConfigError

if TYPE_CHECKING:
    from hcsim.certify.certificate import Certificate
    from hcsim.jobs.kept_steps import KeptSteps
    from hcsim.workbench.allocation import Workbench
    from optim.data.schedule import Schedule


PASS_PCT, DRAWS = 95.0, 200
MARGIN_SEARCH_S = 3600.0
"""Who asks for days of other load and sun here waits for the capacity that passes on 95 % of them, too."""


def certify(
    ctx: typer.Context,
    case: CaseArgument,
    schedules: Annotated[
        list[Path] | None,
        typer.Argument(metavar="SCHEDULE", help="Schedule folders to start from. Default: solve the programs."),
    ] = None,
    programs: Annotated[
        list[Program] | None,
        typer.Option("--program", help="Program to solve and certify; repeat for several. Default: none, centralized."),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--certify-time", min=1.0, help="Guard in seconds per schedule; its budget is rounds."),
    ] = None,
    budget: Annotated[bool, typer.Option(help="Measure where the claim lost.")] = True,
    robustness: Annotated[
        int, typer.Option(min=0, help="Replay under this many drawn days of load and PV off by 10 %; 200 is usual.")
    ] = 0,
    margin_time: MarginTimeOption = None,
    policy: Annotated[
        str | None,
        typer.Option(help="Also the largest capacity that passes on other days with this policy acting: follow, ..."),
    ] = None,
    pass_pct: Annotated[
        float | None, typer.Option("--pass", min=0.0, max=100.0, help="... on how many per cent of them. Default: 95.")
    ] = None,
    draws: Annotated[int | None, typer.Option(min=1, help="Drawn days for --policy. Default: 200.")] = None,
    seed: Annotated[int, typer.Option(help="Of the drawn days.")] = 1,
    free: FreeOption = None,
    lock: LockOption = None,
    day: DayOption = None,
    zone: ZoneOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results. Default: ./hcsim-results/CASE")] = None,
    resume: ResumeOption = False,
) -> None:
    """Close the loop: find the hosting capacity that OpenDSS passes with every control acting.

    Linearizes each hour where the replay stands, solves inside a trust region, replays, until claim and
    simulation agree. Writes the certified schedule (`hcsim replay` takes it), its replay and every round. What is
    certified without batteries is where the loops with batteries start.
    """
    from hcsim.cases.case import load_case
    from hcsim.certify.certificate import certified_in_words, round_in_words, write_certificate
    from hcsim.certify.error_budget import certify_with_budget
    from hcsim.certify.loop import certify as close_loop
    from hcsim.certify.options import loop_options
    from hcsim.certify.robustness import RobustnessSettings, with_robustness
    from hcsim.operate.days import maker_of
    from hcsim.report.allocation.certify_page import certify_page
    from hcsim.report.allocation.first import headline_of
    from hcsim.schedules.edit import with_pv_of
    from hcsim.studies.runner import STUDY_PARTS, default_out, kept_steps
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Workbench

    if schedules:
        refuse(ctx, ("programs",), "A loop that starts from schedules")
    if not robustness:
        refuse(ctx, ("margin_time",), "A loop without drawn days", "Add --robustness 200, for one.")
    if not robustness and policy is None:
        refuse(ctx, ("seed",), "A loop without drawn days", "Add --robustness 200, for one.")
    if policy is None:
        refuse(ctx, ("pass_pct", "draws"), "A loop without a policy", "Add --policy follow, for one.")
    else:
        maker_of(policy)
    bench = Workbench.open(load_case(case, None, day, zone), free or (), lock or ())
    if bench.selection.held:
        say(escape(bench.selection.words))
    folder = hold_folder(out or default_out(bench.case), STUDY_PARTS)
    options = loop_options(bench, seconds)
    certificates = folder / "certificates"
    kept = kept_steps(bench, "certify", bench.profiles, certificates, resume=resume)
    without: Certificate | None = None
    done: dict[str, Certificate] = {}
    for claim in _claims(bench, schedules or [], programs or [Program.none, Program.centralized], kept):
        out_console.print(f"[bold]{escape(claim.case)}[/]: claim {claim.hc_kw:.1f} kW", highlight=False)
        run = certify_with_budget if budget else close_loop
        start = with_pv_of(claim, without.schedule) if without else None
        close = partial(
            run,
            bench,
            claim,
            options,
            lambda r: out_console.print(escape(round_in_words(r)), highlight=False),
            starts=[start] if start else [],
        )
        step = f"{claim.case} closed loop"
        begins = [replace(schedule, solve=None) for schedule in (claim, start) if schedule]  # without its seconds
        found = kept.do(step, close, [asdict(options), budget, begins])
        if step in kept.resumed:
            out_console.print("closed loop: of an earlier run", highlight=False)
        without = found if claim.case == "none" else without
        if robustness:
            own = bench.case.config.certify.margin_search_s or MARGIN_SEARCH_S
            margin_s = own if margin_time is None else margin_time
            with working(f"robustness {claim.case}") as work:
                settings = RobustnessSettings(draws=robustness, seed=seed, margin_s=margin_s)
                other_days = partial(with_robustness, bench, found, settings, progress=work.count_parts)
                found = kept.do(f"{claim.case} other days", other_days, asdict(settings), [step])
        if policy is not None:
            found = _operated(
                bench, found, (policy, draws or DRAWS, PASS_PCT if pass_pct is None else pass_pct, seed), step, kept
            )
        done[claim.case] = found
        where = write_certificate(found, folder)
        say(f"[bold]{escape(claim.case)}: {escape(certified_in_words(found))}[/]")
        _say_more(found)
        again = command("hcsim", "replay", case, where, *same_feeder(day, zone))
        say(f"Certified schedule in {escape(str(where))}; see for yourself: {again}")
    page = certify_page(bench.case.name, bench.model, done, bench.bare("free").found, folder)
    say(f"[bold]{escape(headline_of(bench.case.name, done))}[/]")
    say(f"Results in {escape(str(folder))}; open {escape(str(page))}.")


def _operated(
    bench: Workbench, found: Certificate, asked: tuple[str, int, float, int], step: str, kept: KeptSteps
) -> Certificate:
    """With what is left of it on other days. `asked`: policy, days, per cent of them that pass, seed."""
    from hcsim.operate.capacity import operated_capacity
    from hcsim.operate.days import SPREAD, drawn
    from hcsim.studies.operate import settings_of

    policy, draws, pass_pct, seed = asked
    settings = settings_of(bench, seed=seed)
    days = drawn(draws, seed, SPREAD, len(bench.profiles))
    with working(f"operated {found.case}") as work:

        def told(kw: float, count: int, of: int) -> None:
            work.count_parts(f"days at {kw:,.0f} kW", count, of)

        def search() -> dict[str, Any]:
            return operated_capacity(bench, found.schedule, policy, days, settings, pass_pct, told).to_json()

        operated = kept.do(f"{found.case} operated", search, [asked, asdict(settings)], [step])
    return replace(found, operated=operated)


def _claims(bench: Workbench, folders: list[Path], programs: list[Program], kept: KeptSteps) -> list[Schedule]:
    from hcsim.schedules.files import read_schedule

    if folders:
        found = [read_schedule(f, network=bench.network, profiles=bench.profiles) for f in folders]
        if plans := [str(f) for f, schedule in zip(folders, found, strict=True) if schedule.kind == "planning"]:
            raise ConfigError(
                f"{', '.join(plans)}: the closed loop certifies schedules of allocation, not plans of storage.",
                "`hcsim replay` judges a plan.",
            )
        return found
    bench.check_sites()
    return [_solved(bench, name.value, kept) for name in programs]


def _solved(bench: Workbench, name: str, kept: KeptSteps) -> Schedule:
    from optim.hosting.search import STOPPED, solve_hosting

    def whole(found: Schedule) -> bool:
        return found.solve is None or STOPPED not in found.solve.notes

    options = bench.solve_options()
    with working(f"program {name}"):
        solve = partial(solve_hosting, bench.problem(name), name, options)
        return kept.do(f"program {name}", solve, asdict(options), whole=whole)


def _say_more(found: Certificate) -> None:
    from hcsim.certify.certificate import binding_in_words, existing_in_words
    from hcsim.certify.error_budget import budget_in_words
    from hcsim.report.allocation.closed_loop import operated_words, robustness_words

    if found.bound_kw == found.bound_kw:
        say(f"At most {found.bound_kw:.1f} kW by the relaxed program of the last linearization, which no replay asked.")
    for words in (
        binding_in_words(found),
        existing_in_words(found),
        budget_in_words(found.error_budget),
        robustness_words(found),
        operated_words(found),
    ):
        if words:
            say(words)
