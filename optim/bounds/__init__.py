"""What no schedule can exceed: energy balance, and a semidefinite relaxation of the power flow."""

__all__ = ["balance", "sdp"]
