"""[feeder] and [profiles] of study.toml: the files that a study stands on."""

from __future__ import annotations

from hcsim.cases.config.types import Section, key


class FeederSection(Section):
    """The feeder's own files."""

    master: str = key("The feeder's master .dss file, relative to the study folder or absolute.", "Master.dss")


class ProfilesSection(Section):
    """Load and sun over the day."""

    file: str = key(
        "CSV with columns hour, load_pu, pv_pu and optionally ev_mw; whole days, equal steps.", "profiles.csv"
    )
