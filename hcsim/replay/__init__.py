"""A schedule through OpenDSS: series, devices, result and its files, verdict."""

__all__ = [
    "deadbands",
    "inverter_day",
    "operating_points",
    "options",
    "own_violations",
    "recording",
    "result",
    "run",
    "scheduled_devices",
    "series",
    "verdict",
]
