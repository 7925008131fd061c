"""The feeder's own PV, batteries, generators and clocks, made ready for a time axis.

OpenDSS runs them; here they only get what its daily mode does not give by itself: an element with a `yearly` or
`duty` curve alone follows that, PV without any curve follows the study's sun instead of standing at full sun at
midnight, and what acts by the clock acts at the hour of the label. OpenDSS's clock stands at the end of a step: a
CapControl told to close at 7 o'clock closes in the step from 6 to 7. Its settings are moved by one step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from hcsim.devices.fleets import PREFIX
from hcsim.opendss.circuit import Circuit
from hcsim.opendss.series.shapes import OwnShape, own_shapes, write_shape
from optim.data.profiles import Profiles

SUN = f"{PREFIX}sun_of_own"
DAY_H = 24.0
SOON_H = 1e-9
"""OpenDSS takes a trigger at hour 0 for none."""
DISPATCHED = ("external", "follow")
"""Storage in these modes has no trigger of its own."""


@dataclass(frozen=True)
class Clock:
    """A setting in hours of the day."""

    element: str
    key: str
    hour: float
    zero_is_none: bool = False

    def moved(self, step_h: float) -> float:
        later = (self.hour + step_h) % DAY_H
        return max(later, SOON_H) if self.zero_is_none else later


@dataclass
class _Known:
    clocks: tuple[Clock, ...]
    told: dict[str, str] = field(default_factory=dict)


_known: WeakKeyDictionary[Circuit, _Known] = WeakKeyDictionary()


def clocks(circuit: Circuit) -> tuple[Clock, ...]:
    """Every setting of the feeder's files that is a time of day."""
    return _of(circuit).clocks


def prepare_own(circuit: Circuit, profiles: Profiles) -> None:
    """To be called before a run on `profiles`; what is as it should be already is left alone."""
    known = _of(circuit)
    own = own_shapes(circuit)
    for name, shape in own.items():
        kind = name.split(".", 1)[0]
        if kind == "load" or name.split(".", 1)[1].startswith(PREFIX):
            continue
        wanted = shape.of(of_year=profiles.of_year)
        if kind == "pvsystem" and not wanted:
            wanted = _sun(circuit, known, shape.bus, profiles)
        if wanted:
            first = known.told.get(f"{name} daily", shape.daily)
            _tell(circuit, known, name, "daily", wanted, first)
        if kind == "pvsystem":
            _tell_temperature(circuit, known, name, shape, profiles)
    for clock in known.clocks:
        value = repr(clock.moved(profiles.step_h))
        _tell(circuit, known, clock.element, clock.key, value, "")


def _of(circuit: Circuit) -> _Known:
    if circuit not in _known:
        _known[circuit] = _Known(tuple(_clocks(circuit)))
    return _known[circuit]


def _tell(circuit: Circuit, known: _Known, element: str, key: str, value: str, now: str) -> None:
    if known.told.get(f"{element} {key}", now) != value:
        circuit.command(f'edit "{element}" {key}={value}')
        known.told[f"{element} {key}"] = value


def _sun(circuit: Circuit, known: _Known, bus: str, profiles: Profiles) -> str:
    """The shape of the study's sun, or of that of the element's bus, written once per profile."""
    shape, values = SUN, profiles.pv_pu
    if bus in profiles.pv_of:
        shape, values = f"{SUN}_{list(profiles.pv_of).index(bus)}", profiles.pv_of[bus]
    content = f"{profiles.step_h!r} {values.tobytes().hex()}"
    if known.told.get(shape) != content:
        write_shape(circuit, shape, profiles.step_h, values)
        known.told[shape] = content
    return shape


def _tell_temperature(circuit: Circuit, known: _Known, name: str, shape: OwnShape, profiles: Profiles) -> None:
    """The temperature goes with the sun: by year where the curve of the year is followed."""
    of_year = bool(shape.yearly) and shape.of(of_year=profiles.of_year) == shape.yearly
    wanted = (shape.t_yearly or shape.t_daily) if of_year else (shape.t_daily or shape.t_yearly)
    if wanted:
        _tell(circuit, known, name, "Tdaily", wanted, shape.t_daily)


def _clocks(circuit: Circuit) -> Iterator[Clock]:
    for kind in (k for k in ("CapControl", "StorageController", "Storage") if k in circuit.classes()):
        for name, facts in circuit.facts(kind).items():
            if name.split(".", 1)[1].startswith(PREFIX):
                continue
            if kind == "CapControl" and str(facts.get("type", "")).lower() == "time":
                yield from (Clock(name, key, float(facts[key])) for key in ("onsetting", "offsetting"))
            if kind == "StorageController":
                yield from _triggers(name, facts, ("timechargetrigger", "timedischargetrigger"))
            if kind == "Storage" and str(facts.get("dispmode", "")).lower() not in DISPATCHED:
                yield from _triggers(name, facts, ("timechargetrig",))


def _triggers(name: str, facts: Mapping[str, object], keys: tuple[str, ...]) -> Iterator[Clock]:
    for key in keys:
        hour = float(str(facts.get(key, -1.0)))
        if hour > 0:
            yield Clock(name, key, hour, zero_is_none=True)
