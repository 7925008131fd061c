"""The energy balance as an upper bound on hosting capacity, whatever the network between source and load.

In every hour what the PV delivers is drawn by loads, lost, stored, or flows back through the source:

    r(t) S  <=  P_load,max(t) + P_loss,max(t) + c(t) - d(t) - P_source,min

with r(t) the sun per kW of inverter (paper 1, eq. 4), P_load,max the most the loads can draw at any voltage within its
limits, c and d the power that batteries charge and discharge, and P_source,min the least power that has to come from
the source (0: no reverse flow, paper 1, eq. 7e). Losses have no limit in a model that may burn power on purpose, so the
bound is stated *with* the ceiling on losses that it assumes; without one, no finite bound exists where reverse flow
binds. Where voltage binds first the balance is loose, never wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from optim.data.network import LoadLegs
from optim.data.schedule import BessUnit
from optim.errors import ModelError
from optim.feeder.power_flow import leg_powers_at

Floats = NDArray[np.float64]
VOLTAGES = 101
"""Voltages tried for the most that a load draws; its power is a quadratic between them."""
NIGHT = 1e-6
"""Sun below which an hour says nothing of PV."""


@dataclass(frozen=True)
class Bound:
    """No schedule has more PV capacity, as long as it loses no more than `losses_ceiling_kw`."""

    bound_kw: float
    """inf where nothing binds."""
    losses_ceiling_kw: Floats
    """(T,)"""
    binding: tuple[int, ...]
    """Steps that decide it."""
    method: str = "balance"
    status: str = "proven"
    """proven: of the relaxation, for any schedule under the ceiling; otherwise why there is no bound."""


def most_load_kw(legs: LoadLegs, multiplier: Floats, v_min_pu: Floats, v_max_pu: Floats) -> Floats:
    """(T,) the most all loads can draw together, each at its own best voltage.

    Parameters
    ----------
    legs
        L load legs.
    multiplier
        (T,) or (T, L) of nominal power.
    v_min_pu, v_max_pu
        (L,) range of the legs' voltage in pu of their ratings.
    """
    share = np.linspace(0.0, 1.0, VOLTAGES)[:, None]
    tried = v_min_pu + share * (v_max_pu - v_min_pu)
    power = np.array([leg_powers_at(legs, u).real for u in tried])
    most, least = power.max(axis=0), power.min(axis=0)
    m = np.broadcast_to(multiplier if multiplier.ndim == 2 else multiplier[:, None], (len(multiplier), len(most)))
    found: Floats = np.where(m >= 0.0, m * most, m * least).sum(axis=1)
    return found


def balance_bound(
    load_kw: Floats,
    losses_kw: Floats,
    pv_pu: Floats,
    step_h: float,
    units: Sequence[BessUnit] = (),
    *,
    source_min_kw: float = 0.0,
    one_status: bool = False,
) -> Bound:
    """Upper bound on total PV capacity.

    Parameters
    ----------
    load_kw
        (T,) the most the loads draw, see `most_load_kw`; other sources of the feeder counted as negative load.
    losses_kw
        (T,) ceiling on losses.
    pv_pu
        (T,) kW per kW of inverter.
    step_h
        Length of a step.
    units
        Batteries that stand; those of the same efficiencies taken together as one, which can only raise the bound.
    source_min_kw
        Least power from the source, all phases together.
    one_status
        Whether all of them charge or all discharge, as one central unit does; then the program is a mixed-integer one,
        solved to the end.

    Returns
    -------
    Bound
        kW, with the ceiling it holds under and the steps that decide.

    Raises
    ------
    ModelError
        Arrays of different length.
    """
    if not len(load_kw) == len(losses_kw) == len(pv_pu):
        raise ModelError(f"{len(load_kw)} loads, {len(losses_kw)} losses and {len(pv_pu)} hours of sun do not fit.")
    room = load_kw + losses_kw - source_min_kw
    if (room < -1e-9).any():
        step = int(np.argmin(room))
        return Bound(
            np.nan, losses_kw, (step,), status=f"no bound: step {step} has less load than the source must give"
        )
    sunny = pv_pu > NIGHT
    if not units:
        if not sunny.any():
            return Bound(np.inf, losses_kw, ())
        each = room[sunny] / pv_pu[sunny]
        at = np.flatnonzero(sunny)
        return Bound(float(each.min()), losses_kw, (int(at[int(np.argmin(each))]),))
    return _with_storage(room, losses_kw, pv_pu, step_h, _groups(units), one_status)


def _groups(units: Sequence[BessUnit]) -> list[BessUnit]:
    """One battery for all of the same efficiencies: energies and ratings add up, which can only do more."""
    by_eta: dict[tuple[float, float], list[BessUnit]] = {}
    for unit in units:
        by_eta.setdefault((unit.eta_charge, unit.eta_discharge), []).append(unit)
    groups = []
    for (eta_charge, eta_discharge), mine in by_eta.items():
        energy = sum(u.energy_kwh for u in mine)
        low = sum(u.soc_min * u.energy_kwh for u in mine) / energy
        high = sum(u.soc_max * u.energy_kwh for u in mine) / energy
        groups.append(BessUnit("all", "", energy, sum(u.power_kw for u in mine), eta_charge, eta_discharge, low, high))
    return groups


def _with_storage(
    room: Floats, losses_kw: Floats, pv_pu: Floats, step_h: float, groups: list[BessUnit], one_status: bool
) -> Bound:
    """Columns: S; for each group charge (T), discharge (T), stored energy before and after each step (T+1); status (T).

    One status for all where `one_status`; else charging and discharging are free of each other, as two units are.
    """
    steps, count = len(room), len(groups)
    one, width = sparse.eye_array(steps), 3 * steps + 1
    after = sparse.eye_array(steps, steps + 1, k=1) - sparse.eye_array(steps, steps + 1)
    blank = sparse.csr_array((steps, steps + 1))
    none, total = sparse.csr_array((steps, steps)), 1 + count * width + steps
    balance = sparse.hstack([sparse.csr_array(pv_pu[:, None]), *[-one, one, blank] * count, none])
    energy, cycle, ups, downs = [], [], [], []
    for g, unit in enumerate(groups):
        before, behind = sparse.csr_array((steps, 1 + g * width)), sparse.csr_array((steps, (count - g - 1) * width))
        moved = [-unit.eta_charge * step_h * one, step_h / unit.eta_discharge * one, after]
        energy.append(sparse.hstack([before, *moved, behind, none]))
        ups.append(sparse.hstack([before, one, none, blank, behind, -unit.power_kw * one]))
        downs.append(sparse.hstack([before, none, one, blank, behind, unit.power_kw * one]))
        first = 1 + g * width + 2 * steps
        cycle.append(sparse.csr_array(([1.0, -1.0], ([0, 0], [first, first + steps])), shape=(1, total)))
    kept = sparse.csc_array(sparse.vstack([*energy, *cycle]))
    low, high = np.zeros(total), np.ones(total)
    high[0] = np.inf
    for g, unit in enumerate(groups):
        start = 1 + g * width
        high[start : start + 2 * steps] = unit.power_kw
        low[start + 2 * steps : start + width] = unit.soc_min * unit.energy_kwh
        high[start + 2 * steps : start + width] = unit.soc_max * unit.energy_kwh
    rows = [LinearConstraint(sparse.csc_array(balance), ub=room), LinearConstraint(kept, 0.0, 0.0)]
    if one_status:
        rating = np.concatenate([np.full(steps, unit.power_kw) for unit in groups])
        rows.append(LinearConstraint(sparse.csc_array(sparse.vstack(ups)), ub=0.0))
        rows.append(LinearConstraint(sparse.csc_array(sparse.vstack(downs)), ub=rating))
    whole = np.zeros(total)
    whole[total - steps :] = float(one_status)
    cost = np.zeros(total)
    cost[0] = -1.0
    found = milp(cost, constraints=rows, bounds=Bounds(low, high), integrality=whole, options={"mip_rel_gap": 0.0})
    if found.status == 3:  # unbounded: no sun at all
        return Bound(np.inf, losses_kw, ())
    proven = found.mip_dual_bound if one_status else found.fun  # the proven side, not the incumbent
    if found.x is None or proven is None:
        return Bound(np.nan, losses_kw, (), status=f"no bound: {found.message}")
    slack = room - balance @ found.x
    binding = tuple(int(t) for t in np.flatnonzero((slack < 1e-6 * max(1.0, room.max())) & (pv_pu > NIGHT)))
    return Bound(-float(proven), losses_kw, binding)
