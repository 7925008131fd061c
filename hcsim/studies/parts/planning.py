"""The parts of a planning study: every scheme's plan, its replays, and its hosting capacity by simulation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from hcsim.cases.case import Case
from hcsim.hosting.result import HostingCapacityResult
from hcsim.jobs.parts import Part, Tell
from hcsim.replay.recording import Controls
from hcsim.replay.result import ReplayResult
from hcsim.replay.verdict import verdict
from hcsim.results.planning import claim_in_words
from hcsim.studies.parts import kinds
from hcsim.studies.parts.allocation import AllocationJob
from hcsim.workbench.planning import SCENARIOS, PlanningBench, Sharing
from optim.data.schedule import Schedule
from optim.planning.case import Exactness, ScenarioName, Scheme
from optim.planning.result import PlannedUnit, PlanningResult, ScenarioOperation
from optim.planning.schemes import solve_planning
from optim.planning.search import Round
from optim.solve.cones import ConeReport
from optim.solve.options import Progress, SolveOptions

CONTROLS: tuple[Controls, ...] = ("locked", "free")
SHARINGS: tuple[Sharing, ...] = ("as_planned", "uniform")
CLASSES = (
    *(kind for kind in kinds.CLASSES if kind.__name__ != Round.__name__),
    ConeReport,
    PlannedUnit,
    PlanningResult,
    Round,
    ScenarioOperation,
)
Given = Mapping[str, Any]
Plan = tuple[PlanningResult, dict[ScenarioName, Schedule]]


@dataclass(frozen=True)
class PlanningJob:
    """The case and its equivalent feeder, made once in every worker."""

    case: Case
    source_sha256: str
    exactness: Exactness | None

    @property
    def classes(self) -> Sequence[type]:
        return CLASSES

    def prepare(self) -> PlanningBench:
        """Raises FeederError where the feeder's files are others now."""
        bench = PlanningBench.of(AllocationJob(self.case, self.source_sha256).prepare())
        return with_exactness(bench, self.exactness)


def with_exactness(bench: PlanningBench, exactness: Exactness | None) -> PlanningBench:
    """None: as the case has it."""
    return bench if exactness is None else replace(bench, case=replace(bench.case, exactness=exactness))


@dataclass(frozen=True)
class SchemePlan(Part):
    """One scheme's plan and its schedules of both scenarios."""

    work: ClassVar[float] = 20.0

    scheme: Scheme
    exactness: Exactness | None
    gap: float | None
    time_limit_s: float | None

    @property
    def name(self) -> str:
        return self.scheme

    @property
    def title(self) -> str:
        return f"scheme {self.scheme}"

    def do(self, prepared: PlanningBench, given: Given, tell: Tell) -> Plan:
        options = prepared.options(self.gap, self.time_limit_s)
        found = solve_planning(prepared.case, self.scheme, options, lambda p: _solver_says(p, options, tell))
        tell(claim_in_words(found))
        return found, {scenario: prepared.schedule(found, scenario) for scenario in SCENARIOS}

    def stopped(self, result: Plan) -> bool:
        return result[0].solve.status == "interrupted"


def _solver_says(said: Progress, options: SolveOptions, tell: Tell) -> None:
    stage = said.phase.partition(": ")[2] or said.phase
    words = f"{stage}: {said.objective:.3f}, at least {said.bound:.3f}".replace("nan", "none yet")
    tell(words.replace("-inf", "none yet"), min(said.seconds / options.time_limit_s, 1.0))


@dataclass(frozen=True)
class PlanReplay(Part):
    """A plan's schedule of a scenario through OpenDSS."""

    scheme: Scheme
    scenario: ScenarioName
    controls: Controls

    @property
    def name(self) -> str:
        return f"{self.scheme} replay {self.scenario} {self.controls}"

    @property
    def title(self) -> str:
        return f"replay {self.scheme} {self.scenario}, controls {self.controls}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.scheme,)

    def do(self, prepared: PlanningBench, given: Given, tell: Tell) -> ReplayResult:
        base = prepared.bare(self.scenario, self.controls)
        schedule = given[self.scheme][1][self.scenario]
        found = prepared.replay(schedule, self.scenario, self.controls, base=base, progress=tell.count("steps"))
        tell(verdict(found).words)
        return found


@dataclass(frozen=True)
class PlanCapacity(Part):
    """Hosting capacity of a plan by simulation, for a way of sharing PV."""

    work: ClassVar[float] = 5.0

    scheme: Scheme
    sharing: Sharing

    @property
    def name(self) -> str:
        return f"{self.scheme} simulation {self.sharing}"

    @property
    def title(self) -> str:
        return f"simulation HC {self.scheme}, {self.sharing.replace('_', ' ')}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.scheme,)

    def do(self, prepared: PlanningBench, given: Given, tell: Tell) -> HostingCapacityResult:
        plan, schedules = given[self.scheme]
        found = prepared.simulated_pvhc(schedules["pvhc"], plan, self.sharing, progress=tell.count("probes"))
        tell(f"{found.words} after {found.power_flows} power flows")
        return found


def parts_of(
    schemes: Sequence[Scheme], exactness: Exactness | None, gap: float | None, time_limit_s: float | None
) -> Iterator[Part]:
    """Each once."""
    for scheme in schemes:
        yield SchemePlan(scheme, exactness, gap, time_limit_s)
        for scenario in SCENARIOS:
            for controls in CONTROLS:
                yield PlanReplay(scheme, scenario, controls)
        for sharing in SHARINGS:
            yield PlanCapacity(scheme, sharing)
