"""The planning study's figures in the paper's order."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from hcsim.report import style
from hcsim.report.pictures import Picture, draw_feeder, draw_pictures, map_inches
from hcsim.results.allocation_summary import load_kw
from hcsim.results.planning import PlanningStudyResult, SchemeResult
from optim.data.node import bus_of
from optim.planning.case import ScenarioName, Scheme
from optim.planning.result import PlannedUnit, ScenarioOperation

Floats = NDArray[np.float64]

AREAS = (style.SKY, style.GREEN, style.ORANGE, style.PURPLE, style.YELLOW, style.BLUE, style.GREY)
SCHEME_COLOURS = {"A": style.GREY, "B": style.BLUE, "C": style.ORANGE}


def feeder_map(study: PlanningStudyResult) -> Figure | None:
    """Areas, existing PV, charging stations and the units of the last scheme that has a plan."""
    places = study.network.coordinates
    if len(places) < 2:
        return None
    height = 0.8 + map_inches(study.network, style.PAGE_INCHES, (2.4, 7.0))
    figure = Figure(figsize=(style.PAGE_INCHES, height), layout="constrained")
    axes = figure.subplots()
    draw_feeder(axes, study.network)
    case = study.planning
    handles = []
    for colour, (area, buses) in zip(AREAS, case.areas.items(), strict=False):
        xy = np.array([places[b] for b in buses if b in places]).reshape(-1, 2)
        axes.plot(xy[:, 0], xy[:, 1], "o", color=colour, markersize=9, alpha=0.55, zorder=2)
        handles.append(Line2D([], [], linestyle="", marker="o", color=colour, alpha=0.55, label=f"area {area}"))
    for bus, kw in case.pv_kw.items():
        if bus in places:
            _note(axes, places[bus], f"{bus}: PV {kw:,.0f} kW", style.ORANGE, (7, -12))
    for bus in case.ev_kw:
        if bus in places:
            _note(axes, places[bus], "EV", style.GREEN, (7, 12))
    shown = planned(study)
    if shown is not None:
        scheme, units = shown
        for unit in units:
            if unit.bus in places:
                axes.plot(*places[unit.bus], "s", color=style.BLUE, markersize=9, markeredgecolor="white", zorder=7)
                words = f"{unit.energy_kwh:,.0f} kWh, {unit.power_kw:,.0f} kW"
                _note(axes, places[unit.bus], words, style.BLUE, (7, 2), bold=True)
        handles.append(Line2D([], [], linestyle="", marker="s", color=style.BLUE, label=f"unit of scheme {scheme}"))
    handles.append(Line2D([], [], linestyle="", marker="*", color=style.BLACK, markersize=11, label="source"))
    figure.legend(handles=handles, loc="outside lower center", ncols=6)
    return figure


def curves(study: PlanningStudyResult) -> Figure:
    """EV, load and PV over the day."""
    case = study.planning
    figure, axes = style.panels(3 if case.ev_kw else 2, height=2.6, columns=3)
    load, pv = load_kw(study.network, study.profiles), sum(case.pv_kw.values()) * study.profiles.pv_pu
    drawn = [("Load", load, style.BLUE), ("Existing PV", pv, style.ORANGE)]
    drawn += [(f"Charging station at bus {bus}", np.asarray(kw), style.GREEN) for bus, kw in case.ev_kw.items()][:1]
    for panel, (title, values, colour) in zip(axes, drawn, strict=True):
        panel.stairs(values, np.arange(len(values) + 1), fill=True, color=colour, alpha=0.25)
        style.stairs(panel, values, color=colour, linewidth=1.8)
        panel.set(title=title, ylabel="kW", ylim=(0, None))
        style.hour_axis(panel, study.profiles.times)
    return figure


def unit_over_the_day(study: PlanningStudyResult) -> Figure | None:
    """Power and stored energy of the largest unit, typical day and PVHC scenario."""
    found = _largest_unit(study)
    if found is None:
        return None
    name, scheme, unit = found
    figure, axes = style.panels(2, height=3.0, columns=2)
    for panel, operation in zip(axes, (scheme.result.typical, scheme.result.pvhc), strict=True):
        u = operation.units.index(unit.bus)
        power = operation.discharge_kw[:, u] - operation.charge_kw[:, u]
        panel.bar(np.arange(len(power)) + 0.5, power, width=0.8, color=style.SKY, label="power, kW (+ discharges)")
        panel.axhline(0.0, color=style.GREY, linewidth=0.8)
        panel.set(title=f"Bus {unit.bus}, scheme {name}, {_words(operation.scenario)}", ylabel="kW")
        other = panel.twinx()
        share = 100.0 / unit.energy_kwh
        other.plot(
            np.arange(len(operation.soc_kwh)),
            operation.soc_kwh[:, u] * share,
            color=style.BLUE,
            label="stored, % of capacity",
        )
        replay = scheme.replays.get((operation.scenario, "locked"))
        if replay is not None and not replay.soc.empty:
            rows = replay.soc[replay.soc["unit"] == f"dess_{unit.bus}"]
            other.plot(
                rows["step"] + 1,
                rows["soc_delivered_kwh"] * share,
                ".",
                color=style.BLACK,
                markersize=4.5,
                label="stored, OpenDSS",
            )
        storage = study.planning.storage
        for limit in (storage.soc_min, storage.soc_max):
            other.axhline(100 * limit, color=style.LIMIT, linestyle=(0, (4, 2)), linewidth=1.0)
        other.set(ylim=(0, 100), ylabel="%")
        other.grid(visible=False)
        style.hour_axis(panel, study.profiles.times)
        if panel is axes[0]:
            handles = [*panel.get_legend_handles_labels()[0], *other.get_legend_handles_labels()[0]]
            figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def voltage_at_the_unit(study: PlanningStudyResult) -> Figure | None:
    """The largest unit's bus over the typical day, scheme by scheme: program as lines, OpenDSS as dots."""
    found = _largest_unit(study)
    bus = found[2].bus if found else _weakest_bus(study)
    if bus is None:
        return None
    figure = Figure(figsize=(style.PAGE_INCHES, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, scheme in study.schemes.items():
        operation, colour = scheme.result.typical, SCHEME_COLOURS.get(name, style.BLACK)
        values = operation.v_pu[:, operation.buses.index(bus)]
        dashes = (0, (4, 2)) if name == "C" else "-"  # B and C often coincide
        style.stairs(axes, values, color=colour, label=f"scheme {name}", linestyle=dashes)
        replay = scheme.replays.get(("typical", "locked"))
        if replay is not None:
            nodes = [n for n, node in enumerate(replay.operation.nodes) if bus_of(node) == bus]
            axes.plot(np.arange(len(values)) + 0.5, replay.operation.v_pu[:, nodes], ".", color=colour, markersize=4.0)
    for limit in (study.planning.typical.v_min_pu, study.planning.typical.v_max_pu):
        axes.axhline(limit, color=style.LIMIT, linestyle=(0, (1, 1.5)), linewidth=1.4, label="limits")
    axes.set(ylabel=f"voltage at bus {bus}, pu")
    style.hour_axis(axes, study.profiles.times)
    style.legend_below(figure, [axes])
    return figure


def costs(study: PlanningStudyResult) -> Figure | None:
    """Cost bars: storage, losses, revenue; the paper's beside."""
    if not study.schemes:
        return None
    figure = Figure(figsize=(style.PAGE_INCHES, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1, 1]})
    ours = {
        n: (
            s.result.capex_cny_per_year + s.result.om_cny_per_year,
            s.result.loss_cny_per_year,
            s.result.pvhc_revenue_cny if n == "C" else 0.0,
        )
        for n, s in study.schemes.items()
    }
    _stacked(left, ours, "Ours")
    theirs = {}
    for n in study.schemes:
        paper = study.paper.scheme(n) if study.paper else None
        if paper is not None:
            theirs[n] = (paper.storage_cny or 0.0, paper.loss_cny or 0.0, paper.pvhc_revenue_cny or 0.0)
    if theirs:
        _stacked(right, theirs, "The paper's")
    else:
        right.set_visible(False)
    style.legend_below(figure, [left, right])
    return figure


def hosting_capacity(study: PlanningStudyResult) -> Figure | None:
    """Hosting capacity per scheme: optimizer, simulation of the same plan, paper."""
    if not study.schemes:
        return None
    figure = Figure(figsize=(style.PAGE_INCHES, 0.8 + 0.8 * len(study.schemes)), layout="constrained")
    axes = figure.subplots()
    for row, (name, scheme) in enumerate(study.schemes.items()):
        at, mw = -float(row), scheme.result.pvhc_mw
        axes.barh(at, mw, height=0.42, color=style.SKY, label="optimizer")
        axes.text(0, at, f"  {mw:.2f}", va="center", fontsize=8.5)
        marks = [
            ("as_planned", "D", style.BLUE, 0.3, "simulation, same shares"),
            ("uniform", "v", style.GREEN, 0.3, "simulation, even shares"),
        ]
        for sharing, marker, colour, shift, label in marks:
            simulated = scheme.simulations.get(sharing)  # type: ignore[call-overload]
            if simulated is not None:
                axes.plot(simulated.hc_kw / 1e3, at + shift, marker, color=colour, markersize=6, label=label)
                _value(axes, simulated.hc_kw / 1e3, at + shift)
        paper = study.paper.scheme(name) if study.paper else None
        if paper is not None and paper.pvhc_mw is not None:
            axes.plot(paper.pvhc_mw, at - 0.3, "o", color=style.VERMILION, markersize=6.5, label="paper")
            _value(axes, paper.pvhc_mw, at - 0.3)
    axes.set_yticks([-float(r) for r in range(len(study.schemes))], [f"scheme {n}" for n in study.schemes])
    axes.set_xlabel("MW of PV beside the existing")
    axes.set_xlim(0, axes.get_xlim()[1] * 1.08)
    axes.grid(axis="y", visible=False)
    style.legend_below(figure, [axes], columns=4)
    return figure


def envelopes(study: PlanningStudyResult) -> Figure | None:
    """Lowest and highest voltage of all buses per scheme and scenario: program, OpenDSS, limits."""
    if not study.schemes:
        return None
    figure, axes = style.panels(2 * len(study.schemes), height=2.6, columns=2, sharex=True)
    panels = iter(axes)
    for name, scheme in study.schemes.items():
        for operation in (scheme.result.typical, scheme.result.pvhc):
            _envelope(next(panels), study, name, scheme, operation)
    for panel in axes[::2]:
        panel.set_ylabel("pu")
    style.legend_below(figure, axes, columns=4)
    return figure


def sweep_figure(table: pd.DataFrame) -> Figure | None:
    """Hosting capacity and storage of scheme C against the revenue coefficient."""
    if table.empty:
        return None
    figure, (left, right) = style.panels(2, height=3.0, columns=2)
    left.plot(table["revenue_cny_per_mw"], table["pvhc_mw"], "o-", color=style.BLUE)
    left.set(title="Hosting capacity", xlabel="revenue, CNY per MW and year", ylabel="MW")
    right.plot(table["revenue_cny_per_mw"], table["energy_kwh"], "o-", color=style.GREEN)
    right.set(title="Storage planned", xlabel="revenue, CNY per MW and year", ylabel="kWh", ylim=(0, None))
    return figure


PICTURES = (
    Picture(
        "01_feeder",
        "Feeder, areas and units",
        "Candidate buses by area; existing PV, charging station and the units of the plan.",
        feeder_map,
    ),
    Picture("02_curves", "Curves", "Means over each step; load at nominal voltage.", curves),
    Picture(
        "03_unit",
        "Power and stored energy of the largest unit",
        "Bars: power, above zero it discharges. Line: stored energy; dots: what OpenDSS delivered.",
        unit_over_the_day,
    ),
    Picture(
        "04_voltage",
        "Voltage at the largest unit's bus, typical day",
        "Steps: the program. Dots: OpenDSS, every phase.",
        voltage_at_the_unit,
    ),
    Picture("05_costs", "Costs", "10,000 CNY per year; the revenue counts against them.", costs),
    Picture(
        "06_hosting_capacity",
        "Hosting capacity",
        "Bar: the optimizer's claim. Marks: iterative simulation of the same plan in OpenDSS with the "
        "same limits, in the optimizer's shares and in even ones; the paper.",
        hosting_capacity,
    ),
    Picture(
        "07_envelopes",
        "Voltage envelopes",
        "Grey: what the program claims. Lines: lowest and highest of all nodes in OpenDSS.",
        envelopes,
    ),
)


def draw_planning(study: PlanningStudyResult) -> dict[str, Figure]:
    """Every figure that the study has the parts for, by key, in order."""
    return draw_pictures(PICTURES, study)


def planned(study: PlanningStudyResult) -> tuple[Scheme, tuple[PlannedUnit, ...]] | None:
    """The last scheme with a plan."""
    for name in reversed(list(study.schemes)):
        if study.schemes[name].result.plan:
            return name, study.schemes[name].result.plan
    return None


def _largest_unit(study: PlanningStudyResult) -> tuple[Scheme, SchemeResult, PlannedUnit] | None:
    shown = planned(study)
    if shown is None:
        return None
    return shown[0], study.schemes[shown[0]], max(shown[1], key=lambda unit: unit.energy_kwh)


def _weakest_bus(study: PlanningStudyResult) -> str | None:
    for scheme in study.schemes.values():
        operation = scheme.result.typical
        return operation.buses[int(np.ptp(operation.v_pu, axis=0).argmax())]
    return None


def _stacked(axes: Axes, costs: dict[Scheme, tuple[float, float, float]], title: str) -> None:
    at = np.arange(len(costs))
    storage, losses, revenue = (np.array(column) / 1e4 for column in zip(*costs.values(), strict=True))
    axes.bar(at, storage, color=style.BLUE, width=0.55, label="storage")
    axes.bar(at, losses, bottom=storage, color=style.ORANGE, width=0.55, label="losses")
    axes.bar(at, -revenue, color=style.GREEN, width=0.55, label="PVHC revenue")
    for x, total in zip(at, storage + losses - revenue, strict=True):
        top = storage[x] + losses[x]
        axes.annotate(f"{total:.2f}", (x, top), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=8.5)
    axes.set_xticks(at, [f"scheme {name}" for name in costs])
    axes.set(title=title, ylabel="10,000 CNY per year")
    axes.axhline(0.0, color=style.GREY, linewidth=0.8)
    axes.margins(y=0.12)


def _envelope(
    axes: Axes, study: PlanningStudyResult, name: Scheme, scheme: SchemeResult, operation: ScenarioOperation
) -> None:
    low, high = operation.v_pu.min(axis=1), operation.v_pu.max(axis=1)
    axes.fill_between(
        np.arange(len(low) + 1),
        np.append(low, low[-1]),
        np.append(high, high[-1]),
        step="post",
        color=style.PALE,
        alpha=0.6,
        linewidth=0,
        label="program, lowest to highest",
    )
    for (scenario, controls), replay in scheme.replays.items():
        if scenario == operation.scenario:
            label, colour = style.REPLAYS[controls]
            seen = replay.operation.v_pu
            style.stairs(axes, np.fmax.reduce(seen, axis=1), color=colour, label=label)
            style.stairs(axes, np.fmin.reduce(seen, axis=1), color=colour)
    limits = study.planning.limits(operation.scenario)
    for limit in (limits.v_min_pu, limits.v_max_pu):
        axes.axhline(limit, color=style.LIMIT, linestyle=(0, (4, 2)), linewidth=1.1, label="limits")
    axes.set_title(f"Scheme {name}, {_words(operation.scenario)}")
    style.hour_axis(axes, study.profiles.times)


def _note(
    axes: Axes, at: tuple[float, float], words: str, colour: str, shift: tuple[int, int], *, bold: bool = False
) -> None:
    axes.annotate(
        words,
        at,
        xytext=shift,
        textcoords="offset points",
        fontsize=8.5,
        color=colour,
        zorder=8,
        fontweight="bold" if bold else "normal",
        bbox={"boxstyle": "round,pad=0.12", "fc": "white", "ec": "none", "alpha": 0.8},
    )


def _value(axes: Axes, mw: float, at: float) -> None:
    axes.annotate(f"{mw:.2f}", (mw, at), xytext=(7, 0), textcoords="offset points", va="center", fontsize=8)


def _words(scenario: ScenarioName) -> str:
    return "typical day" if scenario == "typical" else "PVHC scenario"
