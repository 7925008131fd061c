"""Paper 2's case: the bundled 33-bus feeder, read by OpenDSS, with the assumptions of its study."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from guards import NEVER_S

from hcsim.feeder.read import read_network
from hcsim.opendss.circuit import Circuit
from optim.data.profiles import Profiles
from optim.errors import InfeasibleError
from optim.feeder.radial import positive_sequence
from optim.feeder.radial_power_flow import ac_power_flow
from optim.planning.case import Costs, PlanningCase, ScenarioLimits
from optim.planning.program import build
from optim.planning.schemes import solve_planning
from optim.solve.conic_engines import HighsEngine
from optim.solve.options import SolveOptions

CASE = Path(__file__).parents[3] / "dss_models" / "ieee33"
OPTIONS = SolveOptions(gap=1e-4, time_limit_s=NEVER_S, threads=1)
ROUGH = replace(OPTIONS, gap=5e-3)
MONEY = 1e4


@pytest.fixture(scope="module")
def network():
    return read_network(Circuit.compile(CASE / "Master.dss"))[0]


@pytest.fixture(scope="module")
def case(network) -> PlanningCase:
    curves = pd.read_csv(CASE / "profiles.csv")
    times = tuple(f"{h:02d}:00" for h in curves["hour"])
    return PlanningCase(
        feeder=positive_sequence(network),
        profiles=Profiles(times, 1.0, curves["load_pu"].to_numpy(float), curves["pv_pu"].to_numpy(float)),
        pv_kw={"5": 500, "10": 500, "13": 500, "16": 500, "18": 1000, "22": 500, "25": 500, "33": 1400},
        ev_kw={"33": 1e3 * curves["ev_mw"].to_numpy(float)},
        areas={
            "A": ("2", "3", "4", "5", "19", "20", "21", "22", "23", "24", "25"),
            "B": tuple(str(b) for b in range(6, 19)),
            "C": tuple(str(b) for b in range(26, 34)),
        },
        pvhc_buses=("5", "10", "13", "16", "18", "22", "25", "33"),
    )


@pytest.fixture(scope="module")
def results(case):
    options = replace(OPTIONS, gap=1e-3)  # the plan is that of 1e-4, which takes half as long again
    return {scheme: solve_planning(case, scheme, options) for scheme in "ABC"}


def test_own_power_flow_against_opendss(network, case):
    feeder = case.feeder
    flow = ac_power_flow(feeder, np.ones(1), np.zeros((1, len(feeder))))
    v = np.abs(network.v_solved_v) / network.v_base_v
    for phase in (1, 2, 3):
        theirs = np.array([v[network.node_index[f"{bus}.{phase}"]] for bus in feeder.buses])
        assert np.abs(theirs - flow.v_pu()[0]).max() < 1e-6
    assert 1e3 * (feeder.r_pu * flow.l).sum() == pytest.approx(202.677, abs=0.001)  # Baran and Wu


def test_scheme_a(results):
    found = results["A"]
    assert found.v_min_pu == pytest.approx(0.9397, abs=5e-5)
    assert found.v_max_pu == pytest.approx(1.0755, abs=5e-5)
    assert found.loss_cny_per_year / MONEY == pytest.approx(23.54, abs=0.05)
    assert found.pvhc_mw == pytest.approx(9.20, abs=0.05)


def test_scheme_b(results):
    found = results["B"]
    assert found.objective_cny / MONEY == pytest.approx(28.72, abs=0.02)
    assert found.solve.gap <= 1e-3
    assert 12.1 <= found.pvhc_mw <= 12.35
    sizes = {u.bus: (u.energy_kwh, u.power_kw) for u in found.plan}
    assert sizes["18"] == (pytest.approx(1420, abs=50), pytest.approx(410, abs=30))
    assert sizes["33"] == (pytest.approx(340, abs=60), pytest.approx(100, abs=30))


def test_scheme_c(results):
    found = results["C"]
    assert found.objective_cny / MONEY == pytest.approx(25.92, abs=0.03)
    assert found.solve.gap <= 1e-3
    assert 12.1 <= found.pvhc_mw <= 12.35
    assert 0.0 <= found.pvhc_refined_mw < 0.01 * found.pvhc_mw  # two roads to the hosting capacity
    together = results["B"].objective_cny - results["B"].pvhc_revenue_cny
    assert found.objective_cny <= together * (1 + 1e-3)


def test_exact_and_inside_the_limits(case, results):
    for found in results.values():
        assert found.cone_slack_max < 1e-9
        assert found.violation < 1e-6
        for o in (found.typical, found.pvhc):
            assert np.abs(o.v_pu - o.ac_v_pu).max() < 1e-8
            assert np.minimum(o.charge_kw, o.discharge_kw).max(initial=0.0) < 1e-3
    for found in (results["B"], results["C"]):
        assert 0.95 - 1e-6 <= found.v_min_pu <= found.v_max_pu <= 1.05 + 1e-6
        assert found.pvhc.v_pu.max() <= 1.09 + 1e-6
        assert found.pvhc.current_a.max() <= 600.0 * (1 + 1e-5)


def test_hosting_capacity_follows_the_voltage_limit(case):
    """5.39, 9.20, 12.20 MW without storage at 1.08, 1.09, 1.10 pu."""
    for v_max, expected in ((1.08, 5.39), (1.10, 12.20)):
        found = solve_planning(replace(case, pvhc=ScenarioLimits(0.90, v_max)), "A", OPTIONS)
        assert found.pvhc_mw == pytest.approx(expected, abs=0.02)


def test_without_current_limit_and_with_tenfold_revenue(case, results):
    free = replace(case, pvhc=ScenarioLimits(0.90, 1.09))
    assert solve_planning(free, "C", ROUGH).pvhc_mw == pytest.approx(12.80, abs=0.05)
    few = replace(free, areas={"B": ("17", "18"), "C": ("32", "33")})  # where the units go; seconds, not minutes
    costs = Costs(pvhc_revenue_cny_per_mw=23000.0)
    eager = solve_planning(replace(few, costs=costs), "C", replace(OPTIONS, gap=2e-2))
    assert eager.pvhc_mw >= 13.4
    assert eager.capex_cny_per_year > results["B"].capex_cny_per_year


def test_the_program_as_written_fails_exactness(case):
    """148 MW and more, at voltages of no power flow: why there is a remedy."""
    found = solve_planning(replace(case, exactness="none"), "A", ROUGH)
    assert found.cone_slack_max > 1.0
    assert found.pvhc_mw > 15.0
    assert found.pvhc.ac_v_pu is None or found.pvhc.ac_v_pu.max() > 1.2


def test_relaxation_of_scheme_b_as_clarabel_has_it(case):
    pytest.importorskip("clarabel")
    from conic_reference import clarabel_optimum

    program = build(case, ("typical",))
    found = HighsEngine(program.model, program.cones, OPTIONS, None, "").relax().objective
    assert found == pytest.approx(clarabel_optimum(program.model, program.cones), rel=1e-6)


def test_scheme_a_without_a_looser_limit_names_bus_and_hour(case):
    with pytest.raises(InfeasibleError, match=r"bus 18 is at 1\.0755 pu at 12:00"):
        solve_planning(replace(case, pvhc=ScenarioLimits(0.90, 1.05)), "A", OPTIONS)


def test_time_limit_in_the_rounds_keeps_the_best_plan(case, monkeypatch):
    """The guard runs out with the first round, however fast the machine is."""
    improve = HighsEngine.improve

    def and_time_is_over(engine, *given, **options):
        found = improve(engine, *given, **options | {"gap": 0.02})  # unfinished, so that there is more to do
        engine.session.options = replace(engine.session.options, time_limit_s=0.0)
        return found

    monkeypatch.setattr(HighsEngine, "improve", and_time_is_over)
    found = solve_planning(case, "B", OPTIONS)
    assert found.solve.status == "time_limit"
    assert found.solve.bound <= found.objective_cny / MONEY
    assert found.objective_cny / MONEY < 28.8
    assert found.violation < 1e-6
