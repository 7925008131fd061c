"""The price of an overstep, found from where it begins to pay: just below it limits are overstepped, just above kept.

Whatever the programs do inside, at a price of p kW per pu a site whose kW raises the voltage by s pu gains by
overstepping while 1 / s > p, and not a step beyond.
"""

from dataclasses import replace

import numpy as np
import pytest
from small_programs import linear_model, profiles_of, unit

from optim.data.limits import Limits
from optim.hosting.decided import DecidedProgram
from optim.hosting.problem import HostingProblem, TrustRegion
from optim.hosting.search import solve_hosting
from optim.hosting.storage import Fleet
from optim.solve.options import SolveOptions

TIGHT = SolveOptions(gap=1e-6, time_limit_s=30.0, threads=1)
KW = 0.05
"""Oversteps at their price leave the solver fewer digits (1e-7 of a cost of 1e5 kW)."""


def by_search(problem):
    return solve_hosting(problem, "none", TIGHT, tidy=False).hc_kw


def decided(problem):
    return DecidedProgram().solve(problem, "none", order=0).schedule.hc_kw


def mixed_integer(problem):
    """Beside a battery that has nothing to give, but whose status is to be decided: the program of a reopening."""
    nothing = Fleet((unit("b", energy_kwh=1e-3, power_kw=1e-3),), (("b.1",),), 1, "allow")
    return solve_hosting(replace(problem, fleet=nothing), "centralized", TIGHT, tidy=False).hc_kw


ROADS = pytest.mark.parametrize("solved", [by_search, decided, mixed_integer])


def region(center_kw, radius_kw):
    """Capacity within `radius_kw`, no reactive power."""
    return TrustRegion(np.array([center_kw]), np.zeros((1, 1)), {}, radius_kw, 0.0, np.inf)


def voltage(price, pv_pu=0.5, pu_per_kw=1e-4):
    """1.0 pu and 50 % more PV than the 1000 kW that reach 1.05 pu; nothing flows back."""
    model = linear_model([9000], ports=("b.1",), dsub_p_dp=[[-1.0]], dv_dp=[[pu_per_kw]])
    trust = region(1000.0, 500.0)
    profiles = profiles_of(model, [pv_pu])
    return HostingProblem(model, profiles, Limits(), ("b.1",), elastic_kw_per_pu=price, trust=trust)


@ROADS
@pytest.mark.parametrize(("share", "hc_kw"), [(0.8, 1500.0), (1.25, 1000.0)])
def test_a_volt_costs_its_price(solved, share, hc_kw):
    """A kW of capacity is half a kW at noon and 5e-5 pu: 20,000 kW a pu is where it is worth nothing."""
    assert solved(voltage(share * 20_000.0)) == pytest.approx(hc_kw, abs=KW)


@ROADS
@pytest.mark.parametrize(("share", "hc_kw"), [(0.8, 1500.0), (1.25, 1000.0)])
def test_a_squared_volt_costs_the_same(solved, share, hc_kw):
    """A model in squared voltages: 1 + 2 * 5e-5 pu per kW around 1 pu. The limit is 1.05^2 = 1.1025 at 1025 kW."""
    problem = voltage(share * 20_000.0)
    model = linear_model([9000], ports=("b.1",), dsub_p_dp=[[-1.0]], dv_dp=[[2e-4]], kind="squared")
    held = 1025.0 if hc_kw == 1000.0 else hc_kw
    assert solved(replace(problem, model=model)) == pytest.approx(held, abs=KW)


@ROADS
@pytest.mark.parametrize(("pv_pu", "flows_back"), [(0.08, True), (0.125, False)])
def test_reverse_flow_costs_ten_kw_of_capacity_for_one(solved, pv_pu, flows_back):
    """A kW of capacity that delivers a tenth of it at most is worth more than what it sends back."""
    model = linear_model([100], ports=("b.1",), dsub_p_dp=[[-1.0]])
    no_reverse = 100.0 / pv_pu
    problem = HostingProblem(
        model, profiles_of(model, [pv_pu]), Limits(), ("b.1",), elastic_kw_per_pu=1e5, trust=region(no_reverse, 200.0)
    )
    assert solved(problem) == pytest.approx(no_reverse + 200.0 * flows_back, abs=KW)


@ROADS
@pytest.mark.parametrize(("share", "over"), [(0.8, True), (1.25, False)])
def test_a_loading_costs_its_price_per_share_of_the_rating(solved, share, over):
    """A line of 500 kVA, which 1000 kW of capacity fill at half sun; the next kW is a thousandth of the rating."""
    model = linear_model([9000], ports=("b.1",), dsub_p_dp=[[-1.0]])
    model = replace(
        model,
        branches=("Line.l.1",),
        rating_kva=np.array([500.0]),
        flow_base_kw=np.zeros((1, 1)),
        flow_base_kvar=np.zeros((1, 1)),
        dflow_p_dp=np.array([[[1.0]]]),
        dflow_p_dq=np.zeros((1, 1, 1)),
        dflow_q_dp=np.zeros((1, 1, 1)),
        dflow_q_dq=np.array([[[1.0]]]),
    )
    problem = replace(voltage(share * 1000.0), model=model, limits=Limits(loading_max_pu=1.0))
    assert solved(problem) == pytest.approx(1500.0 if over else 1000.0, abs=KW)
