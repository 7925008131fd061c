"""Autonomous inverters against fixed points found by a root search of our own, and the traps of InvControl."""

from dataclasses import replace
from pathlib import Path

import hand_networks as hand
import numpy as np
import pytest
from scipy.optimize import brentq

import hcsim.devices.autonomous_pv as inverters
from hcsim.devices.autonomous_pv import AutonomousPv
from hcsim.devices.inverter_curves import InverterControl
from hcsim.errors import ConfigError
from hcsim.feeder.model import FeederModel
from hcsim.feeder.read import read_network
from hcsim.hosting.system_wide import hosting_capacity
from hcsim.hosting.weights import PvShares
from hcsim.opendss.circuit import Circuit
from hcsim.replay.inverter_day import at_unity, inverter_day
from hcsim.replay.options import ReplayOptions
from hcsim.replay.run import replay
from hcsim.workbench.allocation import Workbench
from optim.data.limits import Limits
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule

CASES = Path(__file__).parents[2] / "cases"
NODES = ("b1.1", "b1.2", "b1.3")
SIZE_KW = np.array([9000.0, 4000.0, 400.0])
LOAD_PU, SUN = np.array([0.2, 0.5, 1.0, 0.3, 0.3, 0.3]), np.array([1.0, 0.6, 0.0, 0.04, 0.10, 0.19])
PROFILES = Profiles(tuple(f"{h:02d}:00" for h in range(6)), 1.0, LOAD_PU, SUN)
NO_LIMITS = Limits(v_min_pu=None, v_max_pu=None, substation_min_kw=None)
NEAR = 0.02
"""kvar and kW over 1000 kVA: InvControl stops within 1e-5 of the ratings and 1e-5 pu, which is 1e-4 of kVA."""


def two_bus(tmp_path, source_pu, extra=""):
    """The two-bus feeder of the cases at another source voltage."""
    text = (CASES / "two_bus.dss").read_text().replace("pu=1.0", f"pu={source_pu}")
    file = tmp_path / f"two_bus_{source_pu}.dss"
    file.write_text(text.replace("set voltagebases", f"{extra}\nset voltagebases"))
    return Circuit.compile(file)


def schedule(size_kw=SIZE_KW, nodes=NODES, profiles=PROFILES, q_share=0.0):
    steps, none = len(profiles), np.zeros((len(profiles), 0))
    p_kw = profiles.pv_pu[:, None] * size_kw
    return Schedule(
        case="hand",
        times=profiles.times,
        step_h=profiles.step_h,
        pv_nodes=nodes,
        pv_kw=np.asarray(size_kw),
        pv_p_kw=p_kw,
        pv_q_kvar=q_share * p_kw,
        bess=(),
        bess_nodes=(),
        bess_of=(),
        p_charge_kw=none,
        p_discharge_kw=none,
        soc_kwh=np.zeros((steps + 1, 0)),
    )


def run(circuit, plan, control, **options):
    given = {"profiles": PROFILES, "limits": NO_LIMITS, "controls": "free", "network": hand.two_bus()} | options
    model = FeederModel(circuit, given.pop("network"), given.pop("profiles"), given.pop("limits"))
    return replay(model, plan, ReplayOptions(inverters=control, **given))


def wide(found, column):
    return found.devices[found.devices.kind == "pv"][column].to_numpy().reshape(len(PROFILES), -1)


def by_hand(mode, v, sun, kw, night=False, over=1.0):
    """What one inverter of `kw` delivers at v, said once more and without the code's help."""
    kva, p, q = over * kw, sun * kw, 0.0
    if "watt" in mode:
        p = min(p, kw * float(np.clip(1.0 - 0.8 * (v - 1.06) / 0.04, 0.2, 1.0)))
    if "var" in mode:
        slope = 0.44 / 0.06
        q = kva * float(np.clip(slope * (0.98 - v), 0, 0.44) - np.clip(slope * (v - 1.02), 0, 0.44))
        if not night:
            most = 0.0 if sun < 0.05 else 0.44 * kva * min(sun / 0.20, 1.0)
            q = float(np.clip(q, -most, most))
    return min(p, np.sqrt(kva**2 - q**2)), q


def fixed_point(source_pu, mode, load_pu, sun, kw, **options):
    """(v, p, q) where the feeder's V(P, Q) and the inverter's curves meet: one scalar equation per phase."""

    def far(v):
        p, q = by_hand(mode, v, sun, kw, **options)
        return float(hand.far_voltage_pu(load_pu * 1000 - p, load_pu * 300 - q, source_pu * hand.V_BASE_V))

    v = brentq(lambda x: far(x) - x, 0.8, 1.3, xtol=1e-12)
    return v, *by_hand(mode, v, sun, kw, **options)


@pytest.mark.parametrize("source_pu", [0.95, 1.0, 1.05])
@pytest.mark.parametrize("mode", ["volt_var", "volt_watt", "volt_var_volt_watt"])
def test_opendss_finds_the_fixed_point_of_curve_and_feeder(tmp_path, mode, source_pu):
    found = run(two_bus(tmp_path, source_pu), schedule(q_share=-0.3), InverterControl(mode))
    assert found.converged.all(), found.notes
    nodes = [found.operation.nodes.index(n) for n in NODES]
    for t in range(len(PROFILES)):
        for g, kw in enumerate(SIZE_KW):
            v, p, q = fixed_point(source_pu, mode, LOAD_PU[t], SUN[t], kw)
            assert found.operation.v_pu[t, nodes[g]] == pytest.approx(v, abs=2e-5)
            assert wide(found, "p_delivered_kw")[t, g] == pytest.approx(p, abs=NEAR * kw / 100)
            assert wide(found, "q_delivered_kvar")[t, g] == pytest.approx(q, abs=NEAR * kw / 100)


def test_the_cases_above_are_not_all_idle():
    """Injection, absorption, volt-watt, and active power that gives way: each happens in one of them."""
    assert fixed_point(0.95, "volt_var", 0.5, 0.6, 400.0)[2] > 10
    assert fixed_point(1.05, "volt_var", 0.2, 1.0, 9000.0)[2] < -1000
    assert fixed_point(1.05, "volt_watt", 0.2, 1.0, 9000.0)[1] < 4000
    assert fixed_point(1.05, "volt_var", 0.2, 1.0, 9000.0)[1] < 8900
    assert fixed_point(1.05, "volt_var", 0.3, 0.04, 9000.0)[2] == 0


def test_inside_the_deadband_nothing_is_asked_and_nothing_lost(tmp_path):
    plan = schedule(np.array([800.0, 400.0, 100.0]))
    found = run(
        two_bus(tmp_path, 1.01),
        plan,
        InverterControl("volt_var_volt_watt"),
        profiles=replace(PROFILES, load_pu=np.full(6, 0.3)),
    )
    v = found.operation.v_pu[:, [found.operation.nodes.index(n) for n in NODES]]
    assert v.min() > 0.98 and v.max() < 1.02
    np.testing.assert_allclose(wide(found, "q_delivered_kvar"), 0.0, atol=0.01)  # 1e-5 of kVA
    np.testing.assert_allclose(wide(found, "p_delivered_kw"), plan.pv_p_kw, atol=1e-3)
    assert found.energy_not_delivered_kwh < 0.01


def test_reactive_power_at_night_and_a_larger_nameplate(tmp_path):
    circuit = two_bus(tmp_path, 1.05)
    night = run(circuit, schedule(), InverterControl("volt_var", night_var=True))
    assert night.converged.all(), night.notes
    _, _, q = fixed_point(1.05, "volt_var", LOAD_PU[3], SUN[3], 9000.0, night=True)
    assert q < -100
    assert wide(night, "q_delivered_kvar")[3, 0] == pytest.approx(q, abs=2.0)
    large = run(circuit, schedule(), InverterControl("volt_var", kva_per_kw=1.2))
    _, p, q = fixed_point(1.05, "volt_var", LOAD_PU[0], SUN[0], 9000.0, over=1.2)
    assert p == 9000
    assert wide(large, "p_delivered_kw")[0, 0] == pytest.approx(9000, abs=0.01)
    assert wide(large, "q_delivered_kvar")[0, 0] == pytest.approx(q, abs=2.0)
    plain = run(circuit, schedule(q_share=-0.2), None)  # orders are followed again, at night too
    np.testing.assert_allclose(wide(plain, "q_delivered_kvar"), schedule(q_share=-0.2).pv_q_kvar, atol=0.01)


def test_curves_of_ones_own(tmp_path):
    """A straight line through zero at 1 pu: 3 % of kVA for each 1 % of voltage."""
    control = InverterControl("volt_var", volt_var=((0.9, 0.3), (1.1, -0.3)), night_var=True)
    found = run(two_bus(tmp_path, 1.05), schedule(), control)
    v = found.operation.v_pu[:, [found.operation.nodes.index(n) for n in NODES]]
    np.testing.assert_allclose(wide(found, "q_delivered_kvar"), -3.0 * (v - 1.0) * SIZE_KW, atol=1.0)


def test_what_is_reported_of_a_day(tmp_path):
    circuit, plan, control = two_bus(tmp_path, 1.05), schedule(q_share=-0.3), InverterControl("volt_watt")
    found = run(circuit, plan, control)
    day = inverter_day(found, run(circuit, at_unity(plan), None), 1.0)
    lost = np.maximum(plan.pv_p_kw - wide(found, "p_delivered_kw"), 0.0)
    assert day.curtailed_kwh == pytest.approx(lost.sum())
    np.testing.assert_allclose(day.table.curtailed_kwh, lost.sum(axis=0), atol=1e-9)
    v0, p, _ = fixed_point(1.05, "volt_watt", LOAD_PU[0], 1.0, 9000.0)
    assert day.table.curtailed_kwh[0] > 9000 - p - 1  # the first hour's share of it
    assert day.kvarh("commanded_absorbed_kvarh") == pytest.approx(0.3 * plan.pv_p_kw.sum())
    assert day.kvarh("absorbed_kvarh") < 0.1
    unity = float(hand.far_voltage_pu(200.0 - 9000, 60.0, 1.05 * hand.V_BASE_V))
    assert (day.change.node, day.change.time) == ("b1.1", "00:00")
    assert day.change.unity_pu == pytest.approx(unity, abs=2e-5)
    assert day.change.change_pu == pytest.approx(v0 - unity, abs=4e-5)
    assert found.energy_not_delivered_kwh == pytest.approx(day.curtailed_kwh, abs=0.01)
    assert "not_delivered" not in set(found.violations.criterion)


def test_locked_holds_regulators_but_not_inverters():
    circuit = Circuit.compile(CASES / "two_bus_regulator.dss", controls=False)
    plan, control = schedule(np.full(3, 3000.0)), InverterControl("volt_var")
    given = {"network": hand.two_bus_regulator(), "taps": {"creg": 0}}
    locked = run(circuit, plan, control, controls="locked", **given)
    assert locked.converged.all()
    assert not locked.tap.any()
    assert np.abs(wide(locked, "q_delivered_kvar")).max() > 50
    free = run(circuit, plan, control, **given)
    again = run(circuit, None, None, **given)
    assert free.converged.all()
    assert again.tap_operations > 0  # the regulator steps again, and no further than before
    assert circuit.command("? regcontrol.creg.maxtapchange") == "16"


def test_a_control_that_hunts_is_no_answer_and_ends_no_series(tmp_path, monkeypatch):
    """Steps of two and a half times the way to the curve never arrive."""
    settings = AutonomousPv._settings
    monkeypatch.setattr(AutonomousPv, "_settings", lambda self, g: settings(self, g) + " deltaq_factor=2.5")
    found = run(two_bus(tmp_path, 1.03), schedule(np.full(3, 3000.0)), InverterControl("volt_var"))
    assert not found.converged[0]
    assert found.converged[2]  # without sun there is nothing to hunt for
    assert "do not settle (they hunt): InvControl" in found.notes[0]
    assert "convergence" in set(found.violations.criterion)
    assert np.isnan(wide(found, "q_delivered_kvar")[0]).all()


def test_the_default_reference_of_opendss_never_settles(tmp_path, monkeypatch):
    """`varaval`: available kvar depend on the active power that gives way to them."""
    settings = AutonomousPv._settings
    monkeypatch.setattr(AutonomousPv, "_settings", lambda s, g: settings(s, g).replace("=varmax", "=varaval"))
    found = run(two_bus(tmp_path, 1.03), schedule(np.full(3, 3000.0)), InverterControl("volt_var"))
    assert not found.converged[0]


def test_a_solution_off_the_curves_is_not_believed(tmp_path, monkeypatch):
    monkeypatch.setattr(inverters, "TOLERANCE", 0.5)
    found = run(two_bus(tmp_path, 1.05), schedule(), InverterControl("volt_var"))
    assert not found.converged[0]
    assert "off its curves" in found.notes[0]


def test_the_feeders_own_inverters_keep_their_own_control(tmp_path):
    own = (
        "new xycurve.own npts=2 xarray=[0.5 1.5] yarray=[1 -1]\n"
        "new pvsystem.own phases=1 bus1=b1.3 kv=7.2 pmpp=500 kva=500 kvarmax=200 kvarmaxabs=200 irradiance=1\n"
        "new invcontrol.own mode=voltvar vvc_curve1=own refreactivepower=varmax voltagechangetolerance=1e-6 "
        "varchangetolerance=1e-5"
    )
    circuit = two_bus(tmp_path, 1.04, own)
    circuit.solve(controls=False)
    network, _ = read_network(circuit)
    before = next(circuit.elements(["InvControl"]))
    seen = []
    for control in (None, InverterControl("volt_var")):
        plan = schedule(SIZE_KW[:2], NODES[:2])
        found = replay(
            FeederModel(circuit, network, PROFILES, NO_LIMITS),
            plan,
            ReplayOptions("free", inverters=control),
            observer=lambda t: seen.append(-circuit.element_powers("PVSystem.own").imag.sum()),
        )
        assert found.converged.all(), found.notes
        at = found.operation.nodes.index("b1.3")
        wanted = -200 * (found.operation.v_pu[:, at] * hand.V_BASE_V / 7200 - 1.0) / 0.5
        np.testing.assert_allclose(seen[-6:], wanted, atol=0.05)
    after = next(e for e in circuit.elements(["InvControl"]) if e.name == before.name)
    assert after.properties == before.properties


def test_between_phases_the_voltage_between_them_counts():
    circuit = Circuit.compile(CASES / "delta_delta.dss")
    circuit.solve(controls=False)
    network, _ = read_network(circuit)
    floating = [n for n in network.nodes if network.v_reference[network.node_index[n]] >= 0]
    plan = schedule(np.array([300.0]), (floating[0],))
    control = InverterControl("volt_var", volt_var=((0.9, 0.3), (1.1, -0.3)), night_var=True)
    found = run(circuit, plan, control, network=network)
    assert found.converged.all(), found.notes
    v = found.operation.v_pu[:, found.operation.nodes.index(floating[0])]
    np.testing.assert_allclose(wide(found, "q_delivered_kvar")[:, 0], -3.0 * (v - 1.0) * 300, atol=0.1)
    assert np.ptp(v) > 0.01


def test_capacity_with_volt_var_where_the_fixed_point_says(tmp_path):
    limits = Limits(v_min_pu=None, v_max_pu=1.05, substation_min_kw=None)
    day = Profiles(("00:00", "01:00"), 1.0, np.array([0.5, 0.3]), np.array([1.0, 0.0]))
    shares = PvShares(NODES, np.ones(3))
    model = FeederModel(two_bus(tmp_path, 1.04), hand.two_bus(), day, limits)
    found = hosting_capacity(model, shares, ReplayOptions(inverters=InverterControl("volt_var")), tolerance_kw=1.0)
    most = 1.05 + limits.v_tolerance_pu
    wanted = 3 * brentq(lambda kw: fixed_point(1.04, "volt_var", 0.5, 1.0, kw)[0] - most, 300, 5000)
    # 30 kW: 1e-5 pu of InvControl's content and 1e-6 pu of the source, where 1 kW is 1e-6 pu
    assert found.bracket_kw[0] - 30 <= wanted <= found.bracket_kw[1] + 30
    assert found.limit["criterion"] == "overvoltage"
    plain = hosting_capacity(model, shares, tolerance_kw=1.0)
    assert found.hc_kw > 1.2 * plain.hc_kw
    assert (found.inverters, plain.inverters) == ("volt_var", "off")
    _, p, q = fixed_point(1.04, "volt_var", 0.5, 1.0, found.hc_kw / 3)
    assert found.at_hc["curtailed_kwh"] == pytest.approx(found.hc_kw - 3 * p, rel=0.01)
    assert found.at_hc["absorbed_kvarh"] == pytest.approx(-3 * q, rel=0.01)
    assert "volt-var" in found.method


@pytest.mark.parametrize("controls", ["free", "locked"])
def test_every_inverter_of_a_real_feeder_is_on_its_curve_in_every_hour(controls):
    bench = Workbench.open("ieee123")
    nodes, day = bench.pv_nodes, bench.profiles
    plan = schedule(np.full(len(nodes), 2800.0 / len(nodes)), nodes, day)
    found = bench.replay(plan, controls, inverters=InverterControl("volt_var"))
    assert found.converged.all(), found.notes
    v = found.operation.v_pu[:, [found.operation.nodes.index(n) for n in nodes]]
    q = found.devices.q_delivered_kvar.to_numpy().reshape(v.shape)
    wanted = [
        [by_hand("volt_var", v[t, g], day.pv_pu[t], plan.pv_kw[g])[1] for g in range(len(nodes))]
        for t in range(len(day))
    ]
    np.testing.assert_allclose(q, wanted, atol=2e-4 * plan.pv_kw.max())
    assert np.abs(q).max() > 0.05 * plan.pv_kw.max()


def test_two_masters_of_reactive_power_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no reactive power from a schedule"):
        hosting_capacity(
            FeederModel(two_bus(tmp_path, 1.0), hand.two_bus(), PROFILES, NO_LIMITS),
            PvShares(NODES, np.ones(3), np.zeros((6, 3))),
            ReplayOptions(inverters=InverterControl("volt_var")),
        )


def test_a_word_that_is_none():
    with pytest.raises(ConfigError, match="volt_vr"):
        InverterControl("volt_vr")
