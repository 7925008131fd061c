"""Variables of paper 2's program, and the program as an object. Indices and units: see `program`."""

from __future__ import annotations

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
