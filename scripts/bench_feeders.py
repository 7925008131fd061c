"""What hcsim makes of feeders: a table of ledger, gate, errors of the linear models, times and memory.

Each feeder runs in a process of its own, so that its memory is its own. Errors are largest voltage differences
against OpenDSS in pu, taps where the base case leaves them:

- base: nominal load, no device;
- half load: every load at half, the models built for that hour;
- PV: 3 MW shared equally by all phases of the sites, unity power factor, line-to-line where no phase has a
  reference to ground; the models built without it.

"all" is check, linearization of 24 hours and the program without batteries, together: what a user waits for.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from hcsim.cases.case import load_case
from hcsim.cases.defaults import SitesWanted
from hcsim.devices.fleets import bus_and_kv
from hcsim.errors import HcsimError
from hcsim.feeder.check import check_feeder
from hcsim.feeder.gate import model_error, probe_port, tangent_at
from hcsim.workbench.allocation import Workbench
from optim.data.linear_model import LinearModel
from optim.data.network import Complexes, Network
from optim.data.profiles import Profiles
from optim.feeder import power_flow
from optim.hosting.search import solve_hosting
from optim.linearize import lindist3flow

ROOT = Path(__file__).resolve().parent.parent
PV_KW = 3000.0
SAMPLES = (
    "13Bus/IEEE13Nodeckt.dss",
    "34Bus/ieee34Mod1.dss",
    "37Bus/ieee37.dss",
    "ckt5/Master_ckt5.dss",
    "8500-Node/Master.dss",
)
HEADINGS = (
    "feeder",
    "nodes",
    "modelled / approx. / passive / refused",
    "gate pu",
    "LinDist3Flow base, half, PV",
    "tangent base, half, PV",
    "no-BESS HC kW",
    "check s",
    "linearize s",
    "program s",
    "all s",
    "MiB",
)


def measure(master: Path, sites: int, time_limit_s: float) -> dict[str, object]:
    """Everything about one feeder. Raises HcsimError where it cannot be handled."""
    begun = time.perf_counter()
    checked = check_feeder(master)
    check_s = time.perf_counter() - begun
    found: dict[str, object] = {
        "feeder": checked.network.name,
        "nodes": len(checked.network.nodes),
        "verdicts": checked.to_json()["elements"]["by_verdict"],
        "gate": checked.gate.dv_max_pu,
        "check_s": check_s,
    }
    begun = time.perf_counter()
    bench = Workbench.open(load_case(master, SitesWanted(count=sites)))
    bench.require_gate()
    _ = bench.linear_model
    linearize_s = time.perf_counter() - begun
    begun = time.perf_counter()
    schedule = solve_hosting(bench.problem("none"), "none", bench.solve_options(time_limit_s=time_limit_s))
    program_s = time.perf_counter() - begun
    found |= {
        "hc_kw": schedule.hc_kw,
        "status": schedule.solve.status if schedule.solve else "",
        "linearize_s": linearize_s,
        "program_s": program_s,
        "all_s": check_s + linearize_s + program_s,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    return found | {"errors": errors(bench)}


def errors(bench: Workbench) -> dict[str, list[float | None]]:
    """LinDist3Flow's and the tangent's largest error at base, half load, and with PV."""
    network, ports = bench.network, bench.pv_nodes
    base = solved(bench)
    bench.circuit.command("set loadmult=0.5")
    half = solved(bench)
    bench.circuit.command("set loadmult=1")
    pv = with_pv(bench, ports, PV_KW / len(ports))
    injected = np.full((1, len(ports)), PV_KW / len(ports))
    halved = half_loaded(bench)

    def error(model: LinearModel | None, v_v: Complexes | None, p_kw: np.ndarray | None = None) -> float | None:
        return None if model is None or v_v is None else model_error(network, model, v_v, p_kw)[0]

    lin = {load: lindist(network, ports, load) for load in (1.0, 0.5)}
    at_half = tangent_at(halved, power_flow.solve(halved).v_v, probe_port(network))
    at_base = tangent_at(network, power_flow.solve(network).v_v, ports)
    return {
        "lindist3flow": [error(lin[1.0], base), error(lin[0.5], half), error(lin[1.0], pv, injected)],
        "tangent": [error(at_base, base), error(at_half, half), error(at_base, pv, injected)],
    }


def lindist(network: Network, ports: tuple[str, ...], load_pu: float) -> LinearModel | None:
    try:
        once = Profiles(("t",), 1.0, np.array([load_pu]), np.zeros(1))
        return lindist3flow.linearize(network, once, ports, voltage_dependent_loads=True, losses=True)
    except HcsimError:
        return None  # not radial: the check says so


def solved(bench: Workbench) -> Complexes | None:
    try:
        bench.circuit.solve(controls=False)
    except HcsimError:
        return None
    return bench.circuit.voltages_v().copy()


def with_pv(bench: Workbench, ports: tuple[str, ...], each_kw: float) -> Complexes | None:
    """OpenDSS's voltages with that much injected at every port, the circuit as before afterwards."""
    names = [f"pv_{k}" for k in range(len(ports))]
    for name, port in zip(names, ports, strict=True):
        bench.circuit.define(
            "generator", name, f"{bus_and_kv(bench.network, port)} kw={each_kw!r} pf=1 model=1 vminpu=0.01 vmaxpu=9"
        )
    found = solved(bench)
    for name in names:
        bench.circuit.define("generator", name, "enabled=no")
    return found


def half_loaded(bench: Workbench) -> Network:
    """The network with half of every load; what OpenDSS never scales stays."""
    fixed = set(bench.circuit.fixed_loads())
    loads = bench.network.loads
    scale = np.array([0.5 if n.startswith("Load.") and n not in fixed else 1.0 for n in loads.names])
    halved = dataclasses.replace(loads, p_kw=loads.p_kw * scale, q_kvar=loads.q_kvar * scale)
    return dataclasses.replace(bench.network, loads=halved)


def row(found: dict[str, object]) -> str:
    """One line of the Markdown table."""
    if "error" in found:
        return f"| {found['feeder']} | {found['error']} |" + " |" * (len(HEADINGS) - 2)
    verdicts, by_model = found["verdicts"], found["errors"]
    assert isinstance(verdicts, dict)
    assert isinstance(by_model, dict)

    def shown(values: list[float | None]) -> str:
        return ", ".join("–" if v is None else f"{v:.4f}" if v > 1e-5 else f"{v:.0e}" for v in values)

    cells = [
        str(found["feeder"]),
        f"{found['nodes']:,}",
        " / ".join(f"{n:,}" for n in verdicts.values()),
        f"{found['gate']:.0e}",
        shown(by_model["lindist3flow"]),
        shown(by_model["tangent"]),
        f"{found['hc_kw']:,.0f} ({found['status']})",
        *(f"{found[key]:.1f}" for key in ("check_s", "linearize_s", "program_s", "all_s")),
        f"{found['mib']:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("masters", nargs="*", type=Path, help="master .dss files (default: IEEE 123 and HCSIM_FEEDERS)")
    parser.add_argument("--sites", type=int, default=30, help="candidate PV buses (default: 30)")
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds for the program (default: 60)")
    parser.add_argument("--json", action="store_true", help="one JSON object per feeder instead of the table")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        try:
            found = measure(options.one, options.sites, options.time_limit)
        except HcsimError as error:
            found = {"feeder": options.one.name, "error": error.message}
        print(json.dumps(found))
        return
    masters = options.masters or [ROOT / "dss_models" / "ieee123" / "Master.dss"]
    if not options.masters and (folder := os.environ.get("HCSIM_FEEDERS")):
        masters += [Path(folder) / name for name in SAMPLES]
    if not options.json:
        print("| " + " | ".join(HEADINGS) + " |\n|" + "---|" * len(HEADINGS), flush=True)
    for master in masters:
        call = [
            sys.executable,
            __file__,
            "--one",
            str(master),
            "--sites",
            str(options.sites),
            "--time-limit",
            str(options.time_limit),
        ]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        last = done.stdout.strip().splitlines()[-1:] or ["{}"]
        found = json.loads(last[0]) or {"feeder": master.name, "error": done.stderr.strip().splitlines()[-1]}
        print(json.dumps(found) if options.json else row(found), flush=True)


if __name__ == "__main__":
    main()
