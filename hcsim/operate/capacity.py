"""Operated capacity: the largest PV of a plan that passes on a share of other days, the policy acting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import floor
from typing import Any

from scipy.stats import binomtest

from hcsim.errors import HcsimError
from hcsim.operate.days import OperatedDays, PolicyDays, maker_of
from hcsim.operate.operation import Day
from hcsim.operate.policy import PolicyError
from hcsim.operate.settings import OperateSettings
from hcsim.schedules.edit import resized
from hcsim.workbench.allocation import Workbench
from optim.data.schedule import Schedule

FINE = 0.005
"""Of the plan's capacity: how closely the largest share is told from the next."""


@dataclass(frozen=True)
class Operated:
    """What a plan can take on other days."""

    policy: str
    hc_kw: float
    """0 where no share of the plan's capacity tried passes on enough days."""
    plan_kw: float
    pass_pct: float
    draws: int
    share_passed: float
    share_low: float
    share_high: float
    curtailed_share_mean: float
    curtailed_share_worst: float
    trials: int
    worst: dict[str, Any] | None
    """What breaks most often, at the capacity found or, where there is none, at the least tried."""
    plan_worst: dict[str, Any] | None
    """The same at the plan's own capacity, of the days run there; None where enough pass."""
    search: str = "bisection to 0.5 %: a larger size may pass that it did not try"

    def to_json(self) -> dict[str, Any]:
        """As `cases.<program>.operated` of summary.json."""
        return dict(self.__dict__)


def operated_in_words(found: Mapping[str, Any]) -> str:
    """ "operated by follow 3,541 kW pass on 95 % of 40 other days for 1.2 % of the energy", of `Operated.to_json`."""
    if found["hc_kw"] <= 0:
        wanted = f"{found['pass_pct']:g} % of {found['draws']} days"
        return f"operated by {found['policy']} no capacity tried passes on {wanted}"
    said = (
        f"operated by {found['policy']} {found['hc_kw']:,.0f} kW pass on {100 * found['share_passed']:.0f} % of "
        f"{found['draws']} other days for {100 * found['curtailed_share_mean']:.1f} % of the energy"
    )
    if (w := found["plan_worst"]) is None:
        return said
    where = f"{w['bus']}{', phase ' + w['phase'] if w['phase'] else ''}"
    what = w["criterion"].replace("_", " ")
    return f"{said} (best found by bisection; all of it fails by {what} at {where} at {w['hour']})"


def operated_capacity(
    bench: Workbench,
    schedule: Schedule,
    policy: str,
    days: Sequence[Day],
    settings: OperateSettings,
    pass_pct: float = 95.0,
    progress: Callable[[float, int, int], None] | None = None,
) -> Operated:
    """At most the plan's own capacity: above it a controller can always curtail, which is a matter of the year's energy
    (`hcsim flexible`).

    The plan's shares, reactive power and batteries stay; PV is scaled down, by bisection, until enough days pass.
    `progress` hears (kW, days done, of how many). Raises HcsimError where the policy cannot be run.
    """
    make = maker_of(policy)
    allowed = floor(len(days) * (1.0 - pass_pct / 100.0) + 1e-9)
    trials = 0
    known: dict[bytes, Any] = {}
    last: PolicyDays | None = None

    def run(share: float) -> PolicyDays | None:
        """None where too many days fail."""
        nonlocal trials, last
        trials += 1
        kw = share * schedule.hc_kw
        plan = schedule if share == 1.0 else resized(schedule, kw)
        work = OperatedDays(bench, plan, settings, known)
        tell = (lambda _, done, of: progress(kw, done, of)) if progress else None
        try:
            found = work.run(policy, make, days, tell, most_failures=allowed)
        except PolicyError as error:
            raise HcsimError(str(error)) from None
        last = found
        failed = sum(map(bool, found.broken))
        return found if len(found.broken) == len(days) and failed <= allowed else None

    low, best, high = 0.0, None, 1.0
    plan_worst = None
    if (found := run(1.0)) is not None:
        low, best = 1.0, found
    else:
        assert last is not None
        plan_worst = last.worst()
    while high - low > FINE and low < 1.0:
        middle = (low + high) / 2.0
        if (found := run(middle)) is not None:
            low, best = middle, found
        else:
            high = middle
    shown = best or last
    assert shown is not None
    passed = sum(not b for b in shown.broken)
    interval = binomtest(passed, len(shown.broken)).proportion_ci(0.95, "wilson")
    return Operated(
        policy=policy,
        hc_kw=low * schedule.hc_kw,
        plan_kw=schedule.hc_kw,
        pass_pct=pass_pct,
        draws=len(days),
        share_passed=passed / len(shown.broken),
        share_low=float(interval.low),
        share_high=float(interval.high),
        curtailed_share_mean=float(shown.curtailed_share.mean()),
        curtailed_share_worst=float(shown.curtailed_share.max()),
        trials=trials,
        worst=shown.worst(),
        plan_worst=plan_worst,
    )
