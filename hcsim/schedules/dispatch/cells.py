"""A file of any common kind as one table of cells: CSV in any separator and decimal sign, Excel, Parquet, JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
from pandas.api.types import union_categoricals

from hcsim.errors import ConfigError
from hcsim.util.csv_text import CsvText

LARGE_BYTES = 64 << 20
"""A text file above this is read in pieces."""
CHUNK_ROWS = 200_000
HEAD_BYTES = 1 << 16
"""Of a large file, what tells how it is written."""
_SAMPLE = 200
"""Cells looked at to tell what a column holds."""


@dataclass(frozen=True)
class Table:
    """Cells under their header, with where they come from. Line numbers are those an editor or Excel shows."""

    cells: pd.DataFrame
    """Text, numbers or timestamps; the index is the position of the record, from 0."""
    name: str
    """What a message calls it: the file."""
    first_line: int
    """Line of the first record."""
    said: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()
    """Of every record, where comments or empty lines stand between."""

    def line(self, record: int) -> int:
        position = int(self.cells.index[record])
        return self.lines[position] if self.lines else position + self.first_line

    def where(self, record: int, column: str) -> str:
        return f"{self.name}, row {self.line(record)}, column {column!r}"


def read_table(source: str | Path | pd.DataFrame | Mapping[str, Any] | Sequence[Any], sheet: str = "") -> Table:
    """Read a file, or take a frame, records or columns that are in memory already.

    Parameters
    ----------
    source
        Path of a .csv, .tsv, .txt, .xlsx, .parquet or .json file; a DataFrame (its index is used where it has a
        name or is a time axis); a list of records; a mapping of columns.
    sheet
        Name of the sheet of a workbook that has several.

    Raises
    ------
    ConfigError
        The file is missing, empty or of no known kind; a workbook has several sheets or merged cells.
    """
    if isinstance(source, pd.DataFrame):
        return _filled(Table(_plain(_with_index(source)), "the frame", 1))
    if isinstance(source, Mapping):
        return _filled(Table(_plain(_made(dict(source), "the mapping")), "the mapping", 1))
    if isinstance(source, Sequence) and not isinstance(source, str):
        return _filled(Table(_plain(_made(list(source), "the records")), "the records", 1))
    path = Path(source)
    if path.is_dir():
        raise ConfigError(f"{path} is a folder, not a table.", "Name the file in it.")
    if not path.is_file():
        raise ConfigError(f"There is no file {path}.", "Name the dispatch: CSV, Excel, Parquet or JSON.")
    if path.stat().st_size == 0:
        raise ConfigError(f"{path} is empty.", "It needs a header and a row for every step.")
    kind = path.suffix.lower()
    if kind in (".xlsx", ".xlsm"):
        table = _excel(path, sheet)
    elif kind in (".parquet", ".pq"):
        table = Table(_plain(_with_index(_guarded(path, "Parquet", pd.read_parquet))), str(path), 1)
    elif kind == ".json":
        table = Table(_plain(_json(path)), str(path), 1)
    elif kind in (".xls", ".ods"):
        raise ConfigError(f"{path}: {kind} workbooks are not read.", "Save it as .xlsx or as CSV.")
    else:
        table = _text(path)
    return _filled(table)


def _filled(table: Table) -> Table:
    if table.cells.empty:
        raise ConfigError(f"{table.name} has no rows.", "It needs a header and a row for every step.")
    return table


def _made(content: Any, name: str) -> pd.DataFrame:
    try:
        return pd.DataFrame(content)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{name} cannot be read as a table: {error}.", "Columns of one length, or records.") from None


def numbers(table: Table, column: str, *, empty: float = np.nan) -> np.ndarray:
    """(rows,) a column as numbers; empty cells are `empty`. Raises ConfigError naming every row that is none."""
    cells = table.cells[column]
    if pd.api.types.is_numeric_dtype(cells):
        values = cells.to_numpy(dtype=float)
        return np.where(np.isnan(values), empty, values)
    text = cells.map(
        lambda c: "" if c is None or c is pd.NaT or (isinstance(c, float) and np.isnan(c)) else str(c).strip()
    )
    values = pd.to_numeric(text.where(text != "", None), errors="coerce").to_numpy(dtype=float)
    wrong = np.flatnonzero(
        np.isnan(values) & ~text.str.lower().isin(["", "nan", "na", "n/a", "null", "none"]).to_numpy()
    )
    if len(wrong):
        shown = "; ".join(f"row {table.line(i)}: {text.iloc[i]!r}" for i in wrong[:5])
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ConfigError(f"{table.name}, column {column!r}: no number in {shown}{more}.", "Write numbers there.")
    return np.where(np.isnan(values), empty, values)


def is_number_column(table: Table, column: str) -> bool:
    """Whether most filled cells of a column are numbers."""
    cells = table.cells[column]
    if pd.api.types.is_bool_dtype(cells) or pd.api.types.is_datetime64_any_dtype(cells):
        return False
    if pd.api.types.is_numeric_dtype(cells):
        return True
    filled = cells.dropna().astype(str).str.strip()
    filled = filled[filled != ""].head(_SAMPLE)
    return bool(len(filled)) and bool(pd.to_numeric(filled, errors="coerce").notna().mean() > 0.5)


def _guarded(path: Path, what: str, read: Any) -> pd.DataFrame:
    try:
        frame = read(path)
    except Exception as error:  # libraries raise whatever they like on a broken file
        raise ConfigError(f"{path} cannot be read as {what}: {str(error).splitlines()[0]}.") from None
    assert isinstance(frame, pd.DataFrame)
    return frame


def _with_index(frame: pd.DataFrame) -> pd.DataFrame:
    named = any(name is not None for name in frame.index.names)
    if named or isinstance(frame.index, pd.DatetimeIndex):
        return frame.reset_index(names=["time"] if not named else None)
    return frame


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """One header row of text, records numbered, wholly empty rows and columns gone."""
    frame = frame.copy()
    if isinstance(frame.columns, pd.MultiIndex):
        frame.columns = [" ".join(str(part) for part in parts if str(part)) for parts in frame.columns]
    frame.columns = [str(c).strip() for c in frame.columns]
    frame = frame.reset_index(drop=True)
    twice = frame.columns[frame.columns.duplicated()].tolist()
    if twice:
        raise ConfigError(f"Two columns are called {twice[0]!r}.", "Rename one.")
    empty_rows, keep = np.ones(len(frame), dtype=bool), []
    for column in frame.columns:
        blank = _blank(frame[column])
        empty_rows &= blank
        if not (blank.all() and (not column or column.startswith("Unnamed"))):
            keep.append(column)
    frame = frame[keep]
    return frame.loc[~empty_rows] if empty_rows.any() else frame


def _blank(cells: pd.Series) -> np.ndarray:
    """(rows,) cells with nothing in them."""
    missing = cells.isna().to_numpy()
    if isinstance(cells.dtype, pd.CategoricalDtype):
        empty = [k for k, c in enumerate(cells.cat.categories) if isinstance(c, str) and not c.strip()]
        return np.asarray(missing | np.isin(cells.cat.codes, empty))
    if cells.dtype == object or pd.api.types.is_string_dtype(cells):
        return np.asarray(missing | cells.map(lambda c: isinstance(c, str) and not c.strip()).to_numpy(dtype=bool))
    return np.asarray(missing)


# -- text ---------------------------------------------------------------------------------------------------


def _text(path: Path) -> Table:
    if path.stat().st_size > LARGE_BYTES:
        return _streamed(path)
    text = CsvText.read(path)
    frame = text.frame()
    said = (f"{path.name}: {text.words}.",) if text.words else ()
    return Table(_plain(frame), str(path), 0, said, tuple(int(line) for line in frame.index))


def _streamed(path: Path) -> Table:
    """A large file piece by piece; a word is kept once, so that a gigabyte of rows takes less in memory."""
    head = CsvText.read(path, most_bytes=HEAD_BYTES)
    parts: list[pd.DataFrame] = []
    try:
        for part in pd.read_csv(
            path,
            sep=head.separator,
            decimal=head.decimal,
            thousands="." if head.decimal == "," else None,
            encoding=head.encoding,
            encoding_errors="replace",
            comment="#",
            skiprows=head.numbers[0] - 1,
            skipinitialspace=True,
            index_col=False,
            chunksize=CHUNK_ROWS,
        ):
            words = [c for c in part.columns if part[c].dtype == object or pd.api.types.is_string_dtype(part[c])]
            parts.append(part.astype(dict.fromkeys(words, "category")))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        words_said = str(error).splitlines()[0].strip().rstrip(".")
        raise ConfigError(f"{path} cannot be read as CSV: {words_said}.", "Look for a separator too many.") from None
    columns: dict[str, Any] = {}
    for name in list(parts[0].columns):
        pieces = [part.pop(name) for part in parts]
        if all(isinstance(piece.dtype, pd.CategoricalDtype) for piece in pieces):
            columns[name] = union_categoricals(pieces)
        else:
            plain = [p.astype(object) if isinstance(p.dtype, pd.CategoricalDtype) else p for p in pieces]
            columns[name] = pd.concat(plain, ignore_index=True)
    said = (f"{path.name}: {head.words}.",) if head.words else ()
    return Table(_plain(pd.DataFrame(columns)), str(path), head.numbers[0] + 1, said)


# -- workbooks and JSON -------------------------------------------------------------------------------------


def _excel(path: Path, sheet: str) -> Table:
    try:
        book = openpyxl.load_workbook(path, data_only=True)
    except Exception as error:
        raise ConfigError(f"{path} cannot be read as a workbook: {str(error).splitlines()[0]}.") from None
    filled = {s.title: s for s in book.worksheets if s.max_row > 1 or s.max_column > 1}
    if sheet and sheet not in book.sheetnames:
        raise ConfigError(f"{path} has no sheet {sheet!r}.", f"It has: {', '.join(book.sheetnames)}.")
    if not sheet and len(filled) > 1:
        raise ConfigError(
            f"{path} has several sheets: {', '.join(filled)}.", f'Say which: --map "sheet={next(iter(filled))}".'
        )
    if not sheet and not filled:
        raise ConfigError(f"{path} has no filled sheet.")
    chosen = book[sheet] if sheet else next(iter(filled.values()))
    if merged := [str(r) for r in chosen.merged_cells.ranges]:
        raise ConfigError(
            f"{path}, sheet {chosen.title}: cells {', '.join(merged[:5])} are merged.",
            "Take the merging off: a cell, a value.",
        )
    rows = [list(row) for row in chosen.iter_rows(values_only=True)]
    start = next((i for i, row in enumerate(rows) if sum(c is not None for c in row) > 1), 0)
    header = [f"Unnamed {k}" if c is None else str(c) for k, c in enumerate(rows[start])]
    frame = pd.DataFrame(rows[start + 1 :], columns=header)
    said = (f"{path.name}: sheet {chosen.title}.",) if sheet else ()
    return Table(_plain(frame), f"{path}, sheet {chosen.title}", start + 2, said)


def _json(path: Path) -> pd.DataFrame:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid JSON: {error}.") from None
    if isinstance(content, dict):
        lists = {k: v for k, v in content.items() if isinstance(v, list)}
        records = [k for k, v in lists.items() if v and all(isinstance(r, dict) for r in v)]
        if len(records) == 1:
            content = lists[records[0]]
        elif lists and len({len(v) for v in lists.values()}) == 1:
            return pd.DataFrame(lists)
        elif records:
            raise ConfigError(f"{path} has several lists of records: {', '.join(records)}.", "Keep one of them.")
    if isinstance(content, list) and content and all(isinstance(r, dict) for r in content):
        return pd.DataFrame(content)
    raise ConfigError(
        f"{path} holds neither records nor columns.", 'Write [{"time": ..., "bus": ..., "p_kw": ...}, ...].'
    )
