"""Whose curve every load follows: its own where the feeder gives it one, the study's where it has none.

A column of profiles.csv that names loads or a bus ("load_pu:school*") is what the study says of them and comes first;
`[profiles] loads = "file"` lets all others follow the study's `load_pu`, whatever shapes the feeder has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from hcsim.errors import ConfigError
from hcsim.opendss.circuit import Circuit
from hcsim.opendss.series.shapes import LoadShape, OwnShape, load_shape, own_shapes
from hcsim.util.suggest import did_you_mean
from optim.data.network import Network
from optim.data.profiles import Profiles

Floats = NDArray[np.float64]
Columns = Mapping[str, Floats]
"""Pattern of a column "load_pu:<pattern>" -> its values (T,)."""
DAY_H = 24.0


@dataclass(frozen=True)
class OwnCurve:
    """One load's own shape, and what has to be known to make multipliers of it."""

    day: LoadShape
    """What it follows on a day without a date."""
    year: LoadShape
    kw: float
    """Nominal, LoadMult included: what a multiplier of ours is applied to."""
    kvar: float

    def at(self, hour: Floats, *, of_year: bool) -> tuple[Floats, Floats]:
        """(T,) multipliers of kW and kvar at OpenDSS's clock."""
        shape = self.year if of_year else self.day
        p, q = shape.at(hour)
        if not shape.actual:
            return p, q
        p_pu = p / (self.kw or 1.0)
        # a shape of kW alone keeps the power factor that the load states, as OpenDSS has it
        return p_pu, np.where(q == 0.0, p_pu, q / (self.kvar or 1.0))


@dataclass(frozen=True)
class OwnLoads:
    """The load legs of a network, and the curves that are theirs."""

    leg_names: tuple[str, ...]
    """(L,) of the network's legs, in lower case."""
    leg_kw: Floats
    curves: Mapping[str, OwnCurve] = field(default_factory=dict)
    """Load in lower case ("load.home") -> its own; empty where the study says "file"."""
    buses: Mapping[str, str] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    """status=fixed: no curve moves them."""
    has_year: bool = False
    """Whether some element's own shape says something else on another day."""
    has_day: bool = False
    """Whether some element's own shape is one of a day, whatever the day."""

    def on(self, base: Profiles, columns: Columns | None = None) -> Profiles:
        """`base` with every load's own multipliers; `base` itself where no load has any."""
        named = self.named(columns or {})
        if not self.curves and not named:
            return base
        steps = len(base)
        hour = base.start_h + np.arange(1, steps + 1, dtype=np.float64) * base.step_h
        p = np.repeat(np.asarray(base.load_pu, dtype=float)[:, None], len(self.leg_names), axis=1)
        q = p.copy()
        known: dict[tuple[int, float, float], tuple[Floats, Floats]] = {}
        for i, name in enumerate(self.leg_names):
            if not name.startswith("load.") or name in self.fixed:
                p[:, i] = q[:, i] = 1.0
            elif name in named:
                p[:, i] = q[:, i] = named[name]
            elif name in self.curves:
                curve = self.curves[name]
                shape = curve.year if base.of_year else curve.day
                key = (id(shape), curve.kw, curve.kvar) if shape.actual else (id(shape), 0.0, 0.0)
                if key not in known:
                    known[key] = curve.at(hour, of_year=base.of_year)
                p[:, i], q[:, i] = known[key]
        return replace(base, load_pu=p, load_q_pu=None if np.array_equal(p, q) else q)

    def total_kw(self, base: Profiles) -> Floats:
        """(T,) kW of all loads at rated voltage."""
        loads = np.array([name.startswith("load.") for name in self.leg_names], dtype=bool)
        return self.on(base).load_kw(np.where(loads, self.leg_kw, 0.0))

    def named(self, columns: Columns) -> dict[str, Floats]:
        """Load -> the column that names it, or its bus. Raises ConfigError for a column that names nothing, or two
        columns that name the same load."""
        found: dict[str, Floats] = {}
        by: dict[str, str] = {}
        loads = [name for name in dict.fromkeys(self.leg_names) if name.startswith("load.")]
        for pattern, values in columns.items():
            wanted = pattern.lower()
            hit = [n for n in loads if _means(wanted, n, self.buses.get(n, ""))]
            if not hit:
                names = [n.split(".", 1)[1] for n in loads]
                raise ConfigError(
                    f"Profiles: no load and no bus with loads matches column load_pu:{pattern}.",
                    did_you_mean(wanted, [*names, *dict.fromkeys(self.buses.values())]),
                )
            for name in hit:
                if name in by and _is_exact(by[name]) == _is_exact(wanted):
                    raise ConfigError(
                        f"Profiles: columns load_pu:{by[name]} and load_pu:{pattern} both mean {name}.",
                        "Let one of them name it alone.",
                    )
                if name not in by or _is_exact(wanted):
                    found[name], by[name] = values, wanted
        return found


def _means(pattern: str, load: str, bus: str) -> bool:
    return any(fnmatchcase(word, pattern) for word in (load, load.split(".", 1)[1], bus))


def _is_exact(pattern: str) -> bool:
    return not any(c in pattern for c in "*?[")


def own_loads(circuit: Circuit, network: Network, loads: str) -> OwnLoads:
    """`loads` is [profiles] loads: "own" or "file". To be called before any run of the circuit."""
    shapes = {name: own for name, own in own_shapes(circuit).items() if name.startswith("load.")}
    curves: dict[str, OwnCurve] = {}
    mult = circuit.load_mult()
    for name, own in shapes.items() if loads == "own" else ():
        day, year = own.of(of_year=False), own.of(of_year=True)
        if day and own.status != "fixed":
            factor = 1.0 if own.status == "exempt" else mult
            curves[name] = OwnCurve(
                load_shape(circuit, day), load_shape(circuit, year), own.kw * factor, own.kvar * factor
            )
    return OwnLoads(
        tuple(name.lower() for name in network.loads.names),
        network.loads.p_kw,
        curves,
        {name: own.bus for name, own in shapes.items()},
        frozenset(name for name, own in shapes.items() if own.status == "fixed"),
        any(shape.span_h > DAY_H for shape in _shapes(circuit, loads, of_year=True)),
        any(0 < shape.span_h <= DAY_H for shape in _shapes(circuit, loads, of_year=False)),
    )


def _shapes(circuit: Circuit, loads: str, *, of_year: bool) -> list[LoadShape]:
    names = {
        own.of(of_year=of_year)
        for name, own in own_shapes(circuit).items()
        if loads == "own" or not name.startswith("load.")
    }
    return [load_shape(circuit, name) for name in sorted(names) if name]


@dataclass(frozen=True)
class Followed:
    """How many loads follow what; `check`, `init` and `study` say it."""

    loads: int
    own: int
    named: int
    """By a column of profiles.csv."""
    study: int
    fixed: int
    negative: tuple[str, ...]
    """Loads that feed in: generation, as far as anyone can tell."""
    shapes: tuple[str, ...]
    """Own shapes in use, "dayuse (daily)"."""

    @property
    def words(self) -> tuple[str, ...]:
        """Sentences."""
        parts = (
            (self.own, "follow their own shapes"),
            (self.named, "follow a column of their own in the profiles"),
            (self.study, "follow the study's load profile"),
            (self.fixed, "follow nothing (status=fixed)"),
        )
        said = [f"Loads: {', '.join(f'{n} {what}' for n, what in parts if n)}."] if self.loads else []
        if self.shapes:
            some = ", ".join(self.shapes[:6]) + (f" and {len(self.shapes) - 6} more" if len(self.shapes) > 6 else "")
            said.append(f"Own load shapes: {some}.")
        if self.negative:
            some = ", ".join(self.negative[:5]) + (
                f" and {len(self.negative) - 5} more" if len(self.negative) > 5 else ""
            )
            said.append(
                f"Negative loads, which are generation, follow what loads follow ({some}): a column "
                f"load_pu:{self.negative[0].split('.', 1)[1]} in the profiles gives them a curve of their own."
            )
        return tuple(said)


def followed(circuit: Circuit, own: OwnLoads, columns: Columns | None = None) -> Followed:
    """Who follows what, once loads are known."""
    shapes = {name: s for name, s in own_shapes(circuit).items() if name.startswith("load.")}
    named = set(own.named(columns or {}))
    mine = [n for n in shapes if n in own.curves and n not in named]
    kinds = dict.fromkeys(_in_words(shapes[n]) for n in mine)
    fixed = own.fixed - named
    return Followed(
        loads=len(shapes),
        own=len(mine),
        named=len(named),
        study=len(shapes) - len(mine) - len(named) - len(fixed),
        fixed=len(fixed),
        negative=tuple(f"Load.{n.split('.', 1)[1]}" for n, s in shapes.items() if s.kw < 0 and n not in named),
        shapes=tuple(kinds),
    )


def _in_words(own: OwnShape) -> str:
    name = own.of(of_year=False)
    kind = "daily" if name == own.daily else "yearly" if name == own.yearly else "duty"
    return f"{name} ({kind})"
