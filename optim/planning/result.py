"""What a scheme of paper 2 hands back: plan, costs, operation of both scenarios, and how it was solved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optim.data.schedule import SolveInfo
from optim.errors import ModelError
from optim.feeder.radial_power_flow import RadialFlow, ac_power_flow
from optim.planning.case import Exactness, PlanningCase, ScenarioName, Scheme
from optim.planning.exactness import cone_slack, injections_mw
from optim.planning.model import Model, PlanningProgram
from optim.planning.search import Round
from optim.solve.cones import ConeReport

Floats = NDArray[np.float64]

LEAST_MWH = 1e-6


@dataclass(frozen=True)
class PlannedUnit:
    """One BESS of the plan. Areas whose unit came out at zero size have none."""

    area: str
    bus: str
    energy_kwh: float
    power_kw: float


@dataclass(frozen=True)
class ScenarioOperation:
    """One scenario of a scheme: T steps, J branches, J + 1 buses (source first), U units."""

    scenario: ScenarioName
    buses: tuple[str, ...]
    branches: tuple[str, ...]
    """(J,) OpenDSS names; branch j feeds bus j + 1."""
    v_pu: Floats
    """(T, J+1) what the program says."""
    ac_v_pu: Floats | None
    """(T, J+1) our own AC power flow of the same injections; None where it does not settle."""
    current_a: Floats
    """(T, J)"""
    p_kw: Floats
    q_kvar: Floats
    """(T, J) three-phase flow at the sending end, positive away from the source."""
    substation_kw: Floats
    """(T,) from the source into the feeder."""
    losses_kw: Floats
    """(T,)"""
    cone_slack: Floats
    """(T, J) l u - P^2 - Q^2 of (36), squared pu on 1 MVA; 0 is exact."""
    injection_kw: Floats
    """(T, J) existing PV, EV, storage and hosting capacity together, positive into the network, no loads."""
    units: tuple[str, ...]
    """(U,) buses of the units, as in the plan."""
    charge_kw: Floats
    discharge_kw: Floats
    """(T, U) both >= 0."""
    soc_kwh: Floats
    """(T+1, U) row 0 before the first step."""
    pvhc_kw: dict[str, float]
    """Hosting capacity per candidate bus, the same in every step; empty in the typical scenario."""


@dataclass(frozen=True)
class PlanningResult:
    """Money in CNY per year, as `PlanningCase.costs` has it."""

    scheme: Scheme
    exactness: Exactness
    plan: tuple[PlannedUnit, ...]
    capex_cny_per_year: float
    om_cny_per_year: float
    loss_cny_per_year: float
    pvhc_mw: float
    pvhc_revenue_cny: float
    """Revenue of the hosting capacity, positive; part of the objective in scheme C only."""
    objective_cny: float
    """A: losses. B: storage and losses. C: storage and losses less revenue."""
    typical: ScenarioOperation
    pvhc: ScenarioOperation
    solve: SolveInfo
    """Of the program that decided the plan, in 10^4 CNY per year. Its objective has the hosting capacity of
    that program; `objective_cny` has the refined one, which is no less."""
    pvhc_solve: SolveInfo
    """Of the hosting capacity with the plan fixed, in MW. The bound is NaN where only a local optimum is known."""
    cones: ConeReport
    rounds: tuple[Round, ...]
    slack_relaxed: float
    """Largest cone slack of the solver's own point in the scenario that prices losses."""
    violation: float
    """Largest violation of any equation or limit of the program at the operating points, pu."""
    pvhc_refined_mw: float = 0.0
    """What climbing on the AC equations added to the program's hosting capacity."""
    notes: tuple[str, ...] = ()

    @property
    def cone_slack_max(self) -> float:
        """Largest |l u - P^2 - Q^2| over both scenarios, squared pu on 1 MVA."""
        return float(max(np.abs(o.cone_slack).max() for o in (self.typical, self.pvhc)))

    @property
    def v_min_pu(self) -> float:
        """Of the typical scenario."""
        return float(self.typical.v_pu.min())

    @property
    def v_max_pu(self) -> float:
        return float(self.typical.v_pu.max())


def plan_of(program: PlanningProgram) -> tuple[PlannedUnit, ...]:
    """The units at the model's present values."""
    m, case = program.model, program.case
    step_kwh, step_kw = case.storage.energy_step_kwh, case.storage.power_step_kw
    found = []
    for a in m.A:
        bus = max(case.areas[a], key=lambda d: m.energy[d].value)
        if m.energy[bus].value > LEAST_MWH:
            energy = step_kwh * round(m.energy[bus].value * 1e3 / step_kwh)
            found.append(PlannedUnit(a, bus, energy, step_kw * round(m.power[bus].value * 1e3 / step_kw)))
    return tuple(found)


def program_operation(program: PlanningProgram, scenario: ScenarioName) -> ScenarioOperation:
    """The scenario at the model's present values, beside the AC power flow of its injections."""
    m, case = program.model, program.case
    shape = (len(case.profiles), len(case.feeder))
    p, q, l_pu, u = (
        np.array([v.value for v in variable[scenario, :, :]]).reshape(shape) for variable in (m.p, m.q, m.l, m.u)
    )
    units = tuple(unit.bus for unit in plan_of(program))
    injection = injections_mw(program, scenario)

    def dispatch(variable: Model) -> Floats:
        return np.array([[1e3 * max(variable[scenario, t, d].value, 0.0) for d in units] for t in m.T]).reshape(
            shape[0], len(units)
        )

    soc = [[1e3 * m.soc[scenario, t, d].value for d in units] for t in range(shape[0] + 1)]
    flow = RadialFlow(u, l_pu, p, q, p, q, u, 0 * u, 0 * u)
    return _operation(
        case,
        scenario,
        flow,
        injection,
        cone_slack(program, scenario),
        _Storage(units, dispatch(m.charge), dispatch(m.discharge), np.array(soc).reshape(shape[0] + 1, len(units))),
        {v: 1e3 * m.pvhc[v].value for v in m.V} if scenario == "pvhc" else {},
    )


def bare_operation(case: PlanningCase) -> ScenarioOperation:
    """The typical scenario without storage: an AC power flow, nothing to decide (scheme A)."""
    injection = case.base_injection_mw()
    flow = ac_power_flow(case.feeder, case.profiles.load_pu, injection)
    none, steps = np.zeros((len(case.profiles), 0)), len(case.profiles)
    storage = _Storage((), none, none, np.zeros((steps + 1, 0)))
    return _operation(case, "typical", flow, injection, np.zeros_like(flow.u), storage, {})


class _Storage(NamedTuple):
    """Fields of `ScenarioOperation`. D units, T steps."""

    units: tuple[str, ...]
    charge_kw: Floats
    discharge_kw: Floats
    soc_kwh: Floats


def _operation(
    case: PlanningCase,
    scenario: ScenarioName,
    flow: RadialFlow,
    injection_mw: Floats,
    slack: Floats,
    storage: _Storage,
    pvhc_kw: dict[str, float],
) -> ScenarioOperation:
    feeder = case.feeder

    def with_source(u: Floats) -> Floats:
        found: Floats = np.sqrt(np.column_stack([np.full(len(u), feeder.source_u_pu), np.maximum(u, 0.0)]))
        return found

    try:
        ac = with_source(ac_power_flow(feeder, case.profiles.load_pu, injection_mw).u)
    except ModelError:  # as written, the program may ask for what no feeder carries
        ac = None
    return ScenarioOperation(
        scenario=scenario,
        buses=(feeder.source_bus, *feeder.buses),
        branches=feeder.branches,
        v_pu=with_source(flow.u),
        ac_v_pu=ac,
        current_a=np.sqrt(np.maximum(flow.l, 0.0)) * feeder.i_base_a,
        p_kw=1e3 * flow.p,
        q_kvar=1e3 * flow.q,
        substation_kw=1e3 * flow.p[:, feeder.parent < 0].sum(axis=1),
        losses_kw=1e3 * (flow.l * feeder.r_pu).sum(axis=1),
        cone_slack=slack,
        injection_kw=1e3 * injection_mw,
        **storage._asdict(),
        pvhc_kw=pvhc_kw,
    )
