"""Which limits a nodal or stochastic study judges: study.toml, the screening set for the rest, the command line."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from hcsim.cases.config.limits import LimitsSection, SimulationSection
from hcsim.errors import ConfigError
from hcsim.util.suggest import did_you_mean
from optim.data.limits import Limits

FIELDS = {
    "overvoltage": "v_max_pu",
    "undervoltage": "v_min_pu",
    "reverse_flow": "substation_min_kw",
    "loading": "loading_max_pu",
    "voltage_deviation": "v_deviation_max_pu",
    "voltage_unbalance": "unbalance_max_pct",
    "regulator_reverse_flow": "regulator_min_kw",
    "tap_operations": "tap_operations_max",
}
"""Criterion -> the field of Limits that switches it."""


def simulation_limits(
    section: LimitsSection, options: Sequence[str] = (), simulation: SimulationSection | None = None
) -> Limits:
    """study.toml's [limits]; where they are "off" its [simulation], by default the values of `Limits.screening`;
    then `options`, "loading=1.2" or "loading=off".

    A voltage limit among `options` holds at every voltage level, whatever bands study.toml has.

    Raises ConfigError for an unknown criterion (naming the nearest) or a value that is no number.
    """
    limits = section.to_limits()
    for name, value in (simulation or SimulationSection()).model_dump().items():
        if getattr(limits, name) is None and value != "off":
            extra: dict[str, Any] = {name: float(value)}
            limits = dataclasses.replace(limits, **extra)
    for option in options:
        name, _, value = option.partition("=")
        if name not in FIELDS:
            raise ConfigError(
                f"--limit {option}: there is no criterion {name!r}.",
                f"{did_you_mean(name, FIELDS)} Criteria: {', '.join(FIELDS)}.".strip(),
            )
        change: dict[str, Any] = {FIELDS[name]: _value(option, value)}
        if name in ("overvoltage", "undervoltage"):
            change["bands"] = tuple(dataclasses.replace(band, **change) for band in limits.bands)
        limits = dataclasses.replace(limits, **change)
    if not limits.leaves_room():
        raise ConfigError(
            f"--limit {', '.join(options)}: undervoltage must be below overvoltage at every voltage level.",
            "Look at [limits] of study.toml, and its bands.",
        )
    return limits


def _value(option: str, text: str) -> float | None:
    if text == "off":
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"--limit {option}: {text!r} is neither a number nor off.", "Say loading=1.2, for one.")
    return number
