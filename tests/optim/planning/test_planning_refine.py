"""Hosting capacity on the AC equations: against a grid with bisection, from any start, with storage."""

import numpy as np
import pytest
from guards import NEVER_S
from planning_cases import three_buses

from optim.feeder.radial_power_flow import ac_power_flow
from optim.planning.case import ScenarioLimits
from optim.planning.exactness import largest_violation
from optim.planning.refine import refine_hosting_capacity
from optim.planning.result import PlannedUnit
from optim.planning.schemes import _solve, solve_planning
from optim.solve.options import SolveOptions

OPTIONS = SolveOptions(gap=1e-5, time_limit_s=NEVER_S, threads=1)


def most_at_3(case, at_1_mw: float) -> float:
    """By bisection: the PV that bus 3 takes beside so much at bus 1; -inf if bus 1's is too much already."""
    limit_a = case.pvhc.i_max_a or np.inf

    def inside(at_3: float) -> bool:
        p = case.base_injection_mw()
        p[:, 0] += at_1_mw
        p[:, 2] += at_3
        flow = ac_power_flow(case.feeder, case.profiles.load_pu, p)
        return flow.v_pu().max() <= case.pvhc.v_max_pu and np.sqrt(flow.l.max()) * 45.6 <= limit_a

    if not inside(0.0):
        return -np.inf
    low, high = 0.0, 10.0
    while high - low > 1e-6:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if inside(middle) else (low, middle)
    return low


@pytest.mark.parametrize("limits", [ScenarioLimits(0.9, 1.08), ScenarioLimits(0.9, 1.08, 60.0)])
def test_two_candidates_against_a_grid(limits):
    case = three_buses(pvhc=limits)
    best = max(x + most_at_3(case, x) for x in np.linspace(0.0, 4.0, 201))
    found = solve_planning(case, "A", OPTIONS).pvhc_mw
    assert best - 1e-6 <= found <= best + 0.02  # the grid's step


def test_the_same_from_any_start_and_never_less():
    case = three_buses()
    plan = (PlannedUnit("X", "3", 1000.0, 200.0),)
    ends = []
    for start in (None, (0.0, 0.0), (0.5, 0.1), (0.0, 1.0)):
        program, solved = _solve(case, ("pvhc",), plan, "test", OPTIONS, None)
        if start is not None:
            for v, mw in zip(program.model.V, start, strict=True):
                program.model.pvhc[v].set_value(mw)
        refine_hosting_capacity(program)
        ends.append(sum(v.value for v in program.model.pvhc.values()))
        assert largest_violation(program) < 1e-7
        assert ends[-1] >= -solved.objective - 1e-6
    assert max(ends) - min(ends) < 1e-5


def test_near_the_capped_program_on_the_same_case():
    """Two roads to the same figure; their difference is what constant corrections cost, 2.5 % here."""
    found = solve_planning(three_buses(), "C", OPTIONS)
    assert 0.0 <= found.pvhc_refined_mw < 0.03 * found.pvhc_mw
