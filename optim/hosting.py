"""Paper 1: the largest PV capacity a feeder hosts without BESS (10), with a central one (6)-(7), or with
units whose sites and status are chosen (8)-(9). On any `LinearModel`.

Power in MW inside. Voltage rows (7a) are added only where a solution breaks them: of thousands of
node-hours a few hundred ever bind. What is left out is checked after every solve, so that a bound from the
smaller program is a bound of the whole, and a solution that breaks no row solves the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyomo.environ as pyo
from pyomo.core.base.constraint import ConstraintData
from pyomo.core.base.var import VarData
from pyomo.core.expr.numeric_expr import LinearExpression

from optim import storage
from optim.errors import ModelError
from optim.limits import Limits
from optim.linear_model import Floats, LinearModel
from optim.profiles import Profiles
from optim.schedule import Schedule, SolveInfo
from optim.storage import Fleet


@dataclass(frozen=True)
class HostingProblem:
    """What the three programs share. `model.ports` must contain all PV nodes and all converters' nodes."""

    model: LinearModel
    profiles: Profiles
    limits: Limits
    pv_nodes: tuple[str, ...]
    fleet: Fleet | None = None
    night_var: bool = True
    """Reactive power also where r = 0, as (7b)-(7c) of the paper have it."""

    def __post_init__(self) -> None:
        wanted = [*self.pv_nodes, *(n for _, n in self.fleet.converters)] if self.fleet else [*self.pv_nodes]
        lost = [n for n in wanted if n not in self.model.ports]
        if lost:
            raise ModelError(f"The linear model has no port {lost[0]}.")
        if not self.pv_nodes:
            raise ModelError("No PV site is given.", "List buses under [pv].")


def build(problem: HostingProblem) -> pyo.ConcreteModel:
    """The program as a table of contents; voltage rows (7a) join as they are broken (`VoltageRows`)."""
    fleet, steps = problem.fleet, len(problem.profiles)
    m = pyo.ConcreteModel("hosting capacity")
    m.step = pyo.Set(initialize=range(steps))

    pv_variables(m, problem)
    if fleet:
        storage.storage_variables(m, fleet, steps)

    reactive_capability(m, problem)
    no_reverse_flow(m, problem)
    if fleet:
        storage.charge_limit(m, fleet)
        storage.discharge_limit(m, fleet)
        storage.status_needs_unit(m, fleet)
        storage.energy_balance(m, fleet, problem.profiles.step_h)
        storage.energy_range(m, fleet, steps)
        storage.energy_returns(m, steps)
        storage.number_of_units(m, fleet)
        if fleet.circulation == "forbid":
            storage.one_status_for_all(m, fleet)

    m.voltage_max = pyo.Constraint(pyo.Any)  # (7a), see VoltageRows
    m.voltage_min = pyo.Constraint(pyo.Any)
    m.hosting_capacity = pyo.Objective(expr=sum(m.pv[g] for g in m.site), sense=pyo.maximize)
    return m


# -- equations --------------------------------------------------------------------------------------------


def pv_variables(m: pyo.ConcreteModel, problem: HostingProblem) -> None:
    """S_g per site and phase; q per site, phase and step."""
    m.site = pyo.Set(initialize=problem.pv_nodes)
    m.pv = pyo.Var(m.site, domain=pyo.NonNegativeReals)
    m.q = pyo.Var(m.site, m.step)


def reactive_share(problem: HostingProblem) -> Floats:
    """(T,) the bound of |q| per unit of S_g: (7c), and zero at night where the inverter cannot."""
    r = problem.profiles.pv_pu
    share = np.sqrt(1.0 - r**2)
    return share if problem.night_var else np.where(r > 0, share, 0.0)


def reactive_capability(m: pyo.ConcreteModel, problem: HostingProblem) -> None:
    """(7b), (7c)"""
    share = reactive_share(problem)
    m.q_most = pyo.Constraint(m.site, m.step, rule=lambda m, g, t: m.q[g, t] <= share[t] * m.pv[g])
    m.q_least = pyo.Constraint(m.site, m.step, rule=lambda m, g, t: m.q[g, t] >= -share[t] * m.pv[g])


def no_reverse_flow(m: pyo.ConcreteModel, problem: HostingProblem) -> None:
    """(7e) per source phase"""
    floor = problem.limits.substation_min_kw
    if floor is None:
        return
    model = problem.model
    rows = AffineRows(m, problem, model.dsub_p_dp / 1e3, model.dsub_p_dq / 1e3)
    phases = range(len(model.substation_phases))

    def rule(m: pyo.ConcreteModel, s: int, t: int) -> object:
        drawn = rows.expression(t, s)
        room = (model.substation_base_kw[t, s] - floor) / 1e3
        if not drawn.args:  # no device can act at this step
            return pyo.Constraint.Feasible if room >= 0 else pyo.Constraint.Infeasible
        return drawn >= -room

    m.no_reverse_flow = pyo.Constraint(phases, m.step, rule=rule)


def least_reactive_power(m: pyo.ConcreteModel, capacity_mw: float) -> None:
    """Ours, after the program is solved: of all schedules with this capacity, one that moves least reactive
    power. The program leaves q free wherever no limit binds, and a solver's vertex sets it to extremes."""
    m.q_size = pyo.Var(m.site, m.step, domain=pyo.NonNegativeReals)
    m.q_size_up = pyo.Constraint(m.site, m.step, rule=lambda m, g, t: m.q[g, t] <= m.q_size[g, t])
    m.q_size_down = pyo.Constraint(m.site, m.step, rule=lambda m, g, t: -m.q[g, t] <= m.q_size[g, t])
    m.keep_capacity = pyo.Constraint(expr=sum(m.pv[g] for g in m.site) >= capacity_mw)
    m.hosting_capacity.deactivate()
    m.reactive_power = pyo.Objective(expr=pyo.quicksum(m.q_size.values()), sense=pyo.minimize)


class AffineRows:
    """Rows of the linear model as Pyomo expressions in the program's variables, per MW or pu.

    Injections (4), (5): p = r S_g + p^D - p^C and q at each port; sensitivities come per kW, variables in MW.
    """

    def __init__(self, m: pyo.ConcreteModel, problem: HostingProblem, d_p: Floats, d_q: Floats) -> None:
        port = {name: d for d, name in enumerate(problem.model.ports)}
        self._m, self._r, self._d_p, self._d_q = m, problem.profiles.pv_pu, d_p, d_q
        self._pv = [(g, port[g]) for g in problem.pv_nodes]
        self._bess = [(u, n, port[n]) for u, n in problem.fleet.converters] if problem.fleet else []

    def expression(self, t: int, row: int) -> LinearExpression:
        m = self._m
        by_p = self._d_p[t if self._d_p.shape[0] > 1 else 0, row] * 1e3
        by_q = self._d_q[t if self._d_q.shape[0] > 1 else 0, row] * 1e3
        terms = []
        for g, d in self._pv:
            # coefficients far below any tolerance only upset the solver's scaling
            if abs(self._r[t] * by_p[d]) > _NEGLIGIBLE:
                terms.append((self._r[t] * by_p[d], m.pv[g]))
            if abs(by_q[d]) > _NEGLIGIBLE:
                terms.append((by_q[d], m.q[g, t]))
        for u, n, d in self._bess:
            if abs(by_p[d]) > _NEGLIGIBLE:
                terms.append((by_p[d], m.p_discharge[u, n, t]))
                terms.append((-by_p[d], m.p_charge[u, n, t]))
        return LinearExpression(linear_coefs=[float(c) for c, _ in terms], linear_vars=[v for _, v in terms])


_NEGLIGIBLE = 1e-9
"""Per MW, in pu squared or MW: times 10 MW still a hundredth of the tightest tolerance."""


class VoltageRows:
    """(7a), row by row: finds the node-hours at which a solution leaves the limits and writes their rows."""

    def __init__(self, m: pyo.ConcreteModel, problem: HostingProblem) -> None:
        model, limits = problem.model, problem.limits
        self._m, self._problem = m, problem
        self._rows = AffineRows(m, problem, model.dv_dp, model.dv_dq)
        self._high = model.to_row(limits.v_max_pu) if limits.v_max_pu is not None else np.inf
        self._low = model.to_row(limits.v_min_pu) if limits.v_min_pu is not None else -np.inf
        self._written: set[tuple[str, int, int]] = set()

    def all_rows(self) -> list[ConstraintData]:
        """Every row at once: the program as the paper writes it (benchmarks, other solvers)."""
        steps, nodes = self._problem.model.v_base.shape
        return [self._write(side, t, n) for side in ("max", "min") for t in range(steps) for n in range(nodes)]

    def broken(self, tolerance_pu: float, most_per_step: int = 12) -> list[ConstraintData]:
        """New rows for the worst nodes of each step and side that the variables' present values break."""
        model = self._problem.model
        p_kw, q_kvar = injections(self._m, self._problem)
        v = model.v_base + _sum(model.dv_dp, p_kw) + _sum(model.dv_dq, q_kvar)
        tolerance = tolerance_pu * (2.0 if model.voltage_kind == "squared" else 1.0)
        found = []
        for side, excess in (("max", v - self._high), ("min", self._low - v)):
            for t in np.flatnonzero(np.any(excess > tolerance, axis=1)):
                worst = np.argsort(-excess[t])[:most_per_step]
                for n in worst[excess[t, worst] > tolerance]:
                    if (side, int(t), int(n)) not in self._written:
                        found.append(self._write(side, int(t), int(n)))
        return found

    def written(self) -> Iterator[ConstraintData]:
        """Every row so far, as it stands in the model."""
        yield from self._m.voltage_max.values()
        yield from self._m.voltage_min.values()

    def _write(self, side: str, t: int, n: int) -> ConstraintData:
        self._written.add((side, t, n))
        model = self._problem.model
        key = (model.nodes[n], model.times[t])
        moved = self._rows.expression(t, n)
        if side == "max":
            self._m.voltage_max[key] = moved <= float(self._high - model.v_base[t, n])
            return self._m.voltage_max[key]
        self._m.voltage_min[key] = moved >= float(self._low - model.v_base[t, n])
        return self._m.voltage_min[key]


def _sum(sensitivity: Floats, injection: Floats) -> Floats:
    if sensitivity.shape[0] == 1:
        return injection @ sensitivity[0].T
    return np.einsum("tnd,td->tn", sensitivity, injection)


# -- what a solved program says ---------------------------------------------------------------------------


def injections(m: pyo.ConcreteModel, problem: HostingProblem) -> tuple[Floats, Floats]:
    """Values of (4), (5) at every port: p_kw and q_kvar, both (T, D)."""
    steps, ports = len(problem.profiles), problem.model.ports
    port = {name: d for d, name in enumerate(ports)}
    p_kw, q_kvar = np.zeros((steps, len(ports))), np.zeros((steps, len(ports)))
    for g in problem.pv_nodes:
        p_kw[:, port[g]] += problem.profiles.pv_pu * number(m.pv[g]) * 1e3
        q_kvar[:, port[g]] += [number(m.q[g, t]) * 1e3 for t in range(steps)]
    for u, n in problem.fleet.converters if problem.fleet else []:
        p_kw[:, port[n]] += [
            (number(m.p_discharge[u, n, t]) - number(m.p_charge[u, n, t])) * 1e3 for t in range(steps)
        ]
    return p_kw, q_kvar


def number(variable: VarData) -> float:
    """A variable's value; one that no row mentions has none and is free to be zero."""
    return 0.0 if variable.value is None else float(variable.value)


def schedule_of(m: pyo.ConcreteModel, problem: HostingProblem, case: str, solve: SolveInfo) -> Schedule:
    """The solved model as a Schedule, only the placed units in it, with what the linear model predicts."""
    model, profiles, fleet = problem.model, problem.profiles, problem.fleet
    steps = len(profiles)
    p_kw, q_kvar = injections(m, problem)
    pv_kw = np.maximum([number(m.pv[g]) * 1e3 for g in problem.pv_nodes], 0.0) + 0.0  # + 0.0: no minus zero
    placed = storage.placed_units(m) if fleet else []
    converters = [(u, n) for u, n in fleet.converters if u in placed] if fleet else []

    def dispatch(variable: pyo.Var) -> Floats:
        rows = [[max(number(variable[u, n, t]), 0.0) * 1e3 for u, n in converters] for t in range(steps)]
        return np.array(rows).reshape(steps, len(converters))

    return Schedule(
        case=case,
        times=profiles.times,
        step_h=profiles.step_h,
        pv_nodes=problem.pv_nodes,
        pv_kw=pv_kw,
        pv_p_kw=profiles.pv_pu[:, None] * pv_kw[None, :],
        pv_q_kvar=np.array([[number(m.q[g, t]) * 1e3 for g in problem.pv_nodes] for t in range(steps)]),
        bess=tuple(fleet.units[u] for u in placed) if fleet else (),
        bess_nodes=tuple(n for _, n in converters),
        bess_of=tuple(placed.index(u) for u, _ in converters),
        p_charge_kw=dispatch(m.p_charge) if fleet else np.zeros((steps, 0)),
        p_discharge_kw=dispatch(m.p_discharge) if fleet else np.zeros((steps, 0)),
        soc_kwh=storage.soc_profile(m, placed, steps) if fleet else np.zeros((steps + 1, 0)),
        predicted_nodes=model.nodes,
        predicted_v_pu=model.voltages_pu(p_kw, q_kvar),
        substation_phases=model.substation_phases,
        predicted_substation_kw=model.substation_kw(p_kw, q_kvar),
        solve=solve,
        assumptions=(f"linearized at {model.linearized_at}", *model.assumptions),
    )
