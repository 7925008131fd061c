"""A `Schedule` as the two tables that `read_dispatch` takes, and back to the same numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optim.data.schedule import Schedule


def dispatch_table(schedule: Schedule) -> pd.DataFrame:
    """Long: time, step, name, bus, phase, kind, p_kw, q_kvar, charge_kw, discharge_kw, soc_kwh; a row per time, device
    and phase. `p_kw` is positive into the network; SoC stands on a unit's first phase, at the end of the step."""
    s, steps = schedule, len(schedule.times)
    parts = []
    for g, node in enumerate(s.pv_nodes):
        bus, phase = node.rsplit(".", 1)
        parts.append(_rows(s, f"pv_{bus}", bus, phase, "pv").assign(p_kw=s.pv_p_kw[:, g], q_kvar=s.pv_q_kvar[:, g]))
    q = np.zeros((steps, len(s.bess_nodes))) if s.bess_q_kvar is None else s.bess_q_kvar
    first: set[int] = set()
    for d, (node, u) in enumerate(zip(s.bess_nodes, s.bess_of, strict=True)):
        bus, phase = node.rsplit(".", 1)
        soc = s.soc_kwh[1:, u] if u not in first else np.zeros(steps)
        first.add(u)
        parts.append(
            _rows(s, s.bess[u].name, bus, phase, "bess").assign(
                charge_kw=s.p_charge_kw[:, d], discharge_kw=s.p_discharge_kw[:, d], q_kvar=q[:, d], soc_kwh=soc
            )
        )
    columns = ["time", "name", "bus", "phase", "kind", "p_kw", "q_kvar", "charge_kw", "discharge_kw", "soc_kwh"]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return table.reindex(columns=columns)


def units_table(schedule: Schedule) -> pd.DataFrame:
    """name, bus, phases, kind, kw, kva, kwh, eta_charge, eta_discharge, soc_min, soc_max, soc_start."""
    s = schedule
    kva = s.pv_kw if s.pv_kva is None else s.pv_kva
    rows: dict[str, dict[str, object]] = {}
    for g, node in enumerate(s.pv_nodes):
        bus, phase = node.rsplit(".", 1)
        row = rows.setdefault(f"pv_{bus}", {"bus": bus, "phases": [], "kind": "pv", "kw": 0.0, "kva": 0.0})
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
    columns = [
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
    ]
    return table.reindex(columns=columns)


def _rows(s: Schedule, name: str, bus: str, phase: str, kind: str) -> pd.DataFrame:
    return pd.DataFrame({"time": list(s.times), "name": name, "bus": bus, "phase": phase, "kind": kind})
