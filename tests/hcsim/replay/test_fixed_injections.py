"""Curves beside the loads: the same in the simulator, in the AC equations and in LinDist3Flow."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hcsim.cases.case import load_case
from hcsim.cases.existing_devices import with_existing
from hcsim.errors import FeederError
from hcsim.feeder.model import FeederModel
from hcsim.feeder.read import read_network
from hcsim.hosting.open_feeder import FeederFiles as Feeder
from hcsim.hosting.stochastic import Deployment, StochasticJob
from hcsim.hosting.system_wide import hosting_capacity
from hcsim.hosting.weights import PvShares
from hcsim.opendss.circuit import Circuit
from hcsim.replay.options import ReplayOptions
from hcsim.replay.run import replay
from optim.data.limits import Limits
from optim.data.profiles import FixedInjection, Profiles
from optim.errors import ModelError
from optim.feeder.radial import positive_sequence
from optim.feeder.radial_power_flow import ac_power_flow
from optim.linearize import lindist3flow

pytestmark = pytest.mark.smoke

CASE = Path(__file__).parents[3] / "dss_models" / "ieee33"
LIMITS = Limits(v_min_pu=0.9, v_max_pu=1.1, substation_min_kw=None)
PROFILES = Profiles(("00:00", "12:00", "20:00"), 1.0, np.array([0.2, 0.3, 0.4]), np.array([0.0, 1.0, 0.0]))


def three_phases(bus: str, p_kw: list[float]) -> tuple[FixedInjection, ...]:
    return tuple(FixedInjection(f"{bus}.{k}", np.array(p_kw) / 3.0) for k in (1, 2, 3))


@pytest.fixture(scope="module")
def feeder():
    circuit = Circuit.compile(CASE / "Master.dss")
    return circuit, read_network(circuit)[0]


@pytest.fixture(scope="module")
def profiles():
    own = three_phases("33", [-300.0, -100.0, -700.0]) + three_phases("18", [0.0, 900.0, 0.0])
    return replace(PROFILES, fixed=own)


def test_simulator_has_them_as_the_ac_equations_have(feeder, profiles):
    circuit, network = feeder
    found = replay(FeederModel(circuit, network, profiles, LIMITS), None, ReplayOptions("locked"))
    equivalent = positive_sequence(network)
    p = np.zeros((3, len(equivalent)))
    for own in profiles.fixed:
        p[:, equivalent.index_of(own.node.split(".")[0])] += own.p_kw / 1e3
    flow = ac_power_flow(equivalent, profiles.load_pu, p)
    ours = {bus: flow.v_pu()[:, j] for j, bus in enumerate(equivalent.buses)}
    for n, node in enumerate(found.operation.nodes):
        bus = node.split(".")[0]
        if bus in ours:
            assert np.abs(found.operation.v_pu[:, n] - ours[bus]).max() < 1e-6
    assert found.losses_kw == pytest.approx(1e3 * (flow.l * equivalent.r_pu).sum(axis=1), rel=1e-5)
    assert found.load_kw == pytest.approx(3715.0 * profiles.load_pu, rel=1e-6)  # they are no loads


def test_they_leave_the_circuit_again(feeder, profiles):
    circuit, network = feeder
    before = replay(FeederModel(circuit, network, PROFILES, LIMITS), None, ReplayOptions("locked"))
    replay(FeederModel(circuit, network, profiles, LIMITS), None, ReplayOptions("locked"))
    after = replay(FeederModel(circuit, network, PROFILES, LIMITS), None, ReplayOptions("locked"))
    assert np.abs(after.operation.v_pu - before.operation.v_pu).max() < 1e-12


def test_lindist3flow_has_them(feeder, profiles):
    _, network = feeder
    model = lindist3flow.linearize(network, profiles, ("18.1",))
    equivalent = positive_sequence(network)
    p = np.zeros((3, len(equivalent)))
    for own in profiles.fixed:
        p[:, equivalent.index_of(own.node.split(".")[0])] += own.p_kw / 1e3
    flat = ac_power_flow(equivalent, profiles.load_pu, p).lossless_u
    for n, node in enumerate(model.nodes):
        bus = node.split(".")[0]
        if bus in equivalent.bus_index:
            assert model.v_base[:, n] == pytest.approx(flat[:, equivalent.index_of(bus)], abs=1e-7)
    assert model.substation_base_kw.sum(axis=1) == pytest.approx(3715 * profiles.load_pu - 1e3 * p.sum(axis=1))


def test_simulation_hc_goes_down_by_what_is_there_already(feeder):
    """PV at bus 18, with and without 300 kW there already: the limit is met at the same total."""
    circuit, network = feeder
    limits = Limits(v_min_pu=0.8, v_max_pu=1.05, substation_min_kw=None)
    nodes = ("18.1", "18.2", "18.3")
    there = replace(PROFILES, fixed=three_phases("18", [0.0, 300.0, 0.0]))
    found = [
        hosting_capacity(
            FeederModel(circuit, network, profiles, limits), PvShares(nodes, np.ones(3)), tolerance_kw=0.5
        ).hc_kw
        for profiles in (PROFILES, there)
    ]
    assert found[0] - found[1] == pytest.approx(300.0, abs=1.0)


def test_refused_where_there_is_no_node(feeder):
    circuit, network = feeder
    nowhere = replace(PROFILES, fixed=three_phases("99", [0.0, 1.0, 0.0]))
    with pytest.raises(FeederError, match=r"99\.1"):
        replay(FeederModel(circuit, network, nowhere, LIMITS), None, ReplayOptions("locked"))
    with pytest.raises(ModelError, match=r"99\.1"):
        lindist3flow.linearize(network, nowhere, ("18.1",))
    with pytest.raises(ModelError, match="3 finite values"):
        replace(PROFILES, fixed=three_phases("18", [0.0, 1.0]))


@pytest.mark.parametrize("hours", [24, 576, 8760])
def test_simulation_studies_have_the_pv_and_the_station_of_the_planning_case(feeder, hours):
    """By the figures of study.toml: 5,400 kW at eight buses with the sun of the axis, ev_mw at bus 33."""
    case, network = load_case("ieee33"), feeder[1]
    axis = with_existing(case, network, hours, None)
    total = np.sum([own.p_kw for own in axis.profiles.fixed], axis=0)
    ev_kw = 1e3 * np.loadtxt(CASE / "profiles.csv", delimiter=",", skiprows=1)[:, 3]
    assert total == pytest.approx(5400.0 * axis.profiles.pv_pu - np.tile(ev_kw, hours // 24), abs=1e-6)
    assert any("5,400 kW of PV" in note for note in axis.notes) and any("bus 33" in note for note in axis.notes)
    assert {own.node.split(".")[0] for own in axis.profiles.fixed} == {"5", "10", "13", "16", "18", "22", "25", "33"}


def test_stochastic_steps_have_them_too(feeder):
    """Reverse flow is there before the first roof: with the case's own PV, not without it."""
    case, network = load_case("ieee33"), feeder[1]
    found = {}
    for name, profiles in (("with", with_existing(case, network, 24, None).profiles), ("without", case.profiles)):
        circuit = Circuit.compile(CASE / "Master.dss")
        job = StochasticJob(Feeder(CASE / "Master.dss", circuit.source_sha256), profiles, Limits(), (5.0,))
        rows = job.do(job.prepare(), Deployment(0, "random"))[0]
        found[name] = next(r["violated"] for r in rows if r["criterion"] == "reverse_flow")
    assert found == {"with": True, "without": False}


def test_the_allocation_study_of_ieee123_has_nothing_of_its_second_section():
    """Its [planning] is there for `--study planning`; nodal, stochastic and year studies are paper 1's feeder."""
    case = load_case("ieee123")
    assert case.config.planning is not None and case.config.planning.pv_kw
    axis = with_existing(case, read_network(Circuit.compile(case.master))[0], 24, None)
    assert not axis.profiles.fixed and not axis.notes
