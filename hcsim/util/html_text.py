"""What a notebook shows of a result: a sentence and a table, names of a feeder as text."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def shown(words: str, table: pd.DataFrame) -> str:
    """The sentence above the table; numbers to a tenth, what is not there as a dash."""
    rounded = table.to_html(index=False, escape=True, na_rep="–", border=0, float_format=lambda x: f"{x:,.1f}")
    return f"<p>{html.escape(words)}</p>{rounded}"
