"""The closed loop, its margins, repairs, error budget, and days of other load and sun."""

__all__ = ["certificate", "error_budget", "loop", "options", "robustness"]
