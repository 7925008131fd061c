"""What operating a schedule over many days hands back, and its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hcsim.operate.days import PolicyDays
from hcsim.operate.foresight import Foresight
from hcsim.operate.operation import Day
from hcsim.util.files import output_folder, write_csv, write_json


@dataclass(frozen=True)
class OperateResult:
    """A schedule under policies on the same days."""

    case: str
    schedule: str
    hc_kw: float
    days: tuple[Day, ...]
    policies: Mapping[str, PolicyDays]
    settings: Mapping[str, Any]
    cut: Mapping[str, str] = field(default_factory=dict)
    """Policy -> why it has no result."""
    foresight: Foresight | None = None
    """Of the first days; None where it was not asked for."""

    @property
    def table(self) -> pd.DataFrame:
        """One row per policy and day: what passed, curtailed share, tap steps, worst criterion, place and hour."""
        rows = []
        for name, found in self.policies.items():
            for k, day in enumerate(self.days):
                worst = found.broken[k][0] if found.broken[k] else None
                rows.append(
                    {
                        "policy": name,
                        "day": day.name or f"day {k + 1}",
                        "load_factor_mean": float(np.mean(day.load)),
                        "pv_factor_mean": float(np.mean(day.pv)),
                        "passed": worst is None,
                        "curtailed_share": float(found.curtailed_share[k]),
                        "tap_operations": float(found.tap_operations[k]),
                        "criterion": worst.criterion if worst else "",
                        "bus": worst.element if worst else "",
                        "phase": worst.phase if worst else "",
                        "time": found.times[worst.step] if worst else "",
                        "beyond": worst.beyond if worst else np.nan,
                        "unit": worst.unit if worst else "",
                    }
                )
        return pd.DataFrame(rows)

    def regret(self, name: str) -> dict[str, float | None]:
        """What a policy curtailed beyond perfect foresight, kWh a day and per cent; empty where that was not asked."""
        if self.foresight is None:
            return {}
        kwh, pct = self.foresight.regret(self.policies[name].curtailed_share)
        return {"regret_kwh_mean": kwh if np.isfinite(kwh) else None, "regret_pct": pct if np.isfinite(pct) else None}

    def _foresight(self) -> dict[str, Any]:
        found = self.foresight
        assert found is not None
        known = np.isfinite(found.curtailed_kwh)
        share = found.curtailed_kwh[known].sum() / max(found.available_kwh[known].sum(), 1e-9)
        return {
            "days": len(known),
            "found": found.found,
            "curtailed_share_mean": float(share) if known.any() else None,
            "status": "best found: a program per day on its tangent, replayed until OpenDSS passed it",
        }

    def to_json(self) -> dict[str, Any]:
        """What summary.json holds."""
        return {
            "case": self.case,
            "schedule": self.schedule,
            "hc_kw": self.hc_kw,
            "days": len(self.days),
            "policies": {name: found.to_json() | self.regret(name) for name, found in self.policies.items()},
            **({"foresight": self._foresight()} if self.foresight else {}),
            "missing": dict(self.cut),
            "settings": dict(self.settings),
        }


def write_operated(found: OperateResult, folder: Path) -> Path:
    """summary.json and days.csv. Raises OutputError."""
    folder = output_folder(folder)
    write_csv(folder / "days.csv", found.table)
    return write_json(folder / "summary.json", found.to_json())


def foresight_in_words(found: OperateResult) -> list[str]:
    """What every policy curtailed beyond what all of the day known would have; empty where not asked."""
    seen = found.foresight
    if seen is None:
        return []
    if not seen.found:
        return [f"With the whole day known no schedule was found that passes on any of {len(seen.curtailed_kwh)} days."]
    known = np.isfinite(seen.curtailed_kwh)
    share = 100 * seen.curtailed_kwh[known].sum() / max(seen.available_kwh[known].sum(), 1e-9)
    said = [
        f"With the whole day known {share:.2f} % would have been curtailed (best found, on {seen.found} of "
        f"{len(known)} days tried)."
    ]
    for name in found.policies:
        r = found.regret(name)
        if name != "schedule" and r["regret_kwh_mean"] is not None:
            more = f"{r['regret_kwh_mean']:,.0f} kWh a day more, {r['regret_pct']:.2f} % of the energy"
            said.append(f"{name} curtails {more}.")
    return said


def conditions_in_words(found: OperateResult) -> str:
    """How late and how exactly the policies saw: no share of days means anything without it."""
    s = found.settings
    late = s["delay_steps"]
    age = f"{late} step{'s' if late > 1 else ''} old" if late else "of the same step"
    units = {"measurement_error_pct": "% of power", "voltage_error_pu": "pu"}
    errors = [f"{s[k]:g} {unit}" for k, unit in units.items() if s[k]]
    exact = f"off by {' and '.join(errors)}" if errors else "exact"
    return f"Measurements are {age}, {exact}; at the plan's full capacity."


def share_in_words(found: PolicyDays) -> str:
    """How many days pass; of one day no share."""
    if len(found.broken) == 1:
        return "the day passes" if not found.broken[0] else "the day breaks a limit"
    low, high = found.interval()
    return (
        f"{100 * found.share_passed:.1f} % of {len(found.broken)} days pass "
        f"({100 * low:.1f} to {100 * high:.1f} with 95 % confidence)"
    )


def in_words(name: str, found: PolicyDays) -> str:
    """A policy's outcome as one sentence."""
    words = f"{name}: {share_in_words(found)}, {100 * found.curtailed_share.mean():.2f} % of the PV energy curtailed"
    if len(found.broken) > 1:
        words += f" ({100 * found.curtailed_share.max():.1f} % on the worst day)"
    if worst := found.worst():
        where = f"{worst['bus']}{'.' + worst['phase'] if worst['phase'] else ''}"
        what = f"{worst['criterion'].replace('_', ' ')} at {where}"
        if len(found.broken) > 1:
            words += f"; most often {what}, {100 * worst['share_of_days']:.0f} % of the days"
        else:
            words += f"; {what} at {worst['hour']}"
    if found.hunting_days:
        words += f"; it hunts on {found.hunting_days} days"
    return words + "."
