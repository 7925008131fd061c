"""How fast a schedule is tried on other days: a day by `Days` against a whole replay of the same day.

Solves one program of a case, then runs the same drawn days both ways in this process and prints milliseconds of
processor time per day, their ratio, and whether both ways agree on which days pass.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from hcsim.certify.many_days import Days
from hcsim.certify.robustness import Draws, perturbed
from hcsim.workbench.allocation import Workbench
from optim.data.violations import new_violations, worst_new
from optim.hosting.search import solve_hosting


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", default="ieee123")
    parser.add_argument("--program", default="none", help="none, centralized, distributed")
    parser.add_argument("--days", type=int, default=50)
    asked = parser.parse_args()
    bench = Workbench.open(asked.case)
    schedule = solve_hosting(bench.problem(asked.program), asked.program, bench.solve_options())
    draws = Draws.seeded(asked.days, 1)
    drawn = list(zip(draws.load.tolist(), draws.pv.tolist(), strict=True))

    begun = time.process_time()
    with Days(bench, schedule) as days:
        found = [days.run(perturbed(schedule, sun), load * bench.profiles.load_pu) for load, sun in drawn]
        quick = [day is not None and not worst_new(day, bench.limits) for day in found]
    quick_ms = 1e3 * (time.process_time() - begun) / asked.days

    begun = time.process_time()
    whole = []
    for load, sun in drawn:
        profiles = replace(bench.profiles, load_pu=load * bench.profiles.load_pu)
        day = replace(bench, case=replace(bench.case, profiles=profiles)).replay(perturbed(schedule, sun), "free")
        whole.append(not len(new_violations(day.violations)))
    whole_ms = 1e3 * (time.process_time() - begun) / asked.days

    print(f"{asked.case}, {asked.program}, {asked.days} days of {len(bench.profiles)} steps, processor time:")
    print(f"Days {quick_ms:.1f} ms a day, replay {whole_ms:.1f} ms a day, {whole_ms / quick_ms:.1f} times as fast")
    print(f"{sum(quick)} days within limits by the one, {sum(whole)} by the other, equal: {quick == whole}")


if __name__ == "__main__":
    main()
