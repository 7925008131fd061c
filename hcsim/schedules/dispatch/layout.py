"""A table of any shape as one long list of values: which device, phase, quantity and step, in kW, kvar, kWh."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from hcsim.errors import ConfigError
from hcsim.schedules.dispatch.cells import Table, is_number_column, numbers
from hcsim.schedules.dispatch.clock import Clock, read_clock, time_column
from hcsim.schedules.dispatch.words import (
    PHASES,
    QUANTITIES,
    UNITS,
    Heading,
    Names,
    about,
    quantity_of,
    role_of,
    stripped,
    word,
)
from hcsim.util.suggest import nearest

COLUMNS = ("step", "device", "bus", "phase", "kind", "quantity", "value")
WHOLE = 0
"""Phase of a value that is the total of a device."""
NEAREST = 10


@dataclass(frozen=True)
class Reading:
    """How the user settles what could be guessed."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Role -> column: time, device, bus, phase, kind, sheet, and quantities with their unit ("p_kw", "q_kvar")."""
    step_minutes: float | None = None
    hour_ending: bool | None = None
    base_kw: float | None = None
    """1 pu of power."""


@dataclass(frozen=True)
class Values:
    """The table's values, long. `rows` has `COLUMNS`; "device" is the user's name, "bus" may be empty."""

    clock: Clock
    rows: pd.DataFrame
    said: tuple[str, ...]


def read_values(table: Table, names: Names, reading: Reading) -> Values:
    """Tell long from wide and read either.

    Raises ConfigError for a table without times or known devices, values that are no numbers (row and column), buses
    that the feeder does not have (the ten nearest, once), two values of one device, phase, quantity and step.
    """
    _check_mapping(table, reading)
    when = time_column(table, reading.columns.get("time", ""))
    clock = read_clock(table, when, step_minutes=reading.step_minutes, ending=reading.hour_ending)
    rest = [c for c in table.cells.columns if c != when]
    roles = _roles(table, rest, reading)
    if {"device", "bus"} & roles.keys():
        rows, said = _long(table, clock, roles, rest, names, reading)
    else:
        rows, said = _wide(table, clock, rest, names, reading)
    rows = rows[rows["value"].notna()]
    twice = rows.duplicated(["step", "device", "phase", "quantity"])
    if twice.any():
        first = rows[twice].iloc[0]
        raise ConfigError(
            f"{table.name}: {first['device']} has {first['quantity']} twice in step {first['step']}"
            + (f", phase {first['phase']}" if first["phase"] else "")
            + ".",
            "Keep one of the rows; two devices at a bus need names of their own.",
        )
    return Values(clock, rows.reset_index(drop=True), (*table.said, *clock.said, *said))


def _check_mapping(table: Table, reading: Reading) -> None:
    known = {"time", "sheet", *(role for role in ("device", "bus", "phase", "kind", "variable", "value"))}
    for role, column in reading.columns.items():
        if role == "sheet":
            continue
        if role not in known and _mapped(role) is None:
            raise ConfigError(
                f"--map: {role!r} is nothing that can be mapped.",
                "Known: time, device, bus, phase, kind, sheet, and quantities with a unit: p_kw, q_kvar, charge_kw, "
                "discharge_kw, soc_kwh, curtailed_kw, available_kw, v_pu (w, mw, pu likewise).",
            )
        if column not in table.cells.columns:
            close = nearest(column, list(table.cells.columns))
            raise ConfigError(
                f"{table.name} has no column {column!r}.",
                f"Nearest: {', '.join(close)}." if close else "See its header.",
            )


def _mapped(role: str) -> Heading | None:
    return quantity_of(role) if role not in ("name",) else None


def _roles(table: Table, rest: list[str], reading: Reading) -> dict[str, str]:
    roles = {
        role: c
        for role, c in reading.columns.items()
        if role in ("device", "bus", "phase", "kind", "variable", "value")
    }
    for column in rest:
        if (role := role_of(column)) and column not in roles.values():
            roles.setdefault(role, column)
    return roles


def _factor(heading: Heading, table: Table, column: str, reading: Reading) -> float:
    """To kW, kvar, kWh; shares stay shares."""
    if not heading.unit:
        return 1.0
    kind, factor = UNITS[heading.unit]
    if kind == "pu" and heading.quantity in ("p", "q", "charge", "discharge", "curtailed", "available"):
        if reading.base_kw is None:
            raise ConfigError(
                f"{table.name}, column {column!r} is in per unit.", "Add --base-kw N: how many kW are 1 pu."
            )
        return reading.base_kw
    return factor


# -- long ---------------------------------------------------------------------------------------------------


def _long(
    table: Table, clock: Clock, roles: dict[str, str], rest: list[str], names: Names, reading: Reading
) -> tuple[pd.DataFrame, list[str]]:
    cells = table.cells
    label = _labels(cells, roles)
    phase = _phase_column(table, roles, names)
    kind = _each(cells[roles["kind"]], _kind_word) if "kind" in roles else pd.Series("", index=cells.index)
    bus = _each(cells[roles["bus"]], _text) if "bus" in roles else pd.Series("", index=cells.index)
    _check_places(table, bus, label, names)
    base = {
        "step": clock.step.astype(np.int32),
        "device": pd.Categorical(label),
        "bus": pd.Categorical(bus),
        "phase": phase.astype(np.int8),
        "kind": pd.Categorical(kind),
    }
    given = {c: h for role, c in reading.columns.items() if (h := _mapped(role)) and role not in roles}
    parts, said = [], []
    if "variable" in roles and "value" in roles:
        values = numbers(table, roles["value"])
        for text in cells[roles["variable"]].map(str).unique():
            heading = quantity_of(text)
            if heading is None:
                said.append(f"Rows of {roles['variable']} {text!r} are not read: no known quantity.")
                continue
            here = (cells[roles["variable"]].map(str) == text).to_numpy()
            factor = _factor(heading, table, text, reading)
            parts.append(
                pd.DataFrame({k: v[here] for k, v in base.items()}).assign(
                    quantity=heading.quantity, value=values[here] * factor
                )
            )
    else:
        for column in rest:
            if column in roles.values():
                continue
            heading = given.get(column) or quantity_of(column)
            if heading is None or not is_number_column(table, column):
                if heading is not None and cells[column].notna().any():
                    numbers(table, column)
                said.append(f"Column {column!r} is not read: no known quantity.")
                continue
            values = numbers(table, column) * _factor(heading, table, column, reading)
            parts.append(pd.DataFrame(base).assign(quantity=heading.quantity, value=values))
            said += _unit_said(heading, column)
    if not parts:
        known = ", ".join(q for q in QUANTITIES if q not in ("size", "energy"))
        raise ConfigError(
            f"{table.name} has no column with a quantity.", f'Say which: --map "p_kw=COLUMN". Known: {known}.'
        )
    return _joined(parts), said


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """One table; words stand in it once, whatever its length."""
    every = sorted({str(part["quantity"].iloc[0]) for part in parts if len(part)})
    for part in parts:
        part["quantity"] = pd.Categorical(part["quantity"], categories=every)
    return pd.concat(parts, ignore_index=True)


def _labels(cells: pd.DataFrame, roles: dict[str, str]) -> pd.Series:
    if "device" in roles:
        return _each(cells[roles["device"]], _text)
    place = _each(cells[roles["bus"]], _text)
    if "kind" in roles:
        return _each(cells[roles["kind"]], _kind_word) + "_" + place
    return place


def _each(cells: pd.Series, read: Callable[[object], str]) -> pd.Series:
    """`read` of every cell, called once a word where a column holds words once."""
    return cells.map(read).astype(object)


def _text(cell: object) -> str:
    if isinstance(cell, float) and cell == int(cell):
        return str(int(cell))
    return str(cell).strip().lower()


def _kind_word(cell: object) -> str:
    heading = word(str(cell))
    from hcsim.schedules.dispatch.words import KINDS

    return next((kind for kind, words in KINDS.items() if heading in words), heading)


def _phase_column(table: Table, roles: dict[str, str], names: Names) -> np.ndarray:
    """(rows,) 1 to 3, or WHOLE."""
    if "phase" not in roles:
        return np.zeros(len(table.cells), dtype=np.int64)
    text = _each(table.cells[roles["phase"]], _text)
    whole = {"", "nan", "none", "all", "abc", "123", "1.2.3", "total", "3ph", "three", "sum", "0", "1,2,3", "a,b,c"}
    found: np.ndarray = text.map(lambda t: PHASES.get(t, WHOLE if t in whole else -1)).to_numpy(dtype=np.int64)
    if (found < 0).any():
        at = int(np.flatnonzero(found < 0)[0])
        raise ConfigError(
            f"{table.where(at, roles['phase'])}: {text.iloc[at]!r} is no phase.", "Write 1, 2, 3 or a, b, c."
        )
    return found


def _check_places(table: Table, bus: pd.Series, label: pd.Series, names: Names) -> None:
    places = [b for b in bus.unique() if b]
    strange = [b for b in places if names.place(b) is None]
    if not places:
        strange = [d for d in label.unique() if not names.knows(d)]
        places = list(label.unique())
    if strange:
        raise stranger(table, strange, len(places), names)


def stranger(table: Table, strange: list[str], of: int, names: Names) -> ConfigError:
    """One sentence, however many names are strange."""
    feeder = names.network.name
    if len(strange) >= max(3, 0.8 * of):
        return ConfigError(
            f"{table.name}: {len(strange)} of {of} devices or buses are not in {feeder} ({', '.join(strange[:3])}, "
            "...): this dispatch is for another feeder, or its names are.",
            f"The feeder has {len(names.network.buses)} buses, e.g. {', '.join(names.network.buses[1:4])}.",
        )
    known = [*names.network.buses, *names.units, *names.own]
    close = nearest(strange[0], known, NEAREST)
    shown = ", ".join(repr(s) for s in strange[:5]) + (f" and {len(strange) - 5} more" if len(strange) > 5 else "")
    return ConfigError(
        f"{table.name}: {shown} {'is' if len(strange) == 1 else 'are'} neither a bus of {feeder} nor a device.",
        f"Nearest to {strange[0]!r}: {', '.join(close)}." if close else "",
    )


# -- wide ---------------------------------------------------------------------------------------------------


def _wide(
    table: Table, clock: Clock, rest: list[str], names: Names, reading: Reading
) -> tuple[pd.DataFrame, list[str]]:
    if len(clock) != len(table.cells):
        raise ConfigError(
            f"{table.name} has {len(table.cells)} rows for {len(clock)} times and no column that tells devices apart.",
            'Say which: --map "device=COLUMN" or --map "bus=COLUMN".',
        )
    parts, said, strange = [], [], []
    given = {c: h for role, c in reading.columns.items() if (h := _mapped(role))}
    only = next(iter(names.units)) if len(names.units) == 1 else ""
    for column in rest:
        heading = about(column, names)
        if heading is None and (only or column in given) and (bare := given.get(column) or quantity_of(column)):
            heading = Heading(only, bare.quantity, bare.unit)
        if heading is None or not heading.text:
            if is_number_column(table, column):
                strange.append(column)
            else:
                said.append(f"Column {column!r} is not read: it holds no numbers.")
            continue
        label, bus, phase = _who(heading, names)
        values = numbers(table, column) * _factor(heading, table, column, reading)
        parts.append(
            pd.DataFrame(
                {
                    "step": clock.step,
                    "device": label,
                    "bus": bus,
                    "phase": phase,
                    "kind": heading.kind,
                    "quantity": heading.quantity,
                    "value": values,
                }
            )
        )
        said += _unit_said(heading, column)
    if strange:
        raise stranger(table, [stripped(c).text.lower() or c for c in strange], len(strange) + len(parts), names)
    if not parts:
        raise ConfigError(f"{table.name} has no column about a bus or a device.", 'Say which: --map "bus=COLUMN".')
    return pd.concat(parts, ignore_index=True), said


def _who(heading: Heading, names: Names) -> tuple[str, str, int]:
    """Device label, bus, phase of a wide column."""
    text = heading.text.lower()
    if device := names.device(text):
        return device, "", WHOLE
    place = names.place(text)
    assert place is not None
    bus, phases = place
    label = f"{heading.kind}_{bus}" if heading.kind else bus
    if len(phases) == 1:
        return label, bus, phases[0]
    return label, ".".join([bus, *map(str, phases)]), WHOLE


def _unit_said(heading: Heading, column: str) -> list[str]:
    if heading.quantity in ("p", "q", "charge", "discharge", "curtailed", "available") and not heading.unit:
        return [f"Column {column!r} has no unit: read as {'kvar' if heading.quantity == 'q' else 'kW'}."]
    return []
