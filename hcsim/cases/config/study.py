"""study.toml: what a study assumes, validated. Every key carries its unit in its name.

Sections are frozen pydantic models; a key that is not listed here is an error that names the nearest one.
The messages are put together in `hcsim.cases.config.explain`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from hcsim.cases.config.explain import explain
from hcsim.cases.config.inverters import InvertersSection
from hcsim.cases.config.limits import LimitsSection, SimulationSection
from hcsim.cases.config.planning import PlanningSection
from hcsim.cases.config.types import Name, Names, Positive, Section, Sentences, Share
from hcsim.errors import ConfigError


class FeederSection(Section):
    master: str = "Master.dss"
    """The .dss file, relative to the study folder."""


class ProfilesSection(Section):
    file: str = "profiles.csv"


class ControlsSection(Section):
    """Which of the feeder's own controls act where controls are free (replay, baseline, closed loop, simulation)."""

    free: Literal["all", "none"] | Names = "all"
    """ "all", "none", or names, classes and wildcards: "RegControl.creg1a", "CapControl", "creg4*"."""
    locked: Names = ()
    """These not, whatever `free` says; likewise."""


class ProgramSection(Section):
    kind: Literal["allocation", "planning"] = "allocation"
    """What `hcsim study` runs: paper 1's cases or paper 2's schemes."""
    linearization: Literal["lindist3flow", "tangent"] = "lindist3flow"
    base: Literal["nominal", "served"] = "nominal"
    """LinDist3Flow's base: loads at nominal power and no losses (paper 1), or loads as their voltage serves them
    and the losses of the feeder without devices. The tangent always stands on the solved feeder."""
    taps: Literal["as_read", "each_hour"] = "as_read"
    """Where the program holds regulators and capacitors: as the feeder was read (paper 1), or where the bare
    feeder's own controls put them in each hour, which only the tangent can; then no replay with locked taps."""

    @model_validator(mode="after")
    def _taps_need_the_tangent(self) -> ProgramSection:
        if self.taps == "each_hour" and self.linearization != "tangent":
            raise ValueError('taps = "each_hour" needs linearization = "tangent"')
        return self


class PvSection(Section):
    buses: Annotated[Names, Field(min_length=1)]
    """Candidate buses; all their phases, or some: "83.1.3"."""
    night_var: bool = True
    """Inverters may feed reactive power without sun, as paper 1, eq. (7c) has it."""


class BessSection(Section):
    energy_kwh: Positive
    """All units together."""
    power_kw: Positive
    """All units together, at the grid side, over all phases."""
    eta_charge: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    eta_discharge: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    soc_min: Share = 0.05
    soc_max: Share = 0.95
    centralized_bus: Name
    units: Annotated[int, Field(ge=1)] = 6
    """Number of equal units in the distributed cases."""
    candidate_buses: Names = ()
    """Where units may stand; empty: the PV buses (paper 1, section II-D)."""

    @model_validator(mode="after")
    def _in_order(self) -> BessSection:
        if self.soc_min >= self.soc_max:
            raise ValueError(f"soc_min = {self.soc_min:g} must be below soc_max = {self.soc_max:g}")
        if self.candidate_buses and self.units > len(self.candidate_buses):
            raise ValueError(f"units = {self.units} is more than the {len(self.candidate_buses)} candidate_buses")
        return self


class SolverSection(Section):
    name: str = "highs"
    gap: Annotated[float, Field(ge=0.0, lt=1.0)] = 1e-3
    """Relative; a program stops when it is proven to this."""
    max_nodes: Annotated[int, Field(ge=1)] = 5_000
    """Branch-and-bound nodes of one program: what ends the search for a better schedule or proof."""
    time_limit_s: Positive = 3600.0
    """Per program: a guard, far outside of what its nodes take."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Of other solvers than HiGHS, which always works with one: the answer must not depend on how many there are."""


class CertifySection(Section):
    """The closed loop: `hcsim certify`, and the certified column of `hcsim study`."""

    time_limit_s: Positive = 3600.0
    """Per case, error budget included: a guard, far outside of what its rounds take."""
    max_rounds: Annotated[int, Field(ge=1)] | None = None
    """Rounds from the claim alone, and as many from what else there is to start from. Left out: 60, on a feeder of
    more than 1000 nodes fewer in proportion, 12 at least."""
    tolerance: Annotated[float, Field(gt=0.0, lt=0.1)] = 2e-3
    """Certified where claim and certificate agree to this share."""
    margin_pu: Annotated[float, Field(ge=0.0, le=0.05)] = 2e-4
    """Least distance from voltage limits inside the programs."""
    margin_kw: Annotated[float, Field(ge=0.0)] = 0.5
    """Least distance from the substation's limit inside the programs, per phase."""
    margin_loading_pu: Annotated[float, Field(ge=0.0, le=0.5)] = 1e-3
    """Least distance from loading limits inside the programs, as a share of the rating."""
    max_tap_operations: Annotated[int, Field(ge=0)] | None = None
    """Tap steps of any one regulator over the studied day; more only where it takes more without devices."""
    soc_reserve: Share = 0.0
    """Share of its energy that no battery goes below."""
    robustness_draws: Annotated[int, Field(ge=0)] = 200
    """Days of other load and sun on which a study tries each certified schedule; 0: none."""
    robustness_s: Positive = 3600.0
    """Per case, a guard: when these seconds are over, a study leaves the other draws out and says so."""
    margin_search_s: Annotated[float, Field(ge=0.0)] = 0.0
    """Per case: the guard of the search for the capacity left with a margin that 95 % of the draws pass with; 0: not
    searched. Its budget is `margin_search_rounds`."""
    margin_search_rounds: Annotated[int, Field(ge=1)] = 20


class PaperSection(Section):
    """What a publication states for the same case; shown beside ours, never used in a program."""

    source: str
    none_kw: Positive | None = None
    centralized_kw: Positive | None = None
    distributed_kw: Positive | None = None
    bess_buses: Names = ()
    notes: Sentences = ()
    """Sentences on what cannot be had from the publication, shown in the report."""


class StudyConfig(Section):
    title: str = ""
    feeder: FeederSection = FeederSection()
    profiles: ProfilesSection = ProfilesSection()
    limits: LimitsSection = LimitsSection()
    simulation: SimulationSection = SimulationSection()
    controls: ControlsSection = ControlsSection()
    program: ProgramSection = ProgramSection()
    pv: PvSection | None = None
    bess: BessSection | None = None
    solver: SolverSection = SolverSection()
    certify: CertifySection = CertifySection()
    inverters: InvertersSection = InvertersSection()
    paper: PaperSection | None = None
    planning: PlanningSection | None = None
    assumptions: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _program_has_its_section(self) -> StudyConfig:
        if self.program.kind == "planning" and self.planning is None:
            raise ValueError('[program] kind = "planning" needs a section [planning]')
        return self

    @model_validator(mode="after")
    def _enough_candidates(self) -> StudyConfig:
        if self.pv and self.bess and not self.bess.candidate_buses and self.bess.units > len(self.pv.buses):
            raise ValueError(f"[bess] units = {self.bess.units} is more than the {len(self.pv.buses)} PV buses")
        return self


def read_config(file: Path) -> StudyConfig:
    """A validated study.toml.

    Raises ConfigError naming the file, line, key, what is wrong with it and the nearest valid key; all
    faults of the file in one message.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{file} does not exist.", "A study folder holds a study.toml.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}.") from None
    return parse_config(text, file)


def parse_config(text: str, file: Path) -> StudyConfig:
    """`read_config` of a text that stands, or could stand, in `file`."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}.", "Text values need quotes.") from None
    try:
        return StudyConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(explain(error, StudyConfig, file, text)) from None
