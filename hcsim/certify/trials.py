"""Schedules tried in the full simulation by the closed loop: what has passed, and the best of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hcsim.certify.margins import Margins
from hcsim.certify.options import LoopOptions
from hcsim.certify.repair import repaired
from hcsim.certify.stalls import price_kw, taps_kept
from hcsim.replay.operating_points import Visit, visit
from hcsim.replay.options import ReplayOptions
from hcsim.replay.result import ReplayResult
from hcsim.schedules.edit import blend, idle, same_devices
from hcsim.workbench.allocation import Workbench
from optim.data.schedule import Schedule
from optim.hosting.storage import Fleet
from optim.linearize.tangent import Acting

FIRST_PROBES = 7
"""On a segment as long as nothing is certified: down to a hundredth of the claim."""
NEARBY = 0.8
"""Share of a proposal from which on the best that passed is worth more than one probe between the two."""
REPAIRS, WORTH_REPAIRING = 4, 0.99
"""Replays spent on taking back what a proposal broke, where nothing above this share of it has passed."""


class Standing(NamedTuple):
    """Where the loop stands: a schedule, its replay, and what that is worth."""

    schedule: Schedule
    seen: Visit
    merit: float


class Trials:
    """Replays with all controls acting as the loop's options say. Begins with the claim's devices doing nothing,
    which always passes."""

    def __init__(
        self,
        bench: Workbench,
        claim: Schedule,
        open_fleet: Fleet | None,
        options: LoopOptions,
        accept: Callable[[Schedule], bool] | None,
    ) -> None:
        self.bench, self.options, self.accept = bench, options, accept
        sites = [n for _, n in open_fleet.converters] if open_fleet else []
        self.ports = tuple(dict.fromkeys((*bench.pv_nodes, *claim.pv_nodes, *claim.bess_nodes, *sites)))
        self.acting = _acting(bench, claim, sites, self.ports)
        self.bare = bench.bare(options.controls).found
        self.power_flows = 0
        nothing = idle(claim)
        seen = self.visit(nothing)
        self.start = Standing(nothing, seen, self.merit(nothing, seen.found))
        self.best: tuple[Schedule, ReplayResult] = (nothing, seen.found)
        self.anchor = nothing
        """The best schedule with the present decisions that passed."""

    @property
    def certified_kw(self) -> float:
        return self.best[0].hc_kw

    def begin_anew(self, schedule: Schedule) -> Standing:
        """Other decisions: the anchor is their devices doing nothing."""
        nothing = idle(schedule)
        seen = self.visit(nothing)
        self.anchor = nothing
        return Standing(nothing, seen, self.merit(nothing, seen.found))

    def visit(self, schedule: Schedule) -> Visit:
        self.power_flows += len(self.bench.profiles)
        options = ReplayOptions(self.options.controls, before=self.bare.before, give_up=True)
        return visit(self.bench.model, schedule, self.ports, options, acting=self.acting)

    def passes(self, found: ReplayResult) -> bool:
        return found.passed and taps_kept(found, self.bare, self.options.max_tap_operations)

    def keep_if_passed(self, schedule: Schedule, found: ReplayResult) -> bool:
        passed = self.passes(found) and (self.accept is None or self.accept(schedule))
        if passed and schedule.hc_kw > self.certified_kw:
            self.best = (schedule, found)
        if passed and same_devices(schedule, self.anchor) and schedule.hc_kw > self.anchor.hc_kw:
            self.anchor = schedule
        return passed

    def merit(self, schedule: Schedule, found: ReplayResult) -> float:
        return schedule.hc_kw - price_kw(found, self.options.elastic_kw_per_pu)

    def repair(self, far: Schedule, seen: Visit, inside: Margins) -> bool:
        """Takes back what a proposal broke, as its own tangent asks for; whether that has passed."""
        if not 0 < self.anchor.hc_kw <= WORTH_REPAIRING * far.hc_kw:
            return False
        for _ in range(REPAIRS):
            less = repaired(far, seen.found, seen.model, inside) if seen.found.converged.all() else None
            if less is None or less.hc_kw <= self.certified_kw:
                return False
            far, seen = less, self.visit(less)
            if self.keep_if_passed(less, seen.found):
                return True
        return False

    def search_segment(self, far: Schedule) -> None:
        """Bisects between the anchor and one that failed for the furthest that passes."""
        near, low, high = self.anchor, 0.0, 1.0
        if far.hc_kw <= near.hc_kw:
            return
        probes = self.options.probes if near.hc_kw > 0 else FIRST_PROBES
        for _ in range(probes if near.hc_kw > NEARBY * far.hc_kw or near.hc_kw <= 0 else 1):
            share = (low + high) / 2
            probe = blend(near, far, share)
            self.power_flows += len(self.bench.profiles)
            found = self.bench.replay(probe, self.options.controls, base=self.bare, give_up=True)
            if self.keep_if_passed(probe, found):
                low = share
            else:
                high = share


def _acting(bench: Workbench, claim: Schedule, sites: list[str], ports: tuple[str, ...]) -> Acting:
    """PV where there is sun, or reactive power without; batteries at any hour, by active power."""
    at_pv = np.isin(ports, (*bench.pv_nodes, *claim.pv_nodes))
    at_bess = np.isin(ports, (*claim.bess_nodes, *sites))
    sun = (bench.profiles.pv_pu > 0)[:, None]
    return (sun & at_pv) | at_bess, (sun | bench.pv.night_var) & at_pv
