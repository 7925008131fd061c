"""Pictures and pages of the simulation studies: nodal, stochastic, a year. Tables in, no physics."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hcsim.report import style
from hcsim.report.pictures import draw_feeder, map_inches, save_figures
from hcsim.util.files import write_text
from optim.data.criteria import CRITERIA
from optim.data.limits import Limits
from optim.data.network import Network

COLOURS = dict(
    zip(
        (c.name for c in CRITERIA),
        (style.VERMILION, style.BLUE, style.BLACK, style.ORANGE, style.PURPLE, style.GREEN, style.GREY, style.SKY),
        strict=True,
    )
)
"""The same colour for the same criterion in every figure."""
MARKERS = dict(zip(COLOURS, ("o", "v", "<", "s", "D", "h", "P", "X"), strict=True))
SCENARIOS = {
    "generation": "New generation",
    "load": "New load",
    "generation_with_bess": "New generation beside the batteries",
}
_PATTERNS = {"random": "at random", "near": "near the source first", "far": "far from it first"}
_YEARS = {"bare": "without PV", "with_pv": "with PV"}
_CURVES = {"highest": style.ORANGE, "lowest": style.BLUE}
MAX_ROWS = 400
SHOWN_OF_A_BUS = (
    *("bus", "phases", "hc_kw", "criterion", "binding_element", "binding_phase", "binding_hour", "status"),
    *("verified", "passes_again_from_kw", "passes_again_to_kw"),
)


@dataclass(frozen=True)
class Shown:
    """A figure with the words under it."""

    key: str
    title: str
    caption: str
    figure: Figure | None


def nodal_map(table: pd.DataFrame, network: Network, what: str = "hosting capacity") -> Figure | None:
    """Every bus at its place: colour the capacity, shape and rim what binds. `table` has a row per bus."""
    places = network.coordinates
    shown = table[table["bus"].isin(places.keys())]
    if len(shown) < 2:
        return None
    with style.house_style():
        height = 1.0 + map_inches(network, style.PAGE_INCHES, (3.0, 8.0))
        figure = Figure(figsize=(style.PAGE_INCHES, height), layout="constrained")
        axes = figure.subplots()
        draw_feeder(axes, network)
        top = float(shown["hc_kw"].quantile(0.98))
        few = len(shown) < 400
        rim = 1.3 if few else 0.6
        for criterion, rows in shown.groupby("criterion", sort=False):
            xy = np.array([places[bus] for bus in rows["bus"]])
            dots = axes.scatter(
                xy[:, 0],
                xy[:, 1],
                c=rows["hc_kw"],
                cmap="viridis",
                vmin=0.0,
                vmax=max(top, 1.0),
                s=46 if few else 12,
                marker=MARKERS[str(criterion)],
                edgecolors=COLOURS[str(criterion)],
                linewidths=rim,
                zorder=4,
            )
        beyond = "max" if (shown["hc_kw"] > max(top, 1.0)).any() else "neither"
        figure.colorbar(dots, ax=axes, label=f"{what}, kW", shrink=0.8, extend=beyond)
        present = [c for c in COLOURS if (shown["criterion"] == c).any()]
        handles = [
            Line2D(
                [],
                [],
                linestyle="",
                marker=MARKERS[c],
                markerfacecolor="white",
                markeredgecolor=COLOURS[c],
                markeredgewidth=1.5,
                label=c.replace("_", " "),
            )
            for c in present
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, title="stopped by")
    return figure


def nodal_distribution(tables: Mapping[str, pd.DataFrame]) -> Figure | None:
    """Per scenario: buses sorted by capacity, coloured by what binds."""
    tables = {name: t for name, t in tables.items() if len(t)}
    if not tables:
        return None
    with style.house_style():
        figure, panels = style.panels(len(tables), height=3.2, columns=3)
        for axes, (name, table) in zip(panels, tables.items(), strict=True):
            rows = table.sort_values("hc_kw", kind="stable").reset_index(drop=True)
            for criterion, some in rows.groupby("criterion", sort=False):
                axes.bar(
                    some.index,
                    some["hc_kw"],
                    width=1.0,
                    color=COLOURS[str(criterion)],
                    label=str(criterion).replace("_", " "),
                )
            axes.set_title(SCENARIOS.get(name, name))
            axes.set_xlabel("buses, least first")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.margins(x=0.01)
            usual, most = float(rows["hc_kw"].quantile(0.98)), float(rows["hc_kw"].max())
            if most > 2 * usual > 0:  # one bus at the source would flatten all the others
                axes.set_ylim(0, 1.15 * usual)
                axes.annotate(f"{most:,.0f} kW ↑", (len(rows) - 2, 1.09 * usual), ha="right")
        panels[0].set_ylabel("capacity of the bus, kW")
        style.legend_below(figure, panels, columns=4)
    return figure


def violation_share(shares: pd.DataFrame) -> Figure | None:
    """Share of deployments with a violation against penetration, one line per criterion and all together.

    `shares`: penetration_pct, criterion ("any" for all together), share.
    """
    if shares.empty:
        return None
    with style.house_style():
        figure = Figure(figsize=(style.PAGE_INCHES, 3.8), layout="constrained")
        axes = figure.subplots()
        for criterion, rows in shares.groupby("criterion", sort=False):
            name = str(criterion)
            if name != "any" and not (rows["share"] > 0).any():
                continue
            pct, share = rows["penetration_pct"], 100 * rows["share"]
            if name == "any":
                axes.fill_between(pct, share, color=style.PALE, alpha=0.5, linewidth=0, label="any limit", zorder=1)
                continue
            axes.plot(
                pct,
                share,
                marker=MARKERS.get(name, "*"),
                markersize=4.5,
                color=COLOURS.get(name, style.YELLOW),
                label=name.replace("_", " "),
                zorder=2,
            )
        axes.set(
            xlabel="PV capacity, % of the feeder's nominal load",
            ylabel="deployments with a violation, %",
            ylim=(-2, 102),
        )
        style.legend_below(figure, [axes], columns=5)
    return figure


def capacity_distribution(capacities: pd.DataFrame) -> Figure | None:
    """Cumulative distribution of the capacity over deployments. `capacities`: pattern, hc_pct, hc_kw."""
    if capacities.empty:
        return None
    with style.house_style():
        figure = Figure(figsize=(style.PAGE_INCHES, 3.4), layout="constrained")
        axes = figure.subplots()
        for (pattern, rows), colour in zip(capacities.groupby("pattern", sort=False), style.UNITS, strict=False):
            values = np.sort(rows["hc_kw"].to_numpy())
            where = np.concatenate([[0.0], values, [capacities["hc_kw"].max()]])
            share = np.concatenate([[0.0], 100 * np.arange(1, len(values) + 1) / len(values), [100.0]])
            axes.step(where, share, where="post", color=colour, label=f"{_PATTERNS[str(pattern)]} ({len(values)})")
        axes.set(xlabel="hosting capacity, kW of PV", ylabel="deployments at or below, %", ylim=(0, 102))
        axes.set_xlim(left=0)
        style.legend_below(figure, [axes])
    return figure


def duration_curve(curves: Mapping[str, NDArray[np.float64]], limits: Limits, hours: float) -> Figure | None:
    """Voltages sorted by size: how many hours they are exceeded. Name -> (T,) pu."""
    if not curves:
        return None
    with style.house_style():
        figure = Figure(figsize=(style.PAGE_INCHES, 3.4), layout="constrained")
        axes = figure.subplots()
        for name, values in curves.items():
            ordered = np.sort(values[np.isfinite(values)])[::-1]
            colour = next((c for word, c in _CURVES.items() if name.startswith(word)), style.GREEN)
            axes.plot(
                np.linspace(0, hours, len(ordered)),
                ordered,
                color=colour,
                label=name,
                linestyle=(0, (3, 1.5)) if name.endswith("without PV") else "-",
            )
        style.voltage_limits(axes, limits)
        axes.set(xlabel="hours of the year at or above", ylabel="voltage, pu", xlim=(0, hours))
        style.legend_below(figure, [axes], columns=3)
    return figure


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


def write_page(
    title: str,
    summary: Mapping[str, Any],
    pictures: Sequence[Shown],
    tables: Mapping[str, pd.DataFrame],
    folder: Path,
    name: str,
) -> Path:
    """One self-contained page. Tables longer than MAX_ROWS are cut, and say so."""
    figures = {p.key: p.figure for p in pictures if p.figure is not None}
    documents = save_figures(figures, folder / "figures")
    environment = Environment(
        loader=PackageLoader("hcsim.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = [
        {
            "title": p.title,
            "caption": p.caption,
            "address": "data:image/svg+xml;base64," + base64.b64encode(documents[p.key].encode()).decode(),
        }
        for p in pictures
        if p.key in documents
    ]
    page = environment.get_template("simulation.html.j2").render(
        title=title,
        case=summary["case"],
        facts=_facts(summary),
        notes=summary.get("notes", []),
        missing=_missing(summary),
        pictures=shown,
        tables=[
            {
                "title": t,
                "columns": list(table.columns),
                "rows": _cells(table.head(MAX_ROWS)),
                "more": max(0, len(table) - MAX_ROWS),
            }
            for t, table in tables.items()
        ],
    )
    return write_text(folder / name, page)


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Plain numbers of the summary, its limits, and the numbers of its scenarios."""
    facts = _plain(summary)
    limits = summary.get("limits") or getattr(summary.get("settings"), "limits", None)
    if isinstance(limits, Limits):
        for criterion in CRITERIA:
            value = criterion.limit(limits)
            facts.append((f"limit, {criterion.name}", "off" if value is None else f"{value:g} {criterion.unit}"))
    for scenario, found in summary.get("scenarios", {}).items():
        facts += [(f"{scenario}: {name}", value) for name, value in _plain(found)]
    return [(name.replace("_", " "), value) for name, value in facts]


def _plain(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Numbers and words, and those of the groups that everybody looks for."""
    facts = [(k, v) for k, v in found.items() if isinstance(v, int | float | str) and k != "case"]
    for group in ("hc_kw", "gain_kw", "binds_first", "binding"):
        inside = found.get(group)
        if isinstance(inside, dict):
            facts += [(f"{group}, {k}", v) for k, v in inside.items() if v or group.endswith("kw")]
    return [(k, _number(v) if isinstance(v, float) else str(v)) for k, v in facts]


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _missing(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = list((summary.get("missing", {}) | summary.get("unwritten", {})).items())
    found += [("bus " + bus, "no phase there is live") for bus in summary.get("buses_without_phases", [])]
    for facts in summary.get("scenarios", {}).values():
        found += list(facts.get("missing", {}).items())
    return found


def _cells(table: pd.DataFrame) -> list[list[str]]:
    return [[_cell(v) for v in row] for row in table.itertuples(index=False, name=None)]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if np.isnan(value):
        return ""
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4g}"
