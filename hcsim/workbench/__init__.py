"""A case made ready: what every command starts from."""

__all__ = ["allocation", "own_devices", "planning"]
