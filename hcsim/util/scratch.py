"""Folders for what must not outlive a run. Each process has one, which ends with it; what a killed process left is
cleared away by the next.

A folder is in use while its process holds the kernel's lock on it (`flock`), so that neither a reused process number
nor another container on the same disk is mistaken.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from hcsim.util import stopping

PREFIX = "hcsim_"
_roots: dict[int, tuple[Path, int]] = {}
"""Process -> its folder and the descriptor that holds the lock."""
_making = threading.Lock()


def scratch_root() -> Path:
    """This process's own folder, made on the first call; the folders of the dead are removed then."""
    with _making:
        if os.getpid() not in _roots:
            root, held = _roots[os.getpid()] = _made_and_held()
            atexit.register(_remove_own, os.getpid())
            stopping.at_once(lambda process=os.getpid(): _remove_own(process))  # type: ignore[misc]
            if held >= 0:  # without locks nobody can tell the dead from the living
                sweep(root.parent)
        return _roots[os.getpid()][0]


def _made_and_held() -> tuple[Path, int]:
    """A new folder and the descriptor that holds it. Between the making and the lock another process that begins may
    take the folder for one of the dead and sweep it away: then it is made again."""
    while True:
        root = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            held = _hold(root)
        except FileNotFoundError:  # swept before it was opened
            continue
        except _NoLocks:
            return root, -1
        if held >= 0 and _stands(root, held):
            return root, held
        if held >= 0:  # swept between the opening and the lock
            os.close(held)


def scratch_folder(name: str) -> tempfile.TemporaryDirectory[str]:
    """A folder inside, removed with the object or, at the latest, with the process."""
    return tempfile.TemporaryDirectory(prefix=f"{name}-", dir=scratch_root(), ignore_cleanup_errors=True)


def sweep(place: Path) -> list[Path]:
    """Remove the scratch folders in `place` whose processes are dead; those removed."""
    removed: list[Path] = []
    if sys.platform == "win32":
        return removed
    for folder in place.glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
                continue
            held = _hold(folder)
        except (OSError, _NoLocks):
            continue
        if held < 0:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)
        removed.append(folder)
    return removed


class _NoLocks(Exception):
    """The system, or the file system, has no such locks."""


def _hold(folder: Path) -> int:
    """A descriptor that holds the folder; -1 where another process does."""
    if sys.platform == "win32":
        raise _NoLocks
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as refused:
        os.close(descriptor)
        if isinstance(refused, BlockingIOError):
            return -1
        raise _NoLocks from refused
    return descriptor


def _stands(folder: Path, descriptor: int) -> bool:
    """Whether the folder that is held is still the one of that name."""
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_own(process: int) -> None:
    if process == os.getpid() and process in _roots:  # a fork has its parent's list, not its folder
        root, held = _roots.pop(process)
        shutil.rmtree(root, ignore_errors=True)
        if held >= 0:
            os.close(held)
