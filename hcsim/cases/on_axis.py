"""A study's profiles on the time axis of somebody else's dispatch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hcsim.errors import ConfigError
from optim.data.profiles import FixedInjection, Profiles

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """Which values of a profile make each step of another axis: `at` (T x fine,), averaged over `fine`."""

    at: NDArray[np.int64]
    steps: int
    fine: int

    @classmethod
    def of(cls, profiles: Profiles, steps: int, step_h: float, start_h: float) -> Axis:
        """`steps` of `step_h` from hour of the day `start_h` on."""
        fine = max(1, round(step_h / profiles.step_h))
        hours = start_h % 24.0 + np.arange(steps * fine) * (step_h / fine)
        return cls(np.floor((hours + 1e-9) / profiles.step_h).astype(np.int64) % len(profiles), steps, fine)

    def take(self, values: Floats) -> Floats:
        """(T, ...) of a profile's (P, ...)."""
        picked = values[self.at]
        return np.asarray(picked.reshape(self.steps, self.fine, *values.shape[1:]).mean(axis=1))


def on_axis(
    profiles: Profiles, times: tuple[str, ...], step_h: float, start_h: float
) -> tuple[Profiles, tuple[str, ...]]:
    """Profiles for steps labelled `times`, beginning at hour of day `start_h`; and what was done, in sentences.

    A profile of coarser steps is held within them, one of finer steps is averaged; a day is repeated as often as the
    dispatch is long. Raises ConfigError where steps do not fit each other, or the profile is longer than a day and the
    dispatch is no part of it.
    """
    steps = len(times)
    own_h = profiles.step_h
    length_h = len(profiles) * own_h
    said: list[str] = []
    if steps == len(profiles) and abs(own_h - step_h) < 1e-9 and abs(start_h % 24.0) < 1e-9:
        return replace(profiles, times=times), ()
    if steps * step_h > length_h + 1e-9:
        if abs(length_h - 24.0) > 1e-9:
            raise ConfigError(
                f"The dispatch covers {steps * step_h:g} h, the study's profiles {length_h:g} h.",
                "Give profiles of a day, or as long as the dispatch.",
            )
        said.append(f"The study's day is repeated over the {steps * step_h / 24.0:g} days of the dispatch.")
    ratio = step_h / own_h
    if (ratio > 1.0 + 1e-9 and abs(ratio - round(ratio)) > 1e-6) or (
        ratio < 1.0 - 1e-9 and abs(1 / ratio - round(1 / ratio)) > 1e-6
    ):
        raise ConfigError(
            f"Steps of {60 * step_h:g} and {60 * own_h:g} minutes do not fit each other.", "Resample one."
        )
    if ratio < 1.0 - 1e-9:
        said.append(f"The study's profiles of {60 * own_h:g} minutes are held over steps of {60 * step_h:g}.")
    elif ratio > 1.0 + 1e-9:
        said.append(f"The study's profiles of {60 * own_h:g} minutes are averaged over steps of {60 * step_h:g}.")
    taken = Axis.of(profiles, steps, step_h, start_h).take
    new = replace(
        profiles,
        times=times,
        step_h=step_h,
        load_pu=taken(profiles.load_pu),
        pv_pu=taken(profiles.pv_pu),
        fixed=tuple(FixedInjection(f.node, taken(f.p_kw)) for f in profiles.fixed),
        load_q_pu=None if profiles.load_q_pu is None else taken(profiles.load_q_pu),
        pv_of={bus: taken(curve) for bus, curve in profiles.pv_of.items()},
        start_h=profiles.start_h + start_h % 24.0,
    )
    return new, tuple(said)
