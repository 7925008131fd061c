"""Smart inverters on their own: volt-var and volt-watt as native InvControls, one per PVSystem.

What IEEE 1547-2018 has for category B is the default: volt-var of table 8 and volt-watt of table 10, both off
unless the utility asks for them; 44 % of the nameplate kVA as reactive power from 20 % of rated power on, in
proportion below, none below 5 % (5.2, table 7); reactive power before active power within that capability.
Volt-watt's least power is there the lesser of 20 % of rated power and what the unit can go down to.

What OpenDSS 9.8 does, and what is set instead (each measured, see tests/hcsim/test_inverters.py):

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

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hcsim.devices.fleets import PREFIX, SMALLEST_KW, PvFleet
from hcsim.devices.held_controls import controls_of
from hcsim.errors import ConfigError
from hcsim.opendss.circuit import Circuit
from optim.data.network import Network

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Curve = tuple[tuple[float, float], ...]
"""(V in pu, share) in order of V; constant beyond its ends."""
InverterMode = Literal["volt_var", "volt_watt", "volt_var_volt_watt"]

VOLT_VAR_B: Curve = ((0.92, 0.44), (0.98, 0.0), (1.02, 0.0), (1.08, -0.44))
"""Share of nameplate kVA, positive into the network."""
VOLT_WATT: Curve = ((1.06, 1.0), (1.10, 0.2))
"""Share of rated kW that may be delivered."""
NO_VARS_BELOW, FULL_VARS_FROM = 0.05, 0.20
"""Shares of rated power."""
TOLERANCE = 1e-5
"""Of voltage in pu, and of kvar and kW as shares of the rating, at which an InvControl is content."""
STRIDE, GENTLE_SLOPE = 0.4, 8.0
"""Share of the way to its curve that an InvControl goes at a time, where no curve is steeper than this (share of
kVA per pu; category B has 7.3): twice as fast as what OpenDSS adapts by itself, which steeper curves are left to."""
SETTLED = 2e-3
"""Share of kVA by which an inverter may miss its curves in a step that counts as settled."""


@dataclass(frozen=True)
class InverterControl:
    """How all PV inverters of a study behave."""

    mode: InverterMode
    volt_var: Curve = VOLT_VAR_B
    volt_watt: Curve = VOLT_WATT
    kva_per_kw: float = 1.0
    """Nameplate kVA over rated kW. At 1.0 reactive power at full sun costs active power."""
    night_var: bool = False
    """Reactive power also without sun; else as little as table 7 asks for."""

    def __post_init__(self) -> None:
        if self.mode not in get_args(InverterMode):
            raise ConfigError(f"Inverters know no {self.mode!r}.", f"There are: {', '.join(get_args(InverterMode))}.")

    @property
    def has_volt_var(self) -> bool:
        return self.mode != "volt_watt"

    @property
    def has_volt_watt(self) -> bool:
        return self.mode != "volt_var"

    @property
    def q_share(self) -> float:
        """Largest reactive power over nameplate kVA."""
        return max(abs(q) for _, q in self.volt_var)

    @property
    def words(self) -> str:
        """What is on, with its curves: "volt-var 44 % at 0.92 pu, ..."."""
        parts = []
        if self.has_volt_var:
            parts.append("volt-var " + ", ".join(f"{100 * q:+.3g} % at {v:g} pu" for v, q in self.volt_var))
        if self.has_volt_watt:
            parts.append("volt-watt " + ", ".join(f"{100 * p:.3g} % at {v:g} pu" for v, p in self.volt_watt))
        return " and ".join(parts)

    def powers_kva(self, v_pu: Floats, available_kw: Floats, rated_kw: Floats) -> Complexes:
        """(G,) what the curves ask for at voltages; active power gives way to reactive power, and both to
        volt-watt. Positive into the network."""
        kva, p_kw = self.kva_per_kw * rated_kw, np.minimum(available_kw, rated_kw)
        q_kvar = np.zeros_like(p_kw)
        if self.has_volt_watt:
            p_kw = np.minimum(p_kw, rated_kw * np.interp(v_pu, *np.array(self.volt_watt).T))
        if self.has_volt_var:
            able = self.q_share * kva * (1.0 if self.night_var else _capability(available_kw, rated_kw))
            q_kvar = np.clip(kva * np.interp(v_pu, *np.array(self.volt_var).T), -able, able)
        return np.minimum(p_kw, np.sqrt(np.maximum(kva**2 - q_kvar**2, 0.0))) + 1j * q_kvar


def _capability(p_kw: Floats, rated_kw: Floats) -> Floats:
    share = p_kw / np.where(rated_kw > 0, rated_kw, np.inf)
    return np.where(share < NO_VARS_BELOW, 0.0, np.minimum(share / FULL_VARS_FROM, 1.0))


class AutonomousPv(PvFleet):
    """A fleet that takes orders for active power only, and not even those above its volt-watt curve."""

    def __init__(
        self, circuit: Circuit, network: Network, nodes: Sequence[str], control: InverterControl
    ) -> None:
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

    def resize(self, size_kw: Floats) -> None:
        """(G,) rated kW; the kVA follow from `kva_per_kw`."""
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
            phase = self.network.nodes[other].rsplit(".", 1)[1]
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


def pv_fleet(
    circuit: Circuit, network: Network, nodes: Sequence[str], control: InverterControl | None
) -> PvFleet:
    """Inverters that do as they are told, or those that follow curves of their own."""
    return AutonomousPv(circuit, network, nodes, control) if control else PvFleet(circuit, network, nodes)


def unsettled(fleet: PvFleet, consumption_kva: Complexes | None) -> str:
    """Why the present solution is none for autonomous inverters, "" where it is one."""
    if consumption_kva is None or not isinstance(fleet, AutonomousPv):
        return ""
    v_pu = fleet.network.judged_v_pu(fleet.circuit.voltages_v())
    return fleet.unsettled(v_pu, fleet.delivered_kva(consumption_kva))


@contextmanager
def others_held(circuit: Circuit) -> Iterator[None]:
    """Inverters act, every other control stands still: what "locked" means beside autonomous inverters.

    OpenDSS's own switch for controls takes the inverters with it, and a disabled RegControl is not counted
    among the regulators any more; so regulators may take no step, and the rest is disabled for a while.
    """
    names = [n for n in controls_of(circuit) if not n.split(".", 1)[1].startswith(PREFIX)]
    steps = {n: circuit.command(f'? "{n}.maxtapchange"') for n in names if n.lower().startswith("regcontrol.")}
    for name in names:
        circuit.command(f'edit "{name}" {"maxtapchange=0" if name in steps else "enabled=no"}')
    try:
        yield
    finally:
        for name in names:
            circuit.command(f'edit "{name}" {f"maxtapchange={steps[name]}" if name in steps else "enabled=yes"}')
