"""`read_dispatch`: from a file or a frame to a `Dispatch`, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from hcsim.schedules.dispatch.build import Dispatch, build
from hcsim.schedules.dispatch.cells import read_table
from hcsim.schedules.dispatch.layout import Reading, read_values
from hcsim.schedules.dispatch.signs import Sign
from hcsim.schedules.dispatch.units import Unit, read_units
from hcsim.schedules.dispatch.words import Names
from optim.data.network import Network

Source: TypeAlias = str | Path | pd.DataFrame | Mapping[str, Any] | Sequence[Any]


def read_dispatch(
    source: Source,
    network: Network,
    *,
    units: Source | None = None,
    own: Mapping[str, Unit] | None = None,
    reading: Reading | None = None,
    sign: Sign | None = None,
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
    table = read_table(source, reading.columns.get("sheet", ""))
    devices: dict[str, Unit] = read_units(read_table(units), known) if units is not None else {}
    names = Names(network, {n: u.bus for n, u in devices.items()}, {n: u.bus for n, u in known.items()})
    values = read_values(table, names, reading)
    title = Path(source).stem if isinstance(source, str | Path) else "dispatch"
    return build(values, {**known, **devices}, names, case=title, sign=sign)
