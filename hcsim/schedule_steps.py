"""A schedule's batteries on the steps of a study."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hcsim.errors import ConfigError
from optim.profiles import Profiles
from optim.schedule import Schedule


def battery_kw(schedule: Schedule, profiles: Profiles) -> NDArray[np.float64]:
    """(T, D) kW into the network of each battery phase. A schedule of one day runs every day of a longer
    profile: it ends with the energy that it began with.

    Raises ConfigError where the steps do not fit, or the day does not close.
    """
    one = len(schedule.times)
    if schedule.step_h == profiles.step_h and one == len(profiles):
        return schedule.bess_p_kw
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
    return np.tile(schedule.bess_p_kw, (len(profiles) // one, 1))
