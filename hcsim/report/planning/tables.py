"""The planning study's tables in the paper's order, for terminal and page alike: ours, and the paper's beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from hcsim.report.allocation.tables import NOTHING, STATUS_WORDS, number, replay_words

TEN_THOUSAND = 1e4


def cost_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """Table II: a label, then "ours (paper's)" per scheme; money in 10,000 CNY per year."""
    cases = summary["cases"]

    def row(label: str, cell: Any) -> list[str]:
        return [label, *(cell(name, case, case["paper"] or {}) for name, case in cases.items())]

    def total(name: str, case: Mapping[str, Any], paper: Mapping[str, Any]) -> str:
        return NOTHING if name == "A" else _both(case["objective_cny"], paper.get("total_cny"))

    def storage(name: str, case: Mapping[str, Any], paper: Mapping[str, Any]) -> str:
        if name == "A":
            return NOTHING
        return _both(case["capex_cny_per_year"] + case["om_cny_per_year"], paper.get("storage_cny"))

    def revenue(name: str, case: Mapping[str, Any], paper: Mapping[str, Any]) -> str:
        ours, theirs = -case["pvhc_revenue_cny"], paper.get("pvhc_revenue_cny")
        return _both(ours, None if theirs is None else -theirs) if name == "C" else NOTHING

    def volts(name: str, case: Mapping[str, Any], paper: Mapping[str, Any]) -> str:
        ours = f"{case['v_min_pu']:.4f}-{case['v_max_pu']:.4f}"
        theirs = f" ({paper['v_min_pu']:.2f}-{paper['v_max_pu']:.2f})" if "v_min_pu" in paper else ""
        return ours + theirs

    return [
        row("total", total),
        row("storage", storage),
        row("losses", lambda n, c, p: _both(c["loss_cny_per_year"], p.get("loss_cny"))),
        row("PVHC revenue", revenue),
        row("PVHC, MW", lambda n, c, p: _both(c["pvhc_mw"], p.get("pvhc_mw"), 1.0)),
        row("voltage, pu", volts),
        row("gap", lambda n, c, p: f"{100 * c['gap']:.4f} %" if c["gap"] is not None else NOTHING),
        row("status", lambda n, c, p: STATUS_WORDS.get(c["status"], c["status"])),
        row("cone slack", lambda n, c, p: f"{c['cone_slack_max']:.0e}"),
        *(
            row(f"replay, day, taps {taps}", lambda n, c, p, taps=taps: _day(n, c["replay"].get(taps)))
            for taps in ("locked", "free")
        ),
        *(
            row(f"replay, PVHC, taps {taps}", lambda n, c, p, taps=taps: replay_words(c["replay_pvhc"].get(taps)))
            for taps in ("locked", "free")
        ),
        row("simulated PVHC, MW", lambda n, c, p: _simulated(c)),
    ]


def plan_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """Table III: scheme, area, then bus, kWh and kW, ours and the paper's."""
    rows = []
    for name, case in summary["cases"].items():
        ours = {unit["area"]: unit for unit in case["plan"]}
        theirs = (case["paper"] or {}).get("plan", {})
        for area in dict.fromkeys((*theirs, *ours)):
            mine, paper = ours.get(area), theirs.get(area)
            rows.append(
                [
                    name,
                    area,
                    *(
                        (mine["bus"], number(mine["kwh"], 0), number(mine["kw"], 0))
                        if mine
                        else ("no unit", NOTHING, NOTHING)
                    ),
                    *(
                        (paper["bus"], number(paper["energy_kwh"], 0), number(paper["power_kw"], 0))
                        if paper
                        else (NOTHING,) * 3
                    ),
                ]
            )
    return rows


def planning_tables(summary: Mapping[str, Any]) -> list[Table]:
    """Both tables for a terminal."""
    beside = ", the paper's in brackets" if any(c["paper"] for c in summary["cases"].values()) else ""
    costs = _table(f"Schemes on {escape(summary['case'])}: 10,000 CNY per year{beside}")
    costs.add_column("", no_wrap=True)
    for name in summary["cases"]:
        costs.add_column(f"scheme {name}", justify="right")
    for row in cost_rows(summary):
        costs.add_row(*row[:1], *(_coloured(cell) for cell in row[1:]))
    plan = _table("Plan, ours and the paper's")
    for heading in ("scheme", "area", "bus", "kWh", "kW", "paper: bus", "kWh", "kW"):
        plan.add_column(heading, justify="left" if heading in ("scheme", "area") else "right")
    for row in plan_rows(summary):
        plan.add_row(*(escape(str(cell)) for cell in row))
    return [costs, plan] if plan.row_count else [costs]


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def _both(ours: float, theirs: float | None, unit: float = TEN_THOUSAND) -> str:
    beside = "" if theirs is None else f" ({theirs / unit:.2f})"
    return f"{ours / unit:.2f}{beside}"


def _day(name: str, replay: Mapping[str, Any] | None) -> str:
    """Scheme A promises nothing: the feeder is as it is."""
    if name != "A" or replay is None or not replay["converged"]:
        return replay_words(replay)
    return f"{replay['new_violations'] + replay['existing_violations']} beyond limits"


def _simulated(case: Mapping[str, Any]) -> str:
    found = case["simulation"]
    shares = found.get("as_planned")
    even = found.get("uniform")
    words = NOTHING if shares is None else f"{shares['hc_kw'] / 1e3:.2f}"
    return words + ("" if even is None else f" (even {even['hc_kw'] / 1e3:.2f})")


def _coloured(words: str) -> str:
    colour = {"holds": "green", "refut": "red", "not j": "yellow"}.get(words[:5])
    return f"[{colour}]{words}[/{colour}]" if colour else words
