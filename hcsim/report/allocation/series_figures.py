"""Figures over the day, a panel per case: profiles, substation power, state of charge, voltages."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hcsim.replay.result import ReplayResult
from hcsim.replay.verdict import phase_labels
from hcsim.report import style
from hcsim.results.allocation import CaseResult, StudyResult
from hcsim.results.allocation_summary import load_kw
from hcsim.results.words import PROGRAMS
from optim.data.limits import Limits
from optim.data.node import phase_of


def profiles(study: StudyResult) -> Figure:
    """Load of the feeder in kW, and kW of PV per kW of inverter."""
    figure, (left, right) = style.panels(2, height=2.6)
    load = load_kw(study.network, study.profiles)
    left.stairs(load, np.arange(len(load) + 1), fill=True, color=style.BLUE, alpha=0.25)
    style.stairs(left, load, color=style.BLUE, linewidth=1.8)
    left.set(title="Load of the feeder at nominal voltage", ylabel="kW", ylim=(0, None))
    pv = study.profiles.pv_pu
    right.stairs(pv, np.arange(len(pv) + 1), fill=True, color=style.ORANGE, alpha=0.3)
    style.stairs(right, pv, color=style.ORANGE, linewidth=1.8)
    right.set(title="PV output", ylabel="kW per kW of inverter", ylim=(0, 1))
    for axes in (left, right):
        style.hour_axis(axes, study.profiles.times)
    return figure


def substation(study: StudyResult) -> Figure | None:
    """Active power from the source: total above, per phase below; claim against OpenDSS."""
    if not study.cases:
        return None
    count = len(study.cases)
    figure = Figure(figsize=(style.PAGE_INCHES, 4.9), layout="constrained")
    grid = figure.subplots(2, count, squeeze=False, sharey="row")
    for column, (name, case) in enumerate(study.cases.items()):
        total, phases = grid[0, column], grid[1, column]
        _total_power(total, case)
        _phase_power(phases, case, study.limits.substation_min_kw)
        total.set_title(style.case_title(study, name, _broken(PROGRAMS)))
        for axes in (total, phases):
            style.hour_axis(axes, study.profiles.times, label=axes is phases)
    grid[0, 0].set_ylabel("total, kW")
    grid[1, 0].set_ylabel("per phase, kW")
    style.legend_below(figure, list(grid.ravel()), columns=4)
    return figure


def state_of_charge(study: StudyResult) -> Figure | None:
    """Stored energy of every unit, as commanded (lines) and as OpenDSS delivered it (dots)."""
    shown = {name: case for name, case in study.cases.items() if case.schedule.bess}
    if not shown:
        return None
    figure, axes = style.panels(len(shown), height=3.6, columns=3)
    for panel, (name, case) in zip(axes, shown.items(), strict=True):
        _soc_panel(panel, case)
        panel.set_title(style.case_title(study, name, _broken(PROGRAMS)))
        style.hour_axis(panel, study.profiles.times)
    for panel in axes[::3]:
        panel.set_ylabel("stored energy, % of capacity")
    return figure


def voltages(study: StudyResult) -> Figure | None:
    """Highest and lowest judged voltage of all nodes, hour by hour: claim, taps locked, taps free, limits."""
    if not study.cases:
        return None
    figure, axes = style.panels(len(study.cases), height=3.5, sharey=True)
    for panel, (name, case) in zip(axes, study.cases.items(), strict=True):
        claim = case.schedule.predicted_v_pu
        if claim is not None:
            panel.fill_between(
                *_band(claim), color=style.PALE, alpha=0.6, linewidth=0, step="post", label="claim, lowest to highest"
            )
        for replay in case.replays.values():
            _voltage_range(panel, replay, study.limits)
        style.voltage_limits(panel, study.limits, study.network.kv_base[study.network.v_judged])
        panel.set_title(style.case_title(study, name, _broken(PROGRAMS)))
        style.hour_axis(panel, study.profiles.times)
    axes[0].set_ylabel("voltage, pu")
    style.legend_below(figure, axes, columns=3 if study.limits.bands else 4)
    return figure


def _voltage_range(panel: Axes, replay: ReplayResult, limits: Limits) -> None:
    """Lowest and highest of all nodes; of each voltage level that has limits of its own, dashed as those are."""
    label, colour = style.REPLAYS[replay.controls]
    seen = replay.operation
    levels = [("", np.ones(len(seen.nodes), dtype=bool))] if seen.kv_base is None else limits.levels(seen.kv_base)
    for k, (words, nodes) in enumerate(levels):
        pattern: Any = (0, style.DASHES[k % len(style.DASHES)]) if words else "-"
        name = f"{label}, {words}" if words else f"{label}, lowest and highest"
        style.stairs(panel, np.fmax.reduce(seen.v_pu[:, nodes], axis=1), color=colour, label=name, linestyle=pattern)
        style.stairs(panel, np.fmin.reduce(seen.v_pu[:, nodes], axis=1), color=colour, linestyle=pattern)


def _total_power(axes: Axes, case: CaseResult) -> None:
    for controls, replay in case.replays.items():
        label, colour = style.REPLAYS[controls]
        style.stairs(axes, replay.operation.substation_kw.sum(axis=1), color=colour, label=label)
    claim = case.schedule.predicted_substation_kw
    if claim is not None:
        style.stairs(axes, claim.sum(axis=1), color=style.CLAIM, linestyle=(0, (3, 2)), label="claim", linewidth=1.2)
    axes.axhline(0.0, color=style.GREY, linewidth=0.8)


def _phase_power(axes: Axes, case: CaseResult, limit_kw: float | None) -> None:
    """Phases as OpenDSS has them, with free taps where they were replayed; else as claimed."""
    replay = case.replays.get("free") or case.replays.get("locked")
    names, power, of = _phase_source(case, replay)
    for i, (name, label) in enumerate(zip(names, phase_labels(names), strict=True)):
        colour = style.PHASES.get(phase_of(name), style.GREY)
        line = ("-", (0, (4, 1)), (0, (1, 1)))[min([phase_of(n) for n in names[:i]].count(phase_of(name)), 2)]
        style.stairs(axes, power[:, i], color=colour, linestyle=line, linewidth=1.3, label=f"phase {label}, {of}")
    if limit_kw is not None:
        axes.axhline(limit_kw, color=style.LIMIT, linestyle=(0, (4, 2)), linewidth=1.2, label="least allowed")


def _phase_source(case: CaseResult, replay: ReplayResult | None) -> tuple[tuple[str, ...], np.ndarray, str]:
    if replay is not None:
        return replay.operation.substation_phases, replay.operation.substation_kw, f"taps {replay.controls}"
    claim = case.schedule.predicted_substation_kw
    return case.schedule.substation_phases, np.empty((0, 0)) if claim is None else claim, "claim"


def _soc_panel(axes: Axes, case: CaseResult) -> None:
    schedule = case.schedule
    replay = case.replays.get("free") or case.replays.get("locked")
    for u, unit in enumerate(schedule.bess):
        colour = style.UNITS[u % len(style.UNITS)]
        share = 100.0 / unit.energy_kwh
        axes.plot(schedule.soc_kwh[:, u] * share, color=colour, label=f"bus {unit.bus}")
        if replay is not None:
            rows = replay.soc[replay.soc["unit"] == unit.name]
            axes.plot(rows["step"] + 1, rows["soc_delivered_kwh"] * share, ".", color=colour, markersize=4.5)
    for limit in {limit for b in schedule.bess for limit in (100 * b.soc_min, 100 * b.soc_max)}:
        axes.axhline(limit, color=style.LIMIT, linestyle=(0, (4, 2)), linewidth=1.2)
    axes.set_ylim(0, 100)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.2), handlelength=1.4, columnspacing=1.0)


def _band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges, lowest and highest with the last step held, for a filled step band."""
    low, high = values.min(axis=1), values.max(axis=1)
    return np.arange(len(values) + 1), np.append(low, low[-1]), np.append(high, high[-1])


def _broken(names: dict[str, str]) -> dict[str, str]:
    return {case: name.replace(", no", ",\nno") for case, name in names.items()}
