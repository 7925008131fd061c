"""The part of `hcsim options`: one change of the feeder, its program certified with the change in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from hcsim.certify.certificate import Certificate, Round, round_in_words
from hcsim.certify.loop import certify
from hcsim.certify.options import loop_options
from hcsim.certify.put_back import put_back
from hcsim.jobs.parts import Part, Tell
from hcsim.schedules.edit import with_pv_of
from hcsim.studies.parts.allocation import AllocationJob
from hcsim.studies.parts.kinds import CLASSES as STUDY_CLASSES
from hcsim.workbench.allocation import Workbench
from hcsim.workbench.changes import Change
from optim.data.criteria import Before
from optim.data.node import bus_of, phase_of
from optim.data.schedule import Schedule
from optim.data.violations import Excess, worst_new
from optim.hosting.search import solve_hosting

Given = Mapping[str, Any]
UNKNOWN = {"losses_pct": None, "circulated_kwh": None}
"""Of what has no schedule."""
CLASSES = (*STUDY_CLASSES, Before, Change)


@dataclass(frozen=True)
class OptionsJob(AllocationJob):
    """The case, opened once in every worker."""

    @property
    def classes(self) -> tuple[type, ...]:
        return CLASSES


@dataclass(frozen=True)
class TriedChange(Part):
    """What is certified once a change is made: the closed loop from the changed feeder's own claim and from the plan
    that stood before it."""

    work: ClassVar[float] = 30.0

    change: Change
    program: str
    rounds: int | None

    @property
    def name(self) -> str:
        return f"option {self.change.name}"

    @property
    def title(self) -> str:
        return self.change.name

    @property
    def needs(self) -> tuple[str, ...]:
        return (f"{self.program} certificate",)

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> tuple[dict[str, Any], Schedule | None]:
        """Facts of `hcsim.results.options.Option`, and the certified schedule where there is one."""
        base: Certificate = given[f"{self.program} certificate"]
        if self.change.inverters:
            return _by_curves(prepared, base, self.change, tell)
        bench = Workbench.open(self.change.applied(prepared.case))
        if self.change.edits and (broken := _breaks_alone(bench, prepared)):
            tell(f"refused: {broken}")
            return {
                "hc_kw": None,
                "word": "refused",
                "refused": broken,
                "verified": False,
                "limit": {},
                **UNKNOWN,
            }, None
        program = "centralized" if self.change.battery_bus else self.program
        claim = solve_hosting(bench.problem(program), program, bench.solve_options())
        start = base.schedule if program == self.program else with_pv_of(claim, base.schedule)
        options = replace(loop_options(bench), bound=False)
        options = options if self.rounds is None else replace(options, max_rounds=self.rounds)

        def report_round(r: Round) -> None:
            tell(round_in_words(r), min(r.number / (2 * options.max_rounds), 1.0))

        found = certify(bench, claim, options, report_round, starts=() if start is None else (start,))
        found = put_back(bench, found)
        tell(f"{found.certified_kw:,.1f} kW {found.word}")
        facts: dict[str, Any] = {
            "hc_kw": found.certified_kw,
            "word": found.word,
            "refused": "",
            "verified": found.verified,
            "limit": _limit(found),
            "losses_pct": found.losses_pct,
            "circulated_kwh": float(found.schedule.circulated_kwh().sum()),
        }
        return facts, found.schedule


def _breaks_alone(changed: Workbench, before: Workbench) -> str:
    """What the changed feeder breaks without any device and the feeder as it is does not; "" where there is nothing.

    Judged against the feeder as it is: a change that forgives itself what it breaks would win every ranking.
    """
    bare = changed.bare("free").found
    if not bare.converged.all():
        return "the changed feeder does not converge"
    worse: tuple[Excess, ...] = worst_new(bare.operation, changed.limits, before.bare("free").found.before)
    if not worse:
        return ""
    first = max(worse, key=lambda e: e.beyond)
    where = f"{first.element}{'.' + first.phase if first.phase else ''}"
    return f"{first.criterion.replace('_', ' ')} at {where} at {bare.operation.times[first.step]} without any PV"


def _by_curves(bench: Workbench, base: Certificate, change: Change, tell: Tell) -> tuple[dict[str, Any], None]:
    """The plan's shares under curves: simulated, nothing dispatched."""
    section = bench.case.config.inverters
    assert change.inverters
    control = section.to_control(change.inverters)
    assert control is not None
    found = bench.baseline("schedule", base.schedule, reactive=control, progress=tell.count("steps"))
    tell(found.words)
    facts = {
        "hc_kw": None if found.undefined else found.hc_kw,
        "word": "simulated, nothing dispatched",
        "refused": found.undefined,
        "verified": found.verified,
        "limit": {key: found.limit.get(key, "") for key in ("criterion", "element", "phase", "time")},
        **UNKNOWN,
    }
    return facts, None


def _limit(found: Certificate) -> dict[str, str]:
    """What binds there first, as simulated capacities say it."""
    if not found.binding:
        return {}
    price = found.binding[0]
    return {
        "criterion": price.limit,
        "element": bus_of(price.element),
        "phase": phase_of(price.element),
        "time": price.time,
    }
