"""Paper 2, equations (18)-(36): power flow in its transformed shape, limits, cones."""

from __future__ import annotations

from typing import Any

from optim.planning.model import Model, PlanningProgram
from optim.solve.cones import RotatedCone


def eq_22_active_injection(program: PlanningProgram, s: str, t: int, j: int) -> Any:
    """(22) PV - charging + discharging - EV + PVHC - constant part of the load."""
    m, case = program.model, program.case
    bus, load = case.feeder.buses[j], float(case.profiles.load_pu[t])
    injection: Any = float(program.base_injection_mw[t, j]) - load * float(case.feeder.load_p_mw[j])
    if bus in m.D:
        injection += m.discharge[s, t, bus] - m.charge[s, t, bus]
    if s == "pvhc" and bus in m.V:
        injection += m.pvhc[bus]
    return injection


def eq_23_reactive_injection(program: PlanningProgram, t: int, j: int) -> float:
    """(23) PV runs at unity power factor: minus the constant part of the load."""
    case = program.case
    return -float(case.profiles.load_pu[t]) * float(case.feeder.load_q_mvar[j])


def drawn(program: PlanningProgram, variable: Any, s: str, t: int, j: int) -> Any:
    """Voltage-dependent consumption at a bus; 0 where there is none."""
    return variable[s, t, j] if j in program.model.K else 0.0


def voltage_dependence(program: PlanningProgram) -> None:
    """Not in the paper: voltage-dependent loads, capacitors and line charging in proportion to u."""
    m, feeder, load = program.model, program.case.feeder, program.case.profiles.load_pu

    @m.Constraint(m.S, m.T, m.K)
    def drawn_active(m: Model, s: str, t: int, j: int) -> Any:
        return m.drawn_p[s, t, j] == float(load[t] * feeder.load_g_pu[j]) * m.u[s, t, j]

    @m.Constraint(m.S, m.T, m.K)
    def drawn_reactive(m: Model, s: str, t: int, j: int) -> Any:
        return m.drawn_q[s, t, j] == float(load[t] * feeder.load_b_pu[j] - feeder.shunt_b_pu[j]) * m.u[s, t, j]


def sending_u(program: PlanningProgram, u: Any, s: str, t: int, j: int) -> Any:
    """Squared voltage behind the ratio at the sending end of branch j."""
    f = program.case.feeder
    square, parent = float(f.ratio[j]) ** 2, int(f.parent[j])
    return square * (u[s, t, parent] if parent >= 0 else f.source_u_pu)


def eq_30_active_balance(program: PlanningProgram) -> None:
    """(18), (30) what arrives at bus j, less its losses, plus its injection, leaves into its branches."""
    m, f = program.model, program.case.feeder

    @m.Constraint(m.S, m.T, m.J)
    def eq_30(m: Model, s: str, t: int, j: int) -> Any:
        return m.p[s, t, j] - float(f.r_pu[j]) * m.l[s, t, j] + eq_22_active_injection(program, s, t, j) - drawn(
            program, m.drawn_p, s, t, j
        ) == sum(m.p[s, t, k] for k in f.children[j])


def eq_31_reactive_balance(program: PlanningProgram) -> None:
    """(19), (31) the same for reactive power."""
    m, f = program.model, program.case.feeder

    @m.Constraint(m.S, m.T, m.J)
    def eq_31(m: Model, s: str, t: int, j: int) -> Any:
        return m.q[s, t, j] - float(f.x_pu[j]) * m.l[s, t, j] + eq_23_reactive_injection(program, t, j) - drawn(
            program, m.drawn_q, s, t, j
        ) == sum(m.q[s, t, k] for k in f.children[j])


def eq_32_voltage_drop(program: PlanningProgram) -> None:
    """(20), (32) u_j = u_i - 2 (r P + x Q) + |z|^2 l."""
    m, f = program.model, program.case.feeder

    @m.Constraint(m.S, m.T, m.J)
    def eq_32(m: Model, s: str, t: int, j: int) -> Any:
        r, x = float(f.r_pu[j]), float(f.x_pu[j])
        return (
            m.u[s, t, j]
            == sending_u(program, m.u, s, t, j)
            - 2 * (r * m.p[s, t, j] + x * m.q[s, t, j])
            + (r**2 + x**2) * m.l[s, t, j]
        )


def eq_34_voltage_limits(program: PlanningProgram) -> None:
    """(25), (34) per scenario, as bounds."""
    m = program.model
    for s in m.S:
        limits = program.case.limits(s)
        for t in m.T:
            for j in m.J:
                m.u[s, t, j].setlb(limits.v_min_pu**2)
                m.u[s, t, j].setub(limits.v_max_pu**2)


def eq_35_current_limit(program: PlanningProgram) -> None:
    """(26), (35) per scenario, as bounds."""
    m, f = program.model, program.case.feeder
    for s in m.S:
        most = program.case.limits(s).i_max_a
        if most is not None:
            for t in m.T:
                for j in m.J:
                    m.l[s, t, j].setub((most / float(f.i_base_a[j])) ** 2)


def eq_36_cone(program: PlanningProgram) -> None:
    """(21), (33) relaxed to (36): P^2 + Q^2 <= l u, the sending end's u."""
    m = program.model
    for s in m.S:
        for t in m.T:
            for j in m.J:
                program.cones.append(
                    RotatedCone(
                        f"eq_36[{s},{t},{j}]",
                        (m.p[s, t, j], m.q[s, t, j]),
                        m.l[s, t, j],
                        sending_u(program, m.u, s, t, j),
                    )
                )
