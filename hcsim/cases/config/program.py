"""[program] of study.toml: what is studied, on which linear model."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

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

    @model_validator(mode="after")
    def _taps_need_the_tangent(self) -> ProgramSection:
        if self.taps == "each_hour" and self.linearization != "tangent":
            raise ValueError('taps = "each_hour" needs linearization = "tangent"')
        return self
