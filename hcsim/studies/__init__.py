"""The main jobs as tables of contents: allocation, planning, nodal, stochastic, year."""

__all__ = ["allocation", "nodal", "planning", "planning_sweep", "runner", "stochastic", "year"]
