"""The hosting capacity of a plan on the AC equations themselves: sequential linear programming.

The caps of `exactness.py` hold the effect of losses constant; where many distributions of PV are nearly as good,
the point at which they agree need not be the best. Here the AC power flow is linearized in all device powers
and the linear program solved again, until nothing is gained. Losses are convex in the powers: a linearization
overestimates voltages and reverse currents, so its steps stay inside the limits and every iterate is feasible.
The end is a local optimum of the AC problem for the plan and statuses given; nothing global is proven.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import linprog

from optim.errors import ModelError
from optim.feeder.radial_power_flow import RadialFlow, ac_power_flow
from optim.planning.exactness import injections_mw, put_on_ac, squared_current_limit
from optim.planning.model import PlanningProgram

Floats = NDArray[np.float64]

_STEP_MW = 1e-4
_NEAR = 0.15
"""Rows farther from their limit than this share of it are left out: no step is that long twice."""
_GAIN_MW = 1e-6
_LIMIT_PU = 1e-8
_MOST_STEPS = 20
_MOST_SWEEPS = 3


@dataclass(frozen=True)
class _Point:
    """Device powers in MW: PVHC per candidate (V,), storage per unit and step (U, T) each >= 0, SoC (U, T+1)."""

    pvhc: Floats
    charge: Floats
    discharge: Floats
    soc: Floats


_Found = tuple[_Point, RadialFlow]


def refine_hosting_capacity(program: PlanningProgram) -> float:
    """Raises the hosting capacity of a solved PVHC program (plan held) as far as the AC equations let it.

    Climbs from the program's point, from each candidate bus alone, and from the best found with half of its PV
    moved to a bus that has none. Reads and writes the model's values; statuses stay as they are. Returns the
    MW gained.
    """
    present = _present(program)
    begun = float(present.pvhc.sum())
    best = _climb(program, present)
    for v in range(len(present.pvhc)):
        alone = np.zeros_like(present.pvhc)
        alone[v] = 0.1 * begun
        best = _better(program, replace(present, pvhc=alone), best)
    for _ in range(_MOST_SWEEPS):
        point = best[0]
        total = float(point.pvhc.sum())
        for v in np.flatnonzero(point.pvhc < 1e-3 * total).tolist():
            moved = 0.5 * point.pvhc
            moved[v] = 0.5 * total
            best = _better(program, replace(point, pvhc=moved), best)
        if best[0].pvhc.sum() - total < _GAIN_MW:
            break
    _write(program, best[0])
    put_on_ac(program, {"pvhc": best[1]})
    return float(best[0].pvhc.sum()) - begun


def _better(program: PlanningProgram, start: _Point, best: _Found) -> _Found:
    """What a climb from the start finds, if that is more."""
    try:
        new = _climb(program, start)
    except ModelError:  # the start has no operating point
        return best
    more = new[0].pvhc.sum() - best[0].pvhc.sum() > _GAIN_MW
    return new if more and _beyond(program, new[1]) <= _LIMIT_PU else best


def _climb(program: PlanningProgram, start: _Point) -> _Found:
    """Linear steps from a point until nothing is gained; the first step may have to come back inside."""
    here, flow = start, _flow(program, start)
    inside = _beyond(program, flow) <= _LIMIT_PU
    for _ in range(_MOST_STEPS):
        aim = _linear_step(program, here, flow)
        found = None if aim is None else _first_inside(program, here, aim)
        if found is None:
            break
        gained = float(found[0].pvhc.sum() - here.pvhc.sum())
        if inside and gained <= 0:
            break
        here, flow = found
        if inside and gained < _GAIN_MW:
            break
        inside = True
    return here, flow


def _present(program: PlanningProgram) -> _Point:
    m, steps = program.model, len(program.case.profiles)

    def table(variable: object, last: int) -> Floats:
        values = [[max(variable["pvhc", t, d].value, 0.0) for t in range(last)] for d in m.D]  # type: ignore[index]
        return np.array(values, dtype=float).reshape(len(m.D), last)

    pvhc = np.array([max(m.pvhc[v].value, 0.0) for v in m.V], dtype=float)
    return _Point(pvhc, table(m.charge, steps), table(m.discharge, steps), table(m.soc, steps + 1))


def _write(program: PlanningProgram, point: _Point) -> None:
    m = program.model
    for v, mw in zip(m.V, point.pvhc.tolist(), strict=True):
        m.pvhc[v].set_value(mw, skip_validation=True)
    for variable, table in ((m.charge, point.charge), (m.discharge, point.discharge), (m.soc, point.soc)):
        for d, row in zip(m.D, table.tolist(), strict=True):
            for t, value in enumerate(row):
                variable["pvhc", t, d].set_value(value, skip_validation=True)


def _flow(program: PlanningProgram, point: _Point) -> RadialFlow:
    _write(program, point)
    case = program.case
    return ac_power_flow(case.feeder, case.profiles.load_pu, injections_mw(program, "pvhc"))


def _first_inside(program: PlanningProgram, here: _Point, aim: _Point) -> _Found | None:
    """The linear program's point, or the first of some between here and there that keeps the limits."""
    for share in (1.0, 0.5, 0.25, 0.1):
        mixed = _Point(
            *(
                share * there + (1 - share) * now
                for now, there in zip(vars(here).values(), vars(aim).values(), strict=True)
            )
        )
        flow = _flow(program, mixed)
        if _beyond(program, flow) <= _LIMIT_PU:
            return mixed, flow
    return None


def _beyond(program: PlanningProgram, flow: RadialFlow) -> float:
    """How far the worst limit is broken, pu (currents: share of the limit, squared)."""
    limits, most = program.case.pvhc, squared_current_limit(program.case, "pvhc")
    return max(
        float((flow.u - limits.v_max_pu**2).max()),
        float((limits.v_min_pu**2 - flow.u).max()),
        float((flow.l / most - 1.0).max()),
    )


def _linear_step(program: PlanningProgram, point: _Point, flow: RadialFlow) -> _Point | None:
    """max sum PVHC under limits linearized at the point; columns PVHC, charge, discharge, SoC."""
    m, case, storage = program.model, program.case, program.case.storage
    units, steps = len(m.D), len(case.profiles)
    places = [case.feeder.index_of(b) for b in (*m.V, *m.D)]
    count = len(m.V)
    columns = count + units * (3 * steps + 1)
    charge = count + np.arange(units * steps).reshape(units, steps)
    discharge = charge + units * steps
    soc = count + 2 * units * steps + np.arange(units * (steps + 1)).reshape(units, steps + 1)
    rows, rhs = _limit_rows(program, point, flow, places, columns, charge, discharge)
    if not len(rhs):
        return None  # no limit is near: nothing to linearize
    upper = np.full(columns, np.inf)
    lower = np.zeros(columns)
    area_of = {d: a for a, buses in case.areas.items() for d in buses}
    equal, e = sp.lil_array((units * (steps + 1), columns)), 0
    h = case.profiles.step_h
    for k, d in enumerate(m.D):
        charging = np.array([m.charging["pvhc", t, area_of[d]].value > 0.5 for t in m.T])
        upper[charge[k]] = np.where(charging, m.power[d].value, 0.0)
        upper[discharge[k]] = np.where(charging, 0.0, m.power[d].value)
        lower[soc[k]], upper[soc[k]] = storage.soc_min * m.energy[d].value, storage.soc_max * m.energy[d].value
        for t in range(steps):
            equal[e, [soc[k, t + 1], soc[k, t], charge[k, t], discharge[k, t]]] = [
                1.0,
                -1.0,
                -storage.eta_charge * h,
                h / storage.eta_discharge,
            ]
            e += 1
        equal[e, [soc[k, steps], soc[k, 0]]] = [1.0, -1.0]
        e += 1
    cost = np.where(np.arange(columns) < count, -1.0, 0.0)
    found = linprog(
        cost,
        rows,
        rhs,
        equal.tocsr() if units else None,
        np.zeros(e) if units else None,
        np.column_stack([lower, upper]),
        method="highs",
    )
    if found.status != 0:
        return None
    x = np.maximum(found.x, 0.0)
    return _Point(x[:count], x[charge], x[discharge], x[soc])


def _limit_rows(
    program: PlanningProgram,
    point: _Point,
    flow: RadialFlow,
    places: list[int],
    columns: int,
    charge: NDArray[np.int64],
    discharge: NDArray[np.int64],
) -> tuple[sp.csr_array, Floats]:
    """sign * (value + slope . (power - power now)) <= sign * limit, for u and l near their limits."""
    case, count = program.case, len(point.pvhc)
    slope_u, slope_l = _slopes(program, flow, places)
    storage = point.discharge - point.charge
    limits = case.pvhc
    most = np.broadcast_to(squared_current_limit(case, "pvhc"), flow.l.shape)
    blocks, rhs = [], []
    for sign, value, slope, limit in (
        (1.0, flow.u, slope_u, np.full_like(flow.u, limits.v_max_pu**2)),
        (-1.0, flow.u, slope_u, np.full_like(flow.u, limits.v_min_pu**2)),
        (1.0, flow.l, slope_l, most),
    ):
        near = np.isfinite(limit) & (sign * (limit - value) <= _NEAR * limit)
        for t in np.flatnonzero(near.any(axis=1)):
            j = np.flatnonzero(near[t])
            g = sign * slope[t][j]
            block = np.zeros((len(j), columns))
            block[:, :count] = g[:, :count]
            block[:, charge[:, t]] = -g[:, count:]
            block[:, discharge[:, t]] = g[:, count:]
            now = np.concatenate([point.pvhc, storage[:, t]])
            blocks.append(sp.csr_array(block))
            rhs.append(sign * (limit[t, j] - value[t, j]) + g @ now)
    if not blocks:
        return sp.csr_array((0, columns)), np.zeros(0)
    return sp.csr_array(sp.vstack(blocks)), np.concatenate(rhs)


def _slopes(program: PlanningProgram, flow: RadialFlow, places: list[int]) -> tuple[Floats, Floats]:
    """du/dp, dl/dp (T, J, K) per MW at each place, by central differences; steps do not touch each other."""
    case = program.case
    p = injections_mw(program, "pvhc")
    steps, buses = p.shape
    shift = np.zeros((len(places), 1, buses))
    shift[np.arange(len(places)), 0, places] = _STEP_MW
    # all places up, all places down: one series of operating points
    tried = np.concatenate([p + shift, p - shift]).reshape(-1, buses)
    found = ac_power_flow(case.feeder, np.tile(case.profiles.load_pu, 2 * len(places)), tried)

    def slopes(values: Floats) -> Floats:
        up, down = values.reshape(2, len(places), steps, buses)
        return np.moveaxis((up - down) / (2 * _STEP_MW), 0, -1)

    return slopes(found.u), slopes(found.l)
