"""A plan that passes every day of a year: worst days first, and the day that breaks most joins the program.

It begins with the lightest, the sunniest and the heaviest day, sizes and sites common to all, dispatch each day's own
and stored energy back where it was at each day's end. The closed loop certifies it over these days; then the year is
run, every day dispatched as the most similar day of the program, and the day that breaks most joins, until none breaks
anything or there are MOST_DAYS. What is left then is what a policy has to curtail, over the same year.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hcsim.certify.certificate import Certificate, Round, round_in_words
from hcsim.certify.loop import certify
from hcsim.certify.options import loop_options
from hcsim.errors import ConfigError, HcsimError
from hcsim.jobs.parts import Part, Tell
from hcsim.operate.days import maker_of, plan_of
from hcsim.operate.operation import PlanOfDay
from hcsim.operate.policy import Plan, PolicyError
from hcsim.operate.settings import OperateSettings
from hcsim.operate.year import YearOfDays, YearRun
from hcsim.replay.own_power import has_own_power
from hcsim.results.year_plan import YearPlan, YearRound
from hcsim.schedules.repeat import part_of
from hcsim.studies.parts.flexible import CLASSES as FLEXIBLE_CLASSES
from hcsim.studies.parts.flexible import FlexibleJob, Given
from hcsim.workbench.allocation import Workbench
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule
from optim.hosting.search import solve_hosting

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MOST_DAYS = 12
LEAST_SUN = 0.05
"""Per kW of capacity: hours with less sun decide nothing."""
CLASSES = (*FLEXIBLE_CLASSES, YearPlan, YearRound)


@dataclass(frozen=True)
class YearJob(FlexibleJob):
    """The case, opened once in every worker."""

    @property
    def classes(self) -> tuple[type, ...]:
        return CLASSES


@dataclass(frozen=True)
class PlanOfYear(Part):
    """One program's plan."""

    work: ClassVar[float] = 200.0

    program: str
    policy: str
    settings: OperateSettings
    gap: float | None = None
    time_limit_s: float | None = None
    certify_time_s: float | None = None

    @property
    def name(self) -> str:
        return f"{self.program} year"

    @property
    def title(self) -> str:
        return f"year {self.program}"

    @property
    def needs(self) -> tuple[str, ...]:
        return ("bare year",)

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> YearPlan:
        if has_own_power(prepared.circuit):
            raise ConfigError(
                "The feeder has devices of its own that follow the hour of the year: a program over chosen days does "
                "not know them yet.",
                "Study a day of it (`--day`), or its year with `hcsim flexible`.",
            )
        year, before = given["bare year"]
        per_day = len(prepared.profiles)
        days = first_days(prepared, year, per_day)
        rounds: list[YearRound] = []
        while True:
            claim, found = self._planned(prepared, year, days, per_day, tell)
            plans, choice = self._plans(prepared, year, days, found.schedule, per_day)
            operated = YearOfDays(prepared, PlanOfDay(plans, choice), year, before, self.settings)
            run = _run(operated, found.schedule.hc_kw, "schedule")
            broken = run.broken.reshape(-1, per_day).max(axis=1)
            rounds.append(_round(year, days, (claim, found), (run, broken), per_day))
            tell(f"{found.schedule.hc_kw:,.0f} kW over {len(days)} days; {int((broken > 0).sum())} days break a limit")
            new = [int(d) for d in np.argsort(-broken, kind="stable") if broken[d] > 0 and d not in days]
            if not new or len(days) >= MOST_DAYS:
                break
            days = [*days, new[0]]
        by_policy = run if run.passed else _run(operated, found.schedule.hc_kw, self.policy)
        plan = YearPlan(
            self.program,
            found.schedule,
            tuple(label(year, d, per_day) for d in days),
            found.word,
            tuple(rounds),
            run,
            by_policy,
            self.policy,
            tuple(label(year, int(d), per_day) for d in np.flatnonzero(broken > 0)),
        )
        tell(plan.words)
        return plan

    def _planned(
        self, bench: Workbench, year: Profiles, days: Sequence[int], per_day: int, tell: Tell
    ) -> tuple[Schedule, Certificate]:
        """What the program claims over these days, and the closed loop."""
        together = on_days_of(bench, year, days, per_day)
        solver = together.solve_options(self.gap, self.time_limit_s)
        claim = solve_hosting(together.problem(self.program), self.program, solver)
        tell(f"{claim.hc_kw:,.0f} kW claimed over {len(days)} days")

        def told(r: Round) -> None:
            tell(f"{len(days)} days, {round_in_words(r)}")

        options = replace(loop_options(bench, self.certify_time_s), bound=False)
        return claim, certify(together, claim, options, told)

    def _plans(
        self, bench: Workbench, year: Profiles, days: Sequence[int], schedule: Schedule, per_day: int
    ) -> tuple[tuple[Plan, ...], tuple[int, ...]]:
        """A plan of each day in the program, and which of them every day of the year follows."""
        plans = []
        for k, day in enumerate(days):
            own = on_days_of(bench, year, [day], per_day)
            day_plan = part_of(schedule, slice(k * per_day, (k + 1) * per_day))
            plans.append(plan_of(own, day_plan, self.settings))
        return tuple(plans), most_similar(bench, year, days, per_day)


def first_days(bench: Workbench, year: Profiles, per_day: int) -> list[int]:
    """The day with least load for its sun at some hour, the sunniest, and the one with the highest load; each once."""
    load, sun = _by_day(bench, year, per_day)
    with np.errstate(divide="ignore", invalid="ignore"):
        lightest = np.where(sun > LEAST_SUN, load / sun, np.inf).min(axis=1)
    wanted = (int(np.argmin(lightest)), int(np.argmax(sun.sum(axis=1))), int(np.argmax(load.max(axis=1))))
    return list(dict.fromkeys(wanted))


def most_similar(bench: Workbench, year: Profiles, days: Sequence[int], per_day: int) -> tuple[int, ...]:
    """For every day of the year the one of `days` whose load and sun are nearest, hour by hour."""
    load, sun = _by_day(bench, year, per_day)
    facts = np.hstack([load / max(float(load.max()), 1e-9), sun])
    distance = np.stack([((facts - facts[d]) ** 2).sum(axis=1) for d in days], axis=1)
    return tuple(int(k) for k in np.argmin(distance, axis=1))


def on_days_of(bench: Workbench, year: Profiles, days: Sequence[int], per_day: int) -> Workbench:
    """The case on these days of the year, one after another."""
    steps = np.concatenate([np.arange(d * per_day, (d + 1) * per_day) for d in days])
    profiles = year.taken(steps, len(days))
    return replace(bench, case=replace(bench.case, profiles=profiles))


def _by_day(bench: Workbench, year: Profiles, per_day: int) -> tuple[Floats, Floats]:
    """(days, steps) load in kW and sun per kW."""
    load = year.load_kw(bench.network.loads.p_kw)
    return load.reshape(-1, per_day), year.pv_pu.reshape(-1, per_day)


def label(year: Profiles, day: int, per_day: int) -> str:
    """ "Jun 02" of "Jun 02 10:00"."""
    return year.times[day * per_day].rsplit(" ", 1)[0]


def _round(
    year: Profiles,
    days: Sequence[int],
    planned: tuple[Schedule, Certificate],
    judged: tuple[YearRun, Floats],
    per_day: int,
) -> YearRound:
    claim, found = planned
    run, broken = judged
    worst = int(np.argmax(broken)) if broken.max() > 0 else -1
    return YearRound(
        days=tuple(label(year, d, per_day) for d in days),
        claim_kw=claim.hc_kw,
        claim_status=claim.solve.status if claim.solve else "",
        hc_kw=found.schedule.hc_kw,
        certificate=found.word,
        days_failing=int((broken > 0).sum()),
        new_violations=run.new_violations,
        worst_day=label(year, worst, per_day) if worst >= 0 else "",
    )


def _run(year: YearOfDays, hc_kw: float, policy: str) -> YearRun:
    try:
        return year.run(hc_kw, maker_of(policy), policy)
    except PolicyError as error:
        raise HcsimError(str(error)) from None
