"""flexible.html: the answer, the curve with what binds along it, when export is held back, sites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hcsim.report import style
from hcsim.report.simulation.page import Answer, Shown, write_page
from hcsim.results.flexible import FlexibleResult, held_in_words
from hcsim.results.words import PROGRAMS

NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def headline(found: FlexibleResult) -> str:
    """The largest verified point beside the one without curtailment."""
    verified = [p for p in found.points if p.run is not None]
    if not verified:
        return f"No capacity tried on {found.case} passes the year."
    runs = {(p.case, p.curtailment_pct): p.run for p in verified}
    best = max(verified, key=lambda p: (p.run.hc_kw, p.case))  # type: ignore[union-attr]
    run = best.run
    assert run is not None
    said = (
        f"With {100 * run.curtailed_share:.2g} % of the year's PV energy curtailed, {found.case} takes "
        f"{run.hc_kw:,.0f} kW ({PROGRAMS.get(best.case, best.case)})"
    )
    least = runs.get((best.case, min(p.curtailment_pct for p in verified if p.case == best.case)))
    if least is not None and least is not run:
        said += f"; with {100 * least.curtailed_share:.2g} % {least.hc_kw:,.0f} kW"
    said += f": {held_in_words(run.limit)}" if run.limit else ""
    return f"{said}. OpenDSS ran all 8,760 hours of each point."


def flexible_page(found: FlexibleResult, folder: Path) -> Path:
    """Figures and flexible.html. Raises OutputError."""
    with style.house_style():
        pictures = [
            Shown(
                "01_curve",
                "Capacity against curtailed energy",
                "Every point is a year in OpenDSS; beside it what held it back.",
                _curve(found),
            )
        ]
        for case in dict.fromkeys(p.case for p in found.points if p.run is not None):
            pictures.append(
                Shown(
                    f"02_profile_{case}",
                    f"{PROGRAMS.get(case, case)}: export by month and hour at the largest point",
                    "The least that went through in any hour in which something was curtailed; blank: everything did.",
                    _profile(found, case),
                )
            )
    table = found.table[found.table["verified"]].copy()
    held = [f"{c.replace('_', ' ')} at {e}" for c, e in zip(table["criterion"], table["element"], strict=True)]
    table["held by"] = [f"{h}, phase {p}" if p else h for h, p in zip(held, table["phase"], strict=True)]
    table["case"] = [PROGRAMS.get(c, c) for c in table["case"]]
    for column, digits in {"hc_kw": 0, "curtailed_kwh": 0, "curtailed_pct": 3, "hours_curtailed": 0}.items():
        table[column] = table[column].astype(float).round(digits)
    shown = ["case", "curtailment_pct", "hc_kw", "curtailed_kwh", "curtailed_pct", "hours_curtailed", "held by", "time"]
    table = table[shown]
    sentences = [f"{p.words}." for p in found.points]
    sentences.append(
        f"The policy {found.policy} curtails; sites keep the plan's shares and reactive power, batteries repeat "
        "its day. The export profile is what this policy let through; it was not run as a limit of its own."
    )
    answer = Answer(headline(found), sentences, first={"Points": table})
    sites = found.sites[found.sites["curtailed_kwh"] > 0.5].round(1)
    summary: dict[str, Any] = {
        "case": found.case,
        "policy": found.policy,
        "notes": list(found.notes),
        "missing": dict(found.missing)
        | {f"{p.case} {p.curtailment_pct:g} %": p.why_not for p in found.points if not p.run},
    }
    tables = {"Curtailed by site": sites, "Export profiles (month 0: all months)": found.profiles.round(1)}
    return write_page("Flexible capacity", summary, pictures, tables, folder, "flexible.html", answer)


def _curve(found: FlexibleResult) -> Figure:
    figure = Figure(figsize=(style.PAGE_INCHES, 3.6), layout="constrained")
    axes = figure.subplots()
    for k, case in enumerate(dict.fromkeys(p.case for p in found.points)):
        mine = [p for p in found.points if p.case == case and p.run is not None]
        share = [100 * p.run.curtailed_share for p in mine if p.run]
        kw = [p.run.hc_kw for p in mine if p.run]
        axes.plot(share, kw, marker="o", color=style.UNITS[k % len(style.UNITS)], label=PROGRAMS.get(case, case))
        for p, x, y in zip(mine, share, kw, strict=True):
            limit = p.run.limit if p.run else {}
            if limit:
                words = f"{limit['criterion'].replace('_', ' ')} {limit['element']}"
                words += f".{limit['phase']}" if limit["phase"] else ""
                axes.annotate(words, (x, y), xytext=(4, 5), textcoords="offset points", fontsize=6.5)
    axes.set(xlabel="% of the year's PV energy curtailed", ylabel="kW of PV")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.12)
    axes.legend(loc="lower right")
    return figure


def _profile(found: FlexibleResult, case: str) -> Figure:
    largest = max((p for p in found.points if p.case == case and p.run), key=lambda p: p.run.hc_kw)  # type: ignore[union-attr]
    run, table = largest.run, found.profiles
    assert run is not None
    mine = table[(table["case"] == case) & (table["curtailment_pct"] == largest.curtailment_pct) & (table["month"] > 0)]
    grid = mine.pivot_table(index="month", columns="hour", values="export_kw").to_numpy()
    figure = Figure(figsize=(style.PAGE_INCHES, 3.0), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(np.where(grid < run.hc_kw - 1e-6, grid, np.nan), aspect="auto", cmap="viridis")
    axes.grid(visible=False)
    axes.set(xlabel="hour", yticks=range(len(NAMES)), yticklabels=NAMES)
    figure.colorbar(image, ax=axes, label="kW")
    return figure
