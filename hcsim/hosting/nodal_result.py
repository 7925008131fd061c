"""Nodal hosting capacity: settings and result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from hcsim.hosting.nodal import NO_PHASE
from hcsim.jobs.campaign import CampaignResult
from hcsim.replay.recording import Controls
from optim.data.limits import Limits
from optim.data.network import Network
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule


@dataclass(frozen=True)
class NodalSettings:
    """What is asked, beside the case."""

    limits: Limits
    controls: Controls = "free"
    resolution_kw: float = 1.0
    largest_kw: float | None = None
    """At a three-phase bus; None: LARGEST_LOADS times the feeder's nominal load."""
    buses: tuple[str, ...] | None = None
    skip_steps: tuple[int, ...] = ()
    load: bool = False
    """Also the largest new load of every bus."""
    bess: Schedule | None = None
    """Also with the batteries of this schedule."""


@dataclass(frozen=True)
class NodalResult:
    """Scenario -> outcome: "generation", and as asked for "load", "generation_with_bess"."""

    network: Network
    profiles: Profiles
    outcomes: dict[str, CampaignResult]
    summary: dict[str, Any] = field(default_factory=dict)
    unwritten: dict[str, str] = field(default_factory=dict)
    """File -> why it is not there."""

    @property
    def missing(self) -> dict[str, str]:
        """Tasks, hours and files."""
        return {k: v for o in self.outcomes.values() for k, v in o.missing.items()} | self.unwritten

    @property
    def dead_buses(self) -> tuple[str, ...]:
        """Nothing can be connected there."""
        table = self.outcomes["generation"].table
        return tuple(dict.fromkeys(table.loc[table["status"] == NO_PHASE, "bus"]))

    def gain(self) -> pd.DataFrame | None:
        """bus, hc_kw without, with the batteries, gain_kw: of the smallest criterion per bus."""
        if "generation_with_bess" not in self.outcomes:
            return None
        without = smallest(self.outcomes["generation"].table)[["bus", "hc_kw", "criterion"]]
        beside = smallest(self.outcomes["generation_with_bess"].table)[["bus", "hc_kw", "criterion"]]
        both = without.merge(beside, on="bus", suffixes=("_without", "_with"))
        return both.assign(gain_kw=both["hc_kw_with"] - both["hc_kw_without"])


def smallest(table: pd.DataFrame) -> pd.DataFrame:
    """The row that binds, one per bus that could be judged."""
    return table[table["smallest"]].reset_index(drop=True)
