"""What the programs of `optim.hosting.program` are given: one linear model, one set of limits, sites, and a fleet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from optim.data.criteria import CRITERIA, Before
from optim.data.limits import Limits
from optim.data.linear_model import Floats, LinearModel
from optim.data.profiles import Profiles
from optim.errors import ModelError
from optim.hosting.spread import Cap, Spread
from optim.hosting.storage import Fleet

if TYPE_CHECKING:
    pass

CEILING_MW = 200.0
"""More than any node-phase of a distribution feeder: keeps the solver's program bounded before the rows that
limit it are written. A solution that reaches it is limited by nothing, which is an error."""


@dataclass(frozen=True)
class TrustRegion:
    """How far a solution may move from the schedule around which the model is linearized (closed loop)."""

    pv_kw: Floats
    """(G,)"""
    q_kvar: Floats
    """(T, G)"""
    bess_p_kw: dict[str, Floats]
    """Converter node -> (T,) net power, positive into the network; a node not in it stood at zero."""
    pv_radius_kw: float
    q_radius_kvar: float
    bess_radius_kw: float
    share: Floats | None = None
    """(T,) of the radii of reactive power and batteries that each step has; None: all of them."""
    move_price: float = 0.0
    """kW of capacity that a kvar of movement must bring at least (programs whose statuses are decided): what gains
    nothing stays where it is, and so do the regulators of its hour."""


@dataclass(frozen=True)
class HostingProblem:
    """What the programs share. `model.ports` must contain all PV nodes and all converters' nodes."""

    model: LinearModel
    profiles: Profiles
    limits: Limits
    pv_nodes: tuple[str, ...]
    fleet: Fleet | None = None
    night_var: bool = True
    """Reactive power also where r = 0, as (7b)-(7c) of the paper have it."""
    already: Before | None = None
    """The bare feeder's own operation. Given, a limit that it breaks somewhere gives way there to what it is:
    no worse than before. None: limits are strict, as in the paper."""
    margin_pu: float | Floats = 0.0
    """Voltages are kept this far inside their limits; one number, or (T, 1) for each step, like the two below."""
    margin_kw: float | Floats = 0.0
    """Every phase of the source keeps at least this much more than its limit."""
    margin_loading_pu: float | Floats = 0.0
    """Branches are kept this share of their rating inside their limit."""
    elastic_kw_per_pu: float | None = None
    """Price at which limits may be overstepped, in kW of hosting capacity per pu of the worst overstep of each
    step (voltage, loading); None: hard limits."""
    elastic_kw_per_kw: float = 10.0
    """The same for reverse flow where limits are elastic: ten kW of capacity for one."""
    trust: TrustRegion | None = None
    caps: tuple[Cap, ...] = ()
    """The most that may stand at sites; those that are not named have none."""
    losses_max_kw: Floats | None = None
    """(T,) ceiling on what the feeder loses in each step; holds where the model knows losses (the tangent)."""
    cycles_per_day: float | None = None
    """What a unit may discharge in each day at most, at the grid side, in times of its energy."""
    spread: Spread | None = None
    """What is made largest instead of the sum of all sites."""
    charging: Floats | None = None
    """(T, U) statuses already decided, one where a unit may charge, zero where it may discharge."""

    @cached_property
    def sun(self) -> Floats:
        """(T, G) r(t) at every site."""
        return self.profiles.sun(self.pv_nodes)

    def __post_init__(self) -> None:
        wanted = [*self.pv_nodes, *(n for _, n in self.fleet.converters)] if self.fleet else [*self.pv_nodes]
        lost = [n for n in wanted if n not in self.model.ports]
        if lost:
            raise ModelError(f"The linear model has no port {lost[0]}.")
        if not self.pv_nodes:
            raise ModelError("No PV site is given.", "List buses under [pv].")

    # -- limits in the units of the model's rows, (T, rows), where the bare feeder breaks them: as it is ----

    def voltage_ceiling(self) -> Floats:
        """(T, N) in pu, or +inf"""
        limit = self.limits.v_max_at(self.model.kv_base)
        inside = np.broadcast_to(limit - self.margin_pu, self.model.v_base.shape)
        before = self._before("overvoltage", self.model.nodes)
        return inside if before is None else np.where(before > limit, before - self.margin_pu, inside)

    def voltage_floor(self) -> Floats:
        """(T, N) in pu, or 0"""
        limit = self.limits.v_min_at(self.model.kv_base)
        inside = np.broadcast_to(np.maximum(limit + self.margin_pu, 0.0), self.model.v_base.shape)
        before = self._before("undervoltage", self.model.nodes)
        return inside if before is None else np.where(before < limit, before + self.margin_pu, inside)

    def substation_floor_kw(self) -> Floats | None:
        """(T, S); None where reverse flow is not judged"""
        if self.limits.substation_min_kw is None:
            return None
        floor = np.zeros(self.model.substation_base_kw.shape) + self.limits.substation_min_kw + self.margin_kw
        before = self._before("reverse_flow", self.model.substation_phases)
        return floor if before is None else np.minimum(floor, before + self.margin_kw)

    def loading_ceiling_kva(self) -> Floats | None:
        """(T, B); None where loading is not judged or no branch has a row"""
        model = self.model
        if self.limits.loading_max_pu is None or model.rating_kva is None or not len(model.branches):
            return None
        ceiling = np.full((len(self.profiles), len(model.branches)), self.limits.loading_max_pu)
        before = self._before("loading", model.branches, strict=False)
        if before is not None:
            ceiling = np.where(before > ceiling, (1.0 + self.limits.loading_worse) * before, ceiling)
        return (ceiling - self.margin_loading_pu) * model.rating_kva

    def _before(self, name: str, want: tuple[str, ...], *, strict: bool = True) -> Floats | None:
        """(T, len(want)) the worst of the bare feeder by a criterion; None where it is not given. Of elements that
        it does not know, NaN, or, `strict`, ModelError."""
        criterion = next(c for c in CRITERIA if c.name == name)
        worst = self.already.worst(criterion, self.limits) if self.already is not None else None
        if self.already is None or worst is None:
            return None
        at = {element: k for k, element in enumerate(criterion.elements(self.already.days[0]))}
        missing = [element for element in want if element not in at]
        if missing and strict:
            raise ModelError(f"The bare feeder's operation does not know {missing[0]}.")
        return np.append(worst, np.full((len(worst), 1), np.nan), axis=1)[:, [at.get(e, -1) for e in want]]


CASES = ("none", "centralized", "distributed", "distributed_no_circulation")
"""The allocation study's cases, in the order of every table and figure."""
