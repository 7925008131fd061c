"""Types that flow: Network, Profiles, Limits, LinearModel, Schedule."""

__all__ = ["limits", "linear_model", "network", "profiles", "schedule"]
