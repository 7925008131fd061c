"""The solver session: options checked, status and bound honest, rows added, conflicts named, Ctrl-C kept."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import highspy
import numpy as np
import pyomo.environ as pyo
import pytest
import scipy.sparse as sp
from guards import HANG_S, NEVER_S, unmeasured

from optim.errors import InfeasibleError, SolverError
from optim.solve.highs import HighsSession
from optim.solve.options import SolveOptions
from optim.solve.outcome import relative_gap
from optim.solve.pyomo_solvers import solve_with_pyomo

pytestmark = pytest.mark.smoke

ONE = {"threads": 1}


def knapsack(sense=pyo.maximize) -> pyo.ConcreteModel:
    """max 5x + 4y + 3z, 2x + 3y + z <= 5, 4x + y + 2z <= 11, 3x + 4y + 2z <= 8: relaxed 13 at (2, 0, 1)."""
    m = pyo.ConcreteModel()
    m.x, m.y, m.z = (pyo.Var(domain=pyo.NonNegativeReals) for _ in range(3))
    m.first = pyo.Constraint(expr=2 * m.x + 3 * m.y + m.z <= 5)
    m.second = pyo.Constraint(expr=4 * m.x + m.y + 2 * m.z <= 11)
    m.third = pyo.Constraint(expr=3 * m.x + 4 * m.y + 2 * m.z <= 8)
    sign = 1 if sense == pyo.maximize else -1
    m.value = pyo.Objective(expr=sign * (5 * m.x + 4 * m.y + 3 * m.z) + 1, sense=sense)
    return m


def hard(items=60, seed=2) -> pyo.ConcreteModel:
    """A market-split program: feasible at once thanks to slack, not to be proven in seconds."""
    rng = np.random.default_rng(seed)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(items), domain=pyo.Binary)
    m.s = pyo.Var(range(6), domain=pyo.NonNegativeReals)
    a = rng.integers(1, 100, (6, items))
    m.over, m.under = pyo.ConstraintList(), pyo.ConstraintList()
    for k in range(6):
        total = sum(int(a[k, i]) * m.x[i] for i in range(items)) - int(a[k].sum() // 2)
        m.over.add(total <= m.s[k])
        m.under.add(-total <= m.s[k])
    m.value = pyo.Objective(expr=1 + sum(m.s.values()))
    return m


# -- options ------------------------------------------------------------------------------------------------


def test_an_unknown_option_is_refused():
    with pytest.raises(SolverError, match=r"does not take option mip_gap = 0\.1"):
        HighsSession(knapsack(), SolveOptions(extra={"mip_gap": 0.1}, **ONE))


@pytest.mark.parametrize(
    ("name", "value"),
    [("presolve", "perhaps"), ("mip_max_nodes", -5), ("simplex_strategy", 99), ("random_seed", "seven")],
)
def test_a_wrong_value_is_refused(name, value):
    with pytest.raises(SolverError, match=re.escape(f"does not take option {name} = {value!r}")):
        HighsSession(knapsack(), SolveOptions(extra={name: value}, **ONE))


def test_an_option_reaches_the_solver_and_a_negative_gap_does_not():
    session = HighsSession(knapsack(), SolveOptions(extra={"random_seed": 17}, gap=0.25, **ONE))
    assert session._h.getOptionValue("random_seed")[1] == 17
    assert session._h.getOptionValue("mip_rel_gap")[1] == 0.25
    with pytest.raises(SolverError, match=r"mip_rel_gap = -0\.1"):
        HighsSession(knapsack(), SolveOptions(gap=-0.1, **ONE))


def test_the_thread_count_may_change_within_a_process():
    for threads in (1, 2, 1):
        assert HighsSession(knapsack(), SolveOptions(threads=threads)).run().status == "optimal"


# -- answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sense", [pyo.maximize, pyo.minimize])
def test_a_linear_program_by_hand(sense):
    m = knapsack(sense)
    outcome = HighsSession(m, SolveOptions(**ONE)).run()
    expected = 14.0 if sense == pyo.maximize else -12.0  # 13 and the constant 1
    assert outcome.status == "optimal" and outcome.values_valid
    assert outcome.objective == pytest.approx(expected) and outcome.bound == pytest.approx(expected)
    assert (m.x.value, m.y.value, m.z.value) == pytest.approx((2.0, 0.0, 1.0))


def test_rows_added_later_and_bounds_set_aside():
    """x + z <= 2 cuts (2, 0, 1): the optimum moves to x = 2, z = 0, y = 1/3 with 11 1/3, plus the constant."""
    m = knapsack()
    session = HighsSession(m, SolveOptions(**ONE))
    session.run()
    m.fourth = pyo.Constraint(expr=m.x + m.z <= 2)
    assert not session.has_row("fourth")
    session.add([m.fourth])
    assert session.has_row("fourth")
    assert session.run().objective == pytest.approx(1 + 10 + 4 / 3)
    assert "fourth" in session.binding_rows()
    session.set_bounds([m.x], [1.0], [1.0])
    # x = 1, z = 1: first leaves y 2/3, third y 3/4: 5 + 3 + 8/3
    assert session.run().objective == pytest.approx(1 + 8 + 8 / 3) and m.x.value == pytest.approx(1.0)
    session.restore_bounds([m.x])
    assert session.run().objective == pytest.approx(1 + 10 + 4 / 3)
    at = (np.zeros(1, dtype=int), session.columns([m.y]))
    row = sp.csr_array((np.ones(1), at), shape=(1, len(session.variables)))
    session.add_rows(row, np.array([-np.inf]), np.array([0.0]), "no y")
    assert session.run().objective == pytest.approx(1 + 10) and session.row_names[-1] == "no y"


def test_integers_come_and_go():
    """2x + 3y <= 7 over x, y in 0..3, max x + 1.4y: relaxed x = 3, y = 1/3; integer (3, 0) 3.0 or (2, 1) 3.4."""
    m = pyo.ConcreteModel()
    m.x, m.y = (pyo.Var(domain=pyo.Integers, bounds=(0, 3)) for _ in range(2))
    m.row = pyo.Constraint(expr=2 * m.x + 3 * m.y <= 7)
    m.value = pyo.Objective(expr=m.x + 1.4 * m.y, sense=pyo.maximize)
    session = HighsSession(m, SolveOptions(gap=0.0, **ONE))
    integer = session.run()
    assert integer.objective == pytest.approx(3.4) and integer.bound == pytest.approx(3.4)
    session.set_integer([m.x, m.y], False)
    assert session.run().objective == pytest.approx(3 + 1.4 / 3)
    session.set_integer([m.x, m.y], True)
    assert session.run().objective == pytest.approx(3.4)


def test_a_variable_without_a_row_joins_with_one_added_later():
    m = pyo.ConcreteModel()
    m.x, m.late = pyo.Var(bounds=(0, 1)), pyo.Var(bounds=(0, 5))
    m.row = pyo.Constraint(expr=m.x <= 0.5)
    m.value = pyo.Objective(expr=m.x, sense=pyo.maximize)
    session = HighsSession(m, SolveOptions(**ONE))
    m.tie = pyo.Constraint(expr=m.x + m.late == 2)
    session.add([m.tie])
    assert session.run().objective == pytest.approx(0.5) and m.late.value == pytest.approx(1.5)


def test_relative_gap_is_measured_on_the_claim():
    assert relative_gap(100.0, 101.0) == pytest.approx(0.01)
    assert relative_gap(-100.0, -101.0) == pytest.approx(0.01)
    assert relative_gap(np.nan, 1.0) == np.inf and relative_gap(1.0, np.inf) == np.inf


# -- no answer ----------------------------------------------------------------------------------------------


def test_a_conflict_is_named_by_its_rows():
    m = knapsack()
    m.wants = pyo.Constraint(["83.1"], ["04:00"], rule=lambda m, bus, hour: m.x >= 4)
    with pytest.raises(InfeasibleError, match="cannot hold together") as caught:
        HighsSession(m, SolveOptions(**ONE)).run()
    assert "wants['83.1','04:00']" in str(caught.value)
    assert "wants['83.1','04:00']" in caught.value.rows and len(caught.value.rows) == 2


def test_a_conflict_of_integers_alone_is_called_one():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(domain=pyo.Integers, bounds=(0, 3))
    m.row = pyo.Constraint(expr=pyo.inequality(0.25, m.x, 0.75))
    m.value = pyo.Objective(expr=m.x)
    with pytest.raises(InfeasibleError):
        HighsSession(m, SolveOptions(**ONE)).run()


def test_an_unbounded_program_is_called_one():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(domain=pyo.NonNegativeReals)
    m.row = pyo.Constraint(expr=m.x >= 1)
    m.value = pyo.Objective(expr=m.x, sense=pyo.maximize)
    with pytest.raises(SolverError, match="unbounded"):
        HighsSession(m, SolveOptions(**ONE)).run()


def test_what_the_user_says_by_the_solvers_own_name_holds_in_every_run():
    session = HighsSession(knapsack(), SolveOptions(extra={"simplex_iteration_limit": 7, "mip_max_nodes": 3}, **ONE))
    session.run()
    assert session._h.getOptionValue("simplex_iteration_limit")[1] == 7
    assert session._h.getOptionValue("mip_max_nodes")[1] == 3


@pytest.mark.parametrize(("name", "own"), [("mip_rel_gap", "gap"), ("time_limit", "time_limit_s")])
def test_what_is_set_anew_for_every_run_is_refused_beside_its_own_option(name, own):
    with pytest.raises(SolverError, match=f"{name} .*Use {own} instead"):
        HighsSession(knapsack(), SolveOptions(extra={name: 0.5}, **ONE))


# -- time and Ctrl-C ----------------------------------------------------------------------------------------


FEW_NODES = SolveOptions(gap=0.0, time_limit_s=NEVER_S, max_nodes=50, extra={"mip_max_nodes": 50})


def test_a_budget_of_nodes_keeps_the_best_and_an_honest_bound():
    m = hard()
    outcome = HighsSession(m, FEW_NODES).run()
    assert outcome.status in ("work_limit", "time_limit") and outcome.values_valid
    assert outcome.bound < outcome.objective  # minimized: the bound is below
    assert outcome.gap == pytest.approx((outcome.objective - outcome.bound) / outcome.objective)
    assert outcome.objective == pytest.approx(pyo.value(m.value))


def test_progress_is_told_with_objective_and_bound():
    heard = []
    HighsSession(hard(), FEW_NODES, heard.append, "splitting").run()
    assert heard and all(p.phase == "splitting" for p in heard)
    assert any(p.bound <= p.objective for p in heard if np.isfinite(p.objective))
    assert [p.seconds for p in heard] == sorted(p.seconds for p in heard)


def test_the_solver_writes_nothing_to_the_terminal(capfd):
    HighsSession(hard(), FEW_NODES).run()
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_keeps_the_best():
    """A real SIGINT while HiGHS is at work."""
    m = hard()
    pressed = threading.Event()

    def press(said):
        """A little after there is something to keep; the program would never end by itself."""
        if np.isfinite(said.objective) and not pressed.is_set():
            pressed.set()
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()

    session = HighsSession(m, SolveOptions(gap=0.0, time_limit_s=NEVER_S), press)
    outcome = session.run()
    assert outcome.status == "interrupted" and outcome.values_valid and session.interrupted
    assert outcome.bound < outcome.objective == pytest.approx(pyo.value(m.value))


INTERRUPTED_SEARCH = """
import os, signal, sys
sys.path[:0] = [{root!r}, {here!r}]
from small_programs import random_problem
from optim.hosting import search as hosting_search
from optim.solve.highs import HighsSession
from optim.solve.options import SolveOptions

problem = random_problem(5, candidates=3, placed=2, steps=3, circulation="allow")
runs, wait = [0], HighsSession._run_interruptibly

def pressed(session, deadline):
    runs[0] += 1
    if runs[0] == {run}:
        os.kill(os.getpid(), signal.SIGINT)  # between two runs of the solver
    return wait(session, deadline)

HighsSession._run_interruptibly = pressed
try:
    schedule = hosting_search.solve_hosting(problem, "x", SolveOptions(gap=1e-6, threads=1))
    assert schedule.solve.status == "interrupted" and hosting_search.STOPPED in schedule.solve.notes
    print("schedule", schedule.solve.bound >= schedule.hc_kw - 1e-6)
except KeyboardInterrupt:
    print("nothing to keep")
"""


@pytest.mark.parametrize(("run", "said"), [(1, "nothing to keep"), (5, "schedule True"), (9, "schedule True")])
def test_ctrl_c_between_two_runs_ends_the_search_in_order(run, said):
    """In the relaxation (three runs of it) there is nothing yet; from then on there is a schedule, its bound proven."""
    tests = Path(__file__).parents[1]
    code = INTERRUPTED_SEARCH.format(root=str(tests.parent), here=str(tests / "helpers" / "programs"), run=run)
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, timeout=HANG_S, check=False, env=unmeasured())
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == said


# -- another solver -----------------------------------------------------------------------------------------


def test_a_solver_that_is_not_there(caplog):
    with pytest.raises(SolverError, match="The solver 'nonesuch' is not available"):
        solve_with_pyomo(knapsack(), SolveOptions(solver="nonesuch"))
    assert not caplog.records  # no traceback of Pyomo's in the user's terminal


def test_another_solver_through_pyomo():
    m = knapsack()
    outcome = solve_with_pyomo(m, SolveOptions(solver="appsi_highs"))
    assert outcome.status == "optimal" and outcome.objective == pytest.approx(14.0)
    assert outcome.bound == pytest.approx(14.0) and m.x.value == pytest.approx(2.0)


def test_another_solver_says_infeasible():
    m = knapsack()
    m.wants = pyo.Constraint(expr=m.x >= 4)
    with pytest.raises(InfeasibleError):
        solve_with_pyomo(m, SolveOptions(solver="appsi_highs"))


def test_the_installed_highs_knows_what_we_rely_on():
    assert hasattr(highspy.Highs, "getIis") and hasattr(highspy.Highs, "resetGlobalScheduler")
