"""A case made ready: what every command starts from."""

__all__ = ["allocation", "gates", "own_devices", "planning"]
