"""The devices of a schedule as OpenDSS text: what another engine, or a person with OpenDSS, is told.

The same elements with the same properties as `hcsim.devices.fleets` puts into the circuit, command by command.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hcsim.devices.fleets import PREFIX, SMALLEST_KW, BessFleet, PvFleet, bus_and_kv
from optim.data.network import Network
from optim.data.schedule import Schedule

Floats = NDArray[np.float64]


def pv_element(g: int) -> str:
    """Full name of the inverter at PV node number `g`."""
    return f"PVSystem.{PREFIX}pv_{g + 1}"


def bess_element(d: int) -> str:
    """Full name of converter number `d`."""
    return f"Storage.{PREFIX}bess_{d + 1}"


def definitions(network: Network, schedule: Schedule) -> Iterator[str]:
    """A command for each device, and for each of the feeder's own that the schedule replaces."""
    plates = schedule.pv_kw if schedule.pv_kva is None else schedule.pv_kva
    for g, (node, kw, kva) in enumerate(zip(schedule.pv_nodes, schedule.pv_kw.tolist(), plates.tolist(), strict=True)):
        if kw >= SMALLEST_KW:
            sizes = f"pmpp={kw!r} kva={kva!r} kvarmax={kva!r} kvarmaxabs={kva!r}"
            yield f'new "{pv_element(g)}" {bus_and_kv(network, node)} {PvFleet.constants} {sizes}'
    phases = np.bincount(np.asarray(schedule.bess_of, dtype=np.int64), minlength=len(schedule.bess))
    for d, (node, u) in enumerate(zip(schedule.bess_nodes, schedule.bess_of, strict=True)):
        unit = schedule.bess[u]
        kw = unit.power_kw / int(phases[u])
        kva = kw if schedule.bess_kva is None else float(schedule.bess_kva[d])
        yield (
            f'new "{bess_element(d)}" {bus_and_kv(network, node)} {BessFleet.constants} kwrated={kw / 1000!r} '
            f"%kwrated=100000 kva={kva!r} kvarmax={kva!r} kvarmaxabs={kva!r} kwhrated={unit.energy_kwh} "
            f"kwhstored={unit.energy_kwh} %reserve={100 * unit.soc_min} %effcharge={100 * unit.eta_charge} "
            f"%effdischarge={100 * unit.eta_discharge}"
        )
    for element in schedule.replaces:
        yield f'edit "{element}" enabled=no'


def orders(schedule: Schedule, bess_p_kw: Floats, stored_kwh: Floats) -> Iterator[tuple[str, ...]]:
    """Before each step, what changes: irradiance and kvar of inverters, kWh, kW and kvar of converters.

    `bess_p_kw` (T, D) is what the converters do, cut to what their units hold, and `stored_kwh` (T, U) what these hold
    as the step begins: a unit's energy is one, its elements' are many.
    """
    sizes = np.where(schedule.pv_kw < SMALLEST_KW, np.inf, schedule.pv_kw)
    sun = schedule.pv_p_kw / sizes
    q_kvar = np.zeros_like(bess_p_kw) if schedule.bess_q_kvar is None else schedule.bess_q_kvar
    for t in range(len(schedule.times)):
        told = []
        for g in np.flatnonzero(np.isfinite(sizes)).tolist():
            now = (sun[t, g], schedule.pv_q_kvar[t, g])
            if t == 0 or now != (sun[t - 1, g], schedule.pv_q_kvar[t - 1, g]):
                told.append(f'edit "{pv_element(g)}" irradiance={float(now[0])!r} kvar={float(now[1])!r}')
        for d, u in enumerate(schedule.bess_of):
            told.append(
                f'edit "{bess_element(d)}" kwhstored={max(float(stored_kwh[t, u]), 0.0)!r} '
                f"kw={float(bess_p_kw[t, d])!r} kvar={float(q_kvar[t, d])!r}"
            )
        yield tuple(told)
