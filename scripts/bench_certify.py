"""What the closed loop certifies: a row per feeder and program, with the share of its last claim.

Each feeder is studied as `hcsim study` does it: claim, hosting capacity by plain simulation (where the loop may
start), closed loop with its error budget; replays of the open-loop claims and the report are left out. The
certified schedule is then read from its files and replayed in a process of its own: "new" counts the violations that
the bare feeder does not have, and has to be 0. "simul." is the better of the two simulations under the same rules,
uniform and with the schedule's shares. "s" is the loop alone, "all s" everything up to there for the feeder.

Bundled cases are studied with all programs, feeders of your own (.dss) without and with the central battery.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hcsim.cases.case import load_case
from hcsim.errors import HcsimError
from hcsim.schedules.files import read_schedule
from hcsim.studies.allocation import StudyRun
from hcsim.util.progress import Event, silent
from hcsim.workbench.allocation import Workbench
from optim.data.violations import new_violations

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = (
    "13Bus/IEEE13Nodeckt.dss",
    "34Bus/ieee34Mod1.dss",
    "37Bus/ieee37.dss",
    "ckt5/Master_ckt5.dss",
    "8500-Node/Master.dss",
)
HEADINGS = (
    "feeder",
    "program",
    "claim kW",
    "simul. kW",
    "last claim kW",
    "certified kW",
    "%",
    "status",
    "rounds",
    "power flows",
    "s",
    "all s",
    "new",
)


def measure(case: str, programs: list[str], folder: Path, seconds: float | None) -> list[dict[str, object]]:
    """A row per program. Raises HcsimError where the feeder cannot be handled."""
    begun = time.perf_counter()
    work = StudyRun(load_case(case), folder, _tell if sys.stderr.isatty() else silent)
    for name in programs:
        work.solve_program(name, None, None)
    work.baseline_without_bess()
    work.baseline_with_schedules()
    for name in programs:
        work.certify_schedule(name, seconds)
    done = work.result()
    rows: list[dict[str, object]] = []
    for name, result in done.cases.items():
        found = result.certificate
        if found is None:
            rows.append({"feeder": case, "program": name, "error": "; ".join(done.missing.values())})
            continue
        own = done.baselines.get({work.with_schedule_case: "with_schedule", "none": "with_shares"}.get(name, name))
        plain = done.baselines["none"].hc_kw if "none" in done.baselines else 0.0
        rows.append(
            {
                "feeder": done.network.name,
                "program": name,
                "claim": result.schedule.hc_kw,
                "simulated": max(plain, own.hc_kw if own else 0.0),
                "last": found.claim_kw,
                "certified": found.certified_kw,
                "status": found.status,
                "rounds": len(found.rounds),
                "power_flows": found.power_flows,
                "s": found.seconds,
                "all_s": time.perf_counter() - begun,
                "new": again(case, folder / "schedules" / f"{name}_certified"),
            }
        )
    return rows


def again(case: str, schedule: Path) -> int:
    """New violations of a schedule folder, replayed in a fresh process."""
    call = [sys.executable, __file__, case, "--replay", str(schedule)]
    return int(subprocess.run(call, capture_output=True, text=True, check=True).stdout)


def replayed(case: str, schedule: Path) -> int:
    bench = Workbench.open(case)
    read = read_schedule(schedule, network=bench.network, profiles=bench.profiles)
    found = bench.replay(read, "free", base=bench.replay(None, "free"))
    return len(new_violations(found.violations)) + int((~found.converged).sum())


def row(found: dict[str, object]) -> str:
    """One line of the Markdown table."""
    if "error" in found:
        return f"| {found['feeder']} | {found['program']} | {found['error']} |" + " |" * (len(HEADINGS) - 3)
    last, certified = float(str(found["last"])), float(str(found["certified"]))
    share = f"{100 * certified / last:.1f}" if last > 0 else "–"
    kw = [f"{float(str(found[key])):,.0f}" for key in ("claim", "simulated", "last", "certified")]
    seconds = [f"{float(str(found[key])):.0f}" for key in ("s", "all_s")]
    cells = [
        str(found["feeder"]),
        str(found["program"]),
        *kw,
        share,
        str(found["status"]),
        str(found["rounds"]),
        str(found["power_flows"]),
        *seconds,
        str(found["new"]),
    ]
    return "| " + " | ".join(cells) + " |"


def _tell(event: Event) -> None:
    if event.words:
        print(f"\r{event.part}: {event.words}"[:110].ljust(110), end="", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="cases or .dss files (default: ieee123 and those of HCSIM_FEEDERS)")
    parser.add_argument("--program", action="append", help="repeat for several")
    parser.add_argument("--certify-time", type=float, help="seconds per schedule (default: as a study takes)")
    parser.add_argument("--json", action="store_true", help="one JSON object per row instead of the table")
    parser.add_argument("--replay", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.replay:
        print(replayed(options.cases[0], options.replay))
        return
    cases = options.cases or ["ieee123"]
    if not options.cases and (folder := os.environ.get("HCSIM_FEEDERS")):
        cases += [str(Path(folder) / name) for name in SAMPLES]
    if not options.json:
        print("| " + " | ".join(HEADINGS) + " |\n|" + "---|" * len(HEADINGS), flush=True)
    for case in cases:
        usual = ["none", "centralized"] if case.endswith(".dss") else ["none", "centralized", "distributed"]
        with tempfile.TemporaryDirectory() as folder:
            try:
                rows = measure(case, options.program or usual, Path(folder), options.certify_time)
            except HcsimError as error:
                rows = [{"feeder": case, "program": "–", "error": error.message}]
        for found in rows:
            print(json.dumps(found) if options.json else row(found), flush=True)


if __name__ == "__main__":
    main()
