"""What a certified schedule is worth on days that are not quite the day it was made for.

A draw is a day whose whole load is off by one factor and whose whole PV by another, both uniform within the
spread: the error of a forecast, which hours share. Devices keep their commands; an inverter feeds what the sun
gives, up to its kVA beside its reactive power. Regulators and capacitors act. A draw passes where its replay
shows no violation that the bare feeder of the same day does not show.

The margin is what the schedule must be scaled back (capacity and every power alike) until the share of draws
that is wanted passes, the first of SHARES that does; every trial sees the same draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hcsim.certificate import Certificate
from hcsim.loop_schedules import scaled
from hcsim.results import ReplayResult
from hcsim.workbench import Workbench
from optim.linear_model import Floats
from optim.profiles import Profiles
from optim.schedule import Schedule

SPREAD = 0.10
WANTED = 0.95
SHARES = tuple(round(1.0 - k / 40, 3) for k in range(1, 28))
"""From 97.5 % down to a third, one after the other: regulators step, so that less need not pass more often."""


@dataclass(frozen=True)
class Draws:
    """(K,) factors of load and PV."""

    load: Floats
    pv: Floats

    @classmethod
    def seeded(cls, draws: int, seed: int, spread: float = SPREAD) -> Draws:
        random = np.random.default_rng(seed)
        both = 1.0 + random.uniform(-spread, spread, size=(draws, 2))
        return cls(both[:, 0], both[:, 1])


def with_robustness(
    bench: Workbench, found: Certificate, *, draws: int = 200, seed: int = 1, spread: float = SPREAD,
    wanted: float = WANTED,
) -> Certificate:  # fmt: skip
    """The certificate with `robustness`: draws, seed, spread, wanted, share_passed, and the margin in kW that
    brings the share to `wanted`, with the capacity left; NaN where none of SHARES passes often enough."""
    tester = _Tester(bench, Draws.seeded(draws, seed, spread))
    passed = tester.passed(found.schedule)
    share = tester.largest_share(found.schedule, wanted) if passed.mean() < wanted else 1.0
    robust_kw = share * found.certified_kw
    facts = {
        "draws": float(draws),
        "seed": float(seed),
        "spread": spread,
        "wanted": wanted,
        "share_passed": float(passed.mean()),
        "margin_kw": found.certified_kw - robust_kw,
        "robust_kw": robust_kw,
    }
    return replace(found, robustness=facts)


class _Tester:
    def __init__(self, bench: Workbench, draws: Draws) -> None:
        self._bench, self._draws = bench, draws
        self._bare: dict[int, ReplayResult] = {}

    def passed(self, schedule: Schedule, give_up_after: int | None = None) -> NDArray[np.bool_]:
        """(K,) whether each draw passes; with `give_up_after`, draws after so many failures count as failed."""
        result = np.zeros(len(self._draws.load), dtype=bool)
        failures = 0
        for k in range(len(result)):
            result[k] = self._passes(schedule, k)
            failures += not result[k]
            if give_up_after is not None and failures > give_up_after:
                break
        return result

    def largest_share(self, schedule: Schedule, wanted: float) -> float:
        """The largest of SHARES with which enough draws pass; NaN where none does."""
        allowed = int((1.0 - wanted) * len(self._draws.load))

        for share in SHARES:
            if (~self.passed(scaled(schedule, share), allowed)).sum() <= allowed:
                return share
        return np.nan

    def _passes(self, schedule: Schedule, k: int) -> bool:
        profiles = self._profiles(k)
        bench = replace(self._bench, case=replace(self._bench.case, profiles=profiles))
        found = bench.replay(perturbed(schedule, float(self._draws.pv[k])), "free")
        if found.passed:
            return True
        if not found.converged.all():
            return False
        if k not in self._bare:
            self._bare[k] = bench.replay(None, "free")
        return bench.replay(perturbed(schedule, float(self._draws.pv[k])), "free", base=self._bare[k]).passed

    def _profiles(self, k: int) -> Profiles:
        return replace(self._bench.profiles, load_pu=self._draws.load[k] * self._bench.profiles.load_pu)


def perturbed(schedule: Schedule, factor: float) -> Schedule:
    """The sun `factor` times as strong, reactive power as commanded, the rest of an inverter's kVA for power."""
    room = np.sqrt(np.maximum(schedule.pv_kw**2 - schedule.pv_q_kvar**2, 0.0))
    return replace(schedule, pv_p_kw=np.minimum(factor * schedule.pv_p_kw, room))
