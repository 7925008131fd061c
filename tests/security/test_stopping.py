"""Stopped in any way: 130, a sentence, no traceback, no orphans, no scratch folders, and the next run can go on."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from guards import HANG_S, unmeasured

from hcsim.util import scratch

CASE = Path(__file__).parents[1] / "cases" / "three_bus"
LONG = ("stochastic", CASE, "--deployments", "5000", "--processes", "2")
"""A campaign of small parts that is far from its end whenever it is stopped."""


@pytest.fixture
def run(tmp_path):
    """Starts hcsim in a process group of its own, with a temporary folder of its own."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    started = []

    def start(*args):
        child = subprocess.Popen(
            [sys.executable, "-m", "hcsim", *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            start_new_session=True,
            env={**unmeasured(), "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(temporary)},
        )
        started.append(child)
        return child

    start.temporary, start.folder = temporary, tmp_path
    yield start
    for child in started:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def group_is_gone(group, within_s=30.0):
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        alive = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                alive.append(stat.parent.name)
        if not alive:
            return True
        time.sleep(0.05)
    return False


def minds_signals(process):
    """Whether it has a handler for SIGTERM."""
    status = Path(f"/proc/{process}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) & 1 << (signal.SIGTERM - 1))


def wait_for(condition, child, within_s=120.0):
    until = time.monotonic() + within_s
    while not condition() and child.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert condition(), child.stderr.read() if child.poll() is not None else "too slow"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("after_s", [0.0, 0.3, 0.8, 1.5])
def test_during_imports(number, after_s, run):
    child = run("check", CASE / "Master.dss")
    wait_for(lambda: minds_signals(child.pid), child)  # what comes before the interpreter has come to hcsim is not ours
    time.sleep(after_s)
    child.send_signal(number)
    _, said = child.communicate(timeout=HANG_S)
    assert "Traceback" not in said
    assert child.returncode in (130, 0)
    assert group_is_gone(child.pid)
    assert not list(run.temporary.glob("hcsim_*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_in_the_middle_of_a_campaign(number, run):
    out = run.folder / "out"
    child = run(*LONG, "--out", out)
    wait_for(lambda: len(list(out.glob("dataset/parts/*.parquet"))) >= 2, child)
    os.killpg(child.pid, number)
    _, said = child.communicate(timeout=HANG_S)
    assert child.returncode == 130, said
    assert "Traceback" not in said
    assert group_is_gone(child.pid)
    assert not list(run.temporary.glob("hcsim_*"))
    assert not (out / ".hcsim.lock").exists()


def test_twice_ends_at_once(run):
    out = run.folder / "out"
    child = run("study", CASE, "--out", out, "--program", "none", "--robustness", "500", "--processes", "1")
    wait_for(lambda: (out / "replays" / "bare").exists(), child)
    child.send_signal(signal.SIGINT)
    time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=HANG_S)
    assert child.returncode == 130
    assert "Traceback" not in said
    assert group_is_gone(child.pid)
    assert not list(run.temporary.glob("hcsim_*"))


def test_after_kill_9_the_next_run_clears_up(run):
    out = run.folder / "out"
    child = run(*LONG, "--out", out)
    wait_for(lambda: len(list(out.glob("dataset/parts/*.parquet"))) >= 1, child)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert group_is_gone(child.pid), "workers and guard end with the run"
    left = list(run.temporary.glob("hcsim_*"))
    assert left
    again = run("cases")
    again.communicate(timeout=HANG_S)
    assert again.returncode == 0
    assert not list(run.temporary.glob("hcsim_*"))


def test_what_is_in_use_is_not_swept(tmp_path):
    code = "import time; from hcsim.util.scratch import scratch_root; print(scratch_root(), flush=True); time.sleep(60)"
    other = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**unmeasured(), "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)},
    )
    folder = Path(other.stdout.readline().strip())
    assert scratch.sweep(tmp_path) == []
    other.kill()
    other.wait()
    assert scratch.sweep(tmp_path) == [folder]
    assert tempfile.gettempdir() != str(tmp_path)
