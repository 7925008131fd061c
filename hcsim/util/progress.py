"""What a long job says while it works. Rooms emit events; only the command line prints."""

from __future__ import annotations

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
