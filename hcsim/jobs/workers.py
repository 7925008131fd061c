"""Who does the parts of a study: this process, or spawned ones beside it, each held to its own folder and memory.

A worker has a pipe of its own, over which it is given a part and says how it goes; nothing is shared, no lock and no
queue, so that one that dies costs its part and no other. It ends with its study, however that ends.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from logging.handlers import QueueHandler
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from hcsim.jobs.parts import Made, Part, PartsJob, Tell, do_part
from hcsim.jobs.pool import serve_the_study, start_tracker
from hcsim.util import last_words
from hcsim.util.scratch import scratch_root

NEWS_S = 0.1
"""Least time between two words of a worker."""
END_S = 5.0
"""What a worker without work may take to end."""

Say = Callable[[Part, str, float | None], None]


class Crew(Protocol):
    """Whoever does parts."""

    many: bool
    """Whether more than one part can be at work."""

    @property
    def room(self) -> bool:
        """Whether another part can begin now."""

    @property
    def at_work(self) -> tuple[Part, ...]: ...

    def begin(self, part: Part, given: Mapping[str, Any]) -> None: ...

    def next(self, say: Say) -> tuple[Part, Made]:
        """Waits for the next part to end; meanwhile `say` hears how parts go."""

    def end(self, *, at_once: bool) -> None: ...


class Here:
    """One part at a time in this process."""

    many = False

    def __init__(self, job: PartsJob, prepared: Any) -> None:
        self._job, self._prepared = job, prepared
        self._begun: tuple[Part, Mapping[str, Any]] | None = None

    @property
    def room(self) -> bool:
        return self._begun is None

    @property
    def at_work(self) -> tuple[Part, ...]:
        return (self._begun[0],) if self._begun else ()

    def begin(self, part: Part, given: Mapping[str, Any]) -> None:
        self._begun = part, given

    def next(self, say: Say) -> tuple[Part, Made]:
        assert self._begun is not None
        part, given = self._begun
        made = do_part(self._job, lambda: self._prepared, part, given, Tell(lambda *said: say(part, *said)))
        self._begun = None
        return part, made

    def end(self, *, at_once: bool) -> None:
        self._begun = None


@dataclass
class _Worker:
    process: BaseProcess
    line: Connection
    words: Path
    """Where it keeps what it has begun last."""
    part: Part | None = None


class Workers:
    """So many processes, begun at once: they load what they need while the study is still being opened."""

    many = True

    def __init__(self, job: PartsJob, processes: int) -> None:
        self._job, self._begun = job, 0
        start_tracker()
        self._workers = [self._new() for _ in range(processes)]

    def _new(self) -> _Worker:
        """Spawned, never forked: OpenDSS holds threads and memory that a fork would break."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        level = logging.getLogger("hcsim").getEffectiveLevel()
        self._begun += 1
        words = scratch_root() / f"worker_{self._begun}"
        process = context.Process(target=_serve, args=(theirs, self._job, words, level), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours, words)

    def keep(self, processes: int) -> None:
        """No more than these; the others, still without work, end."""
        for worker in self._workers[processes:]:
            self._dismiss(worker)
        del self._workers[processes:]

    @property
    def room(self) -> bool:
        return len(self.at_work) < len(self._workers)

    @property
    def at_work(self) -> tuple[Part, ...]:
        return tuple(w.part for w in self._workers if w.part is not None)

    def begin(self, part: Part, given: Mapping[str, Any]) -> None:
        worker = next(w for w in self._workers if w.part is None)
        try:
            worker.line.send((part, given))
        except OSError:  # it has died without work
            worker = self._replaced(worker)
            worker.line.send((part, given))
        worker.part = part

    def next(self, say: Say) -> tuple[Part, Made]:
        while True:
            busy = {w.line: w for w in self._workers if w.part is not None}
            for line in connection.wait(list(busy)):
                worker = busy[line]  # type: ignore[index]
                part = worker.part
                assert part is not None
                try:
                    kind, content = worker.line.recv()
                except (EOFError, OSError):
                    return part, self._died(worker)
                if kind == "made":
                    worker.part = None
                    return part, content
                if kind == "fault":
                    error = RuntimeError(f"{part.name}: {content[0]}")
                    error.add_note(content[1])
                    raise error
                if kind == "log":
                    logging.getLogger(content.name).handle(content)
                else:
                    say(part, *content)

    def _died(self, worker: _Worker) -> Made:
        """Its part is lost; another worker takes its place."""
        worker.process.join(END_S)
        code, why = worker.process.exitcode or 0, ""
        if code == last_words.HUNG:
            why = ", as OpenDSS did not come to an end,"
        elif code < 0:
            why = f" ({signal.strsignal(-code)})"
        where = last_words.read(worker.words).partition(", in ")[0]
        self._replaced(worker)
        where = f" {where}" if where.startswith(("at", "after")) else ""
        return Made(b"", "", 0.0, 0.0, f"its worker process died{why}{where}; --resume tries it again")

    def _replaced(self, worker: _Worker) -> _Worker:
        self._dismiss(worker)
        new = self._new()
        self._workers[self._workers.index(worker)] = new
        return new

    def _dismiss(self, worker: _Worker) -> None:
        worker.line.close()
        worker.process.kill()
        worker.process.join(END_S)

    def end(self, *, at_once: bool) -> None:
        """Those without work end by themselves; `at_once`, and where they do not, they are killed."""
        for worker in self._workers:
            worker.line.close()
        until = time.monotonic() + END_S
        for worker in self._workers:
            if not at_once and worker.part is None:
                worker.process.join(max(until - time.monotonic(), 0.0))
            worker.process.kill()
            worker.process.join(END_S)
        self._workers = []


# -- in a worker ------------------------------------------------------------------------------------------


def _serve(line: Connection, job: PartsJob, words: Path, level: int) -> None:
    """Parts as they are given, until the study hangs up.

    All that `job` needs has been loaded with it, before the worker is confined: Pyomo makes a semaphore when it is
    loaded, which is a file outside of the worker's own folder.
    """
    last_words.keep_in(words)
    last_words.end_what_hangs()
    serve_the_study(words.parent, ())
    logger = logging.getLogger("hcsim")
    logger.setLevel(level)
    logger.addHandler(_Home(line))
    prepared: list[Any] = []

    def ready() -> Any:
        if not prepared:
            prepared.append(job.prepare())
        return prepared[0]

    with suppress(BrokenPipeError, ConnectionResetError):  # the study has hung up in the middle of a part
        for part, given in _orders(line):
            last_words.part(part.title)
            try:
                line.send(("made", do_part(job, ready, part, given, Tell(_News(line)))))
            except Exception as error:  # neither ours to explain nor the user's doing: the study's to tell
                line.send(("fault", (f"{type(error).__name__}: {error}", traceback.format_exc())))


def _orders(line: Connection) -> Iterator[tuple[Part, Mapping[str, Any]]]:
    with suppress(EOFError, OSError):
        while True:
            yield line.recv()


class _News:
    """Sends what a part says, not too often."""

    def __init__(self, line: Connection) -> None:
        self._line, self._last = line, 0.0

    def __call__(self, words: str, share: float | None) -> None:
        now = time.monotonic()
        if now - self._last >= NEWS_S:
            self._last = now
            self._line.send(("said", (words, share)))


class _Home(QueueHandler):
    """The log of a worker is written by its study."""

    def __init__(self, line: Connection) -> None:
        super().__init__(line)  # type: ignore[arg-type]

    def enqueue(self, record: logging.LogRecord) -> None:
        self.queue.send(("log", record))  # type: ignore[attr-defined]


# -- how many ---------------------------------------------------------------------------------------------


def cores() -> int:
    """Of this machine that this process may use."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


def processes_that_fit(most: int) -> int:
    """At most `most`, fewer where memory is short: each takes what this process, which has opened the same feeder, has
    taken at most so far."""
    free = free_memory_bytes()
    if sys.platform == "win32" or free is None:
        return most
    import resource

    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return max(1, min(most, int(free // max(SPARE * taken, 1))))


SPARE = 1.3
"""What a worker may need beside what opening the feeder took."""


def free_memory_bytes() -> float | None:
    """What other processes can still have; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = 1024.0 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])
    except (OSError, ValueError, StopIteration):
        return None
    with suppress(OSError, ValueError):  # a container may have less than its machine
        most, used = (
            int(Path(f"/sys/fs/cgroup/memory.{name}").read_text(encoding="ascii")) for name in ("max", "current")
        )
        free = min(free, float(most - used))
    return free
