"""Tables of pages: headings in the words of the glossary, as many digits as are true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

MAX_ROWS = 5_000
HEADINGS = {
    "hc_kw": "hosting capacity, kW",
    "binding_element": "at",
    "binding_phase": "phase",
    "binding_hour": "hour",
    "passes_again_from_kw": "passes again from, kW",
    "passes_again_to_kw": "to, kW",
    "pv_kw": "PV, kW",
    "penetration_pct": "penetration, %",
    "worst_v_pu": "worst voltage, pu",
    "worst_value": "worst",
    "worst_time": "at hour",
    "what_binds": "what binds there",
}
"""Columns whose name in files says less than a heading can."""
UNITS: dict[str, tuple[str, int]] = {
    "kw": ("kW", 1), "kwh": ("kWh", 1), "kvar": ("kvar", 1), "kvarh": ("kvarh", 1), "kva": ("kVA", 1),
    "pu": ("pu", 4), "pct": ("%", 1), "h": ("h", 1), "s": ("s", 1), "kwh_a_day": ("kWh a day", 1),
}  # fmt: skip
"""Ending of a column's name -> unit and digits."""
WHOLE = frozenset({"hc_kw"})
"""Columns searched to the kW."""
CRITERION_OF = frozenset({"criterion", "what_binds", "first", "limit"})
"""Columns that may name a criterion as files do."""
LONG = 40
"""Rows from which a map comes before its table."""
LEAST = 1e-9
"""Numbers without a unit that are smaller are what rounding left of zero."""
WHOLE_FROM = 1_000.0
"""Powers and energies from here on are whole."""


def table(title: str, frame: pd.DataFrame, *, caption: str = "", most: int = MAX_ROWS) -> dict[str, Any]:
    """What `parts.table` draws: columns with their words, rows of texts; longer ones are cut, and say so."""
    numeric = [pd.api.types.is_numeric_dtype(frame[c]) and frame[c].dtype != bool for c in frame.columns]
    shown = frame.head(most)
    return {
        "title": title,
        "caption": caption,
        "columns": [{"words": heading(str(c)), "number": bool(n)} for c, n in zip(frame.columns, numeric, strict=True)],
        "rows": [
            [cell(v, str(c)) for v, c in zip(row, frame.columns, strict=True)]
            for row in shown.itertuples(index=False, name=None)
        ],
        "more": len(frame) - len(shown),
        "long": len(shown) > LONG,
    }


def heading(column: str) -> str:
    """ "losses_kwh" is "losses, kWh"."""
    if column in HEADINGS:
        return HEADINGS[column]
    name, _, ending = column.rpartition("_")
    if column in UNITS:
        return UNITS[column][0]
    if name and ending in UNITS:
        return f"{name.replace('_', ' ')}, {UNITS[ending][0]}"
    return column.replace("_", " ")


def cell(value: Any, column: str = "") -> str:
    """A value as it is read; nothing where there is none."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None:
        return ""
    if not isinstance(value, float | np.floating):
        text = f"{value:,}" if isinstance(value, int | np.integer) else str(value)
        return text.replace("_", " ") if column in CRITERION_OF else text
    return _number(float(value), column)


def _number(value: float, column: str) -> str:
    if not np.isfinite(value):
        return ""
    unit, digits = UNITS.get(column.rpartition("_")[2], ("", -1))
    if digits < 0:
        value = 0.0 if abs(value) < LEAST else value
        return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4g}"
    if column in WHOLE or (unit not in ("pu", "%") and abs(value) >= WHOLE_FROM):
        digits = 0
    return f"{round(value, digits) + 0.0:,.{digits}f}"
