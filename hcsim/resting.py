"""Where the bare feeder's controls may come to rest: what its own violations are, whatever the hours before were.

A regulator stands still anywhere inside its bandwidth, a switched bank between its two settings. Which of these
positions a simulated day shows at an hour depends on the hours before; with devices under study these are other
hours, and at midnight, the devices long idle, a bus may stand a tap step lower than "before" without anything
having become worse. So every hour is solved again with controls sent out of their bands first, to below and to
above where the day has them, and let come to rest from there. Regulators in series rest at different heights:
those nearer to the source are sent the other way than those behind them, for every such cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hcsim.series import DailySeries
from optim.limits import Operation
from optim.network import Network


@dataclass(frozen=True)
class Start:
    """Where controls are sent before an hour is solved."""

    up: Mapping[str, bool]
    """RegControl ("creg1a") -> above its band, else below."""
    closed: bool | None
    """Switched banks closed or open; None: left as they are."""


def resting_days(
    series: DailySeries, tap: NDArray[np.int64], *, loading: bool, regulation: bool
) -> tuple[Operation, ...]:
    """The bare feeder's steps, each solved anew from every one of `starts`; nothing where nothing can move.

    `tap` (T, R): where its day has the regulators. A step that does not come to rest has no values. Taps and
    banks stand afterwards where they stood.
    """
    circuit = series.circuit
    switched, width = circuit.switched_banks(), circuit.bands_in_steps()
    held = {name.lower() for name in circuit.held}
    reach = {
        r.name.split(".", 1)[1].lower(): (r.tap_min, r.tap_max)
        for r in series.network.regulators
        if r.name.lower() not in held
    }
    days = []
    for start in starts(stages(series.network), bool(switched)) if reach or switched else ():

        def send(t: int, start: Start = start) -> None:
            for name, position in zip(series.regulators, tap[t].tolist(), strict=True):
                if name in reach:
                    away = position + (width[name] if start.up[name] else -width[name])
                    circuit.set_taps({name: int(np.clip(away, *reach[name]))})
            if start.closed is not None:
                circuit.set_capacitor_states({n: (int(start.closed),) * len(steps) for n, steps in switched.items()})

        found = series.run(controls="free", before_step=send, loading=loading, regulation=regulation).operation
        days.append(replace(found, regulator_controls=(), tap_steps=None))  # the way there is no operation
    return tuple(days)


def starts(stage: Mapping[str, int], switched: bool) -> Sequence[Start]:
    """For every cut between regulators in series, the first of which is before them all: what is behind it one
    way, what is before it the other. Switched banks go with the two of the first cut."""
    cuts = range(max(stage.values(), default=int(switched)))
    return [
        Start({name: (own > cut) == up for name, own in stage.items()}, up if cut == 0 else None)
        for cut in cuts
        for up in (False, True)
    ]


def stages(network: Network) -> dict[str, int]:
    """RegControl -> how many regulators there are between the source and its far side, itself included."""
    passed = [0] * len(network.nodes)
    behind: dict[str, int] = {}
    tapped = {r.transformer.lower() for r in network.regulators}
    for branch in network.branches:  # a branch stands after the branch that feeds it
        own = branch.name.lower()
        behind[own] = max((passed[n] for n in branch.from_nodes), default=0) + (own in tapped)
        for n in branch.to_nodes:
            passed[n] = max(passed[n], behind[own])
    return {r.name.split(".", 1)[1].lower(): behind[r.transformer.lower()] for r in network.regulators}
