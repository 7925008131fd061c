"""The same study twice, the second time with every core busy: the same bytes but for seconds and dates."""

import os
import subprocess
import sys
from pathlib import Path

from guards import HANG_S

ROOT = Path(__file__).parents[3]
CASE = ROOT / "tests" / "cases" / "three_bus"
BUSY = "while True: pass"


def study(out: Path) -> None:
    words = [sys.executable, "-m", "hcsim", "study", str(CASE), "--out", str(out)]
    words += ["--program", "none", "--robustness", "5"]
    subprocess.run(words, check=True, capture_output=True, timeout=HANG_S, cwd=ROOT)


def compared(a: Path, b: Path) -> subprocess.CompletedProcess:
    words = [sys.executable, str(ROOT / "scripts" / "compare_results.py"), str(a), str(b)]
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=HANG_S)


def test_a_busy_machine_changes_no_byte(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    study(a)
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]
    try:
        study(b)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    done = compared(a, b)
    assert done.returncode == 0, done.stdout
    # the comparison itself can fail
    rounds = b / "certificates" / "none" / "rounds.csv"
    rounds.write_text(rounds.read_text().replace("1", "2", 1))
    (b / "summary.json").unlink()
    done = compared(a, b)
    assert done.returncode == 1 and "rounds.csv" in done.stdout and "summary.json: only in" in done.stdout
