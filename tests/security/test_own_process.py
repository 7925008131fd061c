"""A command runs in a process of its own: what ends that is one sentence, and it writes in its results folder only."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from guards import HANG_S, unmeasured, wait_until
from matplotlib import get_cachedir

from hcsim.util import sandbox

CASE = Path(__file__).parents[2] / "dss_models" / "ieee33"
ROOT = Path(__file__).parents[2]

INSIDE = """
import ctypes, os, sys, time
from pathlib import Path
from hcsim.util import last_words, own_process
own_process.settle()
{body}
"""
"""What stands for a command: it settles, as every command does, and then does what it should not."""


@pytest.fixture
def front(tmp_path):
    """Runs a front whose child is `body`; exit code, what it printed, and the folder in which it was started."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()

    def start(body):
        (tmp_path / "body.py").write_text(INSIDE.format(body=body))
        code = (
            "from hcsim.util import own_process, stopping; stopping.install(); "
            f"own_process._CODE = \"exec(open({str(tmp_path / 'body.py')!r}).read())\"; own_process.run(['x'])"
        )
        return subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=home,
            env={
                **unmeasured(),
                "PYTHONPATH": str(ROOT),
                "TMPDIR": str(temporary),
                "HOME": str(home),
                "MPLCONFIGDIR": get_cachedir(),
            },
        )

    start.home, start.temporary = home, temporary
    yield start
    assert not list(temporary.glob("hcsim_*")), "scratch folders are left"


def ended(child):
    out, said = child.communicate(timeout=HANG_S)
    return child.returncode, out, said


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("with last_words.call('new x'): ctypes.string_at(0)", r"crashed \(Segmentation fault\) at `new x`"),
        ("last_words.part('program none'); os.abort()", r"crashed \(Aborted\) in program none"),
        ("with last_words.call('solve'): pass\nos._exit(217)", r"crashed \(exit code 217\) after `solve`"),
        ("os.kill(os.getpid(), 9)", "was killed"),
        (
            "last_words.MOST_CPU_S = 0.1\nwith last_words.call('solve'):\n while True: pass",
            "does not come to an end.*solve",
        ),
    ],
)
def test_its_end_is_a_sentence(body, words, front):
    code, _, said = ended(front(body))
    assert code == 1
    assert len(said.splitlines()) == 1
    assert re.search(words, said), said


@pytest.mark.parametrize("code", [0, 1, 2, 3, 130])
def test_its_exit_code_is_the_commands(code, front):
    assert ended(front(f"print('said'); sys.exit({code})")) == (code, "said\n", "")


TRIES = """
import socket, subprocess
own_process.confine([Path("results/mine")])
assert own_process.confined
Path("results/mine/a").write_text("a"); os.replace("results/mine/a", "results/mine/b")
Path(os.environ["TMPDIR"], "t").write_text("t")
tries = [
    lambda: Path("beside").write_text("x"), lambda: Path("results/beside").write_text("x"),
    lambda: Path.home().joinpath("x").write_text("x"), lambda: Path("there").unlink(),
    lambda: os.replace("results/mine/b", "b"), lambda: os.truncate("there", 0),
    lambda: subprocess.run(["/bin/sh", "-c", "true"]), lambda: socket.create_connection(("127.0.0.1", 9), 1),
]
held = []
for attempt in tries:
    try:
        attempt()
    except PermissionError:
        held.append(True)
    except OSError as error:
        held.append(isinstance(error, ConnectionRefusedError) and %s)
import multiprocessing
with multiprocessing.get_context("spawn").Pool(1) as pool: print(pool.map(abs, [-1]), all(held), len(held))
"""


@pytest.mark.skipif(sandbox.landlock_version() < 2, reason="no such Landlock in this kernel")
def test_it_writes_in_its_results_folder_only(front):
    (front.home / "there").write_text("there")
    code, out, said = ended(front(TRIES % (sandbox.landlock_version() < 4)))
    assert (code, out) == (0, "[1] True 8\n"), said
    assert sorted(p.name for p in front.home.iterdir()) == ["results", "there"]
    assert (front.home / "there").read_text() == "there"


def test_a_folder_in_which_nothing_was_put_is_not_left(front):
    assert ended(front("own_process.confine([Path('a/b')]); sys.exit(2)"))[0] == 2
    assert not list(front.home.iterdir())


def waiting(front, body, *signals, to="front"):
    child = front(f"print(os.getpid(), flush=True)\n{body}")
    process = int(child.stdout.readline())
    for number in signals:
        os.kill(process if to == "child" else child.pid, number)
        time.sleep(0.2)
    return child, process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_asks_to_end_reaches_it_once(number, front):
    body = (
        "from hcsim.util import stopping; stopping.something_to_keep()\n"
        "try:\n time.sleep(600)\nexcept KeyboardInterrupt:\n print('kept', flush=True); sys.exit(130)"
    )
    child, process = waiting(front, body, to="nobody")
    time.sleep(0.3)
    os.kill(process, number)  # as a terminal's reaches both; the child listens to its front
    os.kill(child.pid, number)
    assert ended(child) == (130, "kept\n", "")


def test_twice_ends_what_hears_nothing(front):
    body = "signal_mask = __import__('signal').pthread_sigmask(0, [10])\nprint('deaf', flush=True)\ntime.sleep(600)"
    child, _ = waiting(front, body)
    child.stdout.readline()
    child.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    child.send_signal(signal.SIGTERM)
    code, _, said = ended(child)
    assert code == 130
    assert said.startswith("Interrupted")


def test_it_ends_with_its_front(front):
    child, process = waiting(front, "time.sleep(600)")
    child.kill()
    child.communicate()
    wait_until(lambda: not Path(f"/proc/{process}").exists())
    for left in front.temporary.glob("hcsim_*"):  # the next run's sweep, here
        subprocess.run(
            [sys.executable, "-c", "from hcsim.util.scratch import scratch_root; scratch_root()"],
            env={**unmeasured(), "PYTHONPATH": str(ROOT), "TMPDIR": str(front.temporary)},
            check=True,
        )
        assert not left.exists()


def test_modules_of_the_working_folder_are_not_loaded(tmp_path):
    """Whoever stands in a stranger's folder: not by the command, its child, its trials or its workers."""
    for name in ("typer", "numpy", "multiprocessing", "encodings", "random", "rich", "hcsim"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w')\n")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "hcsim", "nodal", str(CASE), "--bus", "6", "--bus", "18", "--processes", "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        env={**unmeasured(), "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()
    assert (tmp_path / "hcsim-results" / "ieee33" / "nodal" / "nodal.csv").is_file()


def test_the_command_line_is_there_without_what_computes():
    """`--help` answers at once, and what makes threads is not loaded before a command is confined."""
    code = "import sys, hcsim.cli.app; print([m for m in ('numpy', 'pandas', 'pyomo', 'dss') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr
