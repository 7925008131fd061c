"""The simulation-based hosting capacity against hand solutions and against a fine crawl."""

from dataclasses import replace
from pathlib import Path

import hand_networks as hand
import numpy as np
import pytest
from scipy.optimize import brentq

from hcsim.errors import ConfigError
from hcsim.feeder.model import FeederModel
from hcsim.hosting.system_wide import hosting_capacity
from hcsim.hosting.weights import PvShares
from hcsim.opendss.circuit import Circuit
from hcsim.replay.options import ReplayOptions
from hcsim.replay.run import replay
from optim.data.limits import Limits
from optim.data.profiles import Profiles
from optim.data.schedule import BessUnit, Schedule
from optim.data.violations import new_violations

CASES = Path(__file__).parents[2] / "cases"
NODES = ("b1.1", "b1.2", "b1.3")
PROFILES = Profiles(("00:00", "01:00", "02:00"), 1.0, np.array([0.3, 0.5, 0.2]), np.array([0.5, 1.0, 0.6]))
V_MAX = Limits(v_min_pu=None, v_max_pu=1.05, substation_min_kw=None)


@pytest.fixture(scope="module")
def circuit():
    return Circuit.compile(CASES / "two_bus.dss")


@pytest.fixture(scope="module")
def regulated():
    return Circuit.compile(CASES / "two_bus_regulator.dss", controls=False)


def find(circuit, limits, network=None, **options):
    given = {"profiles": PROFILES, "pv_nodes": NODES, "weights": np.ones(3), "tolerance_kw": 0.5} | options
    model = FeederModel(circuit, network or hand.two_bus(), given.pop("profiles"), limits)
    shares = PvShares(given.pop("pv_nodes"), given.pop("weights"), given.pop("q_per_kw", None))
    own = {key: given.pop(key) for key in ("bess", "tolerance_kw") if key in given}
    return hosting_capacity(model, shares, ReplayOptions(**given), **own)


def only_pv(size_kw, profiles, nodes=NODES):
    """A schedule of equal PV without reactive power."""
    steps, size = len(profiles), np.full(len(nodes), size_kw / len(nodes))
    none = np.zeros((steps, 0))
    return Schedule(
        case="crawl",
        times=profiles.times,
        step_h=profiles.step_h,
        pv_nodes=nodes,
        pv_kw=size,
        pv_p_kw=profiles.pv_pu[:, None] * size,
        pv_q_kvar=np.zeros((steps, len(nodes))),
        bess=(),
        bess_nodes=(),
        bess_of=(),
        p_charge_kw=none,
        p_discharge_kw=none,
        soc_kwh=np.zeros((steps + 1, 0)),
    )


def test_overvoltage_where_the_quadratic_says(circuit):
    def over(kw):
        """At 01:00: half load, full sun, a third of both on each phase."""
        return hand.far_voltage_pu(500 - kw / 3, 150) - 1.05 - V_MAX.v_tolerance_pu

    by_hand = brentq(over, 1000, 40000)
    found = find(circuit, V_MAX)
    # 10 kW: the source of the file has 1e-6 ohm, 1 kW is 1e-6 pu here
    assert found.bracket_kw[0] - 10 <= by_hand <= found.bracket_kw[1] + 10
    assert found.hc_kw == found.bracket_kw[0] and found.bracket_kw[1] - found.hc_kw <= 0.5
    assert [found.limit[k] for k in ("criterion", "element", "time")] == ["overvoltage", "b1", "01:00"]
    assert found.limit["value"] == pytest.approx(1.05, abs=1e-4) and found.limit["limit"] == 1.05
    simulated = found.probes[found.probes.pv_kw > 0]
    assert found.power_flows == 3 * (len(simulated) + 1)  # and once the bare feeder


def test_absorbing_reactive_power_makes_room_as_by_hand(circuit):
    sunny = replace(PROFILES, pv_pu=PROFILES.pv_pu * 0.9)  # at full sun the kVA would leave no room for vars

    def over(kw):
        return hand.far_voltage_pu(500 - kw * 0.3, 150 + kw * 0.01) - 1.05 - V_MAX.v_tolerance_pu

    by_hand = brentq(over, 1000, 40000)
    found = find(circuit, V_MAX, profiles=sunny, q_per_kw=np.full((3, 3), -0.03))
    assert found.hc_kw == pytest.approx(by_hand, abs=15)
    assert found.hc_kw > find(circuit, V_MAX, profiles=sunny).hc_kw
    assert "reactive power" in found.method


def test_reverse_flow_at_the_hour_of_least_load_over_sun(circuit):
    limits = Limits(v_min_pu=None, v_max_pu=None)
    found = find(circuit, limits)
    # 3000 kW x min(load / sun) = 1000 kW at 02:00, the line's losses of a small flow on top (below 5 kW)
    assert found.limit["criterion"] == "reverse_flow" and found.limit["time"] == "02:00"
    assert found.hc_kw == pytest.approx(1000, abs=5)


def test_shares_matter(circuit):
    limits = Limits(v_min_pu=None, v_max_pu=None)
    found = find(circuit, limits, weights=np.array([2.0, 1.0, 1.0]))
    assert found.limit["phase"] == "1"
    assert found.hc_kw == pytest.approx(1000 / 3 * 2, abs=5)


@pytest.mark.parametrize("v_max", [1.0055, 1.007])
def test_against_a_fine_crawl_where_a_regulator_steps(regulated, v_max):
    network = hand.two_bus_regulator()
    network = replace(network, v_judged=np.array([n.startswith("b1") for n in network.nodes]))
    limits = Limits(v_min_pu=None, v_max_pu=v_max, substation_min_kw=None)
    found = find(regulated, limits, network=network, controls="free", tolerance_kw=1.0)
    base = replay(FeederModel(regulated, network, PROFILES, limits), None, ReplayOptions("free"))
    crawl = np.arange(20.0, 5000.0, 20.0)
    passed = []
    for kw in crawl:
        plan = only_pv(kw, PROFILES)
        one = replay(FeederModel(regulated, network, PROFILES, limits), plan, ReplayOptions("free", before=base.before))
        passed.append(not len(new_violations(one.violations)))
    first_failed = int(np.argmin(passed))
    assert crawl[first_failed] - 20 <= found.hc_kw <= crawl[first_failed]
    for kw in found.passed_again_kw:
        assert kw > found.bracket_kw[1]
    assert bool(found.passed_again_kw) <= any(passed[first_failed:])


def test_larger_pv_that_passes_again_is_reported(regulated):
    network = hand.two_bus_regulator()
    network = replace(network, v_judged=np.array([n.startswith("b1") for n in network.nodes]))
    limits = Limits(v_min_pu=None, v_max_pu=1.007, substation_min_kw=None)
    assert find(regulated, limits, network=network, controls="free").passed_again_kw


def test_existing_violations_do_not_count(circuit):
    limits = Limits(v_min_pu=0.995, v_max_pu=1.05, substation_min_kw=None)  # 01:00 is below without PV
    base = replay(FeederModel(circuit, hand.two_bus(), PROFILES, limits), None, ReplayOptions("free"))
    assert len(base.violations)
    assert find(circuit, limits).hc_kw == pytest.approx(find(circuit, V_MAX).hc_kw, abs=1)


def test_a_battery_beside_it_takes_what_would_flow_back(circuit):
    unit = BessUnit("u1", "b1", 1000.0, 600.0, 0.9, 0.9, 0.0, 1.0)
    charge = np.array([[0.0] * 3, [0.0] * 3, [60.0, 60.0, 60.0]])
    soc = np.array([[0.0], [0.0], [0.0], [162.0]])
    plan = replace(
        only_pv(0.0, PROFILES),
        bess=(unit,),
        bess_nodes=NODES,
        bess_of=(0, 0, 0),
        p_charge_kw=charge,
        p_discharge_kw=0 * charge,
        soc_kwh=soc,
    )
    found = find(circuit, Limits(v_min_pu=None, v_max_pu=None), bess=plan)
    # 02:00 no longer binds at 600 kW of load but at 780: 1300 kW; 01:00 binds at 1500
    assert found.limit["time"] == "02:00"
    assert found.hc_kw == pytest.approx(1300, abs=5)


def test_discharge_into_an_empty_feeder_fails_already_without_pv(circuit):
    unit = BessUnit("u1", "b1", 2000.0, 1500.0, 0.9, 0.9, 0.0, 1.0)
    discharge = np.array([[0.0] * 3, [0.0] * 3, [300.0] * 3])
    soc = np.array([[1500.0], [1500.0], [1500.0], [500.0]])
    plan = replace(
        only_pv(0.0, PROFILES),
        bess=(unit,),
        bess_nodes=NODES,
        bess_of=(0, 0, 0),
        p_charge_kw=0 * discharge,
        p_discharge_kw=discharge,
        soc_kwh=soc,
    )
    found = find(circuit, Limits(v_min_pu=None, v_max_pu=None), bess=plan)
    assert np.isnan(found.hc_kw) and "batteries alone break reverse flow" in found.undefined
    assert found.limit["criterion"] == "reverse_flow" and found.limit["time"] == "02:00"


def test_where_nothing_binds_it_says_so_or_names_the_collapse(circuit):
    nothing = Limits(v_min_pu=None, v_max_pu=None, substation_min_kw=None)
    night = replace(PROFILES, pv_pu=np.zeros(3))
    found = find(circuit, nothing, profiles=night)
    assert found.limit["criterion"] == "none" and np.isinf(found.bracket_kw[1])
    assert find(circuit, nothing).limit["criterion"] == "convergence"


def test_useless_shares_are_refused(circuit):
    for weights in (np.zeros(3), np.array([1.0, -1.0, 1.0]), np.ones(2)):
        with pytest.raises(ConfigError, match="3 PV nodes"):
            find(circuit, V_MAX, weights=weights)
