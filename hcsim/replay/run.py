"""Schedule -> ReplayResult: the quasi-static OpenDSS time series, commanded against delivered."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hcsim.devices.held_controls import held_in_words
from hcsim.errors import ConfigError
from hcsim.feeder.model import FeederModel
from hcsim.replay.deadbands import resting_days
from hcsim.replay.options import ReplayOptions
from hcsim.replay.own_violations import convergence_violations
from hcsim.replay.own_violations import joined as _joined
from hcsim.replay.recording import Recording
from hcsim.replay.result import ReplayResult
from hcsim.replay.scheduled_devices import DEVICE_COLUMNS, SOC_COLUMNS, ScheduledDevices
from hcsim.replay.series import DailySeries
from optim.data.limits import Limits
from optim.data.operation import Operation
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule
from optim.data.violations import violations

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

_LOG = logging.getLogger(__name__)


def replay(
    model: FeederModel,
    schedule: Schedule | None,
    options: ReplayOptions | None = None,
    *,
    observer: Callable[[int], None] | None = None,
) -> ReplayResult:
    """Run the profile's steps in native OpenDSS daily mode with the schedule's devices in the circuit.

    Violations that the bare feeder has too (`options.before`), no worse, are `existing`. With `options.inverters` the
    PV's reactive power follows its own terminal voltage instead of the schedule, and its active power may stay
    below it; both are then no order that could be missed, so neither is "not_delivered". A step in which one is
    off its curves has no answer.

    Violations are those of `optim.data.violations.violations`, and three criteria of our own, never `existing`:
    "convergence" (a step that did not converge, or converged on nonsense; value and limit NaN),
    "not_delivered" (|commanded - delivered| of a device above `limits.p_tolerance_kw`, value delivered, limit
    commanded, kW or kvar) and "stored_energy" (a unit's delivered SoC outside its range, kWh).

    The devices are out of the circuit again afterwards, taps and capacitors back where they were. Loads stay
    assigned to the study's load shape, which a snapshot does not use.

    Parameters
    ----------
    model : FeederModel
        Circuit, network, profiles of T steps, and the limits to judge by.
    schedule : Schedule or None
        Sizes and powers, kW and kvar, positive into the network; None is the bare feeder.
    options : ReplayOptions, optional
        Controls, taps, what the bare feeder does, inverters. Default: all controls act, and violations are judged
        as the command does, against the bare feeder, which is run for that.
    observer : callable, optional
        Called with t after step t, with the circuit standing in its solution.

    Returns
    -------
    ReplayResult
        Voltages (T, N) pu, substation power (T, S) kW, commanded beside delivered, violations.

    Raises
    ------
    ConfigError
        Schedule and profiles have different steps.
    FeederError
        A device's node is not in the circuit.
    ConvergenceError
        The bare feeder itself does not converge; names the step.

    Examples
    --------
    >>> import hcsim
    >>> found = hcsim.replay(hcsim.Workbench.open("ieee33").model, None)
    >>> found.operation.v_pu.shape, bool(found.converged.all())
    ((24, 99), True)
    """
    started = time.perf_counter()
    if options is None:
        options = ReplayOptions(before=None if schedule is None else replay(model, None, ReplayOptions()).before)
    circuit, network, profiles, limits = model.circuit, model.network, model.profiles, model.limits
    inverters = options.inverters if schedule is not None else None
    options = replace(options, inverters=inverters)
    if schedule is not None:
        check_steps(schedule, profiles)
    devices = ScheduledDevices(circuit, network, schedule, profiles.step_h, inverters) if schedule is not None else None
    series = DailySeries(circuit, network, profiles)
    resting: tuple[Operation, ...] = ()
    try:
        if devices is not None:
            devices.connect()
        recording = series.run(
            options,
            before_step=devices.command if devices else None,
            after_step=_both(devices, observer),
            regulation=judges_regulation(limits),
        )
    finally:
        if devices is not None:
            devices.disconnect()
    if devices is not None:
        devices.forget(recording.failures)
    else:
        recording.require_sound(f"{network.name}, bare feeder, controls {options.controls}")
        if options.controls == "free":
            resting = resting_days(
                series, loading=True, regulation=judges_regulation(limits), progress=options.progress
            )
    found = [violations(recording.operation, limits, options.before), convergence_violations(recording, network)]
    if devices is not None:
        found += [devices.not_delivered(limits.p_tolerance_kw), devices.energy_violations()]
    result = ReplayResult(
        case=schedule.case if schedule else "bare feeder",
        controls=options.controls,
        converged=np.array([t not in recording.failures for t in range(len(profiles))]),
        operation=recording.operation,
        substation_kvar=recording.substation_kvar,
        regulators=recording.regulators,
        tap=recording.tap,
        tap_operations=int(np.abs(np.diff(recording.tap, axis=0)).sum()),
        losses_kw=recording.losses_kw,
        load_kw=recording.load_kw,
        devices=devices.device_table() if devices else pd.DataFrame(columns=list(DEVICE_COLUMNS)),
        soc=devices.soc_table() if devices else pd.DataFrame(columns=list(SOC_COLUMNS)),
        violations=_joined(found),
        energy_not_delivered_kwh=devices.energy_not_delivered_kwh() if devices else 0.0,
        power_flows=(1 + len(resting)) * len(profiles),
        seconds=time.perf_counter() - started,
        notes=_notes(series, recording, profiles),
        resting=resting,
        inverters=inverters.mode if inverters else "off",
        limits=limits,
    )
    fresh = int((~result.violations["existing"].astype(bool)).sum())
    said = "replayed %s on %s, controls %s: %d new violations, %d power flows, %.2f s"
    _LOG.info(said, result.case, network.name, result.controls, fresh, result.power_flows, result.seconds)
    return result


def _both(
    devices: ScheduledDevices | None, observer: Callable[[int], None] | None
) -> Callable[[int, Complexes | None], str] | None:
    if devices is None and observer is None:
        return None

    def after_step(t: int, consumption_kva: Complexes | None) -> str:
        why = devices.collect(t, consumption_kva) if devices is not None else ""
        if observer is not None:
            observer(t)
        return why

    return after_step


def judges_regulation(limits: Limits) -> bool:
    """Whether a limit speaks of unbalance, regulators' power or tap operations."""
    asked = (limits.unbalance_max_pct, limits.regulator_min_kw, limits.tap_operations_max)
    return any(limit is not None for limit in asked)


def check_steps(schedule: Schedule, profiles: Profiles) -> None:
    """Raises ConfigError where a schedule has other steps than the profiles."""
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
            f"Loads with status=fixed do not follow the load profile ({len(fixed)}): {', '.join(fixed[:10])}{more}."
        )
    return tuple(notes)
