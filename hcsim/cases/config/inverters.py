"""[inverters] of study.toml: what PV inverters do where nobody commands their reactive power."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from hcsim.cases.config.types import Section, key
from hcsim.devices.inverter_curves import VOLT_VAR_B, VOLT_WATT, InverterControl

InverterWord = Literal["off", "volt_var", "volt_watt", "volt_var_volt_watt"]


def _pairs(value: object) -> object:
    """TOML's list of points as tuples."""
    if isinstance(value, tuple):
        return value
    if not isinstance(value, list) or not all(isinstance(p, list) and len(p) == 2 for p in value):
        raise ValueError("a curve is a list of points [V in pu, share], for example [[1.06, 1.0], [1.10, 0.2]]")
    return tuple(tuple(point) for point in value)


_CURVE_SCHEMA = {
    "type": "array",
    "items": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
    "minItems": 2,
}
CurvePoints = Annotated[tuple[tuple[float, float], ...], BeforeValidator(_pairs), WithJsonSchema(_CURVE_SCHEMA)]


class InvertersSection(Section):
    """PV inverters on their own; the curves are IEEE 1547-2018's defaults for category B."""

    control: InverterWord = key(
        'In `hcsim replay` and `baseline`: "volt_var", "volt_watt", "volt_var_volt_watt", or "off": as scheduled.',
        "off",
    )
    compare: InverterWord = key(
        "The same words: what `hcsim study` lays beside unity power factor and the optimizer's reactive power.", "off"
    )
    volt_var: CurvePoints = key(
        "Reactive power, injection positive (table 8).", VOLT_VAR_B, unit="[V in pu, share of nameplate kVA]"
    )
    volt_watt: CurvePoints = key("Most active power (table 10).", VOLT_WATT, unit="[V in pu, share of rated kW]")
    kva_per_kw: Annotated[float, Field(ge=1.0, le=2.0)] = key(
        "Nameplate over rated power; reactive power goes first, so 1.0 may cost active power.", 1.0, unit="kVA per kW"
    )
    night_var: bool = key(
        "Reactive power without sun too; else none below 5 % of rated power, all from 20 % (5.2).", False
    )

    @model_validator(mode="after")
    def _curves_are_curves(self) -> InvertersSection:
        for name, curve, low, high in (("volt_var", self.volt_var, -1, 1), ("volt_watt", self.volt_watt, 0, 1)):
            if len(curve) < 2 or any(b[0] <= a[0] for a, b in pairwise(curve)):
                raise ValueError(f"{name} needs two points or more, each [V in pu, share], in rising order of V")
            if not all(0.5 <= v <= 1.5 and low <= share <= high for v, share in curve):
                raise ValueError(f"{name}: voltages are 0.5 to 1.5 pu and shares {low} to {high}")
            if any(b[1] > a[1] for a, b in pairwise(curve)):
                raise ValueError(f"{name} must not rise with voltage: it would drive the voltage away")
        return self

    def to_control(self, word: InverterWord | None = None) -> InverterControl | None:
        """The curves with what `word` switches on (default: `control`); None where inverters are off."""
        mode = self.control if word is None else word
        if mode == "off":
            return None
        return InverterControl(mode, self.volt_var, self.volt_watt, self.kva_per_kw, self.night_var)
