"""One run per results folder: a lock that names who holds it, and that the next run takes over from the dead.

The lock is a file, `.hcsim.lock`, that says host, process, command and since when, and that is held by the kernel
(`flock`), which lets go of it however its process ends. Where a file system is shared between hosts without such
locks, the holder's heartbeat decides: a lock of another host that was not touched for `STALE_S` is stale.
"""

from __future__ import annotations

import errno
import functools
import inspect
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

from hcsim.errors import OutputError
from hcsim.util import stopping
from hcsim.util.files import output_folder

P = ParamSpec("P")
R = TypeVar("R")
LOCK_FILE, HALF = ".hcsim.lock", ".*.part"
HEARTBEAT_S = 20.0
STALE_S = 120.0
_DEPTH = 4
"""How many folders up and down a lock is looked for."""


@dataclass(frozen=True)
class Holder:
    """Who holds a folder. `parts`: names inside it that are its own; empty: everything."""

    host: str
    process: int
    command: str
    since: str
    parts: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        return f"`{self.command}`, process {self.process} on {self.host}, since {self.since}"


class FolderLock:
    """The lock of one folder, from `acquire` to `release`."""

    def __init__(self, folder: Path, parts: Sequence[str] = ()) -> None:
        self.folder, self.parts = folder, tuple(parts)
        self.file = folder / LOCK_FILE
        self.taken_from: Holder | None = None
        """The dead holder whose lock was taken over."""
        self._open: IO[str] | None = None
        self._ended = threading.Event()

    def acquire(self) -> FolderLock:
        """Raises OutputError naming the holder where the folder, one above or one below is in use."""
        output_folder(self.folder)
        self._nothing_leads_out()
        try:
            self._take()
        except OSError as error:
            raise OutputError(f"Cannot lock {self.folder}: {error.strerror}.", "Name another folder.") from error
        try:
            self._look_around()
        except OutputError:
            self.release()
            raise
        if self.taken_from is not None:
            self._clear_halves()
        threading.Thread(target=self._beat, daemon=True, name="hcsim-lock").start()
        return self

    def _nothing_leads_out(self) -> None:
        """Raises OutputError for a link by which results would be written to another place."""
        if self.file.is_symlink():
            raise OutputError(f"{self.file} is a link.", "Take it out, or name another folder.")
        ours = self.folder.resolve()
        below = [self.folder / name for name in self.parts] if self.parts else list(self.folder.iterdir())
        for depth in range(_DEPTH):
            for folder in (f for start in below for f in ([start] if depth == 0 else start.glob("*/" * depth))):
                if folder.is_symlink() and folder.is_dir() and not folder.resolve().is_relative_to(ours):
                    raise OutputError(
                        f"{folder} is a link that leads out of {self.folder}.", "Take it out, or name another folder."
                    )

    def _clear_halves(self) -> None:
        """Files that the dead holder had begun (see `hcsim.util.files.write_atomically`)."""
        inside = [half for name in self.parts or (".",) for half in (self.folder / name).rglob(HALF)]
        for half in (*self.folder.glob(HALF), *inside):
            with suppress(OSError):
                half.unlink()

    def release(self) -> None:
        self._ended.set()
        if self._open is not None:
            with suppress(OSError):
                self.file.unlink()
            self._open.close()
            self._open = None

    def _take(self) -> None:
        while True:
            handle = open(self.file, "a+", encoding="utf-8", opener=_no_link)  # noqa: SIM115, released later
            try:
                if not _kernel_lock(handle):
                    raise _in_use(self.folder, _read(handle))
                if not _still(handle, self.file):  # its last holder has just taken it away
                    handle.close()
                    continue
                before = _read(handle)
                if before is not None and before.host != socket.gethostname() and not self._is_old(handle):
                    raise _in_use(self.folder, before)
                self.taken_from = before
                handle.seek(0)
                handle.truncate()
                handle.write(json.dumps(asdict(_ourselves(self.parts))) + "\n")
                handle.flush()
            except BaseException:
                handle.close()
                raise
            self._open = handle
            return

    def _is_old(self, handle: IO[str]) -> bool:
        """By the clock of the file system, which need not be this machine's."""
        with tempfile.TemporaryFile(dir=self.folder) as now:
            return os.fstat(now.fileno()).st_mtime - os.fstat(handle.fileno()).st_mtime > STALE_S

    def _look_around(self) -> None:
        ours = self.folder.resolve()
        for above in list(ours.parents)[:_DEPTH]:
            holder = holder_of(above)
            inside = ours.relative_to(above).parts[0]
            if holder and not _held_here(above) and (not holder.parts or inside in holder.parts):
                raise _in_use(above, holder)
        below = [ours / name for name in self.parts] if self.parts else [ours]
        for depth in range(_DEPTH):
            for start in below:
                for file in start.glob("*/" * depth + LOCK_FILE):
                    if file.parent == ours or _held_here(file.parent):
                        continue
                    if holder := holder_of(file.parent):
                        raise _in_use(file.parent, holder)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            with suppress(OSError):
                os.utime(self.file)


def holder_of(folder: Path) -> Holder | None:
    """Who holds a folder now; None for nobody, and for one who is dead."""
    try:
        with _to_look_at(folder / LOCK_FILE) as handle:
            if not _kernel_lock(handle):
                return _read(handle) or Holder("an unknown host", 0, "hcsim", "now")
            holder = _read(handle)
            old = time.time() - os.fstat(handle.fileno()).st_mtime > STALE_S
            return None if holder is None or old or holder.host == socket.gethostname() else holder
    except OSError:
        return None


def _to_look_at(file: Path) -> IO[str]:
    """Open for writing, as some network file systems lock nothing else; a confined process may only read elsewhere."""
    try:
        return open(file, "r+", encoding="utf-8", opener=_no_link)
    except PermissionError:
        return open(file, encoding="utf-8", opener=_no_link)


def _no_link(path: str, flags: int) -> int:
    """A link in a folder of results from elsewhere must not have another file overwritten; a pipe must not hang."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)


_held: dict[Path, tuple[FolderLock, int, int]] = {}
"""Folder -> its lock, the thread that holds it, how many times."""


@contextmanager
def folder_lock(folder: Path, parts: Sequence[str] = ()) -> Iterator[Path]:
    """The folder, ours alone inside the `with`. A thread that holds it may take it again.

    `parts` names what the run writes inside (first-level names), so that others may work beside it there; empty:
    everything. Raises OutputError where another run holds it.
    """
    key = folder.absolute()
    _enter(key, parts)
    try:
        yield folder
    finally:
        _leave(key)


def alone_in_folder(run: Callable[P, R]) -> Callable[P, R]:
    """A function whose parameter `folder` is its own while it runs (`folder_lock`)."""
    signature = inspect.signature(run)

    @functools.wraps(run)
    def locked(*args: P.args, **kwargs: P.kwargs) -> R:
        with folder_lock(signature.bind(*args, **kwargs).arguments["folder"]):
            return run(*args, **kwargs)

    return locked


def hold_folder(folder: Path, parts: Sequence[str] = ()) -> Path:
    """`folder_lock` until `release_folders`, which ends a command."""
    _enter(folder.absolute(), parts)
    return folder


def release_folders() -> None:
    """Let go of every folder that this process holds."""
    for lock, _, _ in _held.values():
        lock.release()
    _held.clear()


def _enter(key: Path, parts: Sequence[str]) -> None:
    stopping.something_to_keep()
    if key in _held:
        lock, thread, times = _held[key]
        if thread != threading.get_ident():
            raise _in_use(key, _ourselves(parts))
        _held[key] = (lock, thread, times + 1)
        return
    _held[key] = (FolderLock(key, parts).acquire(), threading.get_ident(), 1)


def _leave(key: Path) -> None:
    if key not in _held:
        return
    lock, thread, times = _held[key]
    if times > 1:
        _held[key] = (lock, thread, times - 1)
        return
    del _held[key]
    lock.release()


def _held_here(folder: Path) -> bool:
    return any(thread == threading.get_ident() and key.resolve() == folder for key, (_, thread, _) in _held.items())


def _ourselves(parts: Sequence[str]) -> Holder:
    words = [Path(sys.argv[0]).name, *sys.argv[1:2]] if sys.argv and sys.argv[0] else ["python"]
    command = " ".join("hcsim" if w == "__main__.py" else w for w in words)
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    return Holder(socket.gethostname(), os.getpid(), command, since, tuple(parts))


def _read(handle: IO[str]) -> Holder | None:
    """What a lock file says; None where it is empty or no longer whole."""
    handle.seek(0)
    try:
        said: dict[str, Any] = json.loads(handle.read(100_000))
        parts = tuple(str(p) for p in said["parts"])
        return Holder(str(said["host"]), int(said["process"]), str(said["command"]), str(said["since"]), parts)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _in_use(folder: Path, holder: Holder | None) -> OutputError:
    by = holder.words if holder else "another run"
    return OutputError(
        f"{folder} is in use by {by}.", "Wait until that run has ended, or name another folder with --out."
    )


def _still(handle: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _kernel_lock(handle: IO[str]) -> bool:
    """Whether nobody alive holds it. On a file system without locks the heartbeat alone decides."""
    if sys.platform == "win32":
        import msvcrt

        try:
            handle.seek(0x7FFF0000)  # a byte that nobody reads: locked bytes cannot be read there
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(handle.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    return True
