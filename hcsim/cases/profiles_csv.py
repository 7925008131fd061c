"""profiles.csv: one row per step, whole days, 1 minute to 1 hour.

Columns: `hour` (or timestamps in `time`), `load_pu`, `pv_pu`, optionally `ev_mw`, and curves of their own:
`load_pu:<load, bus or wildcard>`, `pv_pu:<bus>`. Separators and decimal signs are those of any country.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from hcsim.errors import ConfigError
from hcsim.util.csv_text import CsvText
from hcsim.util.suggest import did_you_mean
from optim.data.profiles import Profiles

REQUIRED = ("hour", "load_pu", "pv_pu")
OPTIONAL = ("ev_mw",)
MOST_HOURS = 876_600.0
STAMPS = ("time", "timestamp", "datetime", "date_time", "date")
"""Headings under which a file may have timestamps instead of hours."""
OWN = ("load_pu:", "pv_pu:")
ROUNDED_H = 2e-3
"""Hours rounded to three decimals: 5 minutes are 0.083, and the steps seem uneven."""
SHORTEST_H = 1 / 60 - 1e-4


@dataclass(frozen=True)
class ProfileFile:
    """What stands in profiles.csv."""

    profiles: Profiles
    load_columns: dict[str, np.ndarray] = field(default_factory=dict)
    """Load, bus or wildcard -> (T,) of a column `load_pu:...`."""


def read_profiles(file: Path) -> Profiles:
    """Profiles of a CSV file. `hour` is the start of each step in hours since the first midnight, equally
    spaced; the file covers whole days. Raises ConfigError naming file, row (as an editor counts) and hour.
    """
    return read_profile_file(file).profiles


def read_profile_file(file: Path) -> ProfileFile:
    """`read_profiles`, with the columns of single loads."""
    table = read_profile_table(file)
    step_h = float(table["hour"].iloc[1] - table["hour"].iloc[0])
    columns = {str(name): table[name].to_numpy(dtype=float) for name in table.columns}
    profiles = Profiles(
        times=labels(columns["hour"]),
        step_h=step_h,
        load_pu=columns["load_pu"],
        pv_pu=columns["pv_pu"],
        pv_of={_own_name(name).lower(): v for name, v in columns.items() if name.startswith("pv_pu:")},
    )
    return ProfileFile(profiles, {_own_name(n): v for n, v in columns.items() if n.startswith("load_pu:")})


def read_profile_table(file: Path) -> pd.DataFrame:
    """The checked table, columns as float. Lines that start with # are comments."""
    raw = _read(file)
    raw.columns = [str(c).strip() for c in raw.columns]
    raw = _stamps_to_hours(raw, file)
    _check_columns(raw, file)
    table = _numbers(raw, file)
    table["hour"] = _check_hours(table["hour"].to_numpy(), file)
    _check_ranges(table, file)
    return table


def labels(hours: np.ndarray) -> tuple[str, ...]:
    """ "08:00", or "day 12 08:00" where the series is longer than a day."""
    minutes = np.round(hours * 60).astype(int)
    several = minutes[-1] >= 24 * 60
    return tuple((f"day {m // 1440 + 1} " if several else "") + f"{m % 1440 // 60:02d}:{m % 60:02d}" for m in minutes)


def _read(file: Path) -> pd.DataFrame:
    if not file.exists():
        raise ConfigError(f"{file} does not exist.", "study.toml names it in [profiles] file.")
    return CsvText.read(file).frame()


def _own_name(column: str) -> str:
    return column.split(":", 1)[1].strip()


def _stamps_to_hours(raw: pd.DataFrame, file: Path) -> pd.DataFrame:
    """A column of timestamps becomes `hour`, counted from the midnight before the first of them."""
    stamp = next((c for c in raw.columns if c.lower() in STAMPS), None)
    if "hour" in raw.columns or stamp is None:
        return raw
    parsed = pd.to_datetime(raw[stamp], errors="coerce", format="mixed")
    if parsed.isna().any():
        row = int(np.flatnonzero(parsed.isna())[0])
        raise ConfigError(
            f"{file}: data row {row + 1}, column {stamp!r}: {raw[stamp].iloc[row]!r} is no timestamp.",
            "Write them as 2025-05-04 06:15.",
        )
    hours = (parsed - parsed.iloc[0].normalize()).dt.total_seconds() / 3600.0
    return raw.drop(columns=stamp).assign(hour=hours)


def _check_columns(raw: pd.DataFrame, file: Path) -> None:
    known = (*REQUIRED, *OPTIONAL)
    for column in raw.columns:
        if column.startswith(OWN) and _own_name(column):
            continue
        if column not in known:
            raise ConfigError(f"{file}: unknown column {column!r}.", did_you_mean(column, [*known, *STAMPS]))
    missing = [column for column in REQUIRED if column not in raw.columns]
    if missing:
        raise ConfigError(
            f"{file}: column {missing[0]!r} is missing.",
            f"Columns: {', '.join(known)}, load_pu:<load, bus or wildcard>, pv_pu:<bus>.",
        )


def _numbers(raw: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Every cell as a finite number, or the error that names the first that is not."""
    table = raw.apply(pd.to_numeric, errors="coerce").astype(float)
    bad = ~np.isfinite(table.to_numpy())
    if bad.any():
        row, column = (int(i[0]) for i in np.nonzero(bad))
        cell = raw.iat[row, column]
        what = "is empty" if pd.isna(cell) else f"is {cell!r}, not a number"
        hour = table["hour"].iloc[row]
        at = f" (hour {hour:g})" if np.isfinite(hour) else ""
        raise ConfigError(
            f"{file}: data row {row + 1}{at}, column {raw.columns[column]!r} {what}.",
            "Fill the gap in; nothing is guessed.",
        )
    return table


def _check_hours(hours: np.ndarray, file: Path) -> np.ndarray:
    """The hours, freed of rounding."""
    if len(hours) and np.abs(hours).max() > MOST_HOURS:
        raise ConfigError(f"{file}: hour {hours[np.abs(hours).argmax()]:g} is beyond a hundred years.")
    if len(hours) < 2:
        raise ConfigError(f"{file} has {len(hours)} data row(s).", "A day of hours has 24.")
    if abs(hours[0]) > 1e-9:
        raise ConfigError(
            f"{file}: the first row is hour {hours[0]:g}.", "Hours start at 0, which is midnight to 1 am."
        )
    steps = np.diff(hours)
    step = float(np.median(steps))
    if np.any(steps <= 0):
        row = int(np.flatnonzero(steps <= 0)[0]) + 1
        raise ConfigError(
            f"{file}: data row {row + 1}, hour {hours[row]:g} comes after hour {hours[row - 1]:g}.",
            "Hours must increase from row to row.",
        )
    per_day = max(round(24.0 * (len(hours) - 1) / hours[-1]), 1)
    exact = np.arange(len(hours)) * 24.0 / per_day
    if np.abs(hours - exact).max() <= ROUNDED_H:
        hours, steps, step = exact, np.diff(exact), float(exact[1])
    uneven = np.flatnonzero(np.abs(steps - step) > 1e-6)
    if len(uneven):
        row = int(uneven[0])
        raise ConfigError(
            f"{file}: gap between hour {hours[row]:g} (data row {row + 1}) and hour {hours[row + 1]:g}; "
            f"steps are {step:g} h elsewhere.",
            f"Hour {hours[row] + step:g} is missing.",
        )
    days = len(hours) * step / 24
    if abs(days - round(days)) > 1e-6:
        raise ConfigError(
            f"{file} has {len(hours)} rows of {step:g} h, up to hour {hours[-1]:g}: not a whole day.",
            f"A day has {24 / step:g} rows, hours 0 to {24 - step:g}.",
        )
    if step < SHORTEST_H:
        raise ConfigError(f"{file}: steps of {3600 * step:g} s.", "Steps may be 1 minute to 1 hour.")
    return hours


def _check_ranges(table: pd.DataFrame, file: Path) -> None:
    rules = {
        "load_pu": (0.0, 10.0, "it multiplies every load's nominal kW and kvar (1.0 is nominal), not kW"),
        "pv_pu": (0.0, 1.0, "it is kW delivered per kW of inverter capacity"),
        "ev_mw": (0.0, 1e6, "it is MW drawn"),
    }
    for column in table:
        if column == "hour":
            continue
        low, high, meaning = rules[str(column).split(":", 1)[0]]
        value = table[column].to_numpy()
        outside = np.flatnonzero((value < low) | (value > high))
        if len(outside):
            row = int(outside[0])
            between = f"in [{low:g}, {high:g}]" if np.isfinite(high) else f"at least {low:g}"
            raise ConfigError(
                f"{file}: data row {row + 1} (hour {table['hour'].iloc[row]:g}), {column} = {value[row]:g} "
                f"must be {between}: {meaning}."
            )
