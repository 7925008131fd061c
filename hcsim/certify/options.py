"""Options of the closed loop."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from hcsim.replay.recording import Controls
from hcsim.workbench.allocation import Workbench

FULL_NODES, LEAST_ROUNDS = 1000, 12
"""On a feeder of more nodes than this a loop has fewer rounds, as each costs so much more; but no fewer than those."""


@dataclass(frozen=True)
class LoopOptions:
    """How long and how finely the loop looks, and what it must keep.

    >>> import hcsim
    >>> hcsim.LoopOptions(max_rounds=12).max_rounds
    12
    """

    time_limit_s: float = 3600.0
    """A guard, far outside of what rounds take."""
    max_rounds: int = 60
    """From the claim alone; as many again from what else there is to start from."""
    tolerance: float = 2e-3
    """Certified to tolerance: at the certified schedule no move that the tangent offers gains more than this share."""
    margin_pu: float = 2e-4
    """Least distance from voltage limits inside the programs; grows where replays overstep them."""
    margin_kw: float = 0.5
    """The same from limits of power."""
    margin_loading_pu: float = 1e-3
    """The same for loadings, as a share of the rating."""
    elastic_kw_per_pu: float = 2e5
    """What the programs pay for a step beyond a limit of voltage or loading, which they may take where nothing else
    is feasible."""
    elastic_kw_per_kw: float = 10.0
    """The same beyond a limit of power: of the source's reverse flow, and of losses that have a ceiling."""
    first_radius: float = 0.1
    """Share of the first claim that a site's capacity or reactive power may move in the first round, and within which
    nothing may be offered at the end."""
    smallest_radius: float = 2e-3
    """The loop has refused what it can where its region is smaller than this share of the first claim."""
    reopened_radius: float = 0.1
    """As `first_radius`, where the loop sets out again and where placement and statuses are decided anew."""
    grown: float = 1.5
    halted: float = 0.8
    refused: float = 0.6
    """What becomes of the region where a proposal passed, where only part of the way did, and where nothing did."""
    failures: int = 3
    """Linear programs in a row that may end without a solution ..."""
    failed: float = 0.4
    """... each tried again in a region smaller by this factor."""
    move_price: float = 1e-4
    """kW of capacity that a kW or kvar of movement in one hour must bring at least."""
    broken_pu_price: float = 0.05
    """What an overstep of voltage or loading that a replay has broken costs where proposals are compared, as a share
    of `elastic_kw_per_pu`: programs shun it more than a comparison does."""
    margin_kept: float = 0.7
    """Share of an hour's margin that outlives a round, and of an overstep that becomes margin."""
    most_margin_pu: float = 3e-3
    """What such a margin grows to at most: half a tap step ..."""
    most_margin_kw: float = 30.0
    """... what tap steps are worth in load ..."""
    most_margin_share: float = 0.05
    """... or this share of a phase's peak load where that is more ..."""
    most_margin_loading_pu: float = 0.03
    """... and for loadings, as a share of the rating."""
    hour_broke: float = 0.5
    hour_calm: float = 1.3
    """What becomes of an hour's share of the trust region where its replay broke something, and where it did not."""
    least_hour_share: float = 0.02
    """Which it does not fall below."""
    probes: int = 2
    """Replays spent on the segment between the certified schedule and a proposal that failed."""
    first_probes: int = 5
    """The same as long as less than `nearby` of the proposal is certified: down to a thirtieth of it."""
    nearby: float = 0.8
    """Share of a proposal from which on the best that passed is worth more than one probe between the two."""
    repairs: int = 3
    """Replays spent on taking back what a proposal broke ..."""
    worth_repairing: float = 0.99
    """... where nothing above this share of it has passed ..."""
    taken_back: float = 1.1
    """... by this many times the overstep: the tangent does not know what taps do ..."""
    taken_back_kw_per_kvar: float = 0.1
    """... and at this price of a kvar less: voltages are better mended with it, the source's power is not."""
    reopenings: int = 1
    """How often placement and statuses are decided anew after a stall."""
    deciding_nodes: int = 0
    """Branch-and-bound nodes for deciding anew, and for the bound at the end: the relaxation, its sites and directions
    taken, is worth its time; the proof of a linearization that a replay corrects is not."""
    quieter: int = 4
    """In how many steps of its reactive power, from none of it on, the certified capacity is tried in the end."""
    strict_share: float = 0.98
    """Of what passes where the bare feeder's own violations are forgiven: as much must pass without, to be preferred.
    """
    walks: int = 6
    """How often the loop sets out: again from the best it has, in a wide region, as long as that raises it."""
    controls: Controls = "free"
    """"locked" asks what could be had if no regulator moved (error budget)."""
    bound: bool = True
    """Whether the last linearization's bound is proven at the end."""
    max_tap_operations: int | None = None
    """Tap steps that any one regulator may take over the series, unless it takes more without devices."""
    soc_reserve: float = 0.0
    """Share of its energy that no battery goes below."""


def loop_options(bench: Workbench, time_limit_s: float | None = None) -> LoopOptions:
    """[certify] of study.toml, with what the user asks for on top."""
    section = bench.case.config.certify
    known = {f.name for f in fields(LoopOptions)}
    options = LoopOptions(**section.model_dump(include=known, exclude_none=True))
    if section.max_rounds is None:
        rounds = int(options.max_rounds * min(1.0, FULL_NODES / len(bench.network.nodes)))
        options = replace(options, max_rounds=max(rounds, LEAST_ROUNDS))
    return options if time_limit_s is None else replace(options, time_limit_s=time_limit_s)
