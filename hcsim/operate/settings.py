"""How a feeder is operated: delay, errors, meters, and how often a policy is asked within a step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OperateSettings:
    """[operate] of study.toml."""

    delay_steps: int = 0
    """0: a policy sees the present step's power flow and acts until it rests; k: measurements are k steps old."""
    rounds: int = 10
    """Power flows per step between which a policy may act; more counts as hunting."""
    meters: int = 24
    """Telemetered nodes beside the devices' own terminals: those closest to a limit on the planned day."""
    measurement_error_pct: float = 0.0
    """Standard deviation of every measured power, per cent of its value; seeded."""
    voltage_error_pu: float = 0.0
    forecast_error_pct: float = 0.0
    """Standard deviation of the forecast's load and sun, per cent, correlated in time."""
    forecast_correlation: float = 0.9
    """From one step to the next."""
    lost_share: float = 0.0
    """Share of the steps in which no measurement arrives; the one before stands."""
    margin_kw: float = 5.0
    """What *follow* keeps per phase of the head from the limit."""
    margin_pu: float = 5e-4
    """What *follow* keeps from a voltage limit."""
    ramp_pct: float = 100.0
    """Most that a device's active power changes from step to step, per cent of its rating."""
    seed: int = 1
