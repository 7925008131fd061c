"""What is proven of the days that a study simulates: time, memory, and what is added (`formulation.md`, section 7).

*time*: the bare day, and the year where shapes are yearly, against OpenDSS running the same files by itself in a
process of its own; beside it the programs' picture of every hour, whose currents must balance at OpenDSS's voltages.
*memory*: the same run twice, and after a run with devices, gives the same bytes. *added*: without devices a schedule
is the bare feeder to the bit; with devices each stands there once, between the conductors it was meant for, and
delivers what it was told.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hcsim.cases.case import Case
from hcsim.errors import ConvergenceError, FeederError
from hcsim.feeder.check import FeederCheck
from hcsim.feeder.model import FeederModel
from hcsim.opendss.series.alone import Alone, AloneRun
from hcsim.replay.operating_points import PointTaker
from hcsim.replay.options import ReplayOptions
from hcsim.replay.scheduled_devices import ScheduledDevices
from hcsim.replay.series import DailySeries
from hcsim.workbench.gate_task import alone_task, clock_words, year_of
from hcsim.workbench.gate_task import trial_schedule as trial
from optim.data.limits import Limits
from optim.data.network import Complexes, Floats, Network
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule
from optim.errors import ModelError
from optim.linearize.tangent import unbalance_kva

V_TOLERANCE_PU = 1e-9
SAME_ENGINE = 1e-7
"""Where iterations end on another path, two solutions to the tolerance of 1e-9 differ by more than it."""
BALANCE_KVA = 1e-3
DELIVERED_KW = 0.05
MOST_NODE_STEPS = 2_500_000
"""Of the year, beyond which its first days have to do."""


@dataclass(frozen=True)
class DayGate:
    """One of the three gates."""

    passed: bool
    dv_max_pu: float
    node: str = ""
    hour: str = ""
    reason: str = ""
    """Why it failed, or what has to be said of one that passed."""
    facts: tuple[tuple[str, object], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts."""
        worst = self.dv_max_pu if math.isfinite(self.dv_max_pu) else None
        return {
            "passed": self.passed,
            "dv_max_pu": worst,
            "node": self.node,
            "hour": self.hour,
            "reason": self.reason,
            **dict(self.facts),
        }


@dataclass(frozen=True)
class DayGates:
    time: DayGate
    memory: DayGate
    added: DayGate
    year: DayGate | None = None
    """None where no shape is longer than a day."""

    @property
    def passed(self) -> bool:
        return all(gate.passed for gate in (self.time, self.memory, self.added, self.year) if gate)

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for each that failed."""
        named = (("time", self.time), ("year", self.year), ("memory", self.memory), ("added", self.added))
        return tuple(f"The {name} gate fails: {g.reason}" for name, g in named if g and not g.passed)

    def to_json(self) -> dict[str, Any]:
        time = self.time.to_json()
        if self.year is not None:
            time["year"] = self.year.to_json()
            time["passed"] = self.time.passed and self.year.passed
        return {"time_gate": time, "memory_gate": self.memory.to_json(), "added_gate": self.added.to_json()}


@dataclass(frozen=True)
class _Run:
    """A run whose every phasor was kept."""

    v_v: Complexes
    """(T, N)"""
    rest: bytes
    """Everything else that was recorded."""
    failed: frozenset[int]


def failed_gates(reason: str) -> DayGates:
    """Of a day that cannot be run at all."""
    none = DayGate(False, math.inf, reason=reason)
    return DayGates(none, none, none)


def day_gates(model: FeederModel, case: Case, *, year: bool = True) -> DayGates:
    """All three on the model's profiles, controls free. `case` says whose curve loads follow; it is `timed`. Controls
    stand afterwards where they stood."""
    try:
        return _gates(model, case, year)
    except (ConvergenceError, FeederError, ModelError) as error:
        return failed_gates(error.message)


def _gates(model: FeederModel, case: Case, year: bool) -> DayGates:
    profiles, network = model.profiles, model.network
    alone = Alone(alone_task(model, case, profiles))
    taker = PointTaker(model, (), None)
    first = _bare(model, profiles, observer=taker)
    added, again = _added_gate(model, first)
    after = _bare(model, profiles)
    others = {"run twice": again, "run after devices were there": after}
    memory = _memory_gate(network, profiles, first, {what: run for what, run in others.items() if run is not None})
    said = clock_words(model.circuit)
    time = _time_gate(network, profiles, first, alone, said, _balance(network, taker, profiles, first))
    whole = None
    if year and case.own is not None and case.own.has_year:
        whole = _year_gate(model, case, said)
    return DayGates(time, memory, added, whole)


def check_days(found: FeederCheck, case: Case) -> tuple[DayGates, tuple[str, ...]]:
    """The gates on the day of a case whose feeder was read for `hcsim check`, and what its loads follow."""
    assert found.circuit is not None
    case = case.timed(found.circuit, found.network)
    model = FeederModel(found.circuit, found.network, case.profiles, Limits())
    return day_gates(model, case), case.time_notes


# -- runs -------------------------------------------------------------------------------------------------


def _bare(model: FeederModel, profiles: Profiles, observer: Callable[[int], None] | None = None) -> _Run:
    return _run(model, profiles, None, observer)


def _run(
    model: FeederModel,
    profiles: Profiles,
    devices: ScheduledDevices | None,
    observer: Callable[[int], None] | None = None,
) -> _Run:
    kept: list[Complexes] = []

    def after(t: int, consumption_kva: Complexes | None) -> str:
        kept.append(model.circuit.voltages_v().copy())
        if observer:
            observer(t)
        return devices.collect(t, consumption_kva) if devices else ""

    series = DailySeries(model.circuit, model.network, profiles)
    recording = series.run(ReplayOptions("free"), before_step=devices.command if devices else None, after_step=after)
    operation = recording.operation
    loading = operation.loading_pu
    rest = (operation.v_pu, operation.substation_kw, recording.substation_kvar, recording.tap, recording.losses_kw)
    parts = [*rest, recording.load_kw, *([loading] if loading is not None else [])]
    return _Run(
        np.array(kept), b"".join(np.ascontiguousarray(part).tobytes() for part in parts), frozenset(recording.failures)
    )


# -- time -------------------------------------------------------------------------------------------------


def _time_gate(
    network: Network, profiles: Profiles, ours: _Run, alone: Alone, said: str, balance: tuple[float, str, str] | None
) -> DayGate:
    try:
        theirs = alone.result()
    except FeederError as error:
        return DayGate(False, math.inf, reason=error.message)
    if theirs.nodes != network.nodes:
        return DayGate(False, math.inf, reason="OpenDSS by itself has other nodes, or another order of them.")
    dv = _differences(network, ours, theirs)
    t, n = np.unravel_index(int(np.nanargmax(dv)) if np.isfinite(dv).any() else 0, dv.shape)
    worst, node, hour = float(np.nan_to_num(dv[t, n])), network.nodes[n], profiles.times[t]
    facts: list[tuple[str, object]] = [("steps", len(profiles)), ("tolerance_pu", V_TOLERANCE_PU)]
    reasons = []
    if worst > SAME_ENGINE:
        reasons.append(f"{node} differs by {worst:.2g} pu at {hour} from OpenDSS running the files by itself.")
    elif worst > V_TOLERANCE_PU:
        said = f"{said} The difference is that of two iterations that end within the solver's tolerance.".strip()
    only = {t for t in range(len(profiles)) if np.isnan(theirs.v_v[t]).any()} ^ set(ours.failed)
    if only:
        named = ", ".join(profiles.times[t] for t in sorted(only)[:3])
        said = f"{said} Solved by only one of the two, and not compared: {named}.".strip()
    if balance is not None:
        kva, at, when = balance
        facts += [("balance_kva_max", kva), ("balance_node", at), ("balance_hour", when)]
        if kva > BALANCE_KVA:
            reasons.append(f"the program's picture of {when} is off by {kva:.3g} kVA at {at}.")
    return DayGate(not reasons, worst, node, hour, " ".join(reasons) or said, tuple(facts))


def _differences(network: Network, ours: _Run, theirs: AloneRun) -> Floats:
    """(T, N) pu, across what a node is judged against; NaN where one of the two has no answer."""
    difference = np.concatenate([ours.v_v - theirs.v_v, np.zeros((len(ours.v_v), 1))], axis=1)
    across = np.abs(difference[:, :-1] - difference[:, network.v_reference])
    base = np.where(network.v_judged_base_v > 0, network.v_judged_base_v, np.inf)
    found = np.where(network.v_judged, across / base, 0.0)
    found[sorted(ours.failed)] = np.nan
    return np.asarray(found)


def _balance(network: Network, taker: PointTaker, profiles: Profiles, run: _Run) -> tuple[float, str, str] | None:
    """Largest imbalance in kVA of the currents that the programs' network draws at OpenDSS's voltages."""
    sound = [t for t in range(len(profiles)) if t not in run.failed]
    if not sound:
        return None
    off = np.array([unbalance_kva(network, taker.points[t]) for t in sound])
    k, n = np.unravel_index(int(np.argmax(off)), off.shape)
    return float(off[k, n]), network.nodes[n], profiles.times[sound[int(k)]]


def _year_gate(model: FeederModel, case: Case, said: str) -> DayGate:
    steps = max(24, min(8760, MOST_NODE_STEPS // max(len(model.network.nodes), 1) // 24 * 24))
    profiles = year_of(case, steps)
    alone = Alone(alone_task(model, case, profiles))
    found = _time_gate(model.network, profiles, _bare(model, profiles), alone, said, None)
    if steps == 8760:
        return found
    cut = f"The first {steps // 24} days of the year only, as the feeder is large."
    return DayGate(found.passed, found.dv_max_pu, found.node, found.hour, f"{found.reason} {cut}".strip(), found.facts)


# -- memory -----------------------------------------------------------------------------------------------


def _memory_gate(network: Network, profiles: Profiles, first: _Run, others: dict[str, _Run]) -> DayGate:
    worst, node, hour, why = 0.0, "", "", ""
    for what, run in others.items():
        if run.v_v.tobytes() == first.v_v.tobytes() and run.rest == first.rest:
            continue
        base = np.where(network.v_base_v > 0, network.v_base_v, np.inf)
        dv = np.abs(np.nan_to_num(run.v_v - first.v_v)) / base
        t, n = np.unravel_index(int(np.argmax(dv)), dv.shape)
        off = f"{network.nodes[n]} by {dv[t, n]:.2g} pu at {profiles.times[t]}"
        why = why or f"the bare feeder {what} is not the same: {off}."
        if dv[t, n] >= worst:
            worst, node, hour = float(dv[t, n]), network.nodes[n], profiles.times[t]
    return DayGate(not why, worst, node, hour, why, (("runs", 1 + len(others)),))


# -- added ------------------------------------------------------------------------------------------------


def _added_gate(model: FeederModel, bare: _Run) -> tuple[DayGate, _Run | None]:
    """The gate, and the run of the schedule without devices."""
    network, profiles = model.network, model.profiles
    try:
        nothing = trial(network, profiles, ())
        empty = _with(model, nothing)[0]
        base = np.where(network.v_base_v > 0, network.v_base_v, np.inf)
        dv = np.abs(np.nan_to_num(empty.v_v - bare.v_v)) / base
        t, n = np.unravel_index(int(np.argmax(dv)), dv.shape)
        worst, node, hour = float(dv[t, n]), network.nodes[n], profiles.times[t]
        reasons = []
        if empty.v_v.tobytes() != bare.v_v.tobytes() or empty.rest != bare.rest:
            reasons.append(f"a schedule without devices is not the bare feeder: {node} by {worst:.2g} pu at {hour}.")
        schedule = trial(network, profiles, _sites(network))
        run, devices = _with(model, schedule)
        reasons += _standing(model, devices)
        off_kw, off_at = _undelivered(schedule, devices, run, profiles)
    except ConvergenceError as error:
        return DayGate(False, math.inf, reason=error.message), None
    if off_kw > DELIVERED_KW:
        reasons.append(f"{off_kw:.3g} kW of what was commanded are not delivered at {off_at}.")
    facts = (("devices", len(schedule.pv_nodes)), ("undelivered_kw_max", off_kw))
    return DayGate(not reasons, worst, node if worst else "", hour if worst else "", " ".join(reasons), facts), empty


def _with(model: FeederModel, schedule: Schedule) -> tuple[_Run, ScheduledDevices]:
    devices = ScheduledDevices(model.circuit, model.network, schedule, model.profiles.step_h)
    try:
        devices.connect()
        return _run(model, model.profiles, devices), devices
    finally:
        devices.disconnect()


def _sites(network: Network, most: int = 6) -> tuple[str, ...]:
    """Node-phases all over the feeder, the first, the last, and some between, that a device can stand at."""
    live = network.v_judged & (np.abs(network.v_solved_v) > 0.5 * network.v_base_v)
    live[list(network.source_nodes)] = False
    nodes = np.flatnonzero(live)
    chosen = nodes[np.unique(np.linspace(0, len(nodes) - 1, most).astype(int))] if len(nodes) else nodes
    return tuple(network.nodes[n] for n in chosen)


def _standing(model: FeederModel, devices: ScheduledDevices) -> list[str]:
    """Every device once, under its own name, at the node it was meant for."""
    found = []
    elements = {e.name.lower(): e for e in model.circuit.elements(["PVSystem"])} if devices.pv.elements else {}
    names = [name.lower() for name in model.circuit.element_names()]
    if len(set(devices.pv.names)) < len(devices.pv.nodes):
        found.append("two devices have one name.")
    for name, node in zip(devices.pv.elements, devices.pv.nodes, strict=True):
        if names.count(name.lower()) != 1 or name.lower() not in elements:
            found.append(f"{name} at {node} stands in the circuit {names.count(name.lower())} times.")
            continue
        bus, *phases = elements[name.lower()].buses[0].split(".")
        if node.rsplit(".", 1) != [bus, phases[0] if phases else "1"]:
            found.append(f"{name} stands at {'.'.join([bus, *phases])} instead of {node}.")
    return found


def _undelivered(schedule: Schedule, devices: ScheduledDevices, run: _Run, profiles: Profiles) -> tuple[float, str]:
    """Largest |commanded - delivered| in kW over the sound steps, device by device, and where."""
    if not len(schedule.pv_nodes):
        return 0.0, ""
    off = np.abs(np.nan_to_num(devices.pv_kva.real - schedule.pv_p_kw))
    off[sorted(run.failed)] = 0.0
    t, g = np.unravel_index(int(np.argmax(off)), off.shape)
    return float(off[t, g]), f"{schedule.pv_nodes[g]} at {profiles.times[t]}"
