"""What a study has finished, a file a part: what `--resume` goes on from.

A file carries a key, a hash over all that its part depends on: the feeder, the study's settings, the versions, the
part's own settings, and the keys of the parts whose results it was given. A part whose key has changed is made again;
one that is damaged is set aside, named and made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hcsim.jobs.dataset import fingerprint, same_study, set_aside
from hcsim.jobs.packing import archive, members_of
from hcsim.jobs.parts import Made, Part
from hcsim.util.files import output_folder, to_plain_json, write_atomically, write_json

FOLDER = "parts"
ABOUT, CONTENT = "about.json", "value.zip"


@dataclass
class PartFiles:
    """The finished parts of one study in `folder`/parts."""

    folder: Path
    identity: Mapping[str, Any]
    """What all parts depend on. Plain types."""

    def __post_init__(self) -> None:
        self.hash = fingerprint(self.identity)
        self.place = self.folder / FOLDER
        self.set_aside: dict[str, str] = {}
        """Part -> why its file, which lay there, could not be used."""

    def open(self, *, resume: bool) -> None:
        """Without `resume` whatever lies there is cleared. Raises ConfigError where parts of a different study lie
        there, naming what differs; OutputError."""
        output_folder(self.place)
        for half in self.place.glob(".*.part"):  # of a run that was killed
            half.unlink()
        identity = self.place / "identity.json"
        if resume:
            same_study(identity, self.identity, self.hash, parts=any(self.place.glob("*.zip")))
        else:
            for file in self.place.glob("*.zip"):
                file.unlink()
        write_json(identity, {"hash": self.hash, "identity": self.identity})

    def key(self, part: Part, stands_on: Mapping[str, str]) -> str:
        """`stands_on`: the keys of the parts whose results it is given."""
        content = [self.hash, type(part).__name__, asdict(part), dict(sorted(stands_on.items()))]
        return hashlib.sha256(json.dumps(to_plain_json(content)).encode()).hexdigest()

    def get(self, name: str, key: str) -> Made | None:
        """What was made of a part before; None where that is not there or not the same any more."""
        file = self._file(name)
        if not file.is_file():
            return None
        try:
            members = members_of(file.read_bytes())
            about = json.loads(members[ABOUT])
            content = members[CONTENT]
            if about["sha256"] != hashlib.sha256(content).hexdigest():
                raise ValueError("its content is not what was written")
            if about["part"] != name:
                raise ValueError(f"it is of another part, {about['part']!s:.40}")
            found = Made(content, str(about["words"]), float(about["seconds"]), float(about["cpu_seconds"]))
            return found if about["key"] == key else None
        except Exception as error:  # a damaged file makes the libraries raise anything
            self.put_aside(name, error)
            return None

    def put_aside(self, name: str, error: Exception) -> None:
        """Out of the way, not away: it is made again."""
        self.set_aside[name] = set_aside(self._file(name), self.place / "damaged", error)

    def put(self, name: str, key: str, made: Made) -> None:
        """Raises OutputError where it cannot be written."""
        about = {
            "part": name,
            "key": key,
            "sha256": hashlib.sha256(made.content).hexdigest(),
            "words": made.words,
            "seconds": made.seconds,
            "cpu_seconds": made.cpu_seconds,
        }
        data = archive({ABOUT: json.dumps(about, indent=1).encode(), CONTENT: made.content})
        write_atomically(self._file(name), lambda half: _write(half, data))

    def _file(self, name: str) -> Path:
        return self.place / f"{quote(name, safe=' ')}.zip"


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
