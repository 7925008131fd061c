"""Exported files, read back with nothing but pandas and scipy, are the linear model."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from hcsim.feeder.export import export_linear_model
from hcsim.feeder.read import read_network
from hcsim.opendss.circuit import Circuit
from optim.data.profiles import Profiles
from optim.errors import ModelError
from optim.linearize.lindist3flow import linearize

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    circuit = Circuit.compile(ROOT / "dss_models" / "ieee123" / "Master.dss", controls=False)
    network, ledger = read_network(circuit)
    folder = tmp_path_factory.mktemp("export")
    return network, ledger, folder, export_linear_model(network, ledger, folder)


def solve(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P, Q, v of the README's four equations."""
    m = {name: scipy.io.mmread(folder / f"{name}.mtx").tocsc() for name in ("A", "A_x", "A_v", "A_theta", "D_r", "D_x")}
    rows = pd.read_csv(folder / "rows.csv")
    w = sp.diags_array(rows.no_load_v_pu**2)
    per_w = sp.diags_array(rows.no_load_v_pu**-2)
    system = sp.block_array(
        [
            [m["A"], -m["A_x"], None, None],
            [m["A_x"], m["A"], None, None],
            [2 * m["D_r"], 2 * m["D_x"], -m["A_v"], 2 * w @ m["A_theta"]],
            [per_w @ m["D_x"], -per_w @ m["D_r"], -0.5 * m["A_theta"] @ per_w, -m["A"].T],
        ]
    )
    right = np.concatenate([-rows.demand_mw, -rows.demand_mvar, rows.a_0_pu2, np.zeros(len(rows))])
    p, q, v, _ = np.split(spla.spsolve(system.tocsc(), right), 4)
    return p, q, v


def test_files_alone_give_the_linear_model(exported):
    network, _, folder, _ = exported
    p, q, v = solve(folder)
    rows = pd.read_csv(folder / "rows.csv")
    assert p == pytest.approx(rows.flow_mw.to_numpy(), abs=1e-9)
    assert q == pytest.approx(rows.flow_mvar.to_numpy(), abs=1e-9)
    assert np.sqrt(v) == pytest.approx(rows.v_linear_pu.to_numpy(), abs=1e-9)
    model = linearize(network, Profiles(("t",), 1.0, np.ones(1), np.zeros(1)), ())
    to_ground = [n for n in model.nodes if network.v_reference[network.node_index[n]] < 0]
    by_name = dict(zip(rows.node, v, strict=True))
    inside = dict(zip(model.nodes, model.v_base[0], strict=True))
    assert [by_name[n] for n in to_ground] == pytest.approx([inside[n] for n in to_ground], abs=1e-9)


def test_demand_is_the_feeders_load(exported):
    _, _, folder, _ = exported
    rows = pd.read_csv(folder / "rows.csv")
    assert 1e3 * rows.demand_mw.sum() == pytest.approx(3490, abs=0.01)
    # 1920 kvar of load less 750 kvar of capacitors, and a few kvar of line charging at 1 pu
    assert 1e3 * rows.demand_mvar.sum() == pytest.approx(1920 - 750, abs=15)
    assert rows.flow_mw[:3].sum() == pytest.approx(3.49, abs=1e-5)


def test_linear_voltages_are_near_opendss(exported):
    _, ledger, folder, _ = exported
    rows = pd.read_csv(folder / "rows.csv")
    floating = [n.node for n in ledger.nodes]
    grounded = rows[~rows.node.isin(floating)]
    assert (grounded.v_linear_pu - grounded.v_opendss_pu).abs().max() < 0.006  # the target for this feeder


def test_every_file_is_there_and_the_readme_names_it(exported):
    _, ledger, folder, written = exported
    assert {p.name for p in folder.iterdir()} == {p.name for p in written}
    readme = (folder / "README.md").read_text()
    assert all(p.name in readme for p in written[1:])
    assert len(pd.read_csv(folder / "ledger.csv")) == len(ledger)
    assert len(pd.read_csv(folder / "regulators.csv")) == 7


def test_a_loop_is_refused_by_name(tmp_path):
    master = tmp_path / "loop.dss"
    master.write_text(
        "clear\nnew circuit.loop basekv=12.47 bus1=src\nnew line.s bus1=src bus2=a\nnew line.a bus1=a bus2=b\n"
        "new line.c bus1=a bus2=c\nnew line.b bus1=c bus2=b\n"
        "new load.l bus1=b kv=12.47 kw=10\nset voltagebases=[12.47]\ncalcvoltagebases\n"
    )
    network, ledger = read_network(Circuit.compile(master))
    with pytest.raises(ModelError, match=r"c\.1 is fed by Line\.c and by Line\.b"):
        export_linear_model(network, ledger, tmp_path / "out")
    assert not (tmp_path / "out").exists()
