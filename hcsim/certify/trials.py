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
from optim.data.criteria import Before
from optim.data.schedule import Schedule
from optim.hosting.spread import worth_kw
from optim.hosting.storage import Fleet
from optim.linearize.tangent import Acting


class Standing(NamedTuple):
    """Where the loop stands: a schedule, its replay, and what that is worth."""

    schedule: Schedule
    seen: Visit
    merit: float


class Trials:
    """Replays with all controls acting as the loop's options say. Begins with the claim's devices doing nothing.

    `before` is the feeder without devices: what it breaks as badly is forgiven. None: limits hold everywhere, what
    the bare feeder breaks has to be mended.
    """

    def __init__(
        self,
        bench: Workbench,
        claim: Schedule,
        open_fleet: Fleet | None,
        options: LoopOptions,
        accept: Callable[[Schedule], bool] | None,
        before: Before | None,
    ) -> None:
        self.bench, self.options, self.accept, self.before = bench, options, accept, before
        self.spread = bench.spread
        sites = [n for _, n in open_fleet.converters] if open_fleet else []
        self.ports = tuple(dict.fromkeys((*bench.pv_nodes, *claim.pv_nodes, *claim.bess_nodes, *sites)))
        self.acting = _acting(bench, claim, sites, self.ports)
        self.bare = bench.bare(options.controls).found
        self.power_flows = 0
        self.start = self.begin_anew(claim)
        self.best = self.start
        """Of those that passed; the devices doing nothing as long as there is none."""

    @property
    def certified_kw(self) -> float:
        """What is certified, in kW of the objective."""
        return self.worth_kw(self.best.schedule)

    def worth_kw(self, schedule: Schedule) -> float:
        """What the objective makes largest: without a spread the hosting capacity."""
        return worth_kw(self.spread, schedule.pv_nodes, schedule.pv_kw)

    def begin_anew(self, schedule: Schedule) -> Standing:
        """Other decisions: the anchor is their devices doing nothing."""
        nothing = idle(schedule)
        seen = self.visit(nothing)
        self.anchor = Standing(nothing, seen, self.merit(nothing, seen.found))
        """The best with the present decisions that passed."""
        return self.anchor

    def visit(self, schedule: Schedule) -> Visit:
        self.power_flows += len(self.bench.profiles)
        options = ReplayOptions(self.options.controls, before=self.before, give_up=True)
        return visit(self.bench.model, schedule, self.ports, options, acting=self.acting)

    def passes(self, found: ReplayResult) -> bool:
        kept = self.lost_too_much_kw(found) <= 0
        return found.passed and kept and taps_kept(found, self.bare, self.options.max_tap_operations)

    def lost_too_much_kw(self, found: ReplayResult) -> float:
        """Losses above their ceiling, the worst step's, in kW; 0 where they are within it or have none."""
        most = self.bench.losses_max_kw
        if most is None:
            return 0.0
        over = found.losses_kw - most - self.bench.limits.p_tolerance_kw
        return max(float(np.nanmax(over)), 0.0)

    def keep_if_passed(self, schedule: Schedule, seen: Visit) -> bool:
        passed = self.passes(seen.found) and (self.accept is None or self.accept(schedule))
        if not passed:
            return False
        there = Standing(schedule, seen, self.worth_kw(schedule))
        if there.merit > self.certified_kw:
            self.best = there
        if same_devices(schedule, self.anchor.schedule) and there.merit > self.worth_kw(self.anchor.schedule):
            self.anchor = there
        return True

    def merit(self, schedule: Schedule, found: ReplayResult) -> float:
        kw_per_kw = self.options.elastic_kw_per_kw
        burned = kw_per_kw * self.lost_too_much_kw(found)
        kw_per_pu = self.options.broken_pu_price * self.options.elastic_kw_per_pu
        return self.worth_kw(schedule) - price_kw(found, kw_per_pu, kw_per_kw) - burned

    def repair(self, far: Schedule, seen: Visit, inside: Margins) -> bool:
        """Takes back what a proposal broke, as its own tangent asks for; whether that has passed."""
        options = self.options
        if self.spread is not None or self.anchor.schedule.hc_kw > options.worth_repairing * far.hc_kw:
            return False  # a repair lets some sites go for others
        for _ in range(options.repairs):
            less = repaired(far, seen.found, seen.model, inside, options) if seen.found.converged.all() else None
            if less is None or less.hc_kw <= self.certified_kw:
                return False
            far, seen = less, self.visit(less)
            if self.keep_if_passed(less, seen):
                return True
        return False

    def search_segment(self, far: Schedule) -> bool:
        """Bisects between the anchor and one that failed for the furthest that passes; whether any has."""
        near, low, high, found = self.anchor.schedule, 0.0, 1.0, False
        if self.worth_kw(far) <= self.worth_kw(near):
            return False
        is_near = self.worth_kw(near) > self.options.nearby * self.worth_kw(far)
        probes = self.options.probes if is_near else self.options.first_probes
        for _ in range(probes):
            share = (low + high) / 2
            probe = blend(near, far, share)
            if self.keep_if_passed(probe, self.visit(probe)):
                low, found = share, True
            else:
                high = share
        return found


def _acting(bench: Workbench, claim: Schedule, sites: list[str], ports: tuple[str, ...]) -> Acting:
    """PV where there is sun, or reactive power without; batteries at any hour, by active power."""
    at_pv = np.isin(ports, (*bench.pv_nodes, *claim.pv_nodes))
    at_bess = np.isin(ports, (*claim.bess_nodes, *sites))
    sun = bench.profiles.sun(ports) > 0
    return (sun & at_pv) | at_bess, (sun | bench.pv.night_var) & at_pv
