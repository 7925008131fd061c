"""What was begun last, kept where another process can read it after this one has died of it; and an end to what hangs.

A process that is killed by its own engine says nothing any more. So every call of the engine is written down before it
is made, in memory that is a file's (`keep_in`), and whoever waits for the process reads it there (`read`).
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_BYTES = 800
_LONGEST_CALL = 200
MOST_CPU_S = 600.0
"""Processor time that one call of the engine may take: the 8500-node feeder is read in 3 s, a step takes less."""
HUNG = 43
"""Exit code of a process that ended itself because the engine hung."""
_DURING, _AFTER = b"\1", b"\2"
"""First byte: whether the call is still at work."""
_kept: mmap.mmap | None = None
_part = ""
_present: int | None = None
"""Number of the present call; None between calls. Asking for the time at every call would cost more than many take."""
_count = 0


def keep_in(file: Path) -> None:
    """From now on what is begun stands in this file."""
    global _kept
    file.write_bytes(bytes(_BYTES))
    with file.open("r+b") as handle:
        _kept = mmap.mmap(handle.fileno(), _BYTES)


def read(file: Path) -> str:
    """What a process that kept its words there was at; "" where it had not begun anything."""
    try:
        content = file.read_bytes().rstrip(b"\0")
    except OSError:
        return ""
    word = {_DURING: "at ", _AFTER: "after "}.get(content[:1], "")
    return word + content[1:].decode("utf-8", errors="replace")


def part(name: str) -> None:
    """A part of the job ("replay none, controls free") begins."""
    global _part
    _part = name
    _write(b" ", f"in {name}" if name else "")


@contextmanager
def call(words: str) -> Iterator[None]:
    """One call of the engine. Of calls inside calls the innermost is told."""
    global _present, _count
    _count += 1
    outer, _present = _present, _count
    if _kept is not None:
        said = words if len(words) <= _LONGEST_CALL else f"{words[:_LONGEST_CALL]} ..."
        _write(_DURING, f"`{said}`" + (f", in {_part}" if _part else ""))
    try:
        yield
    finally:
        _present = outer
        if _kept is not None:
            _kept[:1] = _AFTER


def end_what_hangs(last: Callable[[], object] = lambda: None) -> None:
    """End this process where a call of the engine takes more than MOST_CPU_S, after `last`."""

    def watch() -> None:
        seen, since_s = None, 0.0
        while True:
            time.sleep(2.0)
            now = _present
            if now is None or now != seen:
                seen, since_s = now, time.process_time()
            elif time.process_time() - since_s > MOST_CPU_S:
                last()
                os._exit(HUNG)

    threading.Thread(target=watch, daemon=True, name="hcsim-watch").start()


def _write(first: bytes, words: str) -> None:
    if _kept is not None:
        _kept[:] = (first + words.encode("utf-8", errors="replace"))[:_BYTES].ljust(_BYTES, b"\0")
