"""[feeder] and [profiles] of study.toml: the files that a study stands on."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from hcsim.cases.config.types import Section, Sentences, key


class FeederSection(Section):
    """The feeder's own files."""

    master: str = key("The feeder's master .dss file, relative to the study folder or absolute.", "Master.dss")
    zone: str = key(
        "Study only what lies behind this EnergyMeter, reverse flow judged at its head; empty: the whole feeder.", ""
    )
    edits: Sentences = key(
        "OpenDSS commands that follow the files, each an edit of an element: other settings, another conductor.",
        (),
        example=["edit regcontrol.reg1 vreg=122"],
    )
    crs: str = key(
        "Coordinate system of the feeder's bus coordinates, for map layers: EPSG:4326 for longitude and latitude, or "
        "another code; empty: not known, and no GeoJSON is written.",
        "",
    )

    @field_validator("edits")
    @classmethod
    def _only_edits(cls, edits: tuple[str, ...]) -> tuple[str, ...]:
        for edit in edits:
            if "\n" in edit or edit.lower().split(None, 1)[:1] not in (["edit"], ["batchedit"]):
                raise ValueError(f"{edit!r} is no edit of an element; for one: edit regcontrol.reg1 vreg=122")
        return edits


class ProfilesSection(Section):
    """Load and sun over the day."""

    file: str = key(
        "CSV with columns hour (or time), load_pu, pv_pu, optionally ev_mw, and load_pu:<load, bus or wildcard>, "
        "pv_pu:<bus> of single ones; whole days in equal steps of 1 minute to 1 hour.",
        "profiles.csv",
    )
    loads: Literal["own", "file"] = key(
        'Loads follow LoadShapes of their own where the feeder gives them any ("own"), or all of them the file.', "own"
    )
    day: str | None = key(
        'A day of the feeder\'s yearly shapes: a date, "worst-light" or "worst-peak"; left out: its daily shapes, and '
        "the first day of yearly ones.",
        None,
        example="2025-05-04",
    )
