"""What no schedule of a case can exceed: the balance of its loads, under a stated ceiling on losses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hcsim.replay.result import ReplayResult
from hcsim.workbench.allocation import Workbench
from optim.bounds.balance import Bound, balance_bound, most_load_kw
from optim.feeder.power_flow import leg_voltages_v

Floats = NDArray[np.float64]
BETWEEN_PHASES = 1.03
"""By how much a voltage between two phases may exceed the mean of both at 120 degrees: six degrees more."""

ASSUMES = (
    "Every judged voltage is within its limits, or where the bare feeder has it; between two phases it is at most "
    f"{100 * (BETWEEN_PHASES - 1):.0f} % above what both have at 120 degrees."
)


@dataclass(frozen=True)
class NoMoreThan:
    """A bound on hosting capacity with what it assumes."""

    program: str
    bound: Bound
    ceiling_words: str
    times: tuple[str, ...]
    assumes: str = ASSUMES

    def to_json(self) -> dict[str, object]:
        """`no_more_than_kw`, `method`, `losses_ceiling_kw` (largest of any step), `status`, binding hours."""
        kw = self.bound.bound_kw
        return {
            "no_more_than_kw": kw if np.isfinite(kw) else None,
            "method": self.bound.method,
            "losses_ceiling_kw": float(np.max(self.bound.losses_ceiling_kw)),
            "losses_ceiling": self.ceiling_words,
            "status": self.bound.status,
            "hours": [self.times[t] for t in self.bound.binding],
            "assumes": self.assumes,
        }


def no_more_than(
    bench: Workbench, program: str, *, losses_kw: float | None = None, beside: Iterable[ReplayResult] = ()
) -> NoMoreThan:
    """The balance for one of the programs (none, centralized, distributed, ...).

    The ceiling on losses is, hour by hour, what the feeder loses without devices, or what a replay of `beside` loses
    where that is more (so that the bound holds for them too); `losses_kw` takes its place in every hour.
    """
    bare = bench.bare("free")
    found, times = bare.found, bench.profiles.times
    ceiling, words = ceiling_on_losses(bench, losses_kw, beside)
    limits = bench.limits
    least = 0.0 if limits.substation_min_kw is None else limits.substation_min_kw
    if limits.substation_min_kw is None or (limits.v_max_pu is None and not limits.bands):
        nothing = "no bound: neither reverse flow nor voltage limits what flows back"
        return NoMoreThan(program, Bound(np.inf, ceiling, (), status=nothing), words, times)
    source_kw = found.operation.substation_kw.sum(axis=1)
    others_kw = found.load_kw + found.losses_kw - source_kw  # what the feeder's own PV, storage and generators give
    load_kw = _most_load_kw(bench)
    fleet = bench.fleet(program)
    units = () if fleet is None else fleet.units[: fleet.n_placed or len(fleet.units)]
    bound = balance_bound(
        load_kw - others_kw,
        ceiling,
        bench.profiles.pv_pu,
        bench.profiles.step_h,
        units,
        source_min_kw=least * len(found.operation.substation_phases),
        one_status=program in ("centralized", "distributed_no_circulation"),
    )
    return NoMoreThan(program, bound, words, times)


def ceiling_on_losses(
    bench: Workbench, losses_kw: float | None, beside: Iterable[ReplayResult] = ()
) -> tuple[Floats, str]:
    """(T,) kW and what they are in words: `losses_kw` in every hour, or what the bare feeder or a replay loses."""
    if losses_kw is not None:
        return np.full(len(bench.profiles), float(losses_kw)), f"{losses_kw:g} kW in every hour, as asked for"
    beside = tuple(beside)
    ceiling = np.fmax.reduce([bench.bare("free").found.losses_kw, *(r.losses_kw for r in beside)])
    words = "what the feeder loses without devices in that hour" + (
        ", or what a schedule of this study loses there if that is more" if beside else ""
    )
    return ceiling, words


def _most_load_kw(bench: Workbench) -> Floats:
    """(T,) every load leg at the voltage, inside the limits or where the bare feeder is, at which it draws most.

    Multipliers are those of the bare run: loads with status=fixed stay, and the feeder's own devices are no loads.
    """
    multiplier = np.array([p.load_pu for p in bench.bare("free").points])
    return most_load_kw(bench.network.loads, multiplier, *leg_range(bench))


def leg_range(bench: Workbench, beyond_pu: float = 0.0) -> tuple[Floats, Floats]:
    """(L,) least and most voltage across every load leg, pu of its rating: inside the limits, or where the bare feeder
    is; `beyond_pu` farther than that."""
    network, limits = bench.network, bench.limits
    points = bench.bare("free").points
    legs = network.loads
    volts = np.array([np.abs(leg_voltages_v(legs, p.v_v)) for p in points])
    judged = np.array([network.judged_v_pu(p.v_v) for p in points])
    own = judged[:, legs.node_plus]
    nominal = np.nanmedian(volts / np.where(own > 0, own, np.nan), axis=0)  # volts across the leg at 1 pu
    kv = network.kv_base[legs.node_plus]
    low, high = limits.v_min_at(kv), limits.v_max_at(kv)
    low = np.fmin(np.where(np.isfinite(low), low, 0.8), np.nanmin(own, axis=0)) - beyond_pu
    high = np.fmax(np.where(np.isfinite(high), high, 1.2), np.nanmax(own, axis=0)) + beyond_pu
    stretch = np.where(legs.node_minus >= 0, BETWEEN_PHASES, 1.0)
    at_least = nominal * low / stretch / legs.v_rated_v
    at_most = nominal * high * stretch / legs.v_rated_v
    fallback = np.isnan(nominal)  # a leg whose node nobody judges: as far as it was seen to go
    at_least = np.where(fallback, volts.min(axis=0) / legs.v_rated_v * 0.9, at_least)
    at_most = np.where(fallback, volts.max(axis=0) / legs.v_rated_v * 1.1, at_most)
    return at_least, at_most
