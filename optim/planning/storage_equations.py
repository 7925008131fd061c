"""Paper 2, equations (6)-(17): sizes and operation of the batteries."""

from __future__ import annotations

from typing import Any

import numpy as np

from optim.planning.model import Model, PlanningProgram


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
