"""A study as parts: each a piece of work with a name, what it stands on, and a result that can lie in a file.

A part is pure: the same prepared case and the same results of other parts give the same result, in whatever process
and order. `hcsim.jobs.side_by_side` runs them.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from hcsim.errors import HcsimError
from hcsim.jobs.packing import pack

NO_MEMORY = "it needs more memory than a worker may have"


class PartsJob(Protocol):
    """What all parts of a study work on. Picklable; paths in it are absolute."""

    @property
    def classes(self) -> Sequence[type]:
        """The dataclasses that results are made of."""

    def prepare(self) -> Any:
        """The prepared case. Expensive; once per worker."""


class Tell:
    """What a part calls while it works, with words and, where it is known, the share that is done."""

    def __init__(self, say: Callable[[str, float | None], None]) -> None:
        self._say = say
        self.words = ""
        """The last that were said."""

    def __call__(self, words: str, share: float | None = None) -> None:
        self.words = words
        self._say(words, share)

    def count(self, of: str) -> Callable[[int, int], None]:
        """What a long job calls with (done, total)."""
        return lambda done, total: self(f"{done} of {total} {of}", done / max(total, 1))


@dataclass(frozen=True)
class Part(ABC):
    """One piece of a study. Its fields are its settings: plain values."""

    work: ClassVar[float] = 1.0
    """Roughly how long it takes beside the others: what the longest way to the end leads over begins first."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Unique in its study; the name of its file, and what it is called where it is missing."""

    @property
    def title(self) -> str:
        """What a listener hears."""
        return self.name

    @property
    def needs(self) -> tuple[str, ...]:
        """Parts without whose results there is nothing to do."""
        return ()

    @property
    def uses(self) -> tuple[str, ...]:
        """Parts that it waits for, and does without where they have no result."""
        return ()

    @abstractmethod
    def do(self, prepared: Any, given: Mapping[str, Any], tell: Tell) -> Any:
        """The result. `given`: the results of `needs` and `uses`. Raises HcsimError where there is none."""

    def stopped(self, result: Any) -> bool:
        """Whether Ctrl-C ended it in order with what it had: good to show, not to go on from."""
        return False


@dataclass(frozen=True)
class Made:
    """What became of a part."""

    content: bytes
    """The result, packed; nothing where there is none."""
    words: str
    seconds: float
    cpu_seconds: float
    """Processor time of its process."""
    error: str = ""
    """Why there is no result."""


def do_part(job: PartsJob, prepared: Callable[[], Any], part: Part, given: Mapping[str, Any], tell: Tell) -> Made:
    """Where the work is done. What the feeder or the study does wrong becomes `error`."""
    begun, begun_cpu = time.perf_counter(), time.process_time()
    content, error = b"", ""
    try:
        content = pack(part.do(prepared(), given, tell), job.classes)
    except HcsimError as wrong:
        error = str(wrong)
    except MemoryError:
        error = NO_MEMORY
    return Made(content, tell.words, time.perf_counter() - begun, time.process_time() - begun_cpu, error)
