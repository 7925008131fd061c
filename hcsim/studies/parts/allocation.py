"""The parts of an allocation study before its closed loops: bare days, programs, their replays, plain simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hcsim.cases.case import Case
from hcsim.errors import FeederError
from hcsim.hosting.result import HostingCapacityResult
from hcsim.jobs.parts import Part, Tell
from hcsim.replay.recording import Controls
from hcsim.replay.result import ReplayResult
from hcsim.replay.verdict import verdict
from hcsim.results.allocation import claim_in_words
from hcsim.results.existing import existing_in_words
from hcsim.studies.parts.kinds import CLASSES
from hcsim.workbench.allocation import Workbench
from optim.data.schedule import Schedule
from optim.hosting.search import STOPPED, solve_hosting
from optim.solve.options import Progress, SolveOptions

Given = Mapping[str, Any]


@dataclass(frozen=True)
class AllocationJob:
    """The case, opened once in every worker."""

    case: Case
    source_sha256: str = ""
    """Of the feeder that the study began with; "" where it is not known yet."""

    @property
    def classes(self) -> Sequence[type]:
        return CLASSES

    def prepare(self) -> Workbench:
        """Compiled and read anew; the study has gated it. Raises FeederError where its files are others now."""
        bench = Workbench.open(self.case)
        if self.source_sha256 and bench.circuit.source_sha256 != self.source_sha256:
            raise FeederError(
                f"{self.case.master} is not the feeder that this study began with.",
                "Keep its files as they are while a study runs.",
            )
        return bench


@dataclass(frozen=True)
class BareDay(Part):
    """The feeder without devices."""

    controls: Controls

    @property
    def name(self) -> str:
        return f"bare feeder replay {self.controls}"

    @property
    def title(self) -> str:
        return f"bare feeder, controls {self.controls}"

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> ReplayResult:
        found = prepared.replay(None, self.controls, progress=tell.count("steps"))
        tell(existing_in_words(found))
        return found


@dataclass(frozen=True)
class Claim(Part):
    """One program's schedule, with its proof."""

    work: ClassVar[float] = 10.0

    program: str
    gap: float | None = None
    time_limit_s: float | None = None

    @property
    def name(self) -> str:
        return self.program

    @property
    def title(self) -> str:
        return f"program {self.program}"

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> Schedule:
        options = prepared.solve_options(self.gap, self.time_limit_s)
        found = solve_hosting(
            prepared.problem(self.program), self.program, options, lambda p: _solver_says(p, options, tell)
        )
        tell(claim_in_words(found))
        return found

    def stopped(self, result: Schedule) -> bool:
        return result.solve is not None and STOPPED in result.solve.notes


def _solver_says(said: Progress, options: SolveOptions, tell: Tell) -> None:
    stage = said.phase.partition(": ")[2] or said.phase
    words = f"{stage}: {1e3 * said.objective:.1f} kW, at most {1e3 * said.bound:.1f} kW"
    tell(words.replace("nan kW", "none yet"), min(said.seconds / options.time_limit_s, 1.0))


@dataclass(frozen=True)
class ClaimReplay(Part):
    """A program's schedule through OpenDSS."""

    program: str
    controls: Controls

    @property
    def name(self) -> str:
        return f"{self.program} replay {self.controls}"

    @property
    def title(self) -> str:
        return f"replay {self.program}, controls {self.controls}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.program,)

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> ReplayResult:
        base = prepared.replay(None, self.controls)
        found = prepared.replay(given[self.program], self.controls, base=base, progress=tell.count("steps"))
        tell(verdict(found).words)
        return found


@dataclass(frozen=True)
class PlainCapacity(Part):
    """Hosting capacity by plain simulation: uniform, or with the shares, reactive power and BESS of a schedule."""

    work: ClassVar[float] = 3.0

    program: str | None
    key: str
    """Its name in the results: none, with_shares, with_schedule, or the program's."""

    @property
    def name(self) -> str:
        return f"baseline {self.key}"

    @property
    def title(self) -> str:
        return f"simulation HC {self.key}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.program,) if self.program else ()

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> HostingCapacityResult:
        schedule = given[self.program] if self.program else None
        told = tell.count("probes")
        found = prepared.baseline("schedule" if schedule else "uniform", schedule, progress=told)
        tell(f"{found.words} after {found.power_flows} power flows")
        return found


WITH_BESS = ("distributed", "distributed_no_circulation", "centralized")
"""Whose schedule stands behind "with_schedule": the first of them that there is."""


def baseline_keys(programs: Sequence[str]) -> dict[str, str]:
    """Program -> what its simulated capacity is called where all of these have a schedule."""
    first = next((name for name in WITH_BESS if name in programs), "distributed")
    return {name: {first: "with_schedule", "none": "with_shares"}.get(name, name) for name in programs}
