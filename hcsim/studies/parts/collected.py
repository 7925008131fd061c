"""What the parts of an allocation study have handed back, put together; always in the order of the parts."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from hcsim.certify.certificate import Certificate
from hcsim.certify.error_budget import BudgetSteps, error_budget
from hcsim.hosting.result import HostingCapacityResult
from hcsim.jobs.parts import Part
from hcsim.replay.inverter_day import InverterDay
from hcsim.replay.result import ReplayResult
from hcsim.results.allocation import CaseResult, InverterComparison, SharingRow, SpreadResult
from hcsim.studies.parts.allocation import WITH_BESS, BareDay, Claim, ClaimReplay, PlainCapacity
from hcsim.studies.parts.inverters import UNIFORM, InverterCapacity, InverterReplay
from hcsim.studies.parts.loops import Budget, ClosedLoop, OperatedCapacity, OtherDays, SpreadForm
from optim.data.schedule import Schedule

P = TypeVar("P", bound=Part)


class Collected:
    """`parts` are all there are to be; `values` what there is of them."""

    def __init__(self, parts: Sequence[Part] = ()) -> None:
        self.parts = tuple(parts)
        self.values: dict[Part, Any] = {}

    def missing(self, but: Container[str]) -> list[Part]:
        """Parts without a result, but for those named."""
        return [p for p in self.parts if p not in self.values and p.name not in but]

    @property
    def spread(self) -> SpreadResult | None:
        return next(iter(self._of(SpreadForm).values()), None)

    @property
    def with_schedule_case(self) -> str:
        """The distributed schedule, or the best there is where it has none."""
        claims = self._of(Claim)
        return next((name for name in WITH_BESS if any(p.program == name for p in claims)), "distributed")

    def _of(self, kind: type[P]) -> dict[P, Any]:
        return {p: self.values[p] for p in self.parts if isinstance(p, kind) and p in self.values}

    @property
    def base_replays(self) -> dict[str, ReplayResult]:
        return {part.controls: found for part, found in self._of(BareDay).items()}

    @property
    def cases(self) -> dict[str, CaseResult]:
        replays = self._of(ClaimReplay)
        return {
            claim.program: CaseResult(
                schedule,
                {part.controls: found for part, found in replays.items() if part.program == claim.program},
                self.certificate(claim.program),
            )
            for claim, schedule in self._of(Claim).items()
        }

    def certificate(self, program: str) -> Certificate | None:
        """With all that is known around it."""
        found: Certificate | None = self._about(ClosedLoop, program)
        if found is None:
            return None
        steps: BudgetSteps | None = self._about(Budget, program)
        claim: Schedule = self._about(Claim, program)
        robustness, robust = self._about(OtherDays, program) or ({}, None)
        budget = error_budget(claim, found, steps) if steps else {}
        operated: dict[str, Any] = self._about(OperatedCapacity, program) or {}
        return replace(found, error_budget=budget, robustness=robustness, robust=robust, operated=operated)

    def _about(self, kind: type[Claim | ClosedLoop | Budget | OtherDays | OperatedCapacity], program: str) -> Any:
        return next((found for part, found in self._of(kind).items() if part.program == program), None)

    @property
    def baselines(self) -> dict[str, HostingCapacityResult]:
        """The same capacity at every site node at unity power factor without BESS as "none"; the shares, reactive power
        and BESS of each schedule, capacity scaled: the distributed one's as "with_schedule", the one without BESS as
        "with_shares", the others by the name of their case."""
        names = {self.with_schedule_case: "with_schedule", "none": "with_shares", None: "none"}
        return {names.get(p.program, p.key): found for p, found in self._of(PlainCapacity).items()}

    @property
    def inverters(self) -> InverterComparison | None:
        """Autonomous inverters beside unity power factor and the optimizer's reactive power, by sharing."""
        control = next((p.control for p in self.parts if isinstance(p, InverterCapacity) and p.control), None)
        if control is None:
            return None
        known = {UNIFORM: {"unity": self.baselines.get("none")}}
        for name, key in (("none", "with_shares"), (self.with_schedule_case, "with_schedule")):
            known[name] = {"schedule": self.baselines.get(key)}
        capacities, days = self._of(InverterCapacity), self._of(InverterReplay)
        rows = {}
        for name in dict.fromkeys((UNIFORM, "none", self.with_schedule_case)):
            found = {kind: result for kind, result in known[name].items() if result is not None}
            made = {part.kind: value[1] for part, value in capacities.items() if value and value[0] == name}
            own: dict[str, InverterDay] = {p.controls: v[1] for p, v in days.items() if v and v[0] == name}
            if made or own:
                rows[name] = SharingRow(name, {**found, **made}, own)
        return InverterComparison(control, rows)
