"""How fast the hosting programs are solved, beside the naive formulation, in one run.

    python scripts/bench_programs.py [CASE] [--gap 1e-3] [--naive-limit 120] [--no-naive]

"search" is what `hcsim` does (optim/hosting/search.py). "naive" is the same program as the paper writes it, every
voltage row of every hour, in one mixed-integer program handed to the same HiGHS with the same threads and gap.
Seconds are wall time from the linear model to the schedule, building included. Claim and bound in kW; a naive
program without any schedule when its time is up has no claim.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hcsim.workbench.allocation import Workbench
from optim.errors import HcsimError, SolverError
from optim.hosting.limit_rows import LimitRows
from optim.hosting.problem import CASES, HostingProblem
from optim.hosting.program import build
from optim.hosting.search import solve_hosting
from optim.solve.highs import HighsSession
from optim.solve.options import SolveOptions
from optim.solve.outcome import relative_gap

TARGETS = {("distributed", 1e-2): 60.0, ("distributed", 2e-3): 300.0, ("centralized", 1e-3): 10.0, ("none", 1e-3): 1.0}
"""(program, gap) -> seconds on 2 cores."""


@dataclass(frozen=True)
class Run:
    program: str
    way: str
    asked: float
    claim_kw: float
    bound_kw: float
    status: str
    seconds: float

    @property
    def gap(self) -> float:
        return relative_gap(self.claim_kw, self.bound_kw)


def search(program: str, problem: HostingProblem, options: SolveOptions) -> Run:
    begun = time.perf_counter()
    try:
        solve = solve_hosting(problem, program, options).solve
    except SolverError as error:
        seconds = time.perf_counter() - begun
        return Run(program, "search", options.gap, float("nan"), float("nan"), error.message, seconds)
    assert solve is not None
    seconds = time.perf_counter() - begun
    return Run(program, "search", options.gap, solve.objective, solve.bound, solve.status, seconds)


def naive(program: str, problem: HostingProblem, options: SolveOptions) -> Run:
    begun = time.perf_counter()
    m = build(problem)
    LimitRows(m, problem).all_voltage_rows()
    outcome = HighsSession(m, options).run()
    status = outcome.status if outcome.values_valid else f"{outcome.status}, no schedule"
    return Run(
        program, "naive", options.gap, outcome.objective * 1e3, outcome.bound * 1e3, status, time.perf_counter() - begun
    )


def line(run: Run) -> str:
    target = TARGETS.get((run.program, run.asked)) if run.way == "search" else None
    verdict = "" if target is None else f"  target {target:g} s: {'met' if run.seconds <= target else 'MISSED'}"
    return (
        f"{run.program:27s} {run.way:7s} {run.asked:7.0e} {run.claim_kw:10.1f} {run.bound_kw:10.1f} "
        f"{run.gap:9.1e} {run.seconds:8.1f}  {run.status}{verdict}"
    )


def ratio(ours: Run, other: Run) -> str:
    times = other.seconds / ours.seconds
    if other.status in ("optimal", "gap"):
        return f"{ours.program}: the naive formulation takes {times:.1f} times as long"
    found = "without any schedule" if other.claim_kw != other.claim_kw else f"at a gap of {other.gap:.1%}"
    return f"{ours.program}: the naive formulation was stopped after {times:.1f} times as long, {found}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", default="ieee123", help="bundled case or study folder (ieee123)")
    parser.add_argument("--programs", nargs="+", choices=CASES, default=list(CASES), help="which (all)")
    parser.add_argument("--gap", type=float, default=1e-3, help="relative gap asked of both (1e-3)")
    parser.add_argument("--time-limit", type=float, default=300.0, help="seconds for a search (300)")
    parser.add_argument("--naive-limit", type=float, default=120.0, help="seconds for a naive program (120)")
    parser.add_argument("--no-naive", action="store_true", help="leave the naive formulation out")
    parser.add_argument("--threads", type=int, default=2, help="threads of HiGHS (2)")
    asked = parser.parse_args()
    bench = Workbench.open(asked.case)
    _ = bench.linear_model
    sys.stdout.write(
        f"{'program':27s} {'way':7s} {'asked':>7s} {'claim kW':>10s} {'bound kW':>10s} {'gap':>9s} "
        f"{'seconds':>8s}  status\n"
    )
    ratios = []
    for program in asked.programs:
        problem = bench.problem(program)
        gaps = [asked.gap, 2e-3, 1e-2] if program == "distributed" else [asked.gap]
        runs = [search(program, problem, SolveOptions(g, asked.time_limit, asked.threads)) for g in dict.fromkeys(gaps)]
        for run in runs:
            sys.stdout.write(line(run) + "\n")
        sys.stdout.flush()
        if not asked.no_naive:
            other = naive(program, problem, SolveOptions(asked.gap, asked.naive_limit, asked.threads))
            sys.stdout.write(line(other) + "\n")
            ratios.append(ratio(runs[0], other))
        sys.stdout.flush()
    sys.stdout.write("\n".join(["", *ratios, ""]))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HcsimError as error:
        sys.exit(str(error))
