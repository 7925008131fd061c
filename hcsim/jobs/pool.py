"""Tasks are pure: (feeder, site, scenario) -> rows. Where they run changes nothing but the time.

A `Job` is what every worker needs to know once; it is prepared (feeder compiled, bare day run) once per
worker process and job. `run_tasks` does the tasks in this process, in a pool of spawned processes, or on a
Dask cluster, and hands over every result exactly once, as it comes.

A worker that dies takes nothing with it: its tasks run again, one at a time, so that the one that kills a
worker is known by name; it is given up, the rest goes on.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from pathlib import Path
from typing import Any, Protocol

from hcsim.errors import ConfigError, HcsimError
from hcsim.util import sandbox
from hcsim.util.scratch import scratch_root

AHEAD = 4
"""Tasks handed to the pool beyond the number of its processes."""
WORKERS_WITHIN_S = 20.0
"""A Dask scheduler without a worker for this long is taken for a mistake."""
DIED = "the worker process died while it was at this task, twice"
NO_MEMORY = "the task needs more memory than a worker may have"


class Task(Protocol):
    @property
    def id(self) -> str:
        """Unique in its study, the name of its file."""


class Job(Protocol):
    """Picklable. `key` is equal for equal jobs. Paths in it are absolute: workers have working folders of their own.
    A job that writes names its folders in an attribute `writes_in`; workers write nowhere else."""

    @property
    def key(self) -> str: ...

    def prepare(self) -> Any:
        """The prepared in which tasks of this job are done. Expensive; once per worker."""

    def do(self, prepared: Any, task: Any) -> tuple[list[dict[str, Any]], int]:
        """Rows and number of power flows."""

    def missing(self, prepared: Any) -> dict[str, str]:
        """What the prepared itself cannot judge ("hour 12:00") -> why."""


@dataclass(frozen=True)
class TaskResult:
    id: str
    rows: tuple[dict[str, Any], ...]
    power_flows: int
    seconds: float
    error: str = ""
    """Why there are no rows."""
    missing: tuple[tuple[str, str], ...] = ()
    """What the rows do not speak of, and why."""


_prepared: dict[str, Any] = {}


def do_task(job: Job, task: Task) -> TaskResult:
    """In the worker. What the feeder or the study does wrong becomes the result's `error`."""
    started = time.perf_counter()
    try:
        if job.key not in _prepared:
            _prepared.clear()  # one feeder at a time: the large ones need the memory
            _prepared[job.key] = job.prepare()
        rows, flows = job.do(_prepared[job.key], task)
    except HcsimError as error:
        words = f"{error.message} {error.remedy}".strip()
        return TaskResult(task.id, (), 0, time.perf_counter() - started, words)
    except MemoryError:
        return TaskResult(task.id, (), 0, time.perf_counter() - started, NO_MEMORY)
    missing = tuple(job.missing(_prepared[job.key]).items())
    return TaskResult(task.id, tuple(rows), flows, time.perf_counter() - started, "", missing)


def run_tasks(
    job: Job, tasks: Sequence[Task], *, processes: int = 1, scheduler: str | None = None
) -> Iterator[TaskResult]:
    """Every task's result once, in the order in which they finish.

    `processes` 1 works in this process. `scheduler` is the address of a Dask scheduler ("tcp://host:8786");
    its workers must see the feeder's files under the same path. Raises ConfigError where Dask is not
    installed or the scheduler does not answer.
    """
    if scheduler:
        yield from _on_dask(job, tasks, scheduler)
    elif processes <= 1 or len(tasks) <= 1:
        for task in tasks:
            yield do_task(job, task)
    else:
        yield from _in_pool(job, tasks, min(processes, len(tasks)))


def _in_pool(job: Job, tasks: Sequence[Task], processes: int) -> Iterator[TaskResult]:
    queue = list(reversed(tasks))
    while queue:
        suspects: list[Task] = []
        yield from _pool_until_it_breaks(job, queue, processes, suspects)
        for task in suspects:
            yield _alone(job, task)


def _pool_until_it_breaks(job: Job, queue: list[Task], processes: int, suspects: list[Task]) -> Iterator[TaskResult]:
    """Takes from the end of `queue`; leaves in `suspects` what was in the pool when a worker died."""
    pool = _new_pool(processes, job)
    at_work: dict[Future[TaskResult], Task] = {}
    try:
        while queue or at_work:
            while queue and len(at_work) < processes + AHEAD:
                task = queue[-1]
                at_work[pool.submit(do_task, job, task)] = task
                queue.pop()
            done, _ = wait(at_work, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda f: at_work[f].id):
                result = future.result()
                del at_work[future]
                yield result
    except BrokenProcessPool:
        for future, task in at_work.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                yield future.result()
            else:
                suspects.append(task)
    finally:
        pool.shutdown(wait=not at_work, cancel_futures=True)


def _alone(job: Job, task: Task) -> TaskResult:
    """Again, with a worker to itself."""
    pool = _new_pool(1, job)
    try:
        return pool.submit(do_task, job, task).result()
    except BrokenProcessPool:
        return TaskResult(task.id, (), 0, 0.0, DIED)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _new_pool(processes: int, job: Job) -> ProcessPoolExecutor:
    """Spawned, never forked: OpenDSS holds threads and memory that a fork would break."""
    context = multiprocessing.get_context("spawn")
    start_tracker()
    writes = tuple(getattr(job, "writes_in", ()))
    return ProcessPoolExecutor(
        processes, mp_context=context, initializer=serve_the_study, initargs=(scratch_root(), writes)
    )


def start_tracker() -> None:
    """Python's own helper minds SIGINT and SIGTERM, but a terminal that closes would end it before its time."""
    if not hasattr(signal, "SIGHUP") or threading.current_thread() is not threading.main_thread():
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        resource_tracker.ensure_running()
    finally:
        signal.signal(signal.SIGHUP, before)


def serve_the_study(place: Path, writes: tuple[Path, ...]) -> None:
    """In a worker: an empty folder in `place` to work in and to write in, memory within limits. Ctrl-C, and what asks
    to end, reaches every process of a terminal, but it is the study's to act on it: a worker ends with the task in
    hand, not in the middle. And it ends with its study, even where that is killed."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    sandbox.limit(sandbox.memory_for_a_feeder())
    sandbox.settle_in(Path(tempfile.mkdtemp(prefix="worker-", dir=place)), writes)
    study = multiprocessing.parent_process()
    if study is not None:
        threading.Thread(target=_end_with, args=(study.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def _on_dask(job: Job, tasks: Sequence[Task], address: str) -> Iterator[TaskResult]:
    try:
        from dask.distributed import Client, as_completed
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise ConfigError(
            "--scheduler needs Dask, which is not installed.", "Install hcsim with its extra: hcsim[cluster]."
        ) from None
    try:
        client = Client(address, timeout="5s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"No Dask scheduler answers at {address}: {error}.",
            "Start one with `dask scheduler`, and workers with `dask worker ADDRESS --nthreads 1`.",
        ) from None
    with client:
        _wait_for_workers(client, address)
        at = {client.submit(do_task, job, task, key=f"hcsim-{job.key}-{task.id}", pure=False): task for task in tasks}
        for future in as_completed(at, loop=client.loop):
            task = at.pop(future)
            try:
                yield future.result()
            except KilledWorker:
                yield TaskResult(task.id, (), 0, 0.0, DIED)
            finally:
                future.release()


def _wait_for_workers(client: Any, address: str) -> None:
    from dask.distributed import TimeoutError as NobodyCame

    try:
        client.wait_for_workers(1, timeout=WORKERS_WITHIN_S)
    except NobodyCame:
        raise ConfigError(
            f"The Dask scheduler at {address} has had no worker for {WORKERS_WITHIN_S:g} s.",
            "Start one with `dask worker ADDRESS --nthreads 1`.",
        ) from None


Progress = Callable[[int, int, TaskResult], None]
"""Called with (tasks done, tasks in all, the last)."""
