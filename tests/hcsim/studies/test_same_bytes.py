"""One process, others with every core busy, and a resumed run: the same study has the same bytes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from guards import HANG_S

ROOT = Path(__file__).parents[3]
CASE = ROOT / "tests" / "cases" / "three_bus"
BUSY = "while True: pass"


def study(out: Path, *more: str) -> None:
    words = [sys.executable, "-m", "hcsim", "study", str(CASE), "--out", str(out), *more]
    words += ["--program", "none", "--robustness", "5"]
    subprocess.run(words, check=True, capture_output=True, timeout=HANG_S, cwd=ROOT)


def compared(a: Path, b: Path) -> subprocess.CompletedProcess:
    words = [sys.executable, str(ROOT / "scripts" / "compare_results.py"), str(a), str(b)]
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=HANG_S)


def test_neither_load_nor_processes_nor_a_kill_changes_a_byte(tmp_path):
    a, b, c = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    study(a, "--processes", "1")
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]
    try:
        study(b, "--processes", "2")
    finally:
        for process in busy:
            process.kill()
            process.wait()
    done = compared(a, b)
    assert done.returncode == 0, done.stdout
    # as a kill may leave it: some parts not yet there, one cut short, results of the rest not all written
    shutil.copytree(b, c)
    (c / "parts" / "none certificate.zip").unlink()
    part = c / "parts" / "baseline none.zip"
    part.write_bytes(part.read_bytes()[:-10])
    shutil.rmtree(c / "replays")
    (c / "summary.json").unlink()
    study(c, "--resume", "--processes", "1")
    assert (c / "parts" / "damaged" / "baseline none.zip.0").is_file()
    shutil.rmtree(c / "parts" / "damaged")
    done = compared(a, c)
    assert done.returncode == 0, done.stdout
    # the comparison itself can fail
    rounds = b / "certificates" / "none" / "rounds.csv"
    rounds.write_text(rounds.read_text().replace("1", "2", 1))
    (b / "summary.json").unlink()
    done = compared(a, b)
    assert done.returncode == 1 and "rounds.csv" in done.stdout and "summary.json: only in" in done.stdout
