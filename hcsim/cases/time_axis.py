"""Time axes of simulation studies: the case's day, 576 representative hours, or a year.

A year comes from a file of 8760 hours. Where a case has only a day, a year is made of it by the factors below
(ours, for want of data; every summary says so): the day stands for a weekday at the peak of the load year.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hcsim.cases.own_time import OwnLoads
from hcsim.errors import ConfigError
from hcsim.util.csv_text import CsvText
from hcsim.util.suggest import did_you_mean
from optim.data.profiles import Profiles

Floats = NDArray[np.float64]

HOURS = (24, 576, 8760)
PLAIN_YEAR, LEAP_YEAR = 8760, 8784
MONTHS = tuple(calendar.month_abbr[m] for m in range(1, 13))
DAYS = np.array([calendar.monthrange(2023, m)[1] for m in range(1, 13)])
FIRST_DAY_IS = 0
"""1 January counts as a Monday."""
PEAK_MONTH = 7
LOAD_SWING, PV_SWING, WEEKEND_LOAD = 0.3, 0.45, 0.9
"""The lowest month has 1 - swing of the highest; a weekend has 0.9 of a weekday's load."""
COLUMNS = ("hour", "load_pu", "pv_pu")


@dataclass(frozen=True)
class TimeAxis:
    """Profiles with what has to be said of them."""

    profiles: Profiles
    notes: tuple[str, ...] = ()
    skip_steps: tuple[int, ...] = ()
    """Steps that a study must not judge: the profile has a gap there."""


def time_axis(
    day: Profiles,
    hours: int,
    file: Path | None = None,
    own: OwnLoads | None = None,
    columns: Mapping[str, Floats] | None = None,
) -> TimeAxis:
    """`hours` of HOURS; 24 is the case's own profile as it is. `file` holds a year (see `read_year`). On other axes
    than the day, loads follow the curves of `own` and the day's `columns` of single loads.

    Raises ConfigError for other numbers of hours, or a file that is no year.
    """
    if hours not in HOURS:
        raise ConfigError(f"--hours {hours} is none of {', '.join(map(str, HOURS))}.")
    if hours == 24:
        if file is not None:
            raise ConfigError("A year's profile needs --hours 576 or 8760.")
        return TimeAxis(day)
    year = read_year(file) if file is not None else year_of_day(day)
    if own is not None:
        year = _with_own(year, own, day, columns or {})
    if file is not None and day.fixed:
        raise ConfigError(
            f"{file} has no curve for {day.fixed[0].node}, which the case's day has.",
            "Leave --profiles out, or take the curve out of the case.",
        )
    return year if hours == PLAIN_YEAR else representative(year)


def _with_own(year: TimeAxis, own: OwnLoads, day: Profiles, columns: Mapping[str, Floats]) -> TimeAxis:
    """Loads on the year: their own shapes as the feeder has them, the day's columns as the year is made of the day."""
    whole = replace(year.profiles, of_year=True)
    factor = {name: _season(values, day) for name, values in columns.items()}
    said = ("Loads with shapes of their own follow these over the year.",) if own.curves else ()
    return replace(year, profiles=own.on(whole, factor), notes=(*year.notes, *said))


def _season(values: Floats, day: Profiles) -> Floats:
    """A day's column over the year, in the way of the day's own load."""
    return year_of_day(replace(day, load_pu=values, load_q_pu=None)).profiles.load_pu


def year_of_day(day: Profiles) -> TimeAxis:
    """A year of hours made of one day by season and weekend."""
    if len(day) == PLAIN_YEAR:
        return TimeAxis(day)
    if len(day) != 24 or day.step_h != 1.0:
        raise ConfigError(
            f"The case's profile has {len(day)} steps of {day.step_h:g} h; a year is made of 24 hours.",
            "Name a file of 8760 hours with --profiles.",
        )
    month, weekend = _calendar()
    from_peak = np.cos(2 * np.pi * (month - (PEAK_MONTH - 1)) / 12.0)
    season = 1.0 - LOAD_SWING / 2.0 * (1.0 - from_peak)
    sun = 1.0 - PV_SWING / 2.0 * (1.0 - np.cos(2 * np.pi * (month - 5.5) / 12.0))
    load = np.tile(day.load_pu, 365) * season * np.where(weekend, WEEKEND_LOAD, 1.0)
    note = (
        f"The year is made of the case's day (ours, not data): load down to {1 - LOAD_SWING:g} and sun to "
        f"{1 - PV_SWING:g} of the best month, weekends at {WEEKEND_LOAD:g} of the load."
    )
    fixed = tuple(replace(own, p_kw=np.tile(own.p_kw, 365)) for own in day.fixed)
    pv_of = {bus: np.tile(curve, 365) * sun for bus, curve in day.pv_of.items()}
    return TimeAxis(Profiles(_year_labels(), 1.0, load, np.tile(day.pv_pu, 365) * sun, fixed, pv_of=pv_of), (note,))


def representative(year: TimeAxis) -> TimeAxis:
    """576 hours: per month one weekday and one weekend day, each hour the mean of its kind."""
    month, weekend = _calendar()
    hour = np.tile(np.arange(24), 365)
    kind = (month * 2 + weekend) * 24 + hour
    good = np.ones(PLAIN_YEAR, dtype=bool)
    good[list(year.skip_steps)] = False
    count = np.bincount(kind[good], minlength=576)
    empty = np.flatnonzero(count == 0)

    def mean(x: Floats) -> Floats:
        total = np.zeros((576, *x.shape[1:]))
        np.add.at(total, kind[good], x[good])
        return np.asarray(total / np.maximum(count, 1).reshape(-1, *[1] * (x.ndim - 1)))

    labels = tuple(f"{m} {d} {h:02d}:00" for m in MONTHS for d in ("weekday", "weekend") for h in range(24))
    notes = (*year.notes, "576 hours: the mean of every month's weekdays and weekend days, hour by hour.")
    own = year.profiles
    fixed = tuple(replace(curve, p_kw=mean(curve.p_kw)) for curve in own.fixed)
    q_pu = None if own.load_q_pu is None else mean(own.load_q_pu)
    pv_of = {bus: mean(curve) for bus, curve in own.pv_of.items()}
    profiles = Profiles(labels, 1.0, mean(own.load_pu), mean(own.pv_pu), fixed, q_pu, pv_of)
    return TimeAxis(profiles, notes, tuple(int(k) for k in empty))


def read_year(file: Path) -> TimeAxis:
    """A CSV of a year: hour (0 to 8759), load_pu, pv_pu. Lines that start with # are comments. Hours numbered 1 to
    8760 are those that end then. Separators and decimal signs are those of any country.

    A leap year loses its 29 February; hours that are missing or empty are not judged; both are said. Raises
    ConfigError for everything else that is wrong, naming the row.
    """
    raw = CsvText.read(file).frame()
    for column in COLUMNS:
        if column not in raw:
            raise ConfigError(f"{file}: column {column!r} is missing.", did_you_mean(column, list(raw.columns)))
    table = raw[list(COLUMNS)].apply(pd.to_numeric, errors="coerce")
    hour = table["hour"].to_numpy(dtype=float)
    if np.isnan(hour).any() or np.any(hour != np.round(hour)) or len(np.unique(hour)) < len(hour):
        row = int(np.flatnonzero(np.isnan(hour) | (hour != np.round(hour)))[:1].sum()) + 1
        raise ConfigError(f"{file}: column hour must hold each whole hour once (see data row {row}).")
    notes: list[str] = []
    if hour.min() >= 1 and hour.max() in (PLAIN_YEAR, LEAP_YEAR):
        notes.append(f"{file.name} numbers its hours 1 to {hour.max():.0f}: each is read as the hour that ends then.")
        hour = hour - 1
    steps = LEAP_YEAR if hour.max() >= PLAIN_YEAR else PLAIN_YEAR
    if hour.min() < 0 or hour.max() >= LEAP_YEAR or len(hour) < 0.9 * steps:
        raise ConfigError(
            f"{file}: {len(hour)} hours from {hour.min():g} to {hour.max():g} are not a year.",
            f"A year has hours 0 to {PLAIN_YEAR - 1} (a leap year to {LEAP_YEAR - 1}).",
        )
    whole = table.set_index(hour.astype(int)).reindex(range(steps))
    if steps == LEAP_YEAR:
        february_29 = (31 + 28) * 24
        whole = whole.drop(index=range(february_29, february_29 + 24)).reset_index(drop=True)
        notes.append(f"{file.name} is a leap year: 29 February is left out.")
    values = whole[["load_pu", "pv_pu"]].to_numpy()
    gaps = np.flatnonzero(np.isnan(values).any(axis=1))
    labels = _year_labels()
    if len(gaps):
        named = ", ".join(labels[g] for g in gaps[:5]) + (" ..." if len(gaps) > 5 else "")
        notes.append(f"{file.name} has {len(gaps)} gaps ({named}): these hours are not judged.")
    carried = whole[["load_pu", "pv_pu"]].ffill().bfill().to_numpy()  # for the controls only, never judged
    _check_range(file, carried, labels)
    profiles = Profiles(labels, 1.0, carried[:, 0].copy(), carried[:, 1].copy())
    return TimeAxis(profiles, tuple(notes), tuple(int(g) for g in gaps))


def _check_range(file: Path, values: Floats, labels: tuple[str, ...]) -> None:
    for column, (name, high) in enumerate((("load_pu", 10.0), ("pv_pu", 1.0))):
        outside = np.flatnonzero((values[:, column] < 0) | (values[:, column] > high))
        if len(outside):
            at = int(outside[0])
            raise ConfigError(f"{file}: {name} = {values[at, column]:g} at {labels[at]} must lie in [0, {high:g}].")


def _calendar() -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(8760,) month 0..11 and whether it is a Saturday or Sunday."""
    month_of_day = np.repeat(np.arange(12), DAYS)
    weekend_day = (np.arange(365) + FIRST_DAY_IS) % 7 >= 5
    return np.repeat(month_of_day, 24), np.repeat(weekend_day, 24)


def _year_labels() -> tuple[str, ...]:
    days = [f"{MONTHS[m]} {d:02d}" for m in range(12) for d in range(1, int(DAYS[m]) + 1)]
    return tuple(f"{day} {hour:02d}:00" for day in days for hour in range(24))
