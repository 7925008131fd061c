"""[program] of study.toml: what is studied, on which linear model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hcsim.cases.config.types import Section, key


class ProgramSection(Section):
    """What is studied, and the linear model that the programs stand on."""

    kind: Literal["allocation", "planning"] = key(
        'What `hcsim study` runs: "allocation" (paper 1) or "planning" (paper 2: schemes A, B, C).', "allocation"
    )
    linearization: Literal["lindist3flow", "tangent"] = key(
        '"lindist3flow" (radial feeders), or "tangent": exact at each hour\'s operating point, any topology.',
        "lindist3flow",
    )
    base: Literal["nominal", "served"] = key(
        'lindist3flow only: "nominal" loads and no losses (paper 1), or "served": both as the bare feeder has them.',
        "nominal",
    )
    taps: Literal["as_read", "each_hour"] = key(
        'Regulators in the program: "as_read" all day (paper 1), or "each_hour" where the bare feeder\'s own controls '
        "put them (tangent only; then no replay with locked taps).",
        "as_read",
    )

    objective: Literal["total", "even", "load"] = key(
        'What is made largest: "total" PV (the papers), "even": the site that is served least (kW, or share of its '
        'cap), or "load": PV in proportion to the load that stands at each site.',
        "total",
    )
    losses_max_pct: Annotated[float, Field(gt=0.0, le=100.0)] | Literal["off"] = key(
        "Ceiling on what the feeder loses in each step, per cent of what its loads draw then, or what it loses "
        "without devices where that is more: burning power makes room for PV. In tangents and the closed loop.",
        "off",
        unit="%",
    )
    spread: Literal["even", "load", "off"] = key(
        "The spread form that a study lays beside its total, without BESS.", "even"
    )

    @model_validator(mode="after")
    def _taps_need_the_tangent(self) -> ProgramSection:
        if self.taps == "each_hour" and self.linearization != "tangent":
            raise ValueError('taps = "each_hour" needs linearization = "tangent"')
        return self
