"""What a simulation hands back. Readers and writers of result files join this room (see the house)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optim.limits import Operation

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ReplayResult:
    """A quasi-static OpenDSS time series of a schedule (or of the bare feeder)."""

    case: str
    controls: str
    """"locked" (taps as the program assumed) or "free" (every control acts)."""
    converged: NDArray[np.bool_]
    """(T,)"""
    operation: Operation
    """Judged voltages (T, N), substation kW (T, S), loading (T, B), by name."""
    substation_kvar: Floats
    """(T, S)"""
    regulators: tuple[str, ...]
    tap: NDArray[np.int64]
    """(T, R) positions after each step."""
    tap_operations: int
    """Sum of |tap changes| from step to step over the series."""
    losses_kw: Floats
    """(T,)"""
    load_kw: Floats
    """(T,) delivered to loads."""
    devices: pd.DataFrame
    """Long: time, step, element, node, kind (pv|bess), p_commanded_kw, p_delivered_kw, q_commanded_kvar,
    q_delivered_kvar. Positive into the network."""
    soc: pd.DataFrame
    """Long: time, step, unit, soc_commanded_kwh, soc_delivered_kwh (end of step)."""
    violations: pd.DataFrame
    """optim.limits.VIOLATION_COLUMNS."""
    energy_not_delivered_kwh: float
    """Sum over devices and steps of |commanded - delivered| active energy."""
    power_flows: int
    seconds: float


@dataclass(frozen=True)
class HostingCapacityResult:
    """Iterative simulation-based hosting capacity."""

    method: str
    hc_kw: float
    bracket_kw: tuple[float, float]
    """Largest that passed, smallest that failed above it."""
    limit: dict[str, object]
    """criterion, element, phase, time, value, limit of the first violation above hc_kw; {"criterion": "none",
    "reason": ...} where the search ended otherwise."""
    probes: pd.DataFrame
    """pv_kw, passed, criterion, element, phase, time, value: every probe, in order."""
    passed_again_kw: tuple[float, ...]
    """Larger probes that passed above a failed one: violation is not monotone there."""
    power_flows: int
    seconds: float
