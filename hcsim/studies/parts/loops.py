"""The parts of a study around its closed loops: certificates, where they lost, other days, the spread form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from hcsim.certify.certificate import Certificate, Round, certified_in_words, round_in_words
from hcsim.certify.error_budget import BudgetSteps, budget_steps
from hcsim.certify.loop import certify
from hcsim.certify.options import loop_options
from hcsim.certify.put_back import put_back
from hcsim.certify.robustness import RobustnessSettings, with_robustness
from hcsim.jobs.parts import Part, Tell
from hcsim.operate.capacity import operated_capacity, operated_in_words
from hcsim.operate.days import SPREAD, drawn
from hcsim.operate.settings import OperateSettings
from hcsim.results.allocation import SpreadResult
from hcsim.results.allocation_summary import share_in_words
from hcsim.studies.parts.starts import starts_of
from hcsim.workbench.allocation import Workbench
from optim.data.schedule import Schedule
from optim.hosting.search import solve_hosting

Given = Mapping[str, Any]


@dataclass(frozen=True)
class ClosedLoop(Part):
    """From the claim, from what is certified without batteries, and from what simulation found under the same rules;
    then put back into a feeder compiled anew."""

    work: ClassVar[float] = 30.0

    program: str
    baseline: str
    """Name of the part that simulated its schedule."""
    time_limit_s: float | None = None

    @property
    def name(self) -> str:
        return f"{self.program} certificate"

    @property
    def title(self) -> str:
        return f"closed loop {self.program}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.program,)

    @property
    def uses(self) -> tuple[str, ...]:
        without = () if self.program == "none" else ("none certificate",)
        return (*without, "baseline none", self.baseline)

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> Certificate:
        options = loop_options(prepared, self.time_limit_s)

        def report_round(r: Round) -> None:
            tell(round_in_words(r), min(r.seconds / options.time_limit_s, 1.0))

        claim = given[self.program]
        starts = starts_of(
            claim,
            given.get("none certificate"),
            given.get("baseline none"),
            given.get(self.baseline),
            prepared.profiles,
        )
        found = put_back(prepared, certify(prepared, claim, options, report_round, starts=starts))
        tell(certified_in_words(found))
        return found


@dataclass(frozen=True)
class Budget(Part):
    """What lies between a claim and its certificate and does not depend on the latter."""

    work: ClassVar[float] = 10.0

    program: str
    time_limit_s: float | None = None

    @property
    def name(self) -> str:
        return f"{self.program} error budget"

    @property
    def title(self) -> str:
        return f"error budget {self.program}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.program,)

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> BudgetSteps:
        def report_round(r: Round) -> None:
            tell(f"taps locked, {round_in_words(r)}")

        found = budget_steps(prepared, given[self.program], loop_options(prepared, self.time_limit_s), report_round)
        tell(f"{found.locked_kw:.1f} kW certified with taps locked")
        return found


@dataclass(frozen=True)
class OtherDays(Part):
    """The certified schedule on days of other load and sun; with `margin_s` also what is left with a margin."""

    work: ClassVar[float] = 20.0

    program: str
    draws: int
    most_s: float
    margin_s: float

    @property
    def name(self) -> str:
        return f"{self.program} robustness"

    @property
    def title(self) -> str:
        return f"robustness {self.program}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (f"{self.program} certificate",)

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> tuple[dict[str, Any], Schedule | None]:
        settings = RobustnessSettings(draws=self.draws, most_s=self.most_s, margin_s=self.margin_s)
        found = with_robustness(
            prepared,
            given[f"{self.program} certificate"],
            settings,
            progress=lambda what, done, of: tell(f"{done} of {of} {what}", done / max(of, 1)),
        )
        tell(share_in_words(found.robustness))
        return found.robustness, found.robust


@dataclass(frozen=True)
class OperatedCapacity(Part):
    """How much of the certified capacity a policy keeps on drawn days."""

    work: ClassVar[float] = 10.0

    program: str
    policy: str
    draws: int
    pass_pct: float
    settings: OperateSettings

    @property
    def name(self) -> str:
        return f"{self.program} operated"

    @property
    def title(self) -> str:
        return f"operated {self.program}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (f"{self.program} certificate",)

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> dict[str, Any]:
        schedule: Schedule = given[f"{self.program} certificate"].schedule
        if schedule.hc_kw <= 0:
            tell("nothing is certified that could be operated")
            return {}
        days = drawn(self.draws, self.settings.seed, SPREAD, len(prepared.profiles))

        def told(kw: float, done: int, of: int) -> None:
            tell(f"{kw:,.0f} kW: {done} of {of} days", done / of)

        found = operated_capacity(prepared, schedule, self.policy, days, self.settings, self.pass_pct, told)
        facts = found.to_json()
        tell(operated_in_words(facts))
        return facts


@dataclass(frozen=True)
class SpreadForm(Part):
    """The program without BESS for another objective: what total capacity costs where it is, beside what every site
    could have."""

    work: ClassVar[float] = 15.0

    objective: Literal["even", "load"]
    gap: float | None = None
    time_limit_s: float | None = None
    certify_time_s: float | None = None

    @property
    def name(self) -> str:
        return f"spread {self.objective}"

    @property
    def needs(self) -> tuple[str, ...]:
        return ("none",)

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> SpreadResult:
        """Raises ConfigError where no load stands at any site ("load"), InfeasibleError."""
        loop = replace(loop_options(prepared, self.certify_time_s), bound=False)
        bench = prepared.with_objective(self.objective)
        solver = prepared.solve_options(self.gap, self.time_limit_s)
        claim = solve_hosting(bench.problem("none"), f"none_{self.objective}", solver)
        found = certify(bench, claim, loop, lambda r: tell(round_in_words(r)))
        assert bench.spread is not None
        spread = SpreadResult(self.objective, claim, found, bench.spread)
        tell(spread.words(None))
        return spread
