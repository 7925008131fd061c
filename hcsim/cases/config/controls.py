"""[controls] of study.toml: which of the feeder's own controls act."""

from __future__ import annotations

from typing import Literal

from hcsim.cases.config.types import Names, Section, key


class ControlsSection(Section):
    """Which of the feeder's own controls act where controls are free: replay, simulation, closed loop."""

    free: Literal["all", "none"] | Names = key(
        '"all", "none", or a list of names ("RegControl.creg1a"), classes ("CapControl"), wildcards ("creg4*").', "all"
    )
    locked: Names = key("These hold what the feeder was read with, whatever free says; names likewise.", ())
