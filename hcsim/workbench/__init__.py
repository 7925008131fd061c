"""A case made ready: what every command starts from."""

__all__ = ["allocation", "bounds", "gates", "own_devices", "planning"]
