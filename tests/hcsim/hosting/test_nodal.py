"""Nodal hosting capacity against hand solutions and a fine crawl."""

from dataclasses import replace
from pathlib import Path

import hand_networks as hand
import numpy as np
import pytest
from scipy.optimize import brentq

from hcsim.feeder.model import FeederModel
from hcsim.feeder.read import read_network
from hcsim.hosting.hour_probe import Prober
from hcsim.hosting.nodal import NodalJob, Site, search_site
from hcsim.hosting.open_feeder import FeederFiles as Feeder
from hcsim.hosting.system_wide import hosting_capacity
from hcsim.hosting.weights import PvShares
from hcsim.opendss.circuit import Circuit
from hcsim.replay.options import ReplayOptions
from hcsim.replay.run import replay
from optim.data.limits import Limits
from optim.data.profiles import FixedInjection, Profiles
from optim.data.schedule import BessUnit, Schedule

CASES = Path(__file__).parents[2] / "cases"
NODES = ("b1.1", "b1.2", "b1.3")
PROFILES = Profiles(("00:00", "01:00", "02:00"), 1.0, np.array([0.3, 0.5, 0.2]), np.array([0.5, 1.0, 0.6]))
NONE = Limits(v_min_pu=None, v_max_pu=None, substation_min_kw=None)
FEEDER = Feeder(CASES / "two_bus.dss", "")


@pytest.fixture
def circuit():
    return Circuit.compile(CASES / "two_bus.dss")


def find(circuit, limits, kind="generation", nodes=NODES, network=None, controls="free", **settings):
    prober = Prober(FeederModel(circuit, network or hand.two_bus(), PROFILES, limits), controls=controls)
    job = NodalJob(FEEDER, PROFILES, limits, **({"largest_kw_per_phase": 10000.0} | settings))
    found = search_site(prober, job, Site("x", "b1", nodes, kind))
    return dict(zip((c.name for c in prober.criteria), found, strict=True)), prober


def test_overvoltage_where_the_quadratic_says(circuit):
    by_hand = brentq(lambda kw: hand.far_voltage_pu(500 - kw / 3, 150) - 1.05 - 1e-5, 1000, 29000)
    found, prober = find(circuit, replace(NONE, v_max_pu=1.05))
    answer = found["overvoltage"]
    # 10 kW: the source of the file has 1e-6 ohm, 1 kW is 1e-6 pu here
    assert answer.k == pytest.approx(by_hand, abs=10) and answer.step == 1 and not answer.not_monotone
    assert prober.element_of(0, answer.at) == ("b1", "1")


def test_voltage_deviation_is_the_change_from_the_feeder_without(circuit):
    def change(kw, load):
        return hand.far_voltage_pu(1000 * load - kw / 3, 300 * load) - hand.far_voltage_pu(1000 * load, 300 * load)

    by_hand = brentq(lambda kw: change(kw, 0.5) - 0.03 - 1e-5, 500, 29000)
    answer = find(circuit, replace(NONE, v_deviation_max_pu=0.03))[0]["voltage_deviation"]
    assert answer.k == pytest.approx(by_hand, abs=10) and answer.step == 1


def test_reverse_flow_at_the_hour_of_least_load_over_sun(circuit):
    answer = find(circuit, replace(NONE, substation_min_kw=0.0))[0]["reverse_flow"]
    assert answer.step == 2  # 3000 kW x min(load / sun) = 1000 kW, losses of a small flow on top (below 5 kW)
    assert answer.k == pytest.approx(1000, abs=5)


def test_a_new_load_sinks_the_voltage_at_the_hour_of_most_load(circuit):
    by_hand = brentq(lambda kw: hand.far_voltage_pu(500 + kw / 3, 150) - 0.95 + 1e-5, 100, 20000)
    answer = find(circuit, replace(NONE, v_min_pu=0.95), kind="load")[0]["undervoltage"]
    assert answer.k == pytest.approx(by_hand, abs=10) and answer.step == 1


def test_loading_of_the_line_by_its_rating(circuit):
    """300 A: the line carries the net generation; at the hour of most sun."""

    def amperes(kw):
        p, q = 500 - kw / 3, 150
        return np.hypot(p, q) / (hand.far_voltage_pu(p, q) * hand.V_BASE_V / 1000)

    by_hand = brentq(lambda kw: amperes(kw) / 300 - 1.0 - 1e-4, 3000, 29000)
    answer = find(circuit, replace(NONE, loading_max_pu=1.0))[0]["loading"]
    assert answer.k == pytest.approx(by_hand, abs=5) and answer.step == 1


def test_unbalance_of_a_single_phase_site_by_its_definition(circuit):
    """One phase gets 3 % away: magnitudes and angles of the hand solution, line to line."""

    def unbalance(kw):
        loaded, bare = phasor(500 - kw, 150), phasor(500, 150)
        turned = bare * np.exp(-2j * np.pi / 3 * np.arange(3))
        turned[0] = loaded
        across = np.abs(turned - np.roll(turned, -1))
        return 100 * np.abs(across - across.mean()).max() / across.mean()

    by_hand = brentq(lambda kw: unbalance(kw) - 1.0 - 1e-3, 100, 9000)
    answer = find(circuit, replace(NONE, unbalance_max_pct=1.0), nodes=NODES[:1])[0]["voltage_unbalance"]
    assert answer.k == pytest.approx(by_hand, abs=5)


def phasor(p_kw, q_kvar):
    """Far voltage of one uncoupled phase, the source's at angle zero, by fixed point."""
    v = complex(hand.V_BASE_V)
    for _ in range(200):
        v = hand.V_BASE_V - (1 + 2j) * np.conj((p_kw + 1j * q_kvar) * 1000 / v)
    return v


def test_where_nothing_binds_it_says_so(circuit):
    answer = find(circuit, replace(NONE, v_min_pu=0.5), largest_kw_per_phase=500.0)[0]["undervoltage"]
    assert (answer.k, answer.why, answer.step) == (1500, "largest", -1)


def test_beyond_what_the_power_flow_can_carry_is_named(circuit):
    """A new load beyond the line's limit of stability: P <= E^2 / (2 (|z| + r)) per phase at unity."""
    answer = find(circuit, replace(NONE, v_max_pu=1.2), kind="load", largest_kw_per_phase=30000.0)[0]["overvoltage"]
    assert answer.why == "convergence"
    assert answer.k < 3 * hand.V_BASE_V**2 / (2 * (np.sqrt(5) + 1)) / 1000


def test_violations_that_are_there_already_do_not_count(circuit):
    limits = replace(NONE, v_min_pu=0.995, v_max_pu=1.05)  # 01:00 is below without PV
    found = find(circuit, limits)[0]
    assert found["undervoltage"].why == "largest"
    only = find(circuit, replace(NONE, v_max_pu=1.05))[0]
    assert found["overvoltage"] == only["overvoltage"]


def test_the_same_as_the_system_wide_search_with_one_site(circuit):
    """Real PVSystem elements and whole days there, loads of constant power and single hours here."""
    limits = replace(NONE, v_max_pu=1.05)
    whole = hosting_capacity(
        FeederModel(circuit, hand.two_bus(), PROFILES, limits), PvShares(NODES, np.ones(3)), tolerance_kw=0.5
    )
    assert find(circuit, limits)[0]["overvoltage"].k == pytest.approx(whole.hc_kw, abs=1.5)


@pytest.mark.parametrize("v_max", [1.0055, 1.02])
@pytest.mark.parametrize("controls", ["free", "locked"])
def test_against_a_fine_crawl_where_a_regulator_steps(v_max, controls):
    regulated = Circuit.compile(CASES / "two_bus_regulator.dss", controls=False)
    network = hand.two_bus_regulator()
    network = replace(network, v_judged=np.array([n.startswith("b1") for n in network.nodes]))
    limits = replace(NONE, v_max_pu=v_max)
    found, prober = find(
        regulated, limits, network=network, controls=controls, resolution_kw=20.0, largest_kw_per_phase=2000.0
    )
    answer = found["overvoltage"]
    passed = []
    for k in range(1, 301):
        prober.resize(np.full(3, k * 20.0 / 3))
        mode = prober.mode_of_criteria[0]
        passed.append(all(prober.probe(t, mode).excess[0] <= 0 for t in range(3)))
    first_failed = passed.index(False) + 1 if not all(passed) else 301
    assert answer.k == first_failed - 1
    assert answer.not_monotone <= any(passed[first_failed:])


def test_the_answer_does_not_depend_on_what_was_asked_before(circuit):
    limits = Limits.screening()
    network, _ = read_network(circuit)
    prober = Prober(FeederModel(circuit, network, PROFILES, limits))
    job = NodalJob(FEEDER, PROFILES, limits, largest_kw_per_phase=10000.0)
    sites = [
        Site("a", "b1", NODES, "generation"),
        Site("b", "b1", NODES[:1], "generation"),
        Site("c", "b1", NODES, "load"),
    ]
    first = [search_site(prober, job, s) for s in sites]
    again = [search_site(prober, job, s) for s in reversed(sites)][::-1]
    assert first == again


def test_tap_operations_are_counted_from_where_the_bare_feeder_stands():
    regulated = Circuit.compile(CASES / "two_bus_regulator.dss", controls=False)
    network = hand.two_bus_regulator()
    found, prober = find(regulated, replace(NONE, tap_operations_max=1.0), network=network, largest_kw_per_phase=3000.0)
    k, step = found["tap_operations"].k, found["tap_operations"].step
    for kw, most in ((k, 1), (k + 1, 99)):
        prober.resize(np.full(3, kw / 3))
        prober.probe(step, "settled")
        moved = abs(regulated.taps()["creg"] - prober.taps[step]["creg"])
        assert (moved <= 1) == (most == 1)


def battery(charge_kw, profiles=PROFILES):
    """Charges at 02:00, where reverse flow binds."""
    unit = BessUnit("u1", "b1", 5000.0, 900.0, 0.9, 0.9, 0.0, 1.0)
    charge = np.array([[0.0] * 3, [0.0] * 3, [charge_kw / 3] * 3])
    none = np.zeros((3, 0))
    return Schedule(
        case="b",
        times=profiles.times,
        step_h=1.0,
        pv_nodes=(),
        pv_kw=np.zeros(0),
        pv_p_kw=none,
        pv_q_kvar=none,
        bess=(unit,),
        bess_nodes=NODES,
        bess_of=(0, 0, 0),
        p_charge_kw=charge,
        p_discharge_kw=0 * charge,
        soc_kwh=np.array([[0.0], [0.0], [0.0], [0.9 * charge_kw]]),
    )


def test_a_battery_makes_room_by_what_it_charges(circuit):
    limits = replace(NONE, substation_min_kw=0.0)
    job = NodalJob(FEEDER, PROFILES, limits, largest_kw_per_phase=10000.0)
    prober = Prober(FeederModel(circuit, hand.two_bus(), PROFILES, limits), bess=battery(180.0))
    answer = search_site(prober, job, Site("x", "b1", NODES, "generation"))[0]
    assert answer.step == 2 and answer.k == pytest.approx(1300, abs=5)  # (600 + 180) / 0.6


def test_a_battery_that_breaks_a_limit_by_itself_leaves_nothing(circuit):
    limits = replace(NONE, substation_min_kw=0.0)
    job = NodalJob(FEEDER, PROFILES, limits, largest_kw_per_phase=10000.0)
    prober = Prober(FeederModel(circuit, hand.two_bus(), PROFILES, limits), bess=battery(-900.0))
    answer = search_site(prober, job, Site("x", "b1", NODES, "generation"))[0]
    assert (answer.k, answer.why, answer.step) == (0, "base", 2)


def test_pv_that_is_there_already_takes_its_room(circuit):
    own = tuple(FixedInjection(node, np.array([0.0, 0.0, 60.0])) for node in NODES)
    there = replace(PROFILES, fixed=own)
    limits = replace(NONE, substation_min_kw=0.0)
    prober = Prober(FeederModel(circuit, hand.two_bus(), there, limits))
    job = NodalJob(FEEDER, there, limits, largest_kw_per_phase=10000.0)
    answer = search_site(prober, job, Site("x", "b1", NODES, "generation"))[0]
    assert answer.step == 2 and answer.k == pytest.approx(700, abs=5)  # (600 - 180) / 0.6


def test_the_replay_judges_by_the_same_criteria():
    """A regulated feeder with PV: power back through the regulator, taps and unbalance in one replay."""
    regulated = Circuit.compile(CASES / "two_bus_regulator.dss", controls=False)
    network = hand.two_bus_regulator()
    limits = replace(NONE, regulator_min_kw=0.0, tap_operations_max=0.0, unbalance_max_pct=0.5)
    plan = Schedule(
        case="p",
        times=PROFILES.times,
        step_h=1.0,
        pv_nodes=("b1.1",),
        pv_kw=np.array([3000.0]),
        pv_p_kw=PROFILES.pv_pu[:, None] * 3000.0,
        pv_q_kvar=np.zeros((3, 1)),
        bess=(),
        bess_nodes=(),
        bess_of=(),
        p_charge_kw=np.zeros((3, 0)),
        p_discharge_kw=np.zeros((3, 0)),
        soc_kwh=np.zeros((4, 0)),
    )
    found = replay(FeederModel(regulated, network, PROFILES, limits), plan, ReplayOptions("free"))
    rows = found.violations
    back = rows[rows["criterion"] == "regulator_reverse_flow"]
    assert set(back["element"]) == {"Transformer.reg"} and set(back["phase"]) == {"1"}
    # 02:00: 200 kW of load and 1800 kW of PV on phase 1; the losses of the line are before the regulator
    assert back.set_index("time").loc["02:00", "value"] == pytest.approx(200 - 1800, abs=3)
    taps = rows[rows["criterion"] == "tap_operations"]
    moved = np.abs(np.diff(np.concatenate([[[0]], found.tap]), axis=0))
    assert taps["value"].sum() == moved[moved > 0.5].sum() > 0
    assert set(rows[rows["criterion"] == "voltage_unbalance"]["element"]) <= {"m", "b1"}
    plain = replay(FeederModel(regulated, network, PROFILES, NONE), plan, ReplayOptions("free"))
    assert plain.violations.empty and plain.operation.tap_steps is None


def test_no_worse_than_before_means_the_lower_edge_of_the_regulators_band():
    """Between 119 and 121 V the control (60 to 1) rests anywhere; where exactly depends on the hours before."""
    regulated = Circuit.compile(CASES / "two_bus_regulator.dss", controls=False)
    prober = Prober(FeederModel(regulated, hand.two_bus_regulator(), PROFILES, replace(NONE, v_min_pu=0.999)))
    at = prober.reader.names(prober.criteria[0]).index(("b1", "1"))
    edge = 119 * 60 / hand.V_BASE_V
    allowed = -prober.thresholds[0][:, at]
    # a step of the control is cut into 64: 1e-4 pu; 1e-5 of tolerance
    assert allowed == pytest.approx(edge, abs=4e-4) and (allowed < 0.999).all()
    own = np.array([reading.v_pu[at] for reading in prober.base])
    assert (own >= allowed).all() and own.max() > edge + 1e-3
