"""Policies that act while the day runs, days of other load and sun, and how many of them pass."""

__all__ = [
    "capacity",
    "days",
    "federate",
    "follow",
    "foresight",
    "operation",
    "policy",
    "rolling",
    "scheduled",
    "settings",
    "year",
]
