"""A year by simulation: results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hcsim.hosting.result import HostingCapacityResult
from hcsim.replay.recording import Controls
from optim.data.limits import Limits
from optim.data.profiles import Profiles

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class YearResult:
    """What is kept of a year beside its files. (T,) each unless said otherwise."""

    v_lowest_pu: Floats
    v_highest_pu: Floats
    v_worst_node_pu: Floats
    """Of the node that has the highest voltage of the year."""
    worst_node: str
    substation_kw: Floats
    hours_above: dict[str, float]
    """Node -> hours above its upper limit, where there are any; likewise below its lower limit."""
    hours_below: dict[str, float]
    hours_overloaded: dict[str, float]
    hours_reverse: float
    tap_operations: dict[str, int]
    failures: dict[str, str]
    """Step label -> why it has no values (its row holds NaN)."""
    losses_kwh: float
    seconds: float
    files: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """Plain numbers for summary.json."""
        return {
            "v_min_pu": float(np.nanmin(self.v_lowest_pu)),
            "v_max_pu": float(np.nanmax(self.v_highest_pu)),
            "hours_above": self.hours_above,
            "hours_below": self.hours_below,
            "hours_overloaded": self.hours_overloaded,
            "hours_reverse": self.hours_reverse,
            "tap_operations": self.tap_operations,
            "losses_kwh": self.losses_kwh,
            "failures": self.failures,
            "seconds": self.seconds,
            "files": list(self.files),
        }


@dataclass(frozen=True)
class YearSettings:
    """What is asked, beside the case."""

    weights: Literal["uniform", "load"] = "uniform"
    controls: Controls = "free"
    tolerance_kw: float = 5.0


@dataclass(frozen=True)
class YearStudy:
    profiles: Profiles
    limits: Limits
    capacity: HostingCapacityResult
    years: dict[str, YearResult]
    """"bare" and "with_pv"; the batteries, where there are any, stand beside the PV."""
    summary: dict[str, Any] = field(default_factory=dict)
    unwritten: dict[str, str] = field(default_factory=dict)
    """File or recorded year -> why it is not there."""
