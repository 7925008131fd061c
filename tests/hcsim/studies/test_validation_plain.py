"""What a validation says of voltages, against OpenDSS by itself in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import hcsim

MASTER = Path(__file__).parents[3] / "dss_models" / "ieee33" / "Master.dss"
SCRIPT = """
import json, sys
import opendssdirect as dss
master, load, pv = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
dss.Text.Command(f'compile "{master}"')
dss.Text.Command("set controlmode=off")
found = []
for mult, kw in zip(load, pv):
    dss.Text.Command(f"set loadmult={mult!r}")
    for phase in (1, 2, 3):
        verb = "edit" if found else "new"
        if not found:
            dss.Circuit.SetActiveBus("18")
            dss_kv = dss.Bus.kVBase()
        dss.Text.Command(
            f"{verb} generator.pv{phase} bus1=18.{phase} phases=1 conn=wye kv={dss_kv!r} kw={kw / 3!r} pf=1 model=1 "
            "vminpu=0.5 vmaxpu=1.5"
        )
    dss.Text.Command("solve mode=snapshot")
    assert dss.Solution.Converged()
    found.append(dict(zip(dss.Circuit.AllNodeNames(), dss.Circuit.AllBusMagPu())))
print(json.dumps(found))
"""


def test_voltages_are_those_of_opendss_by_itself(tmp_path):
    """ieee33 has neither regulators nor banks: every hour is a snapshot at that hour's load. 1e-5 pu is the tolerance
    of two power flows that start elsewhere."""
    bench = hcsim.Workbench.open("ieee33")
    kw = np.round(900.0 * np.clip(np.cos((np.arange(24) - 12) / 12 * np.pi), 0.0, None), 1)
    found = hcsim.validate("ieee33", pd.DataFrame({"hour": np.arange(24), "pv_18_kw": kw}), how_far=False)
    load = bench.profiles.load_pu
    assert load.ndim == 1
    command = [sys.executable, "-c", SCRIPT, str(MASTER), json.dumps(load.tolist()), json.dumps(kw.tolist())]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    plain = pd.DataFrame(json.loads(done.stdout.splitlines()[-1]))
    shared = [c for c in found.voltages.columns if c in plain.columns]
    assert len(shared) > 90
    np.testing.assert_allclose(found.voltages[shared].to_numpy(), plain[shared].to_numpy(), atol=1e-5)
