"""The main table, for terminal and page alike: what is claimed, what OpenDSS says, what the paper has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import get_console
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from hcsim.replay.verdict import place, quantity
from hcsim.results.allocation import StudyResult
from hcsim.results.allocation_summary import beside_capacity
from hcsim.results.existing import EXISTING_FILE, existing_table
from hcsim.results.words import PROGRAMS

CALIBRATED = "calibr."
WIDE, CERTIFIED_WIDE, WIDEST = 100, 112, 150
"""Columns of a terminal that hold the table with one figure per cell; with certified capacities in it."""

STATUS_WORDS = {
    "optimal": "proven optimal",
    "gap": "gap reached",
    "time_limit": "cut: time",
    "work_limit": "cut: work",
    "interrupted": "interrupted",
    "feasible": "feasible",
    "given": "given, no proof",
}
NOTHING = "–"


@dataclass(frozen=True)
class MainRow:
    """One case, every cell as text."""

    case: str
    name: str
    claim_kw: str
    bound_kw: str
    gap: str
    status: str
    locked: str
    free: str
    certified_kw: str
    """With what cut the loop, where it is no certificate."""
    simulation_kw: str
    paper_kw: str
    deviation: str
    losses: str = NOTHING
    """Beside the certified value: per cent of the load's energy lost, and kWh that go round between batteries."""
    operated: str = NOTHING
    """What passes on other days with a policy acting: kW, share of days and of energy."""
    sign: str = ""
    """Before a certified value in a narrow table: a check mark only for a certificate."""


def simulation_beside(case: str, with_schedule_case: str | None) -> str:
    """Key of the simulation result that stands beside a case in table and picture."""
    return "with_schedule" if case == with_schedule_case else case


def main_rows(summary: Mapping[str, Any]) -> list[MainRow]:
    """The rows of the main table from the content of summary.json; a case that is missing has no figures."""
    cases, baselines = summary["cases"], summary["baseline"]
    of = baselines.get("with_schedule", {}).get("case")
    asked = summary.get("programs") or list(PROGRAMS)
    wanted = [*(p for p in PROGRAMS if p in asked), *(c for c in cases if c not in asked)]
    calibrated = any(str(words).startswith("calibrated") for words in summary.get("assumptions", {}).values())
    return [_row(name, cases.get(name), baselines.get(simulation_beside(name, of)), calibrated) for name in wanted]


def main_table(summary: Mapping[str, Any], *, width: int | None = None, beside: bool = True) -> Table:
    """The main table for a terminal; under 100 columns it puts two figures into a cell to stay legible."""
    width = get_console().width if width is None else width
    rows = main_rows(summary)
    certified = any(r.certified_kw != NOTHING for r in rows)
    wide, all_of_it = width >= (CERTIFIED_WIDE if certified else WIDE), width >= WIDEST
    said = [*remarks(summary), *([] if all_of_it or not beside else beside_capacity(summary))]
    table = Table(
        title=f"PV hosting capacity of {escape(summary['case'])} in kW",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        caption="\n".join(said) or None,
        caption_justify="left",
    )
    table.add_column("case", min_width=11, max_width=26 if wide else 11, overflow="fold")
    columns = _wide_columns(rows, beside=all_of_it) if wide else _narrow_columns(rows)
    for heading in columns:
        words = heading.startswith(("replay", "status"))
        least = {"st": 7, "re": 8}.get(heading[:2])
        table.add_column(
            heading,
            justify="left" if words else "right",
            no_wrap=not words,
            min_width=least,
            max_width=None if wide else least,
        )
    for row, cells in zip(rows, zip(*columns.values(), strict=True), strict=True):
        table.add_row(row.name, *cells)
    return table


def _wide_columns(rows: Sequence[MainRow], *, beside: bool) -> dict[str, list[str]]:
    columns = {
        "claim": [r.claim_kw for r in rows],
        "bound of\nthe LP": [r.bound_kw for r in rows],
        "gap": [r.gap for r in rows],
        "status": [r.status for r in rows],
        "replay,\nlocked": [_coloured(r.locked) for r in rows],
        "replay,\nfree": [_coloured(r.free) for r in rows],
        "certi-\nfied": [r.certified_kw for r in rows],
        "lost, %\ncirculated": [r.losses for r in rows],
        "operated": [r.operated for r in rows],
        "simul.\nHC": [r.simulation_kw for r in rows],
        "paper": [r.paper_kw for r in rows],
        "deviation": [r.deviation for r in rows],
    }
    if all(r.certified_kw == NOTHING for r in rows):
        del columns["certi-\nfied"]
    if not beside or all(r.losses == NOTHING for r in rows):
        del columns["lost, %\ncirculated"]
    if not beside or all(r.operated == NOTHING for r in rows):
        del columns["operated"]
    if not any_paper(rows):
        del columns["paper"], columns["deviation"]
    return columns


def any_paper(rows: Sequence[MainRow]) -> bool:
    """Whether a paper has a figure for any of the cases; a feeder in no paper has no column for one."""
    return any(r.paper_kw != NOTHING for r in rows)


def _narrow_columns(rows: Sequence[MainRow]) -> dict[str, list[str]]:
    columns = {
        "claim,\nLP bound": [_two_lines(r.claim_kw, r.bound_kw, "≤ ") for r in rows],
        "gap": [r.gap for r in rows],
        "status": [r.status for r in rows],
        "replay,\nlocked": [_coloured(r.locked) for r in rows],
        "replay,\nfree": [_coloured(r.free) for r in rows],
        "simul.,\ncertif.": [_two_lines(r.simulation_kw, r.certified_kw, r.sign) for r in rows],
    }
    if any_paper(rows):
        columns["paper,\ndeviation"] = [_two_lines(r.paper_kw, r.deviation) for r in rows]
    return columns


def replay_words(replay: Mapping[str, Any] | None) -> str:
    """ "holds", "refuted: 3 new", "not judged", or nothing replayed."""
    if replay is None:
        return NOTHING
    if not replay["converged"]:
        return "not judged"
    if replay["new_violations"]:
        return f"refuted: {replay['new_violations']} new"
    before = replay["existing_violations"]
    return f"holds ({before} before)" if before else "holds"


def percent(value: float | None, digits: int = 2) -> str:
    """A share of 1 in per cent."""
    return NOTHING if value is None else f"{100 * value:.{digits}f} %"


def number(value: float | None, digits: int = 1) -> str:
    return NOTHING if value is None else f"{unsigned_zero(value, digits):.{digits}f}"


def unsigned_zero(value: float, digits: int) -> float:
    """The rounded value; what rounds to zero has no sign."""
    return round(value, digits) + 0.0


def _row(
    name: str, case: Mapping[str, Any] | None, baseline: Mapping[str, Any] | None, calibrated: bool = False
) -> MainRow:
    simulation = NOTHING if not baseline else _simulated(baseline)
    title = PROGRAMS.get(name, name)
    if case is None:
        no = NOTHING
        return MainRow(name, title, no, no, no, "no result", no, no, no, simulation, no, no)
    paper, replay = case["paper_hc_kw"], case["replay"]
    deviation = NOTHING if not paper else f"{unsigned_zero(100 * (case['hc_kw'] - paper) / paper, 2):+.2f} %"
    return MainRow(
        case=name,
        name=title,
        claim_kw=number(case["hc_kw"]),
        bound_kw=number(case["bound_kw"]),
        gap=percent(case["gap"]),
        status=STATUS_WORDS.get(case["status"], case["status"]),
        locked=replay_words(replay.get("locked")),
        free=replay_words(replay.get("free")),
        certified_kw=_certified(case),
        simulation_kw=simulation,
        paper_kw=number(paper),
        deviation=deviation if not (paper and calibrated and deviation == "+0.00 %") else f"{deviation}\n{CALIBRATED}",
        losses=_burned(case.get("certified")),
        operated=_operated(case.get("operated")),
        sign="✓ " if case.get("certified", {}).get("word") == "certified" else "",
    )


def _certified(case: Mapping[str, Any]) -> str:
    """The capacity; where it is not certified, "best found" and what cut it."""
    kw, word = number(case.get("certified_kw")), case.get("certified", {}).get("word", "certified")
    return kw if kw == NOTHING or word == "certified" else f"{kw}\nbest found"


def _burned(found: Mapping[str, Any] | None) -> str:
    return NOTHING if not found else f"{found['losses_pct']:.1f} %\n{found['circulated_kwh']:,.0f} kWh"


def _operated(found: Mapping[str, Any] | None) -> str:
    if not found:
        return NOTHING
    if found["hc_kw"] <= 0:
        return "none passes"
    passed, lost = 100 * found["share_passed"], 100 * found["curtailed_share_mean"]
    return f"{number(found['hc_kw'])}\n{passed:.0f} % of days\n{lost:.1f} % curtailed"


def _simulated(baseline: Mapping[str, Any]) -> str:
    if baseline["hc_kw"] is None:
        return "not defined"
    again = baseline.get("passes_again_kw")
    return number(baseline["hc_kw"]) + ("\nagain >" if again else "")


def remarks(summary: Mapping[str, Any]) -> list[str]:
    """Sentences under the table: what its words stand for."""
    rows, said = main_rows(summary), []
    if any(CALIBRATED in row.deviation for row in rows):
        said.append(f"{CALIBRATED}: the study is scaled to meet this figure of the paper; only the others predict.")
    for name, case in summary["cases"].items():
        found, title = case.get("certified"), PROGRAMS.get(name, name)
        if found and found.get("word", "certified") != "certified":
            said.append(f"{title}: {found['word']}, not certified.")
        elif found and found.get("idle_batteries"):
            said.append(f"{title}: idle batteries: {', '.join(found['idle_batteries'])}.")
    for row in rows:
        baseline = summary["baseline"].get(
            simulation_beside(row.case, summary["baseline"].get("with_schedule", {}).get("case"))
        )
        if baseline and baseline["hc_kw"] is None:
            said.append(f"{row.name}: simulation {baseline['reason']}.")
        elif baseline and (again := baseline.get("passes_again_kw")):
            said.append(f"{row.name}: above what simulation finds, {again[0]:.0f} to {again[1]:.0f} kW pass again.")
    return said


def _two_lines(first: str, second: str, sign: str = "") -> str:
    return first if second == NOTHING else f"{first}\n{sign}{second}"


def _coloured(words: str) -> str:
    colour = {"holds": "green", "refut": "red", "not j": "yellow"}.get(words[:5])
    return f"[{colour}]{words}[/{colour}]" if colour else words


MOST_EXISTING = 8


def existing_on_terminal(study: StudyResult) -> Table | None:
    """The worst of what breaks limits before any device; None where nothing does."""
    found = existing_table(study.base_replays)
    if found.empty:
        return None
    shown = found.sort_values("criterion", kind="stable").groupby(["controls", "criterion"], sort=False).head(3)
    left = len(found) - len(shown.head(MOST_EXISTING))
    table = Table(
        title="Before any device these limits are broken; a schedule may not make them worse",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        caption=f"{left} more in {EXISTING_FILE}" if left else None,
        caption_justify="left",
    )
    for heading in ("controls", "criterion", "at", "steps", "worst", "limit", "time"):
        table.add_column(heading, justify="right" if heading in ("steps", "worst", "limit") else "left")
    for _, row in shown.head(MOST_EXISTING).iterrows():
        table.add_row(
            str(row["controls"]),
            str(row["criterion"]).replace("_", " "),
            escape(place(row)),
            str(row["steps"]),
            quantity(float(row["worst_value"]), str(row["unit"])),
            quantity(float(row["limit"]), str(row["unit"])),
            str(row["worst_time"]),
        )
    return table
