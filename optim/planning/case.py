"""What paper 2's program is asked: feeder, curves, areas, costs, limits of both scenarios. No mathematics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optim.data.profiles import Profiles
from optim.data.schedule import Scenario
from optim.errors import ModelError
from optim.feeder.radial import RadialFeeder

Floats = NDArray[np.float64]
Scheme = Literal["A", "B", "C"]
ScenarioName = Scenario
Exactness = Literal["capped", "none"]


@dataclass(frozen=True)
class ScenarioLimits:
    """Eqs (25)-(26) of one scenario. `i_max_a` None: no current limit."""

    v_min_pu: float
    v_max_pu: float
    i_max_a: float | None = None


@dataclass(frozen=True)
class StorageTerms:
    """Table I of paper 2 and what it leaves open. One unit per area at most."""

    energy_max_kwh: float = 2000.0
    energy_step_kwh: float = 10.0
    power_step_kw: float = 10.0
    soc_min: float = 0.2
    soc_max: float = 0.8
    eta_charge: float = 0.9
    eta_discharge: float = 0.9
    min_units: int = 0
    """Areas that must get a unit of at least `min_energy_kwh` and one power step."""
    min_energy_kwh: float = 10.0


@dataclass(frozen=True)
class Costs:
    """Coefficients of eqs (2)-(5). CNY stands for whatever money the user counts in."""

    discount_rate: float = 0.05
    life_years: float = 15.0
    energy_cny_per_kwh: float = 350.0
    power_cny_per_kw: float = 750.0
    om_cny_per_kwh: float = 0.01
    loss_cny_per_kwh: float = 0.8
    pvhc_revenue_cny_per_mw: float = 2300.0
    days_per_year: float = 365.0

    @property
    def capital_recovery_factor(self) -> float:
        r, y = self.discount_rate, self.life_years
        return 1.0 / y if r == 0 else r * (1 + r) ** y / ((1 + r) ** y - 1)


@dataclass(frozen=True)
class PlanningCase:
    """Everything the schemes A, B, C share. Buses by name; curves (T,)."""

    feeder: RadialFeeder
    profiles: Profiles
    pv_kw: Mapping[str, float]
    """Existing PV per bus, rated; delivers profiles.pv_pu of it at unity power factor."""
    ev_kw: Mapping[str, Floats]
    """(T,) consumption of a charging station per bus, not scaled by load_pu."""
    areas: Mapping[str, tuple[str, ...]]
    """Area -> candidate buses of its unit."""
    pvhc_buses: tuple[str, ...]
    typical: ScenarioLimits = field(default_factory=lambda: ScenarioLimits(0.95, 1.05))
    pvhc: ScenarioLimits = field(default_factory=lambda: ScenarioLimits(0.90, 1.09, 600.0))
    storage: StorageTerms = field(default_factory=StorageTerms)
    costs: Costs = field(default_factory=Costs)
    exactness: Exactness = "capped"

    def __post_init__(self) -> None:
        faults = _faults(self)
        if faults:
            raise ModelError("The planning case cannot be used: " + " ".join(faults))

    @property
    def candidates(self) -> tuple[str, ...]:
        """(D,) all candidate buses, area by area."""
        return tuple(bus for buses in self.areas.values() for bus in buses)

    def base_injection_mw(self) -> Floats:
        """(T, J) existing PV and charging stations, positive into the network (loads not included)."""
        p = np.zeros((len(self.profiles), len(self.feeder)))
        for bus, kw in self.pv_kw.items():
            p[:, self.feeder.index_of(bus)] += kw / 1e3 * self.profiles.pv_pu
        for bus, curve in self.ev_kw.items():
            p[:, self.feeder.index_of(bus)] -= np.asarray(curve) / 1e3
        return p

    def limits(self, scenario: str) -> ScenarioLimits:
        return self.typical if scenario == "typical" else self.pvhc


def _faults(case: PlanningCase) -> list[str]:
    """Every fault of the input as one sentence with its remedy, so that a user mends them in one pass."""
    found: list[str] = []
    known = set(case.feeder.buses)

    def missing(buses: tuple[str, ...], what: str) -> None:
        for bus in buses:
            if bus == case.feeder.source_bus:
                found.append(f"{what} names bus {bus}, the source: a unit there changes nothing.")
            elif bus not in known:
                found.append(f"{what} names bus {bus}, which {case.feeder.name} does not have.")

    owner: dict[str, str] = {}
    for area, buses in case.areas.items():
        missing(buses, f"Area {area}")
        if not buses:
            found.append(f"Area {area} has no bus: remove it or give it one.")
        for bus in buses:
            if bus in owner:
                found.append(f"Bus {bus} is in areas {owner[bus]} and {area}: a bus belongs to one area.")
            owner.setdefault(bus, area)
    missing(tuple(case.pv_kw), "pv_kw")
    missing(tuple(case.ev_kw), "ev_kw")
    missing(case.pvhc_buses, "pvhc_buses")
    if len(set(case.pvhc_buses)) < len(case.pvhc_buses):
        found.append("pvhc_buses names a bus twice.")
    if not case.pvhc_buses:
        found.append("pvhc_buses is empty: name the buses where PV may grow.")
    for bus, curve in case.ev_kw.items():
        if np.shape(curve) != (len(case.profiles),):
            found.append(f"ev_kw of bus {bus} has {np.size(curve)} values for {len(case.profiles)} steps.")
    found += _storage_faults(case)
    for name in ("typical", "pvhc"):
        limits: ScenarioLimits = getattr(case, name)
        if not 0 < limits.v_min_pu < limits.v_max_pu:
            found.append(
                f"The {name} scenario's voltage limits leave nothing between {limits.v_min_pu} and "
                f"{limits.v_max_pu} pu."
            )
        if limits.i_max_a is not None and limits.i_max_a <= 0:
            found.append(f"The {name} scenario's i_max_a must be positive, or left out for no limit.")
    return found


def _storage_faults(case: PlanningCase) -> list[str]:
    s, found = case.storage, []
    if s.energy_step_kwh <= 0 or s.power_step_kw <= 0:
        found.append("energy_step_kwh and power_step_kw must be positive.")
    elif s.energy_step_kwh > s.energy_max_kwh:
        found.append(
            f"No size fits: one step of {s.energy_step_kwh} kWh is above the most allowed, {s.energy_max_kwh} kWh."
        )
    elif s.power_step_kw > s.energy_max_kwh:
        found.append(
            f"No size fits: one step of power is {s.power_step_kw} kW, but (7) allows no more kW "
            f"than kWh and {s.energy_max_kwh} kWh is the most energy."
        )
    if s.min_energy_kwh > s.energy_max_kwh:
        found.append(f"No size fits: min_energy_kwh {s.min_energy_kwh} is above energy_max_kwh {s.energy_max_kwh}.")
    if s.min_units > len(case.areas):
        found.append(f"min_units = {s.min_units}, but there are {len(case.areas)} areas with one unit each.")
    if not 0 <= s.soc_min < s.soc_max <= 1:
        found.append(f"SoC between {s.soc_min} and {s.soc_max} leaves no usable energy.")
    if not (0 < s.eta_charge <= 1 and 0 < s.eta_discharge <= 1):
        found.append("eta_charge and eta_discharge must lie in (0, 1].")
    return found
