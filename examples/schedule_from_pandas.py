"""A dispatch made in pandas, judged: a solar plant and a battery on the IEEE 123-bus feeder.

python examples/schedule_from_pandas.py [RESULTS_FOLDER]
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

import hcsim

hours = np.arange(24)
sun = np.clip(np.cos((hours - 12) / 12 * np.pi), 0.0, None)
charge = np.where((hours >= 10) & (hours < 14), 100.0, 0.0)
discharge = np.where((hours >= 18) & (hours < 22), 100.0 * 0.95 * 0.95, 0.0)  # what is left after both losses

dispatch = pd.DataFrame(
    {
        "hour": hours,
        "solar_available_kw": np.round(400.0 * sun, 3),  # the sun that the schedule was made with
        "solar_kw": np.round(390.0 * sun, 3),
        "battery_charge_kw": charge,
        "battery_discharge_kw": discharge,
    }
)
units = pd.DataFrame(
    [
        {"name": "solar", "bus": "18", "kind": "pv", "kw": 400.0, "kva": 440.0},
        {
            "name": "battery",
            "bus": "83",
            "kind": "bess",
            "kw": 150.0,
            "kwh": 600.0,
            "eta_charge": 0.95,
            "eta_discharge": 0.95,
            "soc_min": 0.1,
            "soc_max": 0.9,
            "soc_start": 0.2,
        },
    ]
)


def main(out: str | None = None) -> hcsim.Validation:
    found = hcsim.validate("ieee123", dispatch, units=units, out=out)
    print(found.words)
    print("\n".join(found.read_as))
    print(found.violations.head())
    print(f"voltages {found.voltages.min().min():.4f} to {found.voltages.max().max():.4f} pu")
    again = hcsim.Schedule.from_frame(found.schedule.to_frame())  # a schedule as a table, and back
    assert again.pv_nodes == found.schedule.pv_nodes
    return found


if __name__ == "__main__":
    main(*sys.argv[1:2])
