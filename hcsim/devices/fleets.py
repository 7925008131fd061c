"""PV and BESS as native PVSystem and Storage elements, set so that they deliver what they are told to.

One single-phase element per node-phase, numbered under a name of ours that starts with `PREFIX`: made of the user's
names, two of them could become one (buses "n-1" and "n_1"). What OpenDSS would do by default, and
what is set instead (each measured, see tests/hcsim/replay/test_replay.py):

- PVSystem cuts in and out at 20 % of its kVA and takes its vars with it: `%cutin=0 %cutout=0
  varfollowinverter=no`. `kvarmax` stays where it was when `kva` is raised: set together, always. A size of
  zero gives NaN in silence: such an element is disabled.
- Storage idles at 1 %, charges and discharges at 90 %, keeps 20 % in reserve and dispatches itself:
  `%idlingkw=0`, efficiencies and reserve of the unit, `dispmode=external`. `%idlingkvar` is left alone: once
  written, OpenDSS ignores the rest of the line.
- Storage puts its whole rating into the system matrix, as a negative admittance while it discharges; behind a
  weak connection the power flow then diverges at any power. `kwrated` is set to a thousandth with
  `%kwrated` a thousandfold, so that the matrix hardly sees it; `kva` is the rating that binds.
- Both leave constant power outside 0.9-1.1 pu: `vminpu`, `vmaxpu` are opened to a band outside of which the
  replay judges a solution to be nonsense anyway.
- An element that runs empty in mid-step still delivers the whole step: energy out of nothing.
  `BessFleet.set_power` therefore cuts a command to what the unit holds, as its management system would.

Powers are positive into the network.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hcsim.errors import FeederError
from hcsim.opendss.circuit import OUR_PREFIX, Circuit
from optim.data.network import Network
from optim.data.node import phase_of
from optim.data.schedule import BessUnit

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

PREFIX = OUR_PREFIX
V_CONSTANT_POWER_PU = (0.5, 1.5)
SMALLEST_KW = 1e-6
"""A PV site below this is left out of the circuit: OpenDSS divides by the size."""


class _Fleet:
    """Native elements of one OpenDSS class, one per node-phase, in the order they were asked for."""

    kind: str
    constants: str

    def __init__(self, circuit: Circuit, network: Network, nodes: Sequence[str], names: Sequence[str]) -> None:
        self.circuit = circuit
        self.nodes = tuple(nodes)
        self.names = tuple(PREFIX + name for name in names)
        self.elements = tuple(f"{self.kind}.{name}" for name in self.names)
        for node, name in zip(nodes, self.names, strict=True):
            circuit.define(self.kind, name, f"{bus_and_kv(network, node)} {self.constants} enabled=no")

    def bind(self) -> None:
        """To be called once all elements stand, and before the first step."""
        position = {name: i for i, name in enumerate(self.circuit.element_names())}
        self._rows = np.array([position[name.lower()] for name in self.elements], dtype=np.int64)

    def delivered_kva(self, consumption_kva: Complexes) -> Complexes:
        """(D,) out of `Circuit.consumption_kva`, positive into the network."""
        return -consumption_kva[self._rows]

    def remove(self) -> None:
        """Out of the circuit: disabled, as OpenDSS deletes nothing. A later fleet reuses the names."""
        for element in self.elements:
            self.circuit.command(f'edit "{element}" enabled=no')


class PvFleet(_Fleet):
    """One inverter per PV node-phase. `resize` first, then `set_power` each step."""

    kind = "PVSystem"
    constants = (
        "%pmpp=100 temperature=25 pf=1 %cutin=0 %cutout=0 varfollowinverter=no wattpriority=no pfpriority=no "
        "%pminnovars=0 %pminkvarmax=0 %r=0 %x=0 model=1 balanced=no limitcurrent=no irradiance=0 "
        f"vminpu={V_CONSTANT_POWER_PU[0]} vmaxpu={V_CONSTANT_POWER_PU[1]}"
    )

    def __init__(self, circuit: Circuit, network: Network, nodes: Sequence[str]) -> None:
        super().__init__(circuit, network, nodes, [f"pv_{g + 1}" for g in range(len(nodes))])
        self.size_kw = np.zeros(len(nodes))

    def bind(self) -> None:
        super().bind()
        positions = self.circuit.pv_positions()
        self._positions = [positions[name] for name in self.names]

    def resize(self, size_kw: Floats, size_kva: Floats | None = None) -> None:
        """(G,) inverter capacity in kW, and in kVA where it is another."""
        sizes = np.asarray(size_kw, dtype=float)
        plates = sizes if size_kva is None else np.asarray(size_kva, dtype=float)
        for element, kw, kva in zip(self.elements, sizes.tolist(), plates.tolist(), strict=True):
            if kw < SMALLEST_KW:
                self.circuit.command(f'edit "{element}" enabled=no')
            else:
                self.circuit.command(
                    f'edit "{element}" pmpp={kw!r} kva={kva!r} kvarmax={kva!r} kvarmaxabs={kva!r} enabled=yes'
                )
        self.size_kw = sizes
        self._last = np.full((2, len(size_kw)), np.nan)
        self._generation = self.circuit.generation

    def set_power(self, p_kw: Floats, q_kvar: Floats) -> None:
        """(G,) each. The inverter's kVA still binds: P gives way to Q (OpenDSS without watt priority)."""
        irradiance = p_kw / np.where(self.size_kw < SMALLEST_KW, np.inf, self.size_kw)
        now = np.stack([irradiance, q_kvar])
        if self._generation != self.circuit.generation:  # compiled anew: what was set before is lost
            self._last[:], self._generation = np.nan, self.circuit.generation
        moved = np.flatnonzero((now != self._last).any(axis=0))
        if len(moved):
            positions = [self._positions[g] for g in moved]
            self.circuit.set_pv(positions, irradiance[moved].tolist(), np.asarray(q_kvar)[moved].tolist())
        self._last = now


class BessFleet(_Fleet):
    """Units of single-phase Storage elements, one joint stored energy per unit.

    OpenDSS keeps an energy per element. Each element here is rated at its whole unit's energy and carries the
    joint value, which is written to it before a step; after the step the joint value moves by the sum of its
    elements' own changes. So within a step each phase may draw on the whole battery, efficiencies are applied
    by OpenDSS (paper 1, eq. 3c), and only the sum is ours.
    """

    kind = "Storage"
    constants = (
        "pf=1 kvar=0 kw=0 %idlingkw=0 dispmode=external chargetrigger=0 dischargetrigger=0 timechargetrig=-1 "
        "%cutin=0 %cutout=0 varfollowinverter=no %charge=100 %discharge=100 %r=0 %x=0 model=1 balanced=no "
        f"limitcurrent=no vminpu={V_CONSTANT_POWER_PU[0]} vmaxpu={V_CONSTANT_POWER_PU[1]}"
    )

    def __init__(
        self,
        circuit: Circuit,
        network: Network,
        units: Sequence[BessUnit],
        nodes: Sequence[str],
        unit_of: Sequence[int],
    ) -> None:
        places = list(zip(nodes, unit_of, strict=True))
        if twice := [f"{units[u].name} at {node}" for i, (node, u) in enumerate(places) if (node, u) in places[:i]]:
            raise FeederError(f"A battery stands twice at a node: {twice[0]}.", "Take one of them out.")
        super().__init__(circuit, network, nodes, [f"bess_{d + 1}" for d in range(len(places))])
        self.units = tuple(units)
        self.unit_of = np.asarray(unit_of, dtype=np.int64)
        phases = np.bincount(self.unit_of, minlength=len(units))
        self.rated_kw = np.array([units[u].power_kw / phases[u] for u in unit_of])
        self.eta_charge = np.array([units[u].eta_charge for u in unit_of])
        self.eta_discharge = np.array([units[u].eta_discharge for u in unit_of])
        self.floor_kwh = np.array([u.soc_min * u.energy_kwh for u in units])
        self.ceiling_kwh = np.array([u.soc_max * u.energy_kwh for u in units])
        self.joint_kwh = self.floor_kwh.copy()
        for element, u, kw in zip(self.elements, unit_of, self.rated_kw.tolist(), strict=True):
            unit = units[u]
            circuit.command(
                f'edit "{element}" kwrated={kw / 1000!r} %kwrated=100000 kva={kw!r} '
                f"kvarmax={kw!r} kvarmaxabs={kw!r} "
                f"kwhrated={unit.energy_kwh} kwhstored={unit.energy_kwh} %reserve={100 * unit.soc_min} "
                f"%effcharge={100 * unit.eta_charge} %effdischarge={100 * unit.eta_discharge} enabled=yes"
            )

    def bind(self) -> None:
        super().bind()
        present = [n.split(".", 1)[1] for n in self.circuit.element_names() if n.startswith("storage.hcsim_")]
        self._slots = np.array([present.index(name) for name in self.names], dtype=np.int64)
        self._present = len(present)

    def rate(self, kva: Floats) -> None:
        """(D,) nameplate of the converters; without it each has the kVA of its kW."""
        for element, plate in zip(self.elements, np.asarray(kva, dtype=float).tolist(), strict=True):
            self.circuit.command(f'edit "{element}" kva={plate!r} kvarmax={plate!r} kvarmaxabs={plate!r}')

    def reset(self, stored_kwh: Floats) -> None:
        """(U,) stored energy before the first step."""
        self.joint_kwh = np.array(stored_kwh, dtype=float)

    def set_power(self, p_kw: Floats, step_h: float, q_kvar: Floats | None = None) -> None:
        """(D,) for the coming step, cut to what the unit's energy and its elements' ratings allow. Reactive power is
        positive into the network and delivered at rest too; the converter's kVA binds, P gives way to Q."""
        p_kw = np.clip(p_kw, -self.rated_kw, self.rated_kw)
        charged = self._per_unit(np.maximum(-p_kw, 0.0) * self.eta_charge * step_h)
        drawn = self._per_unit(np.maximum(p_kw, 0.0) / self.eta_discharge * step_h)
        room = np.maximum(self.ceiling_kwh - self.joint_kwh, 0.0) + drawn
        stock = np.maximum(self.joint_kwh - self.floor_kwh, 0.0) + charged
        allowed = np.where(p_kw < 0, _share(room, charged)[self.unit_of], _share(stock, drawn)[self.unit_of])
        self._write("kwhstored", np.maximum(self.joint_kwh, 0.0)[self.unit_of])  # rounding can go below zero
        self._write("kw", p_kw * allowed)
        if q_kvar is not None:
            self._write("kvar", q_kvar)
        eta = np.where(p_kw < 0, self.eta_charge, 1.0 / self.eta_discharge)
        self._commanded_kwh = self._per_unit(-p_kw * allowed * eta * step_h)

    def finish_step(self, sound: bool = True) -> None:
        """Take the elements' energies, as OpenDSS has integrated them, into the joint one. Where the power flow
        has no answer, the energy moves as commanded, so that the steps after it start where they should."""
        if not sound:
            self.joint_kwh = self.joint_kwh + self._commanded_kwh
            return
        after = self.circuit.read(self.kind, f"^{PREFIX}", "kwhstored")[self._slots]
        self.joint_kwh = self.joint_kwh + self._per_unit(after - self.joint_kwh[self.unit_of])

    def _per_unit(self, values: Floats) -> Floats:
        return np.bincount(self.unit_of, weights=values, minlength=len(self.units)).astype(float)

    def _write(self, name: str, values: Floats) -> None:
        slots = np.zeros(self._present)
        slots[self._slots] = values
        self.circuit.write(self.kind, f"^{PREFIX}", name, slots)


def _share(available: Floats, wanted: Floats) -> Floats:
    return np.minimum(1.0, available / np.where(wanted > 0, wanted, np.inf), where=wanted > 0, out=np.ones_like(wanted))


def bus_and_kv(network: Network, node: str) -> str:
    """Where a single-phase element connects: to ground, or to the other phase where the node floats."""
    index = network.node_index.get(node)
    if index is None:
        near = difflib.get_close_matches(node, network.nodes, n=3, cutoff=0.0)
        raise FeederError(f"{network.name} has no node {node}.", f"The nearest names are {', '.join(near)}.")
    kv = float(network.v_judged_base_v[index]) / 1000.0
    other = network.v_reference[index]
    if other < 0:
        return f'phases=1 conn=wye bus1="{node}" kv={kv!r}'
    return f'phases=1 conn=wye bus1="{node}.{phase_of(network.nodes[other])}" kv={kv!r}'
