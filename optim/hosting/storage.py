"""The BESS block: paper 1, eqs (3), (7d), (9), one function per equation, on a Pyomo model.

Inside the programs power is in MW and energy in MWh. A fleet is a set of possible units, one per candidate
bus; `m.placed[u]` is the paper's u_i (fixed to one where nothing is to be chosen), `m.charging[u, t]` its
mu_i(t). The product mu u of (9b)-(9c) is exact and tight in linear form, because a unit that is not placed
need not have a status:  p^C <= p mu,  p^D <= eta p (u - mu),  mu <= u.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyomo.environ as pyo

from optim.data.schedule import BessUnit
from optim.errors import ModelError


@dataclass(frozen=True)
class Fleet:
    """Possible units and what may be chosen among them.

    `nodes[u]` are the node-phases of unit u's converters, each rated power_kw / len(nodes[u]).
    """

    units: tuple[BessUnit, ...]
    nodes: tuple[tuple[str, ...], ...]
    n_placed: int | None = None
    """u-bar of (9a); None places every unit."""
    circulation: str = "allow"
    """"allow": a status per unit, as in the paper. "forbid": one status for all units, so that none charges
    while another discharges."""

    def __post_init__(self) -> None:
        if self.circulation not in ("allow", "forbid"):
            raise ModelError(f"circulation must be 'allow' or 'forbid', not {self.circulation!r}.")
        if self.n_placed is not None and not 0 < self.n_placed <= len(self.units):
            raise ModelError(
                f"{self.n_placed} units are to be placed on {len(self.units)} candidate buses.",
                "Give more candidates or fewer units.",
            )
        for unit, nodes in zip(self.units, self.nodes, strict=True):
            if not nodes:
                raise ModelError(f"Unit {unit.name}: bus {unit.bus} has no phase to stand on.")
            if not 0 <= unit.soc_min < unit.soc_max <= 1 or unit.energy_kwh <= 0 or unit.power_kw <= 0:
                raise ModelError(f"Unit {unit.name}: its energy, power or SoC range admits nothing.")

    @property
    def chooses_sites(self) -> bool:
        """Whether there are more candidates than units: otherwise every u_i is one."""
        return self.n_placed is not None and self.n_placed < len(self.units)

    @property
    def converters(self) -> list[tuple[int, str]]:
        """(unit, node) pairs: the index set of p^C and p^D."""
        return [(u, n) for u, nodes in enumerate(self.nodes) for n in nodes]

    def phase_mw(self, u: int) -> float:
        return self.units[u].power_kw / 1e3 / len(self.nodes[u])


def storage_variables(m: pyo.ConcreteModel, fleet: Fleet, steps: int) -> None:
    m.unit = pyo.Set(initialize=range(len(fleet.units)))
    m.converter = pyo.Set(initialize=fleet.converters, dimen=2)
    m.placed = pyo.Var(m.unit, domain=pyo.Binary)
    m.charging = pyo.Var(m.unit, m.step, domain=pyo.Binary)
    m.p_charge = pyo.Var(m.converter, m.step, domain=pyo.NonNegativeReals)
    m.p_discharge = pyo.Var(m.converter, m.step, domain=pyo.NonNegativeReals)
    m.energy = pyo.Var(m.unit, range(steps + 1), domain=pyo.NonNegativeReals)
    if not fleet.chooses_sites:
        for u in m.unit:
            m.placed[u].fix(1)


def charge_limit(m: pyo.ConcreteModel, fleet: Fleet) -> None:
    """(3a), (9b)"""

    def rule(m: pyo.ConcreteModel, u: int, node: str, t: int) -> object:
        return m.p_charge[u, node, t] <= fleet.phase_mw(u) * m.charging[u, t]

    m.charge_limit = pyo.Constraint(m.converter, m.step, rule=rule)


def discharge_limit(m: pyo.ConcreteModel, fleet: Fleet) -> None:
    """(3b), (9c)"""

    def rule(m: pyo.ConcreteModel, u: int, node: str, t: int) -> object:
        rated = fleet.units[u].eta_discharge * fleet.phase_mw(u)
        return m.p_discharge[u, node, t] <= rated * (m.placed[u] - m.charging[u, t])

    m.discharge_limit = pyo.Constraint(m.converter, m.step, rule=rule)


def status_needs_unit(m: pyo.ConcreteModel, fleet: Fleet) -> None:
    """mu <= u, the third row of the linearized product (only where placement is open)."""
    if fleet.chooses_sites:
        m.status_needs_unit = pyo.Constraint(m.unit, m.step, rule=lambda m, u, t: m.charging[u, t] <= m.placed[u])


def energy_balance(m: pyo.ConcreteModel, fleet: Fleet, step_h: float) -> None:
    """(3c), in energy instead of its fraction"""

    def rule(m: pyo.ConcreteModel, u: int, t: int) -> object:
        unit = fleet.units[u]
        charged = sum(m.p_charge[u, n, t] for n in fleet.nodes[u])
        discharged = sum(m.p_discharge[u, n, t] for n in fleet.nodes[u])
        gained = unit.eta_charge * charged - discharged / unit.eta_discharge
        return m.energy[u, t + 1] == m.energy[u, t] + step_h * gained

    m.energy_balance = pyo.Constraint(m.unit, m.step, rule=rule)


def energy_range(m: pyo.ConcreteModel, fleet: Fleet, steps: int) -> None:
    """(3d), scaled by the placement, which tightens the relaxation"""
    m.energy_floor = pyo.Constraint(
        m.unit,
        range(steps),
        rule=lambda m, u, t: m.energy[u, t] >= fleet.units[u].soc_min * fleet.units[u].energy_kwh / 1e3 * m.placed[u],
    )
    m.energy_ceiling = pyo.Constraint(
        m.unit,
        range(steps),
        rule=lambda m, u, t: m.energy[u, t] <= fleet.units[u].soc_max * fleet.units[u].energy_kwh / 1e3 * m.placed[u],
    )


def energy_returns(m: pyo.ConcreteModel, day_ends: tuple[int, ...]) -> None:
    """(7d), at the end of every day"""
    *between, last = day_ends
    m.energy_returns = pyo.Constraint(m.unit, rule=lambda m, u: m.energy[u, last] == m.energy[u, 0])
    if between:
        m.energy_returns_daily = pyo.Constraint(
            m.unit, between, rule=lambda m, u, end: m.energy[u, end] == m.energy[u, 0]
        )


def cycles_limit(
    m: pyo.ConcreteModel, fleet: Fleet, cycles_per_day: float, days: tuple[range, ...], step_h: float
) -> None:
    """Ours: what a unit gives in a day, of its energy."""

    def rule(m: pyo.ConcreteModel, u: int, day: int) -> object:
        given = sum(m.p_discharge[u, n, t] for n in fleet.nodes[u] for t in days[day])
        return step_h * given <= cycles_per_day * fleet.units[u].energy_kwh / 1e3

    m.cycles_limit = pyo.Constraint(m.unit, range(len(days)), rule=rule)


def number_of_units(m: pyo.ConcreteModel, fleet: Fleet) -> None:
    """(9a)"""
    if fleet.chooses_sites:
        m.number_of_units = pyo.Constraint(expr=sum(m.placed[u] for u in m.unit) == fleet.n_placed)


def one_status_for_all(m: pyo.ConcreteModel, fleet: Fleet) -> None:
    """Ours, for `circulation = "forbid"`: every placed unit has the fleet's status M(t)."""
    m.fleet_charging = pyo.Var(m.step, domain=pyo.Binary)
    m.status_at_most = pyo.Constraint(m.unit, m.step, rule=lambda m, u, t: m.charging[u, t] <= m.fleet_charging[t])
    m.status_at_least = pyo.Constraint(
        m.unit, m.step, rule=lambda m, u, t: m.placed[u] - m.charging[u, t] <= 1 - m.fleet_charging[t]
    )


def units_charging(m: pyo.ConcreteModel, fleet: Fleet) -> None:
    """Ours: k(t), how many units charge, as an integer of its own. It adds nothing to the program, but to
    branch on it settles an hour for every permutation of equal units at once."""
    most = fleet.n_placed if fleet.n_placed is not None else len(fleet.units)
    m.units_charging = pyo.Var(m.step, domain=pyo.Integers, bounds=(0, most))
    m.count_charging = pyo.Constraint(
        m.step, rule=lambda m, t: m.units_charging[t] == sum(m.charging[u, t] for u in m.unit)
    )


def placed_units(m: pyo.ConcreteModel) -> list[int]:
    return [u for u in m.unit if pyo.value(m.placed[u]) > 0.5]


def soc_profile(m: pyo.ConcreteModel, units: list[int], steps: int) -> np.ndarray:
    """(T+1, U) kWh"""
    return np.array([[m.energy[u, t].value * 1e3 for u in units] for t in range(steps + 1)]).reshape(
        steps + 1, len(units)
    )
