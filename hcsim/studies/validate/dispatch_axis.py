"""The feeder on the time axis of somebody else's dispatch: its loads, its dates, and its rules' year."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hcsim.cases.existing_devices import with_existing
from hcsim.cases.on_axis import Axis, on_axis
from hcsim.cases.rules import Rules
from hcsim.errors import ConfigError
from hcsim.feeder.model import FeederModel
from hcsim.schedules.dispatch.understood import Dispatch
from hcsim.workbench.allocation import Workbench
from optim.data.profiles import Floats, Profiles
from optim.data.schedule import Schedule

YEAR = 8760


def on_one_axis(
    bench: Workbench, read: Dispatch, rules: Rules | None
) -> tuple[FeederModel, Dispatch, Schedule, tuple[str, ...]]:
    """The study's profiles over the dispatch's own steps, with the dispatch's own loads in the place of the study's.

    Where the dispatch has dates, loads and devices follow the yearly shapes that they have themselves from that date
    on. Raises ConfigError where steps do not fit, or a load's series cannot be applied.
    """
    said: list[str] = []
    if rules is not None and rules.time_axis == "year":
        read, words = _every_day(read)
        said += words
    s = read.schedule
    profiles, words = _profiles(bench, read)
    said += words
    if read.loads_kw:
        profiles, more = with_loads(profiles, bench, read)
        said += more
    limits = bench.limits if rules is None else rules.on(bench.limits)
    model = FeederModel(bench.circuit, bench.network, profiles, limits)
    return model, read, replace(s, times=profiles.times), tuple(said)


def _profiles(bench: Workbench, read: Dispatch) -> tuple[Profiles, list[str]]:
    case, s = bench.case, read.schedule
    day = case.file_profiles or case.profiles
    whole_year = len(s.times) == YEAR and s.step_h == 1.0 and len(day) == 24 and day.step_h == 1.0
    if whole_year and read.year_h in (None, 0.0):
        year = with_existing(case, bench.network, YEAR, None)
        return replace(year.profiles, times=s.times if read.year_h is not None else year.profiles.times), list(
            year.notes
        )
    if read.year_h is None or case.own is None:
        profiles, words = on_axis(case.profiles, s.times, s.step_h, read.start_h)
        return profiles, list(words)
    base, words = on_axis(replace(day, start_h=0.0, of_year=False), s.times, s.step_h, read.start_h)
    axis = Axis.of(day, len(s.times), s.step_h, read.start_h)
    base = replace(base, start_h=read.year_h, of_year=case.own.has_year)
    columns = {name: axis.take(values) for name, values in case.load_columns.items()}
    said = list(words)
    if case.own.has_year:
        said.append(f"The feeder's own yearly shapes are read from {s.times[0]} on.")
    return case.own.on(base, columns), said


def with_loads(profiles: Profiles, bench: Workbench, read: Dispatch) -> tuple[Profiles, list[str]]:
    """Loads that the dispatch has a series of follow it; kvar keep each load's power factor where none are given."""
    legs = [name.lower() for name in bench.network.loads.names]
    kw, kvar = bench.network.loads.p_kw, bench.network.loads.q_kvar
    fixed = {name.lower() for name in bench.circuit.fixed_loads()}
    p, q = (np.array(x, dtype=float) for x in profiles.legs_pu(len(legs)))
    peak_before = float(profiles.load_kw(np.where([n in read.loads_kw for n in legs], kw, 0.0)).max())
    for name, series in read.loads_kw.items():
        mine = np.array([n == name for n in legs], dtype=bool)
        if name in fixed:
            raise ConfigError(
                f"{name} has status=fixed: OpenDSS never scales it, so its series cannot be applied.",
                "Take its rows out, or the status out of the feeder.",
            )
        p[:, mine] = _share(name, "kW", series, float(kw[mine].sum()))[:, None]
        own_q = read.loads_kvar.get(name)
        q[:, mine] = p[:, mine] if own_q is None else _share(name, "kvar", own_q, float(kvar[mine].sum()))[:, None]
    count = len({n for n in legs if n.startswith("load.")})
    peak = float(np.sum(list(read.loads_kw.values()), axis=0).max())
    said = (
        f"{len(read.loads_kw)} of {count} loads follow the dispatch's own series in place of the study's: "
        f"{peak:,.1f} kW at their highest, {peak_before:,.1f} kW by the study's."
    )
    return replace(profiles, load_pu=p, load_q_pu=None if np.array_equal(p, q) else q), [said]


def _share(name: str, unit: str, series: Floats, nominal: float) -> Floats:
    if abs(nominal) < 1e-9:
        if not np.any(np.abs(series) > 1e-9):
            return np.zeros_like(series)
        raise ConfigError(
            f"{name} has no {unit} in the feeder, and the dispatch gives it some.", "Define it with some."
        )
    return np.asarray(series / nominal)


def _every_day(read: Dispatch) -> tuple[Dispatch, list[str]]:
    """A dispatch of one day on all days of a year."""
    s = read.schedule
    steps = len(s.times)
    if abs(steps * s.step_h - YEAR) < 1e-6:
        return read, []
    if abs(steps * s.step_h - 24.0) > 1e-9 or abs(read.start_h % 24.0) > 1e-9:
        raise ConfigError(
            f"These rules ask for a year; the dispatch covers {steps * s.step_h:g} h.",
            "Give a day from 0:00, or a year.",
        )
    drift = np.abs(s.soc_kwh[-1] - s.soc_kwh[0])
    for u, unit in enumerate(s.bess):
        if drift[u] > 1e-3 * unit.energy_kwh:
            raise ConfigError(
                f"{unit.name} ends its day with {s.soc_kwh[-1, u]:,.1f} kWh and began with {s.soc_kwh[0, u]:,.1f}: it "
                "cannot be run on every day of a year."
            )

    def days(values: Floats) -> Floats:
        return np.tile(values, (365, *[1] * (values.ndim - 1)))

    year = replace(
        s,
        times=tuple(f"day {d + 1:03d} {t}" for d in range(365) for t in s.times),
        pv_p_kw=days(s.pv_p_kw),
        pv_q_kvar=days(s.pv_q_kvar),
        p_charge_kw=days(s.p_charge_kw),
        p_discharge_kw=days(s.p_discharge_kw),
        bess_q_kvar=None if s.bess_q_kvar is None else days(s.bess_q_kvar),
        soc_kwh=np.vstack([days(s.soc_kwh[:-1]), s.soc_kwh[-1:]]),
    )

    def each(of: Mapping[str, Floats]) -> dict[str, Floats]:
        return {name: days(values) for name, values in of.items()}

    whole = replace(
        read,
        schedule=year,
        year_h=None,
        voltages_pu=read.voltages_pu.iloc[:0],
        soc_given_kwh=each(read.soc_given_kwh),
        available_kw=each(read.available_kw),
        loads_kw=each(read.loads_kw),
        loads_kvar=each(read.loads_kvar),
        both_kw=each(read.both_kw),
    )
    return whole, [f"The dispatch of a day ({steps} steps) is run on each of 365 days."]
