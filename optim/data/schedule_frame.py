"""A `Schedule` as one pandas table that holds all of it, and its fields back; `Schedule` itself calls it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optim.errors import ModelError

Floats = NDArray[np.float64]
FRAME_COLUMNS = (
    "time",
    "name",
    "bus",
    "phase",
    "kind",
    "p_kw",
    "q_kvar",
    "charge_kw",
    "discharge_kw",
    "soc_kwh",
    "size_kw",
    "size_kva",
    "energy_kwh",
    "eta_charge",
    "eta_discharge",
    "soc_min",
    "soc_max",
    "soc_start_kwh",
    "step_h",
)


class Unit(NamedTuple):
    """The fields of a BessUnit."""

    name: str
    bus: str
    energy_kwh: float
    power_kw: float
    eta_charge: float
    eta_discharge: float
    soc_min: float
    soc_max: float


NEEDED = ("time", "bus", "phase", "kind")
ETA = 0.95
"""One-way efficiency where a frame does not say."""


def source_names(schedule: Any) -> tuple[str, ...]:
    """(G,) "pv_18" for the phases of bus 18; a second plant at the same node is "pv_18_2"."""
    seen: dict[str, int] = {}
    names = []
    for node in schedule.pv_nodes:
        seen[node] = seen.get(node, 0) + 1
        bus = node.rsplit(".", 1)[0]
        names.append(f"pv_{bus}" + (f"_{seen[node]}" if seen[node] > 1 else ""))
    return tuple(names)


def to_frame(schedule: Any, names: Sequence[str] | None = None, kinds: Sequence[str] | None = None) -> pd.DataFrame:
    """A row per time, device and phase, with FRAME_COLUMNS.

    `p_kw` and `q_kvar` are positive into the network, `p_kw` of a battery is its discharge less its charge; `soc_kwh`
    is the unit's stored energy at the end of the step, on each of its phases; sizes are those of the phase, but for
    `energy_kwh`, which is the unit's. `names` and `kinds` (G,) are the sources' ("pv_18", "pv" by default).
    """
    s = schedule
    names = source_names(s) if names is None else names
    kinds = ["pv"] * len(s.pv_nodes) if kinds is None else kinds
    parts = []
    for g, node in enumerate(s.pv_nodes):
        parts.append(
            _rows(s, names[g], node, kinds[g]).assign(
                p_kw=s.pv_p_kw[:, g],
                q_kvar=s.pv_q_kvar[:, g],
                size_kw=s.pv_kw[g],
                size_kva=np.nan if s.pv_kva is None else s.pv_kva[g],
            )
        )
    for d, (node, u) in enumerate(zip(s.bess_nodes, s.bess_of, strict=True)):
        unit = s.bess[u]
        parts.append(
            _rows(s, unit.name, node, "bess").assign(
                p_kw=s.bess_p_kw[:, d],
                q_kvar=np.nan if s.bess_q_kvar is None else s.bess_q_kvar[:, d],
                charge_kw=s.p_charge_kw[:, d],
                discharge_kw=s.p_discharge_kw[:, d],
                soc_kwh=s.soc_kwh[1:, u],
                size_kw=unit.power_kw,
                size_kva=np.nan if s.bess_kva is None else s.bess_kva[d],
                energy_kwh=unit.energy_kwh,
                eta_charge=unit.eta_charge,
                eta_discharge=unit.eta_discharge,
                soc_min=unit.soc_min,
                soc_max=unit.soc_max,
                soc_start_kwh=s.soc_kwh[0, u],
            )
        )
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(FRAME_COLUMNS))
    return table.reindex(columns=list(FRAME_COLUMNS))


def fields_of(frame: pd.DataFrame, case: str = "dispatch", replaces: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of the schedule of a frame as `to_frame` makes it, to the last bit, `bess` as tuples of those of a
    BessUnit; of a smaller frame with these defaults.

    Needed are `time`, `bus`, `phase` (1 to 3), `kind` (pv, generator or bess), and powers in kW: `p_kw`, or `charge_kw`
    and `discharge_kw`. Without `name` a device is its kind and bus; without `size_kw` it is as large as its largest
    power; a battery needs `energy_kwh`, its SoC follows from its powers where there is no `soc_kwh`. Raises ModelError
    naming the column, device or step.
    """
    if missing := [c for c in NEEDED if c not in frame]:
        raise ModelError(f"The frame has no column {missing[0]!r}.", f"Columns: {', '.join(FRAME_COLUMNS)}.")
    table = frame.reindex(columns=list(FRAME_COLUMNS)).reset_index(drop=True)
    table["time"] = table["time"].astype(str)
    nodes = table["bus"].astype(str).str.strip().str.lower() + "." + table["phase"].astype(str).str.strip()
    names = table["name"].where(table["name"].notna(), table["kind"].astype(str) + "_" + table["bus"].astype(str))
    table = table.assign(node=nodes, name=names.astype(str))
    times = tuple(dict.fromkeys(table["time"]))
    step_h = table["step_h"].dropna().unique()
    if len(step_h) > 1:
        raise ModelError(f"The frame has steps of {step_h[0]:g} and {step_h[1]:g} h.")
    at = {t: i for i, t in enumerate(times)}
    devices: list[tuple[str, str, str, pd.DataFrame]] = []
    for (name, node), rows in table.groupby(["name", "node"], sort=False):
        steps = rows["time"].map(at)
        if len(rows) != len(times) or steps.duplicated().any():
            raise ModelError(f"{name} at {node} has {len(rows)} rows for {len(times)} times.", "One row a time.")
        ordered = rows.assign(step=steps.to_numpy()).sort_values("step", kind="stable")
        devices.append((str(name), str(node), str(rows["kind"].iloc[0]).lower(), ordered))
    return _schedule(devices, times, float(step_h[0]) if len(step_h) else 1.0, case, tuple(replaces))


def _schedule(
    devices: list[tuple[str, str, str, pd.DataFrame]],
    times: tuple[str, ...],
    step_h: float,
    case: str,
    replaces: tuple[str, ...],
) -> dict[str, Any]:
    strange = next((d for d in devices if d[2] not in ("pv", "generator", "bess")), None)
    if strange:
        raise ModelError(f"{strange[0]}: kind {strange[2]!r} is none.", "pv, generator or bess.")
    sources = [d for d in devices if d[2] != "bess"]
    batteries = [d for d in devices if d[2] == "bess"]

    def grid(of: list[tuple[str, str, str, pd.DataFrame]], column: str) -> Floats:
        parts = [rows[column].to_numpy(dtype=float) for *_, rows in of]
        return np.stack(parts, axis=1) if parts else np.zeros((len(times), 0))

    p, q = grid(sources, "p_kw"), np.nan_to_num(grid(sources, "q_kvar"))
    if np.isnan(p).any():
        t, g = np.argwhere(np.isnan(p))[0]
        raise ModelError(f"{sources[g][0]} has no p_kw at {times[t]}.")
    size, kva = _first(sources, "size_kw"), _first(sources, "size_kva")
    charge, discharge = grid(batteries, "charge_kw"), grid(batteries, "discharge_kw")
    net = grid(batteries, "p_kw")
    alone = np.isnan(charge) & np.isnan(discharge)
    charge = np.where(alone, np.maximum(-np.nan_to_num(net), 0.0), np.nan_to_num(charge))
    discharge = np.where(alone, np.maximum(np.nan_to_num(net), 0.0), np.nan_to_num(discharge))
    units, of = _units(batteries, charge, discharge)
    q_bess, kva_bess = grid(batteries, "q_kvar"), _first(batteries, "size_kva")
    return {
        "case": case,
        "times": times,
        "step_h": step_h,
        "pv_nodes": tuple(node for _, node, _, _ in sources),
        "pv_kw": np.where(np.isnan(size), p.max(axis=0, initial=0.0), size),
        "pv_p_kw": p,
        "pv_q_kvar": q,
        "bess": units,
        "bess_nodes": tuple(node for _, node, _, _ in batteries),
        "bess_of": of,
        "p_charge_kw": charge,
        "p_discharge_kw": discharge,
        "soc_kwh": _soc(batteries, units, of, charge, discharge, step_h),
        "pv_kva": None if np.isnan(kva).all() else np.where(np.isnan(kva), size, kva),
        "bess_q_kvar": None if np.isnan(q_bess).all() else np.nan_to_num(q_bess),
        "bess_kva": None if np.isnan(kva_bess).all() else kva_bess,
        "replaces": replaces,
    }


def _first(of: list[tuple[str, str, str, pd.DataFrame]], column: str) -> Floats:
    return np.array([float(rows[column].iloc[0]) for *_, rows in of], dtype=float)


def _units(
    batteries: list[tuple[str, str, str, pd.DataFrame]], charge: Floats, discharge: Floats
) -> tuple[tuple[Unit, ...], tuple[int, ...]]:
    found: dict[str, Unit] = {}
    names = [name for name, *_ in batteries]
    for name, node, _, rows in batteries:
        mine = [d for d, n in enumerate(names) if n == name]
        row = rows.iloc[0]
        if np.isnan(row["energy_kwh"]):
            raise ModelError(f"{name}: a battery without energy.", "Fill in energy_kwh.")
        largest = max(charge[:, mine].max(initial=0.0), discharge[:, mine].max(initial=0.0)) * len(mine)

        def told(column: str, default: float, row: pd.Series = row) -> float:
            return default if np.isnan(row[column]) else float(row[column])

        found.setdefault(
            name,
            Unit(
                name,
                node.rsplit(".", 1)[0],
                float(row["energy_kwh"]),
                told("size_kw", float(largest)),
                told("eta_charge", ETA),
                told("eta_discharge", ETA),
                told("soc_min", 0.0),
                told("soc_max", 1.0),
            ),
        )
    order = {name: u for u, name in enumerate(found)}
    return tuple(found.values()), tuple(order[n] for n in names)


def _soc(
    batteries: list[tuple[str, str, str, pd.DataFrame]],
    units: tuple[Unit, ...],
    of: tuple[int, ...],
    charge: Floats,
    discharge: Floats,
    step_h: float,
) -> Floats:
    """(T+1, U): as given, else what the powers move from the least start that never runs empty."""
    soc = np.zeros((len(charge) + 1, len(units)))
    for u, unit in enumerate(units):
        mine = [d for d, v in enumerate(of) if v == u]
        rows = batteries[mine[0]][3]
        moved = (charge[:, mine] * unit.eta_charge - discharge[:, mine] / unit.eta_discharge).sum(axis=1) * step_h
        path = np.concatenate([[0.0], np.cumsum(moved)])
        given, start = rows["soc_kwh"].to_numpy(dtype=float), float(rows["soc_start_kwh"].iloc[0])
        if np.isnan(start):
            known = not np.isnan(given[0])
            start = float(given[0] - moved[0]) if known else unit.soc_min * unit.energy_kwh - float(path.min())
        soc[:, u] = start + path if np.isnan(given).any() else np.concatenate([[start], given])
    return soc


def _rows(s: Any, name: str, node: str, kind: str) -> pd.DataFrame:
    bus, phase = node.rsplit(".", 1)
    return pd.DataFrame(
        {"time": list(s.times), "name": name, "bus": bus, "phase": phase, "kind": kind, "step_h": s.step_h}
    )
