"""Stochastic hosting capacity: settings and result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from hcsim.hosting.stochastic import Pattern
from hcsim.jobs.campaign import CampaignResult
from hcsim.replay.recording import Controls
from optim.data.limits import Limits
from optim.data.network import Network


@dataclass(frozen=True)
class StochasticSettings:
    """What is asked, beside the case."""

    limits: Limits
    deployments: int = 1000
    penetrations_pct: tuple[float, ...] = tuple(float(p) for p in range(10, 101, 10))
    patterns: tuple[Pattern, ...] = ("random", "near", "far")
    seed: int = 1
    per_load: float | None = 1.5
    """Rooftop kW per nominal kW of load; or `fixed_kw` at every customer."""
    fixed_kw: float | None = None
    controls: Controls = "free"
    skip_steps: tuple[int, ...] = ()


@dataclass(frozen=True)
class StochasticResult:
    network: Network
    outcome: CampaignResult
    shares: pd.DataFrame
    """penetration_pct, pv_kw, criterion ("any": at least one), share of deployments violated."""
    capacities: pd.DataFrame
    """deployment, pattern, hc_pct, hc_kw: the last step before the first violation; first: its criteria."""
    summary: dict[str, Any] = field(default_factory=dict)
    unwritten: dict[str, str] = field(default_factory=dict)
    """File -> why it is not there."""


def violation_shares(table: pd.DataFrame) -> pd.DataFrame:
    """Share of deployments with a violation, by penetration and criterion, "any" last."""
    if table.empty:
        return pd.DataFrame(columns=["penetration_pct", "criterion", "share"])
    single = table.groupby(["criterion", "penetration_pct"], sort=False)["violated"].mean()
    anyone = table.groupby(["penetration_pct", "deployment"])["violated"].any()
    together = anyone.groupby("penetration_pct").mean().rename("share").reset_index().assign(criterion="any")
    return pd.concat([single.rename("share").reset_index(), together], ignore_index=True)[
        ["penetration_pct", "criterion", "share"]
    ]


def capacities(table: pd.DataFrame, patterns: Mapping[int, str], *, defined: bool = True) -> pd.DataFrame:
    """One row per deployment: the last step before the first with a violation, 0 if the first has one; NaN where
    nothing is `defined`, as batteries break a limit by themselves. `verified`: that step has held when put back."""
    rows = []
    for deployment, steps in table.groupby("deployment", sort=True):
        bad = steps[steps["violated"]]
        first_pct = bad["penetration_pct"].min() if len(bad) else np.inf
        below = steps[steps["penetration_pct"] < first_pct]
        first = bad.loc[bad["penetration_pct"] == first_pct]
        rows.append(
            {
                "deployment": deployment,
                "pattern": patterns.get(int(str(deployment)), ""),
                "hc_pct": (below["penetration_pct"].max() if len(below) else 0.0) if defined else np.nan,
                "hc_kw": (below["pv_kw"].max() if len(below) else 0.0) if defined else np.nan,
                "verified": defined and bool(below["verified"].all()),
                "first_violation_kw": first["pv_kw"].iloc[0] if len(first) else np.nan,
                "first": ";".join(first["criterion"]),
            }
        )
    columns = ["deployment", "pattern", "hc_pct", "hc_kw", "first_violation_kw", "first", "verified"]
    return pd.DataFrame(rows, columns=columns)
