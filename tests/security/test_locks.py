"""One run per results folder, whoever was killed before."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from hcsim.errors import OutputError
from hcsim.util.locks import LOCK_FILE, FolderLock, folder_lock, holder_of

HOLD = """
import sys, time
from pathlib import Path
from hcsim.util.locks import hold_folder
hold_folder(Path(sys.argv[1]), sys.argv[2:])
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder():
    """Starts another process that holds a folder."""
    started = []

    def start(folder, *parts):
        child = subprocess.Popen([sys.executable, "-c", HOLD, str(folder), *parts], stdout=subprocess.PIPE, text=True)
        started.append(child)
        assert child.stdout.readline().strip() == "held"
        return child

    yield start
    for child in started:
        child.kill()
        child.wait()


def test_second_run_is_refused_and_named(tmp_path, holder):
    other = holder(tmp_path)
    with pytest.raises(OutputError, match=rf"process {other.pid} on {socket.gethostname()}"), folder_lock(tmp_path):
        pass


def test_killed_run_leaves_no_lock_behind(tmp_path, holder):
    other = holder(tmp_path)
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / LOCK_FILE).exists()
    lock = FolderLock(tmp_path).acquire()
    assert lock.taken_from.process == other.pid
    lock.release()
    assert not (tmp_path / LOCK_FILE).exists()


@pytest.mark.parametrize("parts", [(), ("figures",)])
def test_files_that_a_killed_run_had_begun_are_cleared(tmp_path, holder, parts):
    """In its own parts and beside them; those of others stay."""
    other = holder(tmp_path, *parts)
    halves = [tmp_path / ".summary.json.77.part", tmp_path / "figures" / "deep" / ".map.svg.77.part"]
    others = tmp_path / "others" / ".table.csv.88.part"
    for file in (*halves, others):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("half")
    other.kill()
    other.wait()
    FolderLock(tmp_path, parts).acquire().release()
    assert not [half for half in halves if half.exists()] and others.exists() == bool(parts)


def test_stopped_run_still_holds(tmp_path, holder):
    """A suspended process is no dead one."""
    holder(tmp_path).send_signal(signal.SIGSTOP)
    with pytest.raises(OutputError), folder_lock(tmp_path):
        pass


def test_thread_may_take_its_own_again(tmp_path):
    with folder_lock(tmp_path):
        with folder_lock(tmp_path):
            pass
        assert holder_of(tmp_path).process == os.getpid()
    assert holder_of(tmp_path) is None


@pytest.mark.parametrize(("above", "below", "refused"), [(True, "x", True), (False, "x", True)])
def test_folders_inside_each_other(tmp_path, holder, above, below, refused):
    inner = tmp_path / below
    inner.mkdir()
    first, second = (tmp_path, inner) if above else (inner, tmp_path)
    holder(first)
    with pytest.raises(OutputError), folder_lock(second):
        pass


def test_beside_the_parts_of_another(tmp_path, holder):
    holder(tmp_path, "schedules")
    with folder_lock(tmp_path / "nodal"):
        pass
    with pytest.raises(OutputError), folder_lock(tmp_path / "schedules" / "none"):
        pass


@pytest.mark.parametrize("words", ["", "{", "[]", '{"host": 1}', "\0" * 50, "[" * 90_000])
def test_damaged_lock_of_nobody_is_taken(tmp_path, words):
    (tmp_path / LOCK_FILE).write_text(words)
    with folder_lock(tmp_path):
        assert json.loads((tmp_path / LOCK_FILE).read_text())["process"] == os.getpid()


@pytest.mark.parametrize(("age_s", "refused"), [(0.0, True), (600.0, False)])
def test_lock_of_another_host(tmp_path, age_s, refused):
    """Where kernel locks do not reach, the heartbeat decides."""
    file = tmp_path / LOCK_FILE
    said = {"host": "elsewhere", "process": 1, "command": "hcsim study", "since": "2026-01-01", "parts": []}
    file.write_text(json.dumps(said))
    os.utime(file, (time.time() - age_s,) * 2)
    lock = FolderLock(tmp_path)
    if refused:
        with pytest.raises(OutputError, match="elsewhere"):
            lock.acquire()
    else:
        lock.acquire().release()


def test_a_lock_that_is_a_link_overwrites_nothing(tmp_path):
    """As in a folder of results unpacked from elsewhere."""
    precious, results = tmp_path / "precious", tmp_path / "results"
    precious.write_text("mine\n")
    results.mkdir()
    (results / LOCK_FILE).symlink_to(precious)
    with pytest.raises(OutputError, match="is a link"), folder_lock(results):
        pass
    (results / LOCK_FILE).unlink()
    (results / LOCK_FILE).symlink_to(tmp_path / "not there")
    with pytest.raises(OutputError, match="is a link"), folder_lock(results):
        pass
    assert precious.read_text() == "mine\n" and not (tmp_path / "not there").exists()


@pytest.mark.parametrize("inside", ["parts", "replays/bare", "a/b/c"])
def test_a_link_out_of_the_results_is_not_followed(inside, tmp_path):
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "results" / inside
    elsewhere.mkdir()
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(OutputError, match="leads out of"), folder_lock(tmp_path / "results"):
        pass
    link.unlink()
    (tmp_path / "results" / "own").mkdir()
    link.symlink_to(tmp_path / "results" / "own", target_is_directory=True)
    with folder_lock(tmp_path / "results"):
        pass
