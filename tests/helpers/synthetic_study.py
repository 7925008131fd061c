"""A made-up but physically plausible day on a nine-bus feeder, for tests of files, comparison and report.

The tree (kW of load per phase at nominal):   src -reg- head - b2 - b3 - b4 - b5
                                                        |    |         |
                                                        b6.1 b7.2      b8 - b9.3
Voltages come from a lossless drop v^2 = v0^2 - 2 (r p + x q) per phase; "OpenDSS" is the same drop plus a
small term quadratic in the power through the head, so that claim and replay differ by a known law. No number
here was produced by OpenDSS or by a solver.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from hcsim.certify.certificate import Certificate, Round
from hcsim.hosting.result import HostingCapacityResult
from hcsim.replay.result import ReplayResult
from hcsim.results.allocation import CaseResult, StudyResult
from optim.data.limits import Limits
from optim.data.network import Branch, LoadLegs, Network, Regulator
from optim.data.operation import Operation
from optim.data.profiles import Profiles
from optim.data.schedule import BessUnit, Schedule, SolveInfo
from optim.data.violations import violations

T = 24
TIMES = tuple(f"{h:02d}:00" for h in range(T))
HOURS = np.arange(T)
LOAD_PU = 0.62 + 0.2 * np.exp(-(((HOURS - 9) / 3.0) ** 2)) + 0.38 * np.exp(-(((HOURS - 19) / 2.6) ** 2))
PV_PU = np.where(np.abs(HOURS - 11.5) < 6.5, 0.76 * np.exp(-(((HOURS - 11.5) / 4.2) ** 2)), 0.0)

TREE = {  # bus: (parent, phases, load kW per phase, x, y)
    "head": ("src", (1, 2, 3), 40.0, 1.0, 0.0),
    "b2": ("head", (1, 2, 3), 120.0, 2.0, 0.0),
    "b3": ("b2", (1, 2, 3), 150.0, 3.0, 0.0),
    "b4": ("b3", (1, 2, 3), 90.0, 4.0, 0.3),
    "b5": ("b4", (1, 2, 3), 110.0, 5.0, 0.6),
    "b6": ("b2", (1,), 60.0, 2.2, -1.0),
    "b7": ("b3", (2,), 50.0, 3.1, 1.0),
    "b8": ("b4", (1, 2, 3), 80.0, 4.2, -0.8),
    "b9": ("b8", (3,), 70.0, 5.0, -1.1),
}
PV_BUSES = ("b3", "b5", "b6", "b8", "b9")


def network() -> Network:
    nodes = [f"src.{p}" for p in (1, 2, 3)]
    nodes += [f"{bus}.{p}" for bus, (_, phases, *_rest) in TREE.items() for p in phases]
    index = {n: i for i, n in enumerate(nodes)}

    def branch(name, kind, parent, bus, phases, ratio=1.0, rating=400.0):
        k, none = len(phases), np.zeros((len(phases), len(phases)), complex)
        return Branch(
            name,
            kind,
            tuple(index[f"{parent}.{p}"] for p in phases) if parent else (),
            tuple(index[f"{bus}.{p}"] for p in phases),
            ratio * np.eye(k, dtype=complex) if parent else np.ones((k, 1), complex),
            (0.2 + 0.4j) * np.eye(k),
            none,
            none,
            rating,
        )

    branches = [
        branch("Vsource.source", "source", None, "src", (1, 2, 3)),
        branch("Transformer.reg1", "regulator", "src", "head", (1, 2, 3), 1.04375),
    ]
    branches += [
        branch(f"Line.{bus}", "line", parent, bus, phases)
        for bus, (parent, phases, *_rest) in TREE.items()
        if bus != "head"
    ]
    at = [index[f"{bus}.{p}"] for bus, (_, phases, *_rest) in TREE.items() for p in phases]
    kw = np.array([load for _, (_, phases, load, *_xy) in TREE.items() for _ in phases])
    legs = len(at)
    zip_row = np.tile([0.0, 0.0, 1.0], (legs, 1))
    loads = LoadLegs(
        tuple(f"Load.{nodes[n]}" for n in at),
        np.array(at),
        np.full(legs, -1),
        kw,
        0.4 * kw,
        np.full(legs, 2401.8),
        zip_row,
        zip_row,
        np.full(legs, 0.8),
        np.full(legs, 1.2),
    )
    phasor = {"1": 1.0, "2": np.exp(-2j * np.pi / 3), "3": np.exp(2j * np.pi / 3)}
    return Network(
        name="synthetic nine-bus feeder",
        nodes=tuple(nodes),
        v_base_v=np.full(len(nodes), 2401.8),
        v_reference=np.full(len(nodes), -1),
        v_judged=np.ones(len(nodes), bool),
        v_solved_v=np.array([2401.8 * phasor[n[-1]] for n in nodes]),
        source_nodes=(0, 1, 2),
        branches=tuple(branches),
        loads=loads,
        shunts=(),
        regulators=(Regulator("RegControl.creg1", "Transformer.reg1", 2, 7, 1.04375, -16, 16),),
        coordinates={"src": (0.0, 0.0)} | {bus: (x, y) for bus, (*_r, x, y) in TREE.items()},
        source_sha256="ab" * 32,
    )


def profiles() -> Profiles:
    return Profiles(TIMES, 1.0, LOAD_PU, PV_PU)


def injections(net: Network, schedule: Schedule | None) -> tuple[np.ndarray, np.ndarray]:
    """(T, N) net kW and kvar into the network, loads included."""
    p = np.zeros((T, len(net.nodes)))
    np.add.at(p, (slice(None), net.loads.node_plus), -np.outer(LOAD_PU, net.loads.p_kw))
    q = 0.4 * p
    if schedule is not None:
        for g, node in enumerate(schedule.pv_nodes):
            p[:, net.node_index[node]] += schedule.pv_p_kw[:, g]
            q[:, net.node_index[node]] += schedule.pv_q_kvar[:, g]
        for d, node in enumerate(schedule.bess_nodes):
            p[:, net.node_index[node]] += schedule.bess_p_kw[:, d]
    return p, q


def voltages(net: Network, p: np.ndarray, q: np.ndarray, tap: np.ndarray, bend: float) -> np.ndarray:
    """(T, N): drop along each phase's path; `bend` adds what a linear model cannot know."""
    paths = {}
    for bus, (parent, *_rest) in TREE.items():
        paths[bus] = (*paths.get(parent, ()), bus)
    v2 = np.ones_like(p)
    for n, node in enumerate(net.nodes):
        bus, phase = node.split(".")
        if bus == "src":
            continue
        v2[:, n] = (1 + 0.00625 * tap) ** 2
        for above in paths[bus]:
            inside = [
                net.node_index[f"{b}.{phase}"]
                for b, path in paths.items()
                if above in path and f"{b}.{phase}" in net.node_index
            ]
            through = p[:, inside].sum(axis=1), q[:, inside].sum(axis=1)
            v2[:, n] += 2 * (1.5e-5 * through[0] + 2.5e-5 * through[1]) - bend * 1e-8 * through[0] ** 2
    return np.sqrt(v2)


def schedule(net: Network, case: str, pv_total_kw: float, units: tuple[BessUnit, ...] = ()) -> Schedule:
    pv_nodes = tuple(f"{b}.{p}" for b in PV_BUSES for p in TREE[b][1])
    weight = np.array([{"1": 650 / 4, "2": 640 / 3, "3": 660 / 4}[n[-1]] for n in pv_nodes])  # load over sites
    pv_kw = pv_total_kw * weight / weight.sum()
    pv_p = np.outer(PV_PU, pv_kw)
    pv_q = -0.15 * pv_p
    spots = [(u, f"{unit.bus}.{p}") for u, unit in enumerate(units) for p in TREE[unit.bus][1]]
    charge, discharge = np.zeros((T, len(spots))), np.zeros((T, len(spots)))
    soc = np.zeros((T + 1, len(units)))
    for u, unit in enumerate(units):
        mine = [d for d, (of, _) in enumerate(spots) if of == u]
        charge[np.ix_(range(9, 14), mine)] = unit.energy_kwh * 0.15 / len(mine)
        discharge[np.ix_(range(18, 22), mine)] = unit.energy_kwh * 0.15 * 5 * 0.9025 / 4 / len(mine)
        if case == "distributed" and u == 0:  # this one burns energy while the others charge
            charge[9, mine], discharge[9, mine] = 0.0, unit.energy_kwh * 0.1 / len(mine)
            charge[8, mine] += unit.energy_kwh * (0.15 + 0.1 / 0.9025) / len(mine)
        step = unit.eta_charge * charge[:, mine].sum(axis=1)
        step -= discharge[:, mine].sum(axis=1) / unit.eta_discharge
        soc[:, u] = 0.12 * unit.energy_kwh + np.concatenate([[0.0], np.cumsum(step)])
    made = Schedule(
        case=case,
        times=TIMES,
        step_h=1.0,
        pv_nodes=pv_nodes,
        pv_kw=pv_kw,
        pv_p_kw=pv_p,
        pv_q_kvar=pv_q,
        bess=units,
        bess_nodes=tuple(n for _, n in spots),
        bess_of=tuple(u for u, _ in spots),
        p_charge_kw=charge,
        p_discharge_kw=discharge,
        soc_kwh=soc,
        solve=SolveInfo(
            "optimal" if case != "distributed" else "time_limit",
            pv_total_kw,
            pv_total_kw * (1.0 if case != "distributed" else 1.004),
            0.0 if case != "distributed" else 0.004,
            0.4,
            12.5,
        ),
        assumptions=("Taps locked at the published positions.",),
    )
    p, q = injections(net, made)
    judged = net.nodes
    at = [net.node_index[n] for n in judged]
    by_phase = [[i for i, n in enumerate(net.nodes) if n.endswith(f".{ph}")] for ph in (1, 2, 3)]
    return replace(
        made,
        predicted_nodes=tuple(judged),
        predicted_v_pu=voltages(net, p, q, np.full(T, 7), 0.0)[:, at],
        substation_phases=("src.1", "src.2", "src.3"),
        predicted_substation_kw=np.stack([-p[:, of].sum(axis=1) for of in by_phase], axis=1),
    )


def replay(
    net: Network, limits: Limits, made: Schedule | None, controls: str, base: ReplayResult | None
) -> ReplayResult:
    p, q = injections(net, made)
    tap = np.full(T, 7) if controls == "locked" else 7 + (HOURS > 16).astype(int) - (HOURS < 4).astype(int)
    v = voltages(net, p, q, tap, 1.0)
    order = np.argsort([n[::-1] for n in net.nodes])  # another order than the claim's, on purpose
    by_phase = [[i for i, n in enumerate(net.nodes) if n.endswith(f".{ph}")] for ph in (1, 2, 3)]
    losses = 1e-5 * (p.sum(axis=1)) ** 2
    substation = np.stack([-p[:, of].sum(axis=1) for of in by_phase], axis=1) + losses[:, None] / 3
    lines = tuple(f"Line.{bus}.{ph}" for bus, (_, phases, *_r) in TREE.items() if bus != "head" for ph in phases)
    found = Operation(
        TIMES,
        tuple(net.nodes[i] for i in order),
        v[:, order],
        ("src.1", "src.2", "src.3"),
        substation,
        lines,
        np.full((T, len(lines)), 0.4),
    )
    return ReplayResult(
        case=made.case if made else "bare feeder",
        controls=controls,
        converged=np.ones(T, bool),
        operation=found,
        substation_kvar=0.4 * substation,
        regulators=("RegControl.creg1",),
        tap=tap[:, None].astype(np.int64),
        tap_operations=int(np.abs(np.diff(tap)).sum()),
        losses_kw=losses,
        load_kw=LOAD_PU * net.loads.p_kw.sum(),
        devices=_devices(made),
        soc=_soc(made),
        violations=violations(found, limits, base.operation if base else None),
        energy_not_delivered_kwh=0.0,
        power_flows=T,
        seconds=0.2,
    )


def _devices(made: Schedule | None) -> pd.DataFrame:
    columns = [
        "time",
        "step",
        "element",
        "node",
        "kind",
        "p_commanded_kw",
        "p_delivered_kw",
        "q_commanded_kvar",
        "q_delivered_kvar",
    ]
    rows = (
        []
        if made is None
        else [
            (
                TIMES[t],
                t,
                f"PVSystem.pv_{n}",
                n,
                "pv",
                made.pv_p_kw[t, g],
                made.pv_p_kw[t, g],
                made.pv_q_kvar[t, g],
                made.pv_q_kvar[t, g],
            )
            for t in range(T)
            for g, n in enumerate(made.pv_nodes)
        ]
    )
    return pd.DataFrame(rows, columns=columns)


def _soc(made: Schedule | None) -> pd.DataFrame:
    rows = (
        []
        if made is None
        else [
            (TIMES[t], t, unit.name, made.soc_kwh[t + 1, u], made.soc_kwh[t + 1, u] - 0.01)
            for t in range(T)
            for u, unit in enumerate(made.bess)
        ]
    )
    return pd.DataFrame(rows, columns=["time", "step", "unit", "soc_commanded_kwh", "soc_delivered_kwh"])


def unit(name: str, bus: str, energy: float, power: float) -> BessUnit:
    return BessUnit(name, bus, energy, power, 0.95, 0.95, 0.05, 0.95)


def certificate(case: CaseResult) -> Certificate:
    """Two rounds of a made-up loop: the first refuted, the second passed."""
    kw = case.schedule.hc_kw
    rounds = (
        Round(1, kw + 20.0, False, 3, "overvoltage 1.051 pu at b5.1 at 10:00", 0.001, 12, kw - 80.0, kw, 1.0),
        Round(2, kw + 5.0, True, 0, "", 0.0, 10, kw + 5.0, kw / 2, 2.0),
    )
    budget = {
        "claim_kw": kw,
        "load_model_kw": -2.0,
        "losses_kw": 1.0,
        "linearization_kw": -6.0,
        "frozen_taps_kw": 2.0,
        "device_delivery_kw": 0.0,
        "rest_kw": 0.0,
        "certified_kw": kw + 5.0,
    }
    return Certificate(
        "none",
        case.schedule,
        case.replays["free"],
        kw + 6.0,
        kw + 40.0,
        "certified to tolerance",
        "Claim and certificate agree.",
        rounds,
        96,
        3.0,
        budget,
    )


def study(*, certified: bool = False) -> StudyResult:
    net, limits = network(), Limits()
    base = {c: replay(net, limits, None, c, None) for c in ("locked", "free")}
    few = tuple(unit(f"bess_{b}", b, 1000.0, 375.0) for b in ("b3", "b5", "b8"))
    sun, load = np.maximum(PV_PU, 1e-9), LOAD_PU * net.loads.p_kw.sum()
    charge = np.where((HOURS >= 9) & (HOURS < 14), 450.0, 0.0)
    most, stored = (load / sun).min(), ((load + charge) / sun).min()  # where reverse flow begins, no losses
    wanted = {
        "none": (most, ()),
        "centralized": (stored, (unit("bess_head", "head", 3000.0, 1125.0),)),
        "distributed": (stored + 60.0, few),  # too much, on purpose: the replay refutes it
        "distributed_no_circulation": (stored, few),
    }
    cases = {}
    for name, (pv_kw, units) in wanted.items():
        made = schedule(net, name, pv_kw, units)
        cases[name] = CaseResult(made, {c: replay(net, limits, made, c, base[c]) for c in base})
    if certified:
        cases["none"] = replace(cases["none"], certificate=certificate(cases["none"]))
    probes = pd.DataFrame(
        [(1000.0, True, "", "", "", "", np.nan), (3000.0, False, "overvoltage", "b5", "1", "10:00", 1.0567)],
        columns=["pv_kw", "passed", "criterion", "element", "phase", "time", "value"],
    )
    limit = {"criterion": "reverse_flow", "element": "src", "phase": "1", "time": "10:00", "value": -0.4, "limit": 0.0}
    found = round(0.99 * most)
    plain = HostingCapacityResult("bracket and bisection", found, (found, found + 1.0), limit, probes, (), 288, 1.4)
    ledger = pd.DataFrame(
        [(b.name, b.kind, "modelled", "", np.nan, np.nan, np.nan) for b in net.branches]
        + [
            ("Load.b4", "load", "approximated", "constant current, taken at nominal voltage", 90.0, 36.0, np.nan),
            ("Monitor.m1", "monitor", "passive", "measures only", np.nan, np.nan, np.nan),
        ],
        columns=["element", "class", "verdict", "reason", "kw", "kvar", "rating"],
    )
    return StudyResult(
        case="synthetic",
        title="Synthetic nine-bus feeder",
        network=net,
        profiles=profiles(),
        limits=limits,
        ledger=ledger,
        cases=cases,
        base_replays=base,
        baselines={"none": plain, "with_schedule": replace(plain, hc_kw=2298.0, power_flows=312)},
        with_schedule_case="distributed",
        assumptions={
            "curves": "calibrated: one scale on the PV curve.",
            "battery": "stated: 3000 kWh and 1125 kW in all.",
            "sites": "ours: five PV buses.",
        },
        paper={
            "source": "Shi et al. 2022, Table II",
            "none_kw": 1805.7,
            "centralized_kw": 2376.0,
            "distributed_kw": 2440.0,
            "bess_buses": ["b3", "b5", "b9"],
        },
        versions={"hcsim": "0.1.0", "opendss": "10.0"},
        seconds={"optimize none": 0.4, "replay none": 0.2},
    )
