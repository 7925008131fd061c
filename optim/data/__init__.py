"""Types that flow: Network, Profiles, Limits, LinearModel, Schedule."""

__all__ = [
    "criteria",
    "limits",
    "linear_model",
    "network",
    "node",
    "operation",
    "profiles",
    "schedule",
    "schedule_frame",
    "violations",
]
