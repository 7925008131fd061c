"""A room with the name of its main function, to be called by it: `hcsim.replay(...)` beside `hcsim.replay.run`.

Python sets a package's attribute to a submodule as soon as anything imports it, so a function of the same name would
hide the room, or the room the function, by the order of imports.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def callable_room(room: str, module: str, function: str) -> None:
    """Calling the module `room` calls `function` of `module`, which is imported with the first call."""

    def target() -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
        return found

    class Room(ModuleType):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return target()(*args, **kwargs)

        @property
        def __wrapped__(self) -> Callable[..., Any]:
            """The function, for `inspect.signature` and help."""
            return target()

    sys.modules[room].__class__ = Room
