"""CSV as spreadsheets write it in different countries."""

from __future__ import annotations

import re

import pandas as pd

_DECIMAL_COMMA = re.compile(r"^\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*$")


def header_of(text: str) -> str:
    """The first line of a file that is neither empty nor a comment (#)."""
    return next((line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")), "")


def is_european(text: str) -> bool:
    """Whether columns are separated by semicolons, so that a comma is the decimal point."""
    return ";" in header_of(text)


def with_decimal_points(cells: pd.DataFrame) -> pd.DataFrame:
    """Texts of a file with semicolons: "0,5" becomes "0.5", names stay as they are."""
    return cells.map(
        lambda text: text.replace(",", ".") if isinstance(text, str) and _DECIMAL_COMMA.match(text) else text
    )
