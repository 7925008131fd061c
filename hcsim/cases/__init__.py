"""A study folder or a bare feeder: study.toml, profiles, defaults, time axes."""

__all__ = [
    "against_feeder",
    "case",
    "config",
    "control_choice",
    "defaults",
    "existing_devices",
    "on_axis",
    "rules",
    "screening_limits",
    "site_caps",
    "study_file",
    "time_axis",
]
