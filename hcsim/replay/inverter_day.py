"""What autonomous inverters did: per inverter, to the voltages, and beside other reactive power."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hcsim.devices.inverter_curves import InverterControl
from hcsim.replay.result import ReplayResult
from hcsim.util.files import output_folder, write_csv, write_json
from optim.data.schedule import Schedule


@dataclass(frozen=True)
class VoltageChange:
    """Where inverters change a voltage most, against the same day at unity power factor."""

    change_pu: float
    node: str
    time: str
    unity_pu: float


@dataclass(frozen=True)
class InverterDay:
    """A schedule replayed with autonomous inverters, and at unity power factor. Energies over the day."""

    replay: ReplayResult
    table: pd.DataFrame
    """`inverter_table`."""
    change: VoltageChange | None
    """None where the two have no step in common that has an answer."""

    @property
    def available_kwh(self) -> float:
        return float(self.table["available_kwh"].sum())

    @property
    def curtailed_kwh(self) -> float:
        return float(self.table["curtailed_kwh"].sum())

    def kvarh(self, which: str) -> float:
        """`which` is a column: injected_kvarh, absorbed_kvarh, or the commanded_... of them."""
        return float(self.table[which].sum())


def at_unity(schedule: Schedule) -> Schedule:
    return replace(schedule, pv_q_kvar=np.zeros_like(schedule.pv_q_kvar))


def inverter_table(found: ReplayResult, step_h: float) -> pd.DataFrame:
    """One row per inverter: element, node, energies and extremes over the steps that have an answer.

    available_kwh (what the schedule gives), delivered_kwh, curtailed_kwh, injected_kvarh, absorbed_kvarh,
    commanded_injected_kvarh, commanded_absorbed_kvarh, q_min_kvar, q_max_kvar. Positive into the network.
    """
    pv = found.devices[(found.devices["kind"] == "pv") & found.devices["p_delivered_kw"].notna()]
    asked_kw, kw = pv["p_commanded_kw"], pv["p_delivered_kw"]
    asked_kvar, kvar = pv["q_commanded_kvar"], pv["q_delivered_kvar"]
    wide = pv[["element", "node"]].assign(
        available_kwh=asked_kw * step_h,
        delivered_kwh=kw * step_h,
        curtailed_kwh=(asked_kw - kw).clip(lower=0.0) * step_h,
        injected_kvarh=kvar.clip(lower=0.0) * step_h,
        absorbed_kvarh=(-kvar).clip(lower=0.0) * step_h,
        commanded_injected_kvarh=asked_kvar.clip(lower=0.0) * step_h,
        commanded_absorbed_kvarh=(-asked_kvar).clip(lower=0.0) * step_h,
    )
    energies = [c for c in wide.columns if c.endswith("h")]
    by = wide.groupby(["element", "node"], sort=False)[energies].sum()
    extremes = pv.groupby(["element", "node"], sort=False)["q_delivered_kvar"].agg(["min", "max"])
    return by.assign(q_min_kvar=extremes["min"], q_max_kvar=extremes["max"]).reset_index()


def voltage_change(found: ReplayResult, unity: ReplayResult) -> VoltageChange | None:
    """The largest difference in any judged voltage of any hour that both have; joined by name."""
    a, b = found.operation, unity.operation
    place = {node: i for i, node in enumerate(b.nodes)}
    plain = b.v_pu[:, [place[node] for node in a.nodes]]
    change = a.v_pu - plain
    if not np.isfinite(change).any():
        return None
    t, n = divmod(int(np.nanargmax(np.abs(change))), len(a.nodes))
    return VoltageChange(float(change[t, n]), a.nodes[n], a.times[t], float(plain[t, n]))


def inverter_day(found: ReplayResult, unity: ReplayResult, step_h: float) -> InverterDay:
    return InverterDay(found, inverter_table(found, step_h), voltage_change(found, unity))


def write_inverter_day(day: InverterDay, control: InverterControl, folder: Path) -> None:
    """`inverters.csv`, a row per inverter, and `inverters.json`: curves, sums, largest voltage change. What each
    delivered hour by hour is in devices.parquet beside them. Raises OutputError."""
    write_csv(output_folder(folder) / "inverters.csv", day.table)
    write_json(folder / "inverters.json", {**control_facts(control), **day_facts(day)})


def control_facts(control: InverterControl) -> dict[str, Any]:
    return {"control": control.mode} | {k: v for k, v in asdict(control).items() if k != "mode"}


def day_facts(day: InverterDay) -> dict[str, Any]:
    return {
        "available_kwh": day.available_kwh,
        "curtailed_kwh": day.curtailed_kwh,
        "injected_kvarh": day.kvarh("injected_kvarh"),
        "absorbed_kvarh": day.kvarh("absorbed_kvarh"),
        "commanded_injected_kvarh": day.kvarh("commanded_injected_kvarh"),
        "commanded_absorbed_kvarh": day.kvarh("commanded_absorbed_kvarh"),
        "largest_voltage_change": asdict(day.change) if day.change else None,
    }


def day_in_words(day: InverterDay) -> list[str]:
    """Reactive power commanded and delivered, what was curtailed, what it did to the voltages."""
    words = [
        f"Reactive power follows {day.replay.inverters}, not the schedule: "
        f"{day.kvarh('absorbed_kvarh'):,.0f} kvarh absorbed and {day.kvarh('injected_kvarh'):,.0f} injected, "
        f"commanded were {day.kvarh('commanded_absorbed_kvarh'):,.0f} and "
        f"{day.kvarh('commanded_injected_kvarh'):,.0f}."
    ]
    curtailed, share = day.curtailed_kwh, day.curtailed_kwh / max(day.available_kwh, 1e-9)
    if curtailed >= 0.05:
        worst = day.table.loc[day.table["curtailed_kwh"].idxmax()]
        words.append(
            f"Curtailed: {curtailed:,.1f} of {day.available_kwh:,.0f} kWh ({100 * share:.2f} %), most at "
            f"{worst['node']} ({worst['curtailed_kwh']:,.1f} kWh)."
        )
    else:
        words.append(f"Nothing of {day.available_kwh:,.0f} kWh is curtailed.")
    if day.change:
        c = day.change
        taps = ", regulators' own steps included" if day.replay.tap_operations else ""
        words.append(
            f"Largest voltage change against unity power factor: {c.change_pu:+.4f} pu at {c.node} at {c.time} "
            f"({c.unity_pu:.4f} pu without{taps})."
        )
    return words
