"""Loads as the relaxation has them: power between two lines over the squared voltage across a leg."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optim.bounds.sdp.rows import Complexes, Floats
from optim.data.network import LoadLegs
from optim.feeder.power_flow import leg_powers_at

TRIED = 201
"""Voltages within a leg's range at which its power is looked at."""
ROUNDING = 1e-6
"""By this share of its nominal power the lines are drawn farther apart, for what lies between the voltages tried."""


@dataclass(frozen=True)
class Envelope:
    """Power of legs in kVA: slope * u^2 + d with d between `least` and `most`, real and imaginary part each."""

    slope: Complexes
    """(L,) per squared pu of the rated voltage."""
    least: Complexes
    most: Complexes
    current_a: Floats
    """(L,) the largest current anywhere in the range."""


def envelope(legs: LoadLegs, p_pu: Floats, q_pu: Floats, u_min: Floats, u_max: Floats) -> Envelope:
    """Of every leg over its range of voltages, pu of its rating; constant power and impedance are exact."""
    share = np.linspace(0.0, 1.0, TRIED)[:, None]
    u = u_min + share * (u_max - u_min)
    s = np.array([leg_powers_at(legs, row) for row in u])
    s = s.real * p_pu + 1j * s.imag * q_pu
    w = u**2
    run = np.where(w[-1] > w[0], w[-1] - w[0], 1.0)
    slope = (s[-1] - s[0]) / run
    rest = s - slope * w
    nominal = (np.abs(legs.p_kw * p_pu), np.abs(legs.q_kvar * q_pu))
    low = rest.real.min(axis=0) + 1j * rest.imag.min(axis=0)
    high = rest.real.max(axis=0) + 1j * rest.imag.max(axis=0)
    curved = (high.real - low.real > 1e-9 * nominal[0], high.imag - low.imag > 1e-9 * nominal[1])
    spread = ROUNDING * (curved[0] * nominal[0] + 1j * curved[1] * nominal[1])
    current = np.max(np.abs(s) / (u * legs.v_rated_v), axis=0) * 1e3
    return Envelope(slope, low - spread, high + spread, (1.0 + 1e-6) * current)
