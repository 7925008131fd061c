"""LoadShapes and the elements that follow them: which element has which, and what a shape says at an hour.

Files, arrays and units are read by OpenDSS itself; here its numbers are only looked up, by the rule of its
`GetMultAtHour` (dss_capi, src/General/LoadShape.pas): the nearest point of an equally spaced shape, which starts over
where it ends and whose first point is that of hour `interval`; between the two neighbours of a shape with an hour
array. Whether the rule is kept is shown by the time gate (`hcsim.workbench.gates`), which runs OpenDSS alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from hcsim.errors import FeederError

if TYPE_CHECKING:
    from hcsim.opendss.circuit import Circuit

Floats = NDArray[np.float64]
SHAPED = ("Load", "PVSystem", "Storage", "Generator", "WindGen", "Vsource", "Isource")
"""Classes whose elements may have a curve over time."""
OURS = "hcsim_"
"""What was added to the feeder has no shape of its own."""
CLOSE_H = 1e-5
"""Nearer than this to a point of an hour array, OpenDSS takes the point."""


@dataclass(frozen=True)
class OwnShape:
    """Which LoadShapes an element names, "" where it names none."""

    daily: str = ""
    yearly: str = ""
    duty: str = ""
    t_daily: str = ""
    """Temperature of a PVSystem."""
    t_yearly: str = ""
    bus: str = ""
    kw: float = 0.0
    """Of a Load: what a shape of multipliers multiplies, before LoadMult."""
    kvar: float = 0.0
    status: str = ""
    """Of a Load: "variable", "fixed" (no shape moves it) or "exempt" (LoadMult does not)."""

    def of(self, *, of_year: bool) -> str:
        """The one that says what the element does on this kind of time axis; "" where it has none."""
        first, second = (self.yearly, self.daily) if of_year else (self.daily, self.yearly)
        return first or second or self.duty


@dataclass(frozen=True)
class LoadShape:
    """A shape as OpenDSS holds it."""

    name: str
    interval_h: float
    """0: `hours` says when."""
    hours: Floats
    p: Floats
    q: Floats | None
    actual: bool
    """kW and kvar instead of multipliers."""
    edge: bool = False
    """The point before the hour instead of the nearest (`interpolation=edge`)."""

    @property
    def span_h(self) -> float:
        """Hours after which it starts over."""
        if not len(self.p):
            return 0.0
        return len(self.p) * self.interval_h if self.interval_h > 0 else float(self.hours[-1])

    def at(self, hour: Floats) -> tuple[Floats, Floats]:
        """(T,) kW and kvar, or multipliers of them, at OpenDSS's clock (T,) in hours."""
        if not len(self.p):
            return np.ones_like(hour), np.ones_like(hour)
        p = self._look_up(self.p, hour)
        if self.q is not None:
            return p, self._look_up(self.q, hour)
        return p, np.zeros_like(p) if self.actual else p

    def _look_up(self, values: Floats, hour: Floats) -> Floats:
        if len(values) == 1:
            return np.full(len(hour), values[0])
        if self.interval_h > 0:
            steps = hour / self.interval_h
            at = (np.floor(steps) if self.edge else np.round(steps)).astype(np.int64)
            at = np.where(at > len(values), at % len(values), at)
            return np.asarray(values[np.where(at == 0, len(values), at) - 1])
        end = float(self.hours[-1])
        hour = np.where(hour > end, hour - np.trunc(hour / end) * end, hour)
        near = np.minimum(np.searchsorted(self.hours, hour - CLOSE_H), len(values) - 1)
        close = np.abs(self.hours[near] - hour) < CLOSE_H
        return np.where(close, values[near], np.interp(hour, self.hours, values))


_NAMING = ("daily", "yearly", "duty", "tdaily", "tyearly")
_own: WeakKeyDictionary[Circuit, dict[str, OwnShape]] = WeakKeyDictionary()


def own_shapes(circuit: Circuit) -> dict[str, OwnShape]:
    """Full name in lower case ("load.home") -> the shapes that the feeder's files give it. To be asked first before
    any run, as a run may give elements other shapes; remembered from then on."""
    if circuit not in _own:
        found = {}
        for kind in (k for k in SHAPED if k in circuit.classes()):
            for name, facts in circuit.facts(kind).items():
                if not name.split(".", 1)[1].startswith(OURS):
                    found[name] = _own_shape(facts, kind == "Load")
        _own[circuit] = found
    return _own[circuit]


def _own_shape(facts: Mapping[str, Any], load: bool) -> OwnShape:
    daily, yearly, duty, t_daily, t_yearly = (str(facts.get(word) or "").lower() for word in _NAMING)
    bus = str(facts["bus1"]).lower().split(".", 1)[0]
    if not load:
        return OwnShape(daily, yearly, duty, t_daily, t_yearly, bus)
    kw, kvar, status = float(facts["kw"]), float(facts["kvar"]), str(facts["status"]).lower()
    return OwnShape(daily, yearly, duty, bus=bus, kw=kw, kvar=kvar, status=status)


_read: WeakKeyDictionary[Circuit, dict[str, LoadShape]] = WeakKeyDictionary()


def load_shape(circuit: Circuit, name: str) -> LoadShape:
    """A shape of the feeder's files. Raises FeederError for one that OpenDSS does not hold in memory."""
    known = _read.setdefault(circuit, {})
    if name.lower() not in known:
        known[name.lower()] = _shape(circuit, name.lower())
    return known[name.lower()]


def write_shape(circuit: Circuit, name: str, step_h: float, p: Floats, q: Floats | None = None) -> None:
    """A LoadShape of multipliers of ours, made or replaced: (T,) of kW, and of kvar where they go another way."""
    circuit.define("LoadShape", name, f"npts=2 sinterval={step_h * 3600.0!r} useactual=no mult=[0 0] qmult=[0 0]")

    def fill() -> None:
        shapes = circuit.load_shapes()
        shapes.Name = name
        shapes.Npts = len(p)
        shapes.Pmult = np.ascontiguousarray(p, dtype=float)
        shapes.Qmult = np.ascontiguousarray(p if q is None else q, dtype=float)

    fill()
    circuit.remember(f"values of LoadShape.{name}", fill)


def _shape(circuit: Circuit, name: str) -> LoadShape:
    api = circuit.load_shapes()
    api.Name = name
    points, p, q = int(api.Npts), np.array(api.Pmult, dtype=float), np.array(api.Qmult, dtype=float)
    hours, interval_h, actual = np.array(api.TimeArray, dtype=float), float(api.HrInterval), bool(api.UseActual)
    if points and len(p) != points:
        raise FeederError(
            f"LoadShape {name} keeps its values in a file (memorymapping), where they cannot be looked up.",
            "Take memorymapping=yes out of its definition.",
        )
    stated = circuit.command(f'? "LoadShape.{name}.qmult"').strip("[]() ")
    edge = circuit.command(f'? "LoadShape.{name}.interpolation"').lower() == "edge"
    return LoadShape(name, interval_h, hours, p[:points], q if stated and len(q) == points else None, actual, edge)
