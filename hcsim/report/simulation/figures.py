"""Figures of the simulation studies: tables in, no physics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hcsim.report import style
from hcsim.report.pictures import draw_feeder, map_inches
from optim.data.criteria import CRITERIA
from optim.data.limits import Limits
from optim.data.network import Network

COLOURS = dict(
    zip(
        (c.name for c in CRITERIA),
        (
            style.VERMILION,
            style.BLUE,
            style.BLACK,
            style.ORANGE,
            style.PURPLE,
            style.GREEN,
            style.GREY,
            style.SKY,
            style.YELLOW,
        ),
        strict=True,
    )
)
"""The same colour for the same criterion in every figure."""
MARKERS = dict(zip(COLOURS, ("o", "v", "<", "s", "D", "h", "P", "X", "^"), strict=True))
SCENARIOS = {
    "generation": "New generation",
    "load": "New load",
    "generation_with_bess": "New generation beside the batteries",
}
_PATTERNS = {"random": "at random", "near": "near the source first", "far": "far from it first"}
_CURVES = {"highest": style.ORANGE, "lowest": style.BLUE}


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
