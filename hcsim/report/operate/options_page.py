"""options.html: the best change, what each is worth, and the commands that make it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from hcsim.report import style
from hcsim.report.common.page import Answer, Shown
from hcsim.report.simulation.page import write_page
from hcsim.results.options import OptionsResult

MOST_BARS = 30
_COLUMNS = ["option", "what", "hc_kw", "gained_kw", "held_by", "losses_pct", "circulated_kwh", "status"]


def options_page(found: OptionsResult, folder: Path) -> Path:
    """Figure and options.html. Raises OutputError."""
    table = found.table
    with style.house_style():
        pictures = [
            Shown(
                "01_gains",
                "kW gained by each change",
                "Each certified by itself in the changed feeder, against the feeder as it is.",
                _bars(found),
            )
        ]
    first, tables = {}, {}
    if len(table):
        shown = table[table["refused"] == ""].copy()
        numbers = ["hc_kw", "gained_kw", "losses_pct", "circulated_kwh"]
        shown[numbers] = shown[numbers].astype(float).round(1)
        costs = ["cost", "kw_per_cost"] if shown["cost"].notna().any() else []
        first = {"Changes, best first": shown[[*_COLUMNS, *costs]]}
        refused = table[table["refused"] != ""][["option", "what", "refused"]]
        if len(refused):
            tables["Refused: what the change breaks without any PV"] = refused
        made = table[table["edits"] != ""][["option", "edits"]]
        tables["How to make a change: commands behind the feeder's files, or [feeder] edits of study.toml"] = made
    summary: dict[str, Any] = {
        "case": found.case,
        "program": found.program,
        "notes": list(found.notes),
        "missing": dict(found.missing),
    }
    answer = Answer(found.headline, [], first=first)
    return write_page("What raises the capacity", summary, pictures, tables, folder, "options.html", answer)


def _bars(found: OptionsResult) -> Figure | None:
    mine = [o for o in found.options if o.gained_kw is not None][:MOST_BARS]
    if not mine:
        return None
    kinds = list(dict.fromkeys(o.change.kind for o in found.options))
    figure = Figure(figsize=(style.PAGE_INCHES, 0.6 + 0.24 * len(mine)), layout="constrained")
    axes = figure.subplots()
    for kind in kinds:
        rows = [(k, o.gained_kw) for k, o in enumerate(mine) if o.change.kind == kind]
        if rows:
            colour = style.UNITS[kinds.index(kind) % len(style.UNITS)]
            axes.barh([k for k, _ in rows], [float(kw or 0.0) for _, kw in rows], color=colour, label=kind)
    axes.set_yticks(range(len(mine)), [o.change.name for o in mine])
    axes.invert_yaxis()
    axes.axvline(0.0, color="0.3", linewidth=0.8)
    axes.set_xlabel(f"kW beside {found.base_kw:,.0f} kW of the feeder as it is")
    axes.legend(loc="lower right")
    return figure
