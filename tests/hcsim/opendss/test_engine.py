"""The door to OpenDSS: what it reads, what it refuses, what it leaves alone."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from hcsim.errors import ConvergenceError, FeederError
from hcsim.opendss.circuit import Circuit

pytestmark = pytest.mark.smoke

CASES = Path(__file__).parents[2] / "cases"


@pytest.fixture
def two_bus():
    return Circuit.compile(CASES / "two_bus.dss")


def feeder(tmp_path: Path, text: str) -> Path:
    """A feeder of 12.47 kV with one line, and `text` after it."""
    master = tmp_path / "Master.dss"
    master.write_text(
        "clear\nnew circuit.t basekv=12.47 bus1=src\n"
        "new line.l1 bus1=src bus2=b1 r1=0.3 x1=0.6 r0=0.6 x0=1.5 c1=0 c0=0 length=1\n"
        f"{text}\nset voltagebases=[12.47 0.48]\ncalcvoltagebases\n"
    )
    return master


def test_two_bus_voltage_is_the_quadratic_s(two_bus):
    # |V|^4 - (E^2 - 2(RP + XQ)) |V|^2 + |Z|^2 |S|^2 = 0, per phase, in volts and volt-amperes
    e, p, q, r, x = 12470 / math.sqrt(3), 1e6, 0.3e6, 1.0, 2.0
    b = e**2 - 2 * (r * p + x * q)
    v = math.sqrt((b + math.sqrt(b**2 - 4 * (r**2 + x**2) * (p**2 + q**2))) / 2)
    solved = dict(zip(two_bus.node_names(), np.abs(two_bus.voltages_v()), strict=True))
    # the source keeps a microohm: 2e-8 of the voltage at 140 A
    assert [solved[f"b1.{k}"] for k in (1, 2, 3)] == pytest.approx([v] * 3, rel=5e-8)


def test_power_is_positive_into_the_feeder_and_balances(two_bus):
    source = two_bus.substation_kva().sum()
    line = two_bus.losses_kva()
    assert source.real == pytest.approx(3000 + line.real, abs=1e-3)
    assert source.imag == pytest.approx(900 + line.imag, abs=1e-3)
    assert two_bus.load_kw() == pytest.approx(3000, abs=1e-3)
    assert two_bus.nominal_load_kw() == 3000


def test_class_vectors_are_cut_as_the_layout_says(two_bus):
    layout = two_bus.layout("Line")
    one = two_bus.element_powers("Line.l1")
    assert one.shape == (2, 3)
    assert two_bus.powers_kva("Line")[layout.of("line.L1")] == pytest.approx(one.ravel())
    i = two_bus.currents_a("Line")
    assert i[:3] == pytest.approx(-i[3:])  # no capacitance: what flows in flows out
    assert two_bus.powers_kva("Generator").size == 0


def test_elements_carry_the_facts(two_bus):
    line = next(e for e in two_bus.elements() if e.name == "Line.l1")
    assert line.node_ref.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert -np.linalg.inv(line.y_prim_s[:3, 3:]) == pytest.approx(np.eye(3) * (1 + 2j), abs=1e-9)
    assert line.properties["normamps"] == 300


def test_daily_series_reads_the_shape_from_its_first_value(two_bus):
    two_bus.command("new loadshape.day npts=3 interval=1 mult=[0.2 0.5 1.0]")
    two_bus.command("edit load.ld daily=day")
    two_bus.start_series(1.0)
    for t, share in enumerate([0.2, 0.5, 1.0]):
        assert two_bus.step(t, controls=True)
        assert two_bus.load_kw() == pytest.approx(3000 * share, abs=1e-3)


def test_broken_file_is_named_with_its_line(tmp_path):
    (tmp_path / "loads.dss").write_text("! loads\nnew load.a bus1=b1 kwx=3\n")
    master = feeder(tmp_path, "redirect loads.dss")
    with pytest.raises(FeederError, match=r'kwx.*loads\.dss", line: 2'):
        Circuit.compile(master)


def test_missing_and_empty_files_are_refused(tmp_path):
    with pytest.raises(FeederError, match="No such feeder file"):
        Circuit.compile(tmp_path / "nowhere.dss")
    (tmp_path / "empty.dss").write_text("! nothing\n")
    with pytest.raises(FeederError, match="no circuit"):
        Circuit.compile(tmp_path / "empty.dss")


def test_cut_off_load_is_not_called_converged(tmp_path):
    master = feeder(tmp_path, "new load.a bus1=b1 kv=12.47 kw=100\ndisable line.l1")
    with pytest.raises(ConvergenceError, match=r"serves 0\.0 of 100\.0 kW"):
        Circuit.compile(master)


def test_overloaded_feeder_does_not_converge(tmp_path):
    with pytest.raises(ConvergenceError):
        Circuit.compile(feeder(tmp_path, "new load.a bus1=b1 kv=12.47 kw=900000 vminpu=0.01"))


def test_nothing_is_written_beside_the_users_files(tmp_path):
    work = tmp_path / "feeder"
    work.mkdir()
    master = feeder(work, "new load.a bus1=b1 kv=12.47 kw=100")
    with master.open("a") as file:
        file.write("solve\nshow voltages ln nodes\nexport voltages\nexport summary\nplot profile\n")
    before = Path.cwd()
    Circuit.compile(master)
    assert [p.name for p in work.iterdir()] == ["Master.dss"]
    assert Path.cwd() == before


def test_circuits_are_isolated(two_bus, tmp_path):
    before = two_bus.voltages_v()
    other = Circuit.compile(feeder(tmp_path, "new load.a bus1=b1 kv=12.47 kw=100"))
    two_bus.solve(controls=False)
    assert other.name == "t"
    assert two_bus.voltages_v() == pytest.approx(before)


def test_hash_covers_redirected_files(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "loads.dss").write_text("new load.a bus1=b1 kv=12.47 kw=100 daily=s\n")
    (tmp_path / "sub" / "shape.csv").write_text("1\n1\n")
    text = "new loadshape.s npts=2 mult=(file=sub/shape.csv)\nRedirect sub\\loads.dss ! loads"
    master = feeder(tmp_path, text)
    names = [p.name for p in Circuit.compile(master).files]
    assert names == ["Master.dss", "shape.csv", "loads.dss"]
    first = Circuit.compile(master).source_sha256
    (tmp_path / "sub" / "loads.dss").write_text("new load.a bus1=b1 kv=12.47 kw=101 daily=s\n")
    assert Circuit.compile(master).source_sha256 != first


@pytest.mark.skipif("HCSIM_FEEDERS" not in os.environ, reason="HCSIM_FEEDERS is not set")
def test_taps_are_set_and_read_back():
    circuit = Circuit.compile(Path(os.environ["HCSIM_FEEDERS"]) / "13Bus" / "IEEE13Nodeckt.dss")
    assert circuit.taps() == {"reg1": 9, "reg2": 6, "reg3": 9}  # as in the feeder's own comments, +-1
    circuit.set_taps({"reg1": -3})
    circuit.solve(controls=False)
    assert circuit.taps()["reg1"] == -3
    with pytest.raises(FeederError, match="No RegControl creg9"):
        circuit.set_taps({"creg9": 1})


def test_taps_are_put_where_the_control_itself_would_put_them(tmp_path):
    """A winding with a range and a number of taps of its own, and a control on the first winding."""
    master = tmp_path / "odd.dss"
    master.write_text(
        "clear\nnew circuit.odd basekv=4.16\n"
        "new transformer.t phases=3 windings=2 buses=(sourcebus b) conns=(wye wye) kvs=(4.16 4.16) kvas=(900 900)\n"
        "edit transformer.t wdg=2 numtaps=16 maxtap=1.15 mintap=0.95\n"
        "new regcontrol.r transformer=t winding=2 vreg=120 band=2 ptratio=20\n"
        "new transformer.u phases=3 windings=2 buses=(b c) conns=(wye wye) kvs=(4.16 4.16) kvas=(900 900)\n"
        "new regcontrol.s transformer=u winding=2 tapwinding=1 vreg=120 band=2 ptratio=20\n"
        "new load.l bus1=c kv=4.16 kw=100\nset voltagebases=[4.16]\ncalcv\nsolve\n"
    )
    circuit, by_control = (Circuit.compile(master, controls=False) for _ in range(2))
    for position in (-3, 0, 5, 40):  # the last is beyond both ranges
        circuit.set_taps({"r": position, "s": position // 2})
        for name, at in (("r", position), ("s", position // 2)):
            by_control.command(f"edit regcontrol.{name} tapnum={at}")
        assert circuit.taps() == by_control.taps()
        found = []
        for one in (circuit, by_control):
            one.start_series(1.0)
            assert one.step(0, controls=False)
            found.append(one.voltages_v())
        assert np.abs(found[0] - found[1]).max() < 1e-6  # V of 2400: the tolerance of the power flow
