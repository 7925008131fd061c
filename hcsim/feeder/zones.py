"""The zone of an EnergyMeter: one feeder of several behind one substation, and where it is fed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hcsim.errors import FeederError
from hcsim.opendss.circuit import Circuit
from hcsim.opendss.elements import Element
from hcsim.util.suggest import did_you_mean
from optim.data.network import Head, Network


@dataclass(frozen=True)
class Zone:
    meter: str
    head: Head
    nodes: frozenset[int]
    branches: frozenset[str]
    """Full names in lower case."""


def zone_of(circuit: Circuit, elements: Sequence[Element], order: Mapping[str, int], meter: str) -> Zone:
    """What OpenDSS counts to the zone of an EnergyMeter ("m1" or "EnergyMeter.m1").

    `order` is the rank of buses from the source: a meter at the far end of its element sees power leave it.
    Raises FeederError where there is no such meter, or its zone holds nothing.
    """
    own = meter.lower().removeprefix("energymeter.")
    meters = {e.name.split(".", 1)[1].lower(): e for e in elements if e.kind == "EnergyMeter" and e.enabled}
    if own not in meters:
        raise FeederError(
            f"{circuit.name} has no EnergyMeter {meter!r} whose zone could be studied.",
            f"{did_you_mean(own, list(meters))} Its meters are {', '.join(meters) or 'none'}.".strip(),
        )
    facts = meters[own].properties
    by_name = {e.name.lower(): e for e in elements}
    metered = by_name.get(str(facts["element"]).lower())
    inside = {name.lower() for name in circuit.zone_branches(own)}
    if metered is None or not metered.enabled or not inside:
        raise FeederError(f"{circuit.name}: the zone of EnergyMeter {meter} is empty.", "Look at its element.")
    names = circuit.node_names()
    terminal = int(facts.get("terminal") or 1) - 1
    nodes = tuple(int(n) for n in metered.node_ref[terminal][: metered.phases] if n >= 0)
    ranks = [order[bus.split(".", 1)[0]] for bus in metered.buses]
    sign = 1.0 if ranks[terminal] == min(ranks) else -1.0
    head = Head(metered.name, terminal, nodes, tuple(names[n] for n in nodes), sign)
    touched = {int(n) for name in inside for n in by_name[name].node_ref.ravel() if n >= 0}
    # the near side of the head belongs to what feeds the zone
    feeding = metered.node_ref[ranks.index(min(ranks))]
    others = {int(n) for name in inside - {metered.name.lower()} for n in by_name[name].node_ref.ravel() if n >= 0}
    near = {int(n) for n in feeding} - others
    return Zone(own, head, frozenset(touched - near), frozenset(inside))


def in_zone(network: Network, zone: Zone) -> Network:
    """The same network with nothing judged outside of the zone, and power entering at its head."""
    outside = np.ones(len(network.nodes), dtype=bool)
    outside[list(zone.nodes)] = False
    return replace(
        network,
        v_judged=network.v_judged & ~outside,
        branches=tuple(
            b if b.kind == "source" or b.name.lower() in zone.branches else replace(b, i_rated_a=np.inf)
            for b in network.branches
        ),
        source_nodes=zone.head.nodes,
        zone=zone.meter,
        zone_heads=(zone.head,),
        outside=outside,
    )
