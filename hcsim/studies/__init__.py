"""The main jobs as tables of contents: allocation, planning, nodal, stochastic, year."""

__all__ = ["allocation", "nodal", "operate", "planning", "planning_sweep", "runner", "stochastic", "validation", "year"]
