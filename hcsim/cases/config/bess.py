"""[bess] of study.toml: the batteries that a program may place."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from hcsim.cases.config.types import Efficiency, Name, Names, Off, Positive, Section, Share, key


class BessSection(Section):
    """The batteries that the programs may place."""

    energy_kwh: Positive = key("Of all units together.", unit="kWh")
    power_kw: Positive = key("Of all units together, at the grid side, over all phases.", unit="kW")
    eta_charge: Efficiency = key("Efficiency of charging.", 0.95, unit="share of 1")
    eta_discharge: Efficiency = key("Efficiency of discharging.", 0.95, unit="share of 1")
    soc_min: Share = key("Least stored energy.", 0.05, unit="share of energy_kwh")
    soc_max: Share = key("Largest stored energy.", 0.95, unit="share of energy_kwh")
    centralized_bus: Name = key("Where the one unit of the centralized program stands.")
    units: Annotated[int, Field(ge=1, le=10**6)] = key(
        "Distributed programs: so many equal units, at most one per bus.", 6
    )
    cycles_per_year: Positive | Off = key(
        "What each unit may discharge in a year, in times of its energy, an equal share of it each day.",
        "off",
        unit="full cycles",
    )
    candidate_buses: Names = key("Where units may stand; empty: the PV buses (paper 1, section II-D).", ())

    @model_validator(mode="after")
    def _in_order(self) -> BessSection:
        if self.soc_min >= self.soc_max:
            raise ValueError(f"soc_min = {self.soc_min:g} must be below soc_max = {self.soc_max:g}")
        if self.candidate_buses and self.units > len(self.candidate_buses):
            raise ValueError(f"units = {self.units} is more than the {len(self.candidate_buses)} candidate_buses")
        return self
