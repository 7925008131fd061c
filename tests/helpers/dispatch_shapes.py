"""One dispatch written in many shapes, as other tools would write it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

HOURS = np.arange(24)
UNITS = "name,bus,kind,kW,kWh,eta_charge,eta_discharge\nsolar1,18,pv,400,,,\nbatt1,83,bess,150,600,0.95,0.95\n"


def powers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(24,) kW of solar1, of batt1 (positive discharge) and its kWh at the end of each hour, from 100."""
    pv = np.round(390.0 * np.clip(np.cos((HOURS - 12) / 12 * np.pi), 0.0, None), 3)
    bess = np.zeros(24)
    bess[10:14], bess[18:22] = -100.0, 90.25
    soc = 100.0 + np.cumsum(np.where(bess < 0, -bess * 0.95, -bess / 0.95))
    return pv, bess, soc


def long() -> pd.DataFrame:
    pv, bess, soc = powers()
    rows = [(h, "solar1", pv[h], 0.0, np.nan) for h in HOURS] + [(h, "batt1", bess[h], 0.0, soc[h]) for h in HOURS]
    return pd.DataFrame(rows, columns=["hour", "name", "p_kw", "q_kvar", "soc_kwh"])


def wide() -> pd.DataFrame:
    pv, bess, soc = powers()
    return pd.DataFrame({"hour": HOURS, "solar1_p_kw": pv, "batt1_p_kw": bess, "batt1_soc_kwh": soc})


def _stamps() -> list[str]:
    return [str(t) for t in pd.date_range("2025-05-04", periods=24, freq="h")]


def _csv(frame: pd.DataFrame, folder: Path, **how: object) -> Path:
    frame.to_csv(folder / "dispatch.csv", index=False, **how)  # type: ignore[call-overload]
    return folder / "dispatch.csv"


def _long_csv(folder: Path) -> Path:
    return _csv(long(), folder)


def _wide_csv(folder: Path) -> Path:
    return _csv(wide(), folder)


def _european(folder: Path) -> Path:
    return _csv(wide(), folder, sep=";", decimal=",")


def _tsv(folder: Path) -> Path:
    return _csv(long(), folder, sep="\t").rename(folder / "dispatch.tsv")


def _excel(folder: Path) -> Path:
    wide().to_excel(folder / "dispatch.xlsx", index=False)
    return folder / "dispatch.xlsx"


def _parquet(folder: Path) -> Path:
    wide().assign(hour=pd.date_range("2025-05-04", periods=24, freq="h")).rename(columns={"hour": "time"}).to_parquet(
        folder / "dispatch.parquet"
    )
    return folder / "dispatch.parquet"


def _records(folder: Path) -> Path:
    (folder / "dispatch.json").write_text(json.dumps(long().replace({np.nan: None}).to_dict("records")))
    return folder / "dispatch.json"


def _hour_ending(folder: Path) -> Path:
    return _csv(wide().assign(hour=HOURS + 1).rename(columns={"hour": "HE"}), folder)


def _megawatt(folder: Path) -> Path:
    frame = wide()
    frame[["solar1_p_kw", "batt1_p_kw", "batt1_soc_kwh"]] /= 1000.0
    return _csv(frame.rename(columns=lambda c: c.replace("kwh", "MWh").replace("kw", "MW")), folder)


def _two_columns(folder: Path) -> Path:
    pv, bess, soc = powers()
    frame = pd.DataFrame({"time": _stamps(), "Solar1 [kW]": pv, "BATT1 charge [kW]": np.maximum(-bess, 0)})
    return _csv(frame.assign(**{"BATT1 discharge [kW]": np.maximum(bess, 0), "BATT1 SOC [kWh]": soc}), folder)


def _charge_positive(folder: Path) -> Path:
    return _csv(wide().assign(batt1_p_kw=lambda f: -f["batt1_p_kw"]), folder)


def _per_phase(folder: Path) -> Path:
    frame = long()
    rows = [frame.assign(phase=p, p_kw=frame["p_kw"] / 3, q_kvar=0.0, soc_kwh=frame["soc_kwh"] / 3) for p in "abc"]
    return _csv(pd.concat(rows), folder)


def _variables(folder: Path) -> Path:
    tall = long().melt(["hour", "name"], var_name="variable", value_name="value").dropna()
    return _csv(tall, folder)


SHAPES: dict[str, Callable[[Path], Path]] = {
    "long csv": _long_csv,
    "wide csv": _wide_csv,
    "semicolon and comma": _european,
    "tabs": _tsv,
    "excel": _excel,
    "parquet, timestamps": _parquet,
    "json records": _records,
    "hour ending": _hour_ending,
    "megawatt": _megawatt,
    "charge and discharge": _two_columns,
    "positive is charge": _charge_positive,
    "per phase": _per_phase,
    "variable and value": _variables,
}
