"""Branch loading as a limit, solved by hand.

One source, one line of 1000 kVA, one site at its end beside a load of P0 + j Q0; lossless. With PV of S the line
carries (P0 - S) + j (Q0 - q), so that |flow| <= 1000 allows S up to P0 + sqrt(1000^2 - (Q0 - q)^2): with r = 1
there is no reactive power (7c), q = 0; with r = 0.8 the inverter may give up to 0.6 S and cancel Q0.
"""

import numpy as np
import pytest

from optim.data.criteria import Before
from optim.data.limits import Limits
from optim.data.linear_model import LinearModel
from optim.data.operation import Operation
from optim.data.profiles import Profiles
from optim.errors import SolverError
from optim.hosting.limit_rows import LOADING_TOLERANCE
from optim.hosting.problem import HostingProblem
from optim.hosting.search import solve_hosting
from optim.solve.options import SolveOptions

P0, Q0, RATING = 500.0, 600.0, 1000.0


def model(steps: int = 1) -> LinearModel:
    one = np.ones((1, 1, 1))
    base_p, base_q = np.full((steps, 1), P0), np.full((steps, 1), Q0)
    return LinearModel(
        times=tuple(f"{t:02d}:00" for t in range(steps)),
        nodes=("b.1",),
        ports=("b.1",),
        voltage_kind="squared",
        v_base=np.ones((steps, 1)),
        dv_dp=0.0 * one,
        dv_dq=0.0 * one,
        substation_phases=("s.1",),
        substation_base_kw=base_p,
        substation_base_kvar=base_q,
        dsub_p_dp=-one,
        dsub_p_dq=0.0 * one,
        dsub_q_dp=0.0 * one,
        dsub_q_dq=-one,
        linearized_at="hand",
        assumptions=(),
        branches=("Line.l.1",),
        flow_base_kw=base_p,
        flow_base_kvar=base_q,
        dflow_p_dp=-one,
        dflow_p_dq=0.0 * one,
        dflow_q_dp=0.0 * one,
        dflow_q_dq=-one,
        rating_kva=np.array([RATING]),
    )


def capacity(r: float, already: Before | None = None, loading_max_pu: float | None = 1.0) -> float:
    profiles = Profiles(("00:00",), 1.0, np.ones(1), np.array([r]))
    limits = Limits(substation_min_kw=None, loading_max_pu=loading_max_pu)
    problem = HostingProblem(model(), profiles, limits, ("b.1",), already=already)
    return solve_hosting(problem, "none", SolveOptions(threads=1)).hc_kw


def test_active_power_alone():
    # the tangents leave at most LOADING_TOLERANCE of the rating; on the circle that is 1.25 of it in P
    assert capacity(1.0) == pytest.approx(P0 + np.sqrt(RATING**2 - Q0**2), abs=1.3 * LOADING_TOLERANCE * RATING)


def test_reactive_power_makes_room():
    # r S = P0 + 1000 with q = Q0, which |q| <= 0.6 S allows: S = 1875, 0.6 S = 1125
    assert capacity(0.8) == pytest.approx((P0 + RATING) / 0.8, rel=2 * LOADING_TOLERANCE)


def test_loading_that_is_there_before_may_stay_and_gain_what_is_no_worse():
    # the bare feeder carries 1100 kVA by its own operation: the ceiling gives way to that and half a per cent more
    before = Operation(
        times=("00:00",),
        nodes=("b.1",),
        v_pu=np.ones((1, 1)),
        substation_phases=("s.1",),
        substation_kw=np.array([[P0]]),
        branches=("Line.l.1",),
        loading_pu=np.array([[1.1]]),
    )
    expected = P0 + np.sqrt((1.005 * 1100.0) ** 2 - Q0**2)
    assert capacity(1.0, Before((before,))) == pytest.approx(expected, abs=2 * LOADING_TOLERANCE * RATING)


def test_a_program_without_any_limit_says_so():
    with pytest.raises(SolverError, match="nothing limits"):
        capacity(1.0, loading_max_pu=None)


def test_margin_keeps_a_share_of_the_rating():
    profiles = Profiles(("00:00",), 1.0, np.ones(1), np.ones(1))
    limits = Limits(substation_min_kw=None, loading_max_pu=1.0)
    problem = HostingProblem(model(), profiles, limits, ("b.1",), margin_loading_pu=0.1)
    found = solve_hosting(problem, "none", SolveOptions(threads=1)).hc_kw
    assert found == pytest.approx(P0 + np.sqrt((0.9 * RATING) ** 2 - Q0**2), abs=2 * LOADING_TOLERANCE * RATING)
