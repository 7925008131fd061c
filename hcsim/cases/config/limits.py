"""[limits], [[limits.bands]] and [simulation]: what counts as a violation."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hcsim.cases.config.types import AsTuple, NotNegative, Number, Off, Positive, Section, VoltagePu, key
from optim.data.limits import Limits, VoltageBand


class BandSection(Section):
    """A voltage level with limits of its own; elsewhere those of [limits] hold."""

    kv_min: NotNegative | None = key(
        "Nominal line-to-line voltage from which on the band holds; left out: from the lowest.",
        None,
        unit="kV",
        example=0.0,
    )
    kv_max: Positive | None = key(
        "Nominal line-to-line voltage below which it holds; left out: up to the highest.", None, unit="kV", example=1.0
    )
    v_min_pu: VoltagePu | Off | None = key(
        "Least voltage there, or off; left out: as in [limits].", None, unit="pu", example=0.917
    )
    v_max_pu: VoltagePu | Off | None = key("Largest voltage there; likewise.", None, unit="pu", example=1.058)

    @model_validator(mode="after")
    def _says_where(self) -> BandSection:
        if self.kv_min is None and self.kv_max is None:
            raise ValueError("a band says with kv_min, kv_max or both (kV, line to line) for which level it is")
        if self.kv_min is not None and self.kv_max is not None and self.kv_min >= self.kv_max:
            raise ValueError(f"kv_min = {self.kv_min:g} must be below kv_max = {self.kv_max:g}")
        return self


class LimitsSection(Section):
    """What counts as a violation; each may be "off". Replay and baseline always tell existing from new ones."""

    v_min_pu: VoltagePu | Off = key("Least voltage.", 0.95, unit="pu")
    v_max_pu: VoltagePu | Off = key("Largest voltage.", 1.05, unit="pu")
    substation_min_kw: Number | Off = key(
        "Least power from the source into each phase; 0: no reverse flow (paper 1, eq. 7e).", 0.0, unit="kW"
    )
    loading_max_pu: Annotated[float, Field(gt=0.0, le=10.0)] | Off = key(
        "Branch current over its normal rating.", "off", unit="share of the rating"
    )
    voltage_worse_pu: Annotated[float, Field(ge=0.0, le=0.1)] = key(
        "By so much may a voltage beyond its limit already go further and be no worse than before.", 1e-4, unit="pu"
    )
    loading_worse_pct: Annotated[float, Field(ge=0.0, le=100.0)] = key(
        "Of what it carries, by which a branch overloaded already may gain and be no worse than before.", 0.5, unit="%"
    )
    unbalance_max_pct: Annotated[float, Field(gt=0.0, le=100.0)] | Off = key(
        "Largest deviation of a line-to-line voltage from the mean of the three (ANSI C84.1).", "off", unit="%"
    )
    v_deviation_max_pu: Annotated[float, Field(gt=0.0, le=1.0)] | Off = key(
        "Voltage change when devices come on, controls frozen; nodal and stochastic studies only.", "off", unit="pu"
    )
    regulator_min_kw: Number | Off = key(
        "Least power through each regulator phase, away from the source.", "off", unit="kW"
    )
    tap_operations_max: NotNegative | Off = key("Tap steps of one regulator within one step.", "off", unit="tap steps")
    existing: Literal["strict", "forgive"] = key(
        'Where the bare feeder breaks a limit the program mends it ("strict"), or makes it no worse ("forgive").',
        "strict",
    )
    bands: Annotated[tuple[BandSection, ...], AsTuple] = key("Voltage levels with limits of their own.", ())

    @model_validator(mode="after")
    def _in_order(self) -> LimitsSection:
        limits = self.to_limits()
        for where, low, high in (
            ("", limits.v_min_pu, limits.v_max_pu),
            *((f"band {b.words}: ", b.v_min_pu, b.v_max_pu) for b in limits.bands),
        ):
            if low is not None and high is not None and low >= high:
                raise ValueError(f"{where}v_min_pu = {low:g} must be below v_max_pu = {high:g}")
        ordered = sorted(limits.bands, key=lambda b: b.kv_min or 0.0)
        for below, above in pairwise(ordered):
            if below.kv_max is None or below.kv_max > (above.kv_min or 0.0):
                raise ValueError(f"two bands speak of one level: {below.words}, and {above.words}")
        return self

    def to_limits(self) -> Limits:
        def judged(value: float | str) -> float | None:
            return None if isinstance(value, str) else float(value)

        def band(b: BandSection) -> VoltageBand:
            low = self.v_min_pu if b.v_min_pu is None else b.v_min_pu
            high = self.v_max_pu if b.v_max_pu is None else b.v_max_pu
            return VoltageBand(b.kv_min, b.kv_max, judged(low), judged(high))

        return Limits(
            v_min_pu=judged(self.v_min_pu),
            v_max_pu=judged(self.v_max_pu),
            substation_min_kw=judged(self.substation_min_kw),
            loading_max_pu=judged(self.loading_max_pu),
            v_worse_pu=self.voltage_worse_pu,
            loading_worse=self.loading_worse_pct / 100.0,
            unbalance_max_pct=judged(self.unbalance_max_pct),
            v_deviation_max_pu=judged(self.v_deviation_max_pu),
            regulator_min_kw=judged(self.regulator_min_kw),
            tap_operations_max=judged(self.tap_operations_max),
            bands=tuple(band(b) for b in self.bands),
        )


class SimulationSection(Section):
    """Nodal and stochastic studies judge these where [limits] has "off"; each may be "off" too."""

    # the sources of these values: `optim.data.limits.Limits.screening`
    loading_max_pu: Annotated[float, Field(gt=0.0, le=10.0)] | Off = key(
        "Branch current over its normal rating.", 1.0, unit="share of the rating"
    )
    v_deviation_max_pu: Annotated[float, Field(gt=0.0, le=1.0)] | Off = key(
        "Voltage change when a site comes on, controls frozen.", 0.03, unit="pu"
    )
    unbalance_max_pct: Annotated[float, Field(gt=0.0, le=100.0)] | Off = key(
        "Largest deviation of a line-to-line voltage from the mean of the three.", 3.0, unit="%"
    )
    regulator_min_kw: Number | Off = key(
        "Least power through each regulator phase, away from the source.", 0.0, unit="kW"
    )
    tap_operations_max: NotNegative | Off = key("Tap steps of one regulator within one step.", 4.0, unit="tap steps")
