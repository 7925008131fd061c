"""A case made ready: what every command starts from."""

__all__ = [
    "allocation",
    "bounds",
    "changes",
    "dispatch_template",
    "gates",
    "own_devices",
    "planning",
    "sdp_bounds",
    "second_engine",
    "tangent_export",
]
