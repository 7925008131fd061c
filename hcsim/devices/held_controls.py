"""Which of a feeder's own controls act where controls are free; the others hold what the feeder was read with.

Holding is native: a RegControl keeps its tap with `maxtapchange=0`, any other control is disabled, so that what it
controls stays as it is. Names are OpenDSS's ("RegControl.creg1a"), a name without class ("creg1a"), a class
("CapControl"), or any of them with the wildcards of `fnmatch`; upper and lower case are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from hcsim.devices.fleets import PREFIX
from hcsim.errors import ConfigError
from hcsim.opendss.circuit import Circuit
from hcsim.opendss.elements import CONTROL_AND_METER_CLASSES
from hcsim.util.suggest import did_you_mean

if TYPE_CHECKING:
    pass

METERS = frozenset({"Monitor", "EnergyMeter", "Sensor"})
Wanted = str | Sequence[str]
""" "all", "none", or patterns."""


@dataclass(frozen=True)
class Selection:
    """Full names, in the feeder's order."""

    free: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """A sentence, "" where all controls are free."""
        if not self.held:
            return ""
        free = f"free to act: {', '.join(self.free)}" if self.free else "no control is free to act"
        return f"{held_in_words(self.held)} {free[0].upper()}{free[1:]}."


ALL_FREE = Selection()
"""Of a feeder whose controls nobody has looked at."""


def held_in_words(held: Sequence[str]) -> str:
    return f"Held where the feeder was read, by [controls]: {', '.join(held)}."


def controls_of(circuit: Circuit) -> tuple[str, ...]:
    """Every enabled control of the feeder, "RegControl.creg1a"."""
    kinds = [k for k in circuit.classes() if k in CONTROL_AND_METER_CLASSES - METERS]
    return tuple(e.name for e in circuit.elements(kinds) if e.enabled)


def select(circuit: Circuit, free: Wanted, locked: Sequence[str], where: str) -> Selection:
    """`free` act but for those in `locked`. `where` opens the message ("study.toml, [controls]").

    Raises ConfigError for a pattern that no control of the feeder matches, with the nearest names.
    """
    names = controls_of(circuit)
    chosen = {"all": set(names), "none": set()}.get(free) if isinstance(free, str) else None
    if chosen is None:
        chosen = _matched(names, [free] if isinstance(free, str) else free, circuit.name, f"{where} free")
    chosen = chosen - _matched(names, locked, circuit.name, f"{where} locked")
    return Selection(tuple(n for n in names if n in chosen), tuple(n for n in names if n not in chosen))


def hold(circuit: Circuit, names: Iterable[str]) -> None:
    """From now on these controls do not act, whatever a run says of controls. To be called with the circuit as read."""
    circuit.held = tuple(names)
    for name in circuit.held:
        lock = "maxtapchange=0" if name.lower().startswith("regcontrol.") else "enabled=no"
        circuit.command(f'edit "{name}" {lock}')


def _matched(names: Sequence[str], patterns: Sequence[str], feeder: str, where: str) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        matched = {name for name in names if _is_meant(name.lower(), pattern.lower())}
        if not matched:
            raise ConfigError(f"{where}: no control of {feeder} matches {pattern!r}.", _remedy(names, pattern))
        found |= matched
    return found


def _is_meant(name: str, pattern: str) -> bool:
    kind, own = name.split(".", 1)
    return any(fnmatchcase(part, pattern) for part in (name, kind, own))


def _remedy(names: Sequence[str], pattern: str) -> str:
    if not names:
        return "The feeder has no controls at all: take the key out."
    kinds = list(dict.fromkeys(name.split(".", 1)[0] for name in names))
    kind = pattern.split(".", 1)[0]
    if "." in pattern and kind.lower() not in [k.lower() for k in kinds]:
        return f"The feeder has no {kind}, but {', '.join(kinds)}."
    by_own = {name.split(".", 1)[1]: name for name in names}
    return did_you_mean(pattern, names if "." in pattern else [*by_own, *kinds])


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
