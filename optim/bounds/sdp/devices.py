"""PV and batteries of the relaxation: one capacity for all hours, storage over the hours asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optim.bounds.sdp.rows import Affine, Floats, Rows, constant
from optim.data.schedule import BessUnit


@dataclass(frozen=True)
class Devices:
    """Sites and batteries by node."""

    pv_nodes: tuple[int, ...]
    """(G,)"""
    sun: Floats
    """(T, G) kW per kW of inverter."""
    caps: tuple[tuple[tuple[int, ...], float], ...] = ()
    """Positions in `pv_nodes` and the most that stands there, kW."""
    units: tuple[BessUnit, ...] = ()
    unit_nodes: tuple[tuple[int, ...], ...] = ()
    n_placed: int | None = None
    step_h: float = 1.0
    day_ends: tuple[int, ...] = ()
    """Steps after which stored energy is back where it began; none where the hours are not all there are, and
    batteries then give or take any power within their rating."""


class DeviceRows:
    """Variables of all devices in pu of power, and what each hour's nodes get."""

    def __init__(self, rows: Rows, devices: Devices, base_kva: float) -> None:
        self.rows, self.devices, self.base_kva = rows, devices, base_kva
        self.capacity = rows.vector(np.zeros(len(devices.pv_nodes)))
        rows.nonnegative(self.capacity)
        rows.maximize(self.capacity)
        for members, most in devices.caps:
            whole = self.capacity.part(list(members)).total()
            rows.nonnegative(constant(np.array([most / base_kva])) - whole)
        steps = len(devices.sun)
        self._net: list[list[tuple[int, Affine]]] = [[] for _ in range(steps)]
        if devices.units:
            count = len(devices.units)
            n_placed = count if devices.n_placed is None else devices.n_placed
            self._placed = rows.vector(np.full(count, n_placed / count))
            rows.nonnegative(self._placed)
            rows.nonnegative(constant(np.ones(count)) - self._placed)
            rows.zero(self._placed.total() - constant(np.array([float(n_placed)])))
            for u, (unit, nodes) in enumerate(zip(devices.units, devices.unit_nodes, strict=True)):
                self._write_unit(unit, nodes, self._placed.part([u]))

    def injected(self, t: int) -> Sequence[tuple[int, Affine]]:
        """Node and complex power at step t: p = r S, |q| up to what the inverter's kVA leave."""
        devices, g = self.devices, len(self.devices.pv_nodes)
        r = devices.sun[t]
        room = self.capacity.times(np.sqrt(np.maximum(1.0 - r**2, 0.0)))
        q = self.rows.vector(np.zeros(g))
        self.rows.nonnegative(room - q)
        self.rows.nonnegative(room + q)
        power = self.capacity.times(r) + q.times(1j)
        return [*((n, power.part([k])) for k, n in enumerate(devices.pv_nodes)), *self._net[t]]

    def _write_unit(self, unit: BessUnit, nodes: tuple[int, ...], placed: Affine) -> None:
        rows, devices, k = self.rows, self.devices, len(nodes)
        rated = unit.power_kw / self.base_kva / k
        energy = unit.energy_kwh / self.base_kva
        full = placed.right(np.full((1, k), rated))
        stored: list[Affine] = []
        steps, whole = len(devices.sun), bool(devices.day_ends)
        share = self._state_of(placed)
        for _ in range(steps + 1 if whole else 0):
            e = rows.vector(np.array([share * energy * (unit.soc_min + unit.soc_max) / 2.0]))
            rows.nonnegative(e - placed.times(unit.soc_min * energy))
            rows.nonnegative(placed.times(unit.soc_max * energy) - e)
            stored.append(e)
        for t in range(steps):
            charge, discharge = rows.vector(np.zeros(k)), rows.vector(np.zeros(k))
            for part in (charge, discharge):
                rows.nonnegative(part)
                rows.nonnegative(full - part)
            net = discharge - charge
            self._net[t] += [(n, net.part([j])) for j, n in enumerate(nodes)]
            if whole:
                gained = charge.total().times(unit.eta_charge) - discharge.total().times(1.0 / unit.eta_discharge)
                rows.zero(stored[t + 1] - stored[t] - gained.times(devices.step_h))
        for end in devices.day_ends:
            rows.zero(stored[end] - stored[0])

    def _state_of(self, placed: Affine) -> float:
        n = len(self.devices.units)
        return 1.0 if self.devices.n_placed is None else self.devices.n_placed / n
