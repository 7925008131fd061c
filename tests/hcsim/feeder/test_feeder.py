"""Reading: what OpenDSS solves is what the network says, by two independent roads, and nothing is dropped."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sweep import backward_forward_sweep

from hcsim.feeder.read import read_network
from hcsim.opendss.circuit import Circuit
from optim.data.network import Network
from optim.errors import ModelError
from optim.feeder import power_flow

ROOT = Path(__file__).parents[3]
IEEE123 = ROOT / "dss_models" / "ieee123" / "Master.dss"
FEEDERS = os.environ.get("HCSIM_FEEDERS")
RADIAL = (
    "13Bus/IEEE13Nodeckt.dss",
    "34Bus/ieee34Mod1.dss",
    "34Bus/ieee34Mod2.dss",
    "ckt5/Master_ckt5.dss",
    "8500-Node/Master.dss",
    "8500-Node/Master-unbal.dss",
    "traps/explicit_neutral.dss",
    "traps/like_and_disabled.dss",
    "traps/two_phase_capacitor.dss",
)
NOT_RADIAL = ("37Bus/ieee37.dss", "traps/closed_loop.dss", "traps/parallel_lines.dss")
real = pytest.mark.skipif(FEEDERS is None, reason="HCSIM_FEEDERS is not set")


def read(tmp_path: Path, text: str, bases: str = "12.47 0.48"):
    """A 12.47 kV source at bus src, and `text` after it."""
    master = tmp_path / "Master.dss"
    source = "clear\nnew circuit.t basekv=12.47 bus1=src r1=0 x1=1e-6 r0=0 x0=1e-6\n"
    master.write_text(f"{source}{text}\nset voltagebases=[{bases}]\ncalcvoltagebases\n")
    circuit = Circuit.compile(master, controls=False)
    return circuit, *read_network(circuit)


def largest_error(network: Network, v_v: np.ndarray) -> float:
    error = np.abs(network.judged_v_pu(v_v) - network.judged_v_pu(network.v_solved_v))
    return float(error[network.v_judged].max())


@pytest.fixture(scope="module")
def ieee123():
    circuit = Circuit.compile(IEEE123, controls=False)
    return circuit, *read_network(circuit)


LINE = "new line.l1 bus1=src bus2=b1 r1=0.3 x1=0.6 r0=0.6 x0=1.5 c1=3 c0=1 length=1\n"
ODD = {
    "wye load on a neutral conductor": LINE
    + "new reactor.g bus1=b1.4 bus2=b1.0 phases=1 r=1 x=0\nnew load.a bus1=b1.1.4 phases=1 kv=7.2 kw=100",
    "two-phase delta load": LINE + "new load.a bus1=b1.1.2.3 phases=2 conn=delta kv=12.47 kw=800",
    "reversed line, turned phases": "new line.l1 bus1=b1.2.3.1 bus2=src.2.3.1 r1=0.3 x1=0.6 r0=0.6 x0=1.5\n"
    "new load.a bus1=b1.3 phases=1 kv=7.2 kw=500",
    "one phase open": LINE + "new load.a bus1=b1.1 phases=1 kv=7.2 kw=500\nopen line.l1 2 2",
    "every load model": LINE
    + "\n".join(
        f"new load.m{m} bus1=b1 kv=12.47 kw=300 pf=0.9 model={m} cvrwatts=0.8 cvrvars=3 vminpu=0.9 "
        "zipv=[0.2 0.3 0.5 0.5 0.3 0.1 0]"
        for m in range(1, 9)
    ),
    "loads outside their band": LINE.replace("length=1", "length=9")
    + "\n".join(f"new load.m{m} bus1=b1 kv=12.47 kw=300 pf=0.9 model={m} vminpu=0.98" for m in (1, 3, 4, 5))
    + "\nnew load.big bus1=b1 kv=12.47 kw=4000\nnew load.high bus1=src kv=11 kw=100 vmaxpu=1.02 model=5",
    "allocated load under a multiplier": LINE
    + "new load.a bus1=b1.2 phases=1 kv=7.2 xfkva=500 allocationfactor=0.4 pf=0.9\nset loadmult=0.7",
    "delta-wye with no-load loss": LINE
    + "new transformer.t buses=[b1 b2] conns=[delta wye] kvs=[12.47 0.48] kvas=[500 500] xhl=6 "
    "%noloadloss=0.5\n"
    "new load.a bus1=b2.1 phases=1 kv=0.277 kw=80\nnew load.b bus1=b2.2.3 phases=1 conn=delta kv=0.48 kw=70",
    "grounded wye seen from the low side": LINE
    + "new transformer.t buses=[b2 b1] conns=[wye wye] kvs=[0.48 12.47] kvas=[500 500] xhl=6 taps=[1.05 1]\n"
    "new load.a bus1=b2.1 phases=1 kv=0.277 kw=80",
    "open delta": LINE
    + "new transformer.t1 phases=1 buses=[b1.1.2 b2.1.2] conns=[delta delta] kvs=[12.47 0.48] kva=200\n"
    "new transformer.t2 phases=1 buses=[b1.2.3 b2.2.3] conns=[delta delta] kvs=[12.47 0.48] kva=200\n"
    "new load.a bus1=b2 conn=delta kv=0.48 kw=80",
    "centre tap": LINE
    + "new transformer.t phases=1 windings=3 buses=[b1.2 b2.1.0 b2.0.2] kvs=[7.2 0.12 0.12] kvas=[50 50 50] "
    "xhl=2 xht=2 xlt=1.4\nnew load.a bus1=b2.1 phases=1 kv=0.12 kw=9\n"
    "new load.b bus1=b2.1.2 phases=1 kv=0.24 kw=20",
    "three windings on three buses": LINE
    + "new transformer.t windings=3 buses=[b1 b2 b3] conns=[delta wye wye] kvs=[12.47 0.48 4.16] "
    "kvas=[900 500 500] xhl=6 xht=7 xlt=8\nnew load.a bus1=b2 kv=0.48 kw=200\nnew load.b bus1=b3.1 phases=1 "
    "kv=2.4 kw=200",
    "second source": LINE + "new load.a bus1=b1 kv=12.47 kw=3000\n"
    "new line.l2 bus1=b1 bus2=far r1=1 x1=2 r0=2 x0=5\nnew vsource.w bus1=far basekv=12.47 angle=-1",
    "generator": LINE + "new load.a bus1=b1 kv=12.47 kw=3000\nnew generator.g bus1=b1 kv=12.47 kw=900 pf=0.98",
    "machines in delta behind an ungrounded winding": LINE
    + "new transformer.t buses=[b1 b2] conns=[wye delta] kvs=[12.47 0.48] kvas=[500 500] xhl=6\n"
    "new load.a bus1=b2 conn=delta kv=0.48 kw=90\nnew indmach012.m bus1=b2 kv=0.48 kw=50 kva=70\n"
    "new generator.g bus1=b2 conn=delta kv=0.48 kw=30 pf=0.9",
    "series reactor and capacitor": LINE + "new reactor.x bus1=b1 bus2=b2 r=0.1 x=0.5\n"
    "new capacitor.c bus1=b2 bus2=b3 kv=12.47 kvar=30000\nnew load.a bus1=b3 kv=12.47 kw=3000",
    "shunt reactor and delta bank": LINE + "new reactor.x bus1=b1 kv=12.47 kvar=300\n"
    "new capacitor.c bus1=b1 conn=delta kv=12.47 kvar=600\nnew load.a bus1=b1 kv=12.47 kw=3000",
    "neutral wire from end to end": "new line.l bus1=src.1.2.3.0 bus2=b1.1.2.3.4 phases=4 "
    "rmatrix=[.3|.1 .3|.1 .1 .3|.1 .1 .1 .3] xmatrix=[.9|.4 .9|.4 .4 .9|.4 .4 .4 .9] "
    "cmatrix=[0|0 0|0 0 0|0 0 0 0]\n"
    "new load.a bus1=b1.1.4 phases=1 kv=7.2 kw=700",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_connections_solve_as_in_opendss(name, tmp_path):
    _, network, ledger = read(tmp_path, ODD[name], "12.47 4.16 0.48 0.208")
    # 1e-7: OpenDSS stops at 1e-9, and its voltages behind 500 kVA are worth 1e-8 of rounding
    assert largest_error(network, power_flow.solve(network).v_v) < 1e-7
    assert not ledger.refused


def test_ieee123_by_sweep_of_the_two_ports(ieee123):
    _, network, _ = ieee123
    assert largest_error(network, backward_forward_sweep(network)) < 1e-8


def test_ieee123_by_the_admittance_matrix(ieee123):
    circuit, network, _ = ieee123
    solved = power_flow.solve(network)
    assert largest_error(network, solved.v_v) < 1e-8
    assert solved.source_kva == pytest.approx(circuit.substation_kva(), abs=1e-4)
    assert solved.leg_kva.real.sum() == pytest.approx(circuit.load_kw(), abs=1e-4)


def test_ieee123_is_wholly_in_the_ledger(ieee123):
    circuit, network, ledger = ieee123
    assert len(ledger) == len(list(circuit.elements())) == 237
    assert ledger.count("modelled") == 237
    totals = ledger.totals().set_index("class")
    assert totals.loc["Load", "kw"] == pytest.approx(3490)
    assert totals.loc["Load", "kvar"] == pytest.approx(1920)
    assert totals.loc["Capacitor", "kvar"] == pytest.approx(-750)
    assert network.loads.p_kw.sum() == pytest.approx(3490)
    assert sum(s.kvar for s in network.shunts) == pytest.approx(750)
    published = {"creg1a": 7, "creg2a": -1, "creg3a": 0, "creg3c": -1, "creg4a": 8, "creg4b": 1, "creg4c": 5}
    assert sorted(r.tap for r in network.regulators) == sorted(published.values())


def test_delta_delta_transformer_passes_line_voltages_only(ieee123):
    _, network, ledger = ieee123
    unit = next(b for b in network.branches if b.name.startswith("Transformer.") and b.kind == "transformer")
    ratio = 0.48 / 4.16
    assert unit.transfer == pytest.approx(ratio * (np.eye(3) - 1 / 3), abs=1e-6)
    # r = 2 x 0.635 %, x = 2.72 % of 0.48^2 / 0.15 ohm; nothing of the antifloat impedance
    a = np.exp(2j * np.pi / 3)
    positive = np.array([1, a**2, a])
    z1 = positive.conj() @ unit.z_ohm @ positive / 3
    assert z1 == pytest.approx((0.0127 + 0.0272j) * 0.48**2 / 0.15, rel=1e-4)
    assert np.abs(unit.z_ohm @ np.ones(3)).max() < 1e-9
    assert [n.node for n in ledger.nodes] == ["610.1", "610.2", "610.3"]
    assert {n.judged for n in ledger.nodes} == {"line-to-line"}
    assert network.v_reference[network.node_index["610.3"]] == network.node_index["610.1"]


def test_branches_stand_after_what_feeds_them(ieee123):
    _, network, _ = ieee123
    feeding = network.feeding_branch
    assert network.branches[0].kind == "source"
    for b, branch in enumerate(network.branches):
        assert all(0 <= feeding[n] < b for n in branch.from_nodes)
    assert (feeding >= 0).all()


def test_admittances_add_up_to_the_system_matrix(ieee123):
    # every entry of OpenDSS's own Y, loads' constant part aside, is in some branch or shunt
    circuit, network, _ = ieee123
    loads = sparse.lil_array((len(network.nodes), len(network.nodes)), dtype=complex)
    for element in circuit.elements(["Load"]):
        for i, n in enumerate(element.node_ref.ravel()):
            for j, m in enumerate(element.node_ref.ravel()):
                if n >= 0 and m >= 0:
                    loads[n, m] += element.y_prim_s[i, j]
    gap = (circuit.system_y() - loads.tocsc() - power_flow.admittance(network)).toarray()
    assert np.abs(gap).max() < 1e-9 * np.abs(circuit.system_y()).max()


def test_two_port_is_the_primitive(ieee123):
    # rebuilt from transfer, z and shunts, without the stored Yprim; the floating unit excepted
    _, network, _ = ieee123
    for branch in network.branches[1:]:
        if branch.kind == "transformer":
            continue
        y = np.linalg.inv(branch.z_ohm)
        across = -y @ branch.transfer
        near = branch.transfer.T @ y @ branch.transfer + branch.y_from_s
        rebuilt = np.block([[near, across.T], [across, y + branch.y_to_s]])
        order = [branch.prim_nodes.index(n) for n in (*branch.from_nodes, *branch.to_nodes)]
        stored = branch.y_prim_s[np.ix_(order, order)]
        assert rebuilt == pytest.approx(stored, abs=1e-8 * np.abs(stored).max())


def test_neutral_with_a_number_is_kept(tmp_path):
    _, network, ledger = read(tmp_path, ODD["wye load on a neutral conductor"])
    assert network.loads.node_minus.tolist() == [network.node_index["b1.4"]]
    assert not network.v_judged[network.node_index["b1.4"]]
    assert [(n.node, n.reason) for n in ledger.nodes] == [("b1.4", "neutral conductor")]


def test_generators_are_held_and_say_so(tmp_path):
    _, network, ledger = read(tmp_path, ODD["generator"])
    row = next(r for r in ledger if r.kind == "Generator")
    assert (row.verdict, row.reason) == ("approximated", "its power of each hour as the bare feeder runs it")
    assert row.kw == pytest.approx(-900, rel=1e-6)
    assert network.loads.p_kw.sum() == pytest.approx(3000 - 900, rel=1e-6)


def test_open_phase_is_dead_and_not_judged(tmp_path):
    _, network, ledger = read(tmp_path, ODD["one phase open"])
    assert [n.node for n in ledger.nodes] == ["b1.2"]
    line = next(b for b in network.branches if b.name == "Line.l1")
    assert [network.nodes[n] for n in line.to_nodes] == ["b1.1", "b1.3"]
    assert "open" in next(r for r in ledger if r.element == "Line.l1").reason


def test_exponential_load_meets_value_slope_and_curvature(tmp_path):
    load = "new load.a bus1=b1 kv=12.47 kw=3000 model=4 cvrwatts=0.8 cvrvars=3"
    _, network, ledger = read(tmp_path, LINE + load)
    assert next(r for r in ledger if r.kind == "Load").verdict == "approximated"
    u = np.abs(network.v_solved_v[network.node_index["b1.1"]]) / (12470 / math.sqrt(3))
    legs = network.loads
    for shift, tolerance in ((0.0, 1e-12), (0.01, 1e-6)):
        power = legs.p_kw[0] * (legs.zip_p[0] @ [(u + shift) ** 2, u + shift, 1])
        assert power == pytest.approx(1000 * (u + shift) ** 0.8, rel=tolerance)


def test_isolated_load_and_open_switch_are_passive(tmp_path):
    text = LINE + "new line.sw bus1=b1 bus2=b2 switch=yes enabled=no\nnew load.a bus1=b1 kv=12.47 kw=100\n"
    _, network, ledger = read(tmp_path, text + "new load.lost bus1=b2 kv=12.47 kw=60")
    verdicts = {r.element: (r.verdict, r.reason) for r in ledger}
    assert verdicts["Line.sw"] == ("passive", "disabled")
    assert verdicts["Load.lost"] == ("passive", "no path from the source")
    assert set(network.loads.names) == {"Load.a"}
    assert not network.v_judged[network.node_index["b2.1"]]


def test_missing_voltage_bases_come_from_the_windings(tmp_path):
    master = tmp_path / "m.dss"
    master.write_text(
        f"clear\nnew circuit.t basekv=12.47 bus1=src\n{LINE}new load.a bus1=b1 kv=12.47 kw=9\n"
        "new transformer.t phases=1 windings=3 buses=[b1.2 c.1.0 c.0.2] kvs=[7.2 .12 .12] kvas=[50 50 50]\n"
    )
    circuit = Circuit.compile(master)
    assert circuit.bus_base_v() == pytest.approx(
        {"src": 12470 / math.sqrt(3), "b1": 12470 / math.sqrt(3), "c": 120.0}, rel=1e-5
    )
    assert circuit.notes == ("3 buses had no voltage base: set from source and windings (12.47, 0.2078 kV).",)


@real
@pytest.mark.parametrize("file", RADIAL + NOT_RADIAL)
def test_real_feeders_agree_with_opendss(file):
    circuit = Circuit.compile(Path(FEEDERS) / file, controls=False)
    network, ledger = read_network(circuit)
    # 1e-7: switches of microohms leave 4e-8 of rounding on ckt5
    assert largest_error(network, power_flow.solve(network).v_v) < 1e-7
    assert len(ledger) == len(list(circuit.elements()))
    assert not ledger.refused
    by_load = circuit.layout("Load").names
    assert {n for n in network.loads.names if n.startswith("Load.")} <= set(by_load)
    if file in RADIAL:
        assert largest_error(network, backward_forward_sweep(network, 60)) < 1e-7
    else:
        with pytest.raises(ModelError, match="Not radial"):
            _ = network.feeding_branch


@real
def test_traps_keep_what_others_lose():
    def trap(name):
        return read_network(Circuit.compile(Path(FEEDERS) / "traps" / f"{name}.dss", controls=False))

    network, _ = trap("explicit_neutral")
    assert network.loads.p_kw.tolist() == pytest.approx([900])  # bus1=b3.1.0
    network, _ = trap("two_phase_capacitor")
    assert [network.nodes[n] for n in network.shunts[0].nodes] == ["b1.1", "b1.2"]
    assert network.shunts[0].kvar == 1200
    network, _ = trap("parallel_lines")
    twins = [b for b in network.branches if b.name in ("Line.l2a", "Line.l2b")]
    assert len(twins) == 2
    assert twins[0].z_ohm == pytest.approx(twins[1].z_ohm)
    network, ledger = trap("like_and_disabled")
    assert network.loads.p_kw.sum() == pytest.approx(900)
    assert ledger.count("passive") == 2  # the disabled line, and the load behind it


@real
def test_centre_tapped_services_of_the_8500_node_feeder():
    network, _ = read_network(Circuit.compile(Path(FEEDERS) / "8500-Node/Master-unbal.dss", controls=False))
    service = next(b for b in network.branches if len(b.from_nodes) == 1 and len(b.to_nodes) == 2)
    # one primary phase makes both legs, the second turned by half a period
    assert service.transfer.ravel() == pytest.approx(np.array([1, -1]) * 120 / 7200, rel=1e-3)
