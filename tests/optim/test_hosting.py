"""The hosting programs: solved by hand, and against the enumeration of every placement and every status."""

from dataclasses import replace

import numpy as np
import pyomo.environ as pyo
import pytest
from guards import NEVER_S
from hypothesis import given, settings
from hypothesis import strategies as st
from small_programs import enumerate_optimum, linear_model, profiles_of, random_problem, unit

from optim.data.limits import Limits
from optim.errors import InfeasibleError, ModelError
from optim.hosting import search as hosting_search
from optim.hosting.decided import DecidedProgram
from optim.hosting.problem import HostingProblem, TrustRegion
from optim.hosting.search import solve_hosting
from optim.hosting.storage import Fleet
from optim.solve.options import SolveOptions

TIGHT = SolveOptions(gap=1e-6, time_limit_s=NEVER_S, threads=1)
SOLVER_KW = 1e-3
"""HiGHS holds rows to 1e-7 MW or pu; at 5e-4 pu per kW and a few binding rows that is less than 1e-3 kW."""


def fleet_on(*buses, placed, circulation="allow", **facts):
    return Fleet(tuple(unit(b, **facts) for b in buses), tuple((f"{b}.1",) for b in buses), placed, circulation)


def night_and_day(circulation, buses=("a", "b", "c"), placed=2):
    """Hour 0: sun, 100 kW of load. Hour 1: night, 20 kW of load. Lossless, voltages flat.

    No BESS: S = 100. Without circulation the units charge c by day, which comes back as 0.64 c by night and may
    not exceed the 20 kW of load: S = 100 + 20 / 0.64 = 131.25.
    With circulation A charges at its limit of 60 by day, gives 0.64 * 60 = 38.4 by night, of which B takes
    38.4 - 20 = 18.4; B gives 0.64 * 18.4 = 11.776 by day: S = 100 + 60 - 11.776 = 148.224, and
    11.776 + 18.4 = 30.176 kWh go round between units.
    """
    model = linear_model([100, 20], ports=("p.1", "a.1", "b.1", "c.1"), dsub_p_dp=-np.ones((1, 4)))
    fleet = fleet_on(*buses, placed=placed, circulation=circulation, energy_kwh=1000.0)
    return HostingProblem(model, profiles_of(model, [1, 0]), Limits(), ("p.1",), fleet)


def test_no_bess_by_hand():
    schedule = solve_hosting(replace(night_and_day("allow"), fleet=None), "none", TIGHT)
    assert schedule.hc_kw == pytest.approx(100.0, abs=SOLVER_KW)
    assert schedule.solve.status == "optimal" and schedule.bess == ()


@pytest.mark.parametrize(
    ("circulation", "hc_kw", "circulated_kwh"), [("allow", 148.224, 30.176), ("forbid", 131.25, 0.0)]
)
def test_circulation_by_hand(circulation, hc_kw, circulated_kwh):
    schedule = solve_hosting(night_and_day(circulation), "x", TIGHT)
    assert schedule.hc_kw == pytest.approx(hc_kw, abs=SOLVER_KW)
    assert schedule.solve.bound == pytest.approx(hc_kw, abs=SOLVER_KW)
    assert schedule.circulated_kwh().sum() == pytest.approx(circulated_kwh, abs=SOLVER_KW)
    assert len(schedule.bess) == 2


def test_cycles_by_hand():
    """`night_and_day` without circulation gives 20 kWh by night. Units that may give 5 kWh each store 10 / 0.64 by day:
    100 + 15.625 kW; with everything decided the same, and what binds is said."""
    problem = night_and_day("forbid")
    energy = problem.fleet.units[0].energy_kwh
    found = solve_hosting(replace(problem, cycles_per_day=5.0 / energy), "x", TIGHT)
    assert found.hc_kw == pytest.approx(115.625, abs=SOLVER_KW)
    given = (found.p_discharge_kw * found.step_h).sum(axis=0)
    assert given == pytest.approx([5.0, 5.0], abs=SOLVER_KW)
    fleet = Fleet(found.bess, tuple((n,) for n in found.bess_nodes), None, "forbid")
    charging = np.array([[1.0, 1.0], [0.0, 0.0]])
    decided = DecidedProgram().solve(replace(problem, cycles_per_day=5.0 / energy, fleet=fleet, charging=charging), "x")
    assert 1e3 * decided.worth_mw == pytest.approx(115.625, abs=SOLVER_KW)
    assert "battery cycles" in {price.limit for price in decided.prices}


def test_a_unit_goes_where_the_voltage_binds():
    """1e-3 pu per kW at bus b, 0.05 pu of room, r = 1 so no reactive power: 50 kW of PV at b. A unit at b charges
    30 kW and makes it 80; one at a does not."""
    model = linear_model(
        [200, 200], ports=("a.1", "b.1"), nodes=("b.1",), dsub_p_dp=-np.ones((1, 2)), dv_dp=[[0, 1e-3]]
    )
    problem = HostingProblem(model, profiles_of(model, [1, 0]), Limits(v_max_pu=1.05), ("b.1",))
    placed = replace(problem, fleet=fleet_on("a", "b", placed=1, power_kw=30.0))
    schedule = solve_hosting(placed, "x", TIGHT)
    assert schedule.hc_kw == pytest.approx(80.0, abs=SOLVER_KW) and schedule.bess[0].bus == "b"
    forced = replace(problem, fleet=fleet_on("a", placed=1, power_kw=30.0))
    assert solve_hosting(forced, "x", TIGHT).hc_kw == pytest.approx(50.0, abs=SOLVER_KW)


def test_a_lone_unit_whose_voltage_binds():
    """As many candidates as units: nothing to place, though voltage rows have a price."""
    model = linear_model([200, 200], ports=("b.1",), nodes=("b.1",), dsub_p_dp=[[-1.0]], dv_dp=[[1e-3]])
    fleet = fleet_on("b", placed=1, power_kw=30.0)
    problem = HostingProblem(model, profiles_of(model, [1, 0]), Limits(), ("b.1",), fleet)
    assert solve_hosting(problem, "centralized", TIGHT).hc_kw == pytest.approx(80.0, abs=SOLVER_KW)


def test_squared_voltages_and_sensitivities_by_hour():
    """Squared: 1.05^2 - 1 = 0.1025 pu^2 of room at 1e-3 per kW in hour 1, 2e-3 in hour 0: 51.25 kW."""
    model = linear_model(
        [200, 200], ports=("b.1",), nodes=("b.1",), dsub_p_dp=[[-1.0]], dv_dp=[[[2e-3]], [[1e-3]]], kind="squared"
    )
    problem = HostingProblem(model, profiles_of(model, [1, 1]), Limits(), ("b.1",))
    assert solve_hosting(problem, "none", TIGHT).hc_kw == pytest.approx(51.25, abs=SOLVER_KW)


def test_phases_of_a_unit_share_one_soc_and_one_status():
    """Load 50 and 10 kW on two phases by day, 30 on each by night, PV on both phases. Each converter has 10 kW
    of the unit's 20; r = 1. S = 50 + 10 + 10 + 10 = 80 needs 20 kWh charged by day, 12.8 given by night."""
    model = linear_model([[50, 10], [30, 30]], ports=("a.1", "a.2"), dsub_p_dp=-np.eye(2))
    fleet = Fleet((unit("a", power_kw=20.0),), (("a.1", "a.2"),), 1)
    problem = HostingProblem(model, profiles_of(model, [1, 0]), Limits(), ("a.1", "a.2"), fleet)
    schedule = solve_hosting(problem, "centralized", TIGHT)
    assert schedule.pv_kw == pytest.approx([60.0, 20.0], abs=SOLVER_KW)
    assert schedule.p_charge_kw[0] == pytest.approx([10.0, 10.0], abs=SOLVER_KW)
    assert schedule.soc_kwh.shape == (3, 1)
    assert schedule.p_discharge_kw[1].sum() == pytest.approx(12.8, abs=SOLVER_KW)


# -- which sites are alike ----------------------------------------------------------------------------------


def alike(problem) -> bool:
    search = hosting_search._Search(problem, "x", TIGHT, None)
    search.run()
    return search._interchangeable()


def test_sites_are_alike_without_losses_and_binding_voltages():
    assert alike(night_and_day("allow"))


def test_sites_differ_by_losses():
    problem = night_and_day("allow")
    assert not alike(replace(problem, model=replace(problem.model, dsub_p_dp=np.array([[[-1, -1, -1, -0.99]]]))))


def test_sites_differ_by_a_voltage_with_a_price():
    problem = night_and_day("allow")
    lifted = replace(problem.model, dv_dp=np.array([[[5e-4, 0, 0, 5e-4]]]))  # 100 kW of PV reach 1.05
    assert not alike(replace(problem, model=lifted))


def test_sites_differ_by_phase_rating_and_trust_region():
    problem = night_and_day("allow")
    fleet = problem.fleet
    bigger = replace(fleet.units[2], energy_kwh=2000.0)
    assert not alike(replace(problem, fleet=replace(fleet, units=(*fleet.units[:2], bigger))))
    around = TrustRegion(np.array([100.0]), np.zeros((2, 1)), {"a.1": np.array([-50.0, 30.0])}, 1e3, 1e3, 40.0)
    assert not alike(replace(problem, trust=around))
    two_phase = linear_model([[100, 50], [20, 20]], ports=("p.1", "a.1", "b.2"), dsub_p_dp=[[-1, -1, 0], [0, 0, -1]])
    for second in (("b.2",), ("a.1", "b.2")):
        split = Fleet((unit("a"), unit("b")), (("a.1",), second), 1)
        assert not alike(HostingProblem(two_phase, problem.profiles, Limits(), ("p.1",), split))


# -- against enumeration ------------------------------------------------------------------------------------


@pytest.mark.parametrize("circulation", ["allow", "forbid"])
def test_enumeration_of_the_problem_solved_by_hand(circulation):
    """The other road itself, on numbers known by hand."""
    found = enumerate_optimum(night_and_day(circulation))
    assert found.hc_kw == pytest.approx({"allow": 148.224, "forbid": 131.25}[circulation])
    assert found.programs == 3 * (2**4 if circulation == "allow" else 2**2)


@pytest.mark.parametrize("circulation", ["allow", "forbid"])
@pytest.mark.parametrize("seed", [1, 3])
def test_three_candidates_two_units_three_steps(seed, circulation):
    """Losses and voltages that tell sites apart; 192 programs with circulation allowed, 24 without."""
    problem = random_problem(seed, candidates=3, placed=2, steps=3, circulation=circulation)
    agrees_with_enumeration(problem)


@settings(max_examples=40, deadline=None, derandomize=True)  # the same programs in every run of CI
@given(seed=st.integers(0, 10**6), shape=st.sampled_from([(2, 1, 3, "allow"), (3, 2, 2, "allow"), (3, 2, 3, "forbid")]))
def test_random_programs(seed, shape):
    candidates, placed, steps, circulation = shape
    agrees_with_enumeration(
        random_problem(seed, candidates=candidates, placed=placed, steps=steps, circulation=circulation)
    )


def test_a_status_that_matters_to_the_last_watt():
    """Found by the test above: 44.9992 kW of load where 45 must be drawn. Charging 0.8 W is nothing to the integer
    solver (tolerance 1e-6 MW), but with the unit set to discharge the continuous one finds no solution."""
    agrees_with_enumeration(random_problem(65536, candidates=3, placed=2, steps=3, circulation="forbid"))


def agrees_with_enumeration(problem):
    """claim <= optimum <= bound, and the claim keeps its limits; infeasible only where all programs are."""
    optimum = enumerate_optimum(problem).hc_kw
    try:
        schedule = solve_hosting(problem, "x", replace(TIGHT, gap=1e-4))
    except InfeasibleError:
        assert optimum is None
        return
    assert optimum is not None
    claim, bound = schedule.solve.objective, schedule.solve.bound
    assert claim <= optimum * (1 + 1e-6) + SOLVER_KW and optimum <= bound * (1 + 1e-6) + SOLVER_KW
    assert schedule.solve.gap <= 1e-4 * 1.001 and schedule.solve.status in ("optimal", "gap")
    assert schedule.hc_kw == pytest.approx(claim, rel=1e-6, abs=SOLVER_KW)
    limits = problem.limits
    assert np.all(schedule.predicted_v_pu <= limits.v_max_pu + limits.v_tolerance_pu)
    assert np.all(schedule.predicted_v_pu >= limits.v_min_pu - limits.v_tolerance_pu)
    assert np.all(schedule.predicted_substation_kw >= limits.substation_min_kw - limits.p_tolerance_kw)
    if problem.fleet.circulation == "forbid":
        assert schedule.circulated_kwh().max() <= SOLVER_KW


# -- wrong use ----------------------------------------------------------------------------------------------


def test_more_units_than_candidates():
    with pytest.raises(ModelError, match="3 units are to be placed on 2 candidate buses"):
        fleet_on("a", "b", placed=3)


def test_a_word_for_circulation_that_is_none():
    with pytest.raises(ModelError, match="circulation must be 'allow' or 'forbid', not 'sometimes'"):
        fleet_on("a", placed=1, circulation="sometimes")


def test_a_site_without_port_and_a_problem_without_sites():
    problem = night_and_day("allow")
    with pytest.raises(ModelError, match=r"no port z\.1"):
        replace(problem, pv_nodes=("z.1",))
    with pytest.raises(ModelError, match="No PV site"):
        replace(problem, pv_nodes=())


# -- no solution: the limit, bus and hour are named ---------------------------------------------------------


def test_undervoltage_that_no_device_can_mend_names_bus_hour_and_remedy():
    """By night nothing moves bus x, which stands at 0.93 pu; by day it does, at 0.96."""
    problem = replace(night_and_day("allow"), fleet=None, night_var=False)
    sagging = replace(problem, model=replace(problem.model, v_base=np.array([[0.96], [0.93]])))
    with pytest.raises(InfeasibleError) as caught:
        solve_hosting(sagging, "none", TIGHT)
    words = str(caught.value)
    assert "none: the program has no solution" in words
    assert "at least 0.95 pu at x.1 at 01:00 (0.9300 at best)" in words and "00:00" not in words
    assert "raise the regulators' taps" in words and "lower" not in words
    assert caught.value.rows == ("voltage_min['x.1','01:00']",)


def test_overvoltage_that_reactive_power_cannot_mend():
    """0.04 pu too high by night, 1e-4 pu per kvar; 100 kVA of PV absorb 0.01 of it."""
    problem = replace(night_and_day("allow"), fleet=None)
    high = replace(problem.model, v_base=np.array([[1.0], [1.09]]), dv_dq=np.full((1, 1, 4), 1e-4))
    with pytest.raises(InfeasibleError, match=r"at most 1\.05 pu at x\.1 at 01:00 \(1\.0800 at best\)") as caught:
        solve_hosting(replace(problem, model=high), "none", TIGHT)
    assert "night_var" not in str(caught.value) and "Lower the regulators' taps" in str(caught.value)


@pytest.mark.parametrize("fleet", [None, fleet_on("a", "b", placed=1, power_kw=10.0)])
def test_a_reverse_flow_limit_above_the_load(fleet):
    """30 kW are asked for where the load is 20; a unit may charge 10 by night only to lose them by day again."""
    problem = replace(night_and_day("allow"), fleet=fleet, limits=Limits(substation_min_kw=35.0))
    at_best = 20.0 if fleet is None else 30.0
    named = rf"at least 35 kW into the feeder at src\.1 at 01:00 \({at_best:.1f} at best"
    with pytest.raises(InfeasibleError, match=named):
        solve_hosting(problem, "x", TIGHT)


def test_a_trust_region_that_admits_nothing_is_named():
    """Its centre has the unit charge in both hours, which a unit that must return to its SoC cannot follow."""
    problem = replace(night_and_day("allow"), fleet=fleet_on("a", placed=1))
    around = TrustRegion(np.array([100.0]), np.zeros((2, 1)), {"a.1": np.array([-50.0, -50.0])}, 10.0, 10.0, 5.0)
    with pytest.raises(InfeasibleError, match="trust region"):
        solve_hosting(replace(problem, trust=around), "x", TIGHT)


# -- another solver -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["appsi_highs", "scip_direct"])
@pytest.mark.parametrize("circulation", ["allow", "forbid"])
def test_another_solver_gets_the_whole_program(solver, circulation):
    if not pyo.SolverFactory(solver).available(exception_flag=False):
        pytest.skip(f"{solver} is not installed")
    schedule = solve_hosting(night_and_day(circulation), "x", replace(TIGHT, solver=solver))
    assert schedule.hc_kw == pytest.approx({"allow": 148.224, "forbid": 131.25}[circulation], abs=SOLVER_KW)
    assert schedule.solve.solver == solver and schedule.solve.status == "optimal"
    sagging = replace(night_and_day("allow").model, v_base=np.array([[0.96], [0.93]]))
    with pytest.raises(InfeasibleError, match=r"at least 0\.95 pu at x\.1 at 01:00"):
        solve_hosting(replace(night_and_day("allow"), fleet=None, model=sagging), "x", replace(TIGHT, solver=solver))


# -- the closed loop's extras -------------------------------------------------------------------------------


def elastic(price):
    """120 kW of load, r = 0.6, so S = 200 by reverse flow. Voltage 1.02 + 120 * 3e-4 = 1.056 pu without reactive
    power; 60 kvar of the 160 that S allows bring it to 1.05."""
    model = linear_model([120], ports=("b.1",), dsub_p_dp=[[-1.0]], dv_dp=[[3e-4]], dv_dq=[[1e-4]], v_base=[[1.02]])
    return HostingProblem(model, profiles_of(model, [0.6]), Limits(), ("b.1",), elastic_kw_per_pu=price)


def test_tidying_oversteps_no_more_than_was_paid_for():
    schedule = solve_hosting(elastic(1e5), "none", TIGHT)
    assert schedule.hc_kw == pytest.approx(200.0, abs=SOLVER_KW)
    assert schedule.predicted_v_pu.max() == pytest.approx(1.05, abs=1e-6)
    assert schedule.pv_q_kvar == pytest.approx(np.array([[-60.0]]), abs=SOLVER_KW * 20)


def test_an_overstep_cheaper_than_capacity_is_taken():
    """Without reactive power 1.056 pu; at 500 kW per pu the 0.006 pu cost 3 kW, holding them (S = 166.67) 33."""
    still = elastic(500.0)
    still = replace(still, model=replace(still.model, dv_dq=np.zeros((1, 1, 1))))
    schedule = solve_hosting(still, "none", TIGHT)
    assert schedule.hc_kw == pytest.approx(200.0, abs=SOLVER_KW)
    assert schedule.solve.objective == pytest.approx(197.0, abs=SOLVER_KW)
    dear = solve_hosting(replace(still, elastic_kw_per_pu=1e5), "none", TIGHT)
    assert dear.hc_kw == pytest.approx(0.03 / 3e-4 / 0.6, abs=SOLVER_KW)


def test_the_tidy_schedule_moves_no_reactive_power_that_nothing_needs():
    schedule = solve_hosting(night_and_day("allow"), "x", TIGHT)
    assert np.abs(schedule.pv_q_kvar).max() < SOLVER_KW
