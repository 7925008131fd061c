"""`read_dispatch`: from a file or a frame to a `Dispatch`, in one call."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from hcsim.errors import ConfigError
from hcsim.schedules.dispatch.build import build
from hcsim.schedules.dispatch.ceilings import over_a_year
from hcsim.schedules.dispatch.cells import read_table
from hcsim.schedules.dispatch.layout import Reading, read_values
from hcsim.schedules.dispatch.signs import Sign
from hcsim.schedules.dispatch.understood import Dispatch, hour_of_year
from hcsim.schedules.dispatch.units import Unit, read_units
from hcsim.schedules.dispatch.words import Names
from optim.data.network import Network
from optim.data.node import bus_of, phase_of
from optim.data.schedule import Schedule
from optim.data.schedule_frame import source_names

UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, ArithmeticError)
Source: TypeAlias = str | Path | pd.DataFrame | Mapping[str, Any] | Sequence[Any]


def read_dispatch(
    source: Source,
    network: Network,
    *,
    units: Source | None = None,
    own: Mapping[str, Unit] | None = None,
    reading: Reading | None = None,
    sign: Sign | None = None,
    ceilings: bool = False,
) -> Dispatch:
    """Read anyone's dispatch of PV and batteries.

    Parameters
    ----------
    source
        A .csv, .tsv, .xlsx, .parquet or .json file, a DataFrame, records, or a mapping of columns; long (a row per time
        and device) or wide (a column per device).
    network
        The feeder: its buses and phases.
    units
        Table of devices: name, bus, phases, kind, kw, kva, kwh, eta_charge, eta_discharge, soc_min, soc_max, soc_start.
    own
        The feeder's own PVSystems, Storages, Generators and loads by full name, which the dispatch may command.
    reading
        What the user says of columns, step and base.
    sign
        What is positive in a battery's one power column; None: told from SoC or losses, or refused.
    ceilings
        Powers are ceilings of export by month and hour, held over a year.

    Returns
    -------
    Dispatch
        Schedule (kW, kvar positive into the network), devices, and `read_as`: a sentence for every guess.

    Raises
    ------
    ConfigError
        What cannot be read or is ambiguous: file, row, column and the choices.
    """
    reading = reading or Reading()
    known = dict(own or {})
    title = Path(source).stem if isinstance(source, str | Path) else "dispatch"
    try:
        table = read_table(source, reading.columns.get("sheet", ""))
        table = over_a_year(table) if ceilings else table
        devices: dict[str, Unit] = read_units(read_table(units), known) if units is not None else {}
        names = Names(network, {n: u.bus for n, u in devices.items()}, {n: u.bus for n, u in known.items()})
        values = read_values(table, names, reading)
        return build(values, {**known, **devices}, names, case=title, sign=sign, ceilings=ceilings)
    except UNREADABLE as error:  # cells that no rule above speaks of: the user's table, so no traceback
        what = str(source) if isinstance(source, str | Path) else f"the {title}"
        raise ConfigError(
            f"{what} cannot be understood as a dispatch ({type(error).__name__}: {error}).",
            "`hcsim template CASE` writes tables that can.",
        ) from error


def dispatch_of(schedule: Schedule) -> Dispatch:
    """A schedule of hcsim's own form as if it had been read."""
    s, kva = schedule, schedule.pv_kw if schedule.pv_kva is None else schedule.pv_kva
    columns: dict[str, tuple[int, ...]] = {}
    for g, name in enumerate(source_names(s)):
        columns[name] = (*columns.get(name, ()), g)
    units = [
        Unit(
            name,
            bus_of(s.pv_nodes[of[0]]),
            tuple(int(phase_of(s.pv_nodes[g])) for g in of),
            "pv",
            kw=float(s.pv_kw[list(of)].sum()),
            kva=float(kva[list(of)].sum()),
        )
        for name, of in columns.items()
    ]
    for u, unit in enumerate(s.bess):
        mine = [d for d, v in enumerate(s.bess_of) if v == u]
        plate = float("nan") if s.bess_kva is None else float(s.bess_kva[mine].sum())
        phases = tuple(int(phase_of(s.bess_nodes[d])) for d in mine)
        shares = (unit.eta_charge, unit.eta_discharge, unit.soc_min, unit.soc_max)
        start = float(s.soc_kwh[0, u]) / unit.energy_kwh if unit.energy_kwh else float("nan")
        units.append(
            Unit(unit.name, unit.bus, phases, "bess", unit.power_kw, plate, unit.energy_kwh, *shares, soc_start=start)
        )
    both = {
        unit.name: np.minimum(s.p_charge_kw[:, mine].sum(axis=1), s.p_discharge_kw[:, mine].sum(axis=1))
        for u, unit in enumerate(s.bess)
        for mine in [[d for d, v in enumerate(s.bess_of) if v == u]]
    }
    given = {unit.name: s.soc_kwh[1:, u] for u, unit in enumerate(s.bess)}
    start_h, year_h = _start(s.times[0])
    volts = pd.DataFrame({"step": [], "node": [], "v_pu": []})
    if s.predicted_v_pu is not None:
        steps, width = s.predicted_v_pu.shape
        volts = pd.DataFrame(
            {
                "step": np.repeat(np.arange(steps), width),
                "node": list(s.predicted_nodes) * steps,
                "v_pu": s.predicted_v_pu.ravel(),
            }
        ).dropna()
    said = (f"A schedule of hcsim's own form: {len(columns)} sources and {len(s.bess)} batteries.",)
    return Dispatch(s, tuple(units), said, given, {}, {}, {}, volts, both, columns, start_h, year_h)


def _start(label: str) -> tuple[float, float | None]:
    """Hour of the day, and of the year where the label has a date."""
    clock = re.search(r"(\d{1,2}):(\d{2})", label)
    hour = int(clock[1]) % 24 + int(clock[2]) / 60.0 if clock else 0.0
    return (hour, hour_of_year((label,))) if re.match(r"^\d{4}-\d{2}-\d{2}T", label) else (hour, None)
