"""The AC branch flow power flow of a balanced radial feeder, solved by sweeps: paper 2, eqs (18)-(21).

The independent check of the relaxation (36): it satisfies the equality (33) by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optim.errors import ModelError
from optim.feeder.radial import RadialFeeder

Floats = NDArray[np.float64]

_DIVERGED_PU = 1e9


@dataclass(frozen=True)
class RadialFlow:
    """A solved series of operating points. All (T, J), per unit on 1 MVA; flows at the sending end."""

    u: Floats
    """Squared bus voltages."""
    l: Floats  # noqa: E741
    """Squared branch currents."""
    p: Floats
    q: Floats
    lossless_p: Floats
    """Flow if nothing were lost below: minus the sum of the injections downstream."""
    lossless_q: Floats
    lossless_u: Floats
    """LinDistFlow voltages of the same consumption: never below `u` on a feeder of series impedances."""
    drawn_p: Floats
    drawn_q: Floats
    """Voltage-dependent consumption, capacitors negative."""

    def v_pu(self) -> Floats:
        return np.sqrt(self.u)


def demand(feeder: RadialFeeder, load_pu: Floats, p_mw: Floats, q_mvar: Floats) -> tuple[Floats, Floats]:
    """(T, J) constant-power consumption from load multipliers (T,) and device injections (T, J)."""
    return (load_pu[:, None] * feeder.load_p_mw - p_mw, load_pu[:, None] * feeder.load_q_mvar - q_mvar)


def ac_power_flow(
    feeder: RadialFeeder,
    load_pu: Floats,
    p_mw: Floats,
    q_mvar: Floats | None = None,
    *,
    tolerance: float = 1e-12,
    max_sweeps: int = 400,
) -> RadialFlow:
    """Backward-forward sweep on (P, Q, l, u), all steps at once.

    `load_pu` (T,) multiplies the nominal loads; `p_mw`, `q_mvar` (T, J) are injections, positive into the
    network. `tolerance` in pu on the change of u and of P, Q between sweeps. Raises ModelError naming the
    worst bus and step where the sweeps do not settle: there is no operating point, or it is too near to
    collapse.
    """
    q_mvar = np.zeros_like(p_mw) if q_mvar is None else q_mvar
    p_fix, q_fix = demand(feeder, load_pu, p_mw, q_mvar)
    g = load_pu[:, None] * feeder.load_g_pu
    b = load_pu[:, None] * feeder.load_b_pu - feeder.shunt_b_pu
    r, x = feeder.r_pu, feeder.x_pu
    ones = np.ones_like(p_fix)

    def flows(l_pu: Floats, u: Floats) -> tuple[Floats, Floats]:
        return feeder.gathered(p_fix + g * u + r * l_pu), feeder.gathered(q_fix + b * u + x * l_pu)

    def voltages(p: Floats, q: Floats, l_pu: Floats) -> Floats:
        drop = (2.0 * (r * p + x * q) - (r**2 + x**2) * l_pu) / feeder.gain
        found: Floats = feeder.gain * (feeder.source_u_pu - feeder.along(drop))
        return found

    u, current = ones * feeder.source_u_pu * feeder.gain, np.zeros_like(p_fix)
    p, q = flows(current, u)
    change = np.full_like(u, np.inf)
    for _ in range(max_sweeps):
        sending = feeder.sending_u(u)
        if not (np.all(sending > 0) and np.all(np.isfinite(sending)) and abs(p).max() < _DIVERGED_PU):
            break
        current = (p**2 + q**2) / sending
        p_new, q_new = flows(current, u)
        u_new = voltages(p_new, q_new, current)
        change = np.maximum(np.maximum(abs(p_new - p), abs(q_new - q)), abs(u_new - u))
        p, q, u = p_new, q_new, u_new
        if change.max() <= tolerance * max(1.0, float(abs(p).max())):
            drawn = (p_fix + g * u, q_fix + b * u)
            hp, hq, flat = _lossless(feeder, *drawn)
            return RadialFlow(u, (p**2 + q**2) / feeder.sending_u(u), p, q, hp, hq, flat, g * u, b * u)
    step, bus = np.unravel_index(int(np.nanargmax(np.where(np.isfinite(change), change, 1e30))), change.shape)
    raise ModelError(
        f"The AC power flow of {feeder.name} does not settle: step {step}, bus {feeder.buses[bus]}.",
        "The injections are beyond what the feeder can carry; reduce them or check the units.",
    )


def _lossless(feeder: RadialFeeder, p_drawn: Floats, q_drawn: Floats) -> tuple[Floats, Floats, Floats]:
    """(T, J) flows P and Q, and squared voltages, of this consumption without losses."""
    hp, hq = feeder.gathered(p_drawn), feeder.gathered(q_drawn)
    drop = 2.0 * (feeder.r_pu * hp + feeder.x_pu * hq) / feeder.gain
    return hp, hq, feeder.gain * (feeder.source_u_pu - feeder.along(drop))
