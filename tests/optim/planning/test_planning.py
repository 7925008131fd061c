"""Paper 2's program on small feeders: brute force, recomputation, other solvers, bad input."""

from dataclasses import replace

import numpy as np
import pyomo.environ as pyo
import pytest
from conic_reference import clarabel_optimum
from guards import NEVER_S
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_cases import random_case, three_buses

from optim.errors import InfeasibleError, ModelError, SolverError
from optim.feeder.radial_power_flow import ac_power_flow
from optim.planning.case import Costs, ScenarioLimits, StorageTerms
from optim.planning.exactness import add_caps, base_flows, correction_bounds, largest_violation, put_on_ac
from optim.planning.model import MONEY
from optim.planning.program import build
from optim.planning.result import PlannedUnit
from optim.planning.schemes import hold_plan, solve_planning, with_sites_of
from optim.solve.conic_engines import HighsEngine
from optim.solve.options import SolveOptions

OPTIONS = SolveOptions(gap=1e-5, time_limit_s=NEVER_S, threads=1)


@pytest.fixture(scope="module")
def solved():
    case = three_buses()
    return case, {scheme: solve_planning(case, scheme, OPTIONS) for scheme in "ABC"}


def test_brute_force_sizing_of_one_unit(solved):
    """Every plan's cost by Clarabel on the cone program; the best of them is the program's."""
    pytest.importorskip("clarabel")
    case, results = solved
    s, best = case.storage, np.inf
    for bus in case.areas["X"]:
        for energy in np.arange(0, s.energy_max_kwh + 1, s.energy_step_kwh):
            for power in np.arange(0, min(energy, 400.0) + 1, s.power_step_kw):
                unit = [PlannedUnit("X", bus, energy, power)] if energy else []
                program = build(with_sites_of(case, unit), ("typical",), storage=bool(unit))
                hold_plan(program, unit)
                cost = clarabel_optimum(program.model, program.cones)
                if cost < best - 1e-9:
                    best, where = cost, (bus, energy, power)
    found = results["B"]
    assert found.objective_cny / MONEY == pytest.approx(best, rel=2e-5)  # gap 1e-5, cuts 1e-6
    assert [(u.bus, u.energy_kwh, u.power_kw) for u in found.plan] == [where]


def test_costs_and_soc_recomputed_from_the_dispatch(solved):
    case, results = solved
    for scheme in "BC":
        found = results[scheme]
        c, s = case.costs, case.storage
        crf = 0.05 * 1.05**15 / (1.05**15 - 1)
        capex = crf * sum(c.energy_cny_per_kwh * u.energy_kwh + c.power_cny_per_kw * u.power_kw for u in found.plan)
        assert found.capex_cny_per_year == pytest.approx(capex, rel=1e-9)
        thrown = (found.typical.charge_kw + found.typical.discharge_kw).sum() * 6.0
        assert found.om_cny_per_year == pytest.approx(0.01 * 365 * thrown, rel=1e-6)
        lost = found.typical.losses_kw.sum() * 6.0
        assert found.loss_cny_per_year == pytest.approx(0.8 * 365 * lost, rel=1e-9)
        revenue = found.pvhc_revenue_cny if scheme == "C" else 0.0
        assert found.objective_cny == pytest.approx(capex + found.om_cny_per_year + found.loss_cny_per_year - revenue)
        assert found.pvhc_revenue_cny == pytest.approx(2300.0 * sum(found.pvhc.pvhc_kw.values()) / 1e3)
        for o in (found.typical, found.pvhc):
            for u, unit in enumerate(found.plan):
                gained = 6.0 * (s.eta_charge * o.charge_kw[:, u] - o.discharge_kw[:, u] / s.eta_discharge)
                soc = o.soc_kwh[0, u] + np.concatenate([[0.0], np.cumsum(gained)])
                assert np.abs(soc - o.soc_kwh[:, u]).max() < 1e-3  # kWh; LP rows hold to 1e-7 MWh
                assert soc[-1] == pytest.approx(soc[0], abs=1e-3)
                assert o.soc_kwh[:, u].min() >= s.soc_min * unit.energy_kwh - 1e-3
                assert o.soc_kwh[:, u].max() <= s.soc_max * unit.energy_kwh + 1e-3
                assert np.minimum(o.charge_kw[:, u], o.discharge_kw[:, u]).max() < 1e-3  # one at a time
                assert np.maximum(o.charge_kw[:, u], o.discharge_kw[:, u]).max() <= unit.power_kw + 1e-3


def test_power_balance_rebuilt(solved):
    case, results = solved
    for scheme in "ABC":
        for o in (results[scheme].typical, results[scheme].pvhc):
            load = case.profiles.load_pu * case.feeder.load_p_mw.sum() * 1e3
            fed = o.substation_kw + o.injection_kw.sum(axis=1)
            assert np.abs(fed - load - o.losses_kw).max() < 1e-6
            storage = (o.discharge_kw - o.charge_kw).sum(axis=1)
            pv = 900.0 * case.profiles.pv_pu - case.ev_kw["2"] + sum(o.pvhc_kw.values())
            assert np.abs(o.injection_kw.sum(axis=1) - storage - pv).max() < 1e-6


def test_operating_points_are_exact_and_inside(solved):
    case, results = solved
    for found in results.values():
        assert found.cone_slack_max < 1e-9
        assert found.violation < 1e-6
        for o, limits in ((found.typical, case.typical), (found.pvhc, case.pvhc)):
            assert np.abs(o.v_pu - o.ac_v_pu).max() < 1e-8
            if found.scheme != "A" or o is found.pvhc:
                assert o.v_pu[:, 1:].max() <= limits.v_max_pu + 1e-6
                assert o.v_pu[:, 1:].min() >= limits.v_min_pu - 1e-6
            if limits.i_max_a is not None:
                assert o.current_a.max() <= limits.i_max_a * (1 + 1e-5)


def test_schemes_in_order(solved):
    _, results = solved
    assert results["B"].objective_cny < results["A"].objective_cny  # no storage is one of B's choices
    assert results["C"].pvhc_mw >= results["A"].pvhc_mw - 1e-6
    together = results["B"].objective_cny - results["B"].pvhc_revenue_cny
    assert results["C"].objective_cny <= together * (1 + 1e-4)  # B's plan is one of C's choices


def test_hosting_capacity_without_storage_by_bisection():
    """One candidate: raise the injection until the AC power flow meets the limit."""
    case = three_buses(pvhc_buses=("3",), pvhc=ScenarioLimits(0.9, 1.08))
    low, high = 0.0, 10.0
    while high - low > 1e-9:
        middle = 0.5 * (low + high)
        p = case.base_injection_mw()
        p[:, case.feeder.index_of("3")] += middle
        if ac_power_flow(case.feeder, case.profiles.load_pu, p).v_pu().max() <= 1.08:
            low = middle
        else:
            high = middle
    assert solve_planning(case, "A", OPTIONS).pvhc_mw == pytest.approx(low, abs=1e-6)


def test_current_limit_by_bisection():
    case = three_buses(pvhc_buses=("1",), pvhc=ScenarioLimits(0.5, 1.5, 100.0))
    low, high = 0.0, 10.0
    while high - low > 1e-9:
        middle = 0.5 * (low + high)
        p = case.base_injection_mw()
        p[:, 0] += middle
        flow = ac_power_flow(case.feeder, case.profiles.load_pu, p)
        low, high = (middle, high) if np.sqrt(flow.l.max()) * 45.6 <= 100.0 else (low, middle)
    # cuts hold the cone to 1e-6 of |S|^2
    assert solve_planning(case, "A", OPTIONS).pvhc_mw == pytest.approx(low, rel=2e-6)


def test_as_written_the_relaxation_burns_energy():
    """With a low voltage limit the program as written claims more than any power flow allows."""
    case = three_buses(exactness="none", pvhc=ScenarioLimits(0.9, 1.08))
    written = solve_planning(case, "A", OPTIONS)
    capped = solve_planning(replace(case, exactness="capped"), "A", OPTIONS)
    assert written.pvhc_mw > 1.5 * capped.pvhc_mw
    assert written.cone_slack_max > 1e-2
    assert written.pvhc.ac_v_pu is None or written.pvhc.ac_v_pu.max() > 1.1
    assert capped.cone_slack_max < 1e-9


@given(seed=st.integers(0, 5_000))
@settings(max_examples=12, deadline=None)
def test_relaxation_is_never_above_a_true_operating_point(seed):
    """And no cut removes an AC point: the program is solved first, then held to a random AC dispatch."""
    case = random_case(seed)
    program = build(case, ("typical",))
    engine = HighsEngine(program.model, program.cones, OPTIONS, None, "test")
    bound = engine.relax().objective
    m, draw = program.model, np.random.default_rng(seed)
    bus = str(draw.choice(case.candidates))
    energy, power = 10.0, 4.0  # steps: 1 MWh, 0.2 MW
    charge = np.zeros(4)
    charge[draw.integers(0, 4)] = draw.uniform(0, 0.08)
    back = np.roll(charge, int(draw.integers(1, 4))) * case.storage.eta_charge * case.storage.eta_discharge
    values = {id(v): 0.0 for v in m.component_data_objects(pyo.Var)}
    for v, x in (
        (m.site[bus], 1.0),
        (m.energy_steps["X"], energy),
        (m.power_steps["X"], power),
        (m.energy[bus], 1.0),
        (m.power[bus], 0.2),
    ):
        values[id(v)] = x
    stored = 0.5 + np.cumsum(6 * (case.storage.eta_charge * charge - back / case.storage.eta_discharge))
    for t in range(4):
        values[id(m.charge["typical", t, bus])] = charge[t]
        values[id(m.discharge["typical", t, bus])] = back[t]
        values[id(m.charging["typical", t, "X"])] = float(charge[t] > 0)
        values[id(m.soc["typical", t + 1, bus])] = stored[t]
    values[id(m.soc["typical", 0, bus])] = 0.5
    if not 0.2 <= stored.min() <= stored.max() <= 0.8:
        return  # not a dispatch the unit can do
    for v in m.component_data_objects(pyo.Var):
        v.set_value(values[id(v)], skip_validation=True)
    p = case.base_injection_mw()
    p[:, case.feeder.index_of(bus)] += back - charge
    put_on_ac(program, {"typical": ac_power_flow(case.feeder, case.profiles.load_pu, p)})
    assert largest_violation(program) < 1e-9
    assert bound <= pyo.value(m.objective) + 1e-9
    held = engine.session.value(engine.session.variables)
    engine.session.set_bounds(engine.session.variables, held - 1e-9, held + 1e-9)
    assert engine.session.run().objective == pytest.approx(pyo.value(m.objective), abs=1e-6)


@pytest.mark.parametrize("scenarios", [("typical",), ("typical", "pvhc")])
def test_relaxation_as_clarabel_has_it(scenarios):
    pytest.importorskip("clarabel")
    case = three_buses()
    program = build(case, scenarios)
    found = HighsEngine(program.model, program.cones, OPTIONS, None, "").relax().objective
    assert found == pytest.approx(clarabel_optimum(program.model, program.cones), rel=1e-6)


def test_capped_relaxation_as_clarabel_has_it():
    pytest.importorskip("clarabel")
    program = build(three_buses(), ("typical", "pvhc"))
    add_caps(program)
    engine = HighsEngine(program.model, program.cones, OPTIONS, None, "")
    for variables, lower, upper in correction_bounds(program, base_flows(program)):
        engine.set_bounds(variables, lower, upper)
        for v, low, high in zip(variables, lower, upper, strict=True):
            v.setlb(low if np.isfinite(low) else None)
            v.setub(high)
    assert engine.relax().objective == pytest.approx(clarabel_optimum(program.model, program.cones), rel=1e-6)


def test_another_solver_gets_the_cones(solved):
    pytest.importorskip("pyscipopt")
    case, results = solved
    found = solve_planning(case, "B", replace(OPTIONS, solver="scip_direct"))
    assert found.objective_cny == pytest.approx(results["B"].objective_cny, rel=1e-4)
    assert found.solve.solver == "scip_direct"


def test_min_units_and_least_size():
    dear = Costs(energy_cny_per_kwh=5000.0, power_cny_per_kw=5000.0)
    case = three_buses(costs=dear, typical=ScenarioLimits(0.8, 1.1))
    assert solve_planning(case, "B", OPTIONS).plan == ()
    forced = replace(
        case, areas={"X": ("2",), "Y": ("3",)}, storage=replace(case.storage, min_units=2, min_energy_kwh=500.0)
    )
    plan = solve_planning(forced, "B", OPTIONS).plan
    assert [(u.area, u.bus, u.energy_kwh, u.power_kw) for u in plan] == [
        ("X", "2", 500.0, 50.0),
        ("Y", "3", 500.0, 50.0),
    ]


def test_infeasible_scheme_a_names_bus_hour_and_remedy():
    case = three_buses(pvhc=ScenarioLimits(0.9, 1.01))
    with pytest.raises(InfeasibleError) as caught:
        solve_planning(case, "A", OPTIONS)
    assert "bus 3" in caught.value.message
    assert "12:00" in caught.value.message
    assert "v_max_pu = 1.01" in caught.value.message
    assert "[planning.pvhc]" in caught.value.remedy
    assert "looser" in caught.value.remedy


def test_infeasible_typical_day_names_what_storage_cannot_mend():
    with pytest.raises(InfeasibleError, match=r"bus 3 is at 0\.9\d+ pu at 18:00 in the typical scenario"):
        solve_planning(three_buses(typical=ScenarioLimits(0.99, 1.1)), "B", OPTIONS)


def test_time_limit_before_any_plan_says_so():
    with pytest.raises(SolverError, match="time_limit_s"):
        solve_planning(random_case(3), "B", replace(OPTIONS, time_limit_s=1e-9, extra={"simplex_iteration_limit": 1}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"areas": {"X": ("2", "3"), "Y": ("3",)}}, "Bus 3 is in areas X and Y"),
        ({"areas": {"X": ("2", "9")}}, "Area X names bus 9"),
        ({"areas": {"X": ("0",)}}, "the source"),
        ({"pvhc_buses": ("1", "17")}, "pvhc_buses names bus 17"),
        ({"storage": StorageTerms(energy_max_kwh=5.0)}, "No size fits"),
        ({"storage": StorageTerms(power_step_kw=5000.0)}, "No size fits"),
        ({"storage": StorageTerms(min_energy_kwh=5000.0)}, "No size fits"),
        ({"storage": StorageTerms(min_units=2)}, "min_units = 2"),
        ({"storage": StorageTerms(soc_min=0.9)}, "no usable energy"),
        ({"typical": ScenarioLimits(1.05, 0.95)}, "typical scenario's voltage limits"),
        ({"ev_kw": {"2": np.zeros(3)}}, "3 values for 4 steps"),
    ],
)
def test_bad_cases_are_refused_with_the_reason(changes, words):
    with pytest.raises(ModelError) as caught:
        three_buses(**changes)
    assert words in str(caught.value)


def test_all_faults_in_one_message():
    with pytest.raises(ModelError) as caught:
        three_buses(areas={"X": ("2", "8"), "Y": ("2",)}, pvhc_buses=("7",))
    for words in ("bus 8", "areas X and Y", "bus 7"):
        assert words in str(caught.value)
