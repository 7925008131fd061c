"""study.toml: what a study assumes, validated. Every key carries its unit in its name.

Sections are frozen pydantic models; a key that is not listed here is an error that names the nearest one.
The messages are put together in `hcsim.cases.config.explain`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from hcsim.cases.config.bess import BessSection
from hcsim.cases.config.certify import CertifySection
from hcsim.cases.config.controls import ControlsSection, OperateSection
from hcsim.cases.config.explain import explain
from hcsim.cases.config.feeder import FeederSection, ProfilesSection
from hcsim.cases.config.inverters import InvertersSection
from hcsim.cases.config.limits import LimitsSection, SimulationSection
from hcsim.cases.config.paper import PaperSection
from hcsim.cases.config.planning import PlanningSection
from hcsim.cases.config.program import ProgramSection
from hcsim.cases.config.pv import PvSection
from hcsim.cases.config.solver import SolverSection
from hcsim.cases.config.types import Section, key
from hcsim.errors import ConfigError
from hcsim.util.files import with_an_end


class StudyConfig(Section):
    """A study: which feeder, which assumptions, what is asked."""

    title: str = key("What the report is called.", "")
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
    operate: OperateSection = OperateSection()
    inverters: InvertersSection = InvertersSection()
    paper: PaperSection | None = None
    planning: PlanningSection | None = None
    assumptions: dict[str, str] = Field(
        default_factory=dict,
        description="Free text, shown in the report; say of each whether it is stated, ours or calibrated.",
    )

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
        text = with_an_end(file).read_text(encoding="utf-8")
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
    except RecursionError:
        raise ConfigError(f"{file} is not valid TOML: its lists stand too deep in each other.") from None
    try:
        return StudyConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(explain(error, StudyConfig, file, text)) from None
