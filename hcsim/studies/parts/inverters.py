"""Hosting capacity by who decides on reactive power: nobody, the optimizer, or each inverter by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hcsim.devices.inverter_curves import InverterControl
from hcsim.hosting.result import HostingCapacityResult
from hcsim.jobs.parts import Part, Tell
from hcsim.replay.inverter_day import InverterDay, at_unity, inverter_day
from hcsim.replay.recording import Controls
from hcsim.studies.parts.allocation import WITH_BESS
from hcsim.workbench.allocation import Workbench
from optim.data.schedule import Schedule

UNIFORM = "uniform"
"""The same capacity at every site node, no battery: the plain utility method."""
Given = Mapping[str, Any]


def sharings(programs: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Name and candidate programs, of which the first that has a schedule is taken, of every row of the comparison."""
    bess = tuple(name for name in WITH_BESS if name in programs)
    rows = ((UNIFORM, ()), ("none", ("none",) if "none" in programs else ()), (bess[0] if bess else "", bess))
    return tuple((name, of) for name, of in rows if name == UNIFORM or of)


@dataclass(frozen=True)
class InverterCapacity(Part):
    """Hosting capacity of a way of sharing PV, at unity power factor (`control` None) or with autonomous inverters."""

    work: ClassVar[float] = 5.0

    sharing: str
    of: tuple[str, ...]
    control: InverterControl | None

    @property
    def kind(self) -> str:
        return self.control.mode if self.control else "unity"

    @property
    def name(self) -> str:
        return f"inverters {self.sharing} {self.kind}"

    @property
    def title(self) -> str:
        return f"inverters {self.kind} {self.sharing}"

    @property
    def uses(self) -> tuple[str, ...]:
        return self.of

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> tuple[str, HostingCapacityResult] | None:
        """Whose schedule it was, and its capacity; None where there is no schedule."""
        name, schedule = schedule_of(self.of, given)
        if self.of and schedule is None:
            return None
        found = prepared.baseline(
            "schedule" if schedule else "uniform",
            schedule,
            progress=tell.count("probes"),
            reactive=self.control or "unity",
        )
        tell(found.words)
        return name or UNIFORM, found


@dataclass(frozen=True)
class InverterReplay(Part):
    """A claim itself with autonomous inverters, and at unity power factor."""

    sharing: str
    of: tuple[str, ...]
    control: InverterControl
    controls: Controls

    @property
    def name(self) -> str:
        return f"inverters {self.sharing} replay {self.controls}"

    @property
    def title(self) -> str:
        return f"replay {self.sharing}, {self.control.mode}, controls {self.controls}"

    @property
    def uses(self) -> tuple[str, ...]:
        return self.of

    def do(self, prepared: Workbench, given: Given, tell: Tell) -> tuple[str, InverterDay] | None:
        name, schedule = schedule_of(self.of, given)
        if schedule is None:
            return None
        base = prepared.replay(None, self.controls)
        found = prepared.replay(
            schedule, self.controls, base=base, inverters=self.control, progress=tell.count("steps")
        )
        unity = prepared.replay(at_unity(schedule), self.controls, base=base)
        return name, inverter_day(found, unity, schedule.step_h)


def schedule_of(candidates: Sequence[str], given: Given) -> tuple[str, Schedule | None]:
    """The first of the programs that has a schedule, and that."""
    name = next((c for c in candidates if c in given), "")
    return name, given.get(name)
