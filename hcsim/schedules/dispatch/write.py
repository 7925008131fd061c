"""A `Schedule` as the two tables that `read_dispatch` takes, and back to the same numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from optim.data.schedule import Schedule
from optim.data.schedule_frame import source_names, to_frame

COLUMNS = ("time", "name", "bus", "phase", "kind", "p_kw", "q_kvar", "charge_kw", "discharge_kw", "soc_kwh")


UNIT_COLUMNS = (
    "name",
    "bus",
    "phases",
    "kind",
    "kw",
    "kva",
    "kwh",
    "eta_charge",
    "eta_discharge",
    "soc_min",
    "soc_max",
    "soc_start",
)
"""Of a units table, in order."""


def dispatch_table(
    schedule: Schedule, names: Sequence[str] | None = None, kinds: Sequence[str] | None = None
) -> pd.DataFrame:
    """Long, with COLUMNS: a row per time, device and phase.

    `p_kw` of sources is positive into the network, batteries charge and discharge in columns of their own; SoC stands
    on a unit's first phase, at the end of the step. `names` and `kinds` (G,) are the sources'.
    """
    table = to_frame(schedule, names, kinds).reindex(columns=list(COLUMNS))
    battery = table["kind"] == "bess"
    table.loc[battery, "p_kw"] = np.nan
    again = battery & table.duplicated(["time", "name"])
    table.loc[again, "soc_kwh"] = 0.0
    table["q_kvar"] = table["q_kvar"].fillna(0.0)
    return table


def units_table(
    schedule: Schedule, names: Sequence[str] | None = None, kinds: Sequence[str] | None = None
) -> pd.DataFrame:
    """name, bus, phases, kind, kw, kva, kwh, eta_charge, eta_discharge, soc_min, soc_max, soc_start."""
    s = schedule
    kva = s.pv_kw if s.pv_kva is None else s.pv_kva
    called = source_names(s) if names is None else names
    rows: dict[str, dict[str, object]] = {}
    for g, node in enumerate(s.pv_nodes):
        bus, phase = node.rsplit(".", 1)
        kind = "pv" if kinds is None else kinds[g]
        row = rows.setdefault(called[g], {"bus": bus, "phases": [], "kind": kind, "kw": 0.0, "kva": 0.0})
        row["phases"] = [*row["phases"], phase]  # type: ignore[misc]
        row["kw"] = float(row["kw"]) + float(s.pv_kw[g])  # type: ignore[arg-type]
        row["kva"] = float(row["kva"]) + float(kva[g])  # type: ignore[arg-type]
    for u, unit in enumerate(s.bess):
        mine = [d for d, of in enumerate(s.bess_of) if of == u]
        rated = unit.power_kw if s.bess_kva is None else float(s.bess_kva[mine].sum())
        rows[unit.name] = {
            "bus": unit.bus,
            "phases": [s.bess_nodes[d].rsplit(".", 1)[1] for d in mine],
            "kind": "bess",
            "kw": unit.power_kw,
            "kva": rated,
            "kwh": unit.energy_kwh,
            "eta_charge": unit.eta_charge,
            "eta_discharge": unit.eta_discharge,
            "soc_min": unit.soc_min,
            "soc_max": unit.soc_max,
            "soc_start": float(s.soc_kwh[0, u]) / unit.energy_kwh,
        }
    table = pd.DataFrame([{"name": name, **row, "phases": ".".join(row["phases"])} for name, row in rows.items()])  # type: ignore[arg-type]
    return table.reindex(columns=list(UNIT_COLUMNS))
