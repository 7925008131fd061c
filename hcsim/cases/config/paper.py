"""[paper] of study.toml: what a publication states for the same case."""

from __future__ import annotations

from hcsim.cases.config.types import Names, Positive, Section, Sentences, key


class PaperSection(Section):
    """What a publication states for the same case; shown beside ours, never used in a program."""

    source: str = key("The publication.", example="N. Shi et al., 2022")
    none_kw: Positive | None = key("Its hosting capacity without BESS.", None, unit="kW", example=3427.5)
    centralized_kw: Positive | None = key("With one central BESS.", None, unit="kW", example=5476.0)
    distributed_kw: Positive | None = key("With distributed BESS.", None, unit="kW", example=5613.4)
    bess_buses: Names = key("Where it puts distributed BESS.", ())
    notes: Sentences = key("Sentences on what cannot be had from the publication, shown in the report.", ())
