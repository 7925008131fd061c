"""Replay on circuits that can be solved by hand, and balances rebuilt from the results."""

import os
from dataclasses import replace
from pathlib import Path

import hand_networks as hand
import numpy as np
import pytest

from hcsim.errors import ConfigError, ConvergenceError, FeederError
from hcsim.feeder.model import FeederModel
from hcsim.feeder.read import read_network
from hcsim.opendss.circuit import Circuit
from hcsim.replay.options import ReplayOptions
from hcsim.replay.run import replay
from optim.data.limits import Limits
from optim.data.profiles import Profiles
from optim.data.schedule import BessUnit, Schedule
from optim.data.violations import new_violations

CASES = Path(__file__).parents[2] / "cases"
T = 6
PROFILES = Profiles(
    tuple(f"{h:02d}:00" for h in range(T)),
    1.0,
    np.array([0.5, 0.6, 1.0, 0.4, 0.3, 0.8]),
    np.array([0.0, 0.25, 0.8, 1.0, 0.5, 0.0]),
)
PV_NODES = ("b1.1", "b1.2")
PV_KW = np.array([900.0, 600.0])
UNIT = BessUnit("u1", "b1", 2000.0, 900.0, 0.9, 0.8, 0.1, 0.9)
EPS = 1e-3  # kW: the power flow's own tolerance of 1e-9 pu on 12.47 kV


@pytest.fixture(scope="module")
def circuit():
    return Circuit.compile(CASES / "two_bus.dss")


def eq_3c(schedule, unit, start_kwh):
    """SoC of the first unit by paper 1, eq. (3c), from the commanded powers."""
    charge, discharge = schedule.p_charge_kw.sum(axis=1), schedule.p_discharge_kw.sum(axis=1)
    change = (unit.eta_charge * charge - discharge / unit.eta_discharge) * schedule.step_h
    return np.concatenate([[start_kwh], start_kwh + np.cumsum(change)])[:, None]


def schedule(**changes) -> Schedule:
    q = np.array([[-900.0, 600], [100, -50], [300, 200], [0, 0], [-100, 100], [500, -600]])
    q *= 0.999 * np.sqrt(1 - PROFILES.pv_pu**2)[:, None]
    charge = np.array([[0.0, 0, 0], [0, 0, 0], [100, 200, 300], [250, 200, 150], [0, 0, 0], [0, 0, 0]])
    discharge = np.array([[0.0, 0, 0], [50, 0, 0], [0, 0, 0], [0, 0, 0], [80, 120, 40], [100, 100, 200]])
    made = Schedule(
        case="hand",
        times=PROFILES.times,
        step_h=1.0,
        pv_nodes=PV_NODES,
        pv_kw=PV_KW,
        pv_p_kw=PROFILES.pv_pu[:, None] * PV_KW,
        pv_q_kvar=q,
        bess=(UNIT,),
        bess_nodes=("b1.1", "b1.2", "b1.3"),
        bess_of=(0, 0, 0),
        p_charge_kw=charge,
        p_discharge_kw=discharge,
        soc_kwh=np.zeros((T + 1, 1)),
    )
    made = replace(made, **changes)
    return replace(made, soc_kwh=eq_3c(made, UNIT, 700.0)) if "soc_kwh" not in changes else made


def run(circuit, plan, **options):
    given = {"profiles": PROFILES, "limits": Limits(), "controls": "locked", "network": hand.two_bus()} | options
    model = FeederModel(circuit, given.pop("network"), given.pop("profiles"), given.pop("limits"))
    observer = given.pop("observer", None)
    return replay(model, plan, ReplayOptions(**given), observer=observer)


def test_voltages_are_those_solved_by_hand(circuit):
    plan = schedule()
    found = run(circuit, plan)
    load = PROFILES.load_pu[:, None]
    p = load * 1000.0 - plan.bess_p_kw
    q = np.repeat(load * 300.0, 3, axis=1)
    p[:, :2] -= plan.pv_p_kw
    q[:, :2] -= plan.pv_q_kvar
    far = [found.operation.nodes.index(f"b1.{phase}") for phase in (1, 2, 3)]
    # 1e-6 pu: the source of the file is not quite ideal (1e-6 ohm)
    np.testing.assert_allclose(found.operation.v_pu[:, far], hand.far_voltage_pu(p, q), atol=1e-6)


def test_what_is_commanded_is_delivered_also_vars_at_night(circuit):
    table = run(circuit, schedule()).devices
    assert len(table) == T * (len(PV_NODES) + 3)
    assert np.abs(table.p_commanded_kw - table.p_delivered_kw).max() < EPS
    assert np.abs(table.q_commanded_kvar - table.q_delivered_kvar).max() < EPS
    night = table[(table.step == 0) & (table.node == "b1.1") & (table.kind == "pv")].iloc[0]
    assert night.p_delivered_kw == pytest.approx(0, abs=EPS)
    assert night.q_delivered_kvar == pytest.approx(-899.1, abs=EPS)


def test_stored_energy_follows_eq_3c(circuit):
    plan = schedule()
    soc = run(circuit, plan).soc
    np.testing.assert_allclose(soc.soc_delivered_kwh, eq_3c(plan, UNIT, 700.0)[1:, 0], atol=1e-6)
    np.testing.assert_allclose(soc.soc_commanded_kwh, soc.soc_delivered_kwh, atol=1e-6)


def test_energy_balance_rebuilt_each_step(circuit):
    found = run(circuit, schedule())
    devices = found.devices.groupby("step").p_delivered_kw.sum().to_numpy()
    balance = found.operation.substation_kw.sum(axis=1) + devices - found.load_kw - found.losses_kw
    assert np.abs(balance).max() < EPS
    np.testing.assert_allclose(found.load_kw, 3000 * PROFILES.load_pu, atol=EPS)
    amperes = found.operation.loading_pu * 300.0
    np.testing.assert_allclose(found.losses_kw, (amperes**2).sum(axis=1) * 1.0 / 1000, rtol=1e-5)


def test_half_hour_steps_halve_the_energy(circuit):
    profiles = replace(PROFILES, step_h=0.5)
    plan = schedule(step_h=0.5)
    soc = run(circuit, plan, profiles=profiles).soc
    np.testing.assert_allclose(soc.soc_delivered_kwh, eq_3c(plan, UNIT, 700.0)[1:, 0], atol=1e-6)


def test_one_circuit_serves_many_replays(circuit):
    first = run(circuit, None)
    with_devices = run(circuit, schedule())
    again, second = run(circuit, None), run(circuit, schedule())
    np.testing.assert_allclose(again.operation.v_pu, first.operation.v_pu, atol=1e-9)
    np.testing.assert_allclose(second.operation.v_pu, with_devices.operation.v_pu, atol=1e-9)
    circuit.solve(controls=False)
    assert circuit.load_kw() == pytest.approx(3000, abs=EPS)


def test_power_above_rating_is_detected(circuit):
    charge = schedule().p_charge_kw.copy()
    charge[2] = [400.0, 100.0, 100.0]  # a phase is rated 900 / 3
    found = run(circuit, schedule(p_charge_kw=charge))
    row = found.violations[found.violations.criterion == "not_delivered"].iloc[0]
    assert (row.element, row.phase, row.time, row.unit) == ("Storage.hcsim_bess_1", "1", "02:00", "kW")
    assert (row.limit, row.value) == (pytest.approx(-400), pytest.approx(-300, abs=EPS))
    assert found.energy_not_delivered_kwh == pytest.approx(100, abs=0.01)


def test_energy_that_is_not_there_is_not_delivered(circuit):
    """OpenDSS by itself delivers a whole step from a battery that runs empty in it."""
    discharge = schedule().p_discharge_kw.copy()
    discharge[0] = 300.0  # 900 kW for an hour at 0.8 would take 1125 kWh; 500 are above the reserve
    found = run(circuit, schedule(p_discharge_kw=discharge))
    assert found.soc.soc_delivered_kwh.iloc[0] == pytest.approx(200.0)
    first = found.devices[(found.devices.step == 0) & (found.devices.kind == "bess")]
    np.testing.assert_allclose(first.p_delivered_kw, 500 * 0.8 / 3, atol=EPS)
    assert found.soc.soc_delivered_kwh.min() >= 200.0 - 1e-6
    assert {"not_delivered"} <= set(found.violations.criterion)
    charge = np.full((T, 3), 299.0)
    full = run(circuit, schedule(p_charge_kw=charge, p_discharge_kw=0 * charge))
    assert full.soc.soc_delivered_kwh.iloc[-1] == pytest.approx(1800.0)


def test_start_outside_the_energy_range_is_a_violation(circuit):
    soc = eq_3c(schedule(), UNIT, 1900.0)
    found = run(circuit, schedule(soc_kwh=soc))
    assert "stored_energy" in set(found.violations.criterion)


def test_a_rating_far_above_the_power_does_not_spoil_convergence(circuit):
    """OpenDSS puts a Storage's rating into the system matrix: 200 MW behind 2 ohm would diverge."""
    found = run(circuit, schedule(bess=(replace(UNIT, power_kw=200_000.0),)))
    assert found.converged.all()
    assert np.abs(found.devices.p_commanded_kw - found.devices.p_delivered_kw).max() < EPS


def test_inverter_rating_binds(circuit):
    q = schedule().pv_q_kvar.copy()
    q[2, 0] = 800.0  # with 0.8 x 900 kW this is beyond 900 kVA
    found = run(circuit, schedule(pv_q_kvar=q))
    row = found.devices.query("step == 2 and node == 'b1.1' and kind == 'pv'")
    assert row.q_delivered_kvar.iloc[0] == pytest.approx(800, abs=EPS)
    assert row.p_delivered_kw.iloc[0] == pytest.approx(np.sqrt(900**2 - 800**2), abs=EPS)


def test_existing_violations_are_marked(circuit):
    limits = Limits(v_min_pu=0.99, v_max_pu=None, substation_min_kw=None)
    base = run(circuit, None, limits=limits)
    assert len(base.violations) and not base.violations.existing.any()
    same = run(circuit, None, limits=limits, before=base.before)
    assert len(same.violations) == len(base.violations) and not len(new_violations(same.violations))
    worse = run(circuit, schedule(), limits=limits, before=base.before)
    new = new_violations(worse.violations)
    assert len(new) and (new.value < new.base_value.fillna(2) - limits.v_tolerance_pu).all()


def test_non_convergence_names_the_hour(circuit):
    collapsing = replace(PROFILES, load_pu=np.array([0.5, 0.6, 1.0, 30.0, 0.3, 0.8]))
    with pytest.raises(ConvergenceError, match="03:00"):
        run(circuit, None, profiles=collapsing)
    found = run(circuit, schedule(), profiles=collapsing)
    assert list(found.converged) == [True, True, True, False, True, True]
    assert list(found.violations[found.violations.criterion == "convergence"].time) == ["03:00"]
    assert "03:00" in found.notes[0]
    lost = found.devices[found.devices.step == 3]
    assert lost.p_delivered_kw.isna().all() and lost.q_delivered_kvar.isna().all()
    assert found.energy_not_delivered_kwh == pytest.approx(lost.p_commanded_kw.abs().sum(), abs=0.01)
    # the steps after it start at the energy that the schedule has there
    np.testing.assert_allclose(found.soc.soc_commanded_kwh, found.soc.soc_delivered_kwh, atol=1e-6)


def test_bad_input_is_named(circuit):
    with pytest.raises(FeederError, match=r"b9\.1.*b1\.1"):
        run(circuit, schedule(pv_nodes=("b9.1", "b1.2")))
    with pytest.raises(ConfigError, match=r"1\.0 h"):
        run(circuit, schedule(), profiles=replace(PROFILES, step_h=0.5))
    with pytest.raises(FeederError, match="Read the network from this very circuit"):
        run(circuit, None, network=hand.two_bus_regulator())


def test_locked_controls_hold_free_controls_act():
    circuit = Circuit.compile(CASES / "two_bus_regulator.dss", controls=False)
    network = hand.two_bus_regulator()
    b1 = network.nodes.index("b1.1")
    load = PROFILES.load_pu
    for position in (0, 4):
        locked = run(circuit, None, network=network, controls="locked", taps={"creg": position})
        assert (locked.tap == position).all() and locked.tap_operations == 0
        by_hand = (1 + position / 160) * hand.far_voltage_pu(1000 * load, 500 * load)
        # 1e-5: the regulator has 0.001 % of impedance
        np.testing.assert_allclose(locked.operation.v_pu[:, b1], by_hand, atol=1e-5)
    free = run(circuit, None, network=network, controls="free", taps={"creg": 16})
    volts = free.operation.v_pu[:, b1] * hand.V_BASE_V
    assert (volts >= 7140 - 1).all() and (volts <= 7260 + 1).all()  # 60 x (120 +- 1) V
    assert free.tap_operations == np.abs(np.diff(free.tap[:, 0])).sum()
    assert circuit.taps() == {"creg": 0}


def test_fixed_loads_are_reported(tmp_path):
    text = (CASES / "two_bus.dss").read_text().replace("vminpu=0.5", "status=fixed vminpu=0.5")
    (tmp_path / "fixed.dss").write_text(text)
    found = run(Circuit.compile(tmp_path / "fixed.dss"), None)
    np.testing.assert_allclose(found.load_kw, 3000.0, atol=EPS)
    assert "load.ld" in found.notes[-1].lower()


@pytest.mark.parametrize("feeder", ["13Bus/IEEE13Nodeckt.dss", "34Bus/ieee34Mod1.dss", "37Bus/ieee37.dss"])
@pytest.mark.parametrize("controls", ["locked", "free"])
def test_published_feeders_deliver_and_balance(feeder, controls):
    """Delta loads, regulators, voltage-dependent loads, and (37) nodes that float and get a line-to-line PV."""
    folder = os.environ.get("HCSIM_FEEDERS")
    if not folder:
        pytest.skip("HCSIM_FEEDERS names no folder of published feeders")
    circuit = Circuit.compile(Path(folder) / feeder, controls=False)
    network, _ = read_network(circuit)
    nodes = tuple(np.array(network.nodes)[network.v_judged][::4])
    at = [network.node_index[n] for n in nodes]
    size = np.full(len(nodes), 600.0 / len(nodes))
    bus = next(b for b in network.buses[2:] if len(network.nodes_of(b)) == 3)
    plan = schedule(
        pv_nodes=nodes,
        pv_kw=size,
        pv_p_kw=PROFILES.pv_pu[:, None] * size,
        pv_q_kvar=np.full((T, len(nodes)), 0.0) - 0.2 * size * (PROFILES.pv_pu < 0.9)[:, None],
        bess_nodes=tuple(network.nodes[n] for n in network.nodes_of(bus)),
        bess=(replace(UNIT, bus=bus),),
    )
    mild = replace(PROFILES, load_pu=np.linspace(0.4, 0.7, T))
    found = run(circuit, plan, network=network, profiles=mild, controls=controls)
    assert found.converged.all(), found.notes
    assert np.isfinite(found.operation.v_pu[:, at]).all()
    assert np.abs(found.devices.p_commanded_kw - found.devices.p_delivered_kw).max() < EPS
    assert np.abs(found.devices.q_commanded_kvar - found.devices.q_delivered_kvar).max() < EPS
    devices = found.devices.groupby("step").p_delivered_kw.sum().to_numpy()
    balance = found.operation.substation_kw.sum(axis=1) + devices - found.load_kw - found.losses_kw
    # 1e-2 kW: the tolerance of 1e-9 pu at a source of 115 or 230 kV that is all but infinite
    assert np.abs(balance).max() < 1e-2


def test_load_that_is_not_served_is_no_answer(circuit):
    """A network that asks for more than the circuit serves, as where a load was lost on the way."""
    with pytest.raises(ConvergenceError, match=r"00:00.*serves 1500\.0 of 2000\.0 kW"):
        run(circuit, None, network=hand.two_bus(load_kw=4000.0))
    found = run(circuit, schedule(), network=hand.two_bus(load_kw=4000.0))
    assert not found.converged.any() and found.devices.p_delivered_kw.isna().all()
    assert np.isnan(found.operation.v_pu).all()
    assert set(found.violations.criterion) == {"convergence"}


def test_capacitor_controls_act_only_when_free(tmp_path):
    """6840 V / 60 = 114 V is below the switch-on setting at every hour; the bank starts open."""
    text = (
        (CASES / "two_bus.dss")
        .read_text()
        .replace(
            "set voltagebases",
            (
                "new capacitor.bank bus1=b1 phases=3 kv=12.47 kvar=600 states=[0]\n"
                "new capcontrol.switch element=line.l1 terminal=2 capacitor=bank type=voltage ptratio=60 "
                "onsetting=119.9 offsetting=130 delay=10\nset voltagebases"
            ),
        )
    )
    (tmp_path / "bank.dss").write_text(text)
    circuit = Circuit.compile(tmp_path / "bank.dss", controls=False)
    found = {controls: run(circuit, None, controls=controls) for controls in ("locked", "free", "locked")}
    kvar = {controls: result.substation_kvar.sum(axis=1) for controls, result in found.items()}
    np.testing.assert_allclose(kvar["locked"] - kvar["free"], 600, rtol=0.1)
    assert circuit.capacitor_states() == {"bank": (0,)}
