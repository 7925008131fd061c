"""Standard output belongs to results: HiGHS writes nothing there, and nothing of ours is lost for it.

HiGHS writes its banner once a process, so every way to the first solve starts in a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from guards import HANG_S

ROOT = Path(__file__).parents[2]
THREE_BUS = ROOT / "tests" / "cases" / "three_bus"

PROGRAM = """
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
import pyomo.environ as pyo
from optim.solve.highs import HighsSession
from optim.solve.options import SolveOptions
from optim.solve.pyomo_solvers import solve_with_pyomo

def program():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(domain=pyo.Integers, bounds=(0, 3))
    m.row = pyo.Constraint(expr=2 * m.x <= 5)
    m.value = pyo.Objective(expr=m.x, sense=pyo.maximize)
    return m

def solved(_=0):
    return HighsSession(program(), SolveOptions(threads=1)).run().objective
"""
WAYS = {
    "main thread": "print(solved())",
    "worker thread": "print(ThreadPoolExecutor(1).submit(solved).result())",
    "worker process": "print(ProcessPoolExecutor(1).submit(solved).result())",
    "Pyomo's own HiGHS": "print(solve_with_pyomo(program(), SolveOptions(solver='appsi_highs')).objective)",
}


def output_of(code: str) -> str:
    """Standard output of a fresh Python, our own lines and those that C has written."""
    guarded = f"{PROGRAM}\nif __name__ == '__main__':\n    " + code.replace("\n", "\n    ")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", guarded], capture_output=True, text=True, env=environment, check=False, timeout=HANG_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.smoke
@pytest.mark.parametrize("way", WAYS)
def test_the_first_solve_of_a_process_writes_nothing(way):
    assert output_of(WAYS[way]) == "2.0\n"


def test_lines_of_other_threads_are_all_there():
    """Six threads make the first sessions at once while two others write, one through Python and one below it."""
    code = """
import os, threading
go = threading.Barrier(8)
def write():
    go.wait()
    for i in range(2000):
        print(f"python {i}\\n", end="", flush=True)  # one write
def write_below():
    go.wait()
    for i in range(2000):
        os.write(1, b"below\\n")
def solve():
    go.wait()
    for _ in range(5):
        solved()
threads = [threading.Thread(target=t) for t in (write, write_below, *[solve] * 6)]
[t.start() for t in threads]
[t.join() for t in threads]
"""
    lines = output_of(code.strip()).split()
    assert sorted(lines) == sorted(["python"] * 2000 + [str(i) for i in range(2000)] + ["below"] * 2000)


def test_what_others_did_with_highs_before_changes_nothing():
    """HiGHS keeps the threads of its first run in a process: a certificate came out as its claim, without a word."""
    code = (
        "import hcsim\nfrom optim.hosting.search import solve_hosting\n"
        f"bench = hcsim.Workbench.open({str(THREE_BUS)!r})\n"
        "claim = solve_hosting(bench.problem('centralized'), 'centralized', bench.solve_options())\n"
        "print(hcsim.certify(bench, claim, hcsim.LoopOptions(bound=False)).certified_kw.hex())\n"
    )
    before = (
        "import highspy\nhighs = highspy.Highs()\nhighs.setOptionValue('threads', 2)\n"
        "highs.setOptionValue('parallel', 'on')\nhighs.addVar(0, 1)\nhighs.changeColCost(0, -1.0)\nhighs.run()\n"
    )
    between = code.replace("print(", "highspy.Highs.resetGlobalScheduler(True)\n" + before.split("\n", 1)[1] + "print(")
    found = [
        subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout.split()[-1]
        for text in (code, before + code, "import highspy\n" + between)
    ]
    assert found[0] == found[1] == found[2]
