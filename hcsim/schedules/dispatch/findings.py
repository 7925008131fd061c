"""What is wrong with a dispatch by itself, before any power flow: energy, ratings, sun, circulation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hcsim.schedules.dispatch.understood import Dispatch
from optim.data.schedule import Schedule

Floats = NDArray[np.float64]
Add = Callable[..., None]
Row = tuple[str, str, str, str, float, str]
FINDING_COLUMNS = ("kind", "device", "from", "to", "amount", "unit")
P_TOLERANCE_KW = 1e-3
"""Rounding of a table with three decimals."""
ENERGY_TOLERANCE = 1e-3
"""Share of a unit's energy that rounding over a day may add up to."""


def findings(dispatch: Dispatch, pv_pu: Floats | None = None) -> pd.DataFrame:
    """Everything that the dispatch says against itself.

    Parameters
    ----------
    dispatch
        As read.
    pv_pu
        (T,) sun of the study, kW per kW of inverter; None: PV is not held against it (the dispatch's own column of
        available power still is).

    Returns
    -------
    DataFrame
        `FINDING_COLUMNS`. kind: soc_above_limit, soc_below_limit, soc_differs_from_own_column, soc_not_back_at_start,
        charge_and_discharge_at_once, above_rating, above_kva, above_sun, above_available, circulation. `from`, `to`:
        first and last step concerned; amount: the worst (kWh, kW, kVA), for circulation the sum.
    """
    s = dispatch.schedule
    rows: list[Row] = []

    def add(kind: str, device: str, beyond: Floats, unit: str, *, of_sum: bool = False) -> None:
        """`beyond` (T,) is positive where something is wrong."""
        steps = np.flatnonzero(beyond > 0)
        if len(steps):
            amount = float(beyond[steps].sum() if of_sum else beyond.max())
            rows.append((kind, device, s.times[steps[0]], s.times[steps[-1]], amount, unit))

    _energy(s, dispatch, add, rows)
    _ratings(s, dispatch, add)
    _sun(dispatch, pv_pu, add)
    together = s.circulated_kwh()
    if len(s.bess) > 1:
        add("circulation", "all batteries", _past(together, P_TOLERANCE_KW * s.step_h), "kWh", of_sum=True)
    return pd.DataFrame(rows, columns=list(FINDING_COLUMNS))


def _energy(s: Schedule, dispatch: Dispatch, add: Add, rows: list[Row]) -> None:
    for u, unit in enumerate(s.bess):
        slack = ENERGY_TOLERANCE * unit.energy_kwh
        path = s.soc_kwh[1:, u]
        add("soc_above_limit", unit.name, _past(path - unit.soc_max * unit.energy_kwh, slack), "kWh")
        add("soc_below_limit", unit.name, _past(unit.soc_min * unit.energy_kwh - path, slack), "kWh")
        given = dispatch.soc_given_kwh.get(unit.name)
        if given is not None:
            begins, ends = np.abs(given - s.soc_kwh[:-1, u]), np.abs(given - path)
            off = ends if ends.max() <= begins.max() else begins
            add("soc_differs_from_own_column", unit.name, _past(off, slack), "kWh")
        drift = float(s.soc_kwh[-1, u] - s.soc_kwh[0, u])
        if abs(drift) > slack:
            rows.append(("soc_not_back_at_start", unit.name, s.times[0], s.times[-1], drift, "kWh"))
        both = dispatch.both_kw.get(unit.name)
        if both is not None:
            add("charge_and_discharge_at_once", unit.name, _past(both, P_TOLERANCE_KW), "kW")


def _ratings(s: Schedule, dispatch: Dispatch, add: Add) -> None:
    for device in dispatch.sources:
        here = list(dispatch.columns[device.name])
        p, q = s.pv_p_kw[:, here].sum(axis=1), s.pv_q_kvar[:, here].sum(axis=1)
        add("above_rating", device.name, _past(p - device.kw, P_TOLERANCE_KW + 1e-6 * device.kw), "kW")
        kva = device.kw if np.isnan(device.kva) else device.kva
        add("above_kva", device.name, _past(np.hypot(p, q) - max(kva, p.max()), P_TOLERANCE_KW + 1e-6 * kva), "kVA")
    for u, unit in enumerate(s.bess):
        mine = np.flatnonzero(np.array(s.bess_of) == u)
        for side in (s.p_charge_kw, s.p_discharge_kw):
            add("above_rating", unit.name, _past(side[:, mine].sum(axis=1) - unit.power_kw, P_TOLERANCE_KW), "kW")
        if s.bess_q_kvar is not None and s.bess_kva is not None:
            s_kva = np.hypot(s.bess_p_kw[:, mine].sum(axis=1), s.bess_q_kvar[:, mine].sum(axis=1))
            kva = max(float(s.bess_kva[mine].sum()), unit.power_kw)
            add("above_kva", unit.name, _past(s_kva - kva, P_TOLERANCE_KW), "kVA")


def _sun(dispatch: Dispatch, pv_pu: Floats | None, add: Add) -> None:
    s = dispatch.schedule
    for device in dispatch.sources:
        p = s.pv_p_kw[:, list(dispatch.columns[device.name])].sum(axis=1)
        own = dispatch.available_kw.get(device.name)
        if own is not None:
            add("above_available", device.name, _past(p - own, P_TOLERANCE_KW), "kW")
        elif device.kind == "pv" and device.sized and pv_pu is not None:
            add("above_sun", device.name, _past(p - device.kw * pv_pu, P_TOLERANCE_KW + 1e-6 * device.kw), "kW")


def _past(amount: Floats, slack: float) -> Floats:
    return np.where(amount > slack, amount, 0.0)
