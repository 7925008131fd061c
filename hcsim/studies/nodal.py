"""`hcsim nodal`: every bus of a case, results in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from hcsim.hosting.hour_probe import Kind
from hcsim.hosting.nodal import NODAL_COLUMNS, NOT_BINDING, NodalJob, sites
from hcsim.hosting.nodal_result import NodalResult, NodalSettings, smallest
from hcsim.hosting.open_feeder import OpenFeeder, identity_of
from hcsim.jobs.campaign import CampaignResult, Execution, Progress, run_campaign
from hcsim.util.files import write_csv, write_json, write_or_say, write_parquet, write_text
from hcsim.util.locks import alone_in_folder
from optim.data.criteria import CRITERIA
from optim.data.network import Network
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule

LARGEST_LOADS = 2.0
"""The search ends at this many times the feeder's nominal load, a third of it per phase."""


@alone_in_folder
def run_nodal(
    opened: OpenFeeder,
    profiles: Profiles,
    settings: NodalSettings,
    folder: Path,
    execution: Execution,
    *,
    progress: Progress | None = None,
) -> NodalResult:
    """Runs the scenarios one after the other and writes per scenario NAME.parquet and NAME.csv (nodal,
    nodal_load, nodal_with_bess), with [feeder] crs nodal.geojson, nodal_gain.csv and summary.json.

    What cannot be written is named in the result's `unwritten`. Raises ConfigError, FeederError, ConvergenceError;
    OutputError where the folder takes nothing at all.
    """
    scenarios: list[tuple[str, Kind, Schedule | None]] = [("generation", "generation", None)]
    if settings.load:
        scenarios.append(("load", "load", None))
    if settings.bess is not None:
        scenarios.append(("generation_with_bess", "generation", settings.bess))
    outcomes: dict[str, CampaignResult] = {}
    unwritten: dict[str, str] = {}
    for name, kind, schedule in scenarios:
        job = _job(opened, profiles, settings, schedule)
        tasks = sites(opened.network, kind, settings.buses)
        identity = identity_of(
            f"nodal {name}",
            opened.feeder,
            profiles,
            settings.limits,
            schedule,
            controls=settings.controls,
            resolution_kw=job.resolution_kw,
            largest_kw_per_phase=job.largest_kw_per_phase,
            buses=[s.bus for s in tasks],
            skip_steps=settings.skip_steps,
        )
        outcome = run_campaign(job, tasks, folder / "datasets" / name, identity, NODAL_COLUMNS, execution, progress)
        outcomes[name] = outcome
        stem, table = folder / FILES[name], outcome.table
        write_or_say(unwritten, stem.with_suffix(".parquet"), partial(write_parquet, table=table))
        write_or_say(unwritten, stem.with_suffix(".csv"), partial(write_csv, table=table))
    result = NodalResult(opened.network, profiles, outcomes, unwritten=unwritten)
    if opened.case.config.feeder.crs and opened.network.coordinates:
        write_or_say(unwritten, folder / "nodal.geojson", partial(_write_points, opened))
    gain = result.gain()
    if gain is not None:
        write_or_say(unwritten, folder / "nodal_gain.csv", partial(write_csv, table=gain))
    result.summary.update(_summary(opened, profiles, settings, result))
    write_or_say(unwritten, folder / "summary.json", partial(write_json, content=result.summary))
    return result


def _write_points(opened: OpenFeeder, path: Path) -> None:
    """Every bus with what it can take, in WGS 84."""
    from hcsim.report.layers.tables import layers_of
    from hcsim.report.layers.write import geojson_of

    case = opened.case
    nodal = next(y for y in layers_of(case.name, opened.network, [path.parent]) if y.name == "nodal")
    write_text(path, geojson_of(nodal, case.config.feeder.crs))


FILES = {"generation": "nodal", "load": "nodal_load", "generation_with_bess": "nodal_with_bess"}


def _job(opened: OpenFeeder, profiles: Profiles, settings: NodalSettings, bess: Schedule | None) -> NodalJob:
    nominal = float(opened.network.loads.p_kw.sum())
    largest = settings.largest_kw if settings.largest_kw is not None else LARGEST_LOADS * nominal
    return NodalJob(
        opened.feeder,
        profiles,
        settings.limits,
        settings.controls,
        bess,
        settings.resolution_kw,
        largest / 3.0,
        settings.skip_steps,
    )


def _summary(opened: OpenFeeder, profiles: Profiles, settings: NodalSettings, result: NodalResult) -> dict[str, Any]:
    scenarios = {}
    for name, outcome in result.outcomes.items():
        least = smallest(outcome.table)
        binding = least.loc[least["status"] != NOT_BINDING, "criterion"].value_counts()
        scenarios[name] = {
            "buses": outcome.tasks,
            "rows": len(outcome.table),
            "resumed": outcome.resumed,
            "judged": len(least),
            "hc_kw": _spread(least["hc_kw"]),
            "binding": {c.name: int(binding.get(c.name, 0)) for c in CRITERIA},
            "status": outcome.table["status"].value_counts().to_dict(),
            "missing": dict(outcome.missing),
            "power_flows": outcome.power_flows,
            "seconds": outcome.seconds,
        }
    gain = result.gain()
    return {
        "study": "nodal",
        "case": opened.case.name,
        "feeder": {
            "buses": len(opened.network.buses),
            "nodes": len(opened.network.nodes),
            "source_sha256": opened.feeder.source_sha256,
        },
        "steps": len(profiles),
        "step_h": profiles.step_h,
        "limits": settings.limits,
        "controls": settings.controls,
        "resolution_kw": settings.resolution_kw,
        "notes": list(opened.notes),
        "scenarios": scenarios,
        "buses_without_phases": list(result.dead_buses),
        "unwritten": result.unwritten,
        "gain_kw": None if gain is None else _spread(gain["gain_kw"]),
    }


def _spread(values: pd.Series) -> dict[str, float]:
    return {
        name: float(values.quantile(q))
        for name, q in (("min", 0), ("p5", 0.05), ("median", 0.5), ("p95", 0.95), ("max", 1))
    }


def buses_of(names: Sequence[str], network: Network) -> tuple[str, ...]:
    """Buses asked for by name. Raises ConfigError with the nearest names."""
    from hcsim.errors import ConfigError
    from hcsim.util.suggest import did_you_mean

    wanted = tuple(name.lower() for name in names)
    for bus in wanted:
        if bus not in network.buses:
            raise ConfigError(f"Bus {bus!r} is not in the feeder.", did_you_mean(bus, network.buses))
    return wanted
