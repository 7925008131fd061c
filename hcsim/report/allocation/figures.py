"""The figures in the paper's order, as PNG and SVG; and those of the feeder and of the comparison."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hcsim.replay.verdict import match_voltages, verdict, voltage_error
from hcsim.report import style
from hcsim.report.allocation import closed_loop as loop
from hcsim.report.allocation import series_figures as series
from hcsim.report.allocation.tables import simulation_beside
from hcsim.report.pictures import Picture, Saved, draw_feeder, draw_pictures, map_inches, save_figures
from hcsim.results.allocation import CaseResult, StudyResult
from hcsim.results.allocation_summary import paper_kw
from hcsim.results.words import PROGRAMS
from optim.data.node import bus_of
from optim.data.schedule import Schedule

UNUSED_KW = 0.05
"""A site with less stands on the map as a candidate that is not used."""


def feeder_map(study: StudyResult) -> Figure | None:
    """One map per case: PV by kW, chosen batteries, source and regulators."""
    if len(study.network.coordinates) < 2:
        return None
    cases = dict(study.cases)
    height = 0.5 + map_inches(study.network, style.PAGE_INCHES / 2, (1.8, 5.5))
    figure, axes = style.panels(max(1, len(cases)), height=height, columns=2)
    largest = max((kw for c in cases.values() for kw in _pv_by_bus(c.schedule).values()), default=1.0)
    for panel, name in zip(axes, cases or ["feeder"], strict=True):
        draw_feeder(panel, study.network)
        if name in cases:
            _draw_devices(panel, study, cases[name].schedule, largest)
            panel.set_title(_map_title(study, name))
    figure.legend(handles=_map_legend(largest), loc="outside lower center", ncols=6)
    return figure


def scatter(study: StudyResult) -> Figure | None:
    """Claimed against replayed voltage, a point per node and hour."""
    shown = [n for n, c in study.cases.items() if c.replays and c.schedule.predicted_v_pu is not None]
    if not shown:
        return None
    figure, axes = style.panels(len(shown), height=3.4, sharex=True, sharey=True)
    for panel, name in zip(axes, shown, strict=True):
        case = study.cases[name]
        words = []
        for controls, replay in case.replays.items():
            label, colour = style.REPLAYS[controls]
            table = match_voltages(case.schedule, replay)
            panel.plot(
                table["replayed_pu"],
                table["predicted_pu"],
                ".",
                color=colour,
                markersize=3.0,
                alpha=0.45,
                markeredgewidth=0,
                rasterized=True,
                label=label,
            )
            error = voltage_error(case.schedule, replay)
            if error:
                words.append(f"{controls}: {error.max_pu:+.4f} pu at {error.node}, {error.time}")
        panel.axline((1.0, 1.0), slope=1.0, color=style.BLACK, linewidth=0.8)
        panel.set_title(style.case_title(study, name, {n: w.replace(", no", ",\nno") for n, w in PROGRAMS.items()}))
        panel.set_xlabel("OpenDSS, pu\n" + "\n".join(words), fontsize=8.5)
        panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.yaxis.set_major_locator(MaxNLocator(4))
    ends = [f(axis.get_xlim() + axis.get_ylim()) for axis, f in ((axes[0], min), (axes[0], max))]
    axes[0].set(xlim=ends, ylim=ends, ylabel="claim, pu")
    handles = [
        Line2D([], [], color=colour, marker="o", linestyle="", markersize=5, label=label)
        for label, colour in style.REPLAYS.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def capacities(study: StudyResult) -> Figure | None:
    """Claim with bound, simulation, certificate and paper per case, with the verdict in words."""
    if not study.cases:
        return None
    figure = Figure(figsize=(style.PAGE_INCHES, 0.6 + 0.95 * len(study.cases)), layout="constrained")
    axes = figure.subplots()
    for row, (name, case) in enumerate(study.cases.items()):
        _bars(axes, study, name, -float(row))
        _verdict_words(axes, case, -float(row))
    axes.set_yticks(
        [-float(r) for r in range(len(study.cases))], [PROGRAMS.get(n, n).replace(", ", ",\n") for n in study.cases]
    )
    axes.set_xlabel("PV inverter capacity, kW")
    axes.set_xlim(0, axes.get_xlim()[1] * 1.1)
    axes.grid(axis="y", visible=False)
    style.legend_below(figure, [axes], columns=5)
    return figure


PICTURES = (
    Picture(
        "01_feeder_map",
        "Feeder, PV sites and chosen batteries",
        "Circles: PV capacity summed over phases, area in proportion to kW save for the smallest. Thick "
        "lines carry three phases, thin ones fewer.",
        feeder_map,
    ),
    Picture("02_profiles", "Load and PV curves", "Means over each step.", series.profiles),
    Picture(
        "03_substation_power",
        "Power from the substation",
        "Above the sum of phases, claim against OpenDSS; below each phase. Below the dashed line power "
        "would flow back into the grid.",
        series.substation,
    ),
    Picture(
        "04_state_of_charge",
        "State of charge",
        "Lines as commanded, dots as delivered in OpenDSS; dashed the allowed range.",
        series.state_of_charge,
    ),
    Picture(
        "05_voltages",
        "Voltage envelopes",
        "Lowest and highest voltage of all nodes in each step. Grey: what the program claims. Lines: "
        "what OpenDSS finds.",
        series.voltages,
    ),
    Picture(
        "06_claim_against_replay",
        "Claimed against simulated voltage",
        "A point per node and step; on the line both agree. Under each panel the largest difference, "
        "claim minus OpenDSS.",
        scatter,
    ),
    Picture(
        "07_hosting_capacity",
        "Hosting capacity",
        "Bar: claim of the program, with its proven bound. Diamond: iterative simulation with OpenDSS. "
        "Star: the largest capacity that OpenDSS has passed, controls free. Circle: the paper. At the right "
        "what the replay says.",
        capacities,
    ),
    Picture(
        "08_closed_loop",
        "The closed loop",
        "Above: what each round's program claims and what is certified by then. Below: by how much the round's "
        "worst new voltage violation is beyond its limit.",
        loop.closed_loop,
    ),
)


def draw_all(study: StudyResult) -> dict[str, Figure]:
    """Every figure that the study has the parts for, by key, in order."""
    return draw_pictures(PICTURES, study)


def write_figures(study: StudyResult, folder: Path) -> dict[str, Saved]:
    """Every figure as KEY.png, KEY.svg and KEY.csv; returns them by key, for the page.

    Raises OutputError where the folder cannot be written.
    """
    return save_figures(draw_all(study), folder)


def _pv_by_bus(schedule: Schedule) -> dict[str, float]:
    by_bus: dict[str, float] = {}
    for node, kw in zip(schedule.pv_nodes, schedule.pv_kw, strict=True):
        bus = bus_of(node)
        by_bus[bus] = by_bus.get(bus, 0.0) + float(kw)
    return by_bus


def _draw_devices(axes: Axes, study: StudyResult, schedule: Schedule, largest: float) -> None:
    places = study.network.coordinates
    sites = {bus: kw for bus, kw in _pv_by_bus(schedule).items() if bus in places}
    for used in (False, True):
        shown = {bus: kw for bus, kw in sites.items() if (kw > UNUSED_KW) == used}
        xy = np.array([places[bus] for bus in shown]).reshape(-1, 2)
        areas = [_area(kw, largest) if used else 22.0 for kw in shown.values()]
        axes.scatter(
            xy[:, 0],
            xy[:, 1],
            s=areas,
            facecolor=_tint(style.ORANGE) if used else "white",
            edgecolor=style.ORANGE,
            linewidth=1.0,
            zorder=2,
        )
    alike = len({unit.energy_kwh for unit in schedule.bess}) <= 1
    for unit in schedule.bess:
        if unit.bus not in places:
            continue
        x, y = places[unit.bus]
        axes.plot(
            x, y, marker="s", color=style.BLUE, markersize=6.5, markeredgecolor="white", markeredgewidth=0.8, zorder=7
        )
        axes.annotate(
            unit.bus if alike else f"{unit.bus}: {unit.energy_kwh:,.0f} kWh",
            (x, y),
            xytext=(6, 5),
            textcoords="offset points",
            fontsize=9,
            color=style.BLUE,
            fontweight="bold",
            zorder=8,
            bbox={"boxstyle": "round,pad=0.12", "fc": "white", "ec": "none", "alpha": 0.8},
        )


def _map_title(study: StudyResult, name: str) -> str:
    schedule = study.cases[name].schedule
    title = f"{PROGRAMS.get(name, name)}: {schedule.hc_kw:,.1f} kW of PV"
    energies = {unit.energy_kwh for unit in schedule.bess}
    if len(energies) == 1:
        title += f"\n{len(schedule.bess)} x {energies.pop():,.0f} kWh"
    return title


def _tint(colour: str) -> tuple[float, float, float, float]:
    return to_rgba(colour, 0.55)


def _map_legend(largest: float) -> list[Line2D]:
    def spot(label: str, **kw: Any) -> Line2D:
        return Line2D([], [], linestyle="", label=label, **kw)

    sizes = [_round(largest), _round(largest / 4)]
    return [
        spot("source", marker="*", color=style.BLACK, markersize=12),
        spot("regulator", marker="^", color=style.PURPLE, markersize=7),
        spot("battery, with its bus", marker="s", color=style.BLUE, markersize=7),
        spot("PV site, unused", marker="o", markerfacecolor="white", markeredgecolor=style.ORANGE, markersize=4.7),
        *(
            spot(
                f"PV, {kw:,g} kW",
                marker="o",
                color=style.ORANGE,
                alpha=0.55,
                markersize=float(np.sqrt(_area(kw, largest))),
            )
            for kw in sizes
        ),
    ]


def _area(kw: float, largest: float) -> float:
    """Marker area in points squared, in proportion to kW, but never too small to be seen."""
    return max(420.0 * kw / largest, 22.0)


def _round(kw: float) -> float:
    """One or two leading digits, for a legend."""
    digits = 10.0 ** np.floor(np.log10(max(kw, 1e-9)))
    return float(np.floor(kw / digits) * digits)


def _bars(axes: Axes, study: StudyResult, name: str, at: float) -> None:
    schedule = study.cases[name].schedule
    axes.barh(at, schedule.hc_kw, height=0.42, color=style.SKY, label="claim")
    axes.text(0, at, f"  {schedule.hc_kw:,.1f}", va="center", fontsize=8.5, color=style.BLACK)
    if schedule.solve is not None:
        axes.plot([schedule.hc_kw, schedule.solve.bound], [at, at], color=style.BLACK, linewidth=1.2)
        axes.plot(
            schedule.solve.bound,
            at,
            "|",
            color=style.BLACK,
            markersize=15,
            markeredgewidth=1.8,
            label="bound of the linear program",
        )
    baseline = study.baselines.get(simulation_beside(name, study.with_schedule_case))
    if baseline and not baseline.undefined:
        axes.plot(baseline.hc_kw, at + 0.32, "D", color=style.BLUE, markersize=6, label="simulation")
        _beside(axes, baseline.hc_kw, at + 0.32)
    certificate = study.cases[name].certificate
    if certificate is not None:
        word = certificate.word.split(" (")[0]
        filled = word == "certified"
        axes.plot(
            certificate.certified_kw,
            at,
            "*",
            color=style.GREEN if filled else "white",
            markersize=12,
            markeredgecolor="white" if filled else style.GREEN,
            markeredgewidth=0.7 if filled else 1.2,
            zorder=5,
            label=word,
        )
    paper = paper_kw(study, name)
    if paper:
        axes.plot(paper, at - 0.32, "o", color=style.VERMILION, markersize=6.5, label="paper")
        _beside(axes, paper, at - 0.32)


def _beside(axes: Axes, kw: float, at: float) -> None:
    axes.annotate(f"{kw:,.1f}", (kw, at), xytext=(7, 0), textcoords="offset points", va="center", fontsize=8)


def _verdict_words(axes: Axes, case: CaseResult, at: float) -> None:
    """What each replay says, at the right of the bars: the upper half locked, the lower half free."""
    colours = {"holds": "#00674D", "refuted": "#A63F00", "not judged": style.GREY}
    for controls, shift in (("locked", 0.03), ("free", -0.03)):
        replay = case.replays.get(controls)
        said = verdict(replay) if replay else None
        words = said.words.split(" (")[0] if said else "not replayed"  # what was there before: see the page
        axes.text(
            1.01,
            at + shift,
            _wrapped(f"taps {controls}: {words}"),
            transform=axes.get_yaxis_transform(),
            fontsize=8.5,
            linespacing=1.05,
            va="bottom" if shift > 0 else "top",
            color=colours[said.kind] if said else style.GREY,
        )
    if case.certificate is not None:
        axes.text(
            1.01,
            at - 0.34,
            f"{case.certificate.word.split(' (')[0]}, controls free: {case.certificate.certified_kw:,.1f} kW",
            transform=axes.get_yaxis_transform(),
            fontsize=8.5,
            va="center",
            weight="bold",
            color=colours["holds"],
        )


def _wrapped(words: str) -> str:
    lines = textwrap.wrap(words, width=52, subsequent_indent="    ")
    return "\n".join([*lines[:2], *(["    ..."] if len(lines) > 2 else [])])
