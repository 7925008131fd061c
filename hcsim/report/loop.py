"""The closed loop on the page: its table, its error budget, and a picture of how it went."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hcsim.certificate import Certificate
from hcsim.error_budget import PARTS, WORDS
from hcsim.report import style
from hcsim.report.tables import NAMES, NOTHING, number
from hcsim.results import StudyResult


def loop_rows(study: StudyResult) -> list[dict[str, Any]]:
    return [
        {
            "name": NAMES.get(name, name),
            "cells": [number(found.certified_kw), _kw(found.claim_kw), _kw(found.bound_kw), found.status,
                      len(found.rounds), found.power_flows, f"{found.seconds:.1f}"],
            "reason": found.reason,
            "robustness": robustness_words(found),
        }
        for name, found in certificates(study).items()
    ]  # fmt: skip


def budget_rows(study: StudyResult) -> list[list[str]]:
    """A label and a cell per certificate: claim, what it lost where, what is certified."""
    budgets = [found.error_budget for found in certificates(study).values()]
    if not any(budgets):
        return []
    keys = {"claim_kw": "claim", **{k: WORDS[k] for k in (*PARTS, "rest_kw")}, "certified_kw": "certified"}
    return [[words, *(_kw(b.get(key, math.nan)) for b in budgets)] for key, words in keys.items()]


def robustness_words(found: Certificate) -> str:
    """A sentence, "" where it was not tried."""
    r = found.robustness
    if not r:
        return ""
    words = (
        f"With load and PV off by up to {100 * r['spread']:g} %, {100 * r['share_passed']:.1f} % of "
        f"{r['draws']:g} drawn days show no new violation"
    )
    if math.isfinite(r["robust_kw"]):
        words += f"; {r['margin_kw']:.1f} kW less bring it to {100 * r['wanted']:g} % ({r['robust_kw']:.1f} kW)"
    elif r["share_passed"] < r["wanted"]:
        words += f"; no scaling back to a third brings it to {100 * r['wanted']:g} %"
    return words + "."


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
    axes.step(rounds, [r.certified_kw for r in found.rounds], where="post", color=style.GREEN, linewidth=2.0,
              label="certified so far")  # fmt: skip
    axes.axhline(open_loop, color=style.GREY, linestyle="--", linewidth=1.0, label="open-loop claim")
    axes.set_title(f"{NAMES.get(name, name).replace(', ', ',' + chr(10))}\n{found.certified_kw:,.1f} kW", fontsize=9.5)


def _violations(axes: Axes, found: Certificate) -> None:
    rounds = [r.number for r in found.rounds]
    axes.bar(rounds, [r.worst_pu for r in found.rounds], color=style.VERMILION, label="violation")
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _kw(value: float) -> str:
    return number(value) if math.isfinite(value) else NOTHING
