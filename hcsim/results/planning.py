"""What a planning study hands to the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from hcsim.cases.config.planning import PlanningPaper
from hcsim.hosting.result import HostingCapacityResult
from hcsim.replay.recording import Controls
from hcsim.replay.result import ReplayResult
from hcsim.workbench.planning import Sharing
from optim.data.network import Network
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule
from optim.planning.case import PlanningCase, ScenarioName, Scheme
from optim.planning.result import PlanningResult


@dataclass(frozen=True)
class SchemeResult:
    """One scheme: the claim and what OpenDSS says of it."""

    result: PlanningResult
    schedules: Mapping[ScenarioName, Schedule]
    replays: Mapping[tuple[ScenarioName, Controls], ReplayResult] = field(default_factory=dict)
    simulations: Mapping[Sharing, HostingCapacityResult] = field(default_factory=dict)
    """Hosting capacity of the plan by iteration."""


@dataclass(frozen=True)
class PlanningStudyResult:
    """Everything that the report shows. Parts may be missing; `missing` says why.

    >>> import dataclasses, hcsim
    >>> {"schemes", "missing"} <= {field.name for field in dataclasses.fields(hcsim.PlanningStudyResult)}
    True
    """

    case: str
    title: str
    network: Network
    profiles: Profiles
    """The day, charging station included."""
    ledger: pd.DataFrame
    planning: PlanningCase
    schemes: Mapping[Scheme, SchemeResult]
    assumptions: Mapping[str, str] = field(default_factory=dict)
    paper: PlanningPaper | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


def claim_in_words(found: PlanningResult) -> str:
    """As a sentence has it: "287,224 CNY per year, gap 0.004 %; 12.29 MW; units at 18, 33"."""
    at = ", ".join(f"{u.bus} ({u.energy_kwh:,.0f} kWh, {u.power_kw:,.0f} kW)" for u in found.plan)
    proof = f", gap {100 * found.solve.gap:.3f} %" if found.solve.gap else ""
    units = f"units at {at}" if at else "no unit"
    return f"{found.objective_cny:,.0f} CNY per year{proof}; {found.pvhc_mw:.2f} MW; {units}"
