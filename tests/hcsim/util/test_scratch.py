"""Scratch folders: those of the living stay, those of the dead go, whatever falls between the making and the lock."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hcsim.util import scratch

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such locks there, so nothing is swept")

BEGIN_AT_ONCE = """
import sys
from hcsim.util.scratch import scratch_root
sys.stdin.read(1)
root = scratch_root()
print(root, flush=True)
sys.stdin.read(1)
sys.exit(0 if root.is_dir() else 1)
"""


def test_processes_that_begin_at_once_leave_each_other_alone(tmp_path):
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", BEGIN_AT_ONCE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            text=True,
        )
        for _ in range(12)
    ]
    for process in begun:
        process.stdin.write(".")
        process.stdin.flush()
    roots = {process.stdout.readline().strip() for process in begun}  # all are made before any is asked again
    for process in begun:
        process.stdin.write(".")
        process.stdin.flush()
    assert [process.wait() for process in begun] == [0] * len(begun)
    assert len(roots) == len(begun)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("moment", ["before it is opened", "before it is locked", "after it was locked by the sweeper"])
def test_a_folder_swept_at_its_birth_is_made_again(tmp_path, monkeypatch, moment):
    """Another process's `sweep` falls at every moment between the making of a folder and its lock."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    import fcntl

    opened, locked, made = os.open, fcntl.flock, []
    others: list[int] = []

    def open_it(folder, *flags):
        if Path(folder).parent == tmp_path and not made:
            made.append(Path(folder))
            if moment == "before it is opened":
                made[0].rmdir()
        return opened(folder, *flags)

    def lock_it(descriptor, how):
        if len(made) == 1 and not others:
            others.append(opened(made[0], os.O_RDONLY))
            if moment == "before it is locked":
                made[0].rmdir()
            else:
                locked(others[0], fcntl.LOCK_EX)
        locked(descriptor, how)

    monkeypatch.setattr(os, "open", open_it)
    if moment != "before it is opened":
        monkeypatch.setattr(fcntl, "flock", lock_it)
    root, held = scratch._made_and_held()
    try:
        assert root != made[0]
        assert root.is_dir()
        assert root not in scratch.sweep(tmp_path)
    finally:
        os.close(held)
        for other in others:
            os.close(other)
    assert root in scratch.sweep(tmp_path)  # its process let go of it: it is one of the dead


def test_where_there_are_no_locks_nothing_is_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    import errno
    import fcntl

    def none(descriptor, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    root, held = scratch._made_and_held()
    assert held == -1
    assert scratch.sweep(tmp_path) == []
    assert root.is_dir()
