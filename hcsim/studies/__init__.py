"""The main jobs as tables of contents: allocation, planning, nodal, stochastic, year."""

__all__ = [
    "allocation",
    "federate",
    "flexible",
    "nodal",
    "operate",
    "options",
    "planning",
    "planning_sweep",
    "runner",
    "stochastic",
    "validation",
    "year",
    "year_plan",
]
