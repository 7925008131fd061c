"""Hosting capacity by simulation: system-wide, nodal, stochastic, year."""

__all__ = [
    "hour_probe",
    "nodal",
    "nodal_result",
    "open_feeder",
    "result",
    "stochastic",
    "stochastic_result",
    "system_wide",
    "weights",
    "year_recorder",
    "year_result",
]
