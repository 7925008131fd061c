"""The time axis, with load and PV availability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optim.errors import ModelError


@dataclass(frozen=True)
class FixedInjection:
    """Power with a curve of its own beside the feeder's loads: a charging station, PV that is there already."""

    node: str
    """"33.1"."""
    p_kw: NDArray[np.float64]
    """(T,) positive into the network; unity power factor."""


@dataclass(frozen=True)
class Profiles:
    """T equal steps. Step t covers [t, t + step_h); values are means over the step.

    `load_pu` (T,) multiplies every load's nominal kW and kvar; `pv_pu` (T,) is r(t) of paper 1, eq. (4):
    kW delivered per kW of inverter capacity. `times` (T,) are labels as printed, "00:00". `fixed` is what every
    program, replay and simulation finds in the feeder besides its loads.
    """

    times: tuple[str, ...]
    step_h: float
    load_pu: NDArray[np.float64]
    pv_pu: NDArray[np.float64]
    fixed: tuple[FixedInjection, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.times)) < len(self.times):
            twice = next(t for i, t in enumerate(self.times) if t in self.times[:i])
            raise ModelError(f"Two steps are labelled {twice}.", "Steps are told apart by their label.")
        for name in ("load_pu", "pv_pu"):
            column = getattr(self, name)
            if column.shape != (len(self.times),):
                raise ModelError(f"Profile {name} has {column.shape} values for {len(self.times)} steps.")
            if not np.all(np.isfinite(column)):
                hour = self.times[int(np.flatnonzero(~np.isfinite(column))[0])]
                raise ModelError(f"Profile {name} has a gap at {hour}.", "Fill it in; nothing is guessed.")
        for own in self.fixed:
            if own.p_kw.shape != (len(self.times),) or not np.all(np.isfinite(own.p_kw)):
                raise ModelError(f"The curve at {own.node} needs {len(self.times)} finite values.")
        if np.any(self.pv_pu < 0) or np.any(self.pv_pu > 1):
            raise ModelError("Profile pv_pu must lie in [0, 1]: kW per kW of inverter capacity.")

    def __len__(self) -> int:
        return len(self.times)
