"""A schedule's batteries on the steps of a study."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hcsim.errors import ConfigError
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule


def battery_kw(schedule: Schedule, profiles: Profiles) -> NDArray[np.float64]:
    """(T, D) kW into the network of each battery phase. A schedule of one day runs every day of a longer
    profile: it ends with the energy that it began with.

    Raises ConfigError where the steps do not fit, or the day does not close.
    """
    return np.tile(schedule.bess_p_kw, (_days(schedule, profiles), 1))


def part_of(schedule: Schedule, at: slice) -> Schedule:
    """The steps `at` of a schedule by themselves, with the energy that it has there; what was predicted is left."""
    s = schedule
    return replace(
        s,
        times=s.times[at],
        pv_p_kw=s.pv_p_kw[at],
        pv_q_kvar=s.pv_q_kvar[at],
        p_charge_kw=s.p_charge_kw[at],
        p_discharge_kw=s.p_discharge_kw[at],
        bess_q_kvar=None if s.bess_q_kvar is None else s.bess_q_kvar[at],
        soc_kwh=s.soc_kwh[at.start : at.stop + 1],
        predicted_nodes=(),
        predicted_v_pu=None,
        substation_phases=(),
        predicted_substation_kw=None,
    )


def on_days(schedule: Schedule, profiles: Profiles) -> Schedule:
    """The whole schedule on every day of `profiles`: its batteries' and its reactive power as planned, PV as the sun of
    `profiles` gives. Raises ConfigError likewise."""
    days = _days(schedule, profiles)
    plates = schedule.pv_kw if schedule.pv_kva is None else schedule.pv_kva
    q = np.tile(schedule.pv_q_kvar, (days, 1))
    room = np.sqrt(np.maximum(plates**2 - q**2, 0.0))
    return replace(
        batteries_on(schedule, profiles),
        pv_nodes=schedule.pv_nodes,
        pv_kw=schedule.pv_kw,
        pv_kva=schedule.pv_kva,
        pv_p_kw=np.minimum(profiles.sun(schedule.pv_nodes) * schedule.pv_kw, room),
        pv_q_kvar=q,
    )


def batteries_on(schedule: Schedule, profiles: Profiles) -> Schedule:
    """The schedule's batteries, without its PV, on the steps of `profiles`; likewise."""
    days, steps = _days(schedule, profiles), len(profiles)
    return replace(
        schedule,
        times=profiles.times,
        pv_nodes=(),
        pv_kw=np.zeros(0),
        pv_p_kw=np.zeros((steps, 0)),
        pv_q_kvar=np.zeros((steps, 0)),
        pv_kva=None,
        bess_q_kvar=None if schedule.bess_q_kvar is None else np.tile(schedule.bess_q_kvar, (days, 1)),
        p_charge_kw=np.tile(schedule.p_charge_kw, (days, 1)),
        p_discharge_kw=np.tile(schedule.p_discharge_kw, (days, 1)),
        soc_kwh=np.vstack([np.tile(schedule.soc_kwh[:-1], (days, 1)), schedule.soc_kwh[-1:]]),
        predicted_nodes=(),
        predicted_v_pu=None,
        substation_phases=(),
        predicted_substation_kw=None,
    )


def _days(schedule: Schedule, profiles: Profiles) -> int:
    """How often the schedule runs in the profile."""
    one = len(schedule.times)
    if schedule.step_h == profiles.step_h and one == len(profiles):
        return 1
    whole_day = abs(one * schedule.step_h - 24.0) < 1e-9
    if schedule.step_h != profiles.step_h or not whole_day or len(profiles) % one:
        raise ConfigError(
            f"Schedule {schedule.case} has {one} steps of {schedule.step_h} h, the profiles {len(profiles)} "
            f"of {profiles.step_h} h.",
            "Give a schedule of one day, or of exactly these steps.",
        )
    drift = np.abs(schedule.soc_kwh[-1] - schedule.soc_kwh[0])
    if drift.size and drift.max() > 1e-3 * max(u.energy_kwh for u in schedule.bess):
        raise ConfigError(
            f"Schedule {schedule.case} does not end its day with the energy that it began with.",
            "It cannot be repeated day by day.",
        )
    return len(profiles) // one
