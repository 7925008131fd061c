"""The time axis, with load and PV availability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from optim.errors import ModelError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FixedInjection:
    """Power with a curve of its own beside the feeder's loads: a charging station, PV that is there already."""

    node: str
    """"33.1"."""
    p_kw: NDArray[np.float64]
    """(T,) positive into the network; unity power factor."""


@dataclass(frozen=True)
class Profiles:
    """T equal steps. Step t covers [t, t + step_h); values are means over the step.

    `load_pu` multiplies nominal kW and kvar of the loads: (T,) of all of them, or (T, L) of each of the network's
    load legs, `load_q_pu` then their kvar where these go another way. `pv_pu` (T,) is r(t) of paper 1, eq. (4): kW
    delivered per kW of inverter capacity; buses in `pv_of` have a sun of their own. `times` (T,) are labels as
    printed, "00:00". `fixed` is what every program, replay and simulation finds in the feeder besides its loads.

    >>> import hcsim
    >>> import numpy as np
    >>> noon = hcsim.Profiles(("11:00", "12:00"), 1.0, load_pu=np.array([0.8, 0.9]), pv_pu=np.array([0.9, 1.0]))
    >>> len(noon)
    2
    """

    times: tuple[str, ...]
    step_h: float
    load_pu: Floats
    pv_pu: Floats
    fixed: tuple[FixedInjection, ...] = ()
    load_q_pu: Floats | None = None
    """(T, L); None: as `load_pu`."""
    pv_of: Mapping[str, Floats] = field(default_factory=dict)
    """Bus -> (T,)."""
    start_h: float = 0.0
    """Hour of the year at which step 0 begins: where shapes that the feeder's elements have themselves are read."""
    days: int = 1
    """Whole days one after another that need not follow each other: stored energy returns at the end of each."""
    of_year: bool = False
    """Whether the axis is one of calendar days: an element's own `yearly` shape then comes before its `daily`."""

    def __post_init__(self) -> None:
        if len(set(self.times)) < len(self.times):
            twice = next(t for i, t in enumerate(self.times) if t in self.times[:i])
            raise ModelError(f"Two steps are labelled {twice}.", "Steps are told apart by their label.")
        if self.days < 1 or len(self.times) % self.days:
            raise ModelError(f"{len(self.times)} steps are not {self.days} days of equal length.")
        own = {f"pv_pu:{bus}": curve for bus, curve in self.pv_of.items()}
        for name, column in {"load_pu": self.load_pu, "pv_pu": self.pv_pu, **own}.items():
            per_load = name == "load_pu" and column.ndim == 2
            if column.shape[0] != len(self.times) or (column.ndim != 1 and not per_load):
                raise ModelError(f"Profile {name} has {column.shape} values for {len(self.times)} steps.")
            finite = np.isfinite(column).reshape(len(self.times), -1).all(axis=1)
            if not finite.all():
                hour = self.times[int(np.flatnonzero(~finite)[0])]
                raise ModelError(f"Profile {name} has a gap at {hour}.", "Fill it in; nothing is guessed.")
            if name != "load_pu" and (np.any(column < 0) or np.any(column > 1)):
                raise ModelError(f"Profile {name} must lie in [0, 1]: kW per kW of inverter capacity.")
        if self.load_q_pu is not None and self.load_q_pu.shape != self.load_pu.shape:
            raise ModelError(f"Loads have {self.load_pu.shape} values for kW and {self.load_q_pu.shape} for kvar.")
        for curve in self.fixed:
            if curve.p_kw.shape != (len(self.times),) or not np.all(np.isfinite(curve.p_kw)):
                raise ModelError(f"The curve at {curve.node} needs {len(self.times)} finite values.")

    def __len__(self) -> int:
        return len(self.times)

    @property
    def per_load(self) -> bool:
        """Whether load legs have values of their own."""
        return self.load_pu.ndim == 2

    def legs_pu(self, legs: int) -> tuple[Floats, Floats]:
        """(T, L) each: multipliers of kW and of kvar of the network's load legs."""
        shape = (len(self), legs)
        p = np.broadcast_to(self.load_pu if self.per_load else self.load_pu[:, None], shape)
        return p, p if self.load_q_pu is None else self.load_q_pu

    def load_kw(self, leg_kw: Floats) -> Floats:
        """(T,) kW of loads that have (L,) kW each at rated voltage and multiplier 1."""
        if not self.per_load:
            return self.load_pu * float(leg_kw.sum())
        return self.load_pu @ leg_kw

    def scaled(self, factor: Floats) -> Profiles:
        """All loads times (T,)."""
        column = factor[:, None] if self.per_load else factor
        q = None if self.load_q_pu is None else self.load_q_pu * column
        return replace(self, load_pu=self.load_pu * column, load_q_pu=q)

    @property
    def day_ends(self) -> tuple[int, ...]:
        """The number of steps after which each day is over."""
        per_day = len(self) // self.days
        return tuple(per_day * (k + 1) for k in range(self.days))

    @property
    def day_steps(self) -> tuple[range, ...]:
        """The steps of each day."""
        return tuple(range(a, b) for a, b in pairwise((0, *self.day_ends)))

    def taken(self, steps: NDArray[np.int64], days: int = 1) -> Profiles:
        """These steps alone, in this order, as so many days."""
        return replace(
            self,
            times=tuple(self.times[int(t)] for t in steps),
            load_pu=self.load_pu[steps],
            load_q_pu=None if self.load_q_pu is None else self.load_q_pu[steps],
            pv_pu=self.pv_pu[steps],
            pv_of={bus: curve[steps] for bus, curve in self.pv_of.items()},
            fixed=tuple(replace(own, p_kw=own.p_kw[steps]) for own in self.fixed),
            days=days,
        )

    @property
    def sunny(self) -> NDArray[np.bool_]:
        """(T,) steps at which some site has sun."""
        return np.asarray(np.any([self.pv_pu > 0, *(curve > 0 for curve in self.pv_of.values())], axis=0), dtype=bool)

    def sun(self, nodes: Sequence[str]) -> Floats:
        """(T, G) availability at node-phases ("83.1")."""
        if not self.pv_of:
            return np.repeat(self.pv_pu[:, None], len(nodes), axis=1)
        columns = [self.pv_of.get(node.rsplit(".", 1)[0], self.pv_pu) for node in nodes]
        return np.array(columns, dtype=float).reshape(len(nodes), len(self)).T
