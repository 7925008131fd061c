"""What a long job says while it works. Rooms emit events; only the command line prints."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Event:
    """`part` names a piece of the job and stays the same from its start to its end."""

    part: str
    state: Literal["started", "working", "done", "failed"]
    words: str = ""
    share: float | None = None
    """0 to 1 where it is known how much is done."""


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Listens and says nothing."""


_LOG = logging.getLogger(__name__)
_LEVELS = {"started": logging.INFO, "working": logging.DEBUG, "done": logging.INFO, "failed": logging.WARNING}


def logged(listener: Listener) -> Listener:
    """The same listener, with every event in the log too."""

    def hear(event: Event) -> None:
        _LOG.log(_LEVELS[event.state], "%s %s%s", event.part, event.state, f": {event.words}" if event.words else "")
        listener(event)

    return hear
