"""What each constant of the closed loop decides: one of `LoopOptions` at a time, the others at their defaults.

    python scripts/sweep_loop.py ieee123 --program none --only first_radius smallest_radius

A row per value: what is certified, after how many rounds, in how many seconds. A value that certifies more in fewer
rounds on every feeder is the better default; where the row does not move, the constant decides nothing there.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from hcsim.certify.loop import certify
from hcsim.certify.options import loop_options
from hcsim.workbench.allocation import Workbench
from optim.hosting.search import solve_hosting

VALUES: dict[str, tuple[float, ...]] = {
    "first_radius": (0.02, 0.05, 0.1, 0.3, 1.0),
    "smallest_radius": (5e-4, 2e-3, 1e-2),
    "elastic_kw_per_pu": (2e4, 2e5, 2e6),
    "margin_pu": (0.0, 1e-4, 2e-4, 1e-3),
    "margin_kw": (0.0, 0.5, 5.0),
    "margin_loading_pu": (0.0, 1e-3, 1e-2),
    "reopened_radius": (0.02, 0.1, 0.5),
    "grown": (1.1, 1.5, 3.0),
    "halted": (0.5, 0.8, 1.0),
    "refused": (0.3, 0.6, 0.9),
    "failures": (0, 3, 10),
    "failed": (0.2, 0.4, 0.8),
    "move_price": (0.0, 1e-5, 1e-4, 1e-3),
    "broken_pu_price": (0.005, 0.05, 0.5),
    "probes": (0, 1, 2, 4),
    "reopenings": (0, 1, 2),
    "walks": (1, 2, 6),
    "max_rounds": (12, 30, 60),
}
"""Around the defaults, a factor of two to ten to each side."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("case", help="bundled case, study folder or .dss file")
    parser.add_argument("--program", default="none", help="program whose claim is certified (none)")
    parser.add_argument("--only", nargs="+", choices=VALUES, default=list(VALUES), help="which options (all)")
    wanted = parser.parse_args()
    bench = Workbench.open(wanted.case)
    claim = solve_hosting(bench.problem(wanted.program), wanted.program, bench.solve_options())
    options = loop_options(bench)
    print(f"{bench.network.name}, {wanted.program}: claim {claim.hc_kw:.1f} kW", flush=True)
    print("option,value,default,certified_kw,rounds,status,seconds", flush=True)
    for name in wanted.only:
        default = getattr(options, name)
        for value in sorted({*VALUES[name], default}):
            begun = time.perf_counter()
            found = certify(bench, claim, replace(options, **{name: value}))
            took = time.perf_counter() - begun
            certified = f"{found.certified_kw:.1f},{len(found.rounds)},{found.status}"
            print(f"{name},{value:g},{value == default},{certified},{took:.1f}", flush=True)


if __name__ == "__main__":
    main()
