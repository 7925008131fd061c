"""What a worker process may do: memory and time within limits, and files written in its own folder only.

Limits are the system's (`setrlimit`: Linux, macOS). That nothing is written elsewhere, no program started and no
connection opened is Linux's Landlock (https://docs.kernel.org/userspace-api/landlock.html; kernel 5.13 and later,
files cut short from 6.2, connections from 6.7), which needs no rights and cannot be undone. Elsewhere the allow-list
of scripts stands alone.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_EXECUTE, _WRITE, _TRUNCATE, _REFER = 1 << 0, 1 << 1, 1 << 14, 1 << 13
_CHANGES = sum(1 << bit for bit in range(4, 13))
"""Removing and making of files, folders, links, sockets, pipes and devices."""
_NO_NEW_PRIVILEGES, _DIE_WITH_PARENT = 38, 1
_SIGKILL = 9


def landlock_version() -> int:
    """0 where the system has none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(int(_syscall(_CREATE, None, 0, 1)), 0)


def write_only_in(folders: Iterable[Path], *, programs: Iterable[Path] = (), connects: bool = False) -> bool:
    """From now on this thread, and all that it starts, writes in `folders` only, starts no program but `programs`, and
    opens no TCP connection unless it `connects`. False where the system cannot say so.

    Where workers are started (`programs`), files are moved between folders too, which the first version of Landlock
    never allows.
    """
    version, programs = landlock_version(), tuple(programs)
    if version < (2 if programs else 1):
        return False
    writing = _WRITE | _CHANGES | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    rules = struct.pack("QQ", writing | _EXECUTE, 0 if connects else 3)
    rules = rules if version >= 4 else rules[:8]
    ruleset = int(_syscall(_CREATE, rules, len(rules), 0))
    if ruleset < 0:
        return False
    try:
        places = [*((f, writing) for f in folders), *((p, _EXECUTE) for p in programs), (Path(os.devnull), _WRITE)]
        for place, rights in places:
            descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
            try:
                if _syscall(_ADD, ruleset, 1, struct.pack("=Qi", rights, descriptor), 0) != 0:
                    return False
            finally:
                os.close(descriptor)
        _libc().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        return _syscall(_RESTRICT, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def limit(memory_bytes: int | None = None, cpu_s: float | None = None) -> None:
    """Most memory beyond what the process has now, and most processor time. No core files."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes is not None and sys.platform.startswith("linux"):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if cpu_s is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        most = int(used.ru_utime + used.ru_stime + cpu_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (most, most + 2))


def settle_in(folder: Path, writable: Iterable[Path] = ()) -> bool:
    """Make `folder` this process's working and temporary folder, the only one that it writes in but for `writable`.
    Whether the system holds it to that."""
    os.chdir(folder)
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = str(folder)
    return write_only_in([folder, *writable])


def python_itself() -> list[Path]:
    """The programs that a worker process of Python is: the interpreter, and the loader that starts it."""
    found = [Path(sys.executable).resolve()]
    with suppress(OSError):
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
        loaded = {
            Path(line.split(maxsplit=5)[5]) for line in maps if line.count("/") and len(line.split(maxsplit=5)) == 6
        }
        found += sorted(file for file in loaded if file.name.startswith("ld-") and file.is_file())
    return found


def die_with_parent() -> None:
    """No orphans, also where the parent is killed (Linux)."""
    if sys.platform.startswith("linux"):
        _libc().prctl(_DIE_WITH_PARENT, _SIGKILL, 0, 0, 0)


def memory_for_a_feeder() -> int:
    """Bytes: half of the machine's memory, 2 GB at least."""
    return max(2 * 1024**3, memory_of_the_machine() // 2)


def memory_of_the_machine() -> int:
    """Bytes; 4 GB at least."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        whole = 0
    return max(4 * 1024**3, whole)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _syscall(number: int, *args: object) -> int:
    call = _libc().syscall
    call.restype = ctypes.c_long
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return int(call(ctypes.c_long(number), *wide))
