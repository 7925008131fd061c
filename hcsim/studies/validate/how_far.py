"""How far a refuted dispatch is from passing: the largest share of it that does, and the smallest repair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hcsim.cases.rules import Rules
from hcsim.certify.least_change import Repair, changed_kwh, least_change
from hcsim.feeder.model import FeederModel
from hcsim.replay.operating_points import visit
from hcsim.replay.options import ReplayOptions
from hcsim.replay.result import ReplayResult
from hcsim.replay.run import replay
from hcsim.results.validation import Scales, share_in_words
from hcsim.schedules.edit import with_parts
from hcsim.schedules.repeat import part_of
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule
from optim.data.violations import new_violations

FINE, COARSE = 0.005, 0.05
"""To how fine a share the largest part that passes is found; coarse where one replay is long."""
LONG_STEPS = 400
"""Steps from which on only the days that break something are searched."""
MOST_DAYS = 3
"""So many of them, the worst; the others are said to be left out."""
MOST_REPAIRED = 10
PLACE = ["criterion", "element", "phase", "step"]
"""What two faults must have in common for a line through them to mean anything."""


@dataclass(frozen=True)
class Piece:
    """A stretch of a dispatch on its own: what is asked of it again and again."""

    model: FeederModel
    schedule: Schedule
    options: ReplayOptions
    first: int
    """Its first step in the whole."""


def judged(found: ReplayResult, rules: Rules | None, step_h: float) -> ReplayResult:
    """`found` with the violations that the rules count."""
    if rules is None:
        return found
    return replace(found, violations=rules.judged(found.violations, len(found.converged), step_h))


def pieces(
    model: FeederModel, schedule: Schedule, options: ReplayOptions, found: ReplayResult
) -> tuple[list[Piece], int]:
    """The whole where it is short; of a long one every day that breaks something, worst first, and how many they are.

    A day by itself starts with the energy that the dispatch has then, and with taps as the feeder file has them.
    """
    steps = len(schedule.times)
    per_day = max(1, round(24.0 / schedule.step_h))
    if steps <= max(LONG_STEPS, per_day):
        return [Piece(model, schedule, options, 0)], 1
    fresh = new_violations(found.violations)
    failed = np.flatnonzero(~found.converged)
    count = np.bincount(
        np.concatenate([fresh["step"].to_numpy(dtype=int), failed]) // per_day, minlength=-(-steps // per_day)
    )
    bad = [int(d) for d in np.argsort(-count, kind="stable") if count[d]]
    made = []
    for day in bad[:MOST_REPAIRED]:
        at = slice(day * per_day, min((day + 1) * per_day, steps))
        part = replace(model, profiles=_profiles(model.profiles, at))
        before = replay(part, None, ReplayOptions()).before
        made.append(Piece(part, part_of(schedule, at), ReplayOptions(before=before), at.start))
    return made, len(bad)


@dataclass(frozen=True)
class _Fault:
    """A share that does not pass, and how far it is beyond each limit that it breaks in one piece."""

    share: float
    piece: int
    beyond: pd.Series | None
    """By criterion, place and step, in the unit of the criterion; None where OpenDSS did not converge."""


def largest_share(fault: Callable[[float], _Fault | None], step: float, whole: _Fault) -> float:
    """A share that passes while another, at most `step` larger, does not. 0 passes and 1 does not;
    the caller has asked both, and `whole` is what the latter breaks.

    It is sought where a straight line through the two last faults leaves the last of their limits, and halved where
    there is no such line, or where two such steps in a row have left more than half: a replay of a large feeder takes
    seconds, and voltages are nearly straight in what is injected.
    """
    low, high, guesses = 0.0, 1.0, 0
    faults = [whole]
    while high - low > step:
        width = high - low
        share = (low + high) / 2.0
        guesses = 0 if guesses == 2 else guesses + 1
        if guesses and (root := _root(faults)) is not None:
            close = [s for s in (root - 0.45 * step, root + 0.45 * step) if low < s < high]
            share = close[0] if close else share
        if found := fault(share):
            high, faults = share, [*faults, found][-2:]
        else:
            low = share
        if high - low <= width / 2.0:
            guesses = 0
    return low


def _root(faults: list[_Fault]) -> float | None:
    """The share at which nothing is left beyond its limit, by what both faults break."""
    if len(faults) < 2 or faults[0].piece != faults[1].piece:
        return None
    worse, less = faults
    if worse.beyond is None or less.beyond is None:
        return None
    both = pd.concat([worse.beyond, less.beyond], axis=1, join="inner").to_numpy(dtype=float)
    fall = (both[:, 0] - both[:, 1]) / (worse.share - less.share)
    roots = less.share - both[fall > 0, 1] / fall[fall > 0]
    return float(roots.min()) if len(roots) else None


def _beyond(fresh: pd.DataFrame) -> pd.Series:
    return (fresh["value"] - fresh["limit"]).abs().groupby([fresh[name] for name in PLACE], dropna=False).max()


def scales(parts: list[Piece], days: int, rules: Rules | None, say: Callable[[str], None]) -> Scales:
    """Between 0 and 1 the largest share of the whole, and of each kind of power with the rest as it is."""
    parts = parts[:MOST_DAYS]
    count, step = 0, FINE if sum(len(p.schedule.times) for p in parts) <= LONG_STEPS else COARSE

    def fault(share: float, which: tuple[str, ...]) -> _Fault | None:
        """What the first piece breaks that does not pass; None where all pass."""
        nonlocal count
        for k, piece in enumerate(parts):
            count += 1
            scaled = with_parts(piece.schedule, **dict.fromkeys(which, share))
            found = judged(
                replay(piece.model, scaled, replace(piece.options, give_up=True)), rules, piece.schedule.step_h
            )
            fresh = new_violations(found.violations)
            if len(fresh) or not found.converged.all():
                return _Fault(share, k, _beyond(fresh) if found.converged.all() else None)
        return None

    if not (as_it_is := fault(1.0, ())):
        alone = "each by itself, with taps as in the feeder's file, the days that break most pass; no share was sought"
        return Scales(replays=count, left_out=alone)
    broken = as_it_is

    def largest(*which: str) -> float | None:
        return None if fault(0.0, which) else largest_share(lambda share: fault(share, which), step, broken)

    whole = largest("pv", "charging", "discharging")
    say("none of it passes" if whole is None else f"{share_in_words(whole)} of it passes")
    schedule = parts[0].schedule
    has_pv, has_bess = bool(schedule.pv_nodes), bool(schedule.bess_nodes)
    return Scales(
        whole,
        (largest("pv") if has_bess else whole) if has_pv else None,
        largest("charging") if has_bess else None,
        largest("discharging") if has_bess else None,
        count,
        f"sought on the {len(parts)} worst of {days} days that break something" if len(parts) < days else "",
        step,
    )


def repaired(
    model: FeederModel, schedule: Schedule, options: ReplayOptions, parts: list[Piece], days: int, rules: Rules | None
) -> tuple[Repair | None, str]:
    """The smallest change that passes, and what was left out. Of a long dispatch every bad day is repaired by itself,
    with the energy that it ends with, and the whole is replayed."""
    if days > len(parts):
        return None, f"{days} days break something: no repair was sought for more than {MOST_REPAIRED}"
    if len(parts) == 1 and parts[0].first == 0 and len(parts[0].schedule.times) == len(schedule.times):
        found = _least(parts[0])
        return (replace(found, replay=judged(found.replay, rules, schedule.step_h)) if found else None), ""
    whole = schedule
    for piece in parts:
        found = _least(piece)
        if found is None or not found.passed:
            return None, f"no repair of the day of {piece.schedule.times[0]} was found"
        whole = _spliced(whole, found.schedule, piece.first)
    answer = judged(replay(model, whole, options), rules, schedule.step_h)
    left = len(new_violations(answer.violations))
    first, last = min(p.first for p in parts), max(p.first + len(p.schedule.times) for p in parts) - 1
    passed = left == 0 and bool(answer.converged.all())
    kwh = changed_kwh(schedule, whole)
    return Repair(whole, answer, passed, kwh, 1, (schedule.times[first], schedule.times[last])), ""


def _least(piece: Piece) -> Repair | None:
    s = piece.schedule
    ports = tuple(dict.fromkeys([*s.pv_nodes, *s.bess_nodes]))
    before = piece.options.before
    return least_change(s, lambda x: visit(piece.model, x, ports, piece.options), piece.model.limits, before)


def _profiles(whole: Profiles, at: slice) -> Profiles:
    part = whole.taken(np.arange(at.start, at.stop))
    return replace(part, start_h=whole.start_h + at.start * whole.step_h)


def _spliced(whole: Schedule, part: Schedule, first: int) -> Schedule:
    at = slice(first, first + len(part.times))

    def put(old: np.ndarray, new: np.ndarray) -> np.ndarray:
        out = old.copy()
        out[at] = new
        return out

    soc = whole.soc_kwh.copy()
    soc[at.start : at.stop + 1] = part.soc_kwh
    return replace(
        whole,
        pv_p_kw=put(whole.pv_p_kw, part.pv_p_kw),
        pv_q_kvar=put(whole.pv_q_kvar, part.pv_q_kvar),
        p_charge_kw=put(whole.p_charge_kw, part.p_charge_kw),
        p_discharge_kw=put(whole.p_discharge_kw, part.p_discharge_kw),
        bess_q_kvar=None
        if whole.bess_q_kvar is None or part.bess_q_kvar is None
        else put(whole.bess_q_kvar, part.bess_q_kvar),
        soc_kwh=soc,
    )
