"""[controls] and [operate] of study.toml: which controls act, and how a policy acts beside them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from hcsim.cases.config.types import Names, NotNegative, Section, Share, key


class ControlsSection(Section):
    """Which of the feeder's own controls act where controls are free: replay, simulation, closed loop."""

    free: Literal["all", "none"] | Names = key(
        '"all", "none", or a list of names ("RegControl.creg1a"), classes ("CapControl"), wildcards ("creg4*").', "all"
    )
    locked: Names = key("These hold what the feeder was read with, whatever free says; names likewise.", ())


class OperateSection(Section):
    """`hcsim operate`: what a policy sees, how late and how exactly, and how far it may go."""

    delay_steps: Annotated[int, Field(ge=0, le=1000)] = key(
        "0: a policy sees the present step's power flow and acts until it rests; else how old measurements are.",
        0,
        unit="steps",
    )
    rounds: Annotated[int, Field(ge=1, le=1000)] = key(
        "Power flows within a step between which a policy may act; one that wants more hunts, and is said to.",
        10,
        unit="power flows",
    )
    meters: Annotated[int, Field(ge=0, le=10**6)] = key(
        "Telemetered nodes beside the devices' own terminals: those closest to a limit on the planned day.",
        24,
        unit="nodes",
    )
    measurement_error_pct: Annotated[float, Field(ge=0.0, le=100.0)] = key(
        "Standard deviation of every measured head power, of its value.", 0.0, unit="%"
    )
    voltage_error_pu: Annotated[float, Field(ge=0.0, le=0.1)] = key(
        "Standard deviation of every measured voltage.", 0.0, unit="pu"
    )
    forecast_error_pct: Annotated[float, Field(ge=0.0, le=100.0)] = key(
        "Standard deviation of the forecast of load and of sun.", 0.0, unit="%"
    )
    forecast_correlation: Annotated[float, Field(ge=0.0, lt=1.0)] = key(
        "Of the forecast's error from one step to the next.", 0.9
    )
    lost_share: Share = key("Of the measurements that never arrive; the one before stands.", 0.0, unit="share")
    margin_kw: NotNegative = key("What *follow* keeps from the head's limit, per phase.", 5.0, unit="kW")
    margin_pu: Annotated[float, Field(ge=0.0, le=0.05)] = key(
        "What *follow* keeps from a voltage limit.", 5e-4, unit="pu"
    )
    ramp_pct: Annotated[float, Field(gt=0.0, le=100.0)] = key(
        "Most that a PV plant's power changes from step to step, of its rating; 100 is no limit.", 100.0, unit="%"
    )
    draws: Annotated[int, Field(ge=0, le=10**6)] = key(
        "Drawn days of a study's column *operated*, load and sun each off by up to 10 %; 0: no such column.",
        40,
        unit="days",
    )
    pass_pct: Annotated[float, Field(gt=0.0, le=100.0)] = key(
        "Share of these days on which the operated capacity passes.", 95.0, unit="%"
    )

    def seen(self) -> dict[str, Any]:
        """What `OperateSettings` is made of."""
        return self.model_dump(exclude={"draws", "pass_pct"})
