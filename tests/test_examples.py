"""The examples run, and say what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from guards import HANG_S

import hcsim
from hcsim.replay.options import ReplayOptions
from hcsim.workbench.tangent_export import export_tangent

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def example(name: str):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_schedule_from_pandas(tmp_path):
    found = example("schedule_from_pandas").main(tmp_path)
    assert found.holds and found.dispatch_findings.empty
    assert (tmp_path / "report.html").is_file()


def test_results_of_pypsa(tmp_path):
    """MW and MWh: 0.1 MW are 100 kW at 10:00, 0.1 MWh at the start 100 kWh."""
    found = example("from_pypsa_results").main(tmp_path)
    assert found.holds
    s = found.schedule
    assert s.p_charge_kw[10].sum() == pytest.approx(100.0) and s.soc_kwh[0, 0] == pytest.approx(100.0)
    assert s.hc_kw == pytest.approx(700.0) and s.bess[0].energy_kwh == pytest.approx(600.0)


def test_a_pyomo_model_on_the_exported_matrices(tmp_path):
    """The tangent stands at the bare feeder: what is optimal by it misses the limits by a few kW, not by hundreds."""
    pytest.importorskip("pyomo")
    found = example("pyomo_on_tangent").main(tmp_path)
    assert found.schedule.hc_kw > 1000.0
    assert found.holds or found.scales.whole > 0.95


def test_the_exported_tangent_says_what_opendss_does(tmp_path):
    """5 kW and 2 kvar at one site: the voltages that the files predict, against a replay with locked controls; the
    second order of 5 kW is below 1e-6 pu."""
    bench = hcsim.Workbench.open("ieee33")
    export_tangent(bench, tmp_path)
    v, dp, dq = (np.load(tmp_path / f"{name}.npy") for name in ("v_base", "dv_dp", "dv_dq"))
    ports, nodes = pd.read_csv(tmp_path / "ports.csv", dtype=str), pd.read_csv(tmp_path / "nodes.csv", dtype=str)
    d = 0
    steps = len(v)
    schedule = hcsim.Schedule.from_frame(
        pd.DataFrame(
            {
                "time": bench.profiles.times,
                "bus": ports["bus"][d],
                "phase": ports["phase"][d],
                "kind": "pv",
                "p_kw": 5.0,
                "q_kvar": 2.0,
                "size_kw": 10.0,
            }
        )
    )
    replayed = hcsim.replay(bench.model, schedule, ReplayOptions("free")).operation
    place = [replayed.nodes.index(n) for n in nodes["node"]]
    for t in range(0, steps, 6):
        claimed = v[t] + 5.0 * dp[t % len(dp)][:, d] + 2.0 * dq[t % len(dq)][:, d]
        np.testing.assert_allclose(claimed, replayed.v_pu[t, place], atol=2e-6)
    assert (tmp_path / "README.md").read_text().count("dv_dp") > 1


@pytest.mark.parametrize("notebook", sorted((EXAMPLES / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run_from_top_to_bottom(notebook, tmp_path):
    """In a kernel of its own, in a folder of its own; they are kept without outputs, and each shows something. The
    whole study on three buses instead of 123, which leads through the same lines in a sixth of the time."""
    import nbclient
    import nbformat

    content = nbformat.read(notebook, as_version=4)
    code = [cell for cell in content.cells if cell.cell_type == "code"]
    assert code and not any(cell.outputs for cell in code)
    for cell in code if notebook.stem == "01_a_study" else ():
        cell.source = cell.source.replace('"ieee123"', repr(str(ROOT / "tests" / "cases" / "three_bus")))
    client = nbclient.NotebookClient(content, timeout=HANG_S, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    shown = [output for cell in code for output in cell.outputs]
    assert any("text/html" in output.get("data", {}) for output in shown)
    assert not [output for output in shown if output.output_type == "error"]
