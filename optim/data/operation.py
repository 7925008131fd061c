"""A time series of a feeder, simulated or predicted, as limits are judged on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Operation:
    """What limits are judged on: one simulated or predicted time series. All arrays by name."""

    times: tuple[str, ...]
    nodes: tuple[str, ...]
    v_pu: NDArray[np.float64]
    """(T, N) judged voltages; NaN where no limit applies."""
    substation_phases: tuple[str, ...]
    substation_kw: NDArray[np.float64]
    """(T, 3)"""
    branches: tuple[str, ...] = ()
    """(B,) "Line.l115.1": element and phase."""
    loading_pu: NDArray[np.float64] | None = None
    """(T, B)"""
    v_deviation_pu: NDArray[np.float64] | None = None
    """(T, N) |v - v without the devices|, controls where they stood without them."""
    unbalance_buses: tuple[str, ...] = ()
    unbalance_pct: NDArray[np.float64] | None = None
    """(T, K)"""
    regulator_phases: tuple[str, ...] = ()
    """(R,) "Transformer.reg1a.1": element and phase."""
    regulator_kw: NDArray[np.float64] | None = None
    """(T, R) positive away from the source."""
    regulator_controls: tuple[str, ...] = ()
    tap_steps: NDArray[np.float64] | None = None
    """(T, C) tap steps taken to reach this state."""
    protection: tuple[str, ...] = ()
    """(F,) "Fuse.f1.2": device and pole."""
    poles_open: NDArray[np.float64] | None = None
    """(T, F) 1 where a fuse has blown, or a relay or recloser opened, since the feeder stood as its files have it."""
    kv_base: NDArray[np.float64] | None = None
    """(N,) nominal line-to-line voltage of the nodes, by which bands per voltage level are told."""

    @property
    def cut_off(self) -> NDArray[np.bool_]:
        """(T,) steps in which protection has opened something."""
        if self.poles_open is None:
            return np.zeros(len(self.times), dtype=bool)
        return np.asarray(self.poles_open.any(axis=1))
