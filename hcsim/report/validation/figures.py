"""Pictures of a validation: where it breaks, the day at the source, voltages, batteries."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hcsim.report import style
from hcsim.report.pictures import Picture, draw_feeder, map_inches
from hcsim.results.validation import Validation
from optim.data.node import bus_of

LABELLED = 12
"""Buses of the map that get their name."""


def where(found: Validation) -> Figure | None:
    """The feeder with the devices, and the buses at which something breaks."""
    network, places = found.network, found.network.coordinates
    if len(places) < 2:
        return None
    figure = Figure(
        figsize=(style.PAGE_INCHES, map_inches(network, style.PAGE_INCHES, (4.0, 7.5))), layout="constrained"
    )
    axes = figure.subplots()
    draw_feeder(axes, network)
    s = found.schedule
    labels: dict[str, tuple[float, float]] = {}
    for nodes, power, marker, colour in (
        (s.pv_nodes, s.pv_kw, "o", style.ORANGE),
        (s.bess_nodes, np.abs(s.bess_p_kw).max(axis=0, initial=0.0), "s", style.BLUE),
    ):
        total: dict[str, float] = {}
        for node, kw in zip(nodes, power, strict=True):
            total[bus_of(node)] = total.get(bus_of(node), 0.0) + float(kw)
        largest = max(total.values(), default=1.0)
        for bus, kw in total.items():
            if bus in places:
                size = 25.0 + 180.0 * kw / max(largest, 1e-9)
                axes.scatter(*places[bus], s=size, marker=marker, color=colour, edgecolor="white", alpha=0.9, zorder=4)
                labels.setdefault(bus, places[bus])
    fresh = found.spans[found.spans["is_new"]] if len(found.spans) else found.spans
    broken = [b for b in dict.fromkeys(fresh["bus"]) if b in places] if len(fresh) else []
    for bus in broken:
        axes.scatter(
            *places[bus], s=150, marker="o", facecolor="none", edgecolor=style.VERMILION, linewidth=1.8, zorder=5
        )
    for bus in [*broken[: LABELLED // 2], *[b for b in labels if b not in broken]][:LABELLED]:
        axes.annotate(bus, places[bus], xytext=(5, 5), textcoords="offset points", fontsize=8.5, zorder=7)
    handles = [
        Line2D([], [], marker="o", linestyle="", color=style.ORANGE, label="PV or generator, area by kW"),
        Line2D([], [], marker="s", linestyle="", color=style.BLUE, label="battery"),
        Line2D([], [], marker="*", linestyle="", color=style.BLACK, markersize=11, label="source"),
    ]
    if broken:
        ring = Line2D(
            [], [], marker="o", linestyle="", color="none", markeredgecolor=style.VERMILION, label="new violation"
        )
        handles.append(ring)
    axes.legend(handles=handles, loc="best")
    axes.axis("off")
    return figure


def source_power(found: Validation) -> Figure:
    """Power from the source by phase: bare feeder and dispatch."""
    figure = Figure(figsize=(style.PAGE_INCHES, 3.2), layout="constrained")
    axes = figure.subplots()
    hours = np.arange(len(found.schedule.times)) * found.schedule.step_h
    operation = found.replay.operation
    for k, phase in enumerate(operation.substation_phases):
        colour = list(style.UNITS)[k % len(style.UNITS)]
        label = f"phase {phase.rsplit('.', 1)[-1]}" if len(operation.substation_phases) <= 3 else phase
        axes.step(hours, operation.substation_kw[:, k], where="post", color=colour, label=label)
        axes.step(
            hours, found.bare.operation.substation_kw[:, k], where="post", color=colour, linestyle=":", linewidth=1.0
        )
    axes.axhline(0.0, color=style.LIMIT, linewidth=0.9)
    axes.set(xlabel="hour", ylabel="kW into the feeder", xlim=(0, hours[-1] + found.schedule.step_h))
    axes.plot([], [], color=style.BLACK, linestyle=":", linewidth=1.0, label="without the dispatch")
    style.legend_below(figure, [axes])
    return figure


def voltages(found: Validation) -> Figure:
    """Highest and lowest judged voltage of each step, bare and with the dispatch."""
    figure = Figure(figsize=(style.PAGE_INCHES, 3.2), layout="constrained")
    axes = figure.subplots()
    hours = np.arange(len(found.schedule.times)) * found.schedule.step_h
    for replay, colour, label in (
        (found.bare, style.GREY, "bare feeder"),
        (found.replay, style.BLUE, "with the dispatch"),
    ):
        v = replay.operation.v_pu
        low, high = np.nanmin(v, axis=1), np.nanmax(v, axis=1)
        axes.fill_between(hours, low, high, step="post", color=colour, alpha=0.18)
        axes.step(hours, high, where="post", color=colour, label=label)
        axes.step(hours, low, where="post", color=colour)
    for limit in found.limits_pu:
        axes.axhline(limit, color=style.LIMIT, linestyle="--", linewidth=1.0)
    axes.set(xlabel="hour", ylabel="pu, all judged nodes", xlim=(0, hours[-1] + found.schedule.step_h))
    style.legend_below(figure, [axes])
    return figure


def batteries(found: Validation) -> Figure | None:
    """Stored energy of each unit, commanded and delivered."""
    s = found.schedule
    if not s.bess:
        return None
    figure = Figure(figsize=(style.PAGE_INCHES, 3.0), layout="constrained")
    axes = figure.subplots()
    hours = np.arange(len(s.times) + 1) * s.step_h
    for u, unit in enumerate(s.bess[: len(style.UNITS)]):
        axes.plot(hours, s.soc_kwh[:, u] / unit.energy_kwh * 100.0, color=style.UNITS[u], label=unit.name)
        mine = found.replay.soc[found.replay.soc["unit"] == unit.name]
        axes.plot(
            hours[1:], mine["soc_delivered_kwh"] / unit.energy_kwh * 100.0, ".", color=style.UNITS[u], markersize=4
        )
    axes.set(xlabel="hour", ylabel="state of charge, %", ylim=(-2, 102), xlim=(0, hours[-1]))
    style.legend_below(figure, [axes])
    return figure


PICTURES: tuple[Picture[Validation], ...] = (
    Picture(
        "01_where", "Where it stands and where it breaks", "Devices by size; ringed buses have a new violation.", where
    ),
    Picture("02_source", "Power from the source", "Below zero, power flows back through that phase.", source_power),
    Picture("03_voltage", "Voltages", "The range over all judged nodes; dashed: limits.", voltages),
    Picture("04_batteries", "Batteries", "State of charge; line: commanded, dots: delivered.", batteries),
)
