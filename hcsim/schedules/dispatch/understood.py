"""`Dispatch`: what was understood of somebody else's table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hcsim.schedules.dispatch.units import Unit
from optim.data.schedule import Schedule

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Dispatch:
    """A foreign dispatch, understood."""

    schedule: Schedule
    units: tuple[Unit, ...]
    """Every device, sizes filled in."""
    read_as: tuple[str, ...]
    soc_given_kwh: Mapping[str, Floats]
    """Unit -> (T,) the dispatch's own SoC column."""
    available_kw: Mapping[str, Floats]
    """PV device -> (T,) power the optimizer says the sun would give."""
    loads_kw: Mapping[str, Floats]
    """Load of the feeder -> (T,) the optimizer's own series."""
    loads_kvar: Mapping[str, Floats]
    voltages_pu: pd.DataFrame
    """The optimizer's own voltages: step, node, v_pu; empty where it gives none."""
    both_kw: Mapping[str, Floats]
    """Unit -> (T,) power that it charges while it discharges."""
    columns: Mapping[str, tuple[int, ...]]
    """Source -> its columns of `Schedule.pv_nodes`."""
    start_h: float = 0.0
    """Hour of the day at which the first step begins."""
    year_h: float | None = None
    """Hour of the year at which it begins; None where the dispatch has no dates."""

    @property
    def source_names(self) -> tuple[str, ...]:
        """(G,) device of each column of `Schedule.pv_nodes`."""
        names = [""] * len(self.schedule.pv_nodes)
        for name, columns in self.columns.items():
            for g in columns:
                names[g] = name
        return tuple(names)

    @property
    def source_kinds(self) -> tuple[str, ...]:
        """(G,) "pv" or "generator"."""
        kind = {u.name: u.kind for u in self.units}
        return tuple(kind[name] for name in self.source_names)

    @property
    def sources(self) -> tuple[Unit, ...]:
        """PV plants and generators."""
        return tuple(u for u in self.units if u.kind != "bess")


def hour_of_year(stamps: tuple[str, ...]) -> float | None:
    """Of a year of 8760 hours, which has no 29 February."""
    if not stamps:
        return None
    first = pd.Timestamp(stamps[0])
    day = first.day_of_year - 1 - int(first.is_leap_year and first.day_of_year > 59)
    return float(24.0 * day + first.hour + first.minute / 60.0)
