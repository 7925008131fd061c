"""Outer approximation: cuts never remove a point of the cone, and the optimum is the cone program's."""

import numpy as np
import pyomo.environ as pyo
import pytest
from conic_reference import clarabel_optimum
from guards import NEVER_S
from hypothesis import given, settings
from hypothesis import strategies as st

from optim.errors import InfeasibleError, ModelError
from optim.solve.cones import OuterApproximation, RotatedCone, add_as_they_are
from optim.solve.highs import HighsSession
from optim.solve.options import SolveOptions

pytestmark = pytest.mark.smoke

OPTIONS = SolveOptions(gap=1e-6, time_limit_s=NEVER_S, threads=1)
number = st.floats(-20, 20, allow_nan=False)
positive = st.floats(1e-3, 50)


def disc(cost_x: float, cost_y: float, radius: float = 2.0) -> tuple[pyo.ConcreteModel, list[RotatedCone]]:
    """min c.(x, y) on the disc x^2 + y^2 <= r * r: optimum -r |c|, by Cauchy and Schwarz."""
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(bounds=(-10, 10)), pyo.Var(bounds=(-10, 10))
    m.objective = pyo.Objective(expr=cost_x * m.x + cost_y * m.y)
    return m, [RotatedCone("disc", (m.x, m.y), radius, radius)]


@given(number, number)
@settings(max_examples=30, deadline=None)
def test_disc_solved_by_hand(cost_x, cost_y):
    model, cones = disc(cost_x, cost_y)
    session = HighsSession(model, OPTIONS)
    found = OuterApproximation(session, cones, tolerance=1e-8).solve_continuous()
    expected = -2.0 * np.hypot(cost_x, cost_y)
    # 1e-4 is the smallest slope of a cut: beside a large cost, a small one may be left by 1e-4 of it
    assert found.objective == pytest.approx(expected, rel=1e-6, abs=1e-3)
    assert found.objective <= expected + 1e-7  # a relaxation is never above the optimum


@given(point=st.tuples(number, number, positive), at=st.tuples(number, number, number, positive))
@settings(max_examples=60, deadline=None)
def test_a_cut_never_removes_a_point_of_the_cone(point, at):
    m = pyo.ConcreteModel()
    m.x, m.y, m.a, m.b = pyo.Var(), pyo.Var(), pyo.Var(), pyo.Var()
    m.objective = pyo.Objective(expr=m.a + m.b)
    session = HighsSession(m, OPTIONS)
    cuts = OuterApproximation(session, [RotatedCone("c", (m.x, m.y), m.a, m.b + 0.5)], tolerance=1e-9)
    x, y, b = point
    inside = {"x": x, "y": y, "a": (x * x + y * y) / (b + 0.5), "b": b}  # on the cone's boundary
    cuts.cut_off(np.array([dict(zip("xyab", at, strict=True))[v.name] for v in session.variables]))
    values = np.array([inside[v.name] for v in session.variables])
    session.set_bounds(session.variables, values, values)
    found = session.run()  # infeasible would mean that the cut removed it
    assert found.objective == pytest.approx(inside["a"] + inside["b"], abs=1e-6)


def test_cone_without_a_row_and_with_affine_members():
    """min a with x = 3 given and x^2 <= a (1 + b), b <= 2: a = 9 / 3."""
    m = pyo.ConcreteModel()
    m.x, m.a, m.b = pyo.Var(bounds=(3, 3)), pyo.Var(bounds=(0, None)), pyo.Var(bounds=(0, 2))
    m.objective = pyo.Objective(expr=m.a)
    session = HighsSession(m, OPTIONS)
    cuts = OuterApproximation(session, [RotatedCone("c", (m.x,), m.a, 1 + m.b)], tolerance=1e-9)
    assert cuts.solve_continuous().objective == pytest.approx(3.0, abs=1e-7)
    assert cuts.report.violation <= 1e-9
    assert cuts.report.cuts > 0


def random_program(seed: int, integer: bool = False) -> tuple[pyo.ConcreteModel, list[RotatedCone]]:
    draw = np.random.default_rng(seed)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(6), bounds=(-5, 5), within=pyo.Integers if integer else pyo.Reals)
    m.a = pyo.Var(range(4), bounds=(0, None))
    m.b = pyo.Var(range(4), bounds=(0.2, 2))
    m.objective = pyo.Objective(
        expr=sum(draw.normal() * m.x[i] for i in range(6))
        + sum(draw.uniform(0.2, 2) * m.a[k] + draw.uniform(0.1, 1) * m.b[k] for k in range(4))
    )
    m.rows = pyo.ConstraintList()
    for _ in range(3):
        m.rows.add(sum(draw.normal() * m.x[i] for i in range(6)) <= draw.uniform(0.5, 3))
    cones = []
    for k in range(4):
        squares = tuple(sum(draw.normal() * m.x[i] for i in range(6)) + draw.normal() for _ in range(2))
        cones.append(RotatedCone(f"c{k}", squares, m.a[k], m.b[k]))
    return m, cones


@pytest.mark.parametrize("seed", range(8))
def test_same_optimum_as_clarabel(seed):
    pytest.importorskip("clarabel")
    model, cones = random_program(seed)
    found = OuterApproximation(HighsSession(model, OPTIONS), cones, tolerance=1e-8).solve_continuous()
    reference = clarabel_optimum(model, cones)
    assert found.objective == pytest.approx(reference, rel=1e-6, abs=1e-6)


def test_integers_fixed_and_polished():
    """With x fixed, a_k b_k >= squares is solved by hand: min w a + v b is a one-dimensional problem."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(within=pyo.Integers, bounds=(-5, 5))
    m.a, m.b = pyo.Var(bounds=(0, None)), pyo.Var(bounds=(0.1, 50))
    m.objective = pyo.Objective(expr=2 * m.a + 8 * m.b)
    cuts = OuterApproximation(HighsSession(m, OPTIONS), [RotatedCone("c", (m.x,), m.a, m.b)], tolerance=1e-9)
    found = cuts.fix_and_polish([m.x], np.array([3.0]))
    # min 2 * 9 / b + 8 b at b = 1.5: 24
    assert found is not None
    assert found.objective == pytest.approx(24.0, rel=1e-7)


def test_polish_says_none_where_integers_admit_nothing():
    m = pyo.ConcreteModel()
    m.x, m.a = pyo.Var(within=pyo.Integers, bounds=(0, 9)), pyo.Var(bounds=(0, 4))
    m.objective = pyo.Objective(expr=m.a)
    cuts = OuterApproximation(HighsSession(m, OPTIONS), [RotatedCone("c", (m.x,), m.a, 1.0)])
    assert cuts.fix_and_polish([m.x], np.array([3.0])) is None
    found = cuts.fix_and_polish([m.x], np.array([2.0]))
    assert found is not None
    assert found.objective == pytest.approx(4.0, abs=1e-6)


def test_refusals():
    m = pyo.ConcreteModel()
    m.x, m.a = pyo.Var(), pyo.Var(bounds=(0, 1))
    m.objective = pyo.Objective(expr=m.a, sense=pyo.maximize)
    with pytest.raises(ModelError, match="minimization"):
        OuterApproximation(HighsSession(m, OPTIONS), [])
    n = pyo.ConcreteModel()
    n.x, n.a = pyo.Var(bounds=(2, 3)), pyo.Var(bounds=(0, 1))
    n.objective = pyo.Objective(expr=n.a)
    session = HighsSession(n, OPTIONS)
    with pytest.raises(ModelError, match="linear"):
        OuterApproximation(session, [RotatedCone("c", (n.x * n.x,), n.a, 1.0)])
    with pytest.raises(InfeasibleError):
        OuterApproximation(session, [RotatedCone("c", (n.x,), n.a, 1.0)]).solve_continuous()


def test_cones_as_they_are_mean_the_same():
    model, cones = disc(3.0, 4.0)
    add_as_they_are(model, cones)
    model.x.set_value(1.2)
    model.y.set_value(1.6)
    assert pyo.value(model.cones[1].body) - pyo.value(model.cones[1].upper) == pytest.approx(0.0, abs=1e-12)
