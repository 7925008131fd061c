"""`hcsim validate` and `hcsim template`: anyone's dispatch to a verdict, and empty files to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hcsim.cli.common.console import err_console, out_console, say
from hcsim.cli.common.options import CaseArgument, DayOption, ZoneOption
from hcsim.errors import ConfigError

REFUTED, NOT_JUDGED = 3, 1


def validate(
    case: CaseArgument,
    dispatches: Annotated[
        list[Path],
        typer.Argument(
            metavar="DISPATCH...",
            help="CSV, TSV, Excel, Parquet or JSON, or a schedule's folder; several: side by side.",
        ),
    ],
    units: Annotated[
        Path | None,
        typer.Option(
            help="Table of the devices: name, bus, phases, kind, kw, kva, kwh, eta_charge, eta_discharge, ..."
        ),
    ] = None,
    columns: Annotated[
        str, typer.Option("--map", help='Which column is what, where names do not say: "time=Hour, bus=Bus, p_kw=kW".')
    ] = "",
    sign: Annotated[
        str | None, typer.Option(help="What is positive in a battery's one power column: discharge or charge.")
    ] = None,
    step_minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Length of a step, where the table only counts.")
    ] = None,
    hour_ending: Annotated[
        bool | None, typer.Option("--hour-ending/--hour-beginning", help="What a time label stands for.")
    ] = None,
    base_kw: Annotated[
        float | None, typer.Option(min=1e-6, help="1 pu of power, where the table is in per unit.")
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(help="ansi-a, ansi-b, en50160, cpuc-lgp, ny-schedule or a .toml file: limits and time axis."),
    ] = None,
    day: DayOption = None,
    zone: ZoneOption = None,
    out: Annotated[Path | None, typer.Option(help="Results folder. Default: hcsim-results/CASE/DISPATCH.")] = None,
    how_far: Annotated[
        bool, typer.Option("--how-far/--verdict-only", help="Also scale and repair what is refuted.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="validation.json on standard output, nothing else.")] = False,
) -> None:
    """Judge anyone's dispatch in OpenDSS: verdict, page, exit code.

    Exit codes: 0 it holds, 3 refuted, 1 not judged, 2 wrong use.
    """
    from hcsim.cases.case import load_case
    from hcsim.cases.rules import find_rules
    from hcsim.cli.common.progress import Show
    from hcsim.report.validation.compare import comparison, write_comparison
    from hcsim.schedules.dispatch.layout import Reading
    from hcsim.studies.validation import Asked, judge, write_all
    from hcsim.util.files import json_text
    from hcsim.util.locks import hold_folder
    from hcsim.workbench.allocation import Workbench

    if sign not in (None, "discharge", "charge"):
        raise ConfigError(f"--sign {sign} is neither discharge nor charge.")
    reading = Reading(_pairs(columns), step_minutes, hour_ending, base_kw)
    asked = Asked(units, reading, sign, how_far, find_rules(rules) if rules else None)  # type: ignore[arg-type]
    names = _names(dispatches)
    with Show(err_console) as listener:
        bench = Workbench.open(load_case(case, None, day, zone))
        worst = 0
        answers = []
        base = out or Path("hcsim-results") / bench.case.name
        for dispatch, name in zip(dispatches, names, strict=True):
            folder = out if out and len(dispatches) == 1 else base / name
            hold_folder(folder)
            found = judge(bench, dispatch, asked, listener=listener)
            page = write_all(found, folder)
            answers.append(found)
            worst = max(worst, {"holds": 0, "refuted": REFUTED}.get(found.verdict, NOT_JUDGED))
            if not as_json:
                _tell(found, page)
        if any(a.verdict == "not_judged" for a in answers):
            worst = NOT_JUDGED
    if len(answers) > 1:
        side_by_side = write_comparison(answers, names, base)
        if not as_json:
            _table(comparison(answers, names))
            say(f"Side by side: {escape(str(side_by_side))}")
    if as_json:
        content = [a.to_json() for a in answers]
        out_console.file.write(json_text(content[0] if len(content) == 1 else content) + "\n")
    raise typer.Exit(worst)


def template(
    case: CaseArgument, out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("hcsim-dispatch")
) -> None:
    """Write empty dispatch and units files with the feeder's own buses, and a filled example.

    The example holds on the feeder: `hcsim validate CASE DIR/example.csv --units DIR/example_units.csv`.
    """
    from hcsim.workbench.dispatch_template import write_templates

    folder = write_templates(case, out)
    say(f"dispatch.csv, units.csv, buses.csv, example.csv, example_units.csv in {escape(str(folder))}.")


def _names(dispatches: list[Path]) -> list[str]:
    """A folder name for each: the file's own, numbered where two have the same."""
    stems = [d.resolve().name if d.is_dir() else d.stem for d in dispatches]
    return [f"{stem}_{stems[: i + 1].count(stem)}" if stems.count(stem) > 1 else stem for i, stem in enumerate(stems)]


def _table(table) -> None:  # type: ignore[no-untyped-def]
    from rich.table import Table

    from hcsim.report.validation.compare import cell_words

    shown = Table(box=None, pad_edge=False)
    shown.add_column("")
    for name in table.columns[1:]:
        shown.add_column(escape(str(name)), overflow="fold")
    for row in table.itertuples(index=False):
        shown.add_row(*(escape(cell_words(v)) for v in row))
    out_console.print(shown)


def _pairs(text: str) -> dict[str, str]:
    found = {}
    for part in (p.strip() for p in text.split(",")):
        if not part:
            continue
        role, mark, column = part.partition("=")
        if not mark or not role.strip() or not column.strip():
            raise ConfigError(f"--map: {part!r} is no ROLE=COLUMN.", '--map "time=Hour, bus=Bus, p_kw=kW"')
        found[role.strip().lower()] = column.strip()
    return found


def _tell(found, page: Path) -> None:  # type: ignore[no-untyped-def]
    from hcsim.report.validation.page import facts, headline, worst_sentences

    if found.rules:
        say(f"[dim]{escape(found.rules['title'])}, {escape(found.rules['source'])}[/]")
        for sentence in (*found.rules["asks"], *(f"Not confirmed: {u}" for u in found.rules["unconfirmed"])):
            say(f"[dim]  {escape(sentence)}[/]")
    for sentence in found.read_as:
        say(f"[dim]{escape(sentence)}[/]")
    colour = {"holds": "green", "refuted": "red"}.get(found.verdict, "yellow")
    say(f"[bold {colour}]{found.verdict.replace('_', ' ')}[/]  {escape(headline(found))}")
    for sentence in worst_sentences(found):
        say(f"  {escape(sentence)}")
    for row in found.dispatch_findings.itertuples(index=False):
        span = row[2] if row[2] == row[3] else f"{row[2]} to {row[3]}"
        what = row.kind.replace("_", " ")
        say(f"  By itself: {what}, {escape(str(row.device))}, {span}: {row.amount:,.2f} {row.unit}")
    for name, value in facts(found):
        say(f"  {escape(name)}: {escape(value)}")
    say(f"Results in {escape(str(page.parent))}; open {escape(str(page))}.")
