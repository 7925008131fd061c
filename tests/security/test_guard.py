"""What aborts, crashes, hangs or swallows memory does so in a child; one sentence names the command."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from guards import HANG_S

from hcsim.errors import FeederError
from hcsim.opendss import guard
from hcsim.opendss.circuit import Circuit
from hcsim.util import sandbox

CRASHES = {
    "abort": ("new capacitor.c1 bus1=b phases=3 conn=delta kv=12.47 cmatrix=(2 | 0 2 | 0 0 2)", "crashes"),
    "segmentation fault": ("new transformer.t windings=1", "(?i)windings"),
    "memory": ("new loadshape.s npts=2000000000 mult=(1 2)", "npts=2000000000"),
}


def hcsim(*args: object, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "hcsim", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )


@pytest.mark.parametrize("kind", CRASHES)
def test_one_sentence_and_this_process_lives(kind, feeder):
    lines, words = CRASHES[kind]
    with pytest.raises(FeederError, match=words) as told:
        Circuit.compile(feeder(lines))
    assert "m.dss" in told.value.message
    assert Circuit.compile(feeder()).name == "c"


def test_json_stays_json(feeder):
    done = hcsim("check", feeder(CRASHES["abort"][0]), "--json")
    assert done.returncode == 1
    assert "OpenDSS itself crashes" in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr


def test_a_hang_ends(feeder, monkeypatch):
    monkeypatch.setattr(guard, "CPU_S", 1.0)
    name = "a" * 40
    with pytest.raises(FeederError, match=r"processor time.*batchedit"):
        Circuit.compile(feeder(f"new load.{name} bus1=b kv=12.47 kw=1\nbatchedit load.^(a+)+b$ kw=2"))


def test_each_feeder_is_tried_once(feeder, monkeypatch):
    asked = []
    monkeypatch.setattr(guard._Server, "ask", lambda self, request: asked.append(1) or {"outcome": "fine"})
    for n in (11, 11, 12):
        Circuit.compile(feeder(f"new load.once bus1=b kv=12.47 kw={n}"))
    assert len(asked) == 2


def test_a_dead_server_is_replaced(feeder):
    Circuit.compile(feeder("new load.x bus1=b kv=12.47 kw=1.5"))
    guard._server._process.kill()
    guard._server._process.wait()
    Circuit.compile(feeder("new load.x bus1=b kv=12.47 kw=2.5"))


def test_the_server_ends_with_its_parent(tmp_path):
    code = (
        "import time; from hcsim.opendss import guard; guard.start(); "
        "print(guard._server._process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    server = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(500):
        if not Path(f"/proc/{server}").exists() or " Z " in Path(f"/proc/{server}/stat").read_text():
            return
        time.sleep(0.02)
    pytest.fail("the server lives on")


@pytest.mark.skipif(sandbox.landlock_version() == 0, reason="no Landlock in this kernel")
def test_a_settled_process_writes_in_its_own_folder_only(tmp_path):
    code = """
import os, sys, tempfile
from pathlib import Path
from hcsim.util import sandbox
own, outside = Path(sys.argv[1]), Path(sys.argv[2])
assert sandbox.settle_in(own)
Path("a").write_text("mine")
tempfile.NamedTemporaryFile().close()
tried = [
    lambda: (outside / "b").write_text("x"), lambda: (outside / "d").mkdir(), lambda: (outside / "old").unlink(),
    lambda: os.rename(outside / "old", outside / "new"), lambda: os.truncate(outside / "old", 0),
    lambda: os.symlink("a", outside / "l"), lambda: os.link("a", outside / "h"), lambda: os.mkfifo(outside / "p"),
    lambda: os.execv("/bin/sh", ["sh", "-c", "true"]),
]
for attempt in tried:
    try:
        attempt()
    except OSError:
        continue
    raise SystemExit("written")
print("held")
"""
    own, outside = tmp_path / "own", tmp_path / "outside"
    own.mkdir()
    outside.mkdir()
    (outside / "old").write_text("old")
    done = subprocess.run([sys.executable, "-c", code, own, outside], capture_output=True, text=True)
    assert done.stdout.strip() == "held", done.stderr
    assert [p.name for p in outside.iterdir()] == ["old"]
    assert (outside / "old").read_text() == "old"
