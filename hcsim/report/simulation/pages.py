"""The pages of a nodal, a stochastic and a year's study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from hcsim.report.simulation.figures import (
    SCENARIOS,
    capacity_distribution,
    duration_curve,
    nodal_distribution,
    nodal_map,
    violation_share,
)
from hcsim.report.simulation.page import Shown, write_page

_YEARS = {"bare": "without PV", "with_pv": "with PV"}
SHOWN_OF_A_BUS = (
    *("bus", "phases", "hc_kw", "criterion", "binding_element", "binding_phase", "binding_hour", "status"),
    *("verified", "passes_again_from_kw", "passes_again_to_kw"),
)


def nodal_page(result: Any, folder: Path) -> Path:
    """Figures and nodal.html of a `NodalResult`. Raises OutputError."""
    least = {name: o.table[o.table["smallest"]] for name, o in result.outcomes.items()}
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
    tables = {SCENARIOS[name]: table[[*SHOWN_OF_A_BUS]].sort_values("hc_kw") for name, table in least.items()}
    gain = result.gain()
    if gain is not None:
        tables["Gain by the batteries"] = gain.sort_values("gain_kw", ascending=False)
    return write_page("Nodal hosting capacity", result.summary, pictures, tables, folder, "nodal.html")


def stochastic_page(result: Any, folder: Path) -> Path:
    """Figures and stochastic.html of a `StochasticResult`. Raises OutputError."""
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
    wide = result.shares.pivot(index="penetration_pct", columns="criterion", values="share").reset_index()
    wide = (100 * wide.set_index("penetration_pct")).round(1).reset_index()
    tables = {"Share of deployments with a violation, %": wide}
    return write_page("Stochastic hosting capacity", result.summary, pictures, tables, folder, "stochastic.html")


def year_page(study: Any, folder: Path) -> Path:
    """Figures and year.html of a `YearStudy`. Raises OutputError."""
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
    tables = {
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
    tables["Probes"] = study.capacity.probes
    return write_page("A year of hosting capacity", study.summary, pictures, tables, folder, "year.html")
