"""operate.html: the answer, policies side by side, days as points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hcsim.report import style
from hcsim.report.simulation.page import Answer, Shown, write_page
from hcsim.results.operate import OperateResult, conditions_in_words, foresight_in_words, in_words


def operate_page(found: OperateResult, folder: Path) -> Path:
    """Figures and operate.html. Raises OutputError."""
    with style.house_style():
        pictures = [
            Shown(
                "01_days",
                "Days under each policy",
                "Every day by its load and sun; filled: passes; ring: breaks a limit that the bare feeder keeps.",
                _days(found),
            ),
            Shown(
                "02_curtailed",
                "What passing costs",
                "Share of the day's PV energy that is curtailed, days in order.",
                _curtailed(found),
            ),
        ]
    rows = []
    for name, each in found.policies.items():
        content = each.to_json()
        rows.append(
            {
                "policy": name,
                "days": content["draws"],
                "pass, %": round(100 * content["share_passed"], 1),
                "95 % interval": f"{100 * content['share_low']:.1f} to {100 * content['share_high']:.1f}",
                "curtailed, % of PV energy": round(100 * content["curtailed_share_mean"], 2),
                "worst day, %": round(100 * content["curtailed_share_worst"], 1),
                **(
                    {} if found.foresight is None else {"beyond foresight, %": _round(found.regret(name)["regret_pct"])}
                ),
                "tap steps a day": round(content["tap_operations_mean"], 1),
                "days hunting": content["hunting_days"],
            }
        )
    sites = pd.DataFrame(
        [
            {"policy": name, "node": node, "curtailed kWh a day": round(float(kwh), 1)}
            for name, each in found.policies.items()
            for node, kwh in zip(each.nodes, each.curtailed_kwh, strict=True)
            if kwh > 0.05
        ]
    )
    broken = [
        {
            "policy": name,
            **{k: w[k] for k in ("criterion", "bus", "phase", "hour")},
            "share_of_days_pct": 100 * w["share_of_days"],
        }
        for name, each in found.policies.items()
        if (w := each.worst())
    ]
    answer = Answer(
        headline(found),
        [
            *(in_words(name, each) for name, each in found.policies.items()),
            *foresight_in_words(found),
            conditions_in_words(found),
        ],
        first={"Policies": pd.DataFrame(rows), "What breaks most often": pd.DataFrame(broken)},
    )
    tables = {"Curtailed by site, mean": sites, "Days": found.table}
    summary: dict[str, Any] = {
        "case": found.case,
        "schedule": f"{found.schedule}, {found.hc_kw:,.1f} kW",
        "missing": dict(found.cut),
        "settings": dict(found.settings),
    }
    return write_page("Operated", summary, pictures, tables, folder, "operate.html", answer)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def headline(found: OperateResult) -> str:
    """The policy that passes on most days, what it gives up, and what the schedule does by itself."""
    if not found.policies:
        return f"No policy could be run on {found.case}."
    name, best = max(found.policies.items(), key=lambda item: item[1].share_passed)
    low, high = best.interval()
    said = f"Operated by {name}, {found.schedule} with {found.hc_kw:,.0f} kW of PV on {found.case} "
    if len(best.broken) == 1:
        said += "holds on the day run" if best.share_passed else "breaks a limit on the day run"
    else:
        said += (
            f"holds on {100 * best.share_passed:.0f} % of {len(best.broken)} days of other load and sun "
            f"({100 * low:.0f} to {100 * high:.0f} % with 95 % confidence)"
        )
    said += f" for {100 * best.curtailed_share.mean():.1f} % of the PV energy"
    if (plain := found.policies.get("schedule")) is not None and name != "schedule":
        said += f"; without acting it holds on {100 * plain.share_passed:.0f} %"
    if worst := best.worst():
        where = f"{worst['bus']}{', phase ' + worst['phase'] if worst['phase'] else ''}"
        said += f". What still breaks is {worst['criterion'].replace('_', ' ')} at {where}, at {worst['hour']}"
    return said + "."


def _days(found: OperateResult) -> Figure:
    figure = Figure(figsize=(style.PAGE_INCHES, 3.4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, max(len(found.policies), 1), sharey=True))
    load = [100 * (float(np.mean(d.load)) - 1) for d in found.days]
    sun = [100 * (float(np.mean(d.pv)) - 1) for d in found.days]
    for ax, (name, each) in zip(axes, found.policies.items(), strict=False):
        ok = np.array([not b for b in each.broken], dtype=bool)
        ax.scatter(np.array(load)[ok], np.array(sun)[ok], s=14, color=style.BLUE)
        ax.scatter(np.array(load)[~ok], np.array(sun)[~ok], s=18, facecolor="none", edgecolor=style.VERMILION)
        ax.set(title=f"{name}: {100 * ok.mean():.1f} % pass", xlabel="load off by, %")
    axes[0].set_ylabel("sun off by, %")
    return figure


def _curtailed(found: OperateResult) -> Figure:
    figure = Figure(figsize=(style.PAGE_INCHES, 2.8), layout="constrained")
    axes = figure.subplots()
    for k, (name, each) in enumerate(found.policies.items()):
        axes.plot(np.sort(100 * each.curtailed_share)[::-1], color=style.UNITS[k % len(style.UNITS)], label=name)
    axes.set(xlabel="days, worst first", ylabel="% of PV energy")
    axes.legend()
    return figure
