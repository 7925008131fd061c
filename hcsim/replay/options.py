"""How a schedule is run through OpenDSS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hcsim.devices.inverter_curves import InverterControl
from hcsim.replay.recording import Controls
from optim.data.criteria import Before

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


@dataclass(frozen=True)
class ReplayOptions:
    """How a replay is run; the same for one day, a year and each probe of a hosting capacity.

    >>> import hcsim
    >>> hcsim.ReplayOptions(controls="locked").controls
    'locked'
    """

    controls: Controls = "free"
    """"free" lets every control of the feeder act, "locked" holds regulators and capacitors where they stand."""
    taps: Mapping[str, int] | None = None
    """RegControl -> position from which the run starts; None: where the network was read."""
    before: Before | None = None
    """The feeder without devices under the same controls: what it breaks as badly is `existing`. None: limits alone
    (a hosting capacity then runs the bare feeder itself)."""
    inverters: InverterControl | None = None
    """Reactive power of PV follows its own terminal voltage instead of a schedule; also under locked controls."""
    give_up: bool = False
    """A step without an answer, which may cost as much as a whole day, is the last one; those behind it failed."""
    progress: Progress | None = None
