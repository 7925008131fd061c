"""HiGHS sessions, and second-order cones for them."""

__all__ = ["cones", "conic_engines", "highs", "linear", "options", "outcome", "pyomo_solvers"]
