"""What an allocation study hands to the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hcsim.devices.held_controls import ALL_FREE, Selection
from hcsim.devices.inverter_curves import InverterControl
from hcsim.hosting.result import HostingCapacityResult
from hcsim.replay.inverter_day import InverterDay
from hcsim.replay.result import ReplayResult
from hcsim.replay.verdict import verdict
from hcsim.util.files import write_json
from hcsim.util.html_text import shown
from optim.data.limits import Limits
from optim.data.network import Network
from optim.data.node import bus_of, phase_of
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule
from optim.hosting.spread import Spread

if TYPE_CHECKING:
    from hcsim.certify.certificate import Certificate


@dataclass(frozen=True)
class SharingRow:
    """One way of sharing PV among sites: its hosting capacity by who decides on reactive power."""

    sharing: str
    """"uniform", or the case whose schedule gives shares and batteries."""
    found: Mapping[str, HostingCapacityResult]
    """"unity", "schedule" (not for uniform), and the inverters' mode; what failed is missing."""
    days: Mapping[str, InverterDay] = field(default_factory=dict)
    """The case's claim with autonomous inverters, by controls ("locked", "free"); empty for uniform."""


@dataclass(frozen=True)
class InverterComparison:
    """Hosting capacity by who decides on reactive power: a row per way of sharing PV."""

    control: InverterControl
    rows: Mapping[str, SharingRow] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseResult:
    """One case of a study: the claim and what OpenDSS says of it."""

    schedule: Schedule
    replays: Mapping[str, ReplayResult] = field(default_factory=dict)
    """"locked" and "free"; either may be missing in an interrupted study."""
    certificate: Certificate | None = None
    """What the closed loop made of it; None where it did not run."""
    no_more_than: Mapping[str, Any] = field(default_factory=dict)
    """What no schedule of the case exceeds, see `hcsim.workbench.bounds.NoMoreThan.to_json`; empty where not asked."""


@dataclass(frozen=True)
class SpreadResult:
    """The spread form that a study lays beside its total, without BESS."""

    objective: str
    """"even" or "load"."""
    claim: Schedule
    certificate: Certificate
    spread: Spread

    def standing(self, schedule: Schedule) -> dict[str, float]:
        """Capacity of all sites, of the least and of the most favoured, and the share of the largest: kW, per cent."""
        sites = self.spread.members(schedule.pv_nodes) @ schedule.pv_kw
        share = 100.0 * sites.max() / max(schedule.hc_kw, 1e-9)
        least, most = float(sites.min()), float(sites.max())
        return {"hc_kw": schedule.hc_kw, "least_site_kw": least, "most_site_kw": most, "largest_pct": float(share)}

    def facts(self, total: Certificate | None) -> dict[str, Any]:
        """As summary.json has it; `total` is the certificate of the sum."""
        found = {"objective": self.objective, "claim": self.standing(self.claim)}
        found["certified"] = {
            **self.standing(self.certificate.schedule),
            "status": self.certificate.status,
            "cut": self.certificate.cut,
            "losses_pct": self.certificate.losses_pct,
        }
        if total is not None:
            found["total"] = {**self.standing(total.schedule), "losses_pct": total.losses_pct}
        return found

    def words(self, total: Certificate | None) -> str:
        """Both side by side, a sentence or two."""

        def said(facts: dict[str, float]) -> str:
            return (
                f"{facts['hc_kw']:,.1f} kW certified, {facts['least_site_kw']:,.1f} to {facts['most_site_kw']:,.1f} kW "
                f"at a site, {facts['largest_pct']:.0f} % at the largest"
            )

        own = f"{WORDS[self.objective]}: {said(self.standing(self.certificate.schedule))}."
        return f"{own} As total: {said(self.standing(total.schedule))}." if total is not None else own


WORDS = {
    "even": "No BESS, the least favoured site served best",
    "load": "No BESS, in proportion to the load at each node",
}


@dataclass(frozen=True)
class StudyResult:
    """Everything that a report shows. Parts may be missing; `missing` says why.

    >>> import dataclasses, hcsim
    >>> {"cases", "baselines", "missing"} <= {field.name for field in dataclasses.fields(hcsim.StudyResult)}
    True
    """

    case: str
    """Short name of the study, "ieee123"."""
    title: str
    network: Network
    profiles: Profiles
    limits: Limits
    ledger: pd.DataFrame
    """hcsim.feeder.ledger.Ledger.to_frame(): element, class, verdict, reason, kw, kvar, rating."""
    cases: Mapping[str, CaseResult]
    """Keyed by CASES."""
    base_replays: Mapping[str, ReplayResult] = field(default_factory=dict)
    """The bare feeder, "locked" and "free"."""
    baselines: Mapping[str, HostingCapacityResult] = field(default_factory=dict)
    """"none" and "with_schedule"."""
    with_schedule_case: str = "distributed"
    """Whose schedule stands behind baselines["with_schedule"]."""
    assumptions: Mapping[str, str] = field(default_factory=dict)
    """Name -> sentence with the word stated, ours or calibrated."""
    paper: Mapping[str, object] = field(default_factory=dict)
    """[paper] of study.toml: source, none_kw, centralized_kw, distributed_kw, bess_buses."""
    controls: Selection = ALL_FREE
    """Which of the feeder's controls were free to act."""
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Part of the study -> wall-clock seconds."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Part that did not finish -> reason, "distributed" -> "interrupted by the user"."""
    inverters: InverterComparison | None = None
    """Autonomous inverters beside other reactive power; None where they were not asked for."""
    gates: Mapping[str, Any] = field(default_factory=dict)
    """time_gate, memory_gate, added_gate as plain numbers and texts."""
    loads_follow: tuple[str, ...] = ()
    """Sentences on whose curve the loads follow, and which day it is."""
    spread: SpreadResult | None = None
    programs: tuple[str, ...] = ()
    """Those that were asked for; the others have no row. Empty: not known."""

    @property
    def table(self) -> pd.DataFrame:
        """A row per program: what it claims, what OpenDSS says of it, what is certified, what simulation finds; kW."""
        rows = []
        for name, case in self.cases.items():
            solve, certificate = case.schedule.solve, case.certificate
            said = {controls: verdict(found).kind for controls, found in case.replays.items()}
            key = {"none": "with_shares", self.with_schedule_case: "with_schedule"}.get(name, name)
            simulated = self.baselines.get(key)
            rows.append(
                {
                    "program": name,
                    "claim_kw": case.schedule.hc_kw,
                    "lp_bound_kw": solve.bound if solve else np.nan,
                    "status": solve.status if solve else "",
                    "replay_locked": said.get("locked", ""),
                    "replay_free": said.get("free", ""),
                    "certified_kw": certificate.certified_kw if certificate else np.nan,
                    "word": certificate.word if certificate else "",
                    "simulation_kw": simulated.hc_kw if simulated else np.nan,
                }
            )
        return pd.DataFrame(rows)

    @property
    def sites(self) -> pd.DataFrame:
        """A row per program, bus and phase that has PV: certified where there is a certificate, else claimed; kW."""
        rows = []
        for name, case in self.cases.items():
            schedule = case.certificate.schedule if case.certificate else case.schedule
            word = case.certificate.word if case.certificate else "claimed"
            for node, kw in zip(schedule.pv_nodes, schedule.pv_kw, strict=True):
                if kw > 0:
                    rows.append((name, bus_of(node), phase_of(node), float(kw), word))
        return pd.DataFrame(rows, columns=["program", "bus", "phase", "pv_kw", "word"])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        missing = f"; without a result: {', '.join(self.missing)}" if self.missing else ""
        return shown(f"PV hosting capacity of {self.case} in kW{missing}", self.table)


def write_summary(summary: Mapping[str, Any], folder: Path) -> Path:
    """`summary.json` in the folder, plain types only, NaN as null. Raises OutputError."""
    return write_json(folder / "summary.json", summary)


def claim_in_words(schedule: Schedule) -> str:
    """Capacity, how it was proven and how long that took."""
    solve = schedule.solve
    if solve is None:
        return f"{schedule.hc_kw:.1f} kW"
    if np.isnan(solve.bound):  # of a spread objective the sum is not what is proven
        return f"{schedule.hc_kw:.1f} kW, {solve.status.replace('_', ' ')}"
    proof = f"at most {solve.bound:.1f} kW, gap {100 * solve.gap:.2f} %, {solve.status.replace('_', ' ')}"
    return f"{schedule.hc_kw:.1f} kW, {proof}"
