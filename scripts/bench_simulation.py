"""Times of the simulation studies against their targets, on this machine, in one run.

Each study is given in seconds, processor seconds (what it would take on an idle machine, all processes
together), power flows per second, and that rate as a share of the bare engine's: OpenDSS alone stepping the
same feeder through the same day with controls acting, nothing read, measured in this very run.

    python scripts/bench_simulation.py                  # the IEEE 123 studies
    HCSIM_FEEDERS=... python scripts/bench_simulation.py --only ckt5 --only 8500
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hcsim.cases.case import load_case
from hcsim.cases.time_axis import time_axis
from hcsim.feeder.model import FeederModel
from hcsim.feeder.read import read_network
from hcsim.hosting.nodal import NodalJob, sites
from hcsim.hosting.open_feeder import FeederFiles as Feeder
from hcsim.hosting.stochastic import StochasticJob, deployments
from hcsim.hosting.year_recorder import record_year
from hcsim.jobs.pool import run_tasks
from hcsim.opendss.circuit import Circuit
from hcsim.replay.series import DailySeries
from optim.data.limits import Limits
from optim.data.network import Network
from optim.data.profiles import Profiles

DAY = load_case("ieee123").profiles
STEPS = tuple(float(p) for p in range(10, 101, 10))


@dataclass(frozen=True)
class Bare:
    """A feeder, and how fast the engine alone goes through the day."""

    feeder: Feeder
    network: Network
    flows_per_s: float

    @classmethod
    def measure(cls, master: Path, seconds: float = 2.0) -> Bare:
        circuit = Circuit.compile(master)
        circuit.solve(controls=False)
        network, _ = read_network(circuit)
        DailySeries(circuit, network, DAY)
        circuit.start_series(DAY.step_h)
        circuit.step(0, controls=True)
        flows, started = 0, time.process_time()
        while time.process_time() - started < seconds:
            for t in range(len(DAY)):
                circuit.step(t, controls=True)
            flows += len(DAY)
        return cls(Feeder(master, circuit.source_sha256), network, flows / (time.process_time() - started))


def processor_s() -> float:
    """Of this process and its finished children."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def measured(name: str, target_s: float, bare: Bare, work: Callable[[], int]) -> float:
    started, before = time.perf_counter(), processor_s()
    flows = work()
    wall, processor = time.perf_counter() - started, processor_s() - before
    rate = flows / processor
    print(
        f"{name:44s} {wall:8.1f} s  target {target_s:5.0f} s  processor {processor:7.1f} s  {flows:9d} flows  "
        f"{rate:7.0f}/s  {rate / bare.flows_per_s:5.2f} of the bare engine",
        flush=True,
    )
    return wall


def nodal(bare: Bare, profiles: Profiles, processes: int, pick: slice = slice(None), phases: int = 0) -> int:
    largest = 2.0 * float(bare.network.loads.p_kw.sum()) / 3.0
    job = NodalJob(bare.feeder, profiles, Limits.screening(), largest_kw_per_phase=largest)
    tasks = [s for s in sites(bare.network, "generation") if len(s.nodes) >= phases][pick]
    return sum(r.power_flows for r in run_tasks(job, tasks, processes=processes))


def spread(bare: Bare, count: int) -> slice:
    total = sum(len(s.nodes) >= 3 for s in sites(bare.network, "generation"))
    return slice(0, None, max(1, total // count))


def stochastic(bare: Bare, count: int, processes: int) -> int:
    job = StochasticJob(bare.feeder, DAY, Limits.screening(), STEPS)
    tasks = deployments(count, ("random", "near", "far"))
    return sum(r.power_flows for r in run_tasks(job, tasks, processes=processes))


def year(bare: Bare) -> None:
    """The recorded year against the bare engine's own series, both in this process, same settings."""
    profiles = time_axis(DAY, 8760).profiles
    circuit = Circuit.compile(bare.feeder.master)
    circuit.solve(controls=False)
    ratios = []
    for _ in range(3):
        series = DailySeries(circuit, bare.network, profiles)
        circuit.set_taps(series.network_taps())
        circuit.start_series(1.0)
        started = time.process_time()
        for t in range(len(profiles)):
            circuit.step(t, controls=True)
        alone = time.process_time() - started
        with tempfile.TemporaryDirectory() as folder:
            started = time.process_time()
            record_year(FeederModel(circuit, bare.network, profiles, replace(Limits.screening())), Path(folder))
            recorded = time.process_time() - started
        ratios.append(recorded / alone)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{'year recorded / bare engine':44s} {min(ratios):8.2f}    target  1.30    (bare {alone:.2f} s, "
        f"{', '.join(f'{r:.2f}' for r in ratios)}; peak {peak:.2f} GB)",
        flush=True,
    )


def put_back(master: Path) -> None:
    """Every nodal size of a feeder put back by plain OpenDSS in a process of its own, over the whole day."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))
    from put_back import PlainOpenDss

    limits = Limits.screening()
    plain = PlainOpenDss(master, DAY, limits)
    files = Feeder(master, Circuit.compile(master).source_sha256)
    job = NodalJob(files, DAY, limits, largest_kw_per_phase=2.0 * float(plain.network.loads.p_kw.sum()) / 3.0)
    prober = job.prepare()
    asked, rows = [], []
    for site in sites(plain.network, "generation"):
        for row in job.do(prober, site)[0] if site.nodes else ():
            rows.append(row)
            asked.append((site.nodes, row["hc_kw"]))
    failed = [
        f"{row['bus']}: {row['hc_kw']:g} kW, {c} beyond by {found[0]:.3g} at {found[1]}"
        for row, broken in zip(rows, plain.broken(asked), strict=True)
        for c, found in broken.items()
        if c in (row["criterion"], "convergence") or (row["smallest"] and not c.startswith("strict:"))
    ]
    print(f"{'put back, ' + plain.network.name:44s} {len(failed)} of {len(rows)} sizes fail at themselves", flush=True)
    for words in failed:
        print(f"    {words}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("putback", "year", "nodal24", "nodal576", "stochastic", "speedup", "ckt5", "8500")
    parser.add_argument("--only", action="append", choices=names, help="repeat; default: all that can be run")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--deployments", type=int, default=1000)
    options = parser.parse_args()
    wanted = options.only or names
    n = options.processes
    bare = Bare.measure(load_case("ieee123").master)
    print(
        f"bare engine, IEEE 123: {bare.flows_per_s:.0f} power flows/s with controls; load average "
        f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    if "year" in wanted:
        year(bare)
    if "nodal24" in wanted:
        measured("nodal, IEEE 123, all buses, 24 h", 15, bare, lambda: nodal(bare, DAY, n))
    if "stochastic" in wanted:
        count = options.deployments
        measured(f"stochastic, {count} x 10 x 24 h", 0.12 * count, bare, lambda: stochastic(bare, count, n))
    if "nodal576" in wanted:
        hours = time_axis(DAY, 576).profiles
        measured("nodal, IEEE 123, all buses, 576 h", 180, bare, lambda: nodal(bare, hours, n))
    if "speedup" in wanted:
        count = max(2, options.deployments * 3 // 10)  # long enough that starting the workers does not decide
        one = measured(
            f"stochastic, {count} deployments, one process", 0.24 * count, bare, lambda: stochastic(bare, count, 1)
        )
        two = measured(
            f"stochastic, {count} deployments, two processes", 0.12 * count, bare, lambda: stochastic(bare, count, 2)
        )
        print(f"{'speed-up from one to two processes':44s} {one / two:8.2f}")
    feeders = os.environ.get("HCSIM_FEEDERS")
    if "putback" in wanted:
        put_back(load_case("ieee123").master)
        for master in ("13Bus/IEEE13Nodeckt.dss", "34Bus/ieee34Mod1.dss", "37Bus/ieee37.dss") if feeders else ():
            put_back(Path(str(feeders)) / master)
    for name, master, count, target in (
        ("ckt5", "ckt5/Master_ckt5.dss", 10_000, 300.0),
        ("8500", "8500-Node/Master-unbal.dss", 100, 600.0),
    ):
        if name in wanted and feeders:
            large = Bare.measure(Path(feeders) / master, 5.0)
            pick = spread(large, count)
            total = len([s for s in sites(large.network, "generation") if len(s.nodes) >= 3][pick])
            measured(
                f"nodal, {name}, {total} three-phase buses, 24 h",
                target,
                large,
                lambda large=large, pick=pick: nodal(large, DAY, n, pick, 3),
            )
        elif name in wanted:
            print(f"{name}: set HCSIM_FEEDERS to the folder of the real feeders.")


if __name__ == "__main__":
    main()
