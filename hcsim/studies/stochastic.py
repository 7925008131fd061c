"""`hcsim stochastic`: many deployments of a case, results in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hcsim.hosting.stochastic import STOCHASTIC_COLUMNS, Pattern, StochasticJob, deployments, rooftops
from hcsim.jobs.campaign import Means, OpenFeeder, Outcome, Progress, identity_of, run_campaign
from hcsim.replay.series import Controls
from hcsim.util.files import write_csv, write_json, write_or_say, write_parquet
from optim.data.limits import Limits
from optim.data.network import Network
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule


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
    outcome: Outcome
    shares: pd.DataFrame
    """penetration_pct, pv_kw, criterion ("any": at least one), share of deployments violated."""
    capacities: pd.DataFrame
    """deployment, pattern, hc_pct, hc_kw: the last step before the first violation; first: its criteria."""
    summary: dict[str, Any] = field(default_factory=dict)
    unwritten: dict[str, str] = field(default_factory=dict)
    """File -> why it is not there."""


def run_stochastic(
    opened: OpenFeeder, profiles: Profiles, settings: StochasticSettings, folder: Path, means: Means, *,
    bess: Schedule | None = None, progress: Progress | None = None,
) -> StochasticResult:  # fmt: skip
    """Runs all deployments; writes stochastic.parquet, shares.csv, capacities.csv and summary.json.

    What cannot be written is named in the result's `unwritten`. Raises ConfigError, FeederError, ConvergenceError;
    OutputError where the folder takes nothing at all.
    """
    job = StochasticJob(
        opened.feeder, profiles, settings.limits, settings.penetrations_pct, settings.seed, settings.per_load,
        settings.fixed_kw, settings.controls, bess, settings.skip_steps,
    )  # fmt: skip
    roofs = rooftops(opened.network, per_load=settings.per_load, fixed_kw=settings.fixed_kw)
    tasks = deployments(settings.deployments, settings.patterns)
    identity = identity_of(
        "stochastic", opened.feeder, profiles, settings.limits, bess, controls=settings.controls,
        penetrations_pct=settings.penetrations_pct, seed=settings.seed, per_load=settings.per_load,
        fixed_kw=settings.fixed_kw, patterns=settings.patterns, skip_steps=settings.skip_steps,
    )  # fmt: skip
    outcome = run_campaign(job, tasks, folder / "dataset", identity, STOCHASTIC_COLUMNS, means, progress)
    patterns = {task.number: task.pattern for task in tasks}
    result = StochasticResult(
        opened.network, outcome, violation_shares(outcome.table), capacities(outcome.table, patterns)
    )
    unwritten = result.unwritten
    write_or_say(unwritten, folder / "stochastic.parquet", partial(write_parquet, table=outcome.table))
    write_or_say(unwritten, folder / "shares.csv", partial(write_csv, table=result.shares))
    write_or_say(unwritten, folder / "capacities.csv", partial(write_csv, table=result.capacities))
    result.summary.update(_summary(opened, profiles, settings, result, float(roofs.size_kw.sum())))
    write_or_say(unwritten, folder / "summary.json", partial(write_json, content=result.summary))
    return result


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


def capacities(table: pd.DataFrame, patterns: Mapping[int, str]) -> pd.DataFrame:
    """One row per deployment: the last step before the first with a violation, 0 if the first has one."""
    rows = []
    for deployment, steps in table.groupby("deployment", sort=True):
        bad = steps[steps["violated"]]
        first_pct = bad["penetration_pct"].min() if len(bad) else np.inf
        below = steps[steps["penetration_pct"] < first_pct]
        first = bad.loc[bad["penetration_pct"] == first_pct]
        rows.append({
            "deployment": deployment,
            "pattern": patterns.get(int(str(deployment)), ""),
            "hc_pct": below["penetration_pct"].max() if len(below) else 0.0,
            "hc_kw": below["pv_kw"].max() if len(below) else 0.0,
            "first_violation_kw": first["pv_kw"].iloc[0] if len(first) else np.nan,
            "first": ";".join(first["criterion"]),
        })  # fmt: skip
    columns = ["deployment", "pattern", "hc_pct", "hc_kw", "first_violation_kw", "first"]
    return pd.DataFrame(rows, columns=columns)


def _summary(
    opened: OpenFeeder, profiles: Profiles, settings: StochasticSettings, result: StochasticResult,
    roofs_kw: float,
) -> dict[str, Any]:  # fmt: skip
    outcome, found = result.outcome, result.capacities
    nominal = float(opened.network.loads.p_kw.sum())
    asked = {p: "the roofs together hold less" for p in settings.penetrations_pct
             if nominal * p / 100 > roofs_kw * (1 + 1e-9)}  # fmt: skip
    first = [c for names in found["first"] for c in names.split(";") if c]
    return {
        "study": "stochastic",
        "case": opened.case.name,
        "feeder": {"buses": len(opened.network.buses), "nodes": len(opened.network.nodes), "load_kw": nominal,
                   "source_sha256": opened.feeder.source_sha256},
        "settings": settings,
        "steps": len(profiles),
        "step_h": profiles.step_h,
        "notes": list(opened.notes),
        "deployments": outcome.tasks,
        "resumed": outcome.resumed,
        "rows": len(outcome.table),
        "power_flows": outcome.power_flows,
        "seconds": outcome.seconds,
        "first_violation_kw": float(found["first_violation_kw"].min()) if len(found) else None,
        "hc_kw": {f"p{q}": float(found["hc_kw"].quantile(q / 100)) for q in (5, 50, 95)} if len(found) else {},
        "by_pattern": {
            str(p): {f"p{q}": float(rows["hc_kw"].quantile(q / 100)) for q in (5, 50, 95)}
            for p, rows in found.groupby("pattern", sort=False)
        },
        "binds_first": {c: first.count(c) for c in dict.fromkeys(first)},
        "missing": dict(outcome.missing) | {f"penetration {p:g} %": why for p, why in asked.items()},
        "unwritten": result.unwritten,
    }  # fmt: skip
