"""The page of a study with a summary: the answer, then what the summary says beside it, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hcsim.report.common.page import Annex, Answer, Shown
from hcsim.report.common.page import write_page as write_any

__all__ = ["Answer", "Shown", "write_page"]


def write_page(
    title: str,
    summary: Mapping[str, Any],
    pictures: Sequence[Shown],
    tables: Mapping[str, pd.DataFrame],
    folder: Path,
    name: str,
    answer: Answer | None = None,
) -> Path:
    """One self-contained page. `answer` is what it begins with. Raises OutputError."""
    annex = Annex(pictures, tables, facts_of(summary), list(summary.get("notes", [])), missing_of(summary))
    return write_any(f"{title}: {summary['case']}", answer or Answer(""), annex, folder / name)


def facts_of(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Plain numbers of the summary and of its scenarios."""
    facts = _plain(summary)
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
    return [(k, _said(v)) for k, v in facts]


def _said(value: float | str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def missing_of(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What failed or was not asked of the simulator, with the reason."""
    found = list((summary.get("missing", {}) | summary.get("unwritten", {})).items())
    found += [("bus " + bus, "no phase there is live") for bus in summary.get("buses_without_phases", [])]
    for facts in summary.get("scenarios", {}).values():
        found += list(facts.get("missing", {}).items())
    return found
