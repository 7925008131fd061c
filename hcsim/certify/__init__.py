"""The closed loop, its margins, repairs, error budget, and days of other load and sun."""

from hcsim.util.rooms import callable_room

__all__ = ["certificate", "error_budget", "least_change", "loop", "options", "put_back", "robustness"]

callable_room(__name__, "hcsim.certify.loop", "certify")
