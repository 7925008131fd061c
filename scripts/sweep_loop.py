"""What each constant of the closed loop decides: one of `LoopOptions` at a time, the others at their defaults.

    python scripts/sweep_loop.py ieee123 --program none --only first_radius smallest_radius

A row per value: what is certified, after how many rounds, in how many seconds. A value that certifies more in fewer
rounds on every feeder is the better default; where the row does not move, the constant decides nothing there.

Run on 2026-11-26, program none, on the two buses with a regulator of tests/cases (claim 999.3 kW, certified 7167.2 kW
after 7 rounds) and on IEEE 13 as published with default sites (3636.7 kW, certified as claimed after 6 rounds; there
only regions, their factors and prices):

- `margin_pu` is the one that costs capacity: 7205.0 kW without, 7016.4 kW at 1e-3.
- `elastic_kw_per_pu` a tenth as large: 41 rounds to a stall in place of 7; ten times as large: no difference.
- `grown` 1.1: 11 rounds, 0.1 % less; 3.0: 6 rounds. Two buses forgive wide first regions, too (`first_radius` 1.0: 4
  rounds). IEEE 13 ends a little higher in small ones (0.02: 3670.7 kW, 0.9 % more), but in a stall, after more rounds;
  the same with `halted` 0.5 (3658.4 kW).
- `halted` 1.0 (a region never smaller while part of the way passes): 14 rounds in place of 6 on IEEE 13.
- The rest moves neither feeder's result: it decides where loops stall, see scripts/bench_certify.py.
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
    "elastic_kw_per_kw": (1.0, 10.0, 100.0),
    "margin_pu": (0.0, 1e-4, 2e-4, 1e-3),
    "margin_kw": (0.0, 0.5, 5.0),
    "margin_loading_pu": (0.0, 1e-3, 1e-2),
    "margin_kept": (0.3, 0.7, 0.95),
    "most_margin_pu": (3e-4, 3e-3, 1e-2),
    "most_margin_kw": (3.0, 30.0, 300.0),
    "most_margin_share": (0.0, 0.05, 0.2),
    "most_margin_loading_pu": (3e-3, 0.03, 0.1),
    "hour_broke": (0.2, 0.5, 0.9),
    "hour_calm": (1.0, 1.3, 2.0),
    "least_hour_share": (0.0, 0.02, 0.2),
    "reopened_radius": (0.02, 0.1, 0.5),
    "grown": (1.1, 1.5, 3.0),
    "halted": (0.5, 0.8, 1.0),
    "refused": (0.3, 0.6, 0.9),
    "failures": (0, 3, 10),
    "failed": (0.2, 0.4, 0.8),
    "move_price": (0.0, 1e-5, 1e-4, 1e-3),
    "broken_pu_price": (0.005, 0.05, 0.5),
    "probes": (0, 1, 2, 4),
    "first_probes": (0, 2, 5, 8),
    "nearby": (0.5, 0.8, 0.95),
    "repairs": (0, 1, 3, 6),
    "worth_repairing": (0.9, 0.99, 1.0),
    "taken_back": (1.0, 1.1, 1.5),
    "taken_back_kw_per_kvar": (0.01, 0.1, 1.0),
    "deciding_nodes": (0, 10, 100),
    "strict_share": (0.9, 0.98, 1.0),
    "reopenings": (0, 1, 2),
    "quieter": (0, 2, 4, 8),
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
