"""Files to begin a dispatch with: the feeder's own buses, empty tables, and a small example."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hcsim.cases.case import load_case
from hcsim.feeder.sites import candidate_buses, spread_sites
from hcsim.schedules.dispatch.write import UNIT_COLUMNS
from hcsim.util.files import output_folder, write_csv
from hcsim.workbench.allocation import Workbench
from optim.data.node import phase_of

SHARE = 0.004
"""PV of the example over the feeder's load: small enough to hold on the IEEE feeders, but for that of 8500 nodes, which
is at its limits by itself."""


def write_templates(case: str | Path, out: Path) -> Path:
    """buses.csv, dispatch.csv and units.csv (headers and times), example.csv and example_units.csv."""
    bench = Workbench.open(load_case(case))
    network, profiles = bench.network, bench.profiles
    folder = output_folder(out)
    buses = [
        {
            "bus": bus,
            "phases": ".".join(phase_of(network.nodes[n]) for n in network.nodes_of(bus)),
            "kv_base": float(network.kv_base[network.nodes_of(bus)[0]]),
        }
        for bus in network.buses
        if network.nodes_of(bus)
    ]
    write_csv(folder / "buses.csv", pd.DataFrame(buses))
    write_csv(
        folder / "dispatch.csv",
        pd.DataFrame({"time": profiles.times, "name": "", "p_kw": "", "q_kvar": "", "soc_kwh": ""}),
    )
    write_csv(folder / "units.csv", pd.DataFrame(columns=list(UNIT_COLUMNS)))
    places = list(spread_sites(network, 2)) or list(candidate_buses(network))[:2]
    load_kw = float(np.sum(network.loads.p_kw))
    pv_kw = round(max(SHARE * load_kw, 0.1), 2)
    solar, battery = places[0], places[-1]
    units = [
        {"name": "solar_1", "bus": solar, "kind": "pv", "kw": pv_kw, "kva": pv_kw},
        {
            "name": "battery_1",
            "bus": battery,
            "kind": "bess",
            "kw": pv_kw,
            "kva": pv_kw,
            "kwh": 4 * pv_kw,
            "eta_charge": 0.95,
            "eta_discharge": 0.95,
            "soc_min": 0.1,
            "soc_max": 0.9,
            "soc_start": 0.5,
        },
    ]
    write_csv(folder / "example_units.csv", pd.DataFrame(units).reindex(columns=list(UNIT_COLUMNS)))
    write_csv(folder / "example.csv", _example(profiles.times, profiles.step_h, profiles.pv_pu, pv_kw))
    return folder


def _example(times: tuple[str, ...], step_h: float, sun: np.ndarray, pv_kw: float) -> pd.DataFrame:
    """Half the battery's rating while the sun is highest, the same energy less losses in the evening."""
    hours = (np.arange(len(times)) * step_h) % 24.0
    p = np.zeros(len(times))
    p[(hours >= 11) & (hours < 13)] = -0.25 * pv_kw
    p[(hours >= 19) & (hours < 21)] = 0.25 * pv_kw * 0.95 * 0.95
    moved = np.where(p < 0, -p * 0.95, -p / 0.95) * step_h
    soc = 2.0 * pv_kw + np.cumsum(moved)
    pv = pd.DataFrame({"time": times, "name": "solar_1", "p_kw": np.round(sun * pv_kw, 4), "q_kvar": 0.0})
    bess = pd.DataFrame({"time": times, "name": "battery_1", "p_kw": p, "q_kvar": 0.0, "soc_kwh": soc})
    return pd.concat([pv, bess], ignore_index=True)
