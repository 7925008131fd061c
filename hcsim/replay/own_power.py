"""What the feeder's own machines, batteries, PV and sources do at a solved step, as the linear models want it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hcsim.devices.fleets import PREFIX
from hcsim.feeder.loads import injection_legs
from hcsim.opendss.circuit import Circuit
from hcsim.opendss.series.shapes import own_shapes
from optim.data.linear_model import Floats
from optim.data.network import Complexes, Network
from optim.linearize.response import OperatingPoint

OWN = ("generator", "pvsystem", "storage", "indmach012", "isource", "windgen")


class OwnPower:
    """Reads a circuit whose network was read from it."""

    def __init__(self, circuit: Circuit, network: Network) -> None:
        self._circuit = circuit
        at: dict[str, list[int]] = {}
        for i, name in enumerate(network.loads.names):
            if name.split(".", 1)[0].lower() in OWN:
                at.setdefault(name.lower(), []).append(i)
        kinds = [k for k in circuit.classes() if k.lower() in OWN]
        self._elements = [(e, at[e.name.lower()]) for e in circuit.elements(kinds) if e.name.lower() in at]
        self._legs = len(network.loads.names)
        self._sources = [b for b in network.branches if b.kind == "source"]
        self.any = bool(self._elements) or has_own_power(circuit)

    def kva(self, v_v: Complexes) -> Complexes:
        """(L,) consumption of the legs of own devices at the present solution, zero at loads."""
        found = np.zeros(self._legs, dtype=complex)
        layouts = {e.kind: self._circuit.layout(e.kind) for e, _ in self._elements}
        powers = {kind: self._circuit.powers_kva(kind) for kind in layouts}
        for element, legs in self._elements:
            now = powers[element.kind][layouts[element.kind].of(element.name)]
            for i, leg in zip(legs, injection_legs(element, now, v_v), strict=True):
                found[i] = leg.p_kw + 1j * leg.q_kvar
        return found

    def ideal_v(self, v_v: Complexes) -> Complexes:
        """(S,) ideal voltages of all sources at the present solution, in the network's order."""
        layout, currents = self._circuit.layout("Vsource"), self._circuit.currents_a("Vsource")
        parts = []
        for source in self._sources:
            nodes = list(source.to_nodes)
            start = layout.of(source.name).start
            parts.append(v_v[nodes] - source.z_ohm @ currents[start : start + len(nodes)])
        return np.concatenate(parts)


def has_own_power(circuit: Circuit) -> bool:
    """Whether something besides loads, taps and banks may differ from hour to hour."""
    shaped = any(own.of(of_year=True) for name, own in own_shapes(circuit).items() if name.startswith("vsource."))
    return shaped or any(not name.split(".", 1)[1].startswith(PREFIX) for name in _machines(circuit))


def own_power(network: Network, points: Sequence[OperatingPoint]) -> tuple[Complexes, Floats]:
    """(T, L) kVA of own devices, and (T,) the first source's ideal voltage over that at which it was read."""
    first = network.branches[0]
    read = np.abs(first.transfer[:, 0]).mean()
    legs = len(network.loads.names)
    kva = [np.zeros(legs, dtype=complex) if p.own_kva is None else p.own_kva for p in points]
    now = [read if p.ideal_v is None else np.abs(p.ideal_v[: len(first.to_nodes)]).mean() for p in points]
    return np.array(kva), np.array(now) / read


def _machines(circuit: Circuit) -> list[str]:
    return [name for name in circuit.element_names() if name.split(".", 1)[0] in OWN]
