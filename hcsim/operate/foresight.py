"""What perfect foresight would have curtailed: the schedule of a day changed with all of the day known.

A program on the tangent of the day's own replay takes back what breaks, batteries moving almost for nothing and PV as
little as it can; it is replayed, and again, until OpenDSS passes it (`hcsim.certify.least_change`). That is the best
found, not a proven least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hcsim.certify.least_change import least_change
from hcsim.errors import HcsimError
from hcsim.feeder.model import FeederModel
from hcsim.operate.operation import Day, available_kw
from hcsim.operate.policy import Floats
from hcsim.replay.operating_points import Visit, visit
from hcsim.replay.options import ReplayOptions
from hcsim.workbench.allocation import Workbench
from optim.data.criteria import Before
from optim.data.schedule import Schedule

BATTERY = 1e-2
"""What a kilowatt-hour moved by a battery counts beside one curtailed."""


@dataclass(frozen=True)
class Foresight:
    """On the first K days."""

    curtailed_kwh: Floats
    """(K,) NaN where no schedule was found that passes."""
    available_kwh: Floats
    """(K,)"""

    @property
    def found(self) -> int:
        """Days with a schedule that OpenDSS has passed."""
        return int(np.isfinite(self.curtailed_kwh).sum())

    def regret(self, curtailed_share: Floats) -> tuple[float, float]:
        """Mean kWh a day that a policy curtailed beyond it, and per cent of the PV energy; of days with a schedule."""
        known = np.isfinite(self.curtailed_kwh)
        if not known.any():
            return float("nan"), float("nan")
        mine = curtailed_share[: len(known)][known] * self.available_kwh[known]
        more = float(np.mean(mine - self.curtailed_kwh[known]))
        return more, 100.0 * more / max(float(self.available_kwh[known].mean()), 1e-9)


def foresight(
    bench: Workbench,
    schedule: Schedule,
    days: Sequence[Day],
    before: Callable[[Floats], Before],
    progress: Callable[[int, int], None] | None = None,
) -> Foresight:
    """Every day on its own. `before(load)` is the bare feeder's day of these loads."""
    lost, there = [], []
    for k, day in enumerate(days):
        available = available_kw(schedule, bench.profiles, day)
        there.append(float(available.sum()) * bench.profiles.step_h)
        lost.append(_least(bench, schedule, available, day, before(day.load)))
        if progress:
            progress(k + 1, len(days))
    return Foresight(np.array(lost), np.array(there))


def _least(bench: Workbench, schedule: Schedule, available: Floats, day: Day, before: Before) -> float:
    """kWh, NaN where nothing was found."""
    plates = schedule.pv_kw if schedule.pv_kva is None else schedule.pv_kva
    room = np.sqrt(np.maximum(plates**2 - schedule.pv_q_kvar**2, 0.0))
    asked = replace(schedule, pv_p_kw=np.minimum(available, room))
    ports = tuple(dict.fromkeys([*schedule.pv_nodes, *schedule.bess_nodes]))
    model = FeederModel(bench.circuit, bench.network, bench.profiles.scaled(day.load), bench.limits)
    options = ReplayOptions("free", before=before)

    def run(tried: Schedule) -> Visit:
        return visit(model, tried, ports, options)

    first = run(asked)
    found = asked
    if not first.found.passed:
        try:
            repaired = least_change(asked, run, bench.limits, before, battery=BATTERY)
        except HcsimError:
            return float("nan")
        if repaired is None or not repaired.passed:
            return float("nan")
        found = repaired.schedule
    return float(np.maximum(available - found.pv_p_kw, 0.0).sum() * bench.profiles.step_h)
