"""The other side of `hcsim.opendss.guard`: a server that forks a child per feeder, and the child."""

from __future__ import annotations

import json
import mmap
import os
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hcsim.errors import HcsimError
from hcsim.util import sandbox

_FINE, _MEMORY, _VIOLATION, _REFUSED = 0, 41, 42, 43
_WORDS = "refused"
"""File in the child's folder: why OpenDSS refuses the feeder."""
_LAST_BYTES = 600
_POLL_S = 0.01


def serve() -> None:
    """Answer one line per request until the input ends."""
    sandbox.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    sys.modules["pandas"] = None  # type: ignore[assignment]  # half of the start, and not needed here
    import hcsim.opendss.circuit  # noqa: F401  loaded before the first fork

    last = mmap.mmap(-1, _LAST_BYTES + 2)
    for line in iter(sys.stdin.buffer.readline, b""):
        answers.write(json.dumps(_answer(json.loads(line), last)) + "\n")
        answers.flush()


def _answer(request: dict[str, Any], last: mmap.mmap) -> dict[str, Any]:
    _say(last, "its first line")
    work = Path(tempfile.mkdtemp(prefix="trial-"))
    try:
        if not hasattr(os, "fork"):  # this process is the child; where it dies, another is started
            return _ended(_trial(request, work, last), work, last)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                sandbox.die_with_parent()
                sandbox.limit(sandbox.memory_for_a_feeder(), request["cpu_s"])
                sandbox.settle_in(work)
                code = _trial(request, work, last)
            finally:
                os._exit(code)
        status = _wait_for(child, request["wall_s"])
        if status is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)):
            return {"outcome": "timeout", "signal": 0, "last": _said(last)}
        if os.WIFSIGNALED(status):
            return {"outcome": "crash", "signal": os.WTERMSIG(status), "last": _said(last)}
        return _ended(os.WEXITSTATUS(status), work, last)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _ended(code: int, work: Path, last: mmap.mmap) -> dict[str, Any]:
    outcome = {_FINE: "fine", _MEMORY: "memory", _VIOLATION: "violation", _REFUSED: "refused"}.get(code, "crash")
    words = (work / _WORDS).read_text(encoding="utf-8") if outcome == "refused" else ""
    return {"outcome": outcome, "signal": 0, "last": _said(last), "words": words}


def _wait_for(child: int, most_s: float) -> int | None:
    """The child's status; None where it was killed for taking too long. Where the parent is gone, so is the child."""
    until = time.monotonic() + most_s
    handle = os.pidfd_open(child) if hasattr(os, "pidfd_open") else -1
    try:
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return status
            if time.monotonic() > until:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return None
            if handle >= 0:
                select.select([handle], [], [], 1.0)
            else:
                time.sleep(_POLL_S)
    finally:
        if handle >= 0:
            os.close(handle)


# -- in the child -----------------------------------------------------------------------------------------


def _trial(request: dict[str, Any], work: Path, last: mmap.mmap) -> int:
    """All that a study does with a feeder first: every line, the base case, every element, a step of a day."""
    try:
        if refused := _compile_and_solve(Path(request["master"]), Path(request["first"]), last):
            (work / _WORDS).write_text(refused, encoding="utf-8")
            return _REFUSED
    except MemoryError:
        return _MEMORY
    except Exception as error:  # what is not fatal, the parent hears from OpenDSS again
        words = str(error).lower()
        if "access violation" in words:
            return _VIOLATION
        if "out of memory" in words or "heap" in words:
            return _MEMORY
        return _FINE
    return _FINE


def _compile_and_solve(master: Path, first: Path, last: mmap.mmap) -> str:
    """Why OpenDSS refuses to read it, "" where it does not."""
    from hcsim.opendss.circuit import Circuit

    circuit = Circuit(master)
    try:
        _feed(circuit, first, first.parent.parent, last)
    except HcsimError as error:
        _raise_if_fatal(error)
        circuit = Circuit(master)  # as the parent would read it, in one go
        try:
            circuit.command(f'redirect "{first}"')
        except HcsimError as refused:
            _raise_if_fatal(refused)
            return refused.message
    for name, step in (
        ("solving its base case with controls", lambda: circuit.solve_base_case(controls=True)),
        ("solving its base case", lambda: circuit.solve(controls=False)),
        ("reading its elements", lambda: [circuit._session.properties_json(kind) for kind in circuit.classes()]),
        ("solving an hour of its day", lambda: _an_hour(circuit)),
    ):
        _say(last, name)
        try:
            step()
        except HcsimError as error:
            _raise_if_fatal(error)
    return ""


def _raise_if_fatal(error: HcsimError) -> None:
    words = error.message.lower()
    if any(w in words for w in ("access violation", "out of memory")):
        raise error


def _an_hour(circuit: Any) -> None:
    circuit.start_series(1.0)
    circuit.step(0, controls=True)


def _feed(circuit: Any, script: Path, place: Path, last: mmap.mmap) -> None:
    """Line by line, so that the last one is known. `place` holds the copies that scripts redirect to."""
    comment = False
    for number, line in enumerate(script.read_text(encoding="utf-8").split("\n"), start=1):
        comment = comment or line.startswith("/*")
        if comment:
            comment = "*/" not in line
            continue
        bare = line.strip(" \t")
        if not bare or bare.startswith("!"):
            continue
        if line.startswith("redirect ") and str(place) in line:  # put there by safe_scripts
            _feed(circuit, Path(line[len("redirect ") :][1:-1]), place, last)
            continue
        _say(last, f"{script.name}, line {number}: {bare}")
        circuit.command(line)


def _say(last: mmap.mmap, words: str) -> None:
    data = words.encode("utf-8", errors="replace")[:_LAST_BYTES]
    last[2 : 2 + len(data)] = data
    last[:2] = struct.pack("H", len(data))


def _said(last: mmap.mmap) -> str:
    (length,) = struct.unpack("H", last[:2])
    words = last[2 : 2 + length].decode("utf-8", errors="ignore")
    return words if len(words) <= 200 else words[:200] + " ..."
