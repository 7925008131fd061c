"""The hosting capacity programs of paper 1: problem, equations, rows, search, what binds, why infeasible."""

__all__ = ["binding", "decided", "problem", "search", "spread", "storage"]
