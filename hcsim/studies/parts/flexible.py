"""The parts of `hcsim flexible`: the bare year, each plan tried far above, then a point for each share of energy.

A run at one capacity shows what went through in the hours in which something was curtailed. What goes through there
hardly depends on the capacity, so the run says what other capacities would curtail: those are tried next, a whole year
each, until the share is met.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import brentq

from hcsim.cases.existing_devices import with_existing
from hcsim.errors import HcsimError
from hcsim.feeder.model import FeederModel
from hcsim.jobs.parts import Part, Tell
from hcsim.operate.days import maker_of, plan_of
from hcsim.operate.operation import PlanOfDay
from hcsim.operate.policy import PolicyError
from hcsim.operate.settings import OperateSettings
from hcsim.operate.year import YearOfDays, YearRun
from hcsim.replay.options import ReplayOptions
from hcsim.replay.run import replay
from hcsim.results.flexible import Point
from hcsim.schedules.files import read_schedule
from hcsim.studies.parts.allocation import AllocationJob
from hcsim.studies.parts.kinds import CLASSES as STUDY_CLASSES
from hcsim.workbench.allocation import Workbench
from optim.data.criteria import Before
from optim.data.profiles import FixedInjection, Profiles
from optim.data.schedule import Schedule

YEAR_H = 8760
FIRST = 1.5
"""Of a plan's own capacity: where each is tried first."""
TRIALS = 5
"""Years per point at most."""
ENOUGH = 0.01
"""A point whose next estimate is no more than this share above it is done."""
NONE_PCT = 1e-3
"""Per cent of the year's energy that counts as no curtailment: the rule keeps a margin, and rests within it."""
Given = Mapping[str, Any]


@dataclass(frozen=True)
class FlexibleJob(AllocationJob):
    """The case, opened once in every worker."""

    @property
    def classes(self) -> tuple[type, ...]:
        return CLASSES


@dataclass(frozen=True)
class BareYear(Part):
    """The feeder without devices over the year, and where its controls may rest."""

    work: ClassVar[float] = 30.0

    file: str | None
    sha256: str

    @property
    def name(self) -> str:
        return "bare year"

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> tuple[Profiles, Before]:
        axis = with_existing(prepared.case, prepared.network, YEAR_H, Path(self.file) if self.file else None)
        sun = axis.profiles.pv_pu.copy()
        sun[list(axis.skip_steps)] = 0.0
        profiles = replace(axis.profiles, pv_pu=sun)
        model = FeederModel(prepared.circuit, prepared.network, profiles, prepared.limits)
        found = replay(model, None, ReplayOptions("free", progress=tell.count("hours")))
        tell(f"{len(found.violations)} violations of its own")
        return profiles, found.before


@dataclass(frozen=True)
class GivenPlan(Part):
    """A schedule of the user's."""

    program: str
    folder: str
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.program} certificate"

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> Schedule:
        return read_schedule(Path(self.folder), network=prepared.network, profiles=prepared.profiles)


@dataclass(frozen=True)
class FirstYear(Part):
    """A plan far above its capacity: what goes through."""

    work: ClassVar[float] = 40.0

    program: str
    policy: str
    settings: OperateSettings

    @property
    def name(self) -> str:
        return f"{self.program} first year"

    @property
    def title(self) -> str:
        return f"year {self.program}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (f"{self.program} certificate", "bare year")

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> YearRun:
        year, plan = _year(prepared, given, self.program, self.settings)
        found = _run(year, FIRST * max(plan.hc_kw, 1.0), self.policy)
        tell(f"at {found.hc_kw:,.0f} kW {100 * found.curtailed_share:.2f} % of the energy is curtailed")
        return found


@dataclass(frozen=True)
class CurvePoint(Part):
    """The most PV of which no more than a share of the year's energy is curtailed and no limit is broken."""

    work: ClassVar[float] = 60.0

    program: str
    curtailment_pct: float
    policy: str
    settings: OperateSettings

    @property
    def name(self) -> str:
        return f"{self.program} {self.curtailment_pct:g} %"

    @property
    def needs(self) -> tuple[str, ...]:
        return (f"{self.program} certificate", "bare year", f"{self.program} first year")

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> Point:
        year, _ = _year(prepared, given, self.program, self.settings)
        allowed = max(self.curtailment_pct, NONE_PCT) / 100.0
        last: YearRun = given[f"{self.program} first year"]
        best: YearRun | None = None
        refuted: YearRun | None = None
        above, tried, settled = np.inf, 0, False
        hc_kw = capacity_at(last, allowed)
        while tried < TRIALS:
            tried += 1
            last = _run(year, hc_kw, self.policy)
            fits = last.curtailed_share <= allowed
            if last.passed and fits and (best is None or hc_kw > best.hc_kw):
                best = last
            if not (last.passed and fits):
                above, refuted = min(above, hc_kw), refuted if last.passed else last
            tell(f"{hc_kw:,.0f} kW: {100 * last.curtailed_share:.3f} % curtailed, {last.new_violations} violations")
            wanted = capacity_at(last, allowed)
            if not last.passed:
                wanted = min(wanted, 0.97 * hc_kw)
            if not fits:
                wanted = min(wanted, 0.999 * hc_kw)
            if best is not None:
                if wanted >= above:
                    wanted = (best.hc_kw + above) / 2.0
                settled = wanted <= (1.0 + ENOUGH) * best.hc_kw
                if settled:
                    break
            hc_kw = wanted
        found = Point(self.program, self.curtailment_pct, best, refuted, tried, settled)
        tell(found.words)
        return found


CLASSES = (*STUDY_CLASSES, Before, FixedInjection, Point, Profiles, YearRun)


def capacity_at(run: YearRun, allowed_share: float) -> float:
    """The capacity that would curtail this share, if in every hour no more went through than in `run`.

    Hours in which `run` curtailed nothing are taken to let everything through.
    """
    per_kw = run.available_kw / run.hc_kw
    through = run.let_through_kw()
    if not np.isfinite(through).any():
        return 2.0 * run.hc_kw

    def beyond(hc_kw: float) -> float:
        power = hc_kw * per_kw
        return float(np.maximum(power - through, 0.0).sum() / power.sum() - allowed_share)

    most = run.hc_kw
    while beyond(most) < 0 and most < 100.0 * run.hc_kw:
        most *= 2.0
    return float(brentq(beyond, 1e-6 * run.hc_kw, most, xtol=1e-3)) if beyond(most) > 0 else most


def _year(prepared: Workbench, given: Given, program: str, settings: OperateSettings) -> tuple[YearOfDays, Schedule]:
    found = given[f"{program} certificate"]
    schedule: Schedule = found if isinstance(found, Schedule) else found.schedule
    profiles, before = given["bare year"]
    plan = plan_of(prepared, schedule, settings)
    return YearOfDays(prepared, PlanOfDay.same(plan), profiles, before, settings), schedule


def _run(year: YearOfDays, hc_kw: float, policy: str) -> YearRun:
    try:
        return year.run(hc_kw, maker_of(policy), policy)
    except PolicyError as error:
        raise HcsimError(str(error)) from None
