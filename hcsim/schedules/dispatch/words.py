"""What a column's header says: quantity, unit, kind of device, and the device, bus or node it is about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from optim.data.network import Network

QUANTITIES: dict[str, tuple[str, ...]] = {
    "p": (
        "p",
        "power",
        "active",
        "active_power",
        "dispatch",
        "setpoint",
        "p_set",
        "pset",
        "kw",
        "mw",
        "output",
        "gen",
        "generation",
        "p_net",
        "net",
        "real_power",
        "p_out",
        "delivered",
        "production",
        "wirkleistung",
    ),
    "q": ("q", "reactive", "reactive_power", "kvar", "mvar", "q_set", "qset", "blindleistung"),
    "charge": ("charge", "charging", "p_charge", "ch", "p_ch", "pch", "charge_power", "p_c", "laden"),
    "discharge": (
        "discharge",
        "discharging",
        "p_discharge",
        "dis",
        "dch",
        "p_dis",
        "p_dch",
        "pdis",
        "pdch",
        "disch",
        "discharge_power",
        "p_d",
        "entladen",
    ),
    "soc": ("soc", "state_of_charge", "stored", "stored_energy", "soe", "e", "energy_stored", "energy_level"),
    "curtailed": ("curtailment", "curtailed", "curt", "p_curt", "p_curtailed", "spilled"),
    "available": ("available", "avail", "p_avail", "p_available", "potential", "p_max", "forecast"),
    "v_pu": ("v", "v_pu", "vm", "vm_pu", "voltage", "voltage_pu", "v_mag", "vmag"),
    "size": (
        "size",
        "capacity",
        "rating",
        "rated",
        "p_nom",
        "p_rated",
        "capacity_kw",
        "rated_kw",
        "size_kw",
        "installed",
    ),
    "energy": ("energy", "capacity_kwh", "energy_kwh", "e_nom", "rated_kwh", "kwh", "mwh"),
}
UNITS: dict[str, tuple[str, float]] = {
    "w": ("power", 1e-3),
    "kw": ("power", 1.0),
    "mw": ("power", 1e3),
    "var": ("reactive", 1e-3),
    "kvar": ("reactive", 1.0),
    "mvar": ("reactive", 1e3),
    "wh": ("energy", 1e-3),
    "kwh": ("energy", 1.0),
    "mwh": ("energy", 1e3),
    "pu": ("pu", 1.0),
    "p.u.": ("pu", 1.0),
    "%": ("pct", 1e-2),
    "pct": ("pct", 1e-2),
    "percent": ("pct", 1e-2),
}
KINDS: dict[str, tuple[str, ...]] = {
    "pv": ("pv", "solar", "photovoltaic", "photovoltaics", "pvsystem", "sgen"),
    "bess": ("bess", "battery", "batteries", "batt", "bat", "storage", "ess", "dess", "es", "storage_unit"),
    "generator": ("generator", "dg", "chp", "diesel", "genset", "gen"),
    "load": ("load", "demand", "consumption"),
}
ROLES: dict[str, tuple[str, ...]] = {
    "device": (
        "name",
        "device",
        "unit",
        "element",
        "resource",
        "asset",
        "id",
        "equipment",
        "component",
        "equipment_id",
        "device_name",
        "unit_name",
        "ids",
    ),
    "bus": ("bus", "node", "location", "site", "bus_id", "bus_name", "busname", "bus1", "connection", "knoten"),
    "phase": ("phase", "phases", "ph", "phase_id"),
    "kind": ("kind", "type", "technology", "tech", "class", "device_type"),
    "variable": ("variable", "quantity", "attribute", "metric", "measurement", "signal", "parameter"),
    "value": ("value", "values", "val"),
}
PHASES = {"a": 1, "b": 2, "c": 3, "1": 1, "2": 2, "3": 3, "l1": 1, "l2": 2, "l3": 3}
_CUT = r"[\s_\-./:|()\[\]]+"
_QUANTITY_OF = {word: quantity for quantity, words in QUANTITIES.items() for word in words}
_KIND_OF = {word: kind for kind, words in KINDS.items() for word in words}


@dataclass(frozen=True)
class Names:
    """What the words of a table may refer to, all in lower case."""

    network: Network
    units: Mapping[str, str]
    """Device of the units table -> its bus."""
    own: Mapping[str, str]
    """Element that stands in the feeder ("pvsystem.roof1") -> its bus."""

    def knows(self, text: str) -> bool:
        return bool(self.device(text) or self.place(text))

    def device(self, text: str) -> str:
        """The device that is meant: of the units table, or the feeder's own, with or without its class; else ""."""
        text = text.lower()
        if text in self.units or text in self.own:
            return text
        if text in self._buses:  # a bus is meant, whatever stands there by the same name
            return ""
        short = [name for name in self.own if name.split(".", 1)[1] == text]
        return short[0] if len(short) == 1 else ""

    def place(self, text: str) -> tuple[str, tuple[int, ...]] | None:
        """Bus and phases that a text names: "83", "83.1", "83.1.2", "83_a"; no phases: all of the bus."""
        text = text.lower().strip()
        if text in self._buses:
            return text, ()
        bus, *rest = text.split(".")
        if bus in self._buses and rest and all(r in PHASES for r in rest):
            return bus, tuple(PHASES[r] for r in rest)
        cut = re.match(r"^(.+?)[\s_\-.:]*(?:phase|ph)?[\s_\-]*(l?[1-3]|[abc])$", text)
        if (
            cut
            and cut[1] in self._buses
            and text != cut[1]
            and re.search(r"[\s_\-.:]|phase|ph|[abc]$|l[1-3]$", text[len(cut[1]) :])
        ):
            return cut[1], (PHASES[cut[2]],)
        return None

    @property
    def _buses(self) -> frozenset[str]:
        return _bus_names(self.network)


_bus_cache: dict[int, tuple[Network, frozenset[str]]] = {}


def _bus_names(network: Network) -> frozenset[str]:
    known = _bus_cache.get(id(network))
    if known is None or known[0] is not network:
        known = _bus_cache[id(network)] = (network, frozenset(network.buses))
    return known[1]


@dataclass(frozen=True)
class Heading:
    """A header taken apart."""

    text: str
    """What is left: device, bus or node; "" where nothing is."""
    quantity: str = ""
    unit: str = ""
    kind: str = ""


def word(text: str) -> str:
    return re.sub(r"[\s\-./:()\[\]]+", "_", text.strip().lower()).strip("_")


def role_of(header: str) -> str:
    """Role of a column of a long table ("device", "bus", "phase", "kind", "variable", "value"); "" for a quantity."""
    name = word(header)
    return next((role for role, words in ROLES.items() if name in words), "")


def quantity_of(header: str) -> Heading | None:
    """Quantity and unit of a column of a long table; None where the header says neither."""
    whole = word(header)
    for heading in _taken_apart(Heading(header.strip())):
        if not heading.text and (heading.quantity or heading.unit):
            return _finished(heading)
    if whole in _QUANTITY_OF:
        return _finished(Heading("", _QUANTITY_OF[whole]))
    return None


def about(header: str, names: Names) -> Heading | None:
    """What a column of a wide table is about: the least taken apart reading whose rest is a known name."""
    for heading in _taken_apart(Heading(header.strip())):
        if heading.text and names.knows(heading.text):
            return _finished(heading)
    glued = re.match(r"^([pqvPQV])(\d.*)$", header.strip())
    if glued and names.knows(glued[2]):
        return Heading(glued[2], {"v": "v_pu"}.get(glued[1].lower(), glued[1].lower()))
    return None


def stripped(header: str) -> Heading:
    """A header whose rest nobody knows, taken apart as far as it goes: for messages."""
    last = Heading(header.strip())
    for heading in _taken_apart(last):
        if heading.text:
            last = heading
    return last


def _taken_apart(start: Heading) -> Iterator[Heading]:
    """`start` and everything that can be had by taking words off its ends, fewest first."""
    queue, seen = [start], {start}
    while queue:
        now = queue.pop(0)
        yield now
        for following in _one_less(now):
            if following not in seen:
                seen.add(following)
                queue.append(following)


def _one_less(now: Heading) -> Iterator[Heading]:
    for rest, token in _ends(now.text):
        if token in UNITS and not now.unit:
            yield replace(now, text=rest, unit=token)
        if token in _QUANTITY_OF and not now.quantity:
            yield replace(now, text=rest, quantity=_QUANTITY_OF[token])
        if token in _KIND_OF and not now.kind:
            yield replace(now, text=rest, kind=_KIND_OF[token])


def _ends(text: str) -> Iterator[tuple[str, str]]:
    """(rest, word) for one, two and three words off the end and off the beginning."""
    bare = text.strip()
    bare = re.sub(r"^[\s_\-./:|()\[\]]+|[\s_\-./:|)\](\[]+$", "", bare)
    pieces = [(m.start(), m.end()) for m in re.finditer(_CUT, bare)]
    whole = word(bare)
    yield "", whole if whole else bare.lower()
    for k in range(1, min(3, len(pieces)) + 1):
        begin, end = pieces[-k]
        yield bare[:begin], word(bare[end:]) or bare[end:].lower()
        begin, end = pieces[k - 1]
        yield bare[end:], word(bare[:begin])
    if bare.endswith("%"):
        yield bare[:-1], "%"


def _finished(heading: Heading) -> Heading:
    """The quantity that a unit alone stands for."""
    if heading.quantity in ("p", "") and heading.unit:
        kind = UNITS[heading.unit][0]
        if kind == "reactive":
            return replace(heading, quantity="q")
        if kind == "energy" and not heading.quantity:
            return replace(heading, quantity="soc" if heading.text else "energy")
        if not heading.quantity:
            return replace(heading, quantity="p")
    if heading.quantity == "energy" and heading.text and not heading.unit:
        return heading
    return heading if heading.quantity else replace(heading, quantity="p")
