"""Paper 1: the largest PV capacity a feeder hosts without BESS (10), with a central one (6)-(7), or with
units whose sites and status are chosen (8)-(9). On any `LinearModel`.

Power in MW inside. Limits on voltage (7a) and loading join only where a solution breaks them (limit_rows.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo

from optim.data.linear_model import Floats
from optim.data.schedule import Schedule, SolveInfo
from optim.errors import InfeasibleError
from optim.hosting import storage
from optim.hosting.limit_rows import AffineRows, expression, injections, number, oversteps
from optim.hosting.problem import HostingProblem, TrustRegion
from optim.hosting.spread import SECOND


def build(problem: HostingProblem) -> pyo.ConcreteModel:
    """The program as a table of contents; limits on voltage and loading join as they are broken."""
    fleet, steps = problem.fleet, len(problem.profiles)
    m = pyo.ConcreteModel("hosting capacity")
    m.step = pyo.Set(initialize=range(steps))

    pv_variables(m, problem)
    if fleet:
        storage.storage_variables(m, fleet, steps)

    caps_of_sites(m, problem)
    worth = what_counts(m, problem)
    cost = oversteps(m, problem)
    reactive_capability(m, problem)
    no_reverse_flow(m, problem)
    ceiling_on_losses(m, problem)
    if fleet:
        storage.charge_limit(m, fleet)
        storage.discharge_limit(m, fleet)
        storage.status_needs_unit(m, fleet)
        storage.energy_balance(m, fleet, problem.profiles.step_h)
        storage.energy_range(m, fleet, steps)
        storage.energy_returns(m, problem.profiles.day_ends)
        storage.number_of_units(m, fleet)
        if problem.cycles_per_day is not None:
            storage.cycles_limit(m, fleet, problem.cycles_per_day, problem.profiles.day_steps, problem.profiles.step_h)
        if fleet.circulation == "forbid" and problem.charging is None:
            storage.one_status_for_all(m, fleet)

    if problem.charging is not None:
        keep_statuses(m, problem.charging)
    if problem.trust:
        stay_within(m, problem, problem.trust)

    m.voltage_max = pyo.Constraint(pyo.Any)  # (7a), see limit_rows.py
    m.voltage_min = pyo.Constraint(pyo.Any)
    m.loading_max = pyo.Constraint(pyo.Any)
    m.hosting_capacity = pyo.Objective(expr=worth - cost, sense=pyo.maximize)
    return m


# -- equations --------------------------------------------------------------------------------------------


def pv_variables(m: pyo.ConcreteModel, problem: HostingProblem) -> None:
    """S_g per site and phase; q per site, phase and step."""
    m.site = pyo.Set(initialize=problem.pv_nodes)
    m.pv = pyo.Var(m.site, domain=pyo.NonNegativeReals)
    m.q = pyo.Var(m.site, m.step)


def caps_of_sites(m: pyo.ConcreteModel, problem: HostingProblem) -> None:
    """Ours: the most that may stand at a site."""
    if problem.caps:
        m.cap_of_site = pyo.Constraint(
            range(len(problem.caps)),
            rule=lambda m, k: (
                sum(m.pv[g] for g in problem.caps[k].nodes if g in m.site) <= problem.caps[k].max_kw / 1e3
            ),
        )


def what_counts(m: pyo.ConcreteModel, problem: HostingProblem) -> Any:
    """The sum of all sites, or what `spread` makes largest, in MW."""
    spread, total = problem.spread, sum(m.pv[g] for g in m.site)
    if spread is None:
        return total
    m.served = pyo.Var(domain=pyo.NonNegativeReals)

    def rule(m: pyo.ConcreteModel, b: int) -> object:
        stands, wanted = sum(m.pv[g] for g in spread.sites[b]), spread.weights[b] / 1e3 * m.served
        return stands == wanted if spread.objective == "load" else stands >= wanted

    m.spread = pyo.Constraint(range(len(spread.sites)), rule=rule)
    return total if spread.objective == "load" else sum(spread.weights) / 1e3 * m.served + SECOND * total


def reactive_share(problem: HostingProblem) -> Floats:
    """(T, G) the bound of |q| per unit of S_g: (7c), and zero at night where the inverter cannot."""
    r = problem.sun
    share = np.sqrt(1.0 - r**2)
    return share if problem.night_var else np.where(r > 0, share, 0.0)


def reactive_capability(m: pyo.ConcreteModel, problem: HostingProblem) -> None:
    """(7b), (7c)"""
    share, at = reactive_share(problem), {g: i for i, g in enumerate(problem.pv_nodes)}
    m.q_most = pyo.Constraint(m.site, m.step, rule=lambda m, g, t: m.q[g, t] <= share[t, at[g]] * m.pv[g])
    m.q_least = pyo.Constraint(m.site, m.step, rule=lambda m, g, t: m.q[g, t] >= -share[t, at[g]] * m.pv[g])


def no_reverse_flow(m: pyo.ConcreteModel, problem: HostingProblem) -> None:
    """(7e) per source phase. Raises InfeasibleError where a phase is below it and no device can act."""
    floor_kw = problem.substation_floor_kw()
    if floor_kw is None:
        return
    model = problem.model
    rows = AffineRows(m, problem, model.dsub_p_dp / 1e3, model.dsub_p_dq / 1e3)
    phases = range(len(model.substation_phases))

    given_up = []

    def rule(m: pyo.ConcreteModel, s: int, t: int) -> object:
        drawn = expression(rows.terms(t, s))
        room = (model.substation_base_kw[t, s] - floor_kw[t, s]) / 1e3
        if problem.elastic_kw_per_pu is not None:
            return drawn + m.overstep_source[t] >= -room
        if drawn.linear_vars:
            return drawn >= -room
        if room < 0:
            given_up.append(f"{model.substation_phases[s]} at {model.times[t]}")
        return pyo.Constraint.Skip

    m.no_reverse_flow = pyo.Constraint(phases, m.step, rule=rule)
    if given_up:
        raise InfeasibleError(f"No device moves the flow of {given_up[0]}, and it is below its least value.")


def ceiling_on_losses(m: pyo.ConcreteModel, problem: HostingProblem) -> None:
    """Ours: without one, capacity is gained by burning power. Where the model knows losses."""
    model, most = problem.model, problem.losses_max_kw
    base = model.losses_base_kw
    if most is None or base is None:
        return
    assert model.dlosses_dp is not None and model.dlosses_dq is not None
    rows = AffineRows(m, problem, model.dlosses_dp[:, None] / 1e3, model.dlosses_dq[:, None] / 1e3)

    def rule(m: pyo.ConcreteModel, t: int) -> object:
        lost = expression(rows.terms(t, 0))
        room = (most[t] - base[t]) / 1e3
        if problem.elastic_kw_per_pu is not None:
            return lost - m.overstep_source[t] <= room
        return lost <= room if lost.linear_vars else pyo.Constraint.Skip

    m.losses_max = pyo.Constraint(m.step, rule=rule)


def keep_statuses(m: pyo.ConcreteModel, charging: Floats) -> None:
    """Ours, closed loop: statuses stay as an earlier program decided them."""
    for u in m.unit:
        for t in m.step:
            m.charging[u, t].fix(round(float(charging[t, u])))


def stay_within(m: pyo.ConcreteModel, problem: HostingProblem, trust: TrustRegion) -> None:
    """Ours, closed loop: no further from the point of linearization than the linear model is believed."""
    share = np.ones(len(problem.profiles)) if trust.share is None else trust.share
    for k, g in enumerate(problem.pv_nodes):
        reach, center = trust.pv_radius_kw / 1e3, trust.pv_kw[k] / 1e3
        m.pv[g].setlb(max(center - reach, 0.0))
        m.pv[g].setub(center + reach)
        for t in m.step:
            m.q[g, t].setlb((trust.q_kvar[t, k] - share[t] * trust.q_radius_kvar) / 1e3)
            m.q[g, t].setub((trust.q_kvar[t, k] + share[t] * trust.q_radius_kvar) / 1e3)
    if problem.fleet is None:
        return
    still = np.zeros(len(problem.profiles))

    def rule(m: pyo.ConcreteModel, u: int, node: str, t: int) -> object:
        center, reach = trust.bess_p_kw.get(node, still)[t] / 1e3, share[t] * trust.bess_radius_kw / 1e3
        return (center - reach, m.p_discharge[u, node, t] - m.p_charge[u, node, t], center + reach)

    m.bess_within = pyo.Constraint(m.converter, m.step, rule=rule)


# -- what a solved program says ---------------------------------------------------------------------------


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
        pv_p_kw=problem.sun * pv_kw[None, :],
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
