"""A dispatch's values as a `Schedule` on a feeder, with a sentence for everything that was understood or assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hcsim.errors import ConfigError
from hcsim.schedules.dispatch.clock import Clock
from hcsim.schedules.dispatch.grid import Grid
from hcsim.schedules.dispatch.layout import Values
from hcsim.schedules.dispatch.signs import Sign, battery_sign, source_sign
from hcsim.schedules.dispatch.understood import Dispatch, hour_of_year
from hcsim.schedules.dispatch.units import Unit
from hcsim.schedules.dispatch.words import Names
from optim.data.network import Network
from optim.data.schedule import BessUnit, Schedule

Floats = NDArray[np.float64]
IDLE_KW = 1e-6
ROUNDING = 0.02
"""A size that the dispatch itself tells is rounded up by no more than this where it binds."""


@dataclass
class _Device:
    unit: Unit
    nodes: tuple[str, ...]
    p_kw: Floats
    q_kvar: Floats
    charge_kw: Floats
    discharge_kw: Floats


@dataclass
class _Kept:
    """What is noted beside the powers while devices are read."""

    said: list[str]
    soc_kwh: dict[str, Floats]
    available_kw: dict[str, Floats]
    both_kw: dict[str, Floats]


def build(
    values: Values,
    units: Mapping[str, Unit],
    names: Names,
    *,
    case: str,
    sign: Sign | None = None,
    ceilings: bool = False,
) -> Dispatch:
    """(T, …) arrays of every device, in the order of their names. `ceilings`: powers are what a device may export, so
    that a battery is a source without energy.

    Raises ConfigError for a battery without energy, power whose sign cannot be told, a device at a bus without the
    phase asked for.
    """
    said: list[str] = list(values.said)
    if len({stamp[:10] for stamp in values.clock.stamps}) == 1:
        said.append(f"The day is {values.clock.stamps[0][:10]}.")
    rows, steps = values.rows, len(values.clock)
    volts = rows[rows["quantity"] == "v_pu"]
    rows = rows[rows["quantity"] != "v_pu"]
    if rows.empty:
        raise ConfigError("The dispatch has no power of any device.", 'Say which column it is: --map "p_kw=COLUMN".')
    made: list[_Device] = []
    kept = _Kept(said, {}, {}, {})
    loads: dict[str, tuple[Floats, Floats | None]] = {}
    for label, mine in rows.groupby("device", sort=True):
        grid = Grid(str(label), mine, steps)
        unit = _unit_of(grid, units, names, said)
        kind = unit.kind or _kind_of(grid)
        if kind == "load":
            for element, share in _loads_meant(unit, units).items():
                if element in loads:
                    raise ConfigError(f"{label}: two series speak of {element}.", "Keep one.")
                q = share * grid.total("q") if grid.has("q") else None
                loads[element] = share * np.abs(grid.total("p")), q
            continue
        if ceilings and kind == "bess":
            kind = "generator"
        unit = replace(unit, kind=kind)
        place = _nodes_of(unit, grid, names.network)
        if kind == "bess":
            device = _battery(grid, unit, place, values.clock.step_h, sign, kept)
        else:
            device = _source(grid, unit, place, kept)
        made.append(device)
    _count(made, said)
    schedule = _schedule(made, values, case, said, kept.soc_kwh)
    return Dispatch(
        schedule,
        tuple(d.unit for d in made),
        tuple(dict.fromkeys(said)),
        kept.soc_kwh,
        kept.available_kw,
        {name: p for name, (p, _) in loads.items()},
        {name: q for name, (_, q) in loads.items() if q is not None},
        _voltages(volts, names),
        kept.both_kw,
        _columns(made),
        values.clock.start_h,
        hour_of_year(values.clock.stamps),
    )


def _loads_meant(unit: Unit, units: Mapping[str, Unit]) -> dict[str, float]:
    """Load of the feeder -> its share of a series: itself, or what stands at the bus, by nominal kW."""
    if unit.element:
        return {unit.element: 1.0}
    there = {
        u.element: max(u.kw, 0.0)
        for u in units.values()
        if u.kind == "load"
        and u.element
        and u.bus == unit.bus
        and (not unit.phases or set(u.phases) <= set(unit.phases))
    }
    total = sum(there.values())
    if not total > 0:
        raise ConfigError(f"{unit.name}: no load of the feeder has that name or stands at that bus.")
    return {name: kw / total for name, kw in there.items()}


def _columns(made: list[_Device]) -> dict[str, tuple[int, ...]]:
    found, at = {}, 0
    for device in (d for d in made if d.unit.kind != "bess"):
        found[device.unit.name] = tuple(range(at, at + len(device.nodes)))
        at += len(device.nodes)
    return found


def _unit_of(grid: Grid, units: Mapping[str, Unit], names: Names, said: list[str]) -> Unit:
    """From the units table or the feeder; else what the dispatch itself tells of a new device."""
    found = names.device(grid.label)
    if found and found in units:
        unit = units[found]
    else:
        place = names.place(grid.bus or grid.label)
        if place is None:
            raise ConfigError(
                f"{grid.label}: at which bus does it stand?", "Give a units table (--units) or a column bus."
            )
        unit = Unit(grid.label, place[0], place[1], grid.kind)
        sizes = {"kw": grid.total("size").max(), "kwh": grid.total("energy").max()}
        unit = replace(
            unit,
            kw=float(sizes["kw"]) if sizes["kw"] > 0 else np.nan,
            kwh=float(sizes["kwh"]) if sizes["kwh"] > 0 else np.nan,
        )
    if not unit.bus:
        place = names.place(grid.bus) if grid.bus else None
        if place is None:
            raise ConfigError(f"{unit.name}: the units table does not say its bus.")
        unit = replace(unit, bus=place[0], phases=unit.phases or place[1])
    elif (place := names.place(unit.bus)) is None:
        raise ConfigError(f"{unit.name}: bus {unit.bus!r} is not in {names.network.name}.")
    else:
        unit = replace(unit, bus=place[0], phases=unit.phases or place[1])
    if gaps := grid.gaps():
        said.append(f"{grid.label}: {gaps[0][0]} has no value in step {gaps[0][1]} and perhaps later: read as 0.")
    said += unit.said
    return unit


def _kind_of(grid: Grid) -> str:
    if grid.kind:
        return grid.kind
    if any(grid.has(q) for q in ("charge", "discharge", "soc", "energy")):
        return "bess"
    if grid.has("available") or grid.has("curtailed"):
        return "pv"
    p = grid.total("p")
    return "bess" if p.min() < -IDLE_KW and p.max() > IDLE_KW else "pv"


def _nodes_of(unit: Unit, grid: Grid, network: Network) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Node-phases at which the device stands."""
    has = [int(network.nodes[n].rsplit(".", 1)[1]) for n in network.nodes_of(unit.bus)]
    has = [p for p in has if p in (1, 2, 3)]
    wanted = grid.phases or unit.phases or tuple(has)
    if missing := [p for p in wanted if p not in has]:
        there, asked = ", ".join(map(str, has)) or "none", ", ".join(map(str, missing))
        raise ConfigError(f"{unit.name}: bus {unit.bus} has phases {there}, not {asked}.")
    return tuple(f"{unit.bus}.{p}" for p in wanted), tuple(wanted)


def _battery(
    grid: Grid,
    unit: Unit,
    place: tuple[tuple[str, ...], tuple[int, ...]],
    step_h: float,
    sign: Sign | None,
    kept: _Kept,
) -> _Device:
    (nodes, phases), said, soc_given, both = place, kept.said, kept.soc_kwh, kept.both_kw
    soc = grid.total("soc") if grid.has("soc") else None
    if soc is not None and soc.max() <= 1.0 + 1e-9 and unit.kwh > 1.5:
        soc = soc * unit.kwh
        said.append(f"{unit.name}: SoC is read as a share of {unit.kwh:g} kWh.")
    elif soc is not None and unit.kwh > 0 and soc.max() > 1.05 * unit.kwh and soc.max() <= 100.0 + 1e-9:
        soc = soc / 100.0 * unit.kwh
        said.append(f"{unit.name}: SoC is read in per cent of {unit.kwh:g} kWh.")
    if grid.has("charge") or grid.has("discharge"):
        charge, discharge = np.abs(grid.per_phase("charge", phases)), np.abs(grid.per_phase("discharge", phases))
        both[unit.name] = np.minimum(charge.sum(axis=1), discharge.sum(axis=1))
    else:
        p = grid.per_phase("p", phases)
        direction, why = battery_sign(unit.name, p.sum(axis=1), soc, step_h, sign)
        said.append(f"{unit.name} at {unit.bus}: a battery; {why}.")
        charge, discharge = np.maximum(-direction * p, 0.0), np.maximum(direction * p, 0.0)
        both[unit.name] = np.zeros(grid.steps)
    if soc is not None:
        soc_given[unit.name] = soc
    if np.isnan(unit.kw):
        largest = float(np.max([charge.sum(axis=1).max(), discharge.sum(axis=1).max(), IDLE_KW]))
        per_phase = float(np.max([charge.max(), discharge.max(), IDLE_KW])) * len(phases)
        unit = replace(unit, kw=max(largest, per_phase))
        said.append(f"{unit.name}: no rating given; {unit.kw:,.1f} kW, the largest power in its dispatch, is taken.")
    if np.isnan(unit.kwh):
        if soc is None or soc.max() <= 1.0 + 1e-9:
            raise ConfigError(
                f"{unit.name}: a battery without energy.", "Give its kWh in a units table (--units), or its SoC in kWh."
            )
        unit = replace(unit, kwh=float(soc.max()) / unit.soc_max)
        said.append(f"{unit.name}: no energy given; {unit.kwh:,.1f} kWh, the most its SoC reaches, is taken.")
    return _Device(unit, nodes, discharge - charge, grid.per_phase("q", phases), charge, discharge)


def _source(grid: Grid, unit: Unit, place: tuple[tuple[str, ...], tuple[int, ...]], kept: _Kept) -> _Device:
    (nodes, phases), said, available = place, kept.said, kept.available_kw
    p = grid.per_phase("p", phases)
    if grid.has("p"):
        direction, words = source_sign(unit.name, p.sum(axis=1))
        p = direction * p
        said += [words] if words else []
    if grid.has("available"):
        sun = np.abs(grid.per_phase("available", phases))
        available[unit.name] = sun.sum(axis=1)
        if not grid.has("p"):
            p = sun - np.abs(grid.per_phase("curtailed", phases))
            said.append(f"{unit.name}: delivered power is available less curtailed.")
    elif not grid.has("p") and grid.has("curtailed"):
        raise ConfigError(f"{unit.name}: curtailment without available or delivered power.", "Give one of them too.")
    p = np.maximum(p, 0.0)
    if np.isnan(unit.kw):
        unit = replace(unit, kw=max(float(p.sum(axis=1).max()), IDLE_KW), sized=False)
        said.append(f"{unit.name}: no size given; {unit.kw:,.1f} kW, its largest power, is taken.")
    return _Device(unit, nodes, p, grid.per_phase("q", phases), np.zeros_like(p), np.zeros_like(p))


def _count(made: list[_Device], said: list[str]) -> None:
    words = {"pv": "PV plants", "bess": "batteries", "generator": "generators"}
    for kind, word in words.items():
        mine = [d for d in made if d.unit.kind == kind]
        if not mine:
            continue
        buses = list(dict.fromkeys(d.unit.bus for d in mine))
        shown = ", ".join(buses[:6]) + (f" and {len(buses) - 6} more" if len(buses) > 6 else "")
        said.insert(0, f"{len(mine)} device{'s' if len(mine) > 1 else ''} read as {word} at buses {shown}.")
    split = [d.unit.name for d in made if len(d.nodes) > 1 and np.allclose(d.p_kw, d.p_kw[:, :1])]
    if split:
        said.append(f"Totals are split evenly over the phases of the bus: {len(split)} of {len(made)} devices.")
    if own := [d.unit.element for d in made if d.unit.element]:
        shown = ", ".join(own[:6]) + (f" and {len(own) - 6} more" if len(own) > 6 else "")
        said.append(f"Commanded instead of their own shapes, by devices of the same rating in their place: {shown}.")


def _schedule(
    made: list[_Device], values: Values, case: str, said: list[str], soc_given: Mapping[str, Floats]
) -> Schedule:
    clock, steps = values.clock, len(values.clock)
    sources, batteries = [d for d in made if d.unit.kind != "bess"], [d for d in made if d.unit.kind == "bess"]

    def across(devices: list[_Device], name: str) -> Floats:
        return np.hstack([getattr(d, name) for d in devices]) if devices else np.zeros((steps, 0))

    def shares(devices: list[_Device], attribute: str) -> Floats:
        of = [np.full(len(d.nodes), getattr(d.unit, attribute) / len(d.nodes)) for d in devices]
        return np.concatenate(of) if of else np.zeros(0)

    pv_kw, pv_p, pv_q = shares(sources, "kw"), across(sources, "p_kw"), across(sources, "q_kvar")
    pv_kw = np.maximum(pv_kw, pv_p.max(axis=0, initial=0.0))
    kva = np.where(np.isnan(shares(sources, "kva")), np.nan, shares(sources, "kva"))
    units = tuple(
        BessUnit(
            d.unit.name,
            d.unit.bus,
            d.unit.kwh,
            d.unit.kw,
            d.unit.eta_charge,
            d.unit.eta_discharge,
            d.unit.soc_min,
            d.unit.soc_max,
        )
        for d in batteries
    )
    charge, discharge = across(batteries, "charge_kw"), across(batteries, "discharge_kw")
    soc = np.zeros((steps + 1, len(batteries)))
    for u, d in enumerate(batteries):
        moved = (
            d.charge_kw.sum(axis=1) * d.unit.eta_charge - d.discharge_kw.sum(axis=1) / d.unit.eta_discharge
        ) * clock.step_h
        soc[:, u] = _start(d.unit, moved, soc_given.get(d.unit.name), said) + np.concatenate([[0.0], np.cumsum(moved)])
    return Schedule(
        case=case,
        times=_times(clock),
        step_h=clock.step_h,
        pv_nodes=tuple(n for d in sources for n in d.nodes),
        pv_kw=pv_kw,
        pv_p_kw=pv_p,
        pv_q_kvar=pv_q,
        bess=units,
        bess_nodes=tuple(n for d in batteries for n in d.nodes),
        bess_of=tuple(u for u, d in enumerate(batteries) for _ in d.nodes),
        p_charge_kw=charge,
        p_discharge_kw=discharge,
        soc_kwh=soc,
        pv_kva=None if np.isnan(kva).all() else np.where(np.isnan(kva), pv_kw, kva),
        bess_q_kvar=across(batteries, "q_kvar"),
        bess_kva=np.where(np.isnan(shares(batteries, "kva")), shares(batteries, "kw"), shares(batteries, "kva")),
        replaces=tuple(d.unit.element for d in made if d.unit.element),
    )


def _start(unit: Unit, moved_kwh: Floats, given_kwh: Floats | None, said: list[str]) -> float:
    """Stored energy before the first step: as told, as the SoC column implies, or as low as the day allows."""
    if not np.isnan(unit.soc_start):
        return unit.soc_start * unit.kwh
    path = np.concatenate([[0.0], np.cumsum(moved_kwh)])
    if given_kwh is not None:
        ends, begins = (
            float(np.abs(given_kwh - given_kwh[0] - (path[1:] - path[1])).max()),
            float(np.abs(given_kwh - given_kwh[0] - (path[:-1] - path[0])).max()),
        )
        start = float(given_kwh[0] - moved_kwh[0]) if ends <= begins else float(given_kwh[0])
        side = "end" if ends <= begins else "beginning"
        said.append(f"{unit.name}: SoC stands at the {side} of its step; it starts at {start:,.1f} kWh.")
        return start
    low, high = unit.soc_min * unit.kwh - path.min(), unit.soc_max * unit.kwh - path.max()
    start = float(low) if low <= high else float((low + high) / 2.0)
    said.append(f"{unit.name}: no SoC given; taken to start at {start:,.1f} kWh, the least that never runs empty.")
    return float(np.clip(start, unit.soc_min * unit.kwh, unit.soc_max * unit.kwh))


def _times(clock: Clock) -> tuple[str, ...]:
    """Labels of the steps: the hours of one day, with the date where a dispatch of several has one."""
    steps, days = len(clock), {stamp[:10] for stamp in clock.stamps}
    if len(days) == 1:
        return tuple(stamp[11:] for stamp in clock.stamps)
    return clock.stamps or tuple(_label(clock.start_h + t * clock.step_h, steps * clock.step_h) for t in range(steps))


def _label(hours: float, length_h: float) -> str:
    minutes = round(hours * 60)
    return (f"day {minutes // 1440 + 1} " if length_h > 24.0 else "") + f"{minutes % 1440 // 60:02d}:{minutes % 60:02d}"


def _voltages(rows: pd.DataFrame, names: Names) -> pd.DataFrame:
    if rows.empty:
        return pd.DataFrame({"step": [], "node": [], "v_pu": []})
    places = [names.place(b or d) for b, d in zip(rows["bus"], rows["device"], strict=True)]
    nodes = [
        f"{place[0]}.{phase or (place[1][0] if place[1] else 1)}" if place else ""
        for place, phase in zip(places, rows["phase"], strict=True)
    ]
    return pd.DataFrame({"step": rows["step"].to_numpy(), "node": nodes, "v_pu": rows["value"].to_numpy()})
