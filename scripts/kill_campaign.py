"""Long commands killed (SIGKILL, the whole process group) at random moments, then resumed: are the bytes those of a run
that nobody has touched?

    python scripts/kill_campaign.py                # 100 kills over all long commands
    python scripts/kill_campaign.py --kills 20 --only nodal --only certify

Every command runs once untouched. Then, kill by kill, into a folder of its own: it starts, is killed between its start
and its usual end, is killed again with a chance of one in three while it resumes, and ends by `--resume` (`operate` has
none and runs anew). What differs then, but for seconds and dates, is a finding; so is a scratch folder that is left,
and a process that lives on. With `distributed` installed, one of two Dask workers is killed too, and the study must end
by itself. Prints a line per command; exit code 1 with any finding.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from compare_results import differences

from hcsim.util.scratch import sweep

ROOT = Path(__file__).resolve().parent.parent
CASE = ROOT / "tests" / "cases" / "three_bus"
HANG_S = 1800.0
AGAIN = 1 / 3
RESUMES = {"operate": ()}
"""How a command goes on; --resume where nothing is said."""
WEIGHTS = {"sweep": 0.2}
"""How often a command is killed beside the others: one that takes longer less."""


def commands(work: Path) -> dict[str, list[str]]:
    plan = work / "plan"
    if not plan.is_dir():
        run(["optimize", str(CASE), "--program", "centralized", "--out", str(plan)])
    case = str(CASE)
    return {
        "study": ["study", case, "--program", "none", "--program", "centralized", "--robustness", "5"],
        "certify": ["certify", case, "--robustness", "5"],
        "nodal": ["nodal", "ieee123", "--bus", "1", "--bus", "47", "--bus", "83", "--bus", "114", "--processes", "2"],
        "stochastic": ["stochastic", case, "--deployments", "20", "--processes", "2"],
        "year": ["baseline", case, "--year"],
        "operate": ["operate", case, str(plan), "--draws", "20"],
        "sweep": ["sweep", "ieee33", "--revenue", "2300,4600", "--gap", "0.01"],
    }


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def start(words: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "hcsim", *words],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def run(words: list[str]) -> float:
    """Seconds it takes. Raises RuntimeError where it fails."""
    begun = time.perf_counter()
    process = start(words)
    _, said = process.communicate(timeout=HANG_S)
    if process.returncode not in (0, 1, 3):
        raise RuntimeError(f"hcsim {' '.join(words)}: exit code {process.returncode}\n{said.decode()[-2000:]}")
    return time.perf_counter() - begun


def killed(words: list[str], after_s: float) -> bool:
    """Whether it was still at work."""
    process = start(words)
    try:
        process.wait(timeout=after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    process.communicate()
    return False


def living(folder: Path) -> list[str]:
    """Processes that still work for this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words and entry.parent.name != str(os.getpid()):
            found.append(words[:100])
    return found


def one_kill(words: list[str], name: str, folder: Path, usual_s: float, draw: random.Random) -> list[str]:
    """Findings of one folder: killed, resumed, compared by the caller."""
    resumed = [*words, *RESUMES.get(name, ("--resume",)), "--out", str(folder)]
    first = killed([*words, "--out", str(folder)], draw.uniform(0.0, usual_s))
    if first and draw.random() < AGAIN:
        killed(resumed, draw.uniform(0.0, usual_s))
    time.sleep(0.3)
    found = [f"lives on: {words}" for words in living(folder)]
    run(resumed)
    return found


@contextmanager
def dask_cluster() -> Iterator[tuple[str, list[subprocess.Popen[str]]]]:
    """A scheduler and two workers of one thread."""
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment()}
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert scheduler.stderr is not None
    address = next(m[1] for line in scheduler.stderr if (m := re.search(r"Scheduler at:\s+(\S+)", line)))
    workers = [
        subprocess.Popen([*dask, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"], **quiet)
        for _ in range(2)
    ]
    try:
        yield address, workers
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()
        scheduler.stderr.close()


def dask_kill(work: Path, whole: Path, number: int, draw: random.Random) -> list[str]:
    """One of two workers of a stochastic study dies in the middle of it."""
    folder = work / f"dask-{number}"
    words = ["stochastic", str(CASE), "--deployments", "20"]
    with dask_cluster() as (address, workers):
        process = start([*words, "--scheduler", address, "--out", str(folder)])
        time.sleep(draw.uniform(2.0, 6.0))
        workers[draw.randrange(2)].kill()
        _, said = process.communicate(timeout=HANG_S)
        if process.returncode != 0:
            return [f"dask: exit code {process.returncode}: {said.decode()[-300:]}"]
    return differences(whole, folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--only", action="append", help="this command; repeat for several")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dask", type=int, default=3, help="runs in which a Dask worker dies (default: 3)")
    wanted = parser.parse_args()
    draw = random.Random(wanted.seed)
    findings = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as scratch:
        work = Path(scratch)
        chosen = {n: w for n, w in commands(work).items() if not wanted.only or n in wanted.only}
        weights = {name: WEIGHTS.get(name, 1.0) for name in chosen}
        shares = {name: max(round(wanted.kills * w / sum(weights.values())), 1) for name, w in weights.items()}
        for name, words in chosen.items():
            whole = work / name
            usual_s = run([*words, "--out", str(whole)])
            found: list[str] = []
            for number in range(shares[name]):
                folder = work / f"{name}-{number}"
                found += [f"{name} {number}: {what}" for what in one_kill(words, name, folder, usual_s, draw)]
                found += [f"{name} {number}: {what}" for what in differences(whole, folder)]
                shutil.rmtree(folder)
            print(f"{name:12}{shares[name]:4} kills in {usual_s:5.1f} s, {len(found)} findings", flush=True)
            print("".join(f"    {line}\n" for line in found[:10]), end="", flush=True)
            findings += len(found)
        if find_spec("distributed") and wanted.dask and (not wanted.only or "stochastic" in wanted.only):
            found = [what for n in range(wanted.dask) for what in dask_kill(work, work / "stochastic", n, draw)]
            print(f"{'Dask worker':12}{wanted.dask:4} kills, {len(found)} findings", flush=True)
            print("".join(f"    {line}\n" for line in found[:10]), end="", flush=True)
            findings += len(found)
        run(["check", str(CASE)])  # the next run clears away what killed ones have left
        if left := sweep(Path(tempfile.gettempdir())):  # what is still there and nobody's
            print(f"left behind: {', '.join(p.name for p in sorted(left))}")
            findings += len(left)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
