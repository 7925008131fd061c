"""A simulation study from tasks to table: run what is not yet done, keep every part, say what is missing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from hcsim.errors import OutputError
from hcsim.jobs.dataset import Dataset
from hcsim.jobs.pool import Job, Task, TaskResult, run_tasks
from hcsim.util.locks import folder_lock

Progress = Callable[[int, int], None]
"""Called with (tasks done, tasks in all)."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Execution:
    """Where the tasks run."""

    processes: int = 2
    scheduler: str | None = None
    resume: bool = False


@dataclass(frozen=True)
class CampaignResult:
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
    set_aside: Mapping[str, str] = field(default_factory=dict)
    """Task -> why the part of an earlier run could not be used; it was made again."""


def run_campaign(
    job: Job,
    tasks: Sequence[Task],
    folder: Path,
    identity: Mapping[str, Any],
    columns: Mapping[str, pa.DataType],
    execution: Execution,
    progress: Progress | None = None,
) -> CampaignResult:
    """All tasks, each on disk as soon as it is done.

    Where a part cannot be written (a full disk), its rows are kept in memory and the study goes on; where a
    task fails, its reason is kept; both are named in `missing`. Raises ConfigError (another study's parts
    under --resume, no scheduler), OutputError where the folder cannot be written at all.
    """
    with folder_lock(folder):
        return _run_campaign(job, tasks, folder, identity, columns, execution, progress)


def _run_campaign(
    job: Job,
    tasks: Sequence[Task],
    folder: Path,
    identity: Mapping[str, Any],
    columns: Mapping[str, pa.DataType],
    execution: Execution,
    progress: Progress | None,
) -> CampaignResult:
    started = time.perf_counter()
    data = Dataset(folder, identity, columns)
    done = data.open(resume=execution.resume)
    for task, why in data.set_aside.items():
        _LOG.warning("the part of task %s was %s", task, why)
    names = [task.id for task in tasks]
    resumed = sum(name in done for name in names)
    missing: dict[str, str] = {}
    unwritten: dict[str, TaskResult] = {}
    finished = resumed
    if progress:
        progress(finished, len(tasks))
    to_do = [task for task in tasks if task.id not in done]
    for result in run_tasks(job, to_do, processes=execution.processes, scheduler=execution.scheduler):
        if result.error:
            missing[result.id] = result.error
            _LOG.warning("task %s has no result: %s", result.id, result.error)
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
    return CampaignResult(
        table, missing, len(tasks), resumed, flows, time.perf_counter() - started, execution.processes, data.set_aside
    )


def _in_order(
    data: Dataset, names: Sequence[str], unwritten: Mapping[str, TaskResult], columns: Mapping[str, pa.DataType]
) -> pd.DataFrame:
    if not unwritten:
        return data.table(names)
    schema = pa.schema(list(columns.items()))
    parts = [
        pa.Table.from_pylist([dict(r) for r in unwritten[name].rows], schema=schema).to_pandas()
        if name in unwritten
        else data.table([name])
        for name in names
    ]
    return pd.concat(parts, ignore_index=True)
