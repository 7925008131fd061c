"""The feeder's own PVSystems, Storages, Generators and loads, as devices that a dispatch may name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hcsim.opendss.circuit import Circuit
from hcsim.schedules.dispatch.units import Sizes, Unit
from optim.data.network import Network

COMMANDED = {"PVSystem": "pv", "Storage": "bess", "Generator": "generator", "Load": "load"}


def own_units(circuit: Circuit, network: Network) -> dict[str, Unit]:
    """Full name in lower case ("storage.bess1") -> what its definition says; enabled elements at live buses only."""
    found: dict[str, Unit] = {}
    kinds = [kind for kind in COMMANDED if kind in circuit.classes()]
    for element in circuit.elements(kinds):
        if not element.enabled or not element.buses:
            continue
        bus, *rest = element.buses[0].split(".")
        phases = tuple(int(p) for p in rest[: element.phases] if p in ("1", "2", "3")) or tuple(
            range(1, element.phases + 1)
        )
        live = [int(network.nodes[n].rsplit(".", 1)[1]) for n in network.nodes_of(bus)]
        if not live:
            continue
        name = element.name.lower()
        found[name] = Unit(
            name,
            bus,
            tuple(p for p in phases if p in live),
            COMMANDED[element.kind],
            **_sizes(element.kind, element.properties),
            element=name,
        )
    return found


def _sizes(kind: str, properties: Mapping[str, Any]) -> Sizes:
    """kW, kVA, kWh, efficiencies and reserve as the element states them."""
    low = {str(k).lower(): v for k, v in properties.items()}

    def number(key: str) -> float:
        value = low.get(key)
        return float(value) if isinstance(value, int | float) else float("nan")

    if kind == "PVSystem":
        return {"kw": number("pmpp"), "kva": number("kva")}
    if kind == "Storage":
        return {
            "kw": number("kwrated"),
            "kva": number("kva"),
            "kwh": number("kwhrated"),
            "eta_charge": number("%effcharge") / 100.0,
            "eta_discharge": number("%effdischarge") / 100.0,
            "soc_min": number("%reserve") / 100.0,
            "soc_max": 1.0,
            "soc_start": number("%stored") / 100.0,
        }
    if kind == "Generator":
        return {"kw": number("kw"), "kva": number("kva")}
    return {"kw": number("kw")}
