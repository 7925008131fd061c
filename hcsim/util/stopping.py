"""Ctrl-C, SIGTERM and SIGHUP: once ends in order what has something to keep, twice ends at once.

Until a results folder is held there is nothing to keep, so that the first one ends at once too, whatever is being
imported. The exit code is 130 always.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

INTERRUPTED = 130
BY_FRONT = getattr(signal, "SIGUSR1", signal.SIGINT)
"""By which a front (`hcsim.util.own_process`) passes on what it has heard. A terminal's Ctrl-C reaches every process: a
child that heard both would take one for two."""
WORDS = "Interrupted; what was finished has been kept.\n"
_to_keep = False
_asked = 0
_last: list[Callable[[], None]] = []


def install() -> None:
    """For a process of its own, from its main thread. A signal that the caller has ignored (nohup) stays so."""
    for number in numbers():
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)


def install_in_child() -> None:
    """Only the front is heard. It has blocked all of them until now."""
    for number in numbers():
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: None)  # ignored, they would be in every worker too
    signal.signal(BY_FRONT, _stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*numbers(), BY_FRONT})


def numbers() -> list[signal.Signals]:
    """What asks to end, as far as the system has it."""
    return [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def something_to_keep() -> None:
    """From now on the first signal is a KeyboardInterrupt, for whoever has begun something to end it in order."""
    global _to_keep
    _to_keep = True


def at_once(last: Callable[[], None]) -> None:
    """To be done before an end at once: quick, and sure not to fail."""
    _last.append(last)


def _stop(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked += 1
    if _to_keep and _asked == 1:
        raise KeyboardInterrupt
    for last in reversed(_last):
        try:
            last()
        except Exception:  # on the way out nobody can hear it
            continue
    try:
        say_interrupted()
    finally:
        os._exit(INTERRUPTED)


def say_interrupted() -> None:
    show_cursor = b"\x1b[?25h" if sys.stderr is not None and sys.stderr.isatty() else b""
    os.write(2, show_cursor + WORDS.encode())
