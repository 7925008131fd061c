"""Paper 2's program in Pyomo: equations (1)-(36), one function each, named by their numbers.

MW, MWh, per unit on 1 MVA; money in 10^4 CNY per year, as in the paper's Table II. Indices: s scenario
("typical", "pvhc"), t step, j bus and the branch that feeds it, d candidate bus of storage, a area. Flows are
at the sending end; injections are positive (the sign that (18)-(22) need). The quantities (27)-(28) u = U^2
and l = I^2 are the variables from the start, so (4), (18)-(21), (25)-(26) appear in their transformed shape
(29)-(36). What the paper leaves out stands in `not_in_the_paper`; the remedy for the relaxation in
`exactness.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

from optim.planning.case import PlanningCase, ScenarioName
from optim.solve.cones import RotatedCone

MONEY = 1e4
"""CNY per unit of the objective."""
Floats = NDArray[np.float64]
Model = Any
"""pyo.ConcreteModel, whose components have no static types."""


@dataclass
class PlanningProgram:
    """The Pyomo model and what does not fit into it: the cones."""

    case: PlanningCase
    scenarios: tuple[ScenarioName, ...]
    model: Model
    cones: list[RotatedCone] = field(default_factory=list)
    capped: bool = False
    """Whether `exactness.add_caps` has been applied."""

    @cached_property
    def base_injection_mw(self) -> Floats:
        """(T, J) existing PV and charging stations."""
        return self.case.base_injection_mw()


def build(case: PlanningCase, scenarios: Sequence[ScenarioName], *, storage: bool = True) -> PlanningProgram:
    """The program over the scenarios given, as written: without the remedy of `exactness.py`."""
    program = PlanningProgram(case, tuple(scenarios), pyo.ConcreteModel(name="planning"))
    variables(program, storage)
    eq_6_energy_limit(program)
    eq_7_power_limit(program)
    eq_8_9_steps(program)
    not_in_the_paper(program)
    eq_10_11_power_within_rating(program)
    eq_12_14_one_status(program)
    eq_15_soc_range(program)
    eq_16_soc_balance(program)
    eq_17_soc_returns(program)
    eq_30_active_balance(program)
    eq_31_reactive_balance(program)
    eq_32_voltage_drop(program)
    eq_34_voltage_limits(program)
    eq_35_current_limit(program)
    eq_36_cone(program)
    voltage_dependence(program)
    eq_1_objective(program)
    return program


# -- variables --------------------------------------------------------------------------------------------


def variables(program: PlanningProgram, storage: bool) -> None:
    m, case = program.model, program.case
    m.S = pyo.Set(initialize=program.scenarios)
    m.T = pyo.RangeSet(0, len(case.profiles) - 1)
    m.J = pyo.RangeSet(0, len(case.feeder) - 1)
    m.A = pyo.Set(initialize=tuple(case.areas) if storage else (), dimen=1)
    m.D = pyo.Set(initialize=case.candidates if storage else (), dimen=1)
    m.V = pyo.Set(initialize=case.pvhc_buses if "pvhc" in program.scenarios else (), dimen=1)
    m.energy = pyo.Var(m.D, within=pyo.NonNegativeReals, doc="S_i, MWh")
    m.power = pyo.Var(m.D, within=pyo.NonNegativeReals, doc="P_i, MW")
    m.site = pyo.Var(m.D, within=pyo.Binary, doc="1 where the area's unit stands")
    m.energy_steps = pyo.Var(m.A, within=pyo.NonNegativeIntegers, doc="m_S")
    m.power_steps = pyo.Var(m.A, within=pyo.NonNegativeIntegers, doc="m_P")
    m.charge = pyo.Var(m.S, m.T, m.D, within=pyo.NonNegativeReals, doc="p_ch, MW")
    m.discharge = pyo.Var(m.S, m.T, m.D, within=pyo.NonNegativeReals, doc="p_dis, MW")
    m.charging = pyo.Var(m.S, m.T, m.A, within=pyo.Binary, doc="delta_ch; delta_dis is 1 - delta_ch")
    m.soc = pyo.Var(m.S, pyo.RangeSet(0, len(case.profiles)), m.D, within=pyo.NonNegativeReals, doc="E, MWh")
    m.pvhc = pyo.Var(m.V, within=pyo.NonNegativeReals, doc="(24) P_i^PVHC, MW, the same in every step")
    m.p = pyo.Var(m.S, m.T, m.J, doc="P_ij, sending end, MW")
    m.q = pyo.Var(m.S, m.T, m.J, doc="Q_ij, sending end, Mvar")
    m.l = pyo.Var(m.S, m.T, m.J, within=pyo.NonNegativeReals, doc="(28) I_ij squared, pu")
    m.u = pyo.Var(m.S, m.T, m.J, within=pyo.NonNegativeReals, doc="(27) U_j squared, pu")
    m.K = pyo.Set(initialize=case.feeder.voltage_dependent, dimen=1)
    m.drawn_p = pyo.Var(m.S, m.T, m.K, doc="voltage-dependent consumption, MW")
    m.drawn_q = pyo.Var(m.S, m.T, m.K, doc="the same in Mvar; capacitors negative")


# -- objective --------------------------------------------------------------------------------------------


def eq_1_objective(program: PlanningProgram) -> None:
    """(1) f = f_IDESS + f_ODESS + f_loss + f_PVHC.

    With the PVHC scenario alone nothing costs anything: the hosting capacity itself is maximized then, in MW.
    """
    m = program.model
    m.f_idess = pyo.Expression(expr=eq_2_installation(program))
    m.f_odess = pyo.Expression(expr=eq_3_operation(program))
    m.f_loss = pyo.Expression(expr=eq_29_losses(program))
    m.f_pvhc = pyo.Expression(expr=eq_5_revenue(program))
    total = m.f_idess + m.f_odess + m.f_loss + m.f_pvhc
    capacity_only = program.scenarios == ("pvhc",)
    m.objective = pyo.Objective(expr=-sum(m.pvhc[v] for v in m.V) if capacity_only else total)


def eq_2_installation(program: PlanningProgram) -> Any:
    """(2) capital recovery factor times investment."""
    m, c = program.model, program.case.costs
    per_mwh, per_mw = (c.capital_recovery_factor * k * 1e3 / MONEY for k in (c.energy_cny_per_kwh, c.power_cny_per_kw))
    return sum(per_mwh * m.energy[d] + per_mw * m.power[d] for d in m.D)


def eq_3_operation(program: PlanningProgram) -> Any:
    """(3) per energy charged and discharged, typical scenario only, the day repeated over the year."""
    m, case = program.model, program.case
    if "typical" not in program.scenarios:
        return 0.0
    rate = case.costs.om_cny_per_kwh * 1e3 * case.profiles.step_h * case.costs.days_per_year / MONEY
    return sum(rate * (m.charge["typical", t, d] + m.discharge["typical", t, d]) for t in m.T for d in m.D)


def loss_rate(case: PlanningCase) -> float:
    """10^4 CNY per year and MW lost in one step of the typical day."""
    return case.costs.loss_cny_per_kwh * 1e3 * case.profiles.step_h * case.costs.days_per_year / MONEY


def eq_29_losses(program: PlanningProgram) -> Any:
    """(4), (29) with the C_loss that (29) lost; typical scenario only."""
    m, case = program.model, program.case
    if "typical" not in program.scenarios:
        return 0.0
    r, rate = case.feeder.r_pu, loss_rate(case)
    return sum(rate * float(r[j]) * m.l["typical", t, j] for t in m.T for j in m.J)


def eq_5_revenue(program: PlanningProgram) -> Any:
    """(5) revenue of the hosting capacity, negative."""
    m = program.model
    return sum(-program.case.costs.pvhc_revenue_cny_per_mw / MONEY * m.pvhc[v] for v in m.V)


# -- sizes ------------------------------------------------------------------------------------------------


def eq_6_energy_limit(program: PlanningProgram) -> None:
    """(6) 0 <= S_i <= S_max, and nothing where no unit stands."""
    m, most = program.model, program.case.storage.energy_max_kwh / 1e3

    @m.Constraint(m.D)
    def eq_6(m: Model, d: str) -> Any:
        return m.energy[d] <= most * m.site[d]


def eq_7_power_limit(program: PlanningProgram) -> None:
    """(7) 0 <= P_i <= S_i in numbers."""
    m = program.model

    @m.Constraint(m.D)
    def eq_7(m: Model, d: str) -> Any:
        return m.power[d] <= m.energy[d]


def eq_8_9_steps(program: PlanningProgram) -> None:
    """(8), (9) sizes in whole steps: written for an area's sum, since one bus of it at most is not zero."""
    m, case = program.model, program.case
    step_s, step_p = case.storage.energy_step_kwh / 1e3, case.storage.power_step_kw / 1e3
    most = case.storage.energy_max_kwh / 1e3

    @m.Constraint(m.A)
    def eq_8(m: Model, a: str) -> Any:
        return sum(m.energy[d] for d in case.areas[a]) == step_s * m.energy_steps[a]

    @m.Constraint(m.A)
    def eq_9(m: Model, a: str) -> Any:
        return sum(m.power[d] for d in case.areas[a]) == step_p * m.power_steps[a]

    for a in m.A:
        m.energy_steps[a].setub(int(np.floor(most / step_s + 1e-9)))
        m.power_steps[a].setub(int(np.floor(most / step_p + 1e-9)))


def not_in_the_paper(program: PlanningProgram) -> None:
    """One unit per area at most; `min_units` of them, each with the least energy and one power step.

    `pvhc` has an upper bound far beyond any feeder, so that the first linear relaxation, which knows no
    losses yet, is bounded too.
    """
    m, case = program.model, program.case
    s = case.storage

    @m.Constraint(m.A)
    def one_unit(m: Model, a: str) -> Any:
        return sum(m.site[d] for d in case.areas[a]) <= 1

    if s.min_units and len(m.A):

        @m.Constraint()
        def enough_units(m: Model) -> Any:
            return sum(m.site[d] for d in m.D) >= s.min_units

        @m.Constraint(m.D)
        def least_energy(m: Model, d: str) -> Any:
            return m.energy[d] >= s.min_energy_kwh / 1e3 * m.site[d]

        @m.Constraint(m.D)
        def least_power(m: Model, d: str) -> Any:
            return m.power[d] >= s.power_step_kw / 1e3 * m.site[d]

    size_mw = float(case.feeder.load_p_mw.sum()) + sum(case.pv_kw.values()) / 1e3 + 1.0
    for v in m.V:
        m.pvhc[v].setub(100.0 * size_mw)


# -- operation of storage ---------------------------------------------------------------------------------


def eq_10_11_power_within_rating(program: PlanningProgram) -> None:
    """(10), (11) as one row p_ch + p_dis <= P: the same points under (12)-(14), a tighter relaxation."""
    m = program.model

    @m.Constraint(m.S, m.T, m.D)
    def eq_10_11(m: Model, s: str, t: int, d: str) -> Any:
        return m.charge[s, t, d] + m.discharge[s, t, d] <= m.power[d]


def eq_12_14_one_status(program: PlanningProgram) -> None:
    """(12)-(14) with delta_dis = 1 - delta_ch, one status per area: one bus of it at most has a unit.

    M is S_max in MW: by (6), (7) no unit has more.
    """
    m, case = program.model, program.case
    big_m = case.storage.energy_max_kwh / 1e3

    @m.Constraint(m.S, m.T, m.A)
    def eq_12(m: Model, s: str, t: int, a: str) -> Any:
        return sum(m.charge[s, t, d] for d in case.areas[a]) <= big_m * m.charging[s, t, a]

    @m.Constraint(m.S, m.T, m.A)
    def eq_13(m: Model, s: str, t: int, a: str) -> Any:
        return sum(m.discharge[s, t, d] for d in case.areas[a]) <= big_m * (1 - m.charging[s, t, a])


def eq_15_soc_range(program: PlanningProgram) -> None:
    """(15) S e_min <= E <= S e_max, before the first step and after every step."""
    m, low, high = program.model, program.case.storage.soc_min, program.case.storage.soc_max
    moments = range(len(program.case.profiles) + 1)

    @m.Constraint(m.S, moments, m.D)
    def eq_15_low(m: Model, s: str, t: int, d: str) -> Any:
        return m.soc[s, t, d] >= low * m.energy[d]

    @m.Constraint(m.S, moments, m.D)
    def eq_15_high(m: Model, s: str, t: int, d: str) -> Any:
        return m.soc[s, t, d] <= high * m.energy[d]


def eq_16_soc_balance(program: PlanningProgram) -> None:
    """(16) what is stored after the step."""
    m, storage, h = program.model, program.case.storage, program.case.profiles.step_h

    @m.Constraint(m.S, m.T, m.D)
    def eq_16(m: Model, s: str, t: int, d: str) -> Any:
        gained = storage.eta_charge * h * m.charge[s, t, d] - h / storage.eta_discharge * m.discharge[s, t, d]
        return m.soc[s, t + 1, d] == m.soc[s, t, d] + gained


def eq_17_soc_returns(program: PlanningProgram) -> None:
    """(17) (the text's "(25)"), telescoped through (16): the day ends with the energy it began with."""
    m, last = program.model, len(program.case.profiles)

    @m.Constraint(m.S, m.D)
    def eq_17(m: Model, s: str, d: str) -> Any:
        return m.soc[s, last, d] == m.soc[s, 0, d]


# -- power flow -------------------------------------------------------------------------------------------


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
