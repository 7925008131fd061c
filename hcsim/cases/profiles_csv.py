"""profiles.csv: one row per step, whole days. Columns hour, load_pu, pv_pu and optionally ev_mw."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from hcsim.errors import ConfigError
from hcsim.util.suggest import did_you_mean
from optim.data.profiles import Profiles

REQUIRED = ("hour", "load_pu", "pv_pu")
OPTIONAL = ("ev_mw",)


def read_profiles(file: Path) -> Profiles:
    """Profiles of a CSV file. `hour` is the start of each step in hours since the first midnight, equally
    spaced; the file covers whole days. Raises ConfigError naming file, row (as an editor counts) and hour.
    """
    table = read_profile_table(file)
    step_h = float(table["hour"].iloc[1] - table["hour"].iloc[0])
    return Profiles(
        times=labels(table["hour"].to_numpy(dtype=float)),
        step_h=step_h,
        load_pu=table["load_pu"].to_numpy(dtype=float),
        pv_pu=table["pv_pu"].to_numpy(dtype=float),
    )


def read_profile_table(file: Path) -> pd.DataFrame:
    """The checked table, columns as float. Lines that start with # are comments."""
    try:
        with warnings.catch_warnings():  # surplus cells would be cut off, or taken for an index, in silence
            warnings.simplefilter("error", pd.errors.ParserWarning)
            raw = pd.read_csv(file, comment="#", skipinitialspace=True, index_col=False)
    except pd.errors.ParserWarning:
        raise ConfigError(f"{file}: a row has more cells than the header has columns.") from None
    except FileNotFoundError:
        raise ConfigError(f"{file} does not exist.", "study.toml names it in [profiles] file.") from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ConfigError(f"{file} cannot be read as CSV: {error}.") from None
    raw.columns = [str(c).strip() for c in raw.columns]
    _check_columns(raw, file)
    table = _numbers(raw, file)
    _check_hours(table["hour"].to_numpy(), file)
    _check_ranges(table, file)
    return table


def labels(hours: np.ndarray) -> tuple[str, ...]:
    """ "08:00", or "day 12 08:00" where the series is longer than a day."""
    minutes = np.round(hours * 60).astype(int)
    several = minutes[-1] >= 24 * 60
    return tuple((f"day {m // 1440 + 1} " if several else "") + f"{m % 1440 // 60:02d}:{m % 60:02d}" for m in minutes)


def _check_columns(raw: pd.DataFrame, file: Path) -> None:
    known = (*REQUIRED, *OPTIONAL)
    for column in raw.columns:
        if column not in known:
            raise ConfigError(f"{file}: unknown column {column!r}.", did_you_mean(column, known))
    missing = [column for column in REQUIRED if column not in raw.columns]
    if missing:
        raise ConfigError(f"{file}: column {missing[0]!r} is missing.", f"Columns: {', '.join(known)}.")


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


def _check_hours(hours: np.ndarray, file: Path) -> None:
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


def _check_ranges(table: pd.DataFrame, file: Path) -> None:
    rules = (
        ("load_pu", 0.0, 10.0, "it multiplies every load's nominal kW and kvar (1.0 is nominal), not kW"),
        ("pv_pu", 0.0, 1.0, "it is kW delivered per kW of inverter capacity"),
        ("ev_mw", 0.0, np.inf, "it is MW drawn"),
    )
    for column, low, high, meaning in rules:
        if column not in table:
            continue
        value = table[column].to_numpy()
        outside = np.flatnonzero((value < low) | (value > high))
        if len(outside):
            row = int(outside[0])
            between = f"in [{low:g}, {high:g}]" if np.isfinite(high) else f"at least {low:g}"
            raise ConfigError(
                f"{file}: data row {row + 1} (hour {table['hour'].iloc[row]:g}), {column} = {value[row]:g} "
                f"must be {between}: {meaning}."
            )
