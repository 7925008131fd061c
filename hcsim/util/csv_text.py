"""CSV as spreadsheets, editors and other programs write it in any country: the one reader of such files.

Separators (comma, semicolon, tab, bar, or what a first line `sep=;` says), decimal points and commas, UTF-8, UTF-16
and Windows-1252 with or without a byte order mark, comments from # on, empty lines. What a table must hold is for its
reader to say; here every record keeps the line of the file that it stands in.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hcsim.errors import ConfigError
from hcsim.util.files import unguarded, with_an_end

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SAMPLE = 200
"""Rows looked at to tell a separator and a decimal sign."""
_COMMA_NUMBER = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d*),\d+([eE][-+]?\d+)?")
_POINT_NUMBER = re.compile(r"[-+]?\d*\.\d+([eE][-+]?\d+)?")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(\.\d{3})+")
_SAYS_SEPARATOR = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_REMARK = re.compile(r"(^|\s)#[^\"]*$")
"""A comment: a # at the beginning or after a space. Names of buses may have one inside."""


@dataclass(frozen=True)
class CsvText:
    """A file's lines without comments and empty ones, and how it writes cells and numbers."""

    path: Path
    lines: tuple[str, ...]
    """The header first."""
    numbers: tuple[int, ...]
    """Of each line in the file, from 1."""
    separator: str
    decimal: str
    encoding: str = "utf-8-sig"

    @classmethod
    def read(cls, path: Path, remedy: str = "It needs at least its header.", most_bytes: int | None = None) -> CsvText:
        """Read a file and find out how it is written. `remedy` is said where it is empty; `most_bytes`: the whole
        lines within these alone, of a file that is too large to hold.

        Raises
        ------
        ConfigError
            The file is missing, empty, or no text.
        """
        text, encoding = _text(path, most_bytes)
        found = list(_lines(text))
        separator = ""
        if found and (says := _SAYS_SEPARATOR.fullmatch(found[0][1].strip())) and says[1] in SEPARATORS:
            separator, found = says[1], found[1:]
        if not found:
            raise ConfigError(f"{path} is empty: it cannot be read as CSV.", remedy)
        lines = [line for _, line in found]
        try:
            separator = separator or _separator(lines)
            decimal = _decimal(lines, separator)
        except csv.Error as error:
            raise ConfigError(f"{path} cannot be read as CSV: {error}.", "A quotation mark too many?") from None
        blank = separator + ' \t"'
        found = [(n, line) for n, line in found if line.strip(blank)] or found[:1]
        lines = [line for _, line in found]
        return cls(path, tuple(lines), tuple(n for n, _ in found), separator, decimal, encoding)

    @property
    def header(self) -> list[str]:
        """Cells of the first line."""
        return [cell.strip() for cell in next(csv.reader([self.lines[0]], delimiter=self.separator))]

    @property
    def words(self) -> str:
        """What is not plain CSV about it: "semicolon-separated, decimal comma"; empty for commas and points."""
        if self.separator == "," and self.decimal == ".":
            return ""
        return f"{SEPARATORS[self.separator]}-separated, decimal {'comma' if self.decimal == ',' else 'point'}"

    def frame(self, *, as_text: bool = False, header: bool = True) -> pd.DataFrame:
        """The records below the header; the index is the line that each stands in.

        Parameters
        ----------
        as_text
            Leave every cell a text, numbers with a decimal point, empty ones "". Else columns of numbers are
            numbers, and empty cells NaN.
        header
            Whether the first line names the columns; else they are 0, 1, ...

        Raises
        ------
        ConfigError
            A record has more cells than the header, with its line.
        """
        try:
            cells = self._parsed(self.lines, as_text, header)
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            cells = self._parsed(self._cut_to_width(str(error)), as_text, header)
        except (pd.errors.EmptyDataError, ValueError) as error:
            raise ConfigError(f"{self.path} cannot be read as CSV: {_one_line(error)}.") from None
        if any("'" in line for line in self.lines):  # what we put before names that a spreadsheet would run
            cells = cells.map(lambda cell: unguarded(cell) if isinstance(cell, str) else cell)
        if header:
            cells.columns = pd.Index([unguarded(str(c).strip()) for c in cells.columns])
        first = 1 if header else 0
        if len(cells) == len(self.numbers) - first:  # else a cell in quotes goes over several lines
            cells.index = pd.Index(self.numbers[first:])
        else:
            cells.index = pd.RangeIndex(self.numbers[0] + first, self.numbers[0] + first + len(cells))
        return cells

    def _parsed(self, lines: tuple[str, ...], as_text: bool, header: bool) -> pd.DataFrame:
        text_first = as_text or self.decimal == ","
        # pandas would rename a column that is there twice; whoever asks for text wants to say so
        head = None if as_text or not header else 0
        with warnings.catch_warnings():  # surplus cells would be cut off, or taken for an index, in silence
            warnings.simplefilter("error", pd.errors.ParserWarning)
            cells = pd.read_csv(
                io.StringIO("\n".join(lines) + "\n"),
                sep=self.separator,
                header=head,
                index_col=False,
                skipinitialspace=True,
                dtype=str if text_first else None,
                keep_default_na=not as_text,
                low_memory=False,
            )
        if as_text and header:
            names = [str(name) for name in cells.iloc[0].fillna("")]
            cells = cells.iloc[1:].set_axis(names, axis=1)
        if as_text:
            cells = cells.astype(object).where(cells.notna(), "")
        if self.decimal == ",":
            columns = [_with_points(cells.iloc[:, k]) for k in range(cells.shape[1])]
            columns = columns if as_text else [_as_numbers(column) for column in columns]
            cells = pd.concat(columns, axis=1) if columns else cells
        return cells

    def _cut_to_width(self, otherwise: str) -> tuple[str, ...]:
        """Lines without separators that end them for nothing, as spreadsheets leave them. Raises ConfigError where
        something stands behind them."""
        width, cut = len(self.header), []
        for number, line in zip(self.numbers, self.lines, strict=True):
            row = next(csv.reader([line], delimiter=self.separator), [])
            if any(cell.strip() for cell in row[width:]):
                raise ConfigError(
                    f"{self.path} cannot be read as CSV: line {number} has more cells than the header has columns "
                    f"({len(row)}, not {width}).",
                    "Look for a separator too many, or a decimal comma between commas.",
                )
            for _ in row[width:]:
                line = line.rstrip().removesuffix(self.separator)
            cut.append(line)
        if tuple(cut) == self.lines:
            raise ConfigError(f"{self.path} cannot be read as CSV: {_one_line(otherwise)}.")
        return tuple(cut)


def _text(path: Path, most_bytes: int | None = None) -> tuple[str, str]:
    """The text, and its encoding."""
    with_an_end(path)
    try:
        if most_bytes is None:
            raw = path.read_bytes()
        else:
            with path.open("rb") as file:
                raw = file.read(most_bytes)
            raw = raw[: raw.rfind(b"\n") + 1] or raw
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from None
    for mark, kind, ending in (
        (b"PK\x03\x04", "a zip or Excel file", ".xlsx"),
        (b"PAR1", "a Parquet file", ".parquet"),
    ):
        if raw.startswith(mark):
            raise ConfigError(f"{path} is {kind} by its content.", f"Give it its ending, {ending}, or save it as CSV.")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace"), "utf-16"
    if b"\x00" in raw:
        raise ConfigError(f"{path} is not a text file: it cannot be read as CSV.", "Save it as CSV.")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return raw.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1"), "latin-1"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        kept = _REMARK.sub("", line.rstrip("\r\n")) if "#" in line else line.rstrip("\r\n")
        if kept.strip():
            yield number, kept


def _separator(lines: list[str]) -> str:
    """The mark that cuts the header into most columns, and the rows after it into as many."""
    counts = {mark: len(next(csv.reader([lines[0]], delimiter=mark))) for mark in SEPARATORS}

    def steady(mark: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines[1:20], delimiter=mark)]
        return (sum(w == counts[mark] for w in widths), counts[mark])

    several = [mark for mark in SEPARATORS if counts[mark] > 1]
    return max(several, key=steady) if several else ","


def _decimal(lines: list[str], separator: str) -> str:
    """ "," where more numbers have a comma than a point. Between commas a comma is never one."""
    if separator == ",":
        return "."
    cells = [cell.strip() for row in csv.reader(lines[1:_SAMPLE], delimiter=separator) for cell in row]
    with_comma = sum(bool(_COMMA_NUMBER.fullmatch(c)) for c in cells)
    with_point = sum(bool(_POINT_NUMBER.fullmatch(c)) for c in cells)
    return "," if with_comma > with_point else "."


def _with_points(column: pd.Series) -> pd.Series:
    """A column of a file with decimal commas: "1.234,5" becomes "1234.5", names stay as they are.

    A point is that of thousands ("1.234") where it can be one in every number of the column. Where commas and decimal
    points stand in one column, the points are left: whoever reads them finds a number only where it is one.
    """
    text = column.where(column.notna(), "").str.strip()
    commas = text.str.fullmatch(_COMMA_NUMBER)
    points = text.str.fullmatch(_POINT_NUMBER) & ~commas
    thousands = text.str.fullmatch(_THOUSANDS)
    meant = commas | thousands if bool((thousands | ~points).all()) else commas
    changed = text[meant].str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    found = column.copy()
    found[meant] = changed
    return found


def _as_numbers(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers if bool((numbers.notna() | column.isna()).all()) else column


def _one_line(error: object) -> str:
    return str(error).splitlines()[0].strip().rstrip(".") if str(error).strip() else "no table"


def float_of(cell: str) -> float:
    """A cell as a number, NaN where it is none."""
    try:
        return float(cell)
    except ValueError:
        return float("nan")
