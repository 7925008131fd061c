"""[planning] of study.toml: paper 2's program, its assumptions and what the paper states for it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from hcsim.cases.config.types import Name, Names, Positive, Section, Sentences, Share, VoltagePu
from optim.planning.case import Costs, ScenarioLimits, StorageTerms

NotNegative = Annotated[float, Field(ge=0.0)]
Numbers = Annotated[tuple[NotNegative, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)]
Efficiency = Annotated[float, Field(gt=0.0, le=1.0)]


class ScenarioSection(Section):
    """Limits of one scenario, eqs (25)-(26)."""

    v_min_pu: VoltagePu
    v_max_pu: VoltagePu
    i_max_a: Positive | None = None
    """Phase current of every branch; left out: no limit."""

    @model_validator(mode="after")
    def _in_order(self) -> ScenarioSection:
        if self.v_min_pu >= self.v_max_pu:
            raise ValueError(f"v_min_pu = {self.v_min_pu:g} must be below v_max_pu = {self.v_max_pu:g}")
        return self

    def to_limits(self) -> ScenarioLimits:
        return ScenarioLimits(self.v_min_pu, self.v_max_pu, self.i_max_a)


class StorageSection(Section):
    """Sizes that a unit may have, and how it works."""

    energy_max_kwh: Positive
    energy_step_kwh: Positive = 10.0
    power_step_kw: Positive = 10.0
    soc_min: Share = 0.2
    soc_max: Share = 0.8
    eta_charge: Efficiency = 0.9
    eta_discharge: Efficiency = 0.9
    min_units: Annotated[int, Field(ge=0)] = 0
    """Areas that must get a unit; 0: every area's unit may come out at zero."""
    min_energy_kwh: NotNegative = 10.0

    def to_terms(self) -> StorageTerms:
        return StorageTerms(**self.model_dump())


class CostsSection(Section):
    """Coefficients of eqs (2)-(5). CNY stands for whatever money the study counts in."""

    discount_rate: NotNegative = 0.05
    life_years: Positive = 15.0
    energy_cny_per_kwh: NotNegative = 350.0
    power_cny_per_kw: NotNegative = 750.0
    om_cny_per_kwh: NotNegative = 0.01
    loss_cny_per_kwh: NotNegative = 0.8
    pvhc_revenue_cny_per_mw: NotNegative = 2300.0
    days_per_year: Positive = 365.0

    def to_costs(self) -> Costs:
        return Costs(**self.model_dump())


class PaperUnit(Section):
    bus: Name
    energy_kwh: NotNegative
    power_kw: NotNegative


class PaperScheme(Section):
    """One column of the paper's table of results."""

    total_cny: float | None = None
    storage_cny: float | None = None
    """Construction and maintenance of the storage."""
    loss_cny: float | None = None
    pvhc_revenue_cny: float | None = None
    pvhc_mw: float | None = None
    v_min_pu: float | None = None
    v_max_pu: float | None = None
    plan: dict[str, PaperUnit] = Field(default_factory=dict)
    """Area -> unit."""


class PlanningPaper(Section):
    """What the publication states; shown beside ours, never used in a program."""

    source: str
    a: PaperScheme | None = Field(default=None, alias="A")
    b: PaperScheme | None = Field(default=None, alias="B")
    c: PaperScheme | None = Field(default=None, alias="C")
    notes: Sentences = ()
    """Sentences on what cannot be derived from the publication."""

    def scheme(self, name: str) -> PaperScheme | None:
        found: PaperScheme | None = getattr(self, name.lower())
        return found


class PlanningSection(Section):
    areas: dict[str, Names]
    """Area -> candidate buses; one unit per area at most."""
    pvhc_buses: Annotated[Names, Field(min_length=1)]
    """Where PV may grow in the PVHC scenario."""
    pv_kw: dict[str, NotNegative] = Field(default_factory=dict)
    """PV that is there, rated, per bus."""
    ev_bus: Name | None = None
    """Where the curve ev_mw of profiles.csv draws."""
    typical: ScenarioSection
    pvhc: ScenarioSection
    storage: StorageSection
    costs: CostsSection = CostsSection()
    exactness: Literal["capped", "none"] = "capped"
    """"none" solves the program as the paper writes it, so that one can see it fail."""
    gap: Annotated[float, Field(ge=0.0, lt=1.0)] = 1e-4
    time_limit_s: Positive = 300.0
    """Per program."""
    sweep_revenue_cny_per_mw: Numbers = ()
    """What `hcsim sweep` tries where the command names nothing."""
    paper: PlanningPaper | None = None
