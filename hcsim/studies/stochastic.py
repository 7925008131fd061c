"""`hcsim stochastic`: many deployments of a case, results in a folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hcsim.hosting.open_feeder import OpenFeeder, identity_of
from hcsim.hosting.stochastic import STOCHASTIC_COLUMNS, UNDEFINED, StochasticJob, deployments, rooftops
from hcsim.hosting.stochastic_result import StochasticResult, StochasticSettings, capacities, violation_shares
from hcsim.jobs.campaign import Execution, Progress, run_campaign
from hcsim.util.files import write_csv, write_json, write_or_say, write_parquet
from hcsim.util.locks import alone_in_folder
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule


@alone_in_folder
def run_stochastic(
    opened: OpenFeeder,
    profiles: Profiles,
    settings: StochasticSettings,
    folder: Path,
    execution: Execution,
    *,
    bess: Schedule | None = None,
    progress: Progress | None = None,
) -> StochasticResult:
    """Runs all deployments; writes stochastic.parquet, shares.csv, capacities.csv and summary.json.

    What cannot be written is named in the result's `unwritten`. Raises ConfigError, FeederError, ConvergenceError;
    OutputError where the folder takes nothing at all.
    """
    job = StochasticJob(
        opened.feeder,
        profiles,
        settings.limits,
        settings.penetrations_pct,
        settings.seed,
        settings.per_load,
        settings.fixed_kw,
        settings.controls,
        bess,
        settings.skip_steps,
    )
    roofs = rooftops(opened.network, per_load=settings.per_load, fixed_kw=settings.fixed_kw)
    tasks = deployments(settings.deployments, settings.patterns)
    identity = identity_of(
        "stochastic",
        opened.feeder,
        profiles,
        settings.limits,
        bess,
        controls=settings.controls,
        penetrations_pct=settings.penetrations_pct,
        seed=settings.seed,
        per_load=settings.per_load,
        fixed_kw=settings.fixed_kw,
        patterns=settings.patterns,
        skip_steps=settings.skip_steps,
    )
    outcome = run_campaign(job, tasks, folder / "dataset", identity, STOCHASTIC_COLUMNS, execution, progress)
    patterns = {task.number: task.pattern for task in tasks}
    result = StochasticResult(
        opened.network,
        outcome,
        violation_shares(outcome.table),
        capacities(outcome.table, patterns, defined=UNDEFINED not in outcome.missing),
    )
    unwritten = result.unwritten
    rows = outcome.table.drop(columns="verified")  # of whole steps: it stands with the capacities
    write_or_say(unwritten, folder / "stochastic.parquet", partial(write_parquet, table=rows))
    write_or_say(unwritten, folder / "shares.csv", partial(write_csv, table=result.shares))
    write_or_say(unwritten, folder / "capacities.csv", partial(write_csv, table=result.capacities))
    result.summary.update(_summary(opened, profiles, settings, result, float(roofs.size_kw.sum())))
    write_or_say(unwritten, folder / "summary.json", partial(write_json, content=result.summary))
    return result


def _summary(
    opened: OpenFeeder, profiles: Profiles, settings: StochasticSettings, result: StochasticResult, roofs_kw: float
) -> dict[str, Any]:
    outcome, found = result.outcome, result.capacities
    nominal = float(opened.network.loads.p_kw.sum())
    asked = {
        p: "the roofs together hold less"
        for p in settings.penetrations_pct
        if nominal * p / 100 > roofs_kw * (1 + 1e-9)
    }
    first = [c for names in found["first"] for c in names.split(";") if c]
    return {
        "study": "stochastic",
        "case": opened.case.name,
        "feeder": {
            "buses": len(opened.network.buses),
            "nodes": len(opened.network.nodes),
            "load_kw": nominal,
            "source_sha256": opened.feeder.source_sha256,
        },
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
        "hc_kw": _quantiles(found),
        **({"reason": undefined} if (undefined := outcome.missing.get(UNDEFINED)) else {}),
        "verified": bool(found["verified"].all()) if len(found) else False,
        "by_pattern": {str(p): _quantiles(rows) for p, rows in found.groupby("pattern", sort=False)},
        "binds_first": {c: first.count(c) for c in dict.fromkeys(first)},
        "missing": dict(outcome.missing) | {f"penetration {p:g} %": why for p, why in asked.items()},
        "unwritten": result.unwritten,
    }


def _quantiles(found: pd.DataFrame) -> dict[str, float | None]:
    """Of the deployments: each the capacity of one of them, which has held when it was put back; None where a
    capacity is not defined."""
    if not len(found):
        return {}
    values = {q: float(found["hc_kw"].quantile(q / 100, interpolation="lower")) for q in (5, 50, 95)}
    return {f"p{q}": None if np.isnan(kw) else kw for q, kw in values.items()}
