"""Commands on a feeder of one's own: `check`, `init`, `export`. Physics is elsewhere; here it becomes a screen."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hcsim.cli.common.console import command, mark_of, out_console, say
from hcsim.cli.common.options import (
    AcceptOption,
    CaseArgument,
    DayOption,
    EngineOption,
    Engines,
    SitesOption,
    ZoneOption,
    sites_wanted,
)
from hcsim.errors import ConvergenceError, FeederError, OutputError

if TYPE_CHECKING:
    from hcsim.cases.case import Case
    from hcsim.feeder.check import FeederCheck
    from hcsim.workbench.gates import DayGates

GATE_HOLDS, GATE_FAILS = 0, 1
TOLD = frozenset({"PVSystem", "Storage", "Generator", "WindGen", "IndMach012", "Isource", "CapControl"}) | frozenset(
    {"StorageController", "InvControl", "ExpControl", "GenDispatcher", "Fuse", "Relay", "Recloser", "SwtControl"}
)
"""Classes of which the screen says what they do in the program and what in the replay; ledger.csv says it of all."""
MasterArgument = Annotated[Path, typer.Argument(metavar="MASTER", help="The feeder's master .dss file.")]


def init(
    master: MasterArgument,
    out: Annotated[Path, typer.Option(help="Folder for study.toml and profiles.csv; must not hold a study.toml yet.")],
    sites: SitesOption = None,
    day: DayOption = None,
    zone: ZoneOption = None,
    accept_gate: AcceptOption = False,
) -> None:
    """Write a study of a feeder to edit: study.toml with every default spelled out, and a day of profiles.

    The .dss files stay where they are. `hcsim study MASTER` runs the same study unedited.
    """
    from hcsim.cases.case import STUDY_FILE, load_case
    from hcsim.cases.defaults import SitesWanted, fewer_sites
    from hcsim.util.files import write_text
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Workbench

    if (out / STUDY_FILE).exists():
        raise OutputError(f"{out / STUDY_FILE} is there already.", "Name another folder, or remove it.")
    case = load_case(master, sites_wanted(sites) or SitesWanted(), day, zone)
    bench = Workbench.open(case)
    bench.require_gate(accept=accept_gate)
    folder = hold_folder(out)
    for name, text in bench.case.inputs.items():
        if name == STUDY_FILE:
            absolute, beside = str(case.master), _beside(case.master, folder)
            text = text.replace(json.dumps(absolute, ensure_ascii=False), json.dumps(beside, ensure_ascii=False))
        write_text(folder / name, text)
    for words in bench.case.time_notes:
        Console().print(escape(words), soft_wrap=True, highlight=False)
    pv, bess = bench.pv, bench.bess
    if fewer := fewer_sites(case.wanted, len(pv.buses)):
        say(fewer)
    say(
        f"{len(pv.buses)} sites, {bess.energy_kwh:,.0f} kWh and {bess.power_kw:,.0f} kW of batteries. Edit "
        f"{escape(str(folder / STUDY_FILE))}, then: {command('hcsim', 'study', folder)}"
    )


def _beside(master: Path, folder: Path) -> str:
    """How study.toml in `folder` names the feeder: relative where both lie close, else absolute."""
    relative = os.path.relpath(master, folder.resolve())
    return str(master) if relative.count("..") > 3 else Path(relative).as_posix()


class Linearization(StrEnum):
    lindist3flow = "lindist3flow"
    tangent = "tangent"


def export(
    case: CaseArgument,
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    linearization: Annotated[
        Linearization,
        typer.Option(help="LinDist3Flow's matrices of the feeder, or the tangent of every hour at the case's sites."),
    ] = Linearization.lindist3flow,
    day: DayOption = None,
    zone: ZoneOption = None,
    accept_gate: AcceptOption = False,
) -> None:
    """Write the linear model of a feeder (LinDist3Flow matrices A, D_r, D_x) for use elsewhere.

    Matrix Market files, CSV files that name every row and column, ledger.csv that says how each element was
    read, and a README. With --linearization tangent, the tangent at every hour of the bare feeder's day: NumPy arrays
    of what a kW and a kvar at each candidate site do to every voltage and to the source.
    """
    from hcsim.cases.case import load_case
    from hcsim.feeder.export import export_linear_model
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Workbench

    folder = hold_folder(out)
    bench = Workbench.open(load_case(case, None, day, zone))
    bench.require_gate(accept=accept_gate)
    if linearization is Linearization.tangent:
        from hcsim.workbench.tangent_export import export_tangent

        export_tangent(bench, folder)
        sizes = f"{len(bench.profiles)} hours, {len(bench.ports)} ports"
        say(f"Tangent model of {bench.network.name} ({sizes}) in {escape(str(folder))}")
        return
    export_linear_model(bench.network, bench.ledger, folder)
    say(f"Linear model of {bench.network.name} ({len(bench.network.nodes)} nodes) in {escape(str(folder))}")


def check(
    master: Annotated[
        str, typer.Argument(metavar="MASTER", help="The feeder's master .dss file, a study folder or a bundled case.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the screen.")] = False,
    day: DayOption = None,
    zone: ZoneOption = None,
    accept_gate: AcceptOption = False,
    engine: EngineOption = Engines.first,
    out: Annotated[Path | None, typer.Option(help="Folder for check.html: map, day and ledger to point at.")] = None,
) -> None:
    """Say what a feeder is made of, and whether our network of it agrees with OpenDSS.

    Every element is in the ledger: modelled, approximated, passive or refused. The gate solves our network with
    our own power flow and compares every node, the source and every load with OpenDSS. Three more gates look at
    the day as it runs: time (against OpenDSS by itself), memory (the same run again), added (devices). Exit codes: 0
    all gates hold and nothing is refused, 1 otherwise, 2 wrong use.
    """
    from hcsim.cases.case import load_case, master_of
    from hcsim.feeder.check import check_feeder
    from hcsim.workbench.allocation import Workbench
    from hcsim.workbench.gates import check_days
    from hcsim.workbench.second_engine import bare_opinion

    file = master_of(master)
    loaded = load_case(master, None, day, zone)
    try:
        found = check_feeder(file, loaded.config.feeder.zone, loaded.config.feeder.edits)
    except (FeederError, ConvergenceError) as error:
        if not as_json:
            raise
        print(json.dumps(_refusal(file, error), indent=1))
        raise typer.Exit(GATE_FAILS) from None
    days, follows = check_days(found, loaded)
    opinion = bare_opinion(Workbench.open(loaded)) if engine is Engines.both else None
    if as_json:
        whole = {**found.to_json(), **days.to_json(), "loads_follow": list(follows)}
        whole |= {"engines": opinion.to_json()} if opinion else {}
        print(json.dumps(whole, indent=1, allow_nan=False))
    else:
        show(found, out_console)
        show_days(days, follows, out_console)
        if opinion:
            out_console.print(f"{mark_of(opinion.agree)}{escape(opinion.words)}[/]", soft_wrap=True, highlight=False)
    if out:
        page = _page(loaded, found, days, follows, out)
        if not as_json:
            say(f"Open {escape(str(page))}.")
    agreed = opinion is None or opinion.agree is not False
    raise typer.Exit(GATE_HOLDS if (found.sound and days.passed and agreed) or accept_gate else GATE_FAILS)


def _page(case: Case, found: FeederCheck, days: DayGates, follows: tuple[str, ...], out: Path) -> Path:
    """check.html, with the bare day of the case."""
    from hcsim.report.feeder.page import BareDay, check_page
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Workbench

    folder = hold_folder(out)
    bench = Workbench.open(case)
    bare = BareDay(bench.profiles, bench.limits, bench.bare("free").found)
    return check_page(found, days, follows, bare, folder)


def _refusal(master: Path, error: FeederError | ConvergenceError) -> dict[str, Any]:
    """The JSON of a feeder that could not be read or solved: the same keys, and the sentence."""
    gate = {"passed": False, "dv_max_pu": None, "worst_node": "", "dp_source_kw": None, "reason": error.message}
    return {
        "master": str(master),
        "nodes": 0,
        "elements": {"total": 0, "by_verdict": {}, "by_class": {}},
        "gate": gate,
        "linearization": {"lindist3flow_dv_max_pu": None, "tangent_dv_max_pu": None},
        **{
            name: {"passed": False, "dv_max_pu": None, "node": "", "hour": "", "reason": error.message}
            for name in ("time_gate", "memory_gate", "added_gate")
        },
        "seconds": 0.0,
        "refused": [{"element": str(master.name), "reason": error.message}],
        "error": error.message,
        "remedy": error.remedy,
    }


def show_days(days: DayGates, follows: tuple[str, ...], console: Console) -> None:
    """What loads follow, and the gates of the day as it runs."""

    def say(words: str) -> None:
        console.print(words, soft_wrap=True, highlight=False)

    for words in follows:
        say(f"[dim]note[/] {escape(words)}")
    named = [("time gate", days.time), ("memory gate", days.memory), ("added gate", days.added)]
    for name, gate in [*named, *([("time gate, year", days.year)] if days.year else [])]:
        mark = f"[green]the {name} holds[/]" if gate.passed else f"[red]the {name} fails[/]"
        where = f" at {escape(gate.node)}, {escape(gate.hour)}" if gate.node and gate.dv_max_pu else ""
        said = f". {escape(gate.reason)}" if gate.reason else ""
        say(f"{mark}: largest difference {gate.dv_max_pu:.2g} pu{where}{said}")


def show(found: FeederCheck, console: Console) -> None:
    """One screen."""

    def say(words: str) -> None:
        console.print(words, soft_wrap=True, highlight=False)

    network, ledger, gate = found.network, found.ledger, found.gate
    say(
        f"[bold]{escape(network.name)}[/]: {len(network.buses)} buses, {len(network.nodes)} nodes, "
        f"{len(ledger)} elements"
    )
    console.print(_ledger_table(found))
    for verdict, colour in (("refused", "red"), ("approximated", "yellow")):
        for words in _why(found, verdict):
            say(f"[{colour}]{verdict}[/] {escape(words)}")
    for kind, n, program, replay in found.ledger.roles():
        if kind in TOLD:
            say(f"[dim]{n} {kind}[/] in the program: {escape(program)}; in the replay: {escape(replay)}")
    for words in (*_nodes_in_words(found), *_ratings_in_words(found), *found.notes):
        say(f"[dim]note[/] {escape(words)}")
    mark = "[green]the gate holds[/]" if gate.passed else "[red]the gate fails[/]"
    say(
        f"{mark}: largest difference {gate.dv_max_pu:.2g} pu at {escape(gate.worst_node or 'no node')}, "
        f"{gate.dp_source_kw:.2g} kW at the source, {gate.dp_load_kw:.2g} kVA at a load"
    )
    if gate.reason:
        say(f"[red]{escape(gate.reason)}[/]")
    for words in _linearization_in_words(found):
        say(escape(words))
    parts = ", ".join(f"{name} {s:.2f}" for name, s in found.seconds.items() if name != "total")
    say(f"[dim]{found.seconds['total']:.1f} s ({parts})[/]")


def _ledger_table(found: FeederCheck) -> Table:
    """A row per class, a column per verdict, what it is worth at the end."""
    from hcsim.feeder.ledger import VERDICTS

    frame = found.ledger.to_frame()
    table = Table(box=None, pad_edge=False)
    for heading in ("class", *VERDICTS, "kW", "kvar"):
        table.add_column(heading, justify="left" if heading == "class" else "right")

    def row(name: str, rows: Any, style: str = "") -> None:
        counts = [int((rows["verdict"] == v).sum()) for v in VERDICTS]
        powers = [float(rows[k].sum()) for k in ("kw", "kvar")]
        cells = [str(n) if n else "" for n in counts] + [f"{p:,.1f}" if p else "" for p in powers]
        table.add_row(name, *cells, style=style)

    for kind, rows in frame.groupby("class", sort=True):
        row(str(kind), rows)
    row("all", frame, "bold")
    return table


def _why(found: FeederCheck, verdict: str, most: int = 6) -> list[str]:
    """A line per class and reason: how many, and the first by name."""
    from hcsim.feeder.check import reasons

    groups = reasons(found.ledger, verdict)
    lines = [
        f"{g['elements']} {g['class']}: {g['reason']}; e.g. {g['example']}"
        if g["elements"] > 1
        else f"{g['example']}: {g['reason']}"
        for g in groups[:most]
    ]
    return lines + ([f"and {len(groups) - most} reasons more; --json has all"] if len(groups) > most else [])


def _nodes_in_words(found: FeederCheck) -> Iterable[str]:
    groups: dict[tuple[str, str], list[str]] = {}
    for note in found.ledger.nodes:
        groups.setdefault((note.judged, note.reason.partition(":")[0]), []).append(note.node)
    for (judged, reason), nodes in groups.items():
        how = "not judged" if judged == "not" else f"judged {judged}"
        yield f"{len(nodes)} nodes {how} ({reason}): {_some(nodes)}"


def _ratings_in_words(found: FeederCheck) -> Iterable[str]:
    ratings = found.ratings
    for names, what in (
        (ratings.missing, "have no rating"),
        (ratings.default, "have no rating but the 400 A that OpenDSS gives to lines without one, which limits nothing"),
        (ratings.absurd, "have an absurd rating"),
    ):
        if names:
            yield f"{len(names)} of {ratings.lines} lines {what}: {_some(names)}"
    if ratings.made_up:
        yield (
            f"{len(ratings.made_up)} transformers, reactors or capacitors have no rating but the one that OpenDSS "
            f"makes up, which limits nothing: {_some(ratings.made_up)}"
        )


def _linearization_in_words(found: FeederCheck) -> Iterable[str]:
    lin = found.linearization
    if lin.lindist3flow_dv_max_pu is None:
        yield f"LinDist3Flow does not apply: {lin.lindist3flow_why}"
    else:
        yield (
            f"LinDist3Flow is off by at most {lin.lindist3flow_dv_max_pu:.2g} pu at the base case "
            f"({lin.lindist3flow_node}); lossless, loads at nominal power, as paper 1 has it: "
            f"{lin.lindist3flow_lossless_dv_max_pu:.2g} pu"
        )
    if lin.tangent_dv_max_pu is None:
        yield f"The tangent model does not apply: {lin.tangent_why}"
    else:
        yield f"The tangent model is off by at most {lin.tangent_dv_max_pu:.2g} pu at its point ({lin.tangent_node})"


def _some(names: Iterable[str], most: int = 4) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
