"""Several dispatches on one feeder, side by side: one table for terminal, page and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from hcsim import __version__
from hcsim.replay.spans import hours_broken
from hcsim.results.validation import WORDS, Validation
from hcsim.util.files import output_folder, write_csv, write_text


def comparison(answers: Sequence[Validation], names: Sequence[str]) -> pd.DataFrame:
    """A row per quantity, a column per dispatch; numbers as numbers, the rest as words."""
    columns = {name: _column(found) for name, found in zip(names, answers, strict=True)}
    rows = list(dict.fromkeys(key for column in columns.values() for key in column))
    table = {name: [column.get(key) for key in rows] for name, column in columns.items()}
    return pd.DataFrame({"quantity": rows, **table}, dtype=object)


def _column(found: Validation) -> dict[str, object]:
    s, h = found.schedule, found.schedule.step_h
    fresh = found.spans[found.spans["is_new"]] if len(found.spans) else found.spans
    out: dict[str, object] = {
        "verdict": WORDS[found.verdict],
        "verdict, strict": WORDS[found.verdict_strict],
        "PV and generators, kW": round(s.hc_kw, 1),
        "batteries, kWh": round(sum(u.energy_kwh for u in s.bess), 1),
        "energy of PV and generators, kWh": round(float(s.pv_p_kw.sum() * h), 1),
        "energy discharged, kWh": round(float(s.p_discharge_kw.sum() * h), 1),
        "new violations": len(found.new_violations),
        "existing violations": len(found.violations) - len(found.new_violations),
        "ANSI A, node-hours outside": found.ansi["ansi_a"]["node_hours"],
        "ANSI B, node-hours outside": found.ansi["ansi_b"]["node_hours"],
    }
    broken = hours_broken(fresh, h)
    for worst in found.worst():
        kind = str(worst["criterion"])
        out[f"{kind.replace('_', ' ')}, worst new"] = (
            f"{worst['value']:.4g} {worst['unit']} at {worst['bus']}"
            f"{'.' + worst['phase'] if worst['phase'] else ''}, {worst['hour']}"
            if worst["value"] is not None
            else f"at {worst['bus']}, {worst['hour']}"
        )
        out[f"{kind.replace('_', ' ')}, hours"] = broken[kind]
    out |= {
        "findings of the dispatch by itself": len(found.dispatch_findings),
        "commanded, not delivered, kWh": round(found.replay.energy_not_delivered_kwh, 2),
        "curtailed, kWh": round(found.curtailed_kwh, 1),
        "losses, kWh": round(float(np.nansum(found.replay.losses_kw) * h), 1),
        "tap steps": found.replay.tap_operations,
        "largest share that passes": 1.0 if found.holds else found.scales.whole,
        "smallest repair, kWh": 0.0 if found.holds else found.repair_kwh,
    }
    return out


def write_comparison(answers: Sequence[Validation], names: Sequence[str], folder: Path) -> Path:
    """compare.csv and compare.html, which links each dispatch's own page. Raises OutputError."""
    folder = output_folder(folder)
    table = comparison(answers, names)
    write_csv(folder / "compare.csv", table)
    environment = Environment(
        loader=PackageLoader("hcsim.report", "templates"), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("compare.html.j2").render(
        feeder=answers[0].feeder,
        names=list(names),
        rows=[[cell_words(v) for v in row] for row in table.itertuples(index=False)],
        version=__version__,
    )
    return write_text(folder / "compare.html", page)


def cell_words(value: object) -> str:
    """A cell as it is read: 1,234.5, "–" for what was not sought or found."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "–"
    return f"{value:,.10g}" if isinstance(value, int | float) else str(value)
