"""What no schedule of a case can exceed by the semidefinite relaxation of its power flow, over some hours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hcsim.errors import ConfigError, ModelError
from hcsim.replay.result import ReplayResult
from hcsim.util.sandbox import memory_of_the_machine
from hcsim.util.suggest import did_you_mean
from hcsim.workbench.allocation import Workbench
from hcsim.workbench.bounds import BETWEEN_PHASES, NoMoreThan, ceiling_on_losses, leg_range
from optim.bounds.balance import Bound
from optim.bounds.sdp.bound import sdp_bound
from optim.bounds.sdp.devices import Devices
from optim.bounds.sdp.hour import Hour
from optim.bounds.sdp.solving import need_clarabel
from optim.bounds.sdp.tree import TapRange
from optim.data.criteria import CRITERIA, Criterion, thresholds
from optim.data.network import Branch, Network
from optim.feeder.two_port import two_port
from optim.linearize.response import OperatingPoint

Floats = NDArray[np.float64]
Taps = Literal["any", "bare"]
SHARE_OF_MEMORY = 0.7
"""Of the machine's, what the solver may take."""

ASSUMES = (
    "Every judged voltage is within its limits and the verdict's tolerance, or where the bare feeder has it; of load "
    f"models alone it is taken that between two phases there are at most {100 * (BETWEEN_PHASES - 1):.0f} % more or "
    "less than both have at 120 degrees. PV has one capacity in all hours and delivers all of its sun. Capacitor "
    "banks stand where the bare feeder has them."
)
TAPS = {
    "any": " Taps of regulators are anywhere in their range, in every hour anew.",
    "bare": " Taps of regulators stand where the bare feeder has them in that hour.",
}


def no_more_than_sdp(
    bench: Workbench,
    program: str,
    *,
    losses_kw: float | None = None,
    hours: Sequence[str] | None = None,
    taps: Taps = "any",
    beside: Iterable[ReplayResult] = (),
) -> NoMoreThan:
    """The semidefinite bound for one of the programs, over the hours named (None: all of them).

    The ceiling on losses is that of `no_more_than`.

    What the relaxation cannot hold is no bound, with the reason as its status. Raises ConfigError for an hour that is
    not there, SolverError where Clarabel is not installed or the program too large for this machine.
    """
    need_clarabel()
    every = bench.profiles.times
    steps = hours_asked(every, hours)
    ceiling, words = ceiling_on_losses(bench, losses_kw, beside)
    ceiling = ceiling[steps]
    times = tuple(every[t] for t in steps)
    assumes = ASSUMES + TAPS[taps]
    if len(steps) < len(every):
        assumes += f" {len(steps)} of {len(every)} hours are looked at."
    if program != "none":
        assumes += " Batteries have no reactive power, and charge and discharge as they like" + (
            " within their rating." if len(steps) < len(every) else ", their energy kept hour by hour."
        )
    try:
        if bench.limits.v_max_pu is None or bench.limits.v_min_pu is None:
            raise ModelError("Without both voltage limits nothing says what loads draw.", "Set them in [limits].")
        if bench.profiles.fixed:
            raise ModelError(f"The curve at {bench.profiles.fixed[0].node} is not held by the semidefinite bound.")
        states = _hours(bench, steps, ceiling)
        free = [_ranges(bench, hour.network) if taps == "any" else {} for hour in states]
        most = SHARE_OF_MEMORY * memory_of_the_machine() / 2**30
        bound, _ = sdp_bound(states, _devices(bench, program, steps), free, memory_gib=most)
    except ModelError as error:
        bound = Bound(np.nan, ceiling, (), "sdp", f"no bound: {error}")
    return NoMoreThan(program, bound, words, times, assumes)


def hours_asked(every: Sequence[str], hours: Sequence[str] | None) -> list[int]:
    """Steps of the hours named. Raises ConfigError for one that is not there."""
    if hours is None:
        return list(range(len(every)))
    for name in hours:
        if name not in every:
            raise ConfigError(
                f"The case has no hour {name!r}.",
                f"{did_you_mean(name, list(every))} Its hours: {', '.join(every[:48])}.".strip(),
            )
    return [t for t, name in enumerate(every) if name in hours]


def _hours(bench: Workbench, steps: Sequence[int], ceiling: Floats) -> list[Hour]:
    bare, limits, network = bench.bare("free"), bench.limits, bench.network
    for t in steps:
        if not bare.found.converged[t]:
            raise ModelError(f"The bare feeder has no solution at {bench.profiles.times[t]}.")
    over, under, reverse = (next(c for c in CRITERIA if c.name == n) for n in _LIMITS)
    nodes = [network.node_index[name] for name in bare.found.operation.nodes]
    u_min, u_max = leg_range(bench, limits.v_tolerance_pu + limits.v_worse_pu)
    high, low, floor = (_allowed(bench, c) for c in (over, under, reverse))
    hours = []
    for k, t in enumerate(steps):
        point = bare.points[t]
        v_high, v_low = np.full(len(network.nodes), np.inf), np.full(len(network.nodes), -np.inf)
        v_high[nodes], v_low[nodes] = high[t], low[t]
        load_q = point.load_pu if point.load_q_pu is None else point.load_q_pu
        at = at_point(network, point)
        label = bench.profiles.times[t]
        if point.own_kva is not None and np.any(point.own_kva != 0):
            own = network.loads.names[int(np.argmax(np.abs(point.own_kva)))]
            raise ModelError(f"{own} is a device of the feeder's own, which the relaxation does not hold.")
        hours.append(
            Hour(at, point.v_v, point.load_pu, load_q, u_min, u_max, v_low, v_high, floor[t], ceiling[k], label)
        )
    return hours


_LIMITS = ("overvoltage", "undervoltage", "reverse_flow")


def _allowed(bench: Workbench, criterion: Criterion) -> Floats:
    """(T, K) what is not yet a new violation, as the verdict has it; infinite where nothing is judged."""
    found = bench.bare("free").found
    values = criterion.values(found.operation)
    assert values is not None
    if not criterion.judged(bench.limits):
        return np.full(values.shape, criterion.sign * np.inf)
    worst = found.before.worst(criterion, bench.limits)
    allowed = thresholds(criterion, bench.limits, worst, values.shape, found.operation.kv_base)
    return criterion.sign * allowed


def at_point(network: Network, point: OperatingPoint) -> Network:
    """The network with taps, banks and sources as they stand at a solved hour."""
    branches: list[Branch] = []
    first = 0
    for branch in network.branches:
        moved = point.admittance_of.get(branch.name)
        if branch.kind == "source" and point.ideal_v is not None:
            ideal = point.ideal_v[first : first + len(branch.to_nodes)]
            branch = replace(branch, transfer=ideal[:, None].astype(complex))
        elif moved is not None:
            nodes = branch.admittance[0]
            here = [nodes.index(n) for n in branch.from_nodes]
            there = [nodes.index(n) for n in branch.to_nodes]
            transfer, z, y_from = two_port(moved, here, there, [network.nodes[n] for n in nodes])
            y_to = np.zeros_like(z)
            branch = replace(branch, transfer=transfer, z_ohm=z, y_from_s=y_from, y_to_s=y_to, y_prim_s=moved)
        first += len(branch.to_nodes) if branch.kind == "source" else 0
        branches.append(branch)
    shunts = tuple(replace(s, y_s=point.admittance_of.get(s.name, s.y_s)) for s in network.shunts)
    return replace(network, branches=tuple(branches), shunts=shunts)


def _ranges(bench: Workbench, now: Network) -> Mapping[str, TapRange]:
    """Transformers under a RegControl -> how far their taps may go from where they stand in `now`."""
    read = {b.name.lower(): b for b in bench.network.branches}
    facts = {e.name.lower(): e.properties for e in bench.circuit.elements(["Transformer"])}
    stands = {b.name.lower(): b for b in now.branches}
    found: dict[str, TapRange] = {}
    for regulator in bench.network.regulators:
        name = regulator.transformer.lower()
        if name not in stands:
            continue
        before, after = read[name], stands[name]
        if len(facts[name]["wdgs"] if "wdgs" in facts[name] else facts[name]["mintap"]) != 2:
            raise ModelError(f"{regulator.transformer} has more than two windings: its taps cannot be left free.")
        at_from = (regulator.winding == 1) == (before.prim_nodes[0] in before.from_nodes)
        at = np.unravel_index(int(np.argmax(np.abs(before.transfer))), before.transfer.shape)
        moved = float(abs(after.transfer[at]) / abs(before.transfer[at]))
        ratio = regulator.tap_ratio * (1.0 / moved if at_from else moved)
        low, high = (float(facts[name][key][regulator.winding - 1]) for key in ("mintap", "maxtap"))
        found[name] = TapRange(min(low / ratio, 1.0), max(high / ratio, 1.0), at_from)
    return found


def _devices(bench: Workbench, program: str, steps: Sequence[int]) -> Devices:
    index, profiles = bench.network.node_index, bench.profiles
    names = bench.pv_nodes
    at = {name: g for g, name in enumerate(names)}
    sun = np.column_stack([profiles.pv_of.get(name.rsplit(".", 1)[0], profiles.pv_pu)[list(steps)] for name in names])
    caps = tuple((tuple(at[n] for n in cap.nodes if n in at), cap.max_kw) for cap in bench.caps)
    pv = tuple(index[name] for name in names)
    fleet = bench.fleet(program)
    if fleet is None:
        return Devices(pv, sun, caps)
    whole = len(steps) == len(profiles)
    length = len(profiles) // profiles.days
    ends = tuple(length * (d + 1) for d in range(profiles.days)) if whole else ()
    places = tuple(tuple(index[n] for n in nodes) for nodes in fleet.nodes)
    return Devices(pv, sun, caps, fleet.units, places, fleet.n_placed, profiles.step_h, ends)
