"""[pv] of study.toml: where PV may stand."""

from __future__ import annotations

from typing import Literal

from hcsim.cases.config.types import NotNegative, Positive, Section, SomeNames, key


class PvSection(Section):
    """Where PV may stand, and what its inverters may do."""

    buses: SomeNames = key('Candidate buses; all their phases, or some: "83.1.3".')
    night_var: bool = key("Inverters may give and take reactive power without sun too (paper 1, eq. 7c).", True)
    max_kw_per_bus: Positive | Literal["off", "rating"] = key(
        'The most PV at any one bus, in kW, all phases; "rating": what the lines and transformers that feed it are '
        'rated for, where they have ratings of their own; "off": no cap (paper 1).',
        "rating",
    )
    max_kw: dict[str, NotNegative] = key(
        'Caps of single buses in kW, in place of that for all: {"83" = 400.0}.', {}, unit="kW"
    )
