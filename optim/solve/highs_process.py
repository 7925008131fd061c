"""What HiGHS has once a process: a banner on standard output, and a scheduler of threads.

highspy 1.16 writes its two-line banner inside the constructor of `Highs`, where it registers the callbacks: before a
caller can set any option. The bare object has its options by then, so the console is turned off just ahead of that.
No descriptor is redirected: lines of other threads cannot get lost, and nothing needs a lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import highspy


class QuietHighs(highspy.Highs):
    """`highspy.Highs` with the console off from its first call on.

    Not by `output_flag`, which would silence the progress callback too.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def enableCallbacks(self) -> None:
        self.setOptionValue("log_to_console", False)
        super().enableCallbacks()  # type: ignore[no-untyped-call]


_threads_in_use: object = None


def use_threads(threads: object) -> None:
    """HiGHS refuses another thread count than its scheduler's until that is reset."""
    global _threads_in_use
    if _threads_in_use != threads:  # also at first: others of this process may have run HiGHS with more
        highspy.Highs.resetGlobalScheduler(True)
    _threads_in_use = threads


def run(session: highspy.Highs) -> None:
    """Run a session. HiGHS does nothing where somebody else of the process has made its scheduler with other threads
    since: that is reset, and it runs again."""
    session.run()
    if session.getModelStatus() == highspy.HighsModelStatus.kNotset:
        highspy.Highs.resetGlobalScheduler(True)
        session.run()


@contextmanager
def others_may_use_highs() -> Iterator[None]:
    """Around a solver that may make HiGHS instances of its own, as Pyomo's `appsi_highs` does.

    One quiet instance ahead of it lets HiGHS note its banner as written. The scheduler is reset on both sides: left
    with another thread count, it makes sub-solves of a later session fail without a word (an irreducible set of
    conflicting rows comes back with all rows in it).
    """
    global _threads_in_use
    QuietHighs()
    highspy.Highs.resetGlobalScheduler(True)
    try:
        yield
    finally:
        highspy.Highs.resetGlobalScheduler(True)
        _threads_in_use = None
