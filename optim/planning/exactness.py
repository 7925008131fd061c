"""The remedy where (36) is not tight: limits on lossless quantities, corrected by an AC power flow.

The relaxation may carry more current than flows, P^2 + Q^2 < l u, and "burn" a surplus of PV that way, below
U_max and below I_max. Losses priced in the objective do not prevent it. Lossless flows H and LinDistFlow
voltages w of the same injections are beyond its reach, and

    u <= w,  with equality where nothing is lost.

So limits move over to them, with corrections from the AC power flow of an earlier solution (`RadialFlow`),
marked by *; i is the sending end, S the AC flow there:

    w <= U_max^2 + (w* - u*)                                                 instead of  u <= U_max^2
    |H|^2 <= I_max^2 w_i + (|H*|^2 - |S*|^2) - I_max^2 (w_i* - u_i*)         beside      l <= I_max^2

Where losses have no price (the PVHC scenario), nothing determines l at all: any current between the true one
and the limit is optimal. There the lossless quantities alone make the program, (30)-(32) and (36) are left to
the AC power flow, and the lower limit moves over too:

    w >= U_min^2 + (w* - u*)                                                 instead of  u >= U_min^2

Voltage-dependent consumption (not in the paper) is taken at u* too, or the relaxation would lower voltages to
save it.

With no correction the caps are the exactness condition of L. Gan, N. Li, U. Topcu and S. H. Low (IEEE Trans.
Autom. Control 60(1), 2015): safe, and stricter than the limits. When the solution's own AC power flow gives
back the correction it was solved with, its AC operating point fulfils every equation and limit of the paper's
program, (33) with equality. That no better point exists under another correction is not proven.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray
from pyomo.core.base.var import VarData

from optim.feeder.radial_power_flow import RadialFlow, ac_power_flow
from optim.planning.case import PlanningCase
from optim.planning.flow_equations import drawn, eq_22_active_injection, eq_23_reactive_injection, sending_u
from optim.planning.model import PlanningProgram
from optim.solve.cones import RotatedCone

Floats = NDArray[np.float64]
Bounds = tuple[Sequence[VarData], Floats, Floats]
"""Variables, lower bounds, upper bounds."""


def losses_priced(case: PlanningCase, scenario: str) -> bool:
    return scenario == "typical" and case.costs.loss_cny_per_kwh > 0


def add_caps(program: PlanningProgram) -> None:
    """Lossless flows and voltages with their limits; `correction_bounds` moves them."""
    m, case = program.model, program.case
    program.capped = True
    m.drawn_active.deactivate()
    m.drawn_reactive.deactivate()
    m.hp = pyo.Var(m.S, m.T, m.J, doc="H, active, MW")
    m.hq = pyo.Var(m.S, m.T, m.J, doc="H, reactive, Mvar")
    m.w = pyo.Var(m.S, m.T, m.J, doc="LinDistFlow voltage, squared pu")
    m.current_correction = pyo.Var(m.S, m.T, m.J, bounds=(0.0, 0.0))
    lossless_balance(program)
    lossless_voltage_drop(program)
    for s in m.S:
        if losses_priced(case, s):
            m.u[s, :, :].setub(None)
        else:
            leave_to_ac(program, s)
        if case.limits(s).i_max_a is not None:
            program.cones += [lossless_current_limit(program, s, t, j) for t in m.T for j in m.J]


def leave_to_ac(program: PlanningProgram, scenario: str) -> None:
    """Takes (30)-(36) of a scenario out of what is solved; `largest_violation` checks them all the same."""
    m = program.model
    for row in (m.eq_30, m.eq_31, m.eq_32):
        for key in row:
            if key[0] == scenario:
                row[key].deactivate()
    for variable in (m.l, m.u):
        for v in variable[scenario, :, :]:
            v.setlb(0.0)
            v.setub(None)
    program.cones = [c for c in program.cones if not c.name.startswith(f"eq_36[{scenario},")]


def lossless_balance(program: PlanningProgram) -> None:
    """(30), (31) without the losses."""
    m, f = program.model, program.case.feeder

    @m.Constraint(m.S, m.T, m.J)
    def lossless_active(m: Any, s: str, t: int, j: int) -> Any:
        return m.hp[s, t, j] + eq_22_active_injection(program, s, t, j) - drawn(program, m.drawn_p, s, t, j) == sum(
            m.hp[s, t, k] for k in f.children[j]
        )

    @m.Constraint(m.S, m.T, m.J)
    def lossless_reactive(m: Any, s: str, t: int, j: int) -> Any:
        return m.hq[s, t, j] + eq_23_reactive_injection(program, t, j) - drawn(program, m.drawn_q, s, t, j) == sum(
            m.hq[s, t, k] for k in f.children[j]
        )


def lossless_voltage_drop(program: PlanningProgram) -> None:
    """(32) without the losses: LinDistFlow."""
    m, f = program.model, program.case.feeder

    @m.Constraint(m.S, m.T, m.J)
    def lossless_drop(m: Any, s: str, t: int, j: int) -> Any:
        drop = 2 * (float(f.r_pu[j]) * m.hp[s, t, j] + float(f.x_pu[j]) * m.hq[s, t, j])
        return m.w[s, t, j] == sending_u(program, m.w, s, t, j) - drop


def lossless_current_limit(program: PlanningProgram, s: str, t: int, j: int) -> RotatedCone:
    """|H|^2 / I_max^2 <= w_i + correction, both sides over I_max^2."""
    m = program.model
    right = sending_u(program, m.w, s, t, j) + m.current_correction[s, t, j]
    return RotatedCone(
        f"current_cap[{s},{t},{j}]", (m.hp[s, t, j], m.hq[s, t, j]), right, squared_current_limit(program.case, s)[j]
    )


def squared_current_limit(case: PlanningCase, scenario: str) -> Floats:
    """(J,) I_max^2 in pu of each bus's own base; inf without a limit."""
    most = case.limits(scenario).i_max_a
    return np.full(len(case.feeder), np.inf) if most is None else (most / case.feeder.i_base_a) ** 2


def correction_bounds(program: PlanningProgram, found: Mapping[str, RadialFlow]) -> list[Bounds]:
    """Variables with the bounds that put the corrections of the flows (by scenario) into the limits.

    Cuts made before stay valid: they hold the correction as a column.
    """
    m, case = program.model, program.case
    bounds: list[Bounds] = []
    for s, flow in found.items():
        at = list(case.feeder.voltage_dependent)
        for variable, value in ((m.drawn_p, flow.drawn_p[:, at]), (m.drawn_q, flow.drawn_q[:, at])):
            bounds.append((list(variable[s, :, :]), value.ravel(), value.ravel()))
        limits, lost = case.limits(s), flow.lossless_u - flow.u
        floor = np.full(lost.size, -np.inf) if losses_priced(case, s) else (limits.v_min_pu**2 + lost).ravel()
        bounds.append((list(m.w[s, :, :]), floor, (limits.v_max_pu**2 + lost).ravel()))
        if limits.i_max_a is not None:
            more = flow.lossless_p**2 + flow.lossless_q**2 - flow.p**2 - flow.q**2
            correction = more / squared_current_limit(case, s) - case.feeder.sending_loss(lost)
            bounds.append((list(m.current_correction[s, :, :]), correction.ravel(), correction.ravel()))
    return bounds


def correction_change(found: Mapping[str, RadialFlow], before: Mapping[str, RadialFlow]) -> float:
    """How far two operating points are apart in what they correct: squared pu voltage."""
    return max(
        float(np.abs((a.lossless_u - a.u) - (before[s].lossless_u - before[s].u)).max()) for s, a in found.items()
    )


# -- the operating point ----------------------------------------------------------------------------------


def injections_mw(program: PlanningProgram, scenario: str) -> Floats:
    """(T, J) injections at the model's present values: existing PV and EV, storage, hosting capacity."""
    m, case = program.model, program.case
    p = program.base_injection_mw.copy()
    for d in m.D:
        j = case.feeder.index_of(d)
        p[:, j] += [pyo.value(m.discharge[scenario, t, d]) - pyo.value(m.charge[scenario, t, d]) for t in m.T]
    if scenario == "pvhc":
        for v in m.V:
            p[:, case.feeder.index_of(v)] += pyo.value(m.pvhc[v])
    return p


def ac_flows(program: PlanningProgram) -> dict[str, RadialFlow]:
    """AC power flow of the present injections, by scenario. Raises ModelError where it does not settle."""
    case = program.case
    return {s: ac_power_flow(case.feeder, case.profiles.load_pu, injections_mw(program, s)) for s in program.scenarios}


def base_flows(program: PlanningProgram) -> dict[str, RadialFlow]:
    """The feeder without storage and without more PV: the corrections to begin with."""
    case = program.case
    flow = ac_power_flow(case.feeder, case.profiles.load_pu, program.base_injection_mw)
    return dict.fromkeys(program.scenarios, flow)


def put_on_ac(program: PlanningProgram, flows: Mapping[str, RadialFlow]) -> None:
    """Writes the AC operating point into the flow variables; decisions and dispatch stay."""
    m = program.model
    for s, flow in flows.items():
        pairs = [(m.p, flow.p), (m.q, flow.q), (m.l, flow.l), (m.u, flow.u)]
        at = list(program.case.feeder.voltage_dependent)
        pairs += [(m.drawn_p, flow.drawn_p[:, at]), (m.drawn_q, flow.drawn_q[:, at])]
        if program.capped:
            pairs += [(m.hp, flow.lossless_p), (m.hq, flow.lossless_q), (m.w, flow.lossless_u)]
        for variable, values in pairs:
            for v, value in zip(variable[s, :, :], values.ravel().tolist(), strict=True):
                v.set_value(value, skip_validation=True)


def cone_slack(program: PlanningProgram, scenario: str) -> Floats:
    """(T, J) l u - P^2 - Q^2 of (36) at the present values, squared pu on 1 MVA: 0 is exact."""
    m, feeder = program.model, program.case.feeder
    shape = (len(program.case.profiles), len(feeder))
    p, q, l_pu, u = (
        np.array([v.value for v in variable[scenario, :, :]]).reshape(shape) for variable in (m.p, m.q, m.l, m.u)
    )
    found: Floats = l_pu * feeder.sending_u(u) - p**2 - q**2
    return found


def largest_violation(program: PlanningProgram) -> float:
    """Of every row of the model, the limits (34), (35) and the cones (36), at the present values; in pu."""
    m, case = program.model, program.case
    worst = 0.0
    for row in m.component_data_objects(pyo.Constraint, active=None):
        if row.parent_component().local_name == "cones":
            continue  # (36) once more, for another solver
        body = pyo.value(row.body)
        if row.lower is not None:
            worst = max(worst, pyo.value(row.lower) - body)
        if row.upper is not None:
            worst = max(worst, body - pyo.value(row.upper))
    for s in program.scenarios:
        limits = case.limits(s)
        u = np.array([v.value for v in m.u[s, :, :]])
        l_pu = np.array([v.value for v in m.l[s, :, :]]).reshape(len(case.profiles), -1)
        current = l_pu / squared_current_limit(case, s) - 1.0
        beyond = (u - limits.v_max_pu**2, limits.v_min_pu**2 - u, current, -cone_slack(program, s))
        worst = max(worst, *(float(excess.max()) for excess in beyond))
    return worst
