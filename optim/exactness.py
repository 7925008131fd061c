"""The remedy where (36) is not tight: limits on lossless quantities, corrected by an AC power flow.

The relaxation may carry more current than flows, P^2 + Q^2 < l u, and "burn" a surplus of PV that way, below
U_max and below I_max. Losses priced in the objective do not prevent it. Lossless flows H and LinDistFlow
voltages w of the same injections are beyond its reach, and

    u <= w,  with equality where nothing is lost.

So the upper limits move over to them, with a correction from the AC power flow of an earlier solution
(`RadialFlow`), marked by *:

    w <= U_max^2 + (w* - u*)                                  instead of  u <= U_max^2
    |H|^2 <= I_max^2 u_i + (|H*|^2 - |S*|^2)                  beside      l <= I_max^2

With no correction these are the exactness condition of L. Gan, N. Li, U. Topcu and S. H. Low (IEEE Trans.
Autom. Control 60(1), 2015): safe, and stricter than the limits. When the solution's own AC power flow gives
back the correction it was solved with, its AC operating point keeps every limit. Such a point is feasible and
exact; that no better one exists under another correction is not proven.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

from optim.cone import RotatedCone
from optim.planning_case import PlanningCase
from optim.planning_model import (
    PlanningProgram,
    eq_22_active_injection,
    eq_23_reactive_injection,
    sending_u,
    voltage_dependence,
)
from optim.radial_ac import RadialFlow
from optim.solver import HighsSession

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Correction:
    """What losses do to the lossless quantities of one scenario, (T, J) each."""

    voltage: Floats
    """w* - u*, squared pu."""
    flow: Floats
    """|H*|^2 - |S*|^2, squared pu."""

    @staticmethod
    def none(case: PlanningCase) -> Correction:
        zero = np.zeros((len(case.profiles), len(case.feeder)))
        return Correction(zero, zero)

    @staticmethod
    def of(flow: RadialFlow) -> Correction:
        lossless = flow.lossless_p**2 + flow.lossless_q**2
        return Correction(flow.lossless_u - flow.u, lossless - flow.p**2 - flow.q**2)

    def distance(self, other: Correction) -> float:
        """Largest difference in squared pu voltage."""
        return float(np.abs(self.voltage - other.voltage).max(initial=0.0))


def add_caps(program: PlanningProgram) -> None:
    """Lossless flows and voltages with their limits; `set_corrections` moves them."""
    m, case = program.model, program.case
    m.hp = pyo.Var(m.S, m.T, m.J, doc="H, active, MW")
    m.hq = pyo.Var(m.S, m.T, m.J, doc="H, reactive, Mvar")
    m.w = pyo.Var(m.S, m.T, m.J, doc="LinDistFlow voltage, squared pu")
    lossless_balance(program)
    lossless_voltage_drop(program)
    for s in m.S:
        limits = case.limits(s)
        for t in m.T:
            for j in m.J:
                m.u[s, t, j].setub(None)
                m.w[s, t, j].setub(limits.v_max_pu**2)
    limited = [s for s in m.S if case.limits(s).i_max_a is not None]
    m.flow_correction = pyo.Var(limited, m.T, m.J, bounds=(0.0, 0.0))
    for s in limited:
        for t in m.T:
            for j in m.J:
                program.cones.append(lossless_current_limit(program, s, t, j))


def lossless_balance(program: PlanningProgram) -> None:
    """(30), (31) without the losses."""
    m, f = program.model, program.case.feeder

    @m.Constraint(m.S, m.T, m.J)
    def lossless_active(m: Any, s: str, t: int, j: int) -> Any:
        g, _ = voltage_dependence(program.case, t, j)
        return (m.hp[s, t, j] + eq_22_active_injection(program, s, t, j) - g * m.w[s, t, j]
                == sum(m.hp[s, t, k] for k in f.children[j]))  # fmt: skip

    @m.Constraint(m.S, m.T, m.J)
    def lossless_reactive(m: Any, s: str, t: int, j: int) -> Any:
        _, b = voltage_dependence(program.case, t, j)
        return (m.hq[s, t, j] + eq_23_reactive_injection(program, t, j) - b * m.w[s, t, j]
                == sum(m.hq[s, t, k] for k in f.children[j]))  # fmt: skip


def lossless_voltage_drop(program: PlanningProgram) -> None:
    """(32) without the losses: LinDistFlow."""
    m, f = program.model, program.case.feeder

    @m.Constraint(m.S, m.T, m.J)
    def lossless_drop(m: Any, s: str, t: int, j: int) -> Any:
        drop = 2 * (float(f.r_pu[j]) * m.hp[s, t, j] + float(f.x_pu[j]) * m.hq[s, t, j])
        return m.w[s, t, j] == sending_u(program, m.w, s, t, j) - drop


def lossless_current_limit(program: PlanningProgram, s: str, t: int, j: int) -> RotatedCone:
    """|H|^2 <= I_max^2 u_i + correction."""
    m, case = program.model, program.case
    most = case.limits(s).i_max_a  # type: ignore[arg-type]
    square = (most / float(case.feeder.i_base_a[j])) ** 2  # type: ignore[operator]
    right = square * sending_u(program, m.u, s, t, j) + m.flow_correction[s, t, j]
    return RotatedCone(f"current_cap[{s},{t},{j}]", (m.hp[s, t, j], m.hq[s, t, j]), right / square, square)


def set_corrections(program: PlanningProgram, session: HighsSession, found: Mapping[str, Correction]) -> None:
    """Moves the caps in the solver to the corrections given per scenario. Cuts stay valid: they hold the
    correction as a column."""
    m, case = program.model, program.case
    for s, correction in found.items():
        cap = case.limits(s).v_max_pu ** 2 + correction.voltage  # type: ignore[arg-type]
        session.set_bounds(m.w[s, :, :], np.full(cap.size, -np.inf), cap.ravel())
        if case.limits(s).i_max_a is not None:  # type: ignore[arg-type]
            flow = correction.flow.ravel()
            session.set_bounds(m.flow_correction[s, :, :], flow, flow)


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
