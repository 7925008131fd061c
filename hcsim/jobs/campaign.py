"""A simulation study from tasks to table: run what is not yet done, keep every part, say what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from hcsim.cases.case import Case
from hcsim.cases.config.study import check_bands
from hcsim.devices.held_controls import selected
from hcsim.errors import OutputError
from hcsim.feeder.read import read_network
from hcsim.hosting.hour_reading import lines_are_rated
from hcsim.hosting.nodal import Feeder
from hcsim.jobs.dataset import Dataset
from hcsim.jobs.pool import Job, Task, TaskResult, run_tasks
from hcsim.opendss.circuit import Circuit
from optim.data.limits import Limits
from optim.data.network import Network
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule

Progress = Callable[[int, int], None]
"""Called with (tasks done, tasks in all)."""


NO_RATINGS = (
    "Every line has OpenDSS's default rating of 400 A, so none is stated: loading is judged at transformers only."
)


@dataclass(frozen=True)
class Means:
    """Where the tasks run."""

    processes: int = 2
    scheduler: str | None = None
    resume: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a campaign leaves behind."""

    table: pd.DataFrame
    missing: Mapping[str, str]
    """Task -> why it has no rows, or is not on disk; hour -> why it is not judged."""
    tasks: int
    resumed: int
    """Tasks that an earlier run had done."""
    power_flows: int
    seconds: float
    processes: int


@dataclass(frozen=True)
class OpenFeeder:
    """A case's feeder read in this process, for its sites and its hash."""

    case: Case
    feeder: Feeder
    network: Network
    notes: tuple[str, ...] = field(default=())


def open_feeder(case: Case) -> OpenFeeder:
    """Raises FeederError, ConvergenceError."""
    circuit = Circuit.compile(case.master)
    circuit.solve(controls=False)
    network, ledger = read_network(circuit)
    case = case.completed(network, ledger)
    check_bands(case.config, network, case.study_file)
    selection = selected(circuit, case)
    notes = [] if lines_are_rated(network) else [NO_RATINGS]
    notes += ungrounded(network)
    notes += [selection.words] if selection.held else []
    return OpenFeeder(case, Feeder(case.master, circuit.source_sha256, selection.held), network, tuple(notes))


def ungrounded(network: Network) -> list[str]:
    """What is said of buses whose phases have no ground: behind a delta winding, or on three wires."""
    buses = dict.fromkeys(network.nodes[n].rsplit(".", 1)[0] for n in np.flatnonzero(network.v_reference >= 0))
    if not buses:
        return []
    some = ", ".join(list(buses)[:5]) + (" ..." if len(buses) > 5 else "")
    return [
        f"{len(buses)} of {len(network.buses)} buses ({some}) have no ground: their sites stand between phases and "
        "their voltages are judged line to line (phase 1 means 1 to 2, 2 means 2 to 3, 3 means 3 to 1)."
    ]


def run_campaign(
    job: Job, tasks: Sequence[Task], folder: Path, identity: Mapping[str, Any],
    columns: Mapping[str, pa.DataType], means: Means, progress: Progress | None = None,
) -> Outcome:  # fmt: skip
    """All tasks, each on disk as soon as it is done.

    Where a part cannot be written (a full disk), its rows are kept in memory and the study goes on; where a
    task fails, its reason is kept; both are named in `missing`. Raises ConfigError (another study's parts
    under --resume, no scheduler), OutputError where the folder cannot be written at all.
    """
    started = time.perf_counter()
    data = Dataset(folder, identity, columns)
    done = data.open(resume=means.resume)
    names = [task.id for task in tasks]
    resumed = sum(name in done for name in names)
    missing: dict[str, str] = {}
    unwritten: dict[str, TaskResult] = {}
    finished = resumed
    if progress:
        progress(finished, len(tasks))
    to_do = [task for task in tasks if task.id not in done]
    for result in run_tasks(job, to_do, processes=means.processes, scheduler=means.scheduler):
        if result.error:
            missing[result.id] = result.error
        else:
            try:
                data.put(result)
            except OutputError as error:
                unwritten[result.id] = result
                missing[result.id] = f"in the tables, but not kept for --resume: {error.message}"
        finished += 1
        if progress:
            progress(finished, len(tasks))
    table = _in_order(data, names, unwritten, columns)
    flows = sum(data.power_flows.get(n, 0) for n in names) + sum(r.power_flows for r in unwritten.values())
    missing = {name: missing[name] for name in names if name in missing} | data.missing
    return Outcome(table, missing, len(tasks), resumed, flows, time.perf_counter() - started, means.processes)


def _in_order(
    data: Dataset, names: Sequence[str], unwritten: Mapping[str, TaskResult],
    columns: Mapping[str, pa.DataType],
) -> pd.DataFrame:  # fmt: skip
    if not unwritten:
        return data.table(names)
    schema = pa.schema(list(columns.items()))
    parts = [
        pa.Table.from_pylist([dict(r) for r in unwritten[name].rows], schema=schema).to_pandas()
        if name in unwritten else data.table([name])
        for name in names
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def identity_of(
    kind: str, feeder: Feeder, profiles: Profiles, limits: Limits, bess: Schedule | None, **settings: object
) -> dict[str, Any]:
    """What every study's results depend on, in plain types; `settings` are the study's own."""
    schedule = None
    if bess is not None:
        schedule = {"nodes": bess.bess_nodes, "p_kw": bess.bess_p_kw, "step_h": bess.step_h}
    return {
        "study": kind,
        "feeder": feeder.source_sha256,
        "profiles": {
            "times": profiles.times, "step_h": profiles.step_h, "load_pu": profiles.load_pu,
            "pv_pu": profiles.pv_pu, "fixed": profiles.fixed,
        },
        "limits": limits,
        "held": feeder.held,
        "bess": schedule,
        **settings,
    }  # fmt: skip
