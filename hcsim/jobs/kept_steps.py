"""The steps of a command that does one after the other, each kept as soon as it is finished: what `--resume` goes on
from where there is nothing to do side by side.

What a step hands on has always been packed and unpacked, so that whether it was made now or by an earlier run changes
nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from hcsim.errors import OutputError
from hcsim.jobs.packing import pack, unpack
from hcsim.jobs.part_files import PartFiles
from hcsim.jobs.parts import Made
from hcsim.util.files import to_plain_json

T = TypeVar("T")
_LOG = logging.getLogger(__name__)


class KeptSteps:
    """The finished steps of one command in `folder`/parts."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], classes: Iterable[type], *, resume: bool) -> None:
        """`identity`: what all steps depend on. `classes`: what their results are made of. Raises ConfigError where
        `resume` finds steps of something else, naming what differs; OutputError."""
        self._files, self._classes = PartFiles(folder, identity), tuple(classes)
        self._files.open(resume=resume)
        self._keys: dict[str, str] = {}
        self.resumed: list[str] = []
        """Steps that an earlier run had finished."""

    def do(
        self,
        name: str,
        make: Callable[[], T],
        settings: Any = None,
        stands_on: Iterable[str] = (),
        *,
        whole: Callable[[T], bool] = lambda value: True,
    ) -> T:
        """What `make` makes, or has made in an earlier run.

        `settings`: what it depends on beside the steps that it `stands_on`. `whole`: whether a result is good to go on
        from: one that Ctrl-C has cut, or whose files are no longer as they were, is not.
        """
        content = [self._files.hash, name, to_plain_json(settings), {other: self._keys[other] for other in stands_on}]
        key = self._keys[name] = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        kept: T | None = self._kept(name, key)
        if kept is not None and whole(kept):
            self.resumed.append(name)
            return kept
        begun, begun_cpu = time.perf_counter(), time.process_time()
        value = make()
        data = pack(value, self._classes)
        if whole(value):
            made = Made(data, "", time.perf_counter() - begun, time.process_time() - begun_cpu)
            try:
                self._files.put(name, key, made)
            except OutputError as error:
                _LOG.warning("%s is not kept for --resume: %s", name, error.message)
        result: T = unpack(data, self._classes)
        return result

    def _kept(self, name: str, key: str) -> Any:
        made = self._files.get(name, key)
        if made is not None:
            try:
                return unpack(made.content, self._classes)
            except Exception as error:  # it is whole, and yet not what it should be
                self._files.put_aside(name, error)
        if why := self._files.set_aside.get(name):
            _LOG.warning("the file of %s was %s", name, why)
        return None
