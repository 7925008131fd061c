"""Networks as equations: two-ports, parallel branches, power flow, balanced equivalent."""

__all__ = ["neutrals", "parallel", "power_flow", "radial", "radial_power_flow", "two_port"]
