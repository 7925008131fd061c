"""Why a loop stands still: in words, with bus, regulator and hour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hcsim.replay.operating_points import Visit
from hcsim.replay.result import ReplayResult
from optim.data.linear_model import Floats, LinearModel
from optim.data.violations import new_violations

LOOK_BACK = 6
"""Rounds over which a regulator is watched for swinging."""
SWINGS = 3
OUT_OF_REACH_PU = 1e-3
"""A voltage that moves by less than this is beyond a device: a sixth of a tap step."""


def why_stalled(seen: Visit, visited: Sequence[ReplayResult], device_kw: float) -> str:
    """Sentences on the last proposal `seen`; `visited` are the rounds' replays, `device_kw` see `out_of_reach`."""
    words = ["Smaller steps did not raise the certified capacity."]
    if worst := worst_in_words(seen.found):
        words = [f"Smaller steps did not remove it: {worst}."]
    if seen.found.converged.all():
        words.append(out_of_reach(seen.found, seen.model, device_kw))
    words.append(swinging(visited))
    return " ".join(w for w in words if w)


def worst_in_words(found: ReplayResult) -> str:
    """The new violation farthest beyond its limit, with bus, phase and hour; "" where there is none."""
    row = _worst(found)
    if row is None:
        return ""
    where = f"{row['element']}.{row['phase']}" if row["phase"] else str(row["element"])
    what = str(row["criterion"]).replace("_", " ")
    if np.isfinite(float(row["value"])):
        what += f" {row['value']:.5g} {row['unit']} (limit {row['limit']:.5g})"
    return f"{what} at {where} at {row['time']}"


def swinging(visited: Sequence[ReplayResult]) -> str:
    """Regulators that went back and forth between two positions in the last rounds' replays, as a sentence."""
    taps = [found.tap for found in visited[-LOOK_BACK:]]
    if len(taps) <= SWINGS:
        return ""
    track = np.stack(taps)  # (rounds, T, R)
    low, high = track.min(axis=0), track.max(axis=0)
    turns = (np.diff(np.sign(np.diff(track, axis=0)), axis=0) != 0).sum(axis=0)
    moves = (np.diff(track, axis=0) != 0).sum(axis=0)
    steps, regulators = np.nonzero((high - low == 1) & (moves >= SWINGS) & (turns >= SWINGS - 1))
    if not len(steps):
        return ""
    worst = int(np.argmax(moves[steps, regulators]))
    t, r = int(steps[worst]), int(regulators[worst])
    others = len(steps) - 1
    more = f", and so do {others} more regulator-hours" if others else ""
    name, time = visited[-1].regulators[r], visited[-1].operation.times[t]
    return f"Regulator {name} swings between taps {low[t, r]} and {high[t, r]} at {time} from round to round{more}."


def out_of_reach(found: ReplayResult, model: LinearModel, device_kw: float) -> str:
    """The worst new voltage violation that no device of this size, at any one of the model's ports, moves, as a
    sentence; "" where each can be moved."""
    nodes = {name: n for n, name in enumerate(model.nodes)}
    table = new_violations(found.violations)
    for row in table[table["criterion"].isin(("overvoltage", "undervoltage"))].itertuples():
        n = nodes.get(f"{row.element}.{row.phase}")
        if n is None:
            continue
        t = int(row.step) if model.dv_dp.shape[0] > 1 else 0
        reach = device_kw * float(np.max(np.hypot(model.dv_dp[t, n], model.dv_dq[t, n]), initial=0.0))
        if reach < OUT_OF_REACH_PU:
            return (
                f"No device stands near the {row.criterion} at {row.element}.{row.phase} at {row.time}: one of "
                f"{device_kw:.0f} kW at any site moves it by {reach:.1g} pu at most."
            )
    return ""


def excess(found: ReplayResult, criteria: tuple[str, ...]) -> float:
    """The largest step beyond a limit among new violations of these criteria, in their unit."""
    table = new_violations(found.violations)
    chosen = table[table["criterion"].isin(criteria)]
    return float(oversteps(chosen).max()) if len(chosen) else 0.0


def price_kw(found: ReplayResult, kw_per_pu: float, kw_per_kw: float) -> float:
    """What is taken off a capacity for what its replay broke; infinite where that has no number."""
    table = new_violations(found.violations)
    if len(table) and not np.isfinite(table["value"].astype(float)).all():
        return np.inf
    price = np.where(table["unit"] == "pu", kw_per_pu, kw_per_kw)
    return float((oversteps(table) * price).sum())


def taps_kept(found: ReplayResult, bare: ReplayResult, most: int | None) -> bool:
    """Whether no regulator takes more than `most` steps, unless it takes as many without devices."""
    if most is None or not len(found.regulators):
        return True
    taken, before = (np.abs(np.diff(of.tap, axis=0)).sum(axis=0) for of in (found, bare))
    return not np.any(taken > np.maximum(most, before))


def oversteps(table: pd.DataFrame) -> Floats:
    """By how much each violation is beyond what is allowed: its limit, or what the bare feeder has beyond it."""
    value, limit, before = (table[c].to_numpy(float) for c in ("value", "limit", "base_value"))
    was_beyond = (value - limit) * (before - limit) > 0
    found: Floats = np.abs(value - np.where(was_beyond, before, limit))
    return found


def _worst(found: ReplayResult) -> pd.Series | None:
    """The row of the first kind of violation that exceeds its limit most; a failed step before all."""
    table = new_violations(found.violations)
    if not len(table):
        return None
    lost = table[~np.isfinite(table["value"].astype(float))]
    if len(lost):
        return lost.iloc[0]
    share = oversteps(table)
    weight = np.where(table["unit"] == "pu", 1.0, 1e-3)  # a kW weighs as much as a thousandth of a pu
    return table.iloc[int(np.argmax(share * weight))]
