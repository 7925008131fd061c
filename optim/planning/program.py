"""Paper 2's program in Pyomo: equations (1)-(36), one function each, named by their numbers.

Its words: DESS are batteries, BESS in all our own; PVHC is PV hosting capacity, and the scenario that asks for it.

MW, MWh, per unit on 1 MVA; money in 10^4 CNY per year, as in the paper's Table II. Indices: s scenario
("typical", "pvhc"), t step, j bus and the branch that feeds it, d candidate bus of storage, a area. Flows are
at the sending end; injections are positive (the sign that (18)-(22) need). The quantities (27)-(28) u = U^2
and l = I^2 are the variables from the start, so (4), (18)-(21), (25)-(26) appear in their transformed shape
(29)-(36). Here the table of contents and the objective; the others in `storage_equations.py` and
`flow_equations.py`, what the paper leaves out in `not_in_the_paper`, the remedy for the relaxation in
`exactness.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyomo.environ as pyo

from optim.planning.case import PlanningCase, ScenarioName
from optim.planning.flow_equations import (
    eq_30_active_balance,
    eq_31_reactive_balance,
    eq_32_voltage_drop,
    eq_34_voltage_limits,
    eq_35_current_limit,
    eq_36_cone,
    voltage_dependence,
)
from optim.planning.model import MONEY, PlanningProgram, variables
from optim.planning.storage_equations import (
    eq_6_energy_limit,
    eq_7_power_limit,
    eq_8_9_steps,
    eq_10_11_power_within_rating,
    eq_12_14_one_status,
    eq_15_soc_range,
    eq_16_soc_balance,
    eq_17_soc_returns,
    not_in_the_paper,
)


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
