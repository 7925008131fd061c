"""`hcsim stochastic`: many deployments of a case, results in a folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from hcsim.hosting.open_feeder import OpenFeeder, identity_of
from hcsim.hosting.stochastic import STOCHASTIC_COLUMNS, StochasticJob, deployments, rooftops
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
        opened.network, outcome, violation_shares(outcome.table), capacities(outcome.table, patterns)
    )
    unwritten = result.unwritten
    write_or_say(unwritten, folder / "stochastic.parquet", partial(write_parquet, table=outcome.table))
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
        "hc_kw": {f"p{q}": float(found["hc_kw"].quantile(q / 100)) for q in (5, 50, 95)} if len(found) else {},
        "by_pattern": {
            str(p): {f"p{q}": float(rows["hc_kw"].quantile(q / 100)) for q in (5, 50, 95)}
            for p, rows in found.groupby("pattern", sort=False)
        },
        "binds_first": {c: first.count(c) for c in dict.fromkeys(first)},
        "missing": dict(outcome.missing) | {f"penetration {p:g} %": why for p, why in asked.items()},
        "unwritten": result.unwritten,
    }
