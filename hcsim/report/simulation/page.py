"""One page of a simulation study: figures with their captions, facts of the summary, tables."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from hcsim.report.pictures import save_figures
from hcsim.util.files import write_text
from optim.data.criteria import CRITERIA
from optim.data.limits import Limits

MAX_ROWS = 400


@dataclass(frozen=True)
class Shown:
    """A figure with the words under it."""

    key: str
    title: str
    caption: str
    figure: Figure | None


def write_page(
    title: str,
    summary: Mapping[str, Any],
    pictures: Sequence[Shown],
    tables: Mapping[str, pd.DataFrame],
    folder: Path,
    name: str,
) -> Path:
    """One self-contained page. Tables longer than MAX_ROWS are cut, and say so."""
    figures = {p.key: p.figure for p in pictures if p.figure is not None}
    documents = save_figures(figures, folder / "figures")
    environment = Environment(
        loader=PackageLoader("hcsim.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = [
        {
            "title": p.title,
            "caption": p.caption,
            "address": "data:image/svg+xml;base64," + base64.b64encode(documents[p.key].encode()).decode(),
        }
        for p in pictures
        if p.key in documents
    ]
    page = environment.get_template("simulation.html.j2").render(
        title=title,
        case=summary["case"],
        facts=_facts(summary),
        notes=summary.get("notes", []),
        missing=_missing(summary),
        pictures=shown,
        tables=[
            {
                "title": t,
                "columns": list(table.columns),
                "rows": _cells(table.head(MAX_ROWS)),
                "more": max(0, len(table) - MAX_ROWS),
            }
            for t, table in tables.items()
        ],
    )
    return write_text(folder / name, page)


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Plain numbers of the summary, its limits, and the numbers of its scenarios."""
    facts = _plain(summary)
    limits = summary.get("limits") or getattr(summary.get("settings"), "limits", None)
    if isinstance(limits, Limits):
        for criterion in CRITERIA:
            value = criterion.limit(limits)
            facts.append((f"limit, {criterion.name}", "off" if value is None else f"{value:g} {criterion.unit}"))
    for scenario, found in summary.get("scenarios", {}).items():
        facts += [(f"{scenario}: {name}", value) for name, value in _plain(found)]
    return [(name.replace("_", " "), value) for name, value in facts]


def _plain(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Numbers and words, and those of the groups that everybody looks for."""
    facts = [(k, v) for k, v in found.items() if isinstance(v, int | float | str) and k != "case"]
    for group in ("hc_kw", "gain_kw", "binds_first", "binding"):
        inside = found.get(group)
        if isinstance(inside, dict):
            facts += [(f"{group}, {k}", v) for k, v in inside.items() if v or group.endswith("kw")]
    return [(k, _number(v) if isinstance(v, float) else str(v)) for k, v in facts]


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _missing(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = list((summary.get("missing", {}) | summary.get("unwritten", {})).items())
    found += [("bus " + bus, "no phase there is live") for bus in summary.get("buses_without_phases", [])]
    for facts in summary.get("scenarios", {}).values():
        found += list(facts.get("missing", {}).items())
    return found


def _cells(table: pd.DataFrame) -> list[list[str]]:
    return [[_cell(v) for v in row] for row in table.itertuples(index=False, name=None)]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if np.isnan(value):
        return ""
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4g}"
