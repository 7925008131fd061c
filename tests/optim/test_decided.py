"""The program with everything decided, against the Pyomo program, finite differences, and an enumeration."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from small_programs import linear_model, profiles_of, random_problem, unit

from optim.data.limits import Limits
from optim.errors import InfeasibleError, ModelError
from optim.hosting.decided import ORDER, DecidedProgram
from optim.hosting.problem import HostingProblem, TrustRegion
from optim.hosting.search import solve_hosting
from optim.hosting.spread import Cap, Spread
from optim.hosting.storage import Fleet
from optim.solve.options import SolveOptions

TIGHT = SolveOptions(gap=1e-7, time_limit_s=30.0)
SOLVER_KW = 1e-3
"""HiGHS holds rows to 1e-7 MW or pu; at 5e-4 pu per kW and a few binding rows that is less than 1e-3 kW."""


def decided(problem, charging):
    """Every unit of the fleet placed, statuses as given."""
    fleet = problem.fleet
    return replace(problem, fleet=Fleet(fleet.units, fleet.nodes, None), charging=charging)


@pytest.mark.parametrize("seed", range(8))
def test_same_optimum_as_the_pyomo_program(seed):
    problem = random_problem(seed, candidates=2, placed=2, steps=3, circulation="allow")
    charging = np.random.default_rng(seed).integers(0, 2, size=(3, 2)).astype(float)
    whole = replace(decided(problem, charging), cycles_per_day=0.1 if seed % 2 else None)
    try:
        expected = solve_hosting(whole, "x", TIGHT, tidy=False).hc_kw
    except InfeasibleError:
        with pytest.raises(InfeasibleError):
            DecidedProgram().solve(whole, "x")
        return
    program = DecidedProgram()
    for order in (0, len(ORDER), 0):  # the last from the basis of the one before, other columns and rows in it
        found = program.solve(whole, "x", order=order)
        assert 1e3 * found.worth_mw == pytest.approx(expected, abs=SOLVER_KW)
        assert found.schedule.hc_kw == pytest.approx(expected, abs=2 * SOLVER_KW) and not found.unfinished


def two_sites(room_pu=0.03):
    """Two sites with 1e-3 and 2e-3 pu per kW, -5e-4 pu per kvar at both, 200 kW of load; sun of 0.6, then none."""
    model = linear_model(
        [200, 200],
        ports=("a.1", "b.1"),
        nodes=("b.1",),
        dsub_p_dp=-np.ones((1, 2)),
        dv_dp=[[1e-4, 2e-4]],
        dv_dq=[[5e-4, 5e-4]],
    )
    return HostingProblem(model, profiles_of(model, [0.6, 0.0]), Limits(v_max_pu=1.0 + room_pu), ("a.1", "b.1"))


def test_prices_are_what_a_unit_more_brings():
    problem = two_sites()
    found = DecidedProgram().solve(problem, "x")
    step_kw, step_pu = 1.0, 1e-3
    for price in found.prices:
        if price.limit == "reverse_flow":
            limits, step = replace(problem.limits, substation_min_kw=-step_kw), step_kw
        else:
            limits, step = replace(problem.limits, v_max_pu=problem.limits.v_max_pu + step_pu), step_pu
        more = DecidedProgram().solve(replace(problem, limits=limits), "x")
        assert 1e3 * (more.worth_mw - found.worth_mw) / step == pytest.approx(price.kw_per_unit, rel=1e-5)
    assert found.prices and found.prices[0].time == problem.model.times[0]


def test_first_among_equals_is_what_enumeration_finds():
    """Reverse flow binds: the sum of both sites is fixed, 333.3 kW. Every split in steps of a 60th: the least reactive
    energy, and among those with as little, the most even."""
    problem = two_sites(room_pu=0.0375)
    found = DecidedProgram().solve(problem, "x").schedule
    total = 200.0 / 0.6
    assert found.hc_kw == pytest.approx(total, abs=SOLVER_KW)
    splits = []
    for a in np.linspace(0.0, total, 61):
        v = 1.0 + 1e-4 * 0.6 * a + 2e-4 * 0.6 * (total - a)
        takes = max(v - problem.limits.v_max_pu, 0.0) / 5e-4  # kvar that both together must take
        if takes <= 0.8 * total:
            splits.append((round(takes, 6), a**2 + (total - a) ** 2, a))
    kvar, _, a = min(splits)
    assert np.abs(found.pv_q_kvar).sum() == pytest.approx(kvar, abs=SOLVER_KW)
    assert found.pv_kw[0] == pytest.approx(a, abs=total / 60)  # the grid's step


def test_without_reason_to_differ_sites_are_even():
    problem = two_sites(room_pu=1.0)
    for names in itertools.permutations(("a.1", "b.1")):
        found = DecidedProgram().solve(replace(problem, pv_nodes=names), "x").schedule
        assert found.pv_kw == pytest.approx(found.hc_kw / 2, rel=0.13)  # half a piece of the square
        assert not np.any(np.abs(found.pv_q_kvar) > SOLVER_KW)


def test_no_circulation_where_it_brings_nothing():
    """Two units, one charging and one discharging in hour 0, both the other way in hour 1: voltage binds at the site
    alone, and 100 kW stand whatever they do. The order leaves them idle."""
    model = linear_model([500, 500], ports=("p.1", "a.1", "b.1"), nodes=("p.1",), dsub_p_dp=-np.ones((1, 3)))
    model = replace(model, dv_dp=np.array([[[5e-4, 0, 0]]] * model.dv_dp.shape[0]))
    fleet = Fleet((unit("a"), unit("b")), (("a.1",), ("b.1",)))
    problem = HostingProblem(
        model, profiles_of(model, [1, 0]), Limits(), ("p.1",), fleet, charging=np.array([[1.0, 0.0], [0.0, 1.0]])
    )
    found = DecidedProgram().solve(problem, "x").schedule
    assert found.hc_kw == pytest.approx(100.0, abs=SOLVER_KW)
    assert found.p_charge_kw == pytest.approx(0.0, abs=SOLVER_KW)


def test_what_gains_nothing_does_not_move():
    problem = two_sites(room_pu=1.0)
    q = np.array([[10.0, -20.0], [30.0, 0.0]])
    pv = np.array([100.0, 100.0])
    trust = TrustRegion(pv, q, {}, 50.0, 50.0, 0.0, move_price=1e-4)
    found = DecidedProgram().solve(replace(problem, trust=trust), "x", order=0).schedule
    assert found.pv_kw == pytest.approx([150.0, 150.0], abs=SOLVER_KW)
    assert found.pv_q_kvar == pytest.approx(q, abs=SOLVER_KW)


def test_undecided_fleets_are_refused():
    problem = random_problem(1, candidates=3, placed=2, steps=2, circulation="allow")
    with pytest.raises(ModelError, match="decides neither"):
        DecidedProgram().solve(problem, "x")


# -- where it stands ----------------------------------------------------------------------------------------


def test_even_serves_the_least_favoured_site_best():
    """Room of 0.02 pu without reactive power (r = 1): 1e-4 a + 2e-4 b <= 0.02 by itself would let a have all 200 kW.
    Even: a = b = 66.7 kW, then the rest where it fits: voltage has no room left."""
    problem = two_sites(room_pu=0.02)
    problem = replace(problem, profiles=profiles_of(problem.model, [1.0, 0.0]))
    spread = Spread("even", (("a.1",), ("b.1",)), (1.0, 1.0))
    for found in (
        DecidedProgram().solve(replace(problem, spread=spread), "x").schedule,
        solve_hosting(replace(problem, spread=spread), "x", TIGHT),
    ):
        assert found.pv_kw == pytest.approx([200 / 3, 200 / 3], abs=SOLVER_KW)
    assert solve_hosting(problem, "x", TIGHT).hc_kw == pytest.approx(200.0, abs=SOLVER_KW)
    # a cap on b: shares of caps, 30 of 30 and 140 of at most 170 kW
    caps = (Cap("a", ("a.1",), 170.0), Cap("b", ("b.1",), 30.0))
    capped = replace(problem, spread=Spread("even", spread.sites, (170.0, 30.0)), caps=caps)
    for found in (DecidedProgram().solve(capped, "x").schedule, solve_hosting(capped, "x", TIGHT)):
        share = 0.02 / (1e-4 * 170 + 2e-4 * 30)
        assert found.pv_kw == pytest.approx([170 * share, 30 * share], abs=SOLVER_KW)


def test_load_is_in_proportion_and_caps_hold():
    problem = two_sites(room_pu=1.0)
    problem = replace(problem, spread=Spread("load", (("a.1",), ("b.1",)), (30.0, 10.0)))
    total = 200.0 / 0.6
    for found in (DecidedProgram().solve(problem, "x").schedule, solve_hosting(problem, "x", TIGHT)):
        assert found.pv_kw == pytest.approx([0.75 * total, 0.25 * total], abs=SOLVER_KW)
    capped = replace(problem, spread=None, caps=(Cap("a", ("a.1",), 50.0), Cap("b", ("b.1",), 70.0)))
    for found in (DecidedProgram().solve(capped, "x").schedule, solve_hosting(capped, "x", TIGHT)):
        assert found.pv_kw == pytest.approx([50.0, 70.0], abs=SOLVER_KW)  # less than what reverse flow allows
    prices = {p.element: p.kw_per_unit for p in DecidedProgram().solve(capped, "x").prices}
    assert prices == pytest.approx({"a": 1.0, "b": 1.0})
    with pytest.raises(ModelError, match="no load stands at any site"):
        Spread("load", (("a.1",), ("b.1",)), (0.0, 0.0))
