"""Results of PyPSA, as `network.export_to_csv_folder` writes them, judged on a feeder.

The format is PyPSA's (https://github.com/pypsa/pypsa/blob/v0.20.0/doc/import_export.rst): a CSV file per kind of
component ("generators.csv"), and one per quantity that moves in time ("generators-p.csv": a row per snapshot, a column
per component), MW and MWh. A storage unit's p is positive when it discharges, `efficiency_store` and
`efficiency_dispatch` are one-way, `max_hours` is its energy over its power. PyPSA's buses are named here as the
feeder's.

python examples/from_pypsa_results.py [RESULTS_FOLDER] [PYPSA_FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

import hcsim

HERE = Path(__file__).parent / "pypsa_results"


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Dispatch (a row per snapshot, columns "<name> p [MW]" ...) and units of a PyPSA folder."""

    def table(name: str) -> pd.DataFrame:
        return pd.read_csv(folder / name, index_col=0, dtype={"bus": str})

    def series(name: str) -> pd.DataFrame:
        return pd.read_csv(folder / name, index_col=0, parse_dates=True)

    generators, storage = table("generators.csv"), table("storage_units.csv")
    dispatch = pd.concat(
        [
            series("generators-p.csv").add_suffix(" p [MW]"),
            series("storage_units-p.csv").add_suffix(" p [MW]"),
            series("storage_units-state_of_charge.csv").add_suffix(" soc [MWh]"),
        ],
        axis=1,
    )
    plants = pd.DataFrame({"bus": generators["bus"], "kind": "pv", "kw": 1e3 * generators["p_nom"]})
    batteries = pd.DataFrame(
        {
            "bus": storage["bus"],
            "kind": "bess",
            "kw": 1e3 * storage["p_nom"],
            "kwh": 1e3 * storage["p_nom"] * storage["max_hours"],
            "eta_charge": storage["efficiency_store"],
            "eta_discharge": storage["efficiency_dispatch"],
        }
    )
    units = pd.concat([plants, batteries]).rename_axis("name").reset_index()
    return dispatch.rename_axis("snapshot").reset_index(), units


def main(out: str | None = None, folder: str | Path = HERE) -> hcsim.Validation:
    dispatch, units = read(Path(folder))
    found = hcsim.validate("ieee123", dispatch, units=units, sign="discharge", out=out)
    print(found.words)
    print("\n".join(found.read_as))
    return found


if __name__ == "__main__":
    main(*sys.argv[1:3])
