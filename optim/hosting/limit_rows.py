"""Limits as rows, written only where a solution breaks them.

Of thousands of node-hours a few hundred ever bind. What is left out is checked after every solve, so that a
bound from the smaller program is a bound of the whole, and a solution that breaks no row solves the whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyomo.environ as pyo
from pyomo.core.base.constraint import ConstraintData
from pyomo.core.base.var import VarData
from pyomo.core.expr.numeric_expr import LinearExpression

from optim.data.linear_model import Floats
from optim.errors import InfeasibleError
from optim.hosting.problem import HostingProblem

NEGLIGIBLE = 1e-9
"""Coefficients below this, per MW in pu or MW, are left out: they only upset the solver's scaling."""
V_TOLERANCE_PU = 1e-6
"""A voltage row counts as broken beyond this: a tenth of the tolerance at which a violation is one."""
LOADING_TOLERANCE = 1e-5
"""A loading row counts as broken beyond this share of the rating: the stated error of the circle |I| <= rating,
which is cut by tangents where a solution leaves it rather than by a fixed polygon."""
MOST_PER_STEP = 4
"""New rows per step and kind: the worst nodes stand for their neighbours."""


class AffineRows:
    """Rows of the linear model as Pyomo expressions in the program's variables, per MW or pu.

    Injections (4), (5): p = r S_g + p^D - p^C and q at each port; sensitivities come per kW, variables in MW.
    """

    def __init__(self, m: pyo.ConcreteModel, problem: HostingProblem, d_p: Floats, d_q: Floats) -> None:
        port = {name: d for d, name in enumerate(problem.model.ports)}
        converters = problem.fleet.converters if problem.fleet else []
        self._r, self._d_p, self._d_q = problem.sun, d_p, d_q
        self._at_pv = np.array([port[g] for g in problem.pv_nodes], dtype=int)
        self._at_bess = np.array([port[n] for _, n in converters], dtype=int)
        self._sizes = [m.pv[g] for g in problem.pv_nodes]
        self._moves = [
            [
                *(m.q[g, t] for g in problem.pv_nodes),
                *(m.p_discharge[u, n, t] for u, n in converters),
                *(m.p_charge[u, n, t] for u, n in converters),
            ]
            for t in m.step
        ]

    def terms(self, t: int, row: int, scale: float = 1.0) -> Terms:
        """Coefficients and variables of one row; coefficients far below any tolerance are left out."""
        by_p = scale * 1e3 * self._d_p[t if self._d_p.shape[0] > 1 else 0, row]
        by_q = scale * 1e3 * self._d_q[t if self._d_q.shape[0] > 1 else 0, row]
        stored = by_p[self._at_bess]
        every = np.concatenate([self._r[t] * by_p[self._at_pv], by_q[self._at_pv], stored, -stored])
        variables = self._sizes + self._moves[t]
        kept = np.flatnonzero(np.abs(every) > NEGLIGIBLE)
        return every[kept].tolist(), [variables[k] for k in kept]


Terms = tuple[list[float], list[VarData]]
"""Coefficients, and the variables that they stand before."""


def expression(*parts: Terms) -> LinearExpression:
    """The sum of all terms, as Pyomo wants it."""
    return LinearExpression(
        linear_coefs=[c for coefficients, _ in parts for c in coefficients],
        linear_vars=[v for _, variables in parts for v in variables],
    )


class LimitRows:
    """(7a) and, where they are limited, branch loadings: finds what a solution breaks and writes those rows.

    With `problem.elastic_kw_per_pu` every step has one overstep per kind that all its rows share.
    """

    def __init__(self, m: pyo.ConcreteModel, problem: HostingProblem) -> None:
        model = problem.model
        self._m, self._problem = m, problem
        self._voltage = AffineRows(m, problem, model.dv_dp, model.dv_dq)
        square = model.voltage_kind == "squared"
        high, low = problem.voltage_ceiling(), problem.voltage_floor()
        self._high, self._low = (high**2, low**2) if square else (high, low)
        self._v_tolerance = V_TOLERANCE_PU * (2.0 if square else 1.0)
        self._rating = problem.loading_ceiling_kva()
        if self._rating is not None:
            assert model.dflow_p_dp is not None and model.dflow_p_dq is not None
            assert model.dflow_q_dp is not None and model.dflow_q_dq is not None
            self._flow_p = AffineRows(m, problem, model.dflow_p_dp / 1e3, model.dflow_p_dq / 1e3)
            self._flow_q = AffineRows(m, problem, model.dflow_q_dp / 1e3, model.dflow_q_dq / 1e3)
        self._written = {side: np.zeros(model.v_base.shape, dtype=bool) for side in ("max", "min")}
        self._rows: list[ConstraintData] = []
        self.possible = 2 * model.v_base.size + (0 if self._rating is None else self._rating.size)

    def all_voltage_rows(self) -> list[ConstraintData]:
        """Every voltage row at once: the program as the paper writes it (benchmarks, other solvers)."""
        steps, nodes = self._problem.model.v_base.shape
        every = [(side, t, n) for side in ("max", "min") for t in range(steps) for n in range(nodes)]
        rows = [self._write_voltage(*row) for row in every if self._can_bind(*row)]
        return [row for row in rows if row is not None]

    def broken(self) -> list[ConstraintData]:
        """New rows for what the variables' present values break, the worst of each step and kind."""
        p_kw, q_kvar = injections(self._m, self._problem)
        return [*self._broken_voltages(p_kw, q_kvar), *self._broken_loadings(p_kw, q_kvar)]

    def written(self) -> Iterator[ConstraintData]:
        """Every row so far, as it stands in the model."""
        yield from self._rows

    def _broken_voltages(self, p_kw: Floats, q_kvar: Floats) -> Iterator[ConstraintData]:
        model = self._problem.model
        v = model.v_base + applied(model.dv_dp, p_kw) + applied(model.dv_dq, q_kvar)
        excesses = {"max": v - self._high - self._given("high", 1.0), "min": self._low - v - self._given("low", 1.0)}
        for side, excess in excesses.items():
            for t, n in _worst(np.where(self._written[side], 0.0, excess), self._v_tolerance):
                row = self._write_voltage(side, t, n)
                if row is not None:
                    yield row

    def _broken_loadings(self, p_kw: Floats, q_kvar: Floats) -> Iterator[ConstraintData]:
        model = self._problem.model
        if self._rating is None:
            return
        assert model.flow_base_kw is not None and model.flow_base_kvar is not None
        p = model.flow_base_kw + applied(model.dflow_p_dp, p_kw) + applied(model.dflow_p_dq, q_kvar)
        q = model.flow_base_kvar + applied(model.dflow_q_dp, p_kw) + applied(model.dflow_q_dq, q_kvar)
        size = np.hypot(p, q)
        for t, b in _worst(size / self._rating - 1.0 - self._given("load", 1.0), LOADING_TOLERANCE):
            yield self._write_loading(t, b, p[t, b] / size[t, b], q[t, b] / size[t, b])

    def _given(self, kind: str, scale: float) -> Floats:
        """(T, 1) present overstep of a kind; zero where limits are hard."""
        if self._problem.elastic_kw_per_pu is None:
            return np.zeros((1, 1))
        overstep = getattr(self._m, f"overstep_{kind}")
        return np.array([[number(overstep[t]) * scale] for t in self._m.step])

    def _overstep(self, kind: str, t: int, coefficient: float) -> Terms:
        if self._problem.elastic_kw_per_pu is None:
            return [], []
        return [coefficient], [getattr(self._m, f"overstep_{kind}")[t]]

    def _can_bind(self, side: str, t: int, n: int) -> bool:
        return bool(np.isfinite(self._high[t, n])) if side == "max" else bool(self._low[t, n] > 0)

    def _write_voltage(self, side: str, t: int, n: int) -> ConstraintData | None:
        """The row in the model; None where no device can act and the limit holds by itself.

        Raises InfeasibleError where no device can act and it does not.
        """
        self._written[side][t, n] = True
        model = self._problem.model
        key = (model.nodes[n], model.times[t])
        if side == "max":
            room, kind, sign, rows = self._high[t, n] - model.v_base[t, n], "high", -1.0, self._m.voltage_max
        else:
            room, kind, sign, rows = self._low[t, n] - model.v_base[t, n], "low", 1.0, self._m.voltage_min
        body = expression(self._voltage.terms(t, n), self._overstep(kind, t, sign))
        if not body.linear_vars:
            if sign * room <= self._v_tolerance:
                return None
            raise InfeasibleError(f"No device moves the voltage at {key[0]} at {key[1]}.")
        rows[key] = body <= float(room) if side == "max" else body >= float(room)
        self._rows.append(rows[key])
        return rows[key]

    def _write_loading(self, t: int, b: int, cosine: float, sine: float) -> ConstraintData:
        """The tangent of the circle |flow| = rating at the present direction: cuts off only what breaks it."""
        model = self._problem.model
        assert self._rating is not None and model.flow_base_kw is not None and model.flow_base_kvar is not None
        key = (model.branches[b], model.times[t], len(self._m.loading_max))
        base = cosine * model.flow_base_kw[t, b] + sine * model.flow_base_kvar[t, b]
        rating = self._rating[t, b] / 1e3
        body = expression(
            self._flow_p.terms(t, b, cosine), self._flow_q.terms(t, b, sine), self._overstep("load", t, -rating)
        )
        self._m.loading_max[key] = body <= float(rating - base / 1e3)
        self._rows.append(self._m.loading_max[key])
        return self._m.loading_max[key]


def oversteps(m: pyo.ConcreteModel, problem: HostingProblem) -> LinearExpression | float:
    """Ours, closed loop: one overstep per step and kind; returns what they cost, in MW."""
    if problem.elastic_kw_per_pu is None:
        return 0.0
    for kind in ("high", "low", "load", "source"):
        m.add_component(f"overstep_{kind}", pyo.Var(m.step, domain=pyo.NonNegativeReals))
    price = problem.elastic_kw_per_pu / 1e3
    per_unit = price / 2 if problem.model.voltage_kind == "squared" else price
    every = [(per_unit, m.overstep_high[t]) for t in m.step] + [(per_unit, m.overstep_low[t]) for t in m.step]
    every += [(price, m.overstep_load[t]) for t in m.step]
    every += [(problem.elastic_kw_per_kw, m.overstep_source[t]) for t in m.step]
    return LinearExpression(linear_coefs=[c for c, _ in every], linear_vars=[v for _, v in every])


def _worst(excess: Floats, tolerance: float) -> Iterator[tuple[int, int]]:
    """(step, row) of the MOST_PER_STEP largest excesses of each step."""
    for t in np.flatnonzero(np.any(excess > tolerance, axis=1)):
        rows = np.argsort(-excess[t])[:MOST_PER_STEP]
        for n in rows[excess[t, rows] > tolerance]:
            yield int(t), int(n)


def applied(sensitivity: Floats | None, injection: Floats) -> Floats:
    """(T or 1, R, D) times (T, D) -> (T, R)."""
    assert sensitivity is not None
    if sensitivity.shape[0] == 1:
        return np.asarray(injection @ sensitivity[0].T)
    found: Floats = np.einsum("trd,td->tr", sensitivity, injection)
    return found


def injections(m: pyo.ConcreteModel, problem: HostingProblem) -> tuple[Floats, Floats]:
    """Values of (4), (5) at every port: p_kw and q_kvar, both (T, D)."""
    steps, ports = len(problem.profiles), problem.model.ports
    port = {name: d for d, name in enumerate(ports)}
    p_kw, q_kvar = np.zeros((steps, len(ports))), np.zeros((steps, len(ports)))
    for i, g in enumerate(problem.pv_nodes):
        p_kw[:, port[g]] += problem.sun[:, i] * number(m.pv[g]) * 1e3
        q_kvar[:, port[g]] += [number(m.q[g, t]) * 1e3 for t in range(steps)]
    for u, n in problem.fleet.converters if problem.fleet else []:
        p_kw[:, port[n]] += [(number(m.p_discharge[u, n, t]) - number(m.p_charge[u, n, t])) * 1e3 for t in range(steps)]
    return p_kw, q_kvar


def number(variable: VarData) -> float:
    """A variable's value; one that no row mentions has none and is free to be zero."""
    return 0.0 if variable.value is None else float(variable.value)
