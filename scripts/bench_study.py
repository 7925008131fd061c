"""Where a study's time goes: its parts, and what of each is the engine's and the solver's own.

    python scripts/bench_study.py                     # hcsim study ieee123
    python scripts/bench_study.py CASE --program none

All parts run in this process, one after the other; the engine's Solve and HiGHS's run are timed where they are called,
in processor seconds. The rest is ours: tangents, matrices, recording, judging, files, pages. The ratio at the end is
that of the whole to engine and solver together: what a study would cost if our own code were free is 1. Then the same
study once more as a user runs it, parts side by side in processes, by the clock (nothing else should run).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dss
import highspy

from hcsim.studies.allocation import Study
from hcsim.util.progress import Event
from optim.hosting.problem import CASES


class Meter:
    """Processor seconds inside what it is wrapped around, and how often that was called."""

    def __init__(self) -> None:
        self.seconds, self.calls = 0.0, 0

    def around(self, owner: Any, name: str) -> None:
        inner: Callable[..., Any] = getattr(owner, name)

        def timed(*given: Any, **named: Any) -> Any:
            begun = time.thread_time()
            try:
                return inner(*given, **named)
            finally:
                self.seconds += time.thread_time() - begun
                self.calls += 1

        setattr(owner, name, timed)


class Parts:
    """A row per part of the study, from what its listener hears."""

    def __init__(self, engine: Meter, solver: Meter) -> None:
        self.engine, self.solver = engine, solver
        self.rows: list[tuple[str, float, float, float]] = []
        self._last = self._now()

    def _now(self) -> tuple[float, float, float]:
        return time.process_time(), self.engine.seconds, self.solver.seconds

    def hear(self, event: Event) -> None:
        if event.state not in ("done", "failed"):
            return
        now = self._now()
        self.rows.append((event.part, *(b - a for a, b in zip(self._last, now, strict=True))))
        self._last = now

    def end(self) -> None:
        self.hear(Event("files and pages", "done"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", default="ieee123")
    parser.add_argument("--program", choices=CASES, action="append", help="only this program; repeat for several")
    parser.add_argument("--processes", type=int, help="of the second run (default: as many as there are cores)")
    wanted = parser.parse_args()
    programs = wanted.program or list(CASES)
    engine, solver = Meter(), Meter()
    engine.around(dss.ISolution.ISolution, "Solve")
    solver.around(highspy.Highs, "run")
    with tempfile.TemporaryDirectory() as scratch:
        study = Study.load(wanted.case)
        parts, begun = Parts(engine, solver), time.process_time()
        study.run(Path(scratch) / "one", programs=programs, processes=1, listener=parts.hear)
        parts.end()
        whole = time.process_time() - begun
        print(f"{'part':44}{'cpu s':>9}{'engine s':>10}{'solver s':>10}{'ours s':>9}")
        for part, cpu, at_engine, at_solver in parts.rows:
            print(f"{part:44}{cpu:9.2f}{at_engine:10.2f}{at_solver:10.2f}{cpu - at_engine - at_solver:9.2f}")
        inside = engine.seconds + solver.seconds
        print(f"{'all':44}{whole:9.2f}{engine.seconds:10.2f}{solver.seconds:10.2f}{whole - inside:9.2f}")
        print(
            f"\n{engine.calls:,} power flows, {solver.calls:,} solver runs; "
            f"the whole is {whole / inside:.2f} times engine and solver together"
        )
        clock = time.perf_counter()
        study.run(Path(scratch) / "many", programs=programs, processes=wanted.processes)
        clock = time.perf_counter() - clock
        print(f"side by side in processes: {clock:.1f} s by the clock")


if __name__ == "__main__":
    main()
