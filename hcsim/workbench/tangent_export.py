"""The tangent model of every hour as files: NumPy arrays, CSV files that name every index, and a README."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

import hcsim
from hcsim.util.files import output_folder, write_atomically, write_csv, write_text
from hcsim.workbench.allocation import Workbench
from optim.data.linear_model import LinearModel
from optim.data.node import bus_of, phase_of

ARRAYS = {
    "v_base": ("T, N", "pu", "voltage to ground without devices"),
    "dv_dp": ("T, N, D", "pu per kW", "what a kW injected at a port does to a voltage"),
    "dv_dq": ("T, N, D", "pu per kvar", "what a kvar does"),
    "substation_base_kw": ("T, S", "kW", "power from the source into each phase without devices"),
    "substation_base_kvar": ("T, S", "kvar", "its reactive power"),
    "dsub_p_dp": ("T, S, D", "kW per kW", "what a kW injected does to it: about -1 over all phases"),
    "dsub_p_dq": ("T, S, D", "kW per kvar", ""),
    "dsub_q_dp": ("T, S, D", "kvar per kW", ""),
    "dsub_q_dq": ("T, S, D", "kvar per kvar", ""),
}
FLOWS = {
    "flow_base_kw": ("T, B", "kW", "flow into a branch's far side, positive away from the source"),
    "flow_base_kvar": ("T, B", "kvar", ""),
    "dflow_p_dp": ("T, B, D", "kW per kW", ""),
    "dflow_p_dq": ("T, B, D", "kW per kvar", ""),
    "dflow_q_dp": ("T, B, D", "kvar per kW", ""),
    "dflow_q_dq": ("T, B, D", "kvar per kvar", ""),
}


def export_tangent(bench: Workbench, out: Path) -> tuple[Path, ...]:
    """Write the tangent at the bare feeder's solution of every hour; the files written, README.md first.

    Ports are the candidate sites of the case. Raises ConvergenceError where an hour has no solution, OutputError where
    a file cannot be written.
    """
    output_folder(out)
    model, profiles = bench.bare("free").model, bench.profiles
    arrays = ARRAYS | (FLOWS if model.flow_base_kw is not None else {})
    written = [write_text(out / "README.md", _readme(bench, model, arrays))]
    for name in arrays:
        values = np.asarray(getattr(model, name), dtype=np.float64)
        written.append(write_atomically(out / f"{name}.npy", partial(_save, values)))
    steps = pd.DataFrame(
        {"t": range(len(model.times)), "time": model.times, "step_h": profiles.step_h, "pv_pu": profiles.pv_pu}
    )
    written.append(write_csv(out / "steps.csv", steps))
    written.append(write_csv(out / "nodes.csv", _names("n", model.nodes, model.kv_base)))
    written.append(write_csv(out / "ports.csv", _names("d", model.ports)))
    written.append(write_csv(out / "source_phases.csv", _names("s", model.substation_phases)))
    if model.branches:
        rating = np.full(len(model.branches), np.inf) if model.rating_kva is None else model.rating_kva
        table = pd.DataFrame({"b": range(len(model.branches)), "branch_phase": model.branches, "rating_kva": rating})
        written.append(write_csv(out / "branches.csv", table))
    return tuple(written)


def _save(values: np.ndarray, half: Path) -> None:
    with half.open("wb") as file:
        np.save(file, values)


def _names(index: str, names: tuple[str, ...], kv: np.ndarray | None = None) -> pd.DataFrame:
    table = pd.DataFrame(
        {index: range(len(names)), "node": names, "bus": map(bus_of, names), "phase": map(phase_of, names)}
    )
    return table if kv is None else table.assign(kv_base=kv)


def _readme(bench: Workbench, model: LinearModel, arrays: dict[str, tuple[str, str, str]]) -> str:
    rows = "\n".join(
        f"| `{name}.npy` | {tuple(getattr(model, name).shape)} ({index}) | {unit} | {meaning} |"
        for name, (index, unit, meaning) in arrays.items()
    )
    notes = "\n".join(f"- {sentence}" for sentence in model.assumptions)
    limits = bench.limits
    return f"""# Tangent model of {bench.network.name}, hour by hour

First-order model of the feeder at {model.linearized_at}: exact there, better the nearer the devices' powers are to
zero. Written by hcsim {hcsim.__version__} from OpenDSS files with SHA-256 `{bench.network.source_sha256}`.

## Index

*t* step (`steps.csv`), *n* node whose voltage is judged (`nodes.csv`), *d* port, a node-phase at which devices may
inject (`ports.csv`), *s* source phase (`source_phases.csv`), *b* branch-phase (`branches.csv`, where there is one).
All count from 0. "83.1" is bus 83, phase 1.

## Files

NumPy arrays of 64-bit floats, C order (`numpy.load`; the format is described in NumPy's documentation under
`numpy.lib.format`). A first axis of length 1 holds for every step.

| file | size | unit | meaning |
|---|---|---|---|
{rows}

## Equations

With p (T, D) in kW and q (T, D) in kvar, positive into the network, loads being in the base values:

    v[t, n]  = v_base[t, n] + sum_d dv_dp[t, n, d] p[t, d] + dv_dq[t, n, d] q[t, d]                 pu of nominal
    P0[t, s] = substation_base_kw[t, s] + sum_d dsub_p_dp[t, s, d] p[t, d] + dsub_p_dq[t, s, d] q[t, d]

Limits of the study: voltages from {limits.v_min_pu} to {limits.v_max_pu} pu, P0 at least
{limits.substation_min_kw} kW. Taps and capacitor banks stand where the bare feeder's controls leave them at that hour
and do not move in the model; they may in the simulation. What is decided on these matrices is a claim:
`hcsim validate CASE dispatch.csv` says what OpenDSS makes of it.

{notes}

## Check

    import numpy as np, pandas as pd
    v, dv = np.load("v_base.npy"), np.load("dv_dp.npy")
    nodes, ports = pd.read_csv("nodes.csv", dtype=str), pd.read_csv("ports.csv", dtype=str)
    kw = np.zeros(len(ports)); kw[0] = 100.0
    print(pd.Series(v[12] + dv[12 % len(dv)] @ kw, index=nodes.node).nlargest(5))
"""
