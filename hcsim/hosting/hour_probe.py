"""One hour, one injection, one power flow: what every nodal and stochastic study is made of.

What is asked is always the same: the feeder stands where it does at hour h without the devices under study
(taps and capacitors of the bare feeder's own day, controls free); now they come on with their full power of
that hour. `frozen` is the moment after, before any control has moved: the voltage deviation is judged there.
`settled` is the state that the controls reach: everything else is judged there, and the tap steps it took.
Hours do not depend on each other, as in the California ICA, so each may be asked alone and in any order. What the
bare feeder's own day breaks already may be as bad as it gets wherever its controls may rest
(`hcsim.replay.deadbands`), the rule of every replay. `hcsim.hosting.put_back` runs the whole day in order, as a
user would.

A device is a Load of constant power at unity power factor, negative for generation: changing its kW leaves
the system matrix alone, which makes a power flow cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hcsim.devices.fleets import PREFIX, V_CONSTANT_POWER_PU, bus_and_kv
from hcsim.errors import ConvergenceError
from hcsim.feeder.model import FeederModel
from hcsim.hosting.hour_reading import HourReader, Reading
from hcsim.replay.deadbands import resting_days
from hcsim.replay.options import ReplayOptions
from hcsim.replay.recording import V_SANE_PU, Controls
from hcsim.replay.run import judges_regulation
from hcsim.replay.series import DailySeries
from hcsim.schedules.repeat import battery_kw
from optim.data.criteria import CRITERIA, Criterion, thresholds
from optim.data.operation import Operation
from optim.data.schedule import Schedule

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = Literal["generation", "load"]
Mode = Literal["frozen", "settled"]

PROBE_TOLERANCE = 1e-7
"""Of the power flow, per unit: a hundredth of the tolerance of a voltage limit."""
PROBE_ITERATIONS = 60
PROBE_CONTROL_ITERATIONS = 100
"""Controls that settle do so in a score; those that hunt do it for ever."""
SITE, BATTERY = f"{PREFIX}site_", f"{PREFIX}battery_"
SHAPES = {"generation": f"{PREFIX}sun", "load": f"{PREFIX}flat"}
SIGN = {"generation": -1.0, "load": 1.0}
FAR = 1e9
"""Threshold of an element without a limit: finite, so that gaps can be subtracted."""
KEPT = 0.5
"""Share of a limit's tolerance that is kept for whoever runs it again: his power flow has noise of its own."""
FROZEN_ONLY = ("voltage_deviation",)
SETTLED_ONLY = ("tap_operations",)


@dataclass(frozen=True)
class HourVerdict:
    """One power flow judged. (C,) by `Prober.criteria`; NaN where a criterion was not judged in this mode."""

    sound: bool
    """Converged, on voltages that make sense."""
    excess: Floats
    """Largest value beyond its threshold; above zero a new violation."""
    at: Ints
    """Which element; -1 where nothing is violated."""
    gaps: tuple[Floats | None, ...]
    """Per criterion, value beyond threshold of every element; in both modes where it means anything."""


class Prober:
    """A feeder on its profiles, ready to be asked. Everything in it follows from the constructor's arguments,
    so that two workers give the same answers.

    `controls` "locked" judges all steady-state criteria in the frozen state (and no tap operations). `bess`
    runs the batteries of a schedule unchanged; the threshold "no worse than before" stays the bare feeder's.

    Raises ConvergenceError where no hour of the bare feeder can be solved.
    """

    def __init__(self, model: FeederModel, *, controls: Controls = "free", bess: Schedule | None = None) -> None:
        circuit, network, profiles, limits = model.circuit, model.network, model.profiles, model.limits
        self.circuit, self.network, self.profiles, self.limits = circuit, network, profiles, limits
        circuit.keep_matrix()
        self.series = DailySeries(circuit, network, profiles)
        self.reader = HourReader(self.series, limits)
        # a probe in which protection acts cuts customers off: it has no answer, which counts as failed
        self.criteria = tuple(c for c in CRITERIA if c.judged(limits) and c.name != "protection")
        if controls == "locked":
            self.criteria = tuple(c for c in self.criteria if c.name not in SETTLED_ONLY)
        self._in_mode, self.controls = _modes(self.criteria, controls), controls
        self._start_caps = circuit.capacitor_states()
        self._caps_move = "CapControl" in circuit.classes()
        self.power_flows = 0
        self._sites: list[str] = []
        self._stored: dict[int, tuple[Floats, ...]] = {}
        """kWh and kW of the feeder's own batteries at each step, as the bare day leaves them."""
        self._positions: dict[str, int] = {}
        self._kind: Kind = "generation"
        self._at: list[int] = []
        self._size_kw = np.zeros(0)
        self._now: tuple[dict[str, int], dict[str, tuple[int, ...]]] | None = None
        """Taps and capacitors as they stand; None where that is not known."""
        steps = len(profiles)
        self.taps: list[dict[str, int]] = [{} for _ in range(steps)]
        self.caps: list[dict[str, tuple[int, ...]]] = [{} for _ in range(steps)]
        self.base: list[Reading | None] = [None] * steps
        self._start_v: list[NDArray[np.complex64] | None] = [None] * steps
        self.leave()
        self._define_shapes()
        self._run_bare_day(controls)
        if bess is not None:
            self._bring_batteries(bess, controls)
        self._excess_without = self._judge_base()

    # -- the feeder without devices ---------------------------------------------------------------------

    def leave(self) -> None:
        """The devices of this and any earlier prober out of the circuit: disabled, as OpenDSS deletes nothing."""
        self.series.switch_fixed(on=False)
        for name in self.circuit.load_positions():
            if name.startswith((SITE, BATTERY)):
                self.circuit.command(f'edit "Load.{name}" kw=0 enabled=no')

    def _run_bare_day(self, controls: Controls) -> None:
        """Taps, capacitors and readings of every hour; hours that fail are named in `failures`."""
        steps = len(self.profiles)

        def keep(t: int, _: object) -> None:
            self._keep(t)
            self.base[t] = self.reader.read(None)

        recording = self.series.run(ReplayOptions(controls), after_step=keep, loading=False)
        self.power_flows += steps
        self.failures = dict(recording.failures)
        if len(self.failures) == steps:
            recording.require_sound(f"{self.network.name}, bare feeder, controls {controls}")
        for t in self.failures:
            self.base[t] = None
        limits, days = self.limits, tuple[Operation, ...]()
        if controls == "free":
            regulation = judges_regulation(limits)
            days = resting_days(self.series, loading=limits.loading_max_pu is not None, regulation=regulation)
        self.power_flows += steps * len(days)
        self.own_thresholds = [self._thresholds_of(c, ()) for c in self.criteria]
        """As `thresholds`, with nothing forgiven beyond the bare feeder's own day."""
        self.thresholds = [self._thresholds_of(c, days) for c in self.criteria] if days else self.own_thresholds
        self.bare_taps = (self.series.network_taps(), *self.taps)

    def _thresholds_of(self, criterion: Criterion, days: Sequence[Operation]) -> Floats:
        """(T, K), or (1, K) where the bare feeder's own day breaks nothing: the limits alone. Where it breaks a limit
        of an element, that element may be as bad as on any of `days` too (`optim.data.criteria.Before`)."""
        limit = self._limits_of(criterion)
        if criterion.name in ("voltage_deviation", "tap_operations"):
            return limit
        some = next(r for r in self.base if r is not None)
        own = criterion.sign * np.array([self.reader.value(criterion, r if r is not None else some) for r in self.base])
        worst = np.fmax.reduce([own, *(criterion.sign * self.reader.of_day(criterion, day) for day in days)])
        values = criterion.sign * np.where(np.any(own > limit, axis=0), worst, own)
        whole = np.minimum(thresholds(criterion, self.limits, values, kv_base=self.reader.kv_base), FAR)
        return whole if np.any(whole != limit) else limit

    def _limits_of(self, criterion: Criterion) -> Floats:
        """(1, K) thresholds where the bare feeder breaks nothing."""
        shape = (1, len(self.reader.names(criterion)))
        return np.minimum(thresholds(criterion, self.limits, None, shape, self.reader.kv_base), FAR)

    def _bring_batteries(self, bess: Schedule, controls: Controls) -> None:
        """The batteries' hourly power as loads of their own; then the day again, for taps and voltages."""
        power_kw = battery_kw(bess, self.profiles)
        for i, node in enumerate(bess.bess_nodes):
            values = " ".join(repr(float(-x)) for x in power_kw[:, i])
            shape = f"npts={len(self.profiles)} sinterval={self.profiles.step_h * 3600.0!r} mult=[{values}]"
            self.circuit.define("LoadShape", f"{BATTERY}{i}", shape)
            self._define_load(f"{BATTERY}{i}", node, f"kw=1 daily={BATTERY}{i} enabled=yes")
        self.go_to_start()
        self.series.switch_fixed(on=True)
        for t in range(len(self.profiles)):
            self.series.set_fixed(t)
            sound = self.circuit.step(t, controls=controls == "free")
            self.power_flows += 1
            self._keep(t)
            self.base[t] = self.reader.read(None) if sound else None
            if not sound or not self.sane(self.base[t]):
                self.base[t] = None
                self.failures[t] = "OpenDSS did not converge with the batteries"
        if len(self.failures) == len(self.profiles):
            raise ConvergenceError(f"{self.network.name} cannot be solved with batteries at any hour.")

    def go_to_start(self) -> None:
        """Taps and capacitors as the feeder has them before its first hour."""
        self.circuit.set_taps(self.series.network_taps())
        self.circuit.set_capacitor_states(self._start_caps)
        self._start_series()

    def _start_series(self) -> None:
        self.circuit.start_series(
            self.profiles.step_h,
            start_h=self.profiles.start_h,
            tolerance=PROBE_TOLERANCE,
            max_iterations=PROBE_ITERATIONS,
            max_control_iterations=PROBE_CONTROL_ITERATIONS,
        )

    def _judge_base(self) -> Floats:
        """(T, C) excess without any device: above zero only where batteries break a limit by themselves."""
        rows = []
        for t, reading in enumerate(self.base):
            if reading is None:
                rows.append(np.full(len(self.criteria), np.nan))
                continue
            gaps = [self.gap(c, t, reading) for c in range(len(self.criteria))]
            rows.append(np.array([g.max(initial=-np.inf) for g in gaps]))
        return np.array(rows)

    def excess_without(self, t: int) -> Floats:
        """(C,) of the feeder without devices at step t."""
        return np.asarray(self._excess_without[t])

    def gaps_without(self, t: int) -> tuple[Floats, ...]:
        reading = self.base[t]
        assert reading is not None
        return tuple(self.gap(c, t, reading) for c in range(len(self.criteria)))

    @property
    def steps(self) -> Ints:
        """Steps at which the feeder without devices can be solved."""
        return np.array([t for t, r in enumerate(self.base) if r is not None], dtype=np.int64)

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The states that have something to judge, in the order in which they follow each other."""
        return tuple(mode for mode, judged in self._in_mode.items() if judged.any())

    @property
    def mode_of_criteria(self) -> tuple[Mode, ...]:
        """(C,) the state in which each criterion is judged."""
        return tuple("frozen" if frozen else "settled" for frozen in self._in_mode["frozen"])

    # -- devices ------------------------------------------------------------------------------------------

    def place(self, nodes: Sequence[str], kind: Kind) -> None:
        """One device per node-phase, at zero; those placed before are gone. OpenDSS builds its matrix from
        scratch, so that nothing remains of what was solved before; one power flow makes it do so now, while
        the devices are at zero: with their power in the matrix its iterations converge half as fast."""
        self._kind = kind
        for i, node in enumerate(nodes):
            self._define_load(f"{SITE}{i}", node, f"kw=0 daily={self._shape_of(kind, node)} enabled=yes")
        for name in self._sites[len(nodes) :]:
            self.circuit.command(f'edit "Load.{name}" enabled=no')
        names = [f"{SITE}{i}" for i in range(len(nodes))]
        if len(names) > len(self._sites):
            self._sites = names
            self._positions = self.circuit.load_positions()
        self._at = [self._positions[name] for name in names]
        self._size_kw = np.zeros(len(nodes))
        self._now = None
        self.series.switch_fixed(on=True)
        self._start_series()
        if len(self.steps):
            self._go_to(int(self.steps[0]))
            self.circuit.step(int(self.steps[0]), controls=False)
            self.power_flows += 1

    def resize(self, size_kw: Floats) -> None:
        """(G,) kW of each device, positive, whatever its kind; the profile scales it hour by hour."""
        for g in np.flatnonzero(size_kw != self._size_kw):
            self.circuit.set_load_kw(self._at[g], SIGN[self._kind] * float(size_kw[g]))
        self._size_kw = np.array(size_kw, dtype=float)

    def availability(self, kind: Kind, nodes: Sequence[str]) -> Floats:
        """(T,) share of its size that a device at the nodes of one bus has."""
        return self.profiles.sun(nodes[:1])[:, 0] if kind == "generation" else np.ones(len(self.profiles))

    def probe(self, t: int, mode: Mode) -> HourVerdict:
        """Power flow of step t with the devices as sized, from where the feeder stands at t without them."""
        self._go_to(t)
        sound = self.circuit.step(t, controls=mode == "settled")
        self.power_flows += 1
        count = len(self.criteria)
        if mode == "settled":
            self._now = self._standing() if sound else None
        reading = self.reader.read(self.base[t], self.taps[t], self._now[0] if self._now else None)
        if not sound or not self.sane(reading):
            self._now = None
            return HourVerdict(False, np.full(count, np.nan), np.full(count, -1), (None,) * count)
        return self._judge(t, mode, reading)

    def _judge(self, t: int, mode: Mode, reading: Reading) -> HourVerdict:
        excess, at = np.full(len(self.criteria), np.nan), np.full(len(self.criteria), -1)
        gaps: list[Floats | None] = [None] * len(self.criteria)
        for c, criterion in enumerate(self.criteria):
            if criterion.name in FROZEN_ONLY + SETTLED_ONLY and not self._in_mode[mode][c]:
                continue
            gap = gaps[c] = self.gap(c, t, reading)
            if not self._in_mode[mode][c]:
                continue
            excess[c] = worst = gap.max(initial=-np.inf)
            if worst > 0:  # of equals the first, whatever the last digits say
                at[c] = int(np.argmax(gap >= worst - 0.1 * self.criteria[c].tolerance(self.limits)))
        return HourVerdict(True, excess, at, tuple(gaps))

    def element_of(self, criterion: int, at: int) -> tuple[str, str]:
        """Element and phase that `HourVerdict.at` means."""
        return self.reader.names(self.criteria[criterion])[at]

    def was_beyond(self, criterion: int, t: int, at: int) -> bool:
        """Whether the bare feeder is beyond this limit at this element and step already."""
        plain, limit = self._limits_of(self.criteria[criterion]), self.thresholds[criterion]
        return bool(len(limit) > 1 and limit[t][at] != plain[0, at])

    def gap(self, c: int, t: int, reading: Reading, limit: Floats | None = None) -> Floats:
        """(K,) value beyond threshold of every element; above zero a new violation."""
        limit = self.thresholds[c] if limit is None else limit
        criterion = self.criteria[c]
        gap = criterion.sign * self.reader.value(criterion, reading)
        found: Floats = gap - (limit[t] if len(limit) > 1 else limit[0]) + KEPT * criterion.tolerance(self.limits)
        return found

    def forget_state(self) -> None:
        """After somebody else has moved the controls: the next probe sets all of them."""
        self._now = None
        self._start_series()

    def start_v(self, t: int) -> NDArray[np.complex64]:
        """(N,) the voltages that every power flow of step t starts with."""
        found = self._start_v[t]
        assert found is not None
        return found

    def _go_to(self, t: int) -> None:
        if self.profiles.fixed:
            self.series.set_fixed(t)
        wanted = (self.taps[t], self.caps[t])
        taps, caps = self._now or ({}, {})
        self.circuit.set_taps({name: at for name, at in wanted[0].items() if taps.get(name) != at})
        self.circuit.set_capacitor_states({name: at for name, at in wanted[1].items() if caps.get(name) != at})
        self._now = wanted
        if self._stored:
            self.circuit.write("Storage", "", "kwhstored", self._stored[t][0])
            self.circuit.write("Storage", "", "kw", self._stored[t][1])
        self.circuit.start_from(self.start_v(t))

    def _keep(self, t: int) -> None:
        """Where the feeder stands at step t without devices: every power flow of that step starts there."""
        self.taps[t], self.caps[t] = self._standing()
        if "Storage" in self.circuit.classes():
            self._stored[t] = tuple(self.circuit.read("Storage", "", key) for key in ("kwhstored", "kw"))
        self._start_v[t] = self.circuit.voltages_v().astype(np.complex64)

    def _standing(self) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
        """Taps and capacitor steps as they are; capacitors that nothing controls are not read."""
        return self.circuit.taps(), self.circuit.capacitor_states() if self._caps_move else {}

    def sane(self, reading: Reading | None) -> bool:
        if reading is None:
            return False
        v = reading.v_pu
        return bool(np.isfinite(v).all() and v.min() >= V_SANE_PU[0] and v.max() <= V_SANE_PU[1])

    def _define_shapes(self) -> None:
        interval = f"npts={len(self.profiles)} sinterval={self.profiles.step_h * 3600.0!r}"
        curves = {SHAPES["generation"]: self.profiles.pv_pu, SHAPES["load"]: np.ones(len(self.profiles))}
        curves |= {f"{SHAPES['generation']}_{i}": curve for i, curve in enumerate(self.profiles.pv_of.values())}
        for name, curve in curves.items():
            values = " ".join(repr(float(x)) for x in curve)
            self.circuit.define("LoadShape", name, f"{interval} useactual=no mult=[{values}]")

    def _shape_of(self, kind: Kind, node: str) -> str:
        """What a device at a node follows: the study's sun, or that of its bus."""
        own, bus = list(self.profiles.pv_of), node.rsplit(".", 1)[0]
        return f"{SHAPES[kind]}_{own.index(bus)}" if kind == "generation" and bus in own else SHAPES[kind]

    def _define_load(self, name: str, node: str, properties: str) -> None:
        low, high = V_CONSTANT_POWER_PU
        self.circuit.define(
            "Load",
            name,
            f"{bus_and_kv(self.network, node)} model=1 pf=1 status=variable vminpu={low} vmaxpu={high} {properties}",
        )


def _modes(criteria: Sequence[Criterion], controls: Controls) -> dict[Mode, NDArray[np.bool_]]:
    """Which criteria are judged in which state."""
    frozen = np.array([controls == "locked" or c.name in FROZEN_ONLY for c in criteria], dtype=bool)
    return {"frozen": frozen, "settled": ~frozen}
