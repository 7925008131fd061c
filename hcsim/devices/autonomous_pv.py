"""Smart inverters on their own: volt-var and volt-watt as native InvControls, one per PVSystem.

What IEEE 1547-2018 has for category B is the default: volt-var of table 8 and volt-watt of table 10, both off
unless the utility asks for them; 44 % of the nameplate kVA as reactive power from 20 % of rated power on, in
proportion below, none below 5 % (5.2, table 7); reactive power before active power within that capability.
Volt-watt's least power is there the lesser of 20 % of rated power and what the unit can go down to.

What OpenDSS 9.8 does, and what is set instead (each measured, see tests/hcsim/devices/test_inverters.py):

- With `refreactivepower=varaval`, its default, the loop around volt-var and available kvar hunts: `varmax`,
  with `kvarmax` at the curve's largest share of the kVA.
- Its default tolerances (2.5 % of kvar, 1 % of kW) stop anywhere near the curve: tightened to `TOLERANCE`.
- An XYCurve goes on straight beyond its ends, so that volt-watt would fall below zero: flat ends are added.
- A list with a disabled PVSystem in it brings the process down: each control is made when its inverter is on.
- The voltage of an element between two phases is taken as one to ground: the monitored bus is named.

A fixed point that OpenDSS calls converged is not believed: `AutonomousPv.unsettled` holds every inverter's power
against its curves at the voltage that was solved.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hcsim.devices.fleets import PREFIX, SMALLEST_KW, PvFleet
from hcsim.devices.inverter_curves import FULL_VARS_FROM, NO_VARS_BELOW, Curve, InverterControl
from hcsim.opendss.circuit import Circuit
from optim.data.network import Network
from optim.data.node import phase_of

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

TOLERANCE = 1e-5
"""Of voltage in pu, and of kvar and kW as shares of the rating, at which an InvControl is content."""
STRIDE, GENTLE_SLOPE = 0.4, 8.0
"""Share of the way to its curve that an InvControl goes at a time, where no curve is steeper than this (share of
kVA per pu; category B has 7.3): twice as fast as what OpenDSS adapts by itself, which steeper curves are left to."""
SETTLED = 2e-3
"""Share of kVA by which an inverter may miss its curves in a step that counts as settled."""


class AutonomousPv(PvFleet):
    """A fleet that takes orders for active power only, and not even those above its volt-watt curve."""

    def __init__(self, circuit: Circuit, network: Network, nodes: Sequence[str], control: InverterControl) -> None:
        super().__init__(circuit, network, nodes)
        self.network, self.control = network, control
        self._at = np.array([network.node_index[node] for node in nodes], dtype=np.int64)
        self._controls = tuple(f"InvControl.{name}_{control.mode}" for name in self.names)
        self._made: set[int] = set()
        self._curve("volt_var", tuple((v, q / (control.q_share or 1.0)) for v, q in control.volt_var))
        self._curve("volt_watt", control.volt_watt)
        low = (0.0, 0.0) if control.night_var else (100 * NO_VARS_BELOW, 100 * FULL_VARS_FROM)
        for element in self.elements:
            circuit.command(f'edit "{element}" %pminnovars={low[0]} %pminkvarmax={low[1]}')

    def resize(self, size_kw: Floats, size_kva: Floats | None = None) -> None:
        """(G,) rated kW; the kVA follow from `kva_per_kw`, whatever a schedule says of them."""
        self._switch(np.zeros(len(self.elements), dtype=bool))
        super().resize(size_kw)
        for element, kw in zip(self.elements, self.size_kw.tolist(), strict=True):
            kva = self.control.kva_per_kw * kw
            kvar = max(self.control.q_share * kva, 1e-3 * kva)
            if kw >= SMALLEST_KW:
                self.circuit.command(f'edit "{element}" kva={kva!r} kvarmax={kvar!r} kvarmaxabs={kvar!r}')
        self._switch(self.size_kw >= SMALLEST_KW)

    def set_power(self, p_kw: Floats, q_kvar: Floats) -> None:
        """What the sun offers, (G,) kW; kvar are not asked for. Each step starts without reactive power, so
        that it depends on nothing but taps and powers."""
        self._available_kw = np.asarray(p_kw, dtype=float)
        self._last[:] = np.nan
        super().set_power(p_kw, np.zeros_like(p_kw))

    def unsettled(self, v_pu: Floats, delivered_kva: Complexes) -> str:
        """Which inverter is off its curves at the voltages (N,) of a solution that claims to be one; "" if none."""
        wanted = self.control.powers_kva(v_pu[self._at], self._available_kw, self.size_kw)
        off = np.where(self.size_kw >= SMALLEST_KW, np.abs(delivered_kva - wanted), 0.0)
        rated = np.maximum(self.control.kva_per_kw * self.size_kw, SMALLEST_KW)
        if not len(off) or (share := off / rated).max() <= SETTLED:
            return ""
        g = int(np.argmax(share))
        return (
            f"the inverter at {self.nodes[g]} is {off[g]:.2f} kVA off its curves at "
            f"{v_pu[self._at[g]]:.4f} pu (inverters have not settled)"
        )

    def remove(self) -> None:
        self._switch(np.zeros(len(self.elements), dtype=bool))
        super().remove()

    def _switch(self, on: NDArray[np.bool_]) -> None:
        for g, control in enumerate(self._controls):
            if on[g] and g not in self._made:
                self.circuit.define("InvControl", control.split(".", 1)[1], self._settings(g) + " enabled=yes")
                self._made.add(g)
            elif g in self._made:
                self.circuit.command(f'edit "{control}" enabled={"yes" if on[g] else "no"}')

    def _settings(self, g: int) -> str:
        curves = f"vvc_curve1={PREFIX}volt_var voltwatt_curve={PREFIX}volt_watt"
        mode = {"volt_var": "mode=voltvar", "volt_watt": "mode=voltwatt"}.get(self.control.mode, "combimode=vv_vw")
        other = int(self.network.v_reference[self._at[g]])
        watched = ""
        if other >= 0:
            volts = float(self.network.v_judged_base_v[self._at[g]])
            phase = phase_of(self.network.nodes[other])
            watched = f' monbus=["{self.nodes[g]}.{phase}"] monbusesvbase=[{volts!r}]'
        steep = max(abs((b[1] - a[1]) / (b[0] - a[0])) for a, b in pairwise(self.control.volt_var))
        stride = f" deltaq_factor={STRIDE}" if steep <= GENTLE_SLOPE else ""
        return (
            f"derlist=[{self.elements[g]}] {mode} {curves} refreactivepower=varmax voltwattyaxis=pmpppu "
            f"voltagechangetolerance={TOLERANCE} varchangetolerance={TOLERANCE} "
            f"activepchangetolerance={TOLERANCE}{stride}{watched}"
        )

    def _curve(self, name: str, curve: Curve) -> None:
        points = [(0.0, curve[0][1]), *curve, (2.0, curve[-1][1])]
        v, y = (" ".join(repr(float(p[i])) for p in points) for i in (0, 1))
        self.circuit.define("XYCurve", f"{PREFIX}{name}", f"npts={len(points)} xarray=[{v}] yarray=[{y}]")


def pv_fleet(circuit: Circuit, network: Network, nodes: Sequence[str], control: InverterControl | None) -> PvFleet:
    """Inverters that do as they are told, or those that follow curves of their own."""
    return AutonomousPv(circuit, network, nodes, control) if control else PvFleet(circuit, network, nodes)


def unsettled(fleet: PvFleet, consumption_kva: Complexes | None) -> str:
    """Why the present solution is none for autonomous inverters, "" where it is one."""
    if consumption_kva is None or not isinstance(fleet, AutonomousPv):
        return ""
    v_pu = fleet.network.judged_v_pu(fleet.circuit.voltages_v())
    return fleet.unsettled(v_pu, fleet.delivered_kva(consumption_kva))
