"""A plan under a policy for a year on end: what breaks, what is curtailed, where and when, and what held it back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hcsim.operate.operation import Make, OperatedDay, OperatedFeeder, PlanOfDay
from hcsim.operate.policy import Floats, Plan
from hcsim.operate.settings import OperateSettings
from hcsim.schedules.edit import resized
from hcsim.workbench.allocation import Workbench
from optim.data.criteria import CRITERIA, Before, thresholds
from optim.data.limits import Limits
from optim.data.node import node as cut
from optim.data.operation import Operation
from optim.data.profiles import Profiles
from optim.data.violations import new_violations, violations, worst_new

CURTAILED_KW = 0.1
"""Less than this in an hour is no curtailment: what the rule's own rest leaves."""
NEAR = {"pu": 5e-4, "kW": 5.0, "%": 0.01, "steps": 0.5, "open": 0.5}
"""By unit, the distance from a limit that counts as one, so that limits of different kinds can be told apart."""


@dataclass(frozen=True)
class YearRun:
    """A capacity operated for a year. T steps, G site nodes, U batteries."""

    hc_kw: float
    nodes: tuple[str, ...]
    pv_kw: Floats
    """(G,)"""
    step_h: float
    available_kw: Floats
    """(T,) what the sun gives at all sites."""
    delivered_kw: Floats
    """(T,)"""
    curtailed_kwh: Floats
    """(G,)"""
    hours: Floats
    """(G,) in which a site is curtailed."""
    hours_curtailed: float
    """In which any is."""
    new_violations: int
    worst: dict[str, Any]
    """The worst new violation: criterion, element, phase, time, beyond, unit; empty where the year passes."""
    limit: dict[str, Any]
    """What held it back: where the most energy was curtailed, or, where none was, what stands closest to its limit."""
    tap_operations: int
    hunting_steps: int
    full_cycles: Floats
    """(U,) energy discharged over the unit's own."""
    power_flows: int
    broken: Floats
    """(T,) how far the worst new violation of a step is beyond what is allowed, in distances of NEAR; 0 where none is,
    infinite where the step has no answer."""

    @property
    def passed(self) -> bool:
        return self.new_violations == 0

    @property
    def curtailed_share(self) -> float:
        """Of the year's energy that the sun gives."""
        return float(self.curtailed_kwh.sum() / max(float(self.available_kw.sum()) * self.step_h, 1e-9))

    def let_through_kw(self) -> Floats:
        """(T,) what went through where something was curtailed; infinite elsewhere."""
        held = self.available_kw - self.delivered_kw > CURTAILED_KW
        return np.where(held, self.delivered_kw, np.inf)


@dataclass(frozen=True)
class YearOfDays:
    """The bare feeder's year, and the plan whose PV is operated in it."""

    bench: Workbench
    plans: PlanOfDay
    profiles: Profiles
    before: Before
    settings: OperateSettings

    def run(self, hc_kw: float, make: Make, name: str) -> YearRun:
        """PV in the plan's shares at `hc_kw`, its batteries' day repeated. Raises PolicyError, ConfigError."""
        sized = tuple(replace(plan, schedule=resized(plan.schedule, hc_kw)) for plan in self.plans.plans)
        with OperatedFeeder(self.bench, sized[0], self.settings) as feeder:
            plans = PlanOfDay(sized, self.plans.choice)
            found = feeder.run_on(self.profiles, plans, make, name, seed=self.settings.seed)
        return self._judged(sized[0], found)

    def _judged(self, plan: Plan, found: OperatedDay) -> YearRun:
        s, limits, step_h = plan.schedule, self.bench.limits, self.profiles.step_h
        # what a step without an answer would have delivered nobody knows: it counts as a violation, not as curtailed
        lost = np.nan_to_num(np.maximum(found.available_kw - found.pv_p_kw, 0.0))
        lost[lost < CURTAILED_KW / max(len(s.pv_nodes), 1)] = 0.0
        count, worst, limit = 0, dict[str, Any](), dict[str, Any]()
        broken = np.zeros(len(self.profiles))
        if found.operation is None:
            step, why = min(found.failures.items())
            count = len(found.failures)
            broken[list(found.failures)] = np.inf
            worst = {"criterion": "convergence", "element": "", "phase": "", "time": self.profiles.times[step]}
            worst |= {"beyond": None, "unit": "", "why": why}
        else:
            fresh = new_violations(violations(found.operation, limits, self.before))
            count = len(fresh)
            beyond = np.abs(fresh["value"] - fresh["limit"]).to_numpy(float) / fresh["unit"].map(NEAR).to_numpy(float)
            np.maximum.at(broken, fresh["step"].to_numpy(int), beyond)
            worst = _worst(found.operation, limits, self.before) if count else worst
            limit = held_by(found.operation, limits, lost.sum(axis=1))
        energy = np.array([u.energy_kwh for u in s.bess])
        out = np.zeros(len(s.bess))
        np.add.at(out, list(s.bess_of), np.nan_to_num(np.maximum(found.bess_p_kw, 0.0)).sum(axis=0) * step_h)
        return YearRun(
            hc_kw=s.hc_kw,
            nodes=s.pv_nodes,
            pv_kw=s.pv_kw,
            step_h=step_h,
            available_kw=found.available_kw.sum(axis=1),
            delivered_kw=(found.available_kw - lost).sum(axis=1),
            curtailed_kwh=lost.sum(axis=0) * step_h,
            hours=(lost > 0).sum(axis=0) * step_h,
            hours_curtailed=float((lost.sum(axis=1) > CURTAILED_KW).sum() * step_h),
            new_violations=count,
            worst=worst,
            limit=limit,
            tap_operations=found.tap_operations,
            hunting_steps=len(found.hunting),
            full_cycles=out / np.maximum(energy, 1e-9),
            power_flows=found.power_flows,
            broken=broken,
        )


def _worst(found: Operation, limits: Limits, before: Before) -> dict[str, Any]:
    """The new violation that is farthest beyond what is allowed, in distances of NEAR."""
    each = worst_new(found, limits, before)
    top = max(each, key=lambda e: e.beyond / NEAR[e.unit])
    where = {"criterion": top.criterion, "element": top.element, "phase": top.phase}
    return where | {"time": found.times[top.step], "beyond": top.beyond, "unit": top.unit}


def held_by(found: Operation, limits: Limits, lost_kw: Floats) -> dict[str, Any]:
    """What stood closest to its limit, in distances of NEAR, in the hours in which `lost_kw` (T,) was curtailed.

    The one to which most of that energy belongs, with its share and the hour of most; where nothing was curtailed,
    the closest of the whole time.
    """
    curtailed = lost_kw > CURTAILED_KW
    steps = np.flatnonzero(curtailed) if curtailed.any() else np.arange(len(lost_kw))
    best = np.full(len(steps), np.inf)
    at: list[tuple[str, str]] = [("", "")] * len(steps)
    for criterion in CRITERIA:
        value = criterion.values(found)
        if value is None or not value.size or not criterion.judged(limits):
            continue
        room = thresholds(criterion, limits, None, value.shape, found.kv_base)[steps] - criterion.sign * value[steps]
        near = np.nan_to_num(room / NEAR[criterion.unit], nan=np.inf)
        column = np.argmin(near, axis=1)
        closest = near[np.arange(len(steps)), column]
        elements = criterion.elements(found)
        for i in np.flatnonzero(closest < best):
            at[i] = (criterion.name, elements[int(column[i])])
        best = np.minimum(best, closest)
    if not np.isfinite(best).any():
        return {}
    weight = lost_kw[steps] if curtailed.any() else -best
    energy: dict[tuple[str, str], float] = {}
    for key, kw in zip(at, lost_kw[steps], strict=True):
        energy[key] = energy.get(key, 0.0) + float(kw)
    key = max(energy, key=lambda k: energy[k]) if curtailed.any() else at[int(np.argmin(best))]
    mine = [i for i, k in enumerate(at) if k == key]
    hour = found.times[int(steps[max(mine, key=lambda i: weight[i])])]
    element, phase = cut(key[1]) if key[0] not in ("voltage_unbalance", "tap_operations") else (key[1], "")
    share = energy[key] / max(float(lost_kw[steps].sum()), 1e-9) if curtailed.any() else None
    return {"criterion": key[0], "element": element, "phase": phase, "time": hour, "share_of_curtailed": share}
