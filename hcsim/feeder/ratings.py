"""Which normal ratings the feeder's files state. OpenDSS makes one up for every element that has none: 400 A for a
line, 1.1 times 1000 kVA for a transformer, the current of 100 kvar for a reactor. Those limit nothing here."""

from __future__ import annotations

from hcsim.opendss.circuit import Circuit
from hcsim.opendss.elements import Element

_KVA = {"kva", "kvas", "normhkva"}
_MADE_UP = {"Line": "400 A", "Transformer": "1000 kVA", "AutoTrans": "1000 kVA"}


class StatedRatings:
    """Asked once per circuit."""

    def __init__(self, circuit: Circuit) -> None:
        self._own: dict[str, dict[str, tuple[str, ...]]] = {
            kind: circuit.stated(kind)
            for kind in ("Line", "Transformer", "AutoTrans", "Reactor", "Capacitor")
            if kind in circuit.classes()
        }
        codes, wires = (circuit.stated(kind) for kind in ("LineCode", "WireData"))
        self._codes = {name for name, keys in codes.items() if "normamps" in keys}
        self._wired = bool(wires) or bool(circuit.stated("CNData")) or bool(circuit.stated("TSData"))
        self._transformers = {n for n, keys in circuit.stated("XfmrCode").items() if _KVA.intersection(keys)}

    def states(self, element: Element) -> bool:
        """Whether the files state the element's normal rating, itself, by its code or by its wires."""
        keys = self._own.get(element.kind, {}).get(element.name.split(".", 1)[1].lower(), ())
        facts = element.properties
        if element.kind in ("Transformer", "AutoTrans"):
            return bool(_KVA.intersection(keys)) or _code(facts.get("xfmrcode")) in self._transformers
        if "normamps" not in keys:
            return element.kind in ("Reactor", "Capacitor") and "kvar" in keys
        if element.kind != "Line" or "linecode" not in keys:
            return True
        if _code(facts.get("linecode")) in self._codes:
            return True
        # the code wrote its made-up 400 and 600 A into the line, in this order: another order or value is the line's
        last = keys.index("normamps") > keys.index("emergamps") if "emergamps" in keys else True
        return last or (facts.get("normamps"), facts.get("emergamps")) != (400.0, 600.0)


def made_up(kind: str) -> str:
    """The rating that OpenDSS gives to elements of a class that state none, in words."""
    return _MADE_UP.get(kind, "its default kvar")


def _code(name: object) -> str:
    return str(name or "").split(".")[-1].lower()
