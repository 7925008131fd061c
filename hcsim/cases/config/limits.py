"""[limits], [[limits.bands]] and [simulation]: what counts as a violation."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hcsim.cases.config.types import AsTuple, Off, Section, VoltagePu
from optim.data.limits import Limits, VoltageBand


class BandSection(Section):
    """[[limits.bands]]: voltage limits of a voltage level of its own."""

    kv_min: Annotated[float, Field(ge=0.0)] | None = None
    """Nominal line-to-line kV from which on the band holds, as in the feeder's voltage bases; none: from zero."""
    kv_max: Annotated[float, Field(gt=0.0)] | None = None
    """Nominal line-to-line kV below which it holds; none: without end."""
    v_min_pu: VoltagePu | Off | None = None
    """None: that of [limits]."""
    v_max_pu: VoltagePu | Off | None = None

    @model_validator(mode="after")
    def _says_where(self) -> BandSection:
        if self.kv_min is None and self.kv_max is None:
            raise ValueError("a band says with kv_min, kv_max or both (kV, line to line) for which level it is")
        if self.kv_min is not None and self.kv_max is not None and self.kv_min >= self.kv_max:
            raise ValueError(f"kv_min = {self.kv_min:g} must be below kv_max = {self.kv_max:g}")
        return self


class LimitsSection(Section):
    v_min_pu: VoltagePu | Off = 0.95
    v_max_pu: VoltagePu | Off = 1.05
    substation_min_kw: float | Off = 0.0
    """Least active power into the feeder per source phase; 0 forbids reverse flow (paper 1, eq. 7e)."""
    loading_max_pu: Annotated[float, Field(gt=0.0, le=10.0)] | Off = "off"
    """Branch current over its normal rating."""
    loading_worse_pct: Annotated[float, Field(ge=0.0, le=100.0)] = 0.5
    """By how much of what it carries an overloaded branch may gain and still be no worse than before."""
    unbalance_max_pct: Annotated[float, Field(gt=0.0, le=100.0)] | Off = "off"
    """Largest deviation of a line-to-line voltage from the mean of the three, per cent (ANSI C84.1)."""
    v_deviation_max_pu: Annotated[float, Field(gt=0.0, le=1.0)] | Off = "off"
    """Voltage change when devices come on, controls frozen; nodal and stochastic studies only."""
    regulator_min_kw: float | Off = "off"
    """Least active power through each regulator phase, away from the source."""
    tap_operations_max: Annotated[float, Field(ge=0.0)] | Off = "off"
    """Tap steps of one regulator within one step."""
    existing: Literal["strict", "forgive"] = "strict"
    """Where the bare feeder breaks a limit: the program mends it (strict), or makes it no worse (forgive).
    Replay and baseline always tell existing violations from new ones."""
    bands: Annotated[tuple[BandSection, ...], AsTuple] = ()
    """Voltage levels with limits of their own; elsewhere v_min_pu and v_max_pu hold."""

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
            loading_worse=self.loading_worse_pct / 100.0,
            unbalance_max_pct=judged(self.unbalance_max_pct),
            v_deviation_max_pu=judged(self.v_deviation_max_pu),
            regulator_min_kw=judged(self.regulator_min_kw),
            tap_operations_max=judged(self.tap_operations_max),
            bands=tuple(band(b) for b in self.bands),
        )


class SimulationSection(Section):
    """What nodal and stochastic studies judge where [limits] has "off": see `Limits.screening` for the sources."""

    loading_max_pu: Annotated[float, Field(gt=0.0, le=10.0)] | Off = 1.0
    v_deviation_max_pu: Annotated[float, Field(gt=0.0, le=1.0)] | Off = 0.03
    unbalance_max_pct: Annotated[float, Field(gt=0.0, le=100.0)] | Off = 3.0
    regulator_min_kw: float | Off = 0.0
    tap_operations_max: Annotated[float, Field(ge=0.0)] | Off = 4.0
