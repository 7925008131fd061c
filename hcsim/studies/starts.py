"""What a closed loop may begin at besides its claim."""

from __future__ import annotations

from collections.abc import Mapping

from hcsim.hosting.result import HostingCapacityResult
from hcsim.results.allocation import CaseResult
from hcsim.schedules.edit import resized, spread_evenly, with_pv_of
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule


def starts_of(
    name: str,
    cases: Mapping[str, CaseResult],
    baselines: Mapping[str, HostingCapacityResult],
    baseline_key: str,
    profiles: Profiles,
) -> list[Schedule]:
    """What simulation found for a case, and what is certified without batteries, as schedules: no certificate shall
    be below them. `baseline_key` is that of the case's own baseline."""
    claim = cases[name].schedule
    starts = []
    without = cases["none"].certificate if "none" in cases and name != "none" else None
    if without is not None and (start := with_pv_of(claim, without.schedule)):
        starts.append(start)
    if "none" in baselines and baselines["none"].hc_kw > 0:
        starts.append(spread_evenly(claim, baselines["none"].hc_kw, profiles))
    own = baselines.get(baseline_key)
    if own is not None and own.hc_kw > 0:
        starts.append(resized(claim, own.hc_kw))
    return starts
