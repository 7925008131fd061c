"""A certificate put back: its schedule once more, in a feeder compiled anew that nothing has run in yet."""

from __future__ import annotations

from dataclasses import replace

from hcsim.certify.certificate import Certificate
from hcsim.devices.held_controls import hold
from hcsim.schedules.edit import resized
from hcsim.workbench.allocation import Workbench

SMALLER = (0.9995, 0.999, 0.998, 0.995, 0.99, 0.98, 0.95, 0.9)
"""Shares of the capacity that are tried where the whole does not hold."""


def put_back(bench: Workbench, found: Certificate) -> Certificate:
    """The certificate with `verified`; where its schedule fails, the largest of some smaller capacities that holds,
    and the reason says so. Raises what compiling the feeder raises."""
    fresh = Workbench.open(bench.case)
    hold(fresh.circuit, bench.selection.held)
    base = bench.replay(None, "free")
    if fresh.replay(found.schedule, "free", base=base).passed:
        return replace(found, verified=True)
    why = f"In a feeder compiled anew {found.certified_kw:.1f} kW broke a limit"
    for share in SMALLER:
        smaller = resized(found.schedule, share * found.certified_kw)
        replay = fresh.replay(smaller, "free", base=base)
        if replay.passed:
            reason = f"{found.reason} {why}; lowered to what holds there."
            return replace(found, schedule=smaller, replay=replay, reason=reason, cut="put back", verified=True)
    return replace(found, reason=f"{found.reason} {why}, and so did 90 % of it.", cut="put back")
