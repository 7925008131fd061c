"""The pages of baseline, nodal, stochastic and a year's study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hcsim.feeder.model import FeederModel
from hcsim.feeder.topology import away_pct
from hcsim.hosting.nodal_result import NodalResult
from hcsim.hosting.result import HostingCapacityResult
from hcsim.hosting.stochastic_result import StochasticResult
from hcsim.hosting.year_result import YearStudy
from hcsim.replay.result import ReplayResult
from hcsim.report.common.page import Annex
from hcsim.report.common.page import write_page as write_any
from hcsim.report.common.sites import sites_table
from hcsim.report.map.data import Shown as MapShown
from hcsim.report.simulation import words
from hcsim.report.simulation.figures import (
    SCENARIOS,
    capacity_distribution,
    duration_curve,
    nodal_distribution,
    nodal_map,
    violation_share,
)
from hcsim.report.simulation.page import Answer, Shown, write_page
from optim.data.limits import Limits
from optim.data.schedule import Schedule

_YEARS = {"bare": "without PV", "with_pv": "with PV"}
SHOWN_OF_A_BUS = (
    *("bus", "phases", "hc_kw", "criterion", "binding_element", "binding_phase", "binding_hour", "status"),
    *("verified", "passes_again_from_kw", "passes_again_to_kw"),
)


def nodal_page(
    result: NodalResult, folder: Path, bare: ReplayResult | None = None, limits: Limits | None = None
) -> Path:
    """Figures and nodal.html. Raises OutputError."""
    least = {name: o.table[o.table["smallest"]] for name, o in result.outcomes.items()}
    away = away_pct(result.network)
    first = {}
    for name, table in least.items():
        shown = table[[*SHOWN_OF_A_BUS]].sort_values("hc_kw", kind="stable")
        place = shown.columns.get_loc("hc_kw")
        shown.insert(int(place) + 1, "distance_pct", [away.get(b, np.nan) for b in shown["bus"]])
        shown["phases"] = shown["phases"].str.replace(".", " ")
        first[SCENARIOS[name]] = _without_the_usual(shown)
    pictures = [
        Shown(
            f"{i:02d}_map_{name}",
            f"By bus: {SCENARIOS[name].lower()}",
            "Colour: the largest size that breaks no limit. Shape and rim: the limit that stops it. Black star: "
            "source; triangles without a rim: regulators.",
            nodal_map(table, result.network, "largest new load" if name == "load" else "hosting capacity"),
        )
        for i, (name, table) in enumerate(least.items(), 1)
    ]
    pictures.append(
        Shown(
            "09_distribution",
            "Distribution",
            "Every bus by its smallest capacity; colour: what binds.",
            nodal_distribution(least),
        )
    )
    sentences = [words.nodal_counts(result.outcomes["generation"].table)]
    sentences += [words.nodal_headline(result, name) for name in result.outcomes if name != "generation"]
    gain = result.gain()
    tables = {} if gain is None else {"Gain by the batteries": gain.sort_values("gain_kw", ascending=False)}
    names = {"generation": "nodal, generation", "load": "nodal, load", "generation_with_bess": "nodal, with batteries"}
    answer = Answer(
        words.nodal_headline(result),
        sentences,
        first=first,
        map=MapShown(
            result.network,
            limits,
            result.profiles,
            bare,
            nodal={names[name]: table for name, table in least.items()},
            layer="nodal0",
        ),
        limits=limits,
        bare=bare,
    )
    return write_page("Nodal hosting capacity", result.summary, pictures, tables, folder, "nodal.html", answer)


def _without_the_usual(table: pd.DataFrame) -> pd.DataFrame:
    """Columns that say the same of every bus go, and what passes again stands with the status."""
    again = table["passes_again_from_kw"].notna()
    low, high = (table[c].map("{:,.0f}".format) for c in ("passes_again_from_kw", "passes_again_to_kw"))
    status = table["status"].where(~again, table["status"] + ", " + low + " to " + high + " kW")
    left = table.assign(status=status).drop(columns=["passes_again_from_kw", "passes_again_to_kw"])
    return left.drop(columns="verified") if left["verified"].all() else left


def stochastic_page(result: StochasticResult, folder: Path, limits: Limits | None = None) -> Path:
    """Figures and stochastic.html. Raises OutputError."""
    pictures = [
        Shown(
            "01_violation_share",
            "Violations against penetration",
            "Share of the deployments in which a limit is broken; shaded: any limit.",
            violation_share(result.shares),
        ),
        Shown(
            "02_capacity_distribution",
            "Distribution of hosting capacity",
            "Per deployment the last penetration step before the first violation.",
            capacity_distribution(result.capacities),
        ),
    ]
    wide = result.shares.pivot(index="penetration_pct", columns="criterion", values="share")
    wide = (100 * wide).round(1).reset_index()
    sentences = []
    for pattern, rows in result.capacities.dropna(subset=["hc_kw"]).groupby("pattern", sort=False):
        half = rows["hc_kw"].quantile(0.5, interpolation="lower")
        sentences.append(
            f"Roofs taken {words.PATTERNS[str(pattern)]}: half of {len(rows)} take {half:,.0f} kW or more."
        )
    answer = Answer(
        words.stochastic_headline(result),
        sentences,
        first={"Share of deployments with a violation, %": wide},
        map=MapShown(
            result.network, limits, broken=_broken_places(result), broken_words="what breaks in some deployment"
        ),
        limits=limits,
    )
    tables = {"Deployments": result.capacities}
    return write_page(
        "Stochastic hosting capacity", result.summary, pictures, tables, folder, "stochastic.html", answer
    )


def _broken_places(result: StochasticResult) -> dict[str, str]:
    """Bus -> which limit is broken there, and in how many deployments."""
    table = result.outcome.table
    seen = table[table["violated"] & table["element"].isin(result.network.buses)]
    counts = seen.groupby(["element", "criterion"])["deployment"].nunique().sort_values(ascending=False)
    found: dict[str, str] = {}
    for (bus, criterion), n in counts.items():
        found.setdefault(str(bus), f"{str(criterion).replace('_', ' ')} is worst here in {n} deployments")
    return found


def year_page(study: YearStudy, folder: Path) -> Path:
    """Figures and year.html. Raises OutputError."""
    hours = len(study.profiles) * study.profiles.step_h
    curves = {}
    for name, year in study.years.items():
        curves[f"highest of all nodes, {_YEARS[name]}"] = year.v_highest_pu
        curves[f"lowest of all nodes, {_YEARS[name]}"] = year.v_lowest_pu
    if with_pv := study.years.get("with_pv"):
        curves[f"node {with_pv.worst_node}, with PV"] = with_pv.v_worst_node_pu
    pictures = [
        Shown(
            "01_voltage_duration",
            "Duration curves of voltage",
            "For how many hours of the year the highest and lowest voltage of all nodes, and the node with the "
            "highest, are at or above a value. With PV: the hosting capacity found.",
            duration_curve(curves, study.limits, hours),
        )
    ]
    beyond = {
        f"Hours beyond a limit, {_YEARS[name]}": pd.DataFrame(
            [
                (kind, element, hours_of)
                for kind, found in (
                    ("above its upper voltage limit", year.hours_above),
                    ("below its lower voltage limit", year.hours_below),
                    ("overloaded", year.hours_overloaded),
                )
                for element, hours_of in found.items()
            ],
            columns=["limit", "element", "hours"],
        )
        for name, year in study.years.items()
    }
    answer = Answer(words.year_headline(study), first=beyond, limits=study.limits)
    tables = {"Probes": study.capacity.probes}
    return write_page("A year of hosting capacity", study.summary, pictures, tables, folder, "year.html", answer)


@dataclass(frozen=True)
class AtCapacity:
    """The feeder at the capacity that a search has found."""

    case: str
    model: FeederModel
    schedule: Schedule
    """The PV found, at unity power factor, with the batteries that stood beside it."""
    replay: ReplayResult | None
    """Its day; None where nothing was found."""
    bare: ReplayResult


def baseline_page(found: HostingCapacityResult, at: AtCapacity, folder: Path) -> Path:
    """baseline.html of a search on a day. Raises OutputError."""
    limit = words.limit_at(found.limit)
    low, high = found.bracket_kw
    failed = f"failed at {high:,.1f} kW" if np.isfinite(high) else "no larger size failed"
    sentences = [found.method, f"Passed at {low:,.1f} kW, {failed}; {found.power_flows} power flows."]
    place = str(found.limit.get("element", ""))
    answer = Answer(
        words.baseline_headline(at.case, found),
        sentences,
        first={"Sites": sites_table(at.model.network, at.schedule, lambda bus: limit or "no limit was met")},
        map=MapShown(
            at.model.network,
            at.model.limits,
            at.model.profiles,
            at.replay or at.bare,
            at.schedule,
            broken={place: limit} if limit else {},
            broken_words="where the limit binds",
        ),
        limits=at.model.limits,
        bare=at.bare,
    )
    annex = Annex(tables={"Probes": found.probes})
    return write_any(f"Hosting capacity by simulation: {at.case}", answer, annex, folder / "baseline.html")
