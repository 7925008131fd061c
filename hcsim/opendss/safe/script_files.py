"""Which files a feeder may name, and where they are: inside its folder, or in folders that the user allows.

Files written on Windows are found whatever their letters' case, slashes or drive. What is found is a regular file,
no pipe or device, and no link leads out. Its content is read once, hashed, and handed to OpenDSS as a copy: what
was looked at is what runs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from hcsim.errors import FeederError

ALLOW_VARIABLE = "HCSIM_ALLOW_FOLDERS"
"""Environment: more folders that feeders may read from, as in PATH; `--allow-folder` adds to it."""
MOST_FILES = 10_000
MOST_READINGS = 200
"""Of one script."""
MOST_BYTES = 2 * 1024**3
LARGEST_SCRIPT = 256 * 1024**2
_COPIED = 16 * 1024**2
"""Larger tables are linked to, not copied."""
_CHUNK = 1024**2


def allowed_folders() -> tuple[Path, ...]:
    """What `--allow-folder` and the environment name."""
    return tuple(Path(name) for name in os.environ.get(ALLOW_VARIABLE, "").split(os.pathsep) if name)


def allow_folders(folders: Iterable[Path]) -> None:
    """For this process and those that it starts."""
    names = [str(f) for f in (*allowed_folders(), *(Path(f).resolve() for f in folders))]
    os.environ[ALLOW_VARIABLE] = os.pathsep.join(dict.fromkeys(names))


class FeederFolder:
    """The folder of a master file, and what it gives out."""

    def __init__(self, master: Path, scratch: Path, allowed: Sequence[Path]) -> None:
        self.home = master.resolve().parent
        self._roots = (self.home, *(folder.resolve() for folder in allowed))
        self._scratch = scratch / "data"
        self._copies: dict[Path, Path] = {}
        self._bytes = 0
        self._reads: dict[Path, int] = {}
        self.digests: dict[Path, bytes] = {}
        """File -> SHA-256 of what was read, in reading order."""
        self.notes: dict[str, None] = {}

    def find(self, name: str, base: Path, where: str) -> Path | None:
        """The file that a reference means, None where there is none. Notes what had to be bent to find it.

        Raises FeederError where it lies outside, or is no regular file.
        """
        try:
            found = self._find(name, base)
            if found is None:
                return None
            real = found.resolve(strict=True)
            regular = stat.S_ISREG(real.stat().st_mode)
        except (OSError, ValueError, RuntimeError):
            return None
        if not regular:
            raise FeederError(f"{where}: {name!r} is a folder, pipe or device.", "Name a file.")
        if not self._inside(real):
            raise FeederError(
                f"{where}: {name!r} lies outside the feeder's folder {self.home}.",
                "Put it beside the feeder, or allow its folder with --allow-folder.",
            )
        return real

    def folder(self, name: str, base: Path) -> Path | None:
        """A folder that later references are relative to."""
        parts = PurePosixPath(name.replace("\\", "/")).parts
        found = _in_any_case(base, parts)
        return found if found is not None and found.is_dir() else None

    def read(self, file: Path) -> bytes:
        """A script's content. Raises FeederError where there is too much of it."""
        self._count(file)
        data = _bytes_of(file, LARGEST_SCRIPT)
        self._weigh(len(data), file)
        self.digests[file] = hashlib.sha256(data).digest()
        return data

    def copy(self, file: Path) -> Path:
        """A table for OpenDSS to read, under a name without surprises."""
        if file in self._copies:
            return self._copies[file]
        self._count(file)
        self._scratch.mkdir(parents=True, exist_ok=True)
        copy = self._scratch / f"{len(self._copies)}{file.suffix if file.suffix[1:].isalnum() else ''}"
        size = file.stat().st_size
        self._weigh(size, file)
        if size <= _COPIED:
            data = _bytes_of(file, _COPIED)
            digest = hashlib.sha256(data)
            copy.write_bytes(data)
        else:
            digest = hashlib.sha256()
            with file.open("rb") as handle:
                while chunk := handle.read(_CHUNK):
                    digest.update(chunk)
            try:
                copy.symlink_to(file)
            except OSError:
                shutil.copyfile(file, copy)
        self.digests[file] = digest.digest()
        self._copies[file] = copy
        return copy

    def note(self, sentence: str) -> None:
        self.notes[sentence] = None

    # -- limits -------------------------------------------------------------------------------------------

    def _count(self, file: Path) -> None:
        self._reads[file] = self._reads.get(file, 0) + 1
        if self._reads[file] > MOST_READINGS:
            raise FeederError(f"{file} is read over and over, more than {MOST_READINGS} times.")
        if len(self._reads) > MOST_FILES:
            raise FeederError(f"{file}: the feeder reads more than {MOST_FILES:,} files.")

    def _weigh(self, size: int, file: Path) -> None:
        self._bytes += size
        if self._bytes > MOST_BYTES:
            raise FeederError(f"{file}: the feeder's files are larger than {MOST_BYTES // 1024**2:,} MB together.")

    def _inside(self, real: Path) -> bool:
        if any(real.is_relative_to(root) for root in self._roots):
            return True
        if real.parent == self.home.parent and real.suffix.lower() == ".dss":
            self.note(f"{real.name} is read from the folder above the feeder's: {real.parent}.")
            return True
        return False

    # -- finding ------------------------------------------------------------------------------------------

    def _find(self, name: str, base: Path) -> Path | None:
        plain = PurePosixPath(name.replace("\\", "/"))
        exact = base / plain
        if exact.exists() and not exact.is_dir():
            return exact
        if "\\" in name and (base / name).is_file():
            return base / name
        foreign = plain.is_absolute() or bool(PureWindowsPath(name).drive)
        parts = list(plain.parts)
        if foreign:
            parts = [p for p in PureWindowsPath(name).parts if not p.endswith(("\\", "/", ":"))]
        for folder in dict.fromkeys((base, self.home)):
            for skip in range(len(parts) if foreign else 1):
                found = _in_any_case(folder, parts[skip:])
                if found is not None and not found.is_dir():
                    if foreign:
                        there = found.relative_to(folder)
                        self.note(f"{name} is not on this machine; read {there} in its place.")
                    return found
        return None


def _bytes_of(file: Path, most: int) -> bytes:
    """A regular file's content; what became a pipe meanwhile does not hang."""
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as handle:
        if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
            raise FeederError(f"{file} is no regular file.")
        data = handle.read(most + 1)
    if len(data) > most:
        raise FeederError(f"{file} is larger than {most // 1024**2:,} MB.")
    return data


def _in_any_case(folder: Path, parts: Sequence[str]) -> Path | None:
    """A file or folder by its path, letters in any case."""
    here = folder
    for part in parts:
        if part in (".", ".."):
            here = here / part
            continue
        if (here / part).exists():
            here = here / part
            continue
        try:
            match = next((p for p in sorted(here.iterdir()) if p.name.lower() == part.lower()), None)
        except OSError:
            return None
        if match is None:
            return None
        here = match
    return here if here.exists() else None
