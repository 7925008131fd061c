"""A schedule through OpenDSS: series, devices, result and its files, verdict."""

from hcsim.util.rooms import callable_room

__all__ = [
    "deadbands",
    "inverter_day",
    "operating_points",
    "options",
    "own_power",
    "own_violations",
    "recording",
    "result",
    "run",
    "scheduled_devices",
    "series",
    "spans",
    "verdict",
]

callable_room(__name__, "hcsim.replay.run", "replay")
