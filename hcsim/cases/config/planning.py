"""[planning] of study.toml: paper 2's program, its assumptions and what the paper states for it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from hcsim.cases.config.types import (
    Efficiency,
    Name,
    Names,
    NotNegative,
    Number,
    Positive,
    Section,
    Sentences,
    Share,
    SomeNames,
    VoltagePu,
    key,
)
from optim.planning.case import Costs, ScenarioLimits, StorageTerms

Numbers = Annotated[tuple[NotNegative, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)]


class ScenarioSection(Section):
    """Limits of one scenario, eqs (25)-(26)."""

    v_min_pu: VoltagePu = key("Least voltage.", unit="pu", example=0.95)
    v_max_pu: VoltagePu = key("Largest voltage.", unit="pu", example=1.05)
    i_max_a: Positive | None = key("Phase current of every branch; left out: no limit.", None, unit="A", example=600.0)

    @model_validator(mode="after")
    def _in_order(self) -> ScenarioSection:
        if self.v_min_pu >= self.v_max_pu:
            raise ValueError(f"v_min_pu = {self.v_min_pu:g} must be below v_max_pu = {self.v_max_pu:g}")
        return self

    def to_limits(self) -> ScenarioLimits:
        return ScenarioLimits(self.v_min_pu, self.v_max_pu, self.i_max_a)


class StorageSection(Section):
    """Sizes that a unit may have, and how it works."""

    energy_max_kwh: Positive = key("Largest unit.", unit="kWh", example=2000.0)
    energy_step_kwh: Positive = key("Energies are multiples of this.", 10.0, unit="kWh")
    power_step_kw: Positive = key("Powers are multiples of this.", 10.0, unit="kW")
    soc_min: Share = key("Least stored energy.", 0.2, unit="share of the unit's energy")
    soc_max: Share = key("Largest stored energy.", 0.8, unit="share of the unit's energy")
    eta_charge: Efficiency = key("Efficiency of charging.", 0.9, unit="share of 1")
    eta_discharge: Efficiency = key("Efficiency of discharging.", 0.9, unit="share of 1")
    min_units: Annotated[int, Field(ge=0, le=10**6)] = key(
        "Areas that must get a unit; 0: every area's unit may come out at zero.", 0
    )
    min_energy_kwh: NotNegative = key("Of a unit that must be there.", 10.0, unit="kWh")

    def to_terms(self) -> StorageTerms:
        return StorageTerms(**self.model_dump())


class CostsSection(Section):
    """Coefficients of eqs (2)-(5). CNY stands for whatever money the study counts in."""

    discount_rate: NotNegative = key("Per year.", 0.05, unit="share of 1")
    life_years: Positive = key("Over which storage is paid for.", 15.0, unit="years")
    energy_cny_per_kwh: NotNegative = key("Storage, per energy.", 350.0, unit="CNY/kWh")
    power_cny_per_kw: NotNegative = key("Storage, per power.", 750.0, unit="CNY/kW")
    om_cny_per_kwh: NotNegative = key("Operation, per energy charged or discharged.", 0.01, unit="CNY/kWh")
    loss_cny_per_kwh: NotNegative = key("Losses of the feeder.", 0.8, unit="CNY/kWh")
    pvhc_revenue_cny_per_mw: NotNegative = key("Revenue of hosting capacity.", 2300.0, unit="CNY/MW")
    days_per_year: Positive = key("That the typical day stands for.", 365.0, unit="days")

    def to_costs(self) -> Costs:
        return Costs(**self.model_dump())


class PaperUnit(Section):
    """A unit of storage in the paper's plan."""

    bus: Name = key("Where it stands.")
    energy_kwh: NotNegative = key("Its energy.", unit="kWh")
    power_kw: NotNegative = key("Its power.", unit="kW")


class PaperScheme(Section):
    """One column of the paper's table of results."""

    total_cny: Number | None = key("Total cost per year.", None, unit="CNY", example=1243100.0)
    storage_cny: Number | None = key(
        "Construction and maintenance of the storage.", None, unit="CNY", example=1147700.0
    )
    loss_cny: Number | None = key("Cost of losses.", None, unit="CNY", example=123500.0)
    pvhc_revenue_cny: Number | None = key("Revenue of hosting capacity.", None, unit="CNY", example=28100.0)
    pvhc_mw: Number | None = key("Hosting capacity.", None, unit="MW", example=12.23)
    v_min_pu: Number | None = key("Least voltage.", None, unit="pu", example=0.95)
    v_max_pu: Number | None = key("Largest voltage.", None, unit="pu", example=1.05)
    plan: dict[str, PaperUnit] = Field(default_factory=dict, description="Area -> unit.")


class PlanningPaper(Section):
    """What the publication states; shown beside ours, never used in a program."""

    source: str = key("The publication.", example="K. Yuan et al., Tables II and III")
    a: PaperScheme | None = Field(default=None, alias="A", description="What it states for scheme A.")
    b: PaperScheme | None = Field(default=None, alias="B", description="What it states for scheme B.")
    c: PaperScheme | None = Field(default=None, alias="C", description="What it states for scheme C.")
    notes: Sentences = key("Sentences on what cannot be derived from the publication.", ())

    def scheme(self, name: str) -> PaperScheme | None:
        found: PaperScheme | None = getattr(self, name.lower())
        return found


class PlanningSection(Section):
    """Paper 2's program: where storage stands and how large it is."""

    areas: dict[str, Names] = key("Area -> candidate buses; one unit per area at most.")
    pvhc_buses: SomeNames = key("Where PV may grow in the PVHC scenario.")
    pv_kw: dict[str, NotNegative] = Field(
        default_factory=dict,
        description="Bus -> rated power of the PV that is there.",
        json_schema_extra={"unit": "kW"},
    )
    ev_bus: Name | None = key("Where the curve ev_mw of profiles.csv draws.", None, example="33")
    typical: ScenarioSection
    pvhc: ScenarioSection
    storage: StorageSection
    costs: CostsSection = CostsSection()
    exactness: Literal["capped", "none"] = key(
        '"none" solves the program as the paper writes it, so that one can see it fail.', "capped"
    )
    gap: Annotated[float, Field(ge=0.0, lt=1.0)] = key("A plan is proven to this.", 1e-4, unit="share of the cost")
    time_limit_s: Positive = key("Per program.", 300.0, unit="s")
    sweep_revenue_cny_per_mw: Numbers = key(
        "What `hcsim sweep` tries where the command names nothing.", (), unit="CNY/MW"
    )
    paper: PlanningPaper | None = None
