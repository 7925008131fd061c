"""The bundled feeders against the published solutions, in plain OpenDSS, and the curves of their studies.

tests/cases/ieee123/reference_voltages.csv is the frozen answer: the IEEE 123-node feeder solved with the
published taps and no control action (convergence 1e-8), six digits of pu, four of degrees.
"""

from __future__ import annotations

import cmath
import csv
import importlib.util
import math
import shutil
import tomllib
from pathlib import Path

import networkx as nx
import numpy as np
import opendssdirect
import pytest

ROOT = Path(__file__).parents[3]
MODELS = ROOT / "dss_models"
REFERENCE = ROOT / "tests" / "cases" / "ieee123" / "reference_voltages.csv"
PUBLISHED_TAPS = {"creg1a": 7, "creg2a": -1, "creg3a": 0, "creg3c": -1, "creg4a": 8, "creg4b": 1, "creg4c": 5}


def compiled(master: Path):
    """A context of its own, so that no test sees another's circuit."""
    dss = opendssdirect.dss.NewContext()
    dss.Text.Command(f'redirect "{master}"')
    dss.Text.Command("set tolerance=1e-9 maxiterations=100")
    return dss


def solved(case: str, control_mode: str = "off"):
    dss = compiled(MODELS / case / "Master.dss")
    dss.Text.Command(f"set controlmode={control_mode}")
    dss.Solution.Solve()
    assert dss.Solution.Converged()
    return dss


def each(collection):
    """Steps OpenDSS's cursor through one class of elements."""
    more = collection.First()
    while more:
        yield collection
        more = collection.Next()


def voltages(dss) -> dict[str, tuple[float, float]]:
    """node -> (pu, degrees)"""
    flat = dss.Circuit.AllBusVolts()
    degrees = [math.degrees(cmath.phase(complex(*flat[2 * i : 2 * i + 2]))) for i in range(len(flat) // 2)]
    pairs = zip(dss.Circuit.AllBusMagPu(), degrees, strict=True)
    return dict(zip(dss.Circuit.AllNodeNames(), pairs, strict=True))


def taps(dss) -> dict[str, int]:
    return {control.Name(): control.TapNumber() for control in each(dss.RegControls)}


def profile(case: str) -> dict[str, np.ndarray]:
    with (MODELS / case / "profiles.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def study(case: str) -> dict:
    return tomllib.loads((MODELS / case / "study.toml").read_text())


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("recipe", ROOT / "scripts" / "support" / "dss_profiles.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- IEEE 123 -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ieee123():
    return solved("ieee123")


def test_ieee123_every_node_matches_the_published_taps_solution(ieee123):
    ours = voltages(ieee123)
    with REFERENCE.open() as file:
        reference = {
            f"{row['bus']}.{'abc'.index(row['phase']) + 1}": (float(row["v_pu"]), float(row["angle_deg"]))
            for row in csv.DictReader(file)
        }
    assert set(ours) == set(reference)
    assert len(ours) == 278
    for node, (pu, degrees) in reference.items():
        # Half of the reference's last digit, and a little.
        assert ours[node][0] == pytest.approx(pu, abs=6e-7), node
        assert abs((ours[node][1] - degrees + 180) % 360 - 180) < 6e-5, node


def test_ieee123_feeder_head_and_losses(ieee123):
    kw, kvar = (-x for x in ieee123.Circuit.TotalPower())
    assert kw == pytest.approx(3621.5, abs=0.05)
    assert kvar == pytest.approx(1323.9, abs=0.05)
    assert ieee123.Circuit.Losses()[0] / 1000 == pytest.approx(95.28, rel=1e-4)


def test_ieee123_spot_loads_add_up_and_keep_their_kind(ieee123):
    kw = {1: 0.0, 2: 0.0, 5: 0.0}
    kvar = 0.0
    for load in each(ieee123.Loads):
        kw[int(load.Model())] += load.kW()
        kvar += load.kvar()
    assert kvar == pytest.approx(1920)
    # Constant power, impedance, current: sums over the published table.
    assert kw == pytest.approx({1: 1935.0, 2: 850.0, 5: 705.0})


def test_ieee123_published_taps_are_at_rest_with_regulators_free():
    assert taps(solved("ieee123", "static")) == PUBLISHED_TAPS


@pytest.mark.parametrize("start", [-16, 0, 16])
def test_ieee123_regulators_settle_close_to_the_published_taps_from_afar(start):
    """Within three steps: a band of 2 V holds two positions of 0.75 V, and regulators in series add up."""
    dss = compiled(MODELS / "ieee123" / "Master.dss")
    for control in each(dss.RegControls):
        control.TapNumber(start)
    dss.Solution.Solve()
    assert dss.Solution.Converged()
    settled = taps(dss)
    assert max(abs(settled[name] - tap) for name, tap in PUBLISHED_TAPS.items()) <= 3
    assert abs(settled["creg1a"] - 7) <= 1


def test_ieee123_calibrated_curve_meets_the_papers_capacity_without_bess_at_ten(recipe):
    curves = profile("ieee123")
    assert list(curves) == ["hour", "load_pu", "pv_pu"]
    assert list(curves["hour"]) == list(range(24))
    sun = curves["pv_pu"] > 0
    reverse_flow_kw = np.full(24, np.inf)
    reverse_flow_kw[sun] = 3490 * curves["load_pu"][sun] / curves["pv_pu"][sun]
    assert reverse_flow_kw.min() == pytest.approx(3427.5, abs=0.01)
    assert reverse_flow_kw.argmin() == 10
    assert study("ieee123")["paper"]["none_kw"] == recipe.HC_WITHOUT_BESS_KW == 3427.5
    assert curves["pv_pu"] == pytest.approx(recipe.calibrated_pv_pu(), abs=1e-8)
    assert (curves["load_pu"].min(), curves["load_pu"].max(), curves["load_pu"].argmax()) == (0.54, 1.0, 19)


def test_ieee123_pv_sites_follow_their_rule(ieee123):
    """Rebuilt from the compiled circuit, by another road than the script's."""
    sites, paper = study("ieee123")["pv"]["buses"], study("ieee123")["paper"]["bess_buses"]
    graph, eligible = nx.Graph(), []
    for line in each(ieee123.Lines):
        ends = [bus.split(".")[0] for bus in (line.Bus1(), line.Bus2())]
        graph.add_edge(*ends, feet=0.0 if line.IsSwitch() else line.Length() * 1000)
        if line.Phases() == 3 and not line.IsSwitch():
            eligible += [bus for bus in ends if not bus.endswith("r") and bus != "149"]
    for bus in ("150", "9", "25", "160"):
        graph.add_edge(bus, f"{bus}r", feet=0.0)
    chosen = list(paper)
    while len(chosen) < len(sites):
        feet = nx.multi_source_dijkstra_path_length(graph, set(chosen), weight="feet")
        chosen.append(max(dict.fromkeys(eligible), key=lambda bus, feet=feet: feet[bus]))
    assert set(sites) == set(chosen)
    assert len(sites) == len(set(sites)) == 24
    for bus in [*sites, study("ieee123")["bess"]["centralized_bus"]]:
        ieee123.Circuit.SetActiveBus(bus)
        assert sorted(ieee123.Bus.Nodes()) == [1, 2, 3], bus


# --- IEEE 33 --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ieee33():
    return solved("ieee33")


def test_ieee33_losses_and_lowest_voltage(ieee33):
    kw, kvar = (x / 1000 for x in ieee33.Circuit.Losses())
    assert kw == pytest.approx(202.68, rel=1e-4)
    assert kvar == pytest.approx(135.14, rel=1e-4)
    pu = {node: v for node, (v, _) in voltages(ieee33).items()}
    lowest = min(pu, key=lambda node: pu[node])
    assert lowest.split(".")[0] == "18"
    assert pu[lowest] == pytest.approx(0.9131, rel=1e-4)
    head_kw, head_kvar = (-x for x in ieee33.Circuit.TotalPower())
    assert head_kw == pytest.approx(3715 + kw, rel=1e-6)
    assert head_kvar == pytest.approx(2300 + kvar, rel=1e-6)


def test_ieee33_agrees_with_a_backward_forward_sweep(ieee33):
    """The single-phase equivalent solved here, without OpenDSS: the same voltages and losses."""
    upstream = {
        line.Bus2().split(".")[0]: (line.Bus1().split(".")[0], complex(line.R1(), line.X1()) * line.Length())
        for line in each(ieee33.Lines)
    }
    load_va = {
        ieee33.CktElement.BusNames()[0].split(".")[0]: complex(load.kW(), load.kvar()) * 1000 / 3
        for load in each(ieee33.Loads)
    }
    depth = nx.single_source_shortest_path_length(nx.Graph((a, b) for b, (a, _) in upstream.items()), "1")
    outward = sorted(upstream, key=lambda bus: depth[bus])
    v_rated_v = 12660 / math.sqrt(3)
    v = dict.fromkeys(depth, complex(v_rated_v))
    for _ in range(50):
        current = {bus: (load_va[bus] / v[bus]).conjugate() for bus in outward}
        for bus in reversed(outward):
            parent = upstream[bus][0]
            if parent != "1":
                current[parent] += current[bus]
        for bus in outward:
            parent, z_ohm = upstream[bus]
            v[bus] = v[parent] - z_ohm * current[bus]
    losses_kw = 3 * sum(z.real * abs(current[bus]) ** 2 for bus, (_, z) in upstream.items()) / 1000
    assert losses_kw == pytest.approx(ieee33.Circuit.Losses()[0] / 1000, rel=1e-6)
    ours = voltages(ieee33)
    for bus in v:
        # The 1 microohm of OpenDSS's source is worth 4e-8 pu.
        assert ours[f"{bus}.1"][0] == pytest.approx(abs(v[bus]) / v_rated_v, abs=1e-7), bus


def test_ieee33_profiles_and_sites(ieee33):
    curves = profile("ieee33")
    assert list(curves) == ["hour", "load_pu", "pv_pu", "ev_mw"]
    assert all(len(column) == 24 and np.isfinite(column).all() for column in curves.values())
    assert (curves["pv_pu"].min(), curves["pv_pu"].max()) == (0.0, 0.63)
    assert set(study("ieee33")["pv"]["buses"]) <= set(ieee33.Circuit.AllBusNames())


# --- both -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["ieee123", "ieee33"])
def test_opens_anywhere_in_plain_opendss_and_leaves_nothing_behind(case, tmp_path, monkeypatch):
    folder = tmp_path / "a folder with spaces" / case
    shutil.copytree(MODELS / case, folder)
    before = sorted(path.name for path in folder.iterdir())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    dss = compiled(folder / "Master.dss")
    dss.Solution.Solve()
    assert dss.Solution.Converged()
    assert dss.Circuit.Name() == case
    assert not list(elsewhere.iterdir())
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize("case", ["ieee123", "ieee33"])
def test_every_bus_has_its_base_voltage_and_its_place(case):
    dss = solved(case)
    without_place = []
    for bus in dss.Circuit.AllBusNames():
        dss.Circuit.SetActiveBus(bus)
        assert dss.Bus.kVBase() > 0, bus
        if not dss.Bus.Coorddefined():
            without_place.append(bus)
    # The two blades of the open switches are no buses of the drawing.
    assert without_place == (["300_open", "94_open"] if case == "ieee123" else [])


@pytest.mark.parametrize("case", ["ieee123", "ieee33"])
def test_every_assumption_says_whether_it_is_stated_ours_or_calibrated(case):
    for key, sentence in study(case)["assumptions"].items():
        assert sentence.split()[0].rstrip(":") in ("stated", "ours", "calibrated"), key


@pytest.mark.parametrize("case", ["ieee123", "ieee33"])
def test_every_model_file_names_its_source(case):
    for path in (MODELS / case).glob("*.dss"):
        assert "IEEE Trans. Power" in path.read_text(), path
