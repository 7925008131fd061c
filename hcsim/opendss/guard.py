"""A feeder is compiled and solved once in a child process, before this one does it.

Some files abort, crash or hang the engine itself; some ask for more memory than there is. That ends a child, and one
sentence here names the command at which it was. Children are forked from a small process that has OpenDSS loaded and
nothing compiled, so that one costs milliseconds; it starts with the first feeder, or ahead of it (`start`).
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from hcsim.errors import FeederError
from hcsim.util.own_process import SWITCH
from hcsim.util.scratch import scratch_folder

CPU_S = 10.0
CPU_S_PER_LINE = 2e-3
"""Processor time that reading and solving may take; the 8500-node feeder with its 30,000 lines takes 3 s."""
WALL_PER_CPU = 6.0
"""On a busy machine."""
_CODE = "import sys; sys.path.insert(0, {root!r}); from hcsim.opendss.guard_child import serve; serve()"
_tried: set[str] = set()
"""Feeders that went well."""


class _Server:
    """The process that forks the children."""

    def __init__(self) -> None:
        self._work = scratch_folder("guard")
        root = str(Path(__file__).resolve().parents[2])
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE.format(root=root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._work.name,
            env={**os.environ, SWITCH: "off", "TMPDIR": self._work.name},
            text=True,
            encoding="utf-8",
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer; {"outcome": "died"} where the server itself did."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except (OSError, ValueError):
            answer = ""
        if not answer:
            return {"outcome": "died", "signal": -(process.wait() or 0), "last": ""}
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


_server: _Server | None = None
_asking = threading.RLock()


def is_on() -> bool:
    """Workers are children themselves: one that dies ends its task, and the study goes on."""
    return os.environ.get(SWITCH, "on") != "off" and multiprocessing.parent_process() is None


def start() -> None:
    """Have the server ready by the time the first feeder is there. Returns at once."""
    global _server
    if not is_on():
        return
    with _asking:
        if _server is None:
            atexit.register(stop)
        if _server is None or not _server.alive:
            _server = _Server()


def stop() -> None:
    """End the server; the next feeder starts another."""
    global _server
    with _asking:
        if _server is not None:
            _server.close()
        _server = None


def try_out(master: Path, first: Path, lines: int, key: str) -> str:
    """Compile and solve the scripts that begin with `first`, copies of those of `master`, in a child.

    Gives back why OpenDSS refuses them, "" where it does not: the caller need not ask again, for what it refuses in one
    process may crash the next. Raises FeederError where the child crashed, hung, or used up its memory. `key` says that
    it is the same feeder; each that went well is tried once.
    """
    if not is_on() or key in _tried:
        return ""
    cpu_s = CPU_S + CPU_S_PER_LINE * lines
    request = {"master": str(master), "first": str(first), "cpu_s": cpu_s, "wall_s": WALL_PER_CPU * cpu_s}
    with _asking:
        start()
        assert _server is not None
        try:
            answer = _server.ask(request)
        except BaseException:  # Ctrl-C in the middle: the next question must not get this answer
            stop()
            raise
    if answer["outcome"] == "refused":
        return str(answer["words"])
    if answer["outcome"] != "fine":
        raise _sentence(master, answer, cpu_s)
    _tried.add(key)
    return ""


def _sentence(master: Path, answer: dict[str, Any], cpu_s: float) -> FeederError:
    what = {
        "timeout": f"needs more than {cpu_s:.0f} s of processor time",
        "memory": "asks for more memory than the machine has",
        "violation": "reads memory that is not its own",
    }.get(answer["outcome"])
    if what is None:
        try:
            what = f"crashes ({signal.strsignal(int(answer['signal'])) or 'no signal'})"
        except ValueError:
            what = "crashes"
    at = f" at {answer['last']}" if answer["last"] else ""
    return FeederError(
        f"OpenDSS itself {what} on {master.name}{at}.",
        "Look at that command; without it, or with other values, the feeder may be read.",
    )
