"""What a planning study hands to the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from hcsim.cases.config.planning import PlanningPaper
from hcsim.hosting.result import HostingCapacityResult
from hcsim.replay.recording import Controls
from hcsim.replay.result import ReplayResult
from hcsim.util.html_text import shown
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

    @property
    def table(self) -> pd.DataFrame:
        """A row per scheme: cost in CNY per year, capacity in MW, the plan, and its proof."""
        rows = []
        for scheme, found in self.schemes.items():
            plan = found.result
            rows.append(
                {
                    "scheme": scheme,
                    "objective_cny": plan.objective_cny,
                    "pvhc_mw": plan.pvhc_mw,
                    "energy_kwh": sum(u.energy_kwh for u in plan.plan),
                    "power_kw": sum(u.power_kw for u in plan.plan),
                    "buses": " ".join(u.bus for u in plan.plan),
                    "gap": plan.solve.gap,
                    "status": plan.solve.status,
                }
            )
        return pd.DataFrame(rows)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return shown(f"Schemes on {self.case}", self.table)


def claim_in_words(found: PlanningResult) -> str:
    """As a sentence has it: "287,224 CNY per year, gap 0.004 %; 12.29 MW; units at 18, 33"."""
    at = ", ".join(f"{u.bus} ({u.energy_kwh:,.0f} kWh, {u.power_kw:,.0f} kW)" for u in found.plan)
    proof = f", gap {100 * found.solve.gap:.3f} %" if found.solve.gap else ""
    units = f"units at {at}" if at else "no unit"
    return f"{found.objective_cny:,.0f} CNY per year{proof}; {found.pvhc_mw:.2f} MW; {units}"
