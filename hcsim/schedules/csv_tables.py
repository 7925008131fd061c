"""Tables from a user's hand: small rules collect facts about a CSV file, one place raises them together."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from hcsim.errors import ConfigError
from hcsim.util.csv_text import CsvText
from hcsim.util.suggest import did_you_mean
from optim.data.schedule import Floats

MOST_FAULTS = 8
"""As many as a person mends in one go; the rest is counted."""


LARGEST = 1e9
"""Of any number: 1e9 kW are more than all there is."""


@dataclass(frozen=True)
class Column:
    """What a column must hold. Names of `known` are lower case, as OpenDSS has them."""

    name: str
    kind: Literal["number", "name", "step"] = "number"
    minimum: float = -np.inf
    maximum: float = np.inf
    known: Sequence[str] | None = None
    known_from: str = "the feeder"
    optional: bool = False
    """May be missing as a whole; `has` tells."""


class FileErrors:
    """What is wrong with one file, raised together as one ConfigError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: list[tuple[str, str]] = []

    def add(self, what: str, remedy: str) -> None:
        self.found.append((what, remedy))

    def raise_any(self) -> None:
        """Raises ConfigError where something was found."""
        if not self.found:
            return
        shown = self.found[:MOST_FAULTS]
        more = len(self.found) - len(shown)
        if len(self.found) == 1:
            raise ConfigError(f"{self.path}: {shown[0][0]}.", shown[0][1])
        lines = [f"  {what}. {remedy}" for what, remedy in shown]
        raise ConfigError(
            "\n".join([f"{self.path} has {len(self.found)} faults:", *lines]),
            f"\n  ... and {more} more of them." if more else "",
        )


class TableIn:
    """A CSV file with the columns asked for, every cell converted or named as a fault."""

    def __init__(self, path: Path, cells: pd.DataFrame, columns: Sequence[Column]) -> None:
        self.path = path
        self.errors = FileErrors(path)
        self._cells = cells
        self._columns = {c.name: c for c in columns}

    @classmethod
    def read(cls, path: Path, columns: Sequence[Column], times: Sequence[str] | None = None) -> TableIn:
        """Read and check; `times` are the labels of the steps that the file must be about."""
        table = cls(path, _raw(path), columns)
        twice = [name for name in table._cells.columns[table._cells.columns.duplicated()] if name]
        if twice:
            raise ConfigError(f"{path}: column {twice[0]!r} stands there twice.", "Take one out.")
        stated = table._take_nodes()
        table._check_header(with_time=times is not None)
        for column in columns:
            if table.has(column.name):
                table._convert(column, 0 if times is None else len(times))
        table.errors.raise_any()
        if times is not None:
            table._check_time_labels(times)
        table.errors.raise_any()
        table._check_nodes(stated)  # raised with what `unique` or `grids` find
        table._times = tuple(times or ())
        return table

    def row(self, i: int) -> int:
        """Line in the file of the i-th record; the header is line 1."""
        return int(self._cells.index[i])

    def has(self, column: str) -> bool:
        return column in self._cells

    def names(self, column: str) -> tuple[str, ...]:
        return tuple(self._cells[column])

    def values(self, column: str) -> list[Any]:
        """The column as Python numbers or names."""
        found: list[Any] = self._cells[column].tolist()
        return found

    def numbers(self, column: str) -> Floats:
        found: Floats = self._cells[column].to_numpy(float)
        return found

    def unique(self, column: str) -> tuple[str, ...]:
        """The names of a column that may not repeat."""
        names = self.names(column)
        for i in np.flatnonzero(self._cells[column].duplicated().to_numpy()).tolist():
            self.errors.add(f"row {self.row(i)}, column {column}: {names[i]!r} is there twice", "Keep one of the rows.")
        self.errors.raise_any()
        return names

    def pairs(self, *columns: str) -> list[tuple[str, ...]]:
        """Distinct combinations, in order of first appearance."""
        return list(dict.fromkeys(zip(*(self.names(c) for c in columns), strict=True)))

    def grids(self, keys: Sequence[str], expected: Sequence[tuple[str, ...]], values: Sequence[str]) -> list[Floats]:
        """Long rows -> (T, K) arrays, one per value column; K in the order of `expected`, found by name.

        Every step must have every expected name exactly once.
        """
        place = {key: k for k, key in enumerate(expected)}
        steps = self._cells["step"].to_numpy(int)
        at = [place.get(key, -1) for key in zip(*(self.names(c) for c in keys), strict=True)]
        flat = steps * len(expected) + np.array(at, dtype=int)
        for i in np.flatnonzero(pd.Series(flat).duplicated().to_numpy()).tolist():
            self.errors.add(
                f"row {self.row(i)}: {_spell(keys, expected[at[i]])} has step {steps[i]} twice", "Keep one of the rows."
            )
        for cell in np.setdiff1d(np.arange(len(self._times) * len(expected)), flat):
            step, k = divmod(int(cell), len(expected))
            self.errors.add(
                f"no row for step {step} ({self._times[step]}) of {_spell(keys, expected[k])}",
                f"Add it; all {len(self._times)} steps are needed.",
            )
        self.errors.raise_any()
        grids = []
        for value in values:
            grid = np.empty(len(self._times) * len(expected))
            grid[flat] = self.numbers(value)
            grids.append(grid.reshape(len(self._times), len(expected)))
        return grids

    def _take_nodes(self) -> list[str]:
        """Where a node is asked for, `bus` and `phase` say the same: taken out, "" where the file does not have them.
        A file without `node` means them."""
        if "node" not in self._columns or "phase" not in self._cells:
            return []
        if "bus" not in self._cells:  # a source's phases, before they had a bus of their own
            if "node" not in self._cells:
                self._cells = self._cells.rename(columns={"phase": "node"})
            return []
        pairs = zip(self._cells["bus"], self._cells["phase"], strict=True)
        stated = [f"{bus.strip().lower()}.{_whole(phase.strip())}" for bus, phase in pairs]
        self._cells = self._cells.drop(columns=["bus", "phase"])
        if "node" not in self._cells:
            self._cells["node"] = pd.Series(stated, index=self._cells.index, dtype=object)
        return stated

    def _check_nodes(self, stated: Sequence[str]) -> None:
        for i, (name, said) in enumerate(zip(self._cells["node"], stated, strict=True) if stated else ()):
            if name != said:
                self.errors.add(
                    f"row {self.row(i)}: node {name}, but bus and phase say {said}",
                    "Make them the same, or delete the columns bus and phase.",
                )

    def _check_header(self, *, with_time: bool) -> None:
        found, needed = list(self._cells.columns), list(self._columns)
        allowed = [*needed, "time"] if with_time else needed
        if len(found) == 1 and any(mark in found[0] for mark in ";\t"):
            raise ConfigError(
                f"{self.path}: the columns are not separated by commas.",
                "Save it as CSV with commas and decimal points.",
            )
        strange = [c for c in found if c not in allowed]
        for name in needed:
            if name not in found and not self._columns[name].optional:
                near = difflib.get_close_matches(name, strange, n=1)
                hint = f"Rename {near[0]!r}." if near else f"The header must be: {','.join(needed)}."
                self.errors.add(f"row 1: column {name!r} is missing", hint)
        for name in strange:
            self.errors.add(f"row 1: column {name!r} is unknown", did_you_mean(name, allowed))
        for name in dict.fromkeys(c for c in found if found.count(c) > 1):
            self.errors.add(f"row 1: column {name!r} is there twice", "Delete one.")
        self.errors.raise_any()

    def _convert(self, column: Column, steps: int) -> None:
        if column.kind == "name":
            self._convert_names(column)
        else:
            self._convert_numbers(column, steps)

    def _convert_names(self, column: Column) -> None:
        names = [text.strip() for text in self._cells[column.name]]
        known = set(column.known) if column.known is not None else set()
        if column.name in ("node", "bus"):
            names = [n.lower() for n in names]
        for i, name in enumerate(names):
            if not name:
                self._cell_fault(i, column, "is empty", "Fill it in; nothing is guessed.")
            elif column.known is not None and name not in known:
                self._cell_fault(i, column, f"{name!r} is not in {column.known_from}", did_you_mean(name, column.known))
            elif column.name == "node" and "." not in name:
                self._cell_fault(i, column, f"{name!r} names no phase", f"Write {name}.1 for phase 1.")
        self._cells[column.name] = pd.Series(names, index=self._cells.index, dtype=object)

    def _convert_numbers(self, column: Column, steps: int) -> None:
        values = np.full(len(self._cells), np.nan)
        for i, text in enumerate(self._cells[column.name]):
            try:
                values[i] = float(text)  # Python's own parser: the nearest float, so files come back exactly
            except ValueError:
                self._cell_fault(
                    i,
                    column,
                    f"{text!r} is no number" if text.strip() else "is empty",
                    "Write a number with a decimal point; nothing is guessed.",
                )
                continue
            if not np.isfinite(values[i]):
                self._cell_fault(i, column, f"is {text.strip()}", "Fill it in; nothing is guessed.")
            elif abs(values[i]) > LARGEST:
                self._cell_fault(i, column, f"{text} is larger than {LARGEST:g}", "No feeder has that: mend it.")
            elif column.kind == "step" and not (values[i] == int(values[i]) and 0 <= values[i] < steps):
                self._cell_fault(i, column, f"{text!r} is no step", f"Steps go from 0 to {steps - 1}.")
            elif not column.minimum <= values[i] <= column.maximum:
                self._cell_fault(
                    i, column, f"{text} is outside [{column.minimum:g}, {column.maximum:g}]", _range_hint(column)
                )
        if not self.errors.found and column.kind == "step":
            self._cells[column.name] = values.astype(int)
        else:
            self._cells[column.name] = values

    def _check_time_labels(self, times: Sequence[str]) -> None:
        if "time" not in self._cells:
            return
        for i, (step, label) in enumerate(zip(self._cells["step"], self._cells["time"], strict=True)):
            if label.strip() != times[step]:
                self.errors.add(
                    f"row {self.row(i)}, column time: {label!r}, but step {step} is {times[step]!r}",
                    "Mend it, or delete the whole column: step counts.",
                )

    def _cell_fault(self, i: int, column: Column, what: str, remedy: str) -> None:
        self.errors.add(f"row {self.row(i)}, column {column.name}: {what}", remedy)

    _times: tuple[str, ...] = ()


def _raw(path: Path) -> pd.DataFrame:
    """All cells as text; the index has the line of each record."""
    if not path.is_file():
        raise ConfigError(f"{path} is missing.", "A schedule needs it, with a header only if it has no rows.")
    return CsvText.read(path).frame(as_text=True)


def _whole(phase: str) -> str:
    """ "1.0", as a spreadsheet may write it, is phase 1."""
    return phase.removesuffix(".0")


def _spell(keys: Sequence[str], names: tuple[str, ...]) -> str:
    return ", ".join(f"{key} {name}" for key, name in zip(keys, names, strict=True))


def _range_hint(column: Column) -> str:
    if column.name in ("p_charge_kw", "p_discharge_kw"):
        return "Charging and discharging have a column each; neither has a sign."
    if column.maximum == 1.0:
        return "It is a share of 1, not per cent."
    return "Mend the value."
