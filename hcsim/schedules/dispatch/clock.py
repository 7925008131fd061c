"""The time column of a foreign table as steps: hours, step numbers, clock times, timestamps, hour-ending."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hcsim.errors import ConfigError
from hcsim.schedules.dispatch.cells import Table, is_number_column

TIME_WORDS = (
    "time",
    "timestamp",
    "datetime",
    "date_time",
    "hour",
    "hr",
    "he",
    "hour_ending",
    "hourending",
    "step",
    "t",
    "period",
    "timestep",
    "time_step",
    "interval",
    "snapshot",
    "snapshots",
    "index",
    "date",
    "stunde",
    "zeit",
    "heure",
    "hora",
    "time_h",
    "hour_h",
    "minute",
    "minutes",
)
ENDING = re.compile(r"(^he$|hour_?ending|_he$|interval_?end|ending)")
STEPS_H = {
    24: 1.0,
    48: 0.5,
    96: 0.25,
    144: 1 / 6,
    288: 1 / 12,
    1440: 1 / 60,
    168: 1.0,
    576: 1.0,
    8760: 1.0,
    8784: 1.0,
    17520: 0.5,
    35040: 0.25,
}
_CLOCK = re.compile(r"^(?:day\s*(\d+)\s+)?(\d{1,2}):(\d{2})(?::(\d{2}))?$", re.IGNORECASE)
SHORTEST_H, LONGEST_H = 1 / 60, 1.0


@dataclass(frozen=True)
class Clock:
    """T equal steps; `step` says of every record of the table to which it belongs."""

    step: NDArray[np.int64]
    """(rows,)"""
    step_h: float
    start_h: float
    """Hours since midnight at which the first step begins; 0 where the table does not say."""
    stamps: tuple[str, ...]
    """(T,) the table's own labels, as ISO timestamps where it has dates; empty where it only counts."""
    said: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.step.max()) + 1


def time_column(table: Table, named: str = "") -> str:
    """The column that says when. Raises ConfigError where there is none, or two."""
    if named:
        if named not in table.cells.columns:
            raise ConfigError(f"{table.name} has no column {named!r}.", f"It has: {_listed(table)}.")
        return named
    by_word = {c: TIME_WORDS.index(w) for c in table.cells.columns if (w := _word(c)) in TIME_WORDS}
    dates = [c for c in table.cells.columns if pd.api.types.is_datetime64_any_dtype(table.cells[c])]
    if dates:
        return str(dates[0])
    if by_word:
        return str(min(by_word, key=lambda c: by_word[c]))
    first = str(table.cells.columns[0])
    if first.startswith("Unnamed") or first in ("", "level_0"):
        return first
    if not is_number_column(table, first) and _stamps(table.cells[first]) is not None:
        return first
    raise ConfigError(
        f"{table.name} has no column of times.", f'Say which it is: --map "time=COLUMN". It has: {_listed(table)}.'
    )


def read_clock(table: Table, column: str, *, step_minutes: float | None = None, ending: bool | None = None) -> Clock:
    """Steps from a column of times.

    `step_minutes` settles a table that only counts; `ending` True reads labels as the end of their hour. Raises
    ConfigError for a time that cannot be read (with row), unequal steps (the first gap is named), steps shorter than a
    minute or longer than an hour.
    """
    said: list[str] = []
    cells = table.cells[column]
    hours, stamps = _hours(table, column, said, step_minutes)
    order = np.unique(hours)
    if len(order) < 2:
        raise ConfigError(f"{table.name}, column {column!r}: only one time.", "A dispatch needs at least two steps.")
    step_h = _step(table, column, order, stamps, step_minutes)
    counts = _word(column) in ("step", "t", "period", "timestep", "time_step", "interval", "snapshot", "index") or (
        stamps is None and not _clock_like(cells) and step_minutes is not None
    )
    if stamps is None and not _clock_like(cells) and counts_up(order):
        step_h, note = _counted(table, column, len(order), step_minutes, counts)
        said += note
        hours = hours * step_h
        order = order * step_h
    ends = ending if ending is not None else _says_ending(column, order, step_h, said)
    if ends:
        hours, order = hours - step_h, order - step_h
        if ending is None:
            said.append(
                f"Column {column!r} is read as the end of each step: the first step begins at {_clock(order[0])}."
            )
    if step_h < SHORTEST_H * 0.99 or step_h > LONGEST_H * 1.01:
        raise ConfigError(
            f"{table.name}: steps of {60 * step_h:g} minutes.",
            "From 1 minute to 1 hour is read; resample the dispatch.",
        )
    position = np.round((hours - order[0]) / step_h).astype(np.int64)
    expected = np.arange(position.max() + 1)
    if missing := np.setdiff1d(expected, position).tolist():
        first = f"{_clock(order[0] + missing[0] * step_h)}{_date(stamps, order, missing[0], step_h)}"
        raise ConfigError(
            f"{table.name}: {len(missing)} of {len(expected)} times are missing, the first {first}.",
            "Every step needs its row; nothing is guessed.",
        )
    labels: tuple[str, ...] = ()
    if stamps is not None:
        begin = stamps.iloc[int(np.argmin(hours))] - pd.Timedelta(hours=step_h if ends else 0.0)
        labels = tuple(
            str(s) for s in (begin + pd.to_timedelta(expected * step_h, unit="h")).strftime("%Y-%m-%dT%H:%M")
        )
    return Clock(position, step_h, float(order[0] % 24.0), labels, tuple(said))


def counts_up(order: NDArray[np.float64]) -> bool:
    """Whole numbers from 0 or 1 on, one by one."""
    return bool(order[0] in (0.0, 1.0) and np.allclose(np.diff(order), 1.0))


def _hours(
    table: Table, column: str, said: list[str], step_minutes: float | None
) -> tuple[NDArray[np.float64], pd.Series | None]:
    """(rows,) hours (or counts) of each record, and its timestamp where it has a date."""
    cells = table.cells[column]
    if is_number_column(table, column):
        from hcsim.schedules.dispatch.cells import numbers

        hours = numbers(table, column)
        if np.isnan(hours).any():
            raise ConfigError(f"{table.where(int(np.flatnonzero(np.isnan(hours))[0]), column)}: no time.")
        if _word(column) in ("minute", "minutes"):
            hours = hours / 60.0
        return hours, None
    if _clock_like(cells):
        return _clock_hours(table, column), None
    stamps = _stamps(cells)
    if stamps is None:
        text = cells.astype(str)
        wrong = int(np.flatnonzero(pd.to_datetime(text, errors="coerce", format="mixed").isna().to_numpy())[0])
        raise ConfigError(
            f"{table.where(wrong, column)}: {text.iloc[wrong]!r} is no time.",
            "Write 2025-05-04 13:00, 13:00 or a number.",
        )
    if stamps.isna().any():
        at = int(np.flatnonzero(stamps.isna().to_numpy())[0])
        raise ConfigError(f"{table.where(at, column)}: no time.", "Every row needs one.")
    if stamps.dt.tz is not None:
        said.append(f"Column {column!r}: the time zone is dropped, clock times are kept.")
        stamps = stamps.dt.tz_localize(None)
    if odd := [year for year in (stamps.dt.year.min(), stamps.dt.year.max()) if not 1 < year < 9999]:
        at = int(np.flatnonzero((stamps.dt.year == odd[0]).to_numpy())[0])
        raise ConfigError(
            f"{table.where(at, column)}: a time in the year {odd[0]}.", "Write 2025-05-04 13:00, 13:00 or a number."
        )
    midnight = stamps.min().normalize()
    return ((stamps - midnight).dt.total_seconds() / 3600.0).to_numpy(dtype=float), stamps


def _stamps(cells: pd.Series) -> pd.Series | None:
    if pd.api.types.is_datetime64_any_dtype(cells):
        return cells
    try:
        text = cells.astype(str).str.strip()
        parsed = pd.to_datetime(
            text, format="mixed", dayfirst=bool(text.str.match(r"^\d{1,2}\.\d{1,2}\.\d{2,4}").any())
        )
    except (ValueError, TypeError, OverflowError, pd.errors.OutOfBoundsDatetime):
        return None
    return parsed


def _clock_like(cells: pd.Series) -> bool:
    if not (cells.dtype == object or pd.api.types.is_string_dtype(cells)):
        return False
    return bool(cells.astype(str).str.strip().str.match(_CLOCK).all())


def _clock_hours(table: Table, column: str) -> NDArray[np.float64]:
    """ "08:00", "24:00", "day 2 08:00"."""
    parts = table.cells[column].astype(str).str.strip().str.extract(_CLOCK)
    day = pd.to_numeric(parts[0]).fillna(1.0).to_numpy(dtype=float)
    clock = pd.to_numeric(parts[1]).to_numpy(dtype=float) + pd.to_numeric(parts[2]).to_numpy(dtype=float) / 60.0
    found: NDArray[np.float64] = (
        (day - 1.0) * 24.0 + clock + pd.to_numeric(parts[3]).fillna(0.0).to_numpy(dtype=float) / 3600.0
    )
    return found


def _step(
    table: Table, column: str, order: NDArray[np.float64], stamps: pd.Series | None, given: float | None
) -> float:
    gaps = np.diff(order)
    step = float(np.median(gaps))
    if given is not None and stamps is not None and abs(step - given / 60.0) > 1e-6:
        raise ConfigError(f"{table.name}, column {column!r}: steps of {60 * step:g} minutes, not {given:g}.")
    odd = np.flatnonzero(np.abs(gaps / step - np.round(gaps / step)) > 0.02)
    if len(odd):
        raise ConfigError(
            f"{table.name}, column {column!r}: steps are not equal, {60 * gaps[odd[0]]:g} minutes after "
            f"{_clock(order[odd[0]])}{_date(stamps, order, int(odd[0]), step)} and {60 * step:g} elsewhere.",
            "Resample the dispatch to equal steps.",
        )
    return round(step * 3600.0) / 3600.0


def _counted(table: Table, column: str, count: int, given: float | None, is_count: bool) -> tuple[float, list[str]]:
    """The length of a step where the table only counts."""
    if given is not None:
        return given / 60.0, []
    if not is_count or count == 24:
        return 1.0, []
    if count in STEPS_H:
        return STEPS_H[count], [
            f"{count} steps are read as {60 * STEPS_H[count]:g} minutes each ({count * STEPS_H[count]:g} h)."
        ]
    raise ConfigError(
        f"{table.name}, column {column!r} counts {count} steps and does not say how long one is.",
        "Add --step-minutes N.",
    )


def _says_ending(column: str, order: NDArray[np.float64], step_h: float, said: list[str]) -> bool:
    """By its name, or because it ends at 24:00 and does not begin at 0:00."""
    if ENDING.search(_word(column)):
        return True
    whole_days = abs(order[-1] / 24.0 - round(order[-1] / 24.0)) < 1e-9 and order[-1] > 0
    return bool(whole_days and abs(order[0] - step_h) < 1e-6)


def _word(column: str) -> str:
    return re.sub(r"[\s\-./()\[\]]+", "_", str(column).strip().lower()).strip("_")


def _listed(table: Table, most: int = 12) -> str:
    names = [str(c) for c in table.cells.columns]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _clock(hours: float) -> str:
    minutes = round(hours * 60)
    day = f"day {minutes // 1440 + 1} " if minutes >= 1440 else ""
    return f"{day}{minutes % 1440 // 60:02d}:{minutes % 60:02d}"


def _date(stamps: pd.Series | None, order: NDArray[np.float64], step: int, step_h: float) -> str:
    if stamps is None:
        return ""
    return f" on {(stamps.min().normalize() + pd.Timedelta(hours=float(order[0] + step * step_h))).date()}"
