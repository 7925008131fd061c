"""`hcsim certify`: the closed loop on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from hcsim.certify.options import loop_options
from hcsim.cli.console import out_console, say
from hcsim.cli.words import FreeOption, LockOption, MarginTimeOption

if TYPE_CHECKING:
    from hcsim.certify.certificate import Certificate
    from hcsim.workbench.allocation import Workbench
    from optim.data.schedule import Schedule


MARGIN_SEARCH_S = 100.0
"""Who asks for days of other load and sun here waits for the capacity that passes on 95 % of them, too."""


def register(app: typer.Typer) -> None:
    """Adds the commands of this module to the program."""
    app.command()(certify)


def certify(
    case: Annotated[str, typer.Argument(metavar="CASE", help="Bundled case, study folder or .dss file.")],
    schedules: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[SCHEDULE]...", help="Schedule folders to start from. Default: solve the programs."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--case", help="Program to solve and certify; repeat for several. Default: none, centralized."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--certify-time", min=1.0, help="Seconds per schedule, error budget included.")
    ] = None,
    budget: Annotated[bool, typer.Option(help="Measure where the claim lost.")] = True,
    robustness: Annotated[
        int, typer.Option(min=0, help="Replay under this many drawn days of load and PV off by 10 %; 200 is usual.")
    ] = 0,
    margin_time: MarginTimeOption = None,
    seed: Annotated[int, typer.Option(help="Of the drawn days.")] = 1,
    free: FreeOption = None,
    lock: LockOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results. Default: ./hcsim-results/<case>")] = None,
) -> None:
    """Close the loop: find the hosting capacity that OpenDSS passes with every control acting.

    Linearizes each hour where the replay stands, solves inside a trust region, replays, until claim and
    simulation agree. Writes the certified schedule (`hcsim replay` takes it), its replay and every round. What is
    certified without batteries is where the loops with batteries start.
    """
    from hcsim.certify.certificate import certified_in_words, round_in_words, write_certificate
    from hcsim.certify.error_budget import certify_with_budget
    from hcsim.certify.loop import certify as close_loop
    from hcsim.certify.robustness import with_robustness
    from hcsim.schedules.edit import with_pv_of
    from hcsim.studies.runner import STUDY_PARTS, default_out
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Workbench

    bench = Workbench.open(case, free or (), lock or ())
    if bench.selection.held:
        say(escape(bench.selection.words))
    folder = hold_folder(out or default_out(bench.case), STUDY_PARTS)
    options = loop_options(bench, seconds)
    without: Certificate | None = None
    for claim in _claims(bench, schedules or [], only or ["none", "centralized"]):
        out_console.print(f"[bold]{escape(claim.case)}[/]: claim {claim.hc_kw:.1f} kW", highlight=False)
        run = certify_with_budget if budget else close_loop
        start = with_pv_of(claim, without.schedule) if without else None
        found = run(
            bench,
            claim,
            options,
            lambda r: out_console.print(escape(round_in_words(r)), highlight=False),
            starts=[start] if start else [],
        )
        without = found if claim.case == "none" else without
        if robustness:
            own = bench.case.config.certify.margin_search_s or MARGIN_SEARCH_S
            margin_s = own if margin_time is None else margin_time
            with out_console.status("drawing days") as status:
                found = with_robustness(
                    bench,
                    found,
                    draws=robustness,
                    seed=seed,
                    margin_s=margin_s,
                    progress=lambda what, done, of: status.update(f"{done} of {of} {what}"),
                )
        where = write_certificate(found, folder)
        say(f"[bold]{escape(claim.case)}: {escape(certified_in_words(found))}[/]")
        _say_more(found)
        say(escape(f"Certified schedule in {where}; see for yourself: hcsim replay {case} {where}"))


def _claims(bench: Workbench, folders: list[Path], programs: list[str]) -> list[Schedule]:
    from hcsim.errors import ConfigError
    from hcsim.schedules.files import read_schedule
    from optim.hosting.problem import CASES
    from optim.hosting.search import solve_hosting

    if folders:
        return [read_schedule(f, network=bench.network, profiles=bench.profiles) for f in folders]
    for name in programs:
        if name not in CASES:
            raise ConfigError(f"There is no program {name!r}.", f"Programs: {', '.join(CASES)}.")
    bench.check_sites()
    return [solve_hosting(bench.problem(name), name, bench.solve_options()) for name in programs]


def _say_more(found: Certificate) -> None:
    from hcsim.certify.certificate import existing_in_words
    from hcsim.certify.error_budget import budget_in_words
    from hcsim.report.allocation.closed_loop import robustness_words

    if found.bound_kw == found.bound_kw:
        say(f"At most {found.bound_kw:.1f} kW by the last linearization without trust region.")
    for words in (existing_in_words(found), budget_in_words(found.error_budget), robustness_words(found)):
        if words:
            say(words)
