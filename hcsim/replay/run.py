"""Schedule -> ReplayResult: the quasi-static OpenDSS time series, commanded against delivered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hcsim.devices.autonomous_pv import AutonomousPv, InverterControl, pv_fleet, unsettled
from hcsim.devices.fleets import BessFleet
from hcsim.devices.held_controls import held_in_words
from hcsim.errors import ConfigError
from hcsim.opendss.circuit import Circuit
from hcsim.replay.deadbands import resting_days
from hcsim.replay.result import ReplayResult
from hcsim.replay.series import Controls, DailySeries, Recording
from optim.data.limits import VIOLATION_COLUMNS, Limits, Operation, violations
from optim.data.network import Network
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""

DEVICE_COLUMNS = (
    "time", "step", "element", "node", "kind", "p_commanded_kw", "p_delivered_kw", "q_commanded_kvar",
    "q_delivered_kvar",
)  # fmt: skip
SOC_COLUMNS = ("time", "step", "unit", "soc_commanded_kwh", "soc_delivered_kwh")
SOC_TOLERANCE = 1e-6
"""Share of a unit's energy that counts as numerical noise."""


def replay(
    circuit: Circuit, profiles: Profiles, limits: Limits, schedule: Schedule | None, *, controls: Controls,
    taps: Mapping[str, int] | None = None, base: ReplayResult | None = None, network: Network,
    progress: Progress | None = None, observer: Callable[[int], None] | None = None,
    inverters: InverterControl | None = None, give_up: bool = False,
) -> ReplayResult:  # fmt: skip
    """Run the profile's steps in native OpenDSS daily mode with the schedule's devices in the circuit.

    `schedule` None is the bare feeder. `controls` "locked" holds regulators and capacitors where they are,
    "free" lets every control act; both start from `taps` (default: where the network was read). `base` is the
    bare feeder's replay under the same controls: violations that it has too, no worse, are `existing`.
    `observer(t)` is called after step t, with the circuit standing in its solution. With `inverters` the PV's
    reactive power follows its own terminal voltage instead of the schedule, and its active power may stay below
    it; both are then no order that could be missed, so neither is "not_delivered". With locked controls the
    inverters still act. A step in which one is off its curves has no answer. `give_up`: nor has any behind the
    first step without an answer, as a schedule that fails there has failed.

    Violations are those of `optim.data.limits.violations`, and three criteria of our own, never `existing`:
    "convergence" (a step that did not converge, or converged on nonsense; value and limit NaN),
    "not_delivered" (|commanded - delivered| of a device above `limits.p_tolerance_kw`, value delivered, limit
    commanded, kW or kvar) and "stored_energy" (a unit's delivered SoC outside its range, kWh).

    The devices are out of the circuit again afterwards, taps and capacitors back where they were. Loads stay
    assigned to the study's load shape, which a snapshot does not use.

    Raises ConfigError where schedule and profiles have different steps, FeederError where a device's node is
    not in the circuit, ConvergenceError (naming the step) where the bare feeder itself does not converge.
    """
    started = time.perf_counter()
    if schedule is not None:
        check_steps(schedule, profiles)
    crew = Crew(circuit, network, schedule, profiles.step_h, inverters) if schedule is not None else None
    series = DailySeries(circuit, network, profiles)
    resting: tuple[Operation, ...] = ()
    try:
        if crew is not None:
            crew.report_to_duty()
        recording = series.run(
            controls=controls, taps=taps, progress=progress,
            before_step=crew.command if crew else None, after_step=_both(crew, observer),
            regulation=judges_regulation(limits), autonomous=crew is not None and inverters is not None,
            give_up=give_up,
        )  # fmt: skip
    finally:
        if crew is not None:
            crew.leave()
    if crew is not None:
        crew.forget(recording.failures)
    else:
        recording.require_sound(f"{network.name}, bare feeder, controls {controls}")
        if controls == "free":
            resting = resting_days(series, loading=True, regulation=judges_regulation(limits), progress=progress)
    found = [violations(recording.operation, limits, base.before if base else None),
             convergence_violations(recording, network)]  # fmt: skip
    if crew is not None:
        found += [crew.not_delivered(limits.p_tolerance_kw), crew.energy_violations()]
    return ReplayResult(
        case=schedule.case if schedule else "bare feeder",
        controls=controls,
        converged=np.array([t not in recording.failures for t in range(len(profiles))]),
        operation=recording.operation,
        substation_kvar=recording.substation_kvar,
        regulators=recording.regulators,
        tap=recording.tap,
        tap_operations=int(np.abs(np.diff(recording.tap, axis=0)).sum()),
        losses_kw=recording.losses_kw,
        load_kw=recording.load_kw,
        devices=crew.device_table() if crew else pd.DataFrame(columns=list(DEVICE_COLUMNS)),
        soc=crew.soc_table() if crew else pd.DataFrame(columns=list(SOC_COLUMNS)),
        violations=_joined(found),
        energy_not_delivered_kwh=crew.energy_not_delivered_kwh() if crew else 0.0,
        power_flows=(1 + len(resting)) * len(profiles),
        seconds=time.perf_counter() - started,
        notes=_notes(series, recording, profiles),
        resting=resting,
        inverters=inverters.mode if inverters and schedule is not None else "off",
    )


def _both(
    crew: Crew | None, observer: Callable[[int], None] | None
) -> Callable[[int, Complexes | None], str] | None:
    if crew is None and observer is None:
        return None

    def after_step(t: int, consumption_kva: Complexes | None) -> str:
        why = crew.collect(t, consumption_kva) if crew is not None else ""
        if observer is not None:
            observer(t)
        return why

    return after_step


def judges_regulation(limits: Limits) -> bool:
    """Whether a limit speaks of unbalance, regulators' power or tap operations."""
    asked = (limits.unbalance_max_pct, limits.regulator_min_kw, limits.tap_operations_max)
    return any(limit is not None for limit in asked)


class Crew:
    """The devices of one schedule at work: what they are told, what they do. (T, G) PV, (T, D) BESS."""

    def __init__(
        self, circuit: Circuit, network: Network, schedule: Schedule, step_h: float,
        inverters: InverterControl | None = None,
    ) -> None:  # fmt: skip
        self.step_h = step_h
        self.pv = pv_fleet(circuit, network, schedule.pv_nodes, inverters)
        self.bess = BessFleet(circuit, network, schedule.bess, schedule.bess_nodes, schedule.bess_of)
        self.pv.resize(schedule.pv_kw)
        self.take(schedule)

    def take(self, schedule: Schedule) -> None:
        """Sizes and commands of a schedule with these devices; what was delivered before is forgotten."""
        self.schedule = schedule
        if not np.array_equal(self.pv.size_kw, schedule.pv_kw):
            self.pv.resize(schedule.pv_kw)
        self.bess.reset(schedule.soc_kwh[0])
        steps = len(schedule.times)
        self.pv_kva = np.full((steps, len(schedule.pv_nodes)), complex(np.nan, np.nan))
        self.bess_kva = np.full((steps, len(schedule.bess_nodes)), complex(np.nan, np.nan))
        self.soc_kwh = np.full((steps, len(schedule.bess)), np.nan)

    def report_to_duty(self) -> None:
        self.pv.bind()
        self.bess.bind()

    def command(self, t: int) -> None:
        self.pv.set_power(self.schedule.pv_p_kw[t], self.schedule.pv_q_kvar[t])
        if self.bess.units:
            self.bess.set_power(self.schedule.bess_p_kw[t], self.step_h)

    def collect(self, t: int, consumption_kva: Complexes | None) -> str:
        """What was delivered stays NaN in a step without an answer; why it is none after all, or ""."""
        why = unsettled(self.pv, consumption_kva)
        if consumption_kva is not None:
            self.pv_kva[t] = self.pv.delivered_kva(consumption_kva)
            self.bess_kva[t] = self.bess.delivered_kva(consumption_kva)
        if self.bess.units:
            self.bess.finish_step(consumption_kva is not None)
            self.soc_kwh[t] = self.bess.joint_kwh
        return why

    def forget(self, failures: Iterable[int]) -> None:
        """Steps that turned out to have no answer after all."""
        self.pv_kva[list(failures)] = complex(np.nan, np.nan)
        self.bess_kva[list(failures)] = complex(np.nan, np.nan)

    def leave(self) -> None:
        self.pv.remove()
        self.bess.remove()

    def device_table(self) -> pd.DataFrame:
        s = self.schedule
        zero = np.zeros_like(s.p_charge_kw)
        parts = [
            self._long("pv", self.pv.elements, s.pv_nodes, s.pv_p_kw, s.pv_q_kvar, self.pv_kva),
            self._long("bess", self.bess.elements, s.bess_nodes, s.bess_p_kw, zero, self.bess_kva),
        ]
        return pd.concat([p for p in parts if len(p)] or parts[:1], ignore_index=True)

    def _long(
        self, kind: str, elements: tuple[str, ...], nodes: tuple[str, ...], p_kw: Floats, q_kvar: Floats,
        delivered_kva: Complexes,
    ) -> pd.DataFrame:  # fmt: skip
        steps, count = p_kw.shape
        return pd.DataFrame({
            "time": np.repeat(np.array(self.schedule.times, dtype=object), count),
            "step": np.repeat(np.arange(steps), count),
            "element": np.tile(np.array(elements, dtype=object), steps),
            "node": np.tile(np.array(nodes, dtype=object), steps),
            "kind": kind,
            "p_commanded_kw": p_kw.ravel(),
            "p_delivered_kw": delivered_kva.real.ravel(),
            "q_commanded_kvar": q_kvar.ravel(),
            "q_delivered_kvar": delivered_kva.imag.ravel(),
        })  # fmt: skip

    def soc_table(self) -> pd.DataFrame:
        steps, count = self.soc_kwh.shape
        return pd.DataFrame({
            "time": np.repeat(np.array(self.schedule.times, dtype=object), count),
            "step": np.repeat(np.arange(steps), count),
            "unit": np.tile(np.array([u.name for u in self.schedule.bess], dtype=object), steps),
            "soc_commanded_kwh": self.schedule.soc_kwh[1:].ravel(),
            "soc_delivered_kwh": self.soc_kwh.ravel(),
        })  # fmt: skip

    def energy_not_delivered_kwh(self) -> float:
        """|commanded - delivered|; a step without an answer delivers nothing."""
        s = self.schedule
        missed = [np.abs(s.pv_p_kw - np.nan_to_num(self.pv_kva.real)).sum(),
                  np.abs(s.bess_p_kw - np.nan_to_num(self.bess_kva.real)).sum()]  # fmt: skip
        return float(sum(missed) * self.step_h)

    def kept(self, tolerance: float) -> bool:
        """Whether `not_delivered` and `energy_violations` are empty."""
        s, bess = self.schedule, self.bess
        missed = (s.pv_p_kw - self.pv_kva.real, s.pv_q_kvar - self.pv_kva.imag, s.bess_p_kw - self.bess_kva.real,
                  self.bess_kva.imag)  # fmt: skip
        slack = SOC_TOLERANCE * np.array([u.energy_kwh for u in bess.units])
        outside = (self.soc_kwh > bess.ceiling_kwh + slack) | (self.soc_kwh < bess.floor_kwh - slack)
        return not any(np.any(np.abs(m) > tolerance) for m in missed) and not outside.any()

    def not_delivered(self, tolerance: float) -> pd.DataFrame:
        s = self.schedule
        zero = np.zeros_like(s.p_charge_kw)
        parts = []
        for elements, nodes, p_kw, q_kvar, delivered in (
            (self.pv.elements, s.pv_nodes, s.pv_p_kw, s.pv_q_kvar, self.pv_kva),
            (self.bess.elements, s.bess_nodes, s.bess_p_kw, zero, self.bess_kva),
        ):
            if delivered is self.pv_kva and isinstance(self.pv, AutonomousPv):
                continue
            for wanted, got, unit in ((p_kw, delivered.real, "kW"), (q_kvar, delivered.imag, "kvar")):
                steps, at = np.nonzero(np.abs(wanted - got) > tolerance)
                names, phases = [elements[d] for d in at], [nodes[d].rsplit(".", 1)[1] for d in at]
                parts.append(_rows("not_delivered", names, phases, steps, s.times, got[steps, at],
                                   wanted[steps, at], unit))  # fmt: skip
        return _joined(parts)

    def energy_violations(self) -> pd.DataFrame:
        bess = self.bess
        slack = SOC_TOLERANCE * np.array([u.energy_kwh for u in bess.units])
        parts = []
        for limit, outside in (
            (bess.ceiling_kwh, self.soc_kwh > bess.ceiling_kwh + slack),
            (bess.floor_kwh, self.soc_kwh < bess.floor_kwh - slack),
        ):
            steps, at = np.nonzero(outside)
            names = [bess.units[u].name for u in at]
            parts.append(_rows("stored_energy", names, [""] * len(at), steps, self.schedule.times,
                               self.soc_kwh[steps, at], limit[at], "kWh"))  # fmt: skip
        return _joined(parts)


def convergence_violations(recording: Recording, network: Network) -> pd.DataFrame:
    """A row per failed step, so that a step without an answer never passes for a good one."""
    steps = np.array(sorted(recording.failures), dtype=np.int64)
    nan = np.full(len(steps), np.nan)
    return _rows("convergence", [network.name] * len(steps), [""] * len(steps), steps,
                 recording.operation.times, nan, nan, "")  # fmt: skip


def _rows(
    criterion: str, elements: list[str], phases: list[str], steps: NDArray[np.int64], times: tuple[str, ...],
    value: Floats, limit: Floats, unit: str,
) -> pd.DataFrame:  # fmt: skip
    return pd.DataFrame({
        "criterion": criterion, "element": elements, "phase": phases, "step": steps,
        "time": [times[t] for t in steps], "value": value, "limit": limit, "unit": unit,
        "base_value": np.nan, "existing": False,
    })  # fmt: skip


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [t for t in tables if len(t)]
    if not filled:
        return pd.DataFrame(columns=list(VIOLATION_COLUMNS))
    return pd.concat(filled, ignore_index=True)


def check_steps(schedule: Schedule, profiles: Profiles) -> None:
    if len(schedule.times) != len(profiles) or schedule.step_h != profiles.step_h:
        raise ConfigError(
            f"Schedule {schedule.case} has {len(schedule.times)} steps of {schedule.step_h} h, the profiles "
            f"{len(profiles)} of {profiles.step_h} h.",
            "Replay a schedule on the profiles that it was made for.",
        )


def _notes(series: DailySeries, recording: Recording, profiles: Profiles) -> tuple[str, ...]:
    notes = [f"Step {t} ({profiles.times[t]}): {why}." for t, why in sorted(recording.failures.items())]
    notes += [held_in_words(series.circuit.held)] if series.circuit.held else []
    if fixed := series.fixed_loads:
        more = f" and {len(fixed) - 10} more" if len(fixed) > 10 else ""
        notes.append(
            f"Loads with status=fixed do not follow the load profile ({len(fixed)}): "
            f"{', '.join(fixed[:10])}{more}."
        )
    return tuple(notes)
