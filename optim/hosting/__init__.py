"""The hosting capacity programs of paper 1: problem, equations, rows, search, why infeasible."""

__all__ = ["problem", "search", "storage"]
