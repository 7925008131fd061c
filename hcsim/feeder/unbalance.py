"""Voltage unbalance as ANSI C84.1 defines it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optim.data.network import Network

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Ints = NDArray[np.int64]


def three_phase_buses(network: Network) -> tuple[str, ...]:
    """Buses whose three phases are judged: those that can be unbalanced."""
    found = []
    for bus in network.buses:
        nodes = network.nodes_of(bus)
        if len(nodes) == 3 and network.v_judged[list(nodes)].all():
            found.append(bus)
    return tuple(found)


def unbalance_pct(v_v: Complexes, triples: Ints) -> Floats:
    """(..., K) largest deviation of a line-to-line magnitude from the mean of the three, per cent of the
    mean (ANSI C84.1 annex; NEMA MG 1). `v_v` (..., N) phasors, `triples` (K, 3) node indices."""
    across = np.abs(v_v[..., triples] - v_v[..., triples[:, [1, 2, 0]]])
    mean = across.mean(axis=-1)
    away = np.abs(across - mean[..., None]).max(axis=-1)
    return np.asarray(100.0 * away / np.where(mean > 0, mean, np.inf))
