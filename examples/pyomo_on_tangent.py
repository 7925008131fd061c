"""A Pyomo model of one's own on the exported tangent, its answer judged by OpenDSS.

The most PV at two of the case's sites such that no voltage passes the upper limit and no power flows back, by
the matrices that `hcsim export --linearization tangent` writes. The model is a page long; whether its answer holds is
not for it to say.

python examples/pyomo_on_tangent.py [RESULTS_FOLDER]      needs pip install pyomo highspy
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyomo.environ as pyo

import hcsim
from hcsim.workbench.tangent_export import export_tangent

CASE, SITES, V_MAX = "ieee123", 2, 1.05


def export(folder: Path) -> Path:
    """As `hcsim export ieee123 --linearization tangent --out FOLDER` does."""
    export_tangent(hcsim.Workbench.open(CASE), folder)
    return folder


def solve(folder: Path) -> pd.DataFrame:
    """Largest PV, kW per site-phase, as a dispatch of hours."""
    steps = pd.read_csv(folder / "steps.csv")
    ports = pd.read_csv(folder / "ports.csv", dtype={"bus": str, "phase": str})
    v_base, dv_dp = np.load(folder / "v_base.npy"), np.load(folder / "dv_dp.npy")
    p_base, dsub = np.load(folder / "substation_base_kw.npy"), np.load(folder / "dsub_p_dp.npy")
    buses = list(dict.fromkeys(ports["bus"]))[:SITES]
    mine = np.flatnonzero(ports["bus"].isin(buses))
    sun = steps["pv_pu"].to_numpy()

    model = pyo.ConcreteModel()
    model.size = pyo.Var(range(len(mine)), within=pyo.NonNegativeReals)  # kW per phase
    model.most = pyo.Objective(expr=pyo.quicksum(model.size.values()), sense=pyo.maximize)
    model.limits = pyo.ConstraintList()
    for t in np.flatnonzero(sun > 0):
        dv, ds = dv_dp[t % len(dv_dp)][:, mine], dsub[t % len(dsub)][:, mine]
        for n in np.flatnonzero((np.abs(dv).max(axis=1) > 1e-9) & (v_base[t] < V_MAX)):
            rise = pyo.quicksum(float(dv[n, d]) * float(sun[t]) * model.size[d] for d in range(len(mine)))
            model.limits.add(float(v_base[t, n]) + rise <= V_MAX)
        for s in range(p_base.shape[1]):
            taken = pyo.quicksum(float(ds[s, d]) * float(sun[t]) * model.size[d] for d in range(len(mine)))
            model.limits.add(float(p_base[t, s]) + taken >= 0.0)
    pyo.SolverFactory("appsi_highs").solve(model)
    size = np.array([pyo.value(model.size[d]) for d in range(len(mine))])
    print(f"claimed: {size.sum():,.1f} kW at {', '.join(buses)}")
    return pd.DataFrame(
        {
            "hour": np.tile(np.arange(len(sun)), len(mine)),
            "bus": np.repeat(ports["bus"].to_numpy()[mine], len(sun)),
            "phase": np.repeat(ports["phase"].to_numpy()[mine], len(sun)),
            "kind": "pv",
            "p_kw": np.outer(size, sun).ravel(),
        }
    )


def main(out: str | None = None) -> hcsim.Validation:
    with tempfile.TemporaryDirectory() as folder:
        dispatch = solve(export(Path(folder)))
    found = hcsim.validate(CASE, dispatch, out=out)
    print(found.words)
    print(f"largest share that passes: {found.scales.whole if found.scales.whole is not None else 1.0:.3f}")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:2])
