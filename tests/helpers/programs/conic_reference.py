"""A Pyomo model and its cones solved as the cone program they are, by Clarabel: another road than cuts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from pyomo.repn import generate_standard_repn

from optim.solve.cones import RotatedCone


def clarabel_optimum(model: pyo.ConcreteModel, cones: Sequence[RotatedCone]) -> float:
    """Objective of the continuous relaxation (integrality dropped, bounds kept); inf if infeasible."""
    import clarabel

    variables = list(model.component_data_objects(pyo.Var))
    column = {id(v): i for i, v in enumerate(variables)}

    def row(expression) -> tuple[np.ndarray, float]:
        repn = generate_standard_repn(expression, compute_values=True)
        dense = np.zeros(len(variables))
        for v, c in zip(repn.linear_vars, repn.linear_coefs, strict=True):
            dense[column[id(v)]] += c
        return sp.csr_array(dense[None, :]), float(repn.constant)

    # Clarabel: min c'x with A x + s = b, s in the cone
    equal, equal_b, least, least_b, second, second_b = [], [], [], [], [], []
    for constraint in model.component_data_objects(pyo.Constraint, active=True):
        body, constant = row(constraint.body)
        if constraint.equality:
            equal.append(body)
            equal_b.append(pyo.value(constraint.lower) - constant)
            continue
        if constraint.lower is not None:
            least.append(-body)
            least_b.append(constant - pyo.value(constraint.lower))
        if constraint.upper is not None:
            least.append(body)
            least_b.append(pyo.value(constraint.upper) - constant)
    for i, v in enumerate(variables):
        unit = sp.csr_array(([1.0], ([0], [i])), shape=(1, len(variables)))
        if v.lb is not None and v.lb == v.ub:
            equal.append(unit)
            equal_b.append(v.lb)
            continue
        if v.lb is not None:
            least.append(-unit)
            least_b.append(-v.lb)
        if v.ub is not None:
            least.append(unit)
            least_b.append(v.ub)
    for cone in cones:  # |(2x, a - b)| <= a + b
        for expression in (cone.left + cone.right, *(2 * x for x in cone.squares), cone.left - cone.right):
            body, constant = row(expression)
            second.append(-body)
            second_b.append(constant)
    kinds = [clarabel.ZeroConeT(len(equal)), clarabel.NonnegativeConeT(len(least))]
    kinds += [clarabel.SecondOrderConeT(2 + len(c.squares)) for c in cones]
    matrix = sp.csc_array(sp.vstack([*equal, *least, *second]))
    rhs = np.array([*equal_b, *least_b, *second_b])
    cost, offset = row(next(model.component_data_objects(pyo.Objective)).expr)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = 1e-9
    settings.tol_feas = 1e-9
    none = sp.csc_array((len(variables), len(variables)))
    found = clarabel.DefaultSolver(none, cost.toarray()[0], matrix, rhs, kinds, settings).solve()
    if str(found.status) == "PrimalInfeasible":
        return float("inf")
    assert str(found.status) in ("Solved", "AlmostSolved"), found.status
    return float(found.obj_val) + offset
