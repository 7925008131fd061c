"""year.html: the plan that the year has, the days that decide it, and what is left to a policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.dates import DateFormatter, MonthLocator
from matplotlib.figure import Figure

from hcsim.report import style
from hcsim.report.simulation.page import Answer, Shown, write_page
from hcsim.results.words import PROGRAMS
from hcsim.results.year_plan import HOLDS, OPERATED, YearPlan, YearPlans


def headline(found: YearPlans) -> str:
    """The largest plan that holds over the year, and what it takes."""
    held = [p for p in found.plans.values() if p.status in (HOLDS, OPERATED)]
    if not held:
        return f"No plan for {found.case} holds over the year."
    best = max(held, key=lambda p: p.schedule.hc_kw)
    said = f"Over the year {found.case} takes {best.schedule.hc_kw:,.0f} kW of PV ({_title(best)})"
    if best.status == HOLDS:
        said += ": OpenDSS breaks no limit in 8,760 hours"
    else:
        said += (
            f": OpenDSS breaks no limit in 8,760 hours operated by {best.policy}, which curtails "
            f"{100 * best.operated.curtailed_share:.2g} % of the energy"
        )
    return f"{said}. {len(best.days)} days decide it: {', '.join(best.days)}."


def year_page(found: YearPlans, folder: Path) -> Path:
    """Figures and year.html. Raises OutputError."""
    with style.house_style():
        pictures = [
            Shown(
                f"01_{name}",
                f"{_title(plan)}: the year by day",
                "Energy that the policy curtails on each day; marked: days in the program, and days that break a limit "
                "by schedule alone.",
                _days(plan),
            )
            for name, plan in found.plans.items()
            if plan.failing or plan.operated.curtailed_kwh.sum() > 0  # else there is nothing to draw
        ]
    table = found.table.drop(columns=["new_violations_operated", "curtailed_kwh", "full_cycles_most"])
    table["program"] = [PROGRAMS.get(name, name) for name in table.get("program", [])]
    rounds = pd.DataFrame(
        [
            {
                "program": _title(plan),
                "round": k + 1,
                "days": len(r.days),
                "claim, kW": round(r.claim_kw, 1),
                "proof": r.claim_status,
                "loop, kW": round(r.hc_kw, 1),
                "loop": r.certificate,
                "days failing": r.days_failing,
                "new violations": r.new_violations,
                "worst day": r.worst_day,
            }
            for plan in found.plans.values()
            for k, r in enumerate(plan.rounds)
        ]
    )
    answer = Answer(headline(found), [f"{p.words}." for p in found.plans.values()], first={"Plans": table.round(2)})
    summary: dict[str, Any] = {"case": found.case, "notes": list(found.notes), "missing": dict(found.missing)}
    tables = {"Sites": found.sites.round(1), "Rounds: the day that breaks most joins the program": rounds}
    return write_page("A plan for the year", summary, pictures, tables, folder, "year.html", answer)


def _title(plan: YearPlan) -> str:
    return PROGRAMS.get(plan.program, plan.program)


def _days(plan: YearPlan) -> Figure:
    figure = Figure(figsize=(style.PAGE_INCHES, 2.6), layout="constrained")
    axes = figure.subplots()
    run = plan.operated
    per_day = len(run.available_kw) // 365
    lost = np.maximum(run.available_kw - run.delivered_kw, 0.0).reshape(365, per_day).sum(axis=1) * 24 / per_day
    dates = pd.date_range("2023-01-01", periods=365)
    axes.bar(dates, lost, width=1.0, color=style.SKY, label="curtailed, kWh")
    names = [d.strftime("%b %d") for d in dates]
    top = max(float(lost.max()), 1.0)
    failing = [dates[names.index(d)] for d in plan.failing if d in names]
    axes.plot(failing, [1.05 * top] * len(failing), "|", color=style.VERMILION, label="breaks a limit by schedule")
    chosen = [dates[names.index(d)] for d in plan.days if d in names]
    axes.plot(chosen, [1.15 * top] * len(chosen), "v", color=style.BLUE, label="in the program")
    axes.set(ylabel="kWh a day")
    axes.xaxis.set_major_locator(MonthLocator())  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(DateFormatter("%b"))  # type: ignore[no-untyped-call]
    axes.legend(loc="upper right", ncols=3, fontsize=7)
    return figure
