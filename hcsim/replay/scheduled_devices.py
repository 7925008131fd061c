"""The devices of a schedule in a running circuit: what they are told, what they do."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hcsim.devices.autonomous_pv import AutonomousPv, pv_fleet, unsettled
from hcsim.devices.fleets import BessFleet
from hcsim.devices.inverter_curves import InverterControl
from hcsim.opendss.circuit import Circuit
from hcsim.replay.own_violations import joined as _joined
from hcsim.replay.own_violations import rows as _rows
from optim.data.network import Network
from optim.data.node import phase_of
from optim.data.schedule import Schedule

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


DEVICE_COLUMNS = (
    "time",
    "step",
    "element",
    "node",
    "kind",
    "p_commanded_kw",
    "p_delivered_kw",
    "q_commanded_kvar",
    "q_delivered_kvar",
)


SOC_COLUMNS = ("time", "step", "unit", "soc_commanded_kwh", "soc_delivered_kwh")


SOC_TOLERANCE = 1e-6
"""Share of a unit's energy that counts as numerical noise."""


class ScheduledDevices:
    """The devices of one schedule at work: what they are told, what they do. (T, G) PV, (T, D) BESS."""

    def __init__(
        self,
        circuit: Circuit,
        network: Network,
        schedule: Schedule,
        step_h: float,
        inverters: InverterControl | None = None,
    ) -> None:
        self.step_h = step_h
        self.pv = pv_fleet(circuit, network, schedule.pv_nodes, inverters)
        self.bess = BessFleet(circuit, network, schedule.bess, schedule.bess_nodes, schedule.bess_of)
        self.pv.resize(schedule.pv_kw, schedule.pv_kva)
        if schedule.bess_kva is not None and schedule.bess:
            self.bess.rate(schedule.bess_kva)
        self._replaced = schedule.replaces
        for element in self._replaced:
            circuit.command(f'edit "{element}" enabled=no')
        self.take(schedule)

    def take(self, schedule: Schedule) -> None:
        """Sizes and commands of a schedule with these devices; what was delivered before is forgotten."""
        self.schedule = schedule
        if not np.array_equal(self.pv.size_kw, schedule.pv_kw):
            self.pv.resize(schedule.pv_kw, schedule.pv_kva)
        self.bess.reset(schedule.soc_kwh[0])
        steps = len(schedule.times)
        self.pv_kva = np.full((steps, len(schedule.pv_nodes)), complex(np.nan, np.nan))
        self.bess_kva = np.full((steps, len(schedule.bess_nodes)), complex(np.nan, np.nan))
        self.soc_kwh = np.full((steps, len(schedule.bess)), np.nan)

    def connect(self) -> None:
        self.pv.bind()
        self.bess.bind()

    def command(self, t: int) -> None:
        self.pv.set_power(self.schedule.pv_p_kw[t], self.schedule.pv_q_kvar[t])
        if self.bess.units:
            q_kvar = None if self.schedule.bess_q_kvar is None else self.schedule.bess_q_kvar[t]
            self.bess.set_power(self.schedule.bess_p_kw[t], self.step_h, q_kvar)

    def collect(self, t: int, consumption_kva: Complexes | None) -> str:
        """What was delivered stays NaN in a step without an answer; why it is none after all, or ""."""
        why = unsettled(self.pv, consumption_kva)
        if consumption_kva is not None:
            self.pv_kva[t] = self.pv.delivered_kva(consumption_kva)
            self.bess_kva[t] = self.bess.delivered_kva(consumption_kva)
        if self.bess.units:
            self.bess.finish_step(consumption_kva is not None)
            self.soc_kwh[t] = self.bess.joint_kwh
        return why

    def forget(self, failures: Iterable[int]) -> None:
        """Steps that turned out to have no answer after all."""
        self.pv_kva[list(failures)] = complex(np.nan, np.nan)
        self.bess_kva[list(failures)] = complex(np.nan, np.nan)

    def disconnect(self) -> None:
        self.pv.remove()
        self.bess.remove()
        for element in self._replaced:
            self.pv.circuit.command(f'edit "{element}" enabled=yes')

    def device_table(self) -> pd.DataFrame:
        s = self.schedule
        q_bess = np.zeros_like(s.p_charge_kw) if s.bess_q_kvar is None else s.bess_q_kvar
        parts = [
            self._long("pv", self.pv.elements, s.pv_nodes, s.pv_p_kw, s.pv_q_kvar, self.pv_kva),
            self._long("bess", self.bess.elements, s.bess_nodes, s.bess_p_kw, q_bess, self.bess_kva),
        ]
        return pd.concat([p for p in parts if len(p)] or parts[:1], ignore_index=True)

    def _long(
        self,
        kind: str,
        elements: tuple[str, ...],
        nodes: tuple[str, ...],
        p_kw: Floats,
        q_kvar: Floats,
        delivered_kva: Complexes,
    ) -> pd.DataFrame:
        steps, count = p_kw.shape
        return pd.DataFrame(
            {
                "time": np.repeat(np.array(self.schedule.times, dtype=object), count),
                "step": np.repeat(np.arange(steps), count),
                "element": np.tile(np.array(elements, dtype=object), steps),
                "node": np.tile(np.array(nodes, dtype=object), steps),
                "kind": kind,
                "p_commanded_kw": p_kw.ravel(),
                "p_delivered_kw": delivered_kva.real.ravel(),
                "q_commanded_kvar": q_kvar.ravel(),
                "q_delivered_kvar": delivered_kva.imag.ravel(),
            }
        )

    def soc_table(self) -> pd.DataFrame:
        steps, count = self.soc_kwh.shape
        return pd.DataFrame(
            {
                "time": np.repeat(np.array(self.schedule.times, dtype=object), count),
                "step": np.repeat(np.arange(steps), count),
                "unit": np.tile(np.array([u.name for u in self.schedule.bess], dtype=object), steps),
                "soc_commanded_kwh": self.schedule.soc_kwh[1:].ravel(),
                "soc_delivered_kwh": self.soc_kwh.ravel(),
            }
        )

    def energy_not_delivered_kwh(self) -> float:
        """|commanded - delivered|; a step without an answer delivers nothing."""
        s = self.schedule
        missed = [
            np.abs(s.pv_p_kw - np.nan_to_num(self.pv_kva.real)).sum(),
            np.abs(s.bess_p_kw - np.nan_to_num(self.bess_kva.real)).sum(),
        ]
        return float(sum(missed) * self.step_h)

    def kept(self, tolerance: float) -> bool:
        """Whether `not_delivered` and `energy_violations` are empty."""
        s, bess = self.schedule, self.bess
        missed = (
            s.pv_p_kw - self.pv_kva.real,
            s.pv_q_kvar - self.pv_kva.imag,
            s.bess_p_kw - self.bess_kva.real,
            (0.0 if s.bess_q_kvar is None else s.bess_q_kvar) - self.bess_kva.imag,
        )
        slack = SOC_TOLERANCE * np.array([u.energy_kwh for u in bess.units])
        outside = (self.soc_kwh > bess.ceiling_kwh + slack) | (self.soc_kwh < bess.floor_kwh - slack)
        return not any(np.any(np.abs(m) > tolerance) for m in missed) and not outside.any()

    def not_delivered(self, tolerance: float) -> pd.DataFrame:
        s = self.schedule
        q_bess = np.zeros_like(s.p_charge_kw) if s.bess_q_kvar is None else s.bess_q_kvar
        parts = []
        for elements, nodes, p_kw, q_kvar, delivered in (
            (self.pv.elements, s.pv_nodes, s.pv_p_kw, s.pv_q_kvar, self.pv_kva),
            (self.bess.elements, s.bess_nodes, s.bess_p_kw, q_bess, self.bess_kva),
        ):
            if delivered is self.pv_kva and isinstance(self.pv, AutonomousPv):
                continue
            for wanted, got, unit in ((p_kw, delivered.real, "kW"), (q_kvar, delivered.imag, "kvar")):
                steps, at = np.nonzero(np.abs(wanted - got) > tolerance)
                where = [(elements[d], phase_of(nodes[d])) for d in at]
                criterion = "not_delivered", unit
                parts.append(_rows(criterion, where, steps, s.times, got[steps, at], wanted[steps, at]))
        return _joined(parts)

    def energy_violations(self) -> pd.DataFrame:
        bess = self.bess
        slack = SOC_TOLERANCE * np.array([u.energy_kwh for u in bess.units])
        parts = []
        for limit, outside in (
            (bess.ceiling_kwh, self.soc_kwh > bess.ceiling_kwh + slack),
            (bess.floor_kwh, self.soc_kwh < bess.floor_kwh - slack),
        ):
            steps, at = np.nonzero(outside)
            where = [(bess.units[u].name, "") for u in at]
            times, stored = self.schedule.times, self.soc_kwh[steps, at]
            parts.append(_rows(("stored_energy", "kWh"), where, steps, times, stored, limit[at]))
        return _joined(parts)
