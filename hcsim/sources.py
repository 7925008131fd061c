"""Which files a feeder is made of, and their common hash. Needs no OpenDSS.

OpenDSS keeps no list of the files that it read, so the references are followed as text: redirects, bus
coordinates and the files named inside properties. Only the hash rests on this; the model itself is always
read from the compiled circuit.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

_NAME = r"""(?:"([^"]+)"|'([^']+)'|\(([^)]+)\)|\[([^\]]+)\]|\{([^}]+)\}|([^\s!,)\]]+))"""
_REDIRECT = re.compile(r"^\s*(?:redir\w*|compile)\s+(?:file\s*=\s*)?" + _NAME, re.IGNORECASE)
_TABLE = re.compile(r"^\s*(?:buscoords|latlongcoords|uuids)\s+(?:file\s*=\s*)?" + _NAME, re.IGNORECASE)
_PROPERTY = re.compile(r"\b(?:csv|sng|dbl|pqcsv|pmult|qmult)?file\s*=\s*" + _NAME, re.IGNORECASE)


def feeder_files(master: Path) -> tuple[Path, ...]:
    """All files reachable from `master`, itself first, each once, in reading order.

    A reference that names no existing file is left out: OpenDSS has accepted the feeder, so it did not
    need it (a comment block, or an option that looks like one).
    """
    found: dict[Path, None] = {}
    _follow(master.resolve(), found)
    return tuple(found)


def feeder_sha256(master: Path) -> str:
    """Hash over the contents of all files of the feeder, in reading order, names excluded."""
    whole = hashlib.sha256()
    for file in feeder_files(master):
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


def _follow(script: Path, found: dict[Path, None]) -> None:
    if script in found or not script.is_file():
        return
    found[script] = None
    for raw in script.read_text(encoding="utf-8", errors="replace").splitlines():
        line = re.split(r"!|//", raw, maxsplit=1)[0]
        if redirect := _REDIRECT.match(line):
            _follow(_beside(script, redirect), found)
            continue
        for table in (_TABLE.match(line), *_PROPERTY.finditer(line)):
            if table and (file := _beside(script, table)).is_file():
                found[file] = None


def _beside(script: Path, reference: re.Match[str]) -> Path:
    name = next(group for group in reference.groups() if group is not None).strip()
    return (script.parent / name.replace("\\", "/")).resolve()
