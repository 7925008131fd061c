"""A compiled circuit -> `Network` and `Ledger`.

Every element of the circuit is read through the engine and stands in the ledger exactly once; nothing is dropped in
silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hcsim.errors import FeederError
from hcsim.feeder.branches import Delivery, branch, delivery, rating_a, shunt
from hcsim.feeder.conductors import judged_conductors
from hcsim.feeder.ledger import Ledger, LedgerRow, Verdict
from hcsim.feeder.loads import Leg, collect, injection_legs, load_legs
from hcsim.feeder.ratings import StatedRatings, made_up
from hcsim.feeder.topology import bus_order, live_nodes
from hcsim.feeder.zones import in_zone, zone_of
from hcsim.opendss.circuit import Circuit
from hcsim.opendss.elements import CONTROL_AND_METER_CLASSES, Element
from optim.data.network import Branch, BranchKind, Network, Regulator, Shunt
from optim.data.node import bus_of

Bools = NDArray[np.bool_]

_DELIVERY = ("Line", "Transformer", "AutoTrans", "Capacitor", "Reactor", "Fault", "GICTransformer")
_HELD_AT_BASE = ("Generator", "PVSystem", "Storage", "IndMach012", "Isource")
_SWITCHING = ("Fuse", "Recloser", "Relay", "SwtControl")
_METERS = ("Monitor", "EnergyMeter", "Sensor")
_NO_RATING = "no rating stated"
_SERVED_KVA = 1e-3
"""A load that takes more than this is fed by something."""


@dataclass
class _Reading:
    """What accumulates while the circuit is read."""

    circuit: Circuit
    names: tuple[str, ...]
    v_v: NDArray[np.complex128]
    v_base_v: NDArray[np.float64]
    elements: tuple[Element, ...]
    stated: StatedRatings
    parts: dict[str, Delivery] = field(default_factory=dict)
    branches: list[Branch] = field(default_factory=list)
    shunts: list[Shunt] = field(default_factory=list)
    legs: list[Leg] = field(default_factory=list)
    regulators: list[Regulator] = field(default_factory=list)
    rows: dict[str, LedgerRow] = field(default_factory=dict)

    def enter(self, element: Element, verdict: Verdict, reason: str = "", **worth: object) -> None:
        if element.name in self.rows and element.kind not in CONTROL_AND_METER_CLASSES:
            raise FeederError(f"{element.name} is defined twice.", "Rename one of them.")
        self.rows[element.name] = LedgerRow(element.name, element.kind, verdict, reason, **worth)  # type: ignore[arg-type]


def read_network(circuit: Circuit | Path | str, zone: str = "") -> tuple[Network, Ledger]:
    """The circuit at its present taps, switch positions and (nominal) load, as last solved.

    Parameters
    ----------
    circuit : Circuit or path
        A compiled circuit; or a master .dss file, which is compiled and solved with the taps of its files.
    zone : str, default ""
        An EnergyMeter: only what lies in its zone is judged, and power enters where the meter is.

    Returns
    -------
    network : Network
        N node-phases, branches, loads, shunts and regulators.
    ledger : Ledger
        How every element was read. What the network cannot hold is `refused`; whether to go on without it is the
        caller's to decide.

    Raises
    ------
    FeederError
        No source, no such meter, a live bus without voltage base; of a path also what OpenDSS says of the files.
    ConvergenceError
        The feeder of a path cannot be solved.

    Examples
    --------
    >>> import hcsim
    >>> network, ledger = hcsim.read_network(hcsim.load_case("ieee123").master)
    >>> network.nodes[:3]
    ('150.1', '150.2', '150.3')
    """
    if not isinstance(circuit, Circuit):
        circuit = Circuit.compile(circuit)
        circuit.solve(controls=False)
    reading = _begin(circuit)
    live = live_nodes(reading.names, reading.elements, reading.parts)
    order = bus_order(reading.names, reading.elements, reading.parts)
    _read_sources(reading)
    _read_delivery(reading, live, order)
    _read_injections(reading, live)
    _read_controls(reading)
    _check_bases(reading, live)
    found = judged_conductors(
        reading.names, reading.v_v, reading.v_base_v, reading.elements, reading.parts, reading.legs, live
    )
    network = Network(
        name=circuit.name,
        nodes=reading.names,
        v_base_v=reading.v_base_v,
        v_reference=found.reference,
        v_judged=found.judged,
        v_judged_ratio=found.ratio,
        v_solved_v=reading.v_v,
        source_nodes=tuple(n for b in reading.branches if b.kind == "source" for n in b.to_nodes),
        branches=tuple(reading.branches),
        loads=collect(reading.legs),
        shunts=tuple(reading.shunts),
        regulators=tuple(reading.regulators),
        coordinates=circuit.coordinates(),
        source_sha256=circuit.source_sha256,
    )
    ledger = Ledger(tuple(reading.rows[name] for name in dict.fromkeys(e.name for e in reading.elements)), found.notes)
    return (in_zone(network, zone_of(circuit, reading.elements, order, zone)), ledger) if zone else (network, ledger)


def _begin(circuit: Circuit) -> _Reading:
    names = circuit.node_names()
    base = circuit.bus_base_v()
    reading = _Reading(
        circuit,
        names,
        circuit.voltages_v(),
        np.array([base[bus_of(name)] for name in names]),
        tuple(circuit.elements()),
        StatedRatings(circuit),
    )
    for element in reading.elements:
        if element.enabled and element.kind in _DELIVERY:
            reading.parts[element.name] = delivery(element, names)
    return reading


# -- elements ----------------------------------------------------------------------------------------


def _read_sources(reading: _Reading) -> None:
    layout, currents = reading.circuit.layout("Vsource"), reading.circuit.currents_a("Vsource")
    for element in reading.elements:
        if element.kind != "Vsource":
            continue
        if not element.enabled:
            reading.enter(element, "passive", "disabled")
            continue
        nodes = [int(n) for n in element.node_ref[0]]
        if any(n >= 0 for n in element.node_ref[1:].ravel()) or -1 in nodes:
            reading.enter(element, "refused", "voltage source between two buses; only sources to ground are read")
            continue
        k = len(nodes)
        z = np.linalg.inv(element.y_prim_s[:k, :k]).astype(complex)
        ideal = reading.v_v[nodes] - z @ currents[layout.of(element.name)][:k]
        none = np.zeros((0, 0), dtype=complex)
        zero = np.zeros((k, k), dtype=complex)
        reading.branches.append(Branch(element.name, "source", (), tuple(nodes), ideal[:, None], z, none, zero, np.inf))
        reading.enter(element, "modelled", "ideal voltage behind its short-circuit impedance")
    if not reading.branches:
        raise FeederError(f"{reading.circuit.name} has no enabled Vsource to ground.")


def _read_delivery(reading: _Reading, live: Bools, order: dict[str, int]) -> None:
    controls = [e for e in reading.elements if e.kind == "RegControl" and e.enabled]
    regulated = {str(e.properties["transformer"]).lower() for e in controls}
    found: list[tuple[tuple[int, int], Branch]] = []
    for element in reading.elements:
        if element.kind not in _DELIVERY:
            continue
        part = reading.parts.get(element.name)
        if part is None:
            reading.enter(element, "passive", "disabled", **_worth(element, "", open_=True))
            continue
        nodes = list(part.nodes)
        if not part.nodes or not np.any(live[nodes]):
            reading.enter(element, "passive", "no path from the source", **_worth(element, "", open_=True))
        elif len(part.buses) > 1 and not part.joins:
            reading.shunts.append(shunt(part, reading.v_base_v))
            reading.enter(element, "passive", "open", **_worth(element, "", open_=True))
        elif len(part.buses) == 1:
            reading.shunts.append(read_shunt := shunt(part, reading.v_base_v))
            reading.enter(element, "modelled", _shunt_reason(part), **_worth(element, "", kvar=-read_shunt.kvar))
        else:
            from_bus = min(part.buses, key=order.__getitem__)
            rated = reading.stated.states(element)
            read = branch(part, from_bus, reading.names, _branch_kind(element, regulated), rated=rated)
            found.append(((order[from_bus], min(order[b] for b in part.buses if b != from_bus)), read))
            worth = _worth(element, from_bus)
            invented = not rated and "rating" in worth
            why = _branch_reason(element, read, part, invented)
            reading.enter(element, "modelled", why, **worth, rating_made_up=invented)
    reading.branches += [read for _, read in sorted(found, key=lambda pair: pair[0])]


def _branch_kind(element: Element, regulated: set[str]) -> BranchKind:
    if element.kind in ("Transformer", "AutoTrans", "GICTransformer"):
        return "regulator" if element.name.split(".", 1)[1] in regulated else "transformer"
    if element.kind == "Line":
        return "switch" if element.properties.get("switch") else "line"
    return "capacitor" if element.kind == "Capacitor" else "reactor"


def _branch_reason(element: Element, read: Branch, part: Delivery, invented: bool) -> str:
    said = []
    if len(read.from_nodes) + len(read.to_nodes) < len(part.nodes):
        said.append("some conductors open")
    if not np.isfinite(read.i_rated_a):
        said.append(f"no rating stated: OpenDSS's {made_up(element.kind)} limits nothing" if invented else _NO_RATING)
    return "; ".join(said)


def _shunt_reason(part: Delivery) -> str:
    if part.element.kind == "Capacitor":
        states = part.element.properties.get("states") or []
        return "switched off" if states and not any(states) else "constant admittance"
    return "between nodes of one bus, as admittance"


def _worth(element: Element, from_bus: str, *, kvar: float = 0.0, open_: bool = False) -> dict[str, object]:
    """What a delivery element is worth: its rating, and a shunt its kvar."""
    facts = element.properties
    if element.kind in ("Transformer", "AutoTrans"):
        return {"rating": float((facts.get("kvas") or facts["kva"])[0]), "rating_unit": "kVA", "kvar": kvar}
    rated = rating_a(element, from_bus)
    if not np.isfinite(rated):
        return {"kvar": kvar}
    return {"rating": rated, "rating_unit": "A", "kvar": 0.0 if open_ else kvar}


def _read_injections(reading: _Reading, live: Bools) -> None:
    """Loads, and everything else that injects current."""
    done = {"Vsource", *_DELIVERY, *CONTROL_AND_METER_CLASSES}
    held = {
        kind: (reading.circuit.layout(kind), reading.circuit.powers_kva(kind))
        for kind in reading.circuit.classes()
        if kind not in done
    }
    for element in reading.elements:
        if element.kind in done:
            continue
        facts = element.properties
        if not element.enabled:
            reading.enter(element, "passive", "disabled")
            continue
        layout, powers = held[element.kind]
        now = powers[layout.of(element.name)]
        kw, kvar = float(now.real.sum()), float(now.imag.sum())
        touched = [int(n) for n in element.node_ref.ravel() if n >= 0]
        if element.kind == "Load":
            legs, why = load_legs(element, reading.v_v)
            alive = [leg for leg in legs if all(n < 0 or live[n] for n in (leg.plus, leg.minus))]
            if not alive:
                served = abs(complex(kw, kvar)) > _SERVED_KVA
                why = "fed through what the network cannot hold" if served else "no path from the source"
                reading.enter(
                    element, "refused" if served else "passive", why, kw=float(facts["kw"]), kvar=float(facts["kvar"])
                )
                continue
            if len(alive) < len(legs):
                why = "legs on dead phases left out" + (f"; {why}" if why else "")
            reading.legs += alive
            reading.enter(
                element,
                "approximated" if why else "modelled",
                why,
                kw=sum(leg.p_kw for leg in legs),
                kvar=sum(leg.q_kvar for leg in legs),
            )
        elif not any(live[n] for n in touched):
            reading.enter(element, "passive", "no path from the source")
        elif element.kind in _HELD_AT_BASE:
            reading.legs += injection_legs(element, now, reading.v_v)
            reading.enter(
                element, "approximated", "its power of each hour as the bare feeder runs it", kw=kw, kvar=kvar
            )
        elif not np.any(np.abs(now) > 1e-6):
            reading.enter(element, "passive", "carries no power at the base case")
        else:
            why = f"class {element.kind} has no place in the network"
            reading.enter(element, "refused", why, kw=kw, kvar=kvar)


def _read_controls(reading: _Reading) -> None:
    taps = reading.circuit.taps()
    handlers: dict[str, Callable[[Element], tuple[Verdict, str]]] = {
        "RegControl": lambda e: _regulator(reading, e, taps),
        "CapControl": lambda e: ("approximated", f"holds {e.properties.get('capacitor')} in its present state"),
    }
    for element in reading.elements:
        if element.name in reading.rows or element.kind not in CONTROL_AND_METER_CLASSES:
            continue
        if not element.enabled:
            reading.enter(element, "passive", "disabled")
        elif element.kind in handlers:
            reading.enter(element, *handlers[element.kind](element))
        elif element.kind in _SWITCHING:
            reading.enter(element, "passive", "a switch in its present position; does not act")
        elif element.kind in _METERS:
            reading.enter(element, "passive", "meter")
        else:
            reading.enter(element, "approximated", "does not act: what it controls is held at its base case")


def _regulator(reading: _Reading, element: Element, taps: dict[str, int]) -> tuple[Verdict, str]:
    facts = element.properties
    transformer = f"Transformer.{str(facts['transformer']).lower()}"
    controlled = next((e for e in reading.elements if e.name == transformer), None)
    if controlled is None or not controlled.enabled:
        return "passive", f"its transformer {transformer} is not there"
    winding = int(facts.get("tapwinding") or facts["winding"])
    low, high = (float(controlled.properties[name][winding - 1]) for name in ("mintap", "maxtap"))
    steps = int(controlled.properties["numtaps"][winding - 1])
    tap = taps[element.name.split(".", 1)[1]]
    ratio = float(controlled.properties["taps"][winding - 1])
    reading.regulators.append(
        Regulator(element.name, transformer, winding, tap, ratio, -(steps // 2), steps - steps // 2)
    )
    return "modelled", f"held at tap {tap:+d} (ratio {ratio:.5f}, {low:g} to {high:g})"


# -- nodes -------------------------------------------------------------------------------------------


def _check_bases(reading: _Reading, live: Bools) -> None:
    bare = np.flatnonzero(live & (reading.v_base_v <= 0))
    without = sorted({bus_of(reading.names[n]) for n in bare})
    if without:
        raise FeederError(
            f"{reading.circuit.name}: no voltage base at {len(without)} buses ({', '.join(without[:5])}).",
            "Add `set voltagebases=[...]` and `calcvoltagebases` to the master file.",
        )
