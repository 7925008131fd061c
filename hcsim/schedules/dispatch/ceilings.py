"""A table of export ceilings by month and hour as one of 8760 hours."""

from __future__ import annotations

import calendar
from dataclasses import replace

import numpy as np
import pandas as pd

from hcsim.errors import ConfigError
from hcsim.schedules.dispatch.cells import Table, numbers

MONTHS = {name.lower(): m for m in range(1, 13) for name in (calendar.month_name[m], calendar.month_abbr[m])}
MONTH_WORDS, FROM_WORDS, TO_WORDS = (
    ("month", "mo", "mon"),
    ("hour_from", "from_hour", "from"),
    ("hour_to", "to_hour", "to"),
)
HOUR_WORDS = ("hour", "hr", "he", "hour_ending", "time")


def over_a_year(table: Table) -> Table:
    """Rows by month (12), by month and block of hours (24), by month and hour (288) as rows of hours 0 to 8759; a day
    of 24 hours is repeated. What is a year already, or has dates, comes back as it is.

    Raises ConfigError for an hour of the year that no row speaks of, or two do.
    """
    by_word = {str(c).strip().lower().replace(" ", "_"): str(c) for c in table.cells.columns}
    month, hour = _one(by_word, MONTH_WORDS), _one(by_word, HOUR_WORDS)
    begin, end = _one(by_word, FROM_WORDS), _one(by_word, TO_WORDS)
    if not month and len(table.cells) != 24:
        return table
    count = len(table.cells)
    months = _months(table, month) if month else np.zeros(count, dtype=np.int64)
    first, last = np.zeros(count), np.full(count, 24.0)
    if begin and end:
        first, last = numbers(table, begin), numbers(table, end)
    elif hour:
        first = _hours(table, hour)
        last = first + 1.0
    month_of = np.repeat(np.repeat(np.arange(1, 13), [calendar.monthrange(2023, m)[1] for m in range(1, 13)]), 24)
    clock = np.tile(np.arange(24), 365)
    row = np.full(8760, -1, dtype=np.int64)
    for i in range(count):
        within = (clock >= first[i]) & (clock < last[i])
        if first[i] > last[i]:  # 22 to 6
            within = (clock >= first[i]) | (clock < last[i])
        here = within & ((month_of == months[i]) | (months[i] == 0))
        if (row[here] >= 0).any():
            raise ConfigError(f"{table.name}, row {table.line(i)}: its hours are those of an earlier row, too.")
        row[here] = i
    if (row < 0).any():
        at = int(np.flatnonzero(row < 0)[0])
        raise ConfigError(
            f"{table.name}: no row for {calendar.month_name[month_of[at]]}, {clock[at]:02d}:00.",
            "A profile needs a ceiling for every hour of the year: month and hour, or month, hour_from and hour_to.",
        )
    when = {c for c in (month, hour, begin, end) if c}
    cells = table.cells[[c for c in table.cells.columns if c not in when]].iloc[row].reset_index(drop=True)
    cells.insert(0, "hour", pd.Series(np.arange(8760)))
    kind = f"{count} values a device" + ("" if month else ", the same every day")
    said = f"Read as ceilings of export: {kind}, held at every hour of a year of 8760."
    return replace(table, cells=cells, said=(*table.said, said))


def _one(by_word: dict[str, str], words: tuple[str, ...]) -> str:
    return next((by_word[w] for w in words if w in by_word), "")


def _months(table: Table, column: str) -> np.ndarray:
    text = table.cells[column].map(lambda c: str(c).strip().lower().removesuffix(".0"))
    found = text.map(lambda t: int(t) if t.isdigit() and 1 <= int(t) <= 12 else MONTHS.get(t, 0)).to_numpy(
        dtype=np.int64
    )
    if (found == 0).any():
        at = int(np.flatnonzero(found == 0)[0])
        raise ConfigError(f"{table.where(at, column)}: {text.iloc[at]!r} is no month.", "Write 1 to 12 or Jan to Dec.")
    return np.asarray(found)


def _hours(table: Table, column: str) -> np.ndarray:
    text = table.cells[column].map(lambda c: str(c).strip().split(":")[0])
    found: np.ndarray = numbers(replace(table, cells=table.cells.assign(**{column: text})), column)
    ends = bool(found.min() >= 1.0 and found.max() == 24.0)
    return np.asarray(found - float(ends))
