"""What a closed loop may begin at besides its claim."""

from __future__ import annotations

from hcsim.certify.certificate import Certificate
from hcsim.hosting.result import HostingCapacityResult
from hcsim.schedules.edit import resized, spread_evenly, with_pv_of
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule


def starts_of(
    claim: Schedule,
    without: Certificate | None,
    uniform: HostingCapacityResult | None,
    own: HostingCapacityResult | None,
    profiles: Profiles,
) -> list[Schedule]:
    """What simulation found for a claim, uniform and with its own shares, and what is certified without batteries, as
    schedules: no certificate shall be below them."""
    starts = []
    if without is not None and (start := with_pv_of(claim, without.schedule)):
        starts.append(start)
    if uniform is not None and uniform.hc_kw > 0:
        starts.append(spread_evenly(claim, uniform.hc_kw, profiles))
    if own is not None and own.hc_kw > 0:
        starts.append(resized(claim, own.hc_kw))
    return starts
