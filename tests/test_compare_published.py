"""scripts/compare_published.py without the large feeder: its rule, its search, its table."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import opendssdirect
import pandas as pd
import pytest

import hcsim
from hcsim.opendss.circuit import Circuit

PLACE = Path(__file__).parent.parent / "scripts" / "compare_published.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location(PLACE.stem, PLACE)
    module = sys.modules[PLACE.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[PLACE.stem]


@pytest.fixture(scope="module")
def model():
    bench = hcsim.Workbench.open("ieee33")
    sun = np.array([0.0, 0.2, 1.0, 0.9])
    profiles = hcsim.Profiles(("a", "b", "c", "d"), 0.25, np.ones(4), sun)
    return hcsim.FeederModel(bench.circuit, bench.network, profiles, hcsim.Limits())


@pytest.mark.parametrize(("begins", "limit"), [(726.0, 3194.0), (3250.0, 3194.0), (10.0, 11.0)])
def test_the_search_ends_within_five_kw_below_the_first_size_that_fails(script, begins, limit):
    asked = []

    def fails(kw):
        asked.append(kw)
        return "voltage" if kw > limit else ""

    found, why = script.search(fails, begins)
    assert limit - script.SEARCH_KW < found <= limit and why == "voltage"
    assert asked[0] == begins and asked[1] == (2.0 if begins <= limit else 0.5) * begins


def test_the_rule_names_what_a_plant_breaks_and_forgives_what_the_feeder_breaks_alone(script, model):
    def day(kw):
        schedule = script.schedule(model.network, model.profiles, {"18": kw})
        return hcsim.replay(model, schedule, hcsim.ReplayOptions("free")).operation

    bare, small, large = day(0.0), day(60.0), day(3000.0)
    assert np.nanmin(bare.v_pu) < 0.95  # of its own
    assert script.broken(small, bare, {}, 0.25) == ""
    said = script.broken(large, bare, {}, 0.25)
    assert "overvoltage" in said and "voltage step at 18." in said and said.endswith(", c")
    assert "undervoltage" not in said
    share = np.full_like(bare.v_pu[:, :1], 0.5)
    loaded = [replace(bare, branches=("Line.l7.1",), loading_pu=share * factor) for factor in (1.0, 1.9, 2.1)]
    assert [script.broken(o, loaded[0], {"line.l7": 1.0}, 0.25) for o in loaded] == ["", "", "L7"]
    assert script.broken(loaded[1], loaded[0], {"line.l7": 0.4}, 0.25) == "L7"  # above its normal rating already


def test_a_copy_has_emergency_ratings_for_normal_ones_and_a_line_twice(script, tmp_path):
    (tmp_path / "m.dss").write_text(
        "clear\nnew circuit.m basekv=12.47 bus1=a\n"
        "new line.one bus1=a bus2=b length=2 units=km normamps=200 emergamps=300\n"
        "new line.two bus1=b bus2=c length=2 units=km normamps=200 emergamps=300\n"
        "new transformer.t buses=(c d) kvs=(12.47 0.48) kvas=(100 100)\n"
        "new load.x bus1=d kv=0.48 kw=50\nset voltagebases=[12.47 0.48]\ncalcvoltagebases\n"
    )
    prepared = script.rated_for_emergencies(tmp_path / "m.dss", doubled="TWO")
    assert prepared.normal == pytest.approx({"line.one": 2 / 3, "line.two": 2 / 3, "transformer.t": 1.1 / 1.5})
    circuit = Circuit.compile(prepared.master)
    said = {key: float(circuit.command(f"? {key}")) for key in ("line.one.normamps", "line.two.normamps")}
    assert said == {"line.one.normamps": 300.0, "line.two.normamps": 600.0}
    assert float(circuit.command("? line.two.length")) == 1.0
    assert float(circuit.command("? transformer.t.normhkva")) == 150.0


def test_the_day_reads_curves_as_opendss_does(script, model, tmp_path):
    """OpenDSS itself, daily in steps of 5 minutes: a load on "default", a plant on a second-by-second curve."""
    curve = np.random.default_rng(1).integers(1, 294, 86401)
    np.savetxt(tmp_path / "sun.dat", curve, fmt="%d")
    day = script.day(model.circuit, tmp_path / "sun.dat")
    assert len(day) == 288 and day.times[:2] == ("00:00", "00:05")
    dss = opendssdirect.dss.NewContext().to_dss_python()
    for line in (
        "new circuit.x basekv=12.47 bus1=a",
        f"new loadshape.sun npts=86401 sinterval=1 csvfile={tmp_path / 'sun.dat'} action=normalize",
        "new load.l bus1=a kv=12.47 kw=100 pf=1 daily=default",
        "new pvsystem.p bus1=a kv=12.47 kva=125 pmpp=100 irradiance=1 daily=sun pf=1 %cutin=0.1 %cutout=0.1",
        "set mode=daily number=1 stepsize=300s controlmode=off",
    ):
        dss.Text.Command = line
    for t in range(len(day)):
        dss.ActiveCircuit.Solution.Solve()
        for name, sign, expected in (("load.l", 1.0, day.load_pu[t]), ("pvsystem.p", -1.0, day.pv_pu[t])):
            dss.ActiveCircuit.SetActiveElement(name)
            kw = float(np.asarray(dss.ActiveCircuit.ActiveCktElement.Powers).reshape(-1, 2)[:, 0].sum())
            assert sign * kw == pytest.approx(100.0 * expected, abs=0.01), (name, t)


def test_the_table_is_written_with_differences_and_sources(script, tmp_path):
    kw = script.Row("IEEE 9500", "n1", 3194.0, "their rule", 3190.4, "kW", "step", "step at n1", "", script.I2X)
    share = script.Row("IEEE 37", "gain", 50.0, "flexible", 38.3, "%", "not said", "", "other sun", "arXiv")
    script.write([kw, share], tmp_path)
    table = pd.read_csv(tmp_path / "published.csv")
    assert table["difference"].tolist() == pytest.approx([-3.6, -11.7]) and script.I2X in table["source"].tolist()
    lines = (tmp_path / "published.md").read_text().splitlines()
    assert "| 3,194.0 kW | their rule | 3,190.4 kW | -3.6 kW, -0.11 % |" in lines[2]
    assert "| ≥ +50 % | flexible | +38 % | -12 points |" in lines[3]
    assert len({line.count("|") for line in lines}) == 1


def test_published_values_are_those_of_the_source(script):
    assert [round(p.kw, 1) for p in script.NODAL] == [3194.0, 3194.5, 2756.9, 7106.5, 11554.2]
    assert all(p.source.startswith("pnnl/i2x 4c55387") for p in script.NODAL)
