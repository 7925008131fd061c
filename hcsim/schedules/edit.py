"""Schedules as the closed loop handles them: idle, scaled, blended, and what of one is decided."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optim.data.linear_model import Floats
from optim.data.profiles import Profiles
from optim.data.schedule import BessUnit, Schedule


def same_devices(a: Schedule, b: Schedule) -> bool:
    return (a.pv_nodes, a.bess, a.bess_nodes, a.bess_of) == (b.pv_nodes, b.bess, b.bess_nodes, b.bess_of)


def idle(schedule: Schedule) -> Schedule:
    """The same devices, doing nothing; stored energy stays where it began."""
    return replace(scaled(schedule, 0.0), soc_kwh=np.repeat(schedule.soc_kwh[:1], len(schedule.soc_kwh), axis=0))


def scaled(schedule: Schedule, share: float) -> Schedule:
    """Capacity and every power times `share`, stored energy moving by as much less around where it began."""
    start = schedule.soc_kwh[:1]
    return replace(
        _bare_of_claims(schedule),
        pv_kw=share * schedule.pv_kw,
        pv_kva=_times(schedule.pv_kva, share),
        pv_p_kw=share * schedule.pv_p_kw,
        pv_q_kvar=share * schedule.pv_q_kvar,
        bess_q_kvar=_times(schedule.bess_q_kvar, share),
        p_charge_kw=share * schedule.p_charge_kw,
        p_discharge_kw=share * schedule.p_discharge_kw,
        soc_kwh=start + share * (schedule.soc_kwh - start),
    )


def blend(near: Schedule, far: Schedule, share: float) -> Schedule:
    """(1 - share) near + share far, of equal devices and statuses: every constraint of one schedule is convex."""

    def between(a: Floats, b: Floats) -> Floats:
        return (1.0 - share) * a + share * b

    return replace(
        _bare_of_claims(near),
        pv_kw=between(near.pv_kw, far.pv_kw),
        pv_p_kw=between(near.pv_p_kw, far.pv_p_kw),
        pv_q_kvar=between(near.pv_q_kvar, far.pv_q_kvar),
        pv_kva=None if near.pv_kva is far.pv_kva is None else between(_plates(near), _plates(far)),
        bess_q_kvar=None if near.bess_q_kvar is far.bess_q_kvar is None else between(_bess_q(near), _bess_q(far)),
        p_charge_kw=between(near.p_charge_kw, far.p_charge_kw),
        p_discharge_kw=between(near.p_discharge_kw, far.p_discharge_kw),
        soc_kwh=between(near.soc_kwh, far.soc_kwh),
    )


def resized(schedule: Schedule, hc_kw: float) -> Schedule:
    """PV in the schedule's own shares, with its reactive power, at another capacity; batteries as they are."""
    share = hc_kw / schedule.hc_kw if schedule.hc_kw > 0 else 0.0
    return replace(
        _bare_of_claims(schedule),
        pv_kw=share * schedule.pv_kw,
        pv_kva=_times(schedule.pv_kva, share),
        pv_p_kw=share * schedule.pv_p_kw,
        pv_q_kvar=share * schedule.pv_q_kvar,
    )


def reduced(schedule: Schedule, pv_share: Floats, q_share: Floats) -> Schedule:
    """What is left of the PV, (G,) of each site, and (T, G) of its reactive power; batteries as they are."""
    return replace(
        _bare_of_claims(schedule),
        pv_kw=pv_share * schedule.pv_kw,
        pv_kva=_times(schedule.pv_kva, pv_share),
        pv_p_kw=pv_share * schedule.pv_p_kw,
        pv_q_kvar=q_share * schedule.pv_q_kvar,
    )


def with_parts(schedule: Schedule, *, pv: float = 1.0, charging: float = 1.0, discharging: float = 1.0) -> Schedule:
    """Every kind of power at its share of itself; sizes stay, SoC follows from the same first value."""
    charge, discharge = charging * schedule.p_charge_kw, discharging * schedule.p_discharge_kw
    eta_c = np.array([schedule.bess[u].eta_charge for u in schedule.bess_of])
    eta_d = np.array([schedule.bess[u].eta_discharge for u in schedule.bess_of])
    moved = np.zeros((len(schedule.times), len(schedule.bess)))
    np.add.at(moved.T, list(schedule.bess_of), ((charge * eta_c - discharge / eta_d) * schedule.step_h).T)
    q_bess = schedule.bess_q_kvar
    return replace(
        _bare_of_claims(schedule),
        pv_p_kw=pv * schedule.pv_p_kw,
        pv_q_kvar=pv * schedule.pv_q_kvar,
        p_charge_kw=charge,
        p_discharge_kw=discharge,
        bess_q_kvar=None if q_bess is None else max(charging, discharging) * q_bess,
        soc_kwh=schedule.soc_kwh[:1] + np.vstack([np.zeros((1, len(schedule.bess))), np.cumsum(moved, axis=0)]),
    )


def spread_evenly(schedule: Schedule, hc_kw: float, profiles: Profiles) -> Schedule:
    """The same capacity at every site at unity power factor, batteries idle: the plain simulation's PV."""
    nothing = idle(schedule)
    pv_kw = np.full(len(schedule.pv_nodes), hc_kw / len(schedule.pv_nodes))
    return replace(nothing, pv_kw=pv_kw, pv_kva=None, pv_p_kw=profiles.sun(schedule.pv_nodes) * pv_kw)


def with_pv_of(schedule: Schedule, other: Schedule) -> Schedule | None:
    """The devices of `schedule`, batteries idle, PV as in `other`; None where the two have other sites."""
    if schedule.pv_nodes != other.pv_nodes:
        return None
    return replace(
        idle(schedule), pv_kw=other.pv_kw, pv_kva=other.pv_kva, pv_p_kw=other.pv_p_kw, pv_q_kvar=other.pv_q_kvar
    )


def with_reserve(unit: BessUnit, reserve: float) -> BessUnit:
    """`reserve`: the least share of its energy that a unit keeps, whatever its own range says."""
    return replace(unit, soc_min=min(max(unit.soc_min, reserve), unit.soc_max))


def _times(values: Floats | None, share: float | Floats) -> Floats | None:
    return None if values is None else share * values


def _plates(schedule: Schedule) -> Floats:
    """(G,) kVA of the inverters."""
    return schedule.pv_kw if schedule.pv_kva is None else schedule.pv_kva


def _bess_q(schedule: Schedule) -> Floats:
    """(T, D) kvar of the batteries."""
    return np.zeros_like(schedule.p_charge_kw) if schedule.bess_q_kvar is None else schedule.bess_q_kvar


def _bare_of_claims(schedule: Schedule) -> Schedule:
    return replace(
        schedule,
        predicted_nodes=(),
        predicted_v_pu=None,
        substation_phases=(),
        predicted_substation_kw=None,
        solve=None,
    )
