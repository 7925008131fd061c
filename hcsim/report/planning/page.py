"""The planning study as one self-contained page, in the paper's order."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from hcsim.replay.result import ReplayResult
from hcsim.report import style
from hcsim.report.allocation import tables, words
from hcsim.report.allocation.tables import NOTHING, number
from hcsim.report.common.page import environment
from hcsim.report.map.data import Shown as MapShown
from hcsim.report.map.data import map_of
from hcsim.report.pictures import Saved, save_figures
from hcsim.report.planning.figures import PICTURES, draw_planning, sweep_figure
from hcsim.report.planning.tables import cost_rows, plan_rows
from hcsim.report.simulation.page import Shown, write_page
from hcsim.results.allocation import CaseResult, write_summary
from hcsim.results.planning import PlanningStudyResult
from hcsim.results.planning_summary import loss_deviation_rel, soc_deviation_kwh, summarize_planning
from hcsim.results.words import CONTROLS
from hcsim.util.files import write_csv, write_text
from hcsim.workbench.planning import SCENARIOS

DEFINITIONS = (
    ("Scheme A", "The feeder as it is: a power flow of the typical day, and the hosting capacity without storage."),
    ("Scheme B", "Storage planned for the typical day alone: installation, operation and losses."),
    ("Scheme C", "Storage planned for the typical day and the hosting capacity together."),
    (
        "PVHC",
        "PV that may be added at the candidate buses beside the existing PV, as a constant injection, in a "
        "scenario of its own with its own dispatch and limits.",
    ),
    ("Bound of the program, gap", "No plan of the program can cost less; gap = (cost − bound) / cost."),
    (
        "Cone slack",
        "l·u − P² − Q² of the relaxed branch equation (36), squared pu on 1 MVA: 0 where the program's "
        "operating point is one of an AC power flow.",
    ),
    (
        "Exactness capped",
        "Limits are held on lossless flows and voltages, corrected by an AC power flow of the "
        "solution until both agree.",
    ),
    ("Exactness none", "The program as the paper writes it; where it is not tight, its claim is no operating point."),
    ("Holds, refuted", "OpenDSS, run over every step in all phases, finds no new violation; or it does."),
)


_NO_PROMISE = "Scheme A is the feeder as it is: it is judged by the limits of B and C, but promised none of them."


def write_planning_report(study: PlanningStudyResult, folder: Path) -> Path:
    """`summary.json`, `plan.csv`, `figures/` and `report.html` from whatever the study has; returns the page.

    Raises OutputError where the folder cannot be written.
    """
    summary = summarize_planning(study)
    write_summary(summary, folder)
    write_csv(folder / "plan.csv", plan_table(study))
    saved = save_figures(draw_planning(study), folder / "figures")
    return write_text(folder / "report.html", render_planning(study, saved, summary))


def plan_table(study: PlanningStudyResult) -> pd.DataFrame:
    rows = [
        (name, u.area, u.bus, u.energy_kwh, u.power_kw)
        for name, scheme in study.schemes.items()
        for u in scheme.result.plan
    ]
    return pd.DataFrame(rows, columns=["scheme", "area", "bus", "energy_kwh", "power_kw"])


def render_planning(
    study: PlanningStudyResult,
    saved: Mapping[str, Saved],
    summary: Mapping[str, Any] | None = None,
    *,
    written: datetime | None = None,
) -> str:
    """The page as text; parts that the study lacks are named in it."""
    summary = summarize_planning(study) if summary is None else summary
    return (
        environment()
        .get_template("planning.html.j2")
        .render(
            study=study,
            summary=summary,
            written=(written or datetime.now()).strftime("%Y-%m-%d %H:%M"),
            schemes=list(study.schemes),
            costs=cost_rows(summary),
            plan=plan_rows(summary),
            missing=list(study.missing.items()),
            headline=headline(study, summary),
            answer=answer(study, summary),
            map=_map(study),
            paper_notes=list(study.paper.notes) if study.paper else [],
            pictures=_pictures(saved),
            cases=[_case(study, name, summary) for name in study.schemes],
            assumptions=words.assumption_rows(study.assumptions),
            ledger_counts=words.ledger_counts(study.ledger),
            ledger_reasons=words.ledger_reasons(study.ledger),
            definitions=DEFINITIONS,
        )
    )


def sweep_page(case: str, table: pd.DataFrame, folder: Path) -> Path:
    """Figure and sweep.html of a revenue sweep. Raises OutputError."""
    with style.house_style():
        figure = sweep_figure(table)
    shown = Shown(
        "08_revenue",
        "Revenue coefficient",
        "Scheme C planned again for other revenues per MW of hosting capacity.",
        figure,
    )
    return write_page("Revenue sweep", {"case": case}, [shown], {"Scheme C": table}, folder, "sweep.html")


def sweep_table(table: pd.DataFrame) -> Table:
    """The sweep for a terminal."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("CNY/MW", "PVHC, MW", "kWh", "kW", "units at", "10,000 CNY a year", "gap", "s"):
        shown.add_column(heading, justify="left" if heading == "units at" else "right")
    for row in table.to_dict("records"):
        shown.add_row(
            f"{row['revenue_cny_per_mw']:,.0f}",
            f"{row['pvhc_mw']:.2f}",
            f"{row['energy_kwh']:,.0f}",
            f"{row['power_kw']:,.0f}",
            escape(str(row["buses"])),
            f"{row['objective_cny'] / 1e4:.2f}",
            f"{100 * row['gap']:.4f} %",
            f"{row['seconds']:.0f}",
        )
    return shown


def headline(study: PlanningStudyResult, summary: Mapping[str, Any]) -> str:
    """The last scheme's plan, what it costs, what it hosts, and what OpenDSS says of its day; "" without a scheme."""
    if not summary["cases"]:
        return ""
    name, case = list(summary["cases"].items())[-1]
    units = ", ".join(f"{u['kwh']:,.0f} kWh and {u['kw']:,.0f} kW at bus {u['bus']}" for u in case["plan"])
    said = f"On {study.case} scheme {name} {'stores ' + units if units else 'has no storage'}, costs "
    said += f"{case['objective_cny']:,.0f} CNY per year and hosts {case['pvhc_mw']:.2f} MW beside the existing PV"
    proven = f", proven to {100 * case['gap']:.2g} %" if case["gap"] else ""
    replays = list(study.schemes[name].replays.values())
    if not replays:
        return f"{said}{proven}; it was not replayed."
    passed = sum(r.passed for r in replays)
    sure = "OpenDSS confirms it" if passed == len(replays) else f"OpenDSS passes {passed} of {len(replays)} replays"
    return f"{said}{proven}. {sure}: typical and largest-PV day, controls locked and free."


def _map(study: PlanningStudyResult) -> dict[str, Any] | None:
    """The last scheme that was replayed, on its typical day."""
    for scheme in reversed(list(study.schemes.values())):
        for (scenario, _), replay in scheme.replays.items():
            plan = scheme.schedules.get(scenario)
            return map_of(MapShown(study.network, replay.limits, study.profiles, replay, plan))
    return None


def answer(study: PlanningStudyResult, summary: Mapping[str, Any]) -> list[str]:
    """What was found, in sentences."""
    said = []
    cases = summary["cases"]
    for name, case in cases.items():
        proven = "" if name == "A" else f", proven to {100 * case['gap']:.4f} %"
        units = ", ".join(f"{u['kwh']:,.0f} kWh and {u['kw']:,.0f} kW at bus {u['bus']}" for u in case["plan"])
        plan = f"; storage: {units}" if units else "; no storage" if name != "A" else ""
        said.append(
            f"Scheme {name}: {case['objective_cny']:,.0f} CNY per year{proven}{plan}. "
            f"Hosting capacity {case['pvhc_mw']:.2f} MW beside the existing PV."
        )
        held = case["replay"].get("locked"), case["replay_pvhc"].get("locked")
        if held[0] and held[1]:
            volts = max((r["dv_max_pu"] or 0.0) for r in held)
            said.append(
                f"In OpenDSS scheme {name}'s voltages differ by at most {volts:.1e} pu, its losses by "
                f"{abs(held[0]['loss_deviation_rel'] or 0.0):.1e} of themselves."
            )
    if {"A", "B"} <= cases.keys():
        less = 1 - cases["B"]["loss_cny_per_year"] / cases["A"]["loss_cny_per_year"]
        said.append(
            f"Storage takes {100 * less:.1f} % off the losses and raises the hosting capacity by "
            f"{cases['B']['pvhc_mw'] - cases['A']['pvhc_mw']:.2f} MW."
        )
    if {"B", "C"} <= cases.keys() and cases["B"]["plan"] == cases["C"]["plan"]:
        said.append("Schemes B and C end in the same plan: the revenue of the hosting capacity does not move it.")
    if study.planning.exactness == "none":
        said.append(
            "The program was solved as the paper writes it. Where the cone slack is not small, its claims are "
            "no operating point of the feeder."
        )
    return said


def _case(study: PlanningStudyResult, name: Any, summary: Mapping[str, Any]) -> dict[str, Any]:
    scheme, facts = study.schemes[name], summary["cases"][name]
    found = scheme.result
    parts = []
    for scenario in SCENARIOS:
        replays: dict[str, ReplayResult] = {c: r for (s, c), r in scheme.replays.items() if s == scenario}
        case = CaseResult(scheme.schedules[scenario], replays)
        operation = found.typical if scenario == "typical" else found.pvhc
        extra = [
            ["losses against the program's", *(_signed(loss_deviation_rel(operation, r)) for r in replays.values())],
            ["stored energy, largest difference, kWh", *(f"{soc_deviation_kwh(r):.1e}" for r in replays.values())],
        ]
        violations = []
        for controls, replay in replays.items():
            rows, more = words.violation_rows(replay.violations)
            violations.append({"controls": CONTROLS[controls], "rows": rows, "more": more})
        parts.append(
            {
                "title": "Typical day" if scenario == "typical" else "PVHC scenario",
                "controls": [CONTROLS[c] for c in replays],
                "rows": words.replay_rows(case) + (extra if replays else []),
                "violations": violations,
            }
        )
    return {
        "name": name,
        "facts": [
            ("cost", f"{found.objective_cny:,.0f} CNY per year"),
            *(
                (
                    ("bound of the program", f"{facts['bound_cny']:,.0f} CNY per year"),
                    ("gap", f"{100 * found.solve.gap:.4f} %"),
                )
                if name != "A"
                else ()
            ),
            ("status", tables.STATUS_WORDS.get(found.solve.status, found.solve.status)),
            (
                "hosting capacity",
                f"{found.pvhc_mw:.3f} MW, {found.pvhc_refined_mw:.3f} of it found by climbing on the AC equations",
            ),
            (
                "hosting capacity by bus, kW",
                ", ".join(f"{b}: {kw:,.0f}" for b, kw in found.pvhc.pvhc_kw.items() if kw > 0.5) or NOTHING,
            ),
            (
                "cone slack",
                f"{found.cone_slack_max:.1e} at the operating points, {found.slack_relaxed:.1e} at the "
                "solver's own point of the typical day",
            ),
            ("largest violation of the program", f"{found.violation:.1e} pu"),
            ("rounds", f"{len(found.rounds)} passes and rounds, {found.cones.cuts} cuts"),
            (
                "time",
                f"{found.solve.build_s + found.solve.solve_s:.1f} s for the plan, "
                f"{found.pvhc_solve.solve_s:.1f} s for the hosting capacity, with {found.pvhc_solve.solver}",
            ),
        ],
        "scenarios": parts,
        "rounds": [
            (
                r.phase,
                f"{r.seconds:.1f}",
                number(r.objective, 4),
                number(r.bound, 4) if r.bound > -1e30 else NOTHING,
                r.cuts,
            )
            for r in found.rounds
        ],
        "simulations": [
            (words.sentence(words.limit_words(s)), sharing.replace("_", " "), s.hc_kw, s.power_flows)
            for sharing, s in scheme.simulations.items()
        ],
        "notes": (*found.notes, *((_NO_PROMISE,) if name == "A" else ())),
    }


def _signed(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:+.1e} %"


def _pictures(saved: Mapping[str, Saved]) -> dict[str, dict[str, str]]:
    return {p.key[3:]: saved[p.key].on_page(p.key, p.title, p.caption) for p in PICTURES if p.key in saved}
