"""What a certified schedule is worth on days that are not quite the day it was made for.

A draw is a day whose whole load is off by one factor (whole per cents) and whose whole PV by another, both uniform
within the spread: the error of a forecast, which hours share. Devices keep their commands; an inverter feeds what
the sun gives, up to its kVA beside its reactive power. Regulators and capacitors act. A draw passes where its day
shows no violation that the bare feeder of the same load does not show. What breaks is kept by criterion and place.

The margin: by how much draws overstep limits is what a schedule would have to stay inside them on its own day, were
the feeder linear. With that kept inside the programs, the closed loop runs again and takes only what passes on as
many draws as are wanted: where regulators step, a margin alone promises nothing.

Regulators rest anywhere in their bands, so that a limit may be broken on a day by where the days before have left
them, devices or not. The share of draws that break nothing but what the bare feeder's controls may show as well, come
to rest elsewhere in their bands, is told beside the share that passes.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hcsim.certify.certificate import Certificate, Round
from hcsim.certify.loop import certify
from hcsim.certify.many_days import Days
from hcsim.certify.options import loop_options
from hcsim.devices.held_controls import hold
from hcsim.replay.result import ReplayResult
from hcsim.workbench.allocation import Workbench
from optim.data.criteria import Before
from optim.data.linear_model import Floats
from optim.data.schedule import Schedule
from optim.data.violations import Excess, worst_new

SPREAD, WANTED = 0.10, 0.95
CLOSE = 5e-3
"""Tolerance of the loop that looks for a margin, which is not known more finely."""
HALF_A_STEP_PU = 3.2e-3
"""Least margin in its programs where regulators act: half a tap step, as on another day one stands elsewhere."""
NEAR = 0.05
"""Its first trust region, as a share of what is certified: farther off the taps are others."""
SHOWN = 8
"""Places at which a draw breaks that are kept."""
LEVERS = {"overvoltage": 0, "undervoltage": 0, "reverse_flow": 1, "regulator_reverse_flow": 1, "loading": 2}
"""Criterion -> which of (pu of voltage, kW, pu of loading) keeps it at a distance."""
NO_ANSWER, NOT_KEPT = "convergence", "not_delivered"

Progress = Callable[[str, int, int], None]
"""Called with (what is counted, how many are done, of how many)."""


@dataclass(frozen=True)
class RobustnessSettings:
    """How many days are drawn, how far off they are, and what is looked for then."""

    draws: int = 200
    seed: int = 1
    spread: float = SPREAD
    """Half width of the uniform factors of load and PV."""
    wanted: float = WANTED
    """Share of the draws that a schedule with a margin has to pass."""
    most_s: float = np.inf
    """Draws not made when these seconds are over are left out."""
    margin_s: float = 0.0
    """Seconds for the closed loop that looks for the margin, 0 for none."""


@dataclass(frozen=True)
class Draws:
    """(K,) factors of load and PV."""

    load: Floats
    pv: Floats

    @classmethod
    def seeded(cls, draws: int, seed: int, spread: float = SPREAD) -> Draws:
        random = np.random.default_rng(seed)
        both = random.uniform(-spread, spread, size=(draws, 2))
        return cls(1.0 + np.round(both[:, 0], 2), 1.0 + both[:, 1])


@dataclass(frozen=True)
class DrawsOutcome:
    """Of every draw, what is new and farthest beyond what is allowed, by criterion; nothing where it passes."""

    broken: tuple[tuple[Excess, ...], ...]
    times: tuple[str, ...]
    share_in_range: float = np.nan
    """Of draws that break at most what the bare feeder may show with its controls come to rest elsewhere."""

    @property
    def share_passed(self) -> float:
        return float(np.mean([not found for found in self.broken]))

    def causes(self) -> list[dict[str, Any]]:
        """What breaks most often first: criterion and place, in which share of the draws it is the worst of its
        criterion, the hour at which it mostly is, and by how much (median)."""
        places: dict[tuple[str, str, str, str], list[Excess]] = defaultdict(list)
        for found in self.broken:
            for e in found:
                places[e.criterion, e.element, e.phase, e.unit].append(e)
        ordered = sorted(places.items(), key=lambda item: -len(item[1]))
        return [
            {
                "criterion": criterion,
                "element": element,
                "phase": phase,
                "share": len(each) / len(self.broken),
                "hour": self.times[int(np.bincount([e.step for e in each]).argmax())],
                "beyond": float(np.median([e.beyond for e in each])),
                "unit": unit,
            }
            for (criterion, element, phase, unit), each in ordered[:SHOWN]
        ]

    def by_criterion(self) -> dict[str, float]:
        """Share of the draws in which each criterion is broken."""
        names = [e.criterion for found in self.broken for e in found]
        return {name: names.count(name) / len(self.broken) for name in dict.fromkeys(names)}

    def overstepped(self, wanted: float) -> Floats:
        """(3,) by how much (pu of voltage, kW, pu of loading) limits would have to stand further out so that the share
        `wanted` of these draws is inside: each at the same quantile of the draws, the lowest that is enough. NaN
        where nothing of the kind would do."""
        most = np.zeros((len(self.broken), len(set(LEVERS.values()))))
        for k, found in enumerate(self.broken):
            for e in found:
                lever = LEVERS.get(e.criterion)
                if lever is None:
                    most[k] = np.inf  # no margin helps
                else:
                    most[k, lever] = max(most[k, lever], e.beyond)
        helped = most[np.isfinite(most).all(axis=1)]
        if len(helped) < wanted * len(most):
            return np.full(most.shape[1], np.nan)
        for quantile in np.linspace(wanted, 1.0, 21):
            margin = np.quantile(helped, quantile, axis=0, method="inverted_cdf")
            if (most <= margin).all(axis=1).mean() >= wanted:
                return np.asarray(margin)
        return np.full(most.shape[1], np.nan)


def with_robustness(
    bench: Workbench,
    found: Certificate,
    settings: RobustnessSettings | None = None,
    *,
    progress: Progress | None = None,
) -> Certificate:
    """The certificate with `robustness`: draws (made), draws_wanted, seed, spread, wanted, share_passed;
    share_in_range, by_criterion and causes (see `DrawsOutcome`); needed_pu, needed_kw, needed_loading_pu (see
    `DrawsOutcome.overstepped`); margin_status ("not needed", "not searched", "found", "not found") and margin_reason;
    robust_kw, the capacity left, robust_share, how many draws pass with it, margin_kw, the capacity given up, and
    inside_pu, inside_kw, what its programs kept from limits (NaN where there is none); seconds.

    The schedule that holds with a margin is the certificate's `robust`.
    """
    begun = time.perf_counter()
    settings = settings or RobustnessSettings()
    draws, seed, spread, wanted = settings.draws, settings.seed, settings.spread, settings.wanted
    tester = Tester(bench, Draws.seeded(draws, seed, spread), progress)
    first = tester.outcome(found.schedule, settings.most_s)
    tester.keep(len(first.broken))
    needed = first.overstepped(wanted)
    facts: dict[str, Any] = {
        "draws": len(first.broken),
        "draws_wanted": draws,
        "cut": "time" if len(first.broken) < draws else "",
        "seed": seed,
        "spread": spread,
        "wanted": wanted,
        "share_passed": first.share_passed,
        "share_in_range": first.share_in_range,
        "by_criterion": first.by_criterion(),
        "causes": first.causes(),
        "needed_pu": float(needed[0]),
        "needed_kw": float(needed[1]),
        "needed_loading_pu": float(needed[2]),
        "margin_reason": "",
        "robust_kw": np.nan,
        "robust_share": np.nan,
        "inside_pu": np.nan,
        "inside_kw": np.nan,
    }
    robust = None
    if first.share_passed >= wanted:
        facts |= {
            "margin_status": "not needed",
            "robust_kw": found.certified_kw,
            "robust_share": first.share_passed,
            "inside_pu": 0.0,
            "inside_kw": 0.0,
        }
    elif not np.isfinite(needed).all():
        worst = next(name for name in facts["by_criterion"] if name not in LEVERS)
        facts |= {
            "margin_status": "not found",
            "margin_reason": f"No distance from a limit mends {worst.replace('_', ' ')}.",
        }
    elif settings.margin_s <= 0:
        facts |= {"margin_status": "not searched"}
    else:
        regulated = any(name.startswith("RegControl.") for name in bench.selection.free)
        inside = np.maximum(needed, [HALF_A_STEP_PU if regulated else 0.0, 0.0, 0.0])
        again = _with_margin(tester, found, inside, wanted, settings.margin_s)
        share = tester.outcome(again.schedule).share_passed
        held = again.certified_kw > 0 and share >= wanted
        facts |= {"margin_status": "found" if held else "not found", "margin_reason": f"{again.status}: {again.reason}"}
        if held:
            robust = again.schedule
            facts |= {
                "robust_kw": again.certified_kw,
                "robust_share": share,
                "inside_pu": float(inside[0]),
                "inside_kw": float(inside[1]),
            }
    facts |= {"margin_kw": found.certified_kw - facts["robust_kw"], "seconds": time.perf_counter() - begun}
    return replace(found, robustness=facts, robust=robust)


def _with_margin(tester: Tester, found: Certificate, inside: Floats, wanted: float, seconds: float) -> Certificate:
    """The closed loop again, from the certified schedule, with the margin in its programs."""
    bench = tester.bench
    options = replace(
        loop_options(bench, seconds),
        max_rounds=bench.case.config.certify.margin_search_rounds,
        tolerance=CLOSE,
        bound=False,
        reopenings=0,
        controls="free",
        margin_pu=float(inside[0]),
        margin_kw=float(inside[1]),
        margin_loading_pu=max(float(inside[2]), loop_options(bench).margin_loading_pu),
        first_radius=NEAR,
    )

    def report_round(r: Round) -> None:
        words = f"s for a margin, {r.certified_kw:.0f} kW pass after {r.number} rounds"
        tester.say(words, int(min(r.seconds, seconds)), int(seconds))

    return certify(
        bench, found.schedule, options, report_round, accept=lambda schedule: tester.enough(schedule, wanted)
    )


class Tester:
    """The same draws for every schedule, in a circuit of their own. The bare feeder of a load is simulated once, and
    only where a day is beyond a limit."""

    def __init__(self, bench: Workbench, draws: Draws, progress: Progress | None = None) -> None:
        self.bench, self._draws, self.say = bench, draws, progress or (lambda *_: None)
        self._bare: dict[float, ReplayResult] = {}
        self._own = Workbench.open(bench.case)
        hold(self._own.circuit, bench.selection.held)
        self._hardest_first = list(range(len(draws.load)))

    def keep(self, draws: int) -> None:
        """Only the first so many from now on."""
        self._draws = Draws(self._draws.load[:draws], self._draws.pv[:draws])
        self._hardest_first = list(range(draws))

    def outcome(self, schedule: Schedule, most_s: float = np.inf) -> DrawsOutcome:
        """Every draw; those for which there is time."""
        broken: list[tuple[Excess, ...]] = []
        ranged = 0
        begun = time.perf_counter()
        with Days(self._own, schedule) as days:
            for k in range(len(self._draws.load)):
                if broken and time.perf_counter() - begun > most_s:
                    break
                found, in_range = self._broken(days, schedule, k)
                broken.append(found)
                ranged += in_range
                self.say("draws", k + 1, len(self._draws.load))
        return DrawsOutcome(tuple(broken), self.bench.profiles.times, ranged / len(broken))

    def enough(self, schedule: Schedule, wanted: float) -> bool:
        """Whether the share of draws that is wanted passes. Draws that failed last time come first."""
        allowed = int((1.0 - wanted) * len(self._hardest_first) + 1e-9)
        failed: list[int] = []
        passed: list[int] = []
        with Days(self._own, schedule) as days:
            for k in self._hardest_first:
                (failed if self._broken(days, schedule, k)[0] else passed).append(k)
                if len(failed) > allowed:
                    break
        asked = {*failed, *passed}
        self._hardest_first = [*failed, *(k for k in self._hardest_first if k not in asked), *passed]
        return len(failed) <= allowed

    def _broken(self, days: Days, schedule: Schedule, k: int) -> tuple[tuple[Excess, ...], bool]:
        """What is new on the day of draw k; whether the bare feeder might show as much (see `share_in_range`)."""
        load, limits = float(self._draws.load[k]), self.bench.limits
        found = days.run(perturbed(schedule, float(self._draws.pv[k])), load)
        if found is None:
            return (self._whole(NO_ANSWER),), False
        kept = () if days.delivered() else (self._whole(NOT_KEPT),)
        if not worst_new(found, limits):
            return kept, not kept
        before = self._before(load)
        new = (*worst_new(found, limits, before), *kept)
        return new, not new or not (worst_new(found, limits, before, anywhere=True) or kept)

    def _before(self, load: float) -> Before:
        if load not in self._bare:
            profiles = self.bench.profiles.scaled(np.full(len(self.bench.profiles), load))
            bench = replace(self.bench, case=replace(self.bench.case, profiles=profiles))
            self._bare[load] = bench.replay(None, "free")
        return self._bare[load].before

    def _whole(self, criterion: str) -> Excess:
        """What is wrong with a day, not with a place."""
        return Excess(criterion, "", self.bench.network.name, "", 0, np.nan, np.nan)


def perturbed(schedule: Schedule, factor: float) -> Schedule:
    """The sun `factor` times as strong, reactive power as commanded, the rest of an inverter's kVA for power."""
    room = np.sqrt(np.maximum(schedule.pv_kw**2 - schedule.pv_q_kvar**2, 0.0))
    return replace(schedule, pv_p_kw=np.minimum(factor * schedule.pv_p_kw, room))
