"""The closed loop on the page: its table, its error budget, and a picture of how it went."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hcsim.certify.certificate import Certificate
from hcsim.certify.error_budget import PARTS, WORDS
from hcsim.operate.capacity import operated_in_words
from hcsim.report import style
from hcsim.report.allocation.tables import NOTHING, number
from hcsim.results.allocation import StudyResult
from hcsim.results.allocation_summary import enough_days, share_in_words
from hcsim.results.words import PROGRAMS


def loop_rows(study: StudyResult) -> list[dict[str, Any]]:
    return [
        {
            "name": PROGRAMS.get(name, name),
            "cells": [
                number(found.certified_kw),
                _kw(found.claim_kw),
                _kw(found.bound_kw),
                f"{found.word}; {found.status}" + (", put back and verified" if found.verified else ""),
                len(found.rounds),
                found.power_flows,
                f"{found.seconds:.1f}",
            ],
            "reason": found.reason + (f" Idle: {', '.join(found.idle_batteries)}." if found.idle_batteries else ""),
        }
        for name, found in certificates(study).items()
    ]


def budget_rows(study: StudyResult) -> list[list[str]]:
    """A label and a cell per certificate: claim, what it lost where, what is certified."""
    budgets = [found.error_budget for found in certificates(study).values()]
    if not any(budgets):
        return []
    keys = {"claim_kw": "claim", **{k: WORDS[k] for k in (*PARTS, "rest_kw")}, "certified_kw": "certified"}
    return [[words, *(_kw(b.get(key, math.nan)) for b in budgets)] for key, words in keys.items()]


def operated_words(found: Certificate) -> str:
    """What a policy keeps of it on other days; "" where not asked."""
    words = operated_in_words(found.operated) if found.operated else ""
    return f"{words[:1].upper()}{words[1:]}." if words else ""


def robustness_words(found: Certificate) -> str:
    """How often the schedule passes on drawn days, what breaks most often, what it takes; "" where not tried."""
    r = found.robustness
    if not r:
        return ""
    draws = f"{r['draws']}" if r["draws"] == r["draws_wanted"] else f"{r['draws']} (of {r['draws_wanted']}, for time)"
    if not enough_days(r):
        return f"Other days: {share_in_words(r)}."
    words = (
        f"With load and PV off by up to {100 * r['spread']:g} %, {100 * r['share_passed']:.1f} % of {draws} drawn days "
        "show no new violation."
    )
    if r["share_in_range"] > r["share_passed"]:
        words += (
            f" On {100 * r['share_in_range']:.1f} % nothing is broken but what the feeder may show without devices, "
            "its regulators come to rest elsewhere in their bands."
        )
    if r["causes"]:
        words += f" Most often: {'; '.join(_cause(c) for c in r['causes'][:3])}."
    if r["margin_status"] == "not needed":
        return words
    if math.isfinite(r["needed_kw"]):
        levers = (("needed_pu", 4, "pu"), ("needed_kw", 0, "kW"), ("needed_loading_pu", 2, "of the rating"))
        kept = [f"{r[key]:.{digits}f} {unit}" for key, digits, unit in levers if r[key] > 0]
        words += f" {100 * r['wanted']:g} % of the days overstep no limit by more than {', '.join(kept)}."
    if r["margin_status"] == "found":
        words += (
            f" With {r['inside_pu']:.4f} pu and {r['inside_kw']:.0f} kW kept in the programs, at least "
            f"{r['robust_kw']:.1f} kW ({r['margin_kw']:.1f} kW less) pass on {100 * r['robust_share']:.1f} %. "
            f"The search ended {r['margin_reason']}"
        )
    elif r["margin_status"] == "not found":
        words += f" No capacity was found that passes on {100 * r['wanted']:g} %: {r['margin_reason']}"
    return words


def cause_rows(study: StudyResult) -> list[list[str]]:
    """A row per certificate and place at which drawn days break most often."""
    return [
        [
            PROGRAMS.get(name, name),
            cause["criterion"].replace("_", " "),
            _place(cause),
            f"{100 * cause['share']:.1f} %",
            cause["hour"],
            _size(cause),
        ]
        for name, found in certificates(study).items()
        for cause in found.robustness.get("causes", [])
    ]


def _place(cause: dict[str, Any]) -> str:
    return f"{cause['element']}.{cause['phase']}" if cause["phase"] else str(cause["element"])


def _size(cause: dict[str, Any]) -> str:
    if not math.isfinite(cause["beyond"]):
        return NOTHING
    return f"{cause['beyond']:.5f} pu" if cause["unit"] == "pu" else f"{cause['beyond']:.1f} {cause['unit']}"


def _cause(cause: dict[str, Any]) -> str:
    """ "undervoltage at 250.3, 56 % of the days, 0.0016 pu at 10:00" """
    words = f"{cause['criterion'].replace('_', ' ')} at {_place(cause)}, {100 * cause['share']:.0f} % of the days"
    return f"{words}, by {_size(cause)}, mostly at {cause['hour']}" if math.isfinite(cause["beyond"]) else words


def robustness_lines(study: StudyResult) -> list[str]:
    """For the terminal, a line per case that was tried."""
    said = {name: robustness_words(found) for name, found in certificates(study).items()}
    return [f"{PROGRAMS.get(name, name)}: {words}" for name, words in said.items() if words]


def certificates(study: StudyResult) -> dict[str, Certificate]:
    return {name: case.certificate for name, case in study.cases.items() if case.certificate}


def closed_loop(study: StudyResult) -> Figure | None:
    """Claim, certified capacity and worst voltage violation, round by round."""
    found = {name: c for name, c in certificates(study).items() if c.rounds}
    if not found:
        return None
    figure = Figure(figsize=(style.PAGE_INCHES, 4.6), layout="constrained")
    grid = figure.subplots(2, len(found), squeeze=False, sharex="col", height_ratios=(2, 1))
    for column, (name, certificate) in enumerate(found.items()):
        _capacities(grid[0][column], study, name, certificate)
        _violations(grid[1][column], certificate)
    grid[0][0].set_ylabel("kW")
    grid[1][0].set_ylabel("worst voltage\nviolation, pu")
    style.legend_below(figure, [grid[0][0], grid[1][0]], columns=4)
    return figure


def _capacities(axes: Axes, study: StudyResult, name: str, found: Certificate) -> None:
    rounds = [r.number for r in found.rounds]
    claims, open_loop = [r.claim_kw for r in found.rounds], study.cases[name].schedule.hc_kw
    axes.plot(rounds, claims, "o-", color=style.CLAIM, markersize=3.5, label="claim of the round")
    axes.step(
        rounds,
        [r.certified_kw for r in found.rounds],
        where="post",
        color=style.GREEN,
        linewidth=2.0,
        label="certified so far",
    )
    axes.axhline(open_loop, color=style.GREY, linestyle="--", linewidth=1.0, label="open-loop claim")
    axes.set_title(
        f"{PROGRAMS.get(name, name).replace(', ', ',' + chr(10))}\n{found.certified_kw:,.1f} kW", fontsize=9.5
    )


def _violations(axes: Axes, found: Certificate) -> None:
    rounds = [r.number for r in found.rounds]
    axes.bar(rounds, [r.worst_pu for r in found.rounds], color=style.VERMILION, label="violation")
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _kw(value: float) -> str:
    return number(value) if math.isfinite(value) else NOTHING
