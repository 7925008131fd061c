"""No test asks how long something takes: these only end what hangs."""

import os
import time
from collections.abc import Callable

HANG_S = 600.0
"""A process, or a wait for it, that takes longer has come to a halt; a busy machine takes a tenth."""
NEVER_S = 1e6
"""A time limit for what is bounded by its work."""


def wait_until(happened: Callable[[], bool], going_on: Callable[[], bool] = lambda: True) -> None:
    """Returns once `happened`; fails where what was to bring it about is not `going_on` any more, or hangs."""
    begun = time.monotonic()
    while not happened():
        assert going_on(), "ended before it happened"
        assert time.monotonic() - begun < HANG_S, "hangs"
        time.sleep(0.02)


def unmeasured() -> dict[str, str]:
    """The environment for processes that signals end: coverage takes locks in its tracer, and a Ctrl-C that falls in
    between leaves them taken for good. Commands run in processes of their own, as at a user's."""
    left_out = ("COVERAGE", "COV_CORE", "HCSIM_GUARD")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
