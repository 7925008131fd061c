"""A schedule through OpenDSS: series, crew, result and its files, verdict."""

__all__ = [
    "crew",
    "deadbands",
    "inverter_day",
    "operating_points",
    "options",
    "own_violations",
    "recording",
    "result",
    "run",
    "series",
    "verdict",
]
