"""Runs the parts of a study: those that wait for nothing side by side, each kept as soon as it is finished.

Who does them, in how many processes and in which order changes nothing but the time; nor does it whether a part was
made now or read from an earlier run's file, as what is handed on has always been packed and unpacked.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hcsim.errors import OutputError
from hcsim.jobs.packing import unpack
from hcsim.jobs.part_files import PartFiles
from hcsim.jobs.parts import Made, Part
from hcsim.jobs.workers import Crew
from hcsim.util.progress import Event, Listener

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ended:
    """A part that has ended, one way or the other."""

    part: Part
    made: Made
    value: Any = None
    """None where there is no result."""
    kept: bool = False
    """Whether it was read from the file of an earlier run."""
    unwritten: str = ""
    """Why it lies in no file for --resume."""


class SideBySide:
    """One run over the parts of a study."""

    def __init__(self, parts: Sequence[Part], files: PartFiles, classes: Sequence[type], listener: Listener) -> None:
        self._parts, self._files, self._classes, self._hear = tuple(parts), files, tuple(classes), listener
        self._names = {part.name for part in parts}
        self.values: dict[str, Any] = {}
        self._ended: set[str] = set()
        self._keys: dict[str, str] = {}

    def run(self, crew: Crew) -> Iterator[Ended]:
        """Every part that has what it needs, once, in the order in which they end."""
        waiting = self._by_length() if crew.many else list(self._parts)
        looked: set[str] = set()
        while waiting or crew.at_work:
            for part in [p for p in waiting if self._is_free(p)]:
                if any(name not in self.values for name in part.needs):
                    waiting.remove(part)
                    self._ended.add(part.name)
                    break
                if part.name not in looked:
                    looked.add(part.name)
                    if (kept := self._kept(part)) is not None:
                        waiting.remove(part)
                        yield kept
                        break
                if crew.room:
                    waiting.remove(part)
                    self._hear(Event(part.title, "started"))
                    crew.begin(part, {n: self.values[n] for n in _stands_on(part) if n in self.values})
            else:
                if not crew.at_work:
                    raise ValueError(f"parts wait for each other: {', '.join(p.name for p in waiting)}")
                yield self._end_of(*crew.next(self._say))

    def _say(self, part: Part, words: str, share: float | None) -> None:
        self._hear(Event(part.title, "working", words, share))

    def _is_free(self, part: Part) -> bool:
        return all(name in self._ended or name not in self._names for name in _stands_on(part))

    def _kept(self, part: Part) -> Ended | None:
        """What an earlier run has made of it."""
        key = self._keys[part.name] = self._files.key(
            part, {n: self._keys[n] for n in _stands_on(part) if n in self.values}
        )
        made = self._files.get(part.name, key)
        if made is not None:
            try:
                value = unpack(made.content, self._classes)
            except Exception as error:  # it is whole, and yet not what it should be
                self._files.put_aside(part.name, error)
            else:
                self._hear(Event(part.title, "started"))
                self._hear(Event(part.title, "done", f"{made.words} (of an earlier run)", 1.0))
                return self._ended_with(Ended(part, made, value, kept=True))
        if why := self._files.set_aside.get(part.name):
            _LOG.warning("the file of part %s was %s", part.name, why)
        return None

    def _end_of(self, part: Part, made: Made) -> Ended:
        if made.error:
            self._hear(Event(part.title, "failed", made.error))
            return self._ended_with(Ended(part, made))
        value, unwritten = unpack(made.content, self._classes), ""
        if not part.stopped(value):
            try:
                self._files.put(part.name, self._keys[part.name], made)
            except OutputError as error:
                unwritten = f"in the results, but not kept for --resume: {error.message}"
        self._hear(Event(part.title, "done", made.words, 1.0))
        return self._ended_with(Ended(part, made, value, unwritten=unwritten))

    def _ended_with(self, ended: Ended) -> Ended:
        self._ended.add(ended.part.name)
        if not ended.made.error:
            self.values[ended.part.name] = ended.value
        return ended

    def _by_length(self) -> list[Part]:
        """First what the longest way to the end leads over."""
        left: dict[str, float] = {}
        after = {name: [p for p in self._parts if name in _stands_on(p)] for name in self._names}

        def way(part: Part) -> float:
            if part.name not in left:
                left[part.name] = part.work + max((way(p) for p in after[part.name]), default=0.0)
            return left[part.name]

        return sorted(self._parts, key=lambda p: -way(p))


def _stands_on(part: Part) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*part.needs, *part.uses)))
