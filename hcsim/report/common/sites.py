"""Where PV stands: a row per bus."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from hcsim.feeder.topology import away_pct
from optim.data.network import Network
from optim.data.node import bus_of, phase_of
from optim.data.schedule import Schedule

LEAST_KW = 0.05
"""PV below what the table's digits show is none."""


def sites_table(network: Network, schedule: Schedule, binds: Callable[[str], str]) -> pd.DataFrame:
    """bus, phases, pv_kw, share_pct, distance_pct (electrical, of the farthest bus), what_binds; largest first.

    `binds` says of a bus what limits it, in words."""
    kw: dict[str, float] = {}
    phases: dict[str, list[str]] = {}
    for node, power in zip(schedule.pv_nodes, schedule.pv_kw.tolist(), strict=True):
        bus = bus_of(node)
        kw[bus] = kw.get(bus, 0.0) + power
        if power > LEAST_KW / 10:
            phases.setdefault(bus, []).append(phase_of(node))
    away, total = away_pct(network), max(sum(kw.values()), 1e-9)
    columns = ["bus", "phases", "pv_kw", "share_pct", "distance_pct", "what_binds"]
    rows = [
        (bus, " ".join(phases.get(bus, ())), power, 100 * power / total, away.get(bus, np.nan), binds(bus))
        for bus, power in sorted(kw.items(), key=lambda item: -item[1])
        if power > LEAST_KW
    ]
    return pd.DataFrame(rows, columns=columns)
