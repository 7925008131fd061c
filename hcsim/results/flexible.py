"""Capacity against curtailed energy over a year: its points, its export profiles, and their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hcsim.operate.year import YearRun
from hcsim.results.words import PROGRAMS
from hcsim.util.files import output_folder, write_csv, write_json


@dataclass(frozen=True)
class Point:
    """One share of energy of one plan."""

    case: str
    curtailment_pct: float
    run: YearRun | None
    """The year at the capacity found; None where no capacity tried passed."""
    refuted: YearRun | None
    """The last year tried in which a limit broke."""
    trials: int
    settled: bool
    """Whether no more than 1 % was to be gained when the search ended; else its years were over."""

    @property
    def verified(self) -> bool:
        """Whether the year at this very capacity was run, broke no limit and curtailed no more than allowed."""
        return self.run is not None

    @property
    def words(self) -> str:
        """One sentence."""
        title = PROGRAMS.get(self.case, self.case)
        if self.run is None:
            return f"{title}, {self.curtailment_pct:g} %: no capacity tried passes the year ({self.why_not})"
        run = self.run
        said = f"{title}, {self.curtailment_pct:g} %: {run.hc_kw:,.0f} kW, {run.curtailed_kwh.sum():,.0f} kWh curtailed"
        said += f" ({100 * run.curtailed_share:.2f} %) in {run.hours_curtailed:,.0f} hours"
        said += "" if self.settled else f", best found in {self.trials} years"
        return f"{said}; {held_in_words(run.limit)}" if run.limit else said

    @property
    def why_not(self) -> str:
        """What broke in the last year that was refuted."""
        if self.refuted is None:
            return f"more than {self.curtailment_pct:g} % is curtailed at each"
        worst = self.refuted.worst
        where = f"{worst['element']}{'.' + worst['phase'] if worst['phase'] else ''}"
        return (
            f"at {self.refuted.hc_kw:,.0f} kW {self.refuted.new_violations} new violations, the worst "
            f"{worst['criterion'].replace('_', ' ')} at {where} at {worst['time']}"
        )

    def to_json(self) -> dict[str, Any]:
        """As in summary.json."""
        run = self.run
        content: dict[str, Any] = {
            "case": self.case,
            "curtailment_pct": self.curtailment_pct,
            "hc_kw": None if run is None else run.hc_kw,
            "limit": {} if run is None else run.limit,
            "curtailed_kwh": None if run is None else float(run.curtailed_kwh.sum()),
            "curtailed_pct": None if run is None else 100.0 * run.curtailed_share,
            "hours_curtailed": None if run is None else run.hours_curtailed,
            "verified": self.verified,
            "trials": self.trials,
            "cut": "" if self.settled else "work",
        }
        if run is not None:
            content |= {
                "tap_operations": run.tap_operations,
                "hunting_steps": run.hunting_steps,
                "full_cycles": [float(x) for x in run.full_cycles],
            }
        if self.refuted is not None:
            content["refuted"] = {"hc_kw": self.refuted.hc_kw, "new_violations": self.refuted.new_violations}
            content["refuted"]["worst"] = self.refuted.worst
        return content


@dataclass(frozen=True)
class FlexibleResult:
    """The curve of every plan."""

    case: str
    policy: str
    points: Sequence[Point]
    plans_kw: Mapping[str, float]
    """Case -> capacity of its plan on the study's day."""
    settings: Mapping[str, Any]
    notes: Sequence[str] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def table(self) -> pd.DataFrame:
        """A row per point: case, curtailment_pct, hc_kw, curtailed_kwh, curtailed_pct, hours_curtailed, what held."""
        rows = []
        for point in self.points:
            found = point.to_json()
            limit = found["limit"]
            columns = ("case", "curtailment_pct", "hc_kw", "curtailed_kwh", "curtailed_pct", "hours_curtailed")
            row = {key: found[key] for key in columns}
            row |= {key: limit.get(key) or "" for key in ("criterion", "element", "phase", "time")}
            rows.append(
                {
                    **row,
                    "verified": found["verified"],
                    "cut": found["cut"],
                    "why_not": "" if point.verified else point.why_not,
                }
            )
        return pd.DataFrame(rows)

    @property
    def sites(self) -> pd.DataFrame:
        """A row per point and site node: pv_kw, curtailed_kwh, hours_curtailed."""
        parts = [
            pd.DataFrame(
                {
                    "case": point.case,
                    "curtailment_pct": point.curtailment_pct,
                    "node": run.nodes,
                    "pv_kw": run.pv_kw,
                    "curtailed_kwh": run.curtailed_kwh,
                    "hours_curtailed": run.hours,
                }
            )
            for point in self.points
            if (run := point.run) is not None
        ]
        columns = ["case", "curtailment_pct", "node", "pv_kw", "curtailed_kwh", "hours_curtailed"]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)

    @property
    def profiles(self) -> pd.DataFrame:
        """A row per point, month and hour: export_kw, the least that went through where anything was curtailed.

        The whole capacity where nothing was: 288 values a point, in the form of California's Limited Generation
        Profile; month 0 is the least of all months, 24 values.
        """
        parts = [export_profile(point) for point in self.points if point.run is not None]
        columns = ["case", "curtailment_pct", "month", "hour", "export_kw"]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)

    def to_json(self) -> dict[str, Any]:
        """What summary.json holds."""
        return {
            "case": self.case,
            "policy": self.policy,
            "hours": 8760,
            "plans_kw": dict(self.plans_kw),
            "points": [point.to_json() for point in self.points],
            "notes": list(self.notes),
            "missing": dict(self.missing),
            "settings": dict(self.settings),
            "seconds": self.seconds,
        }


def export_profile(point: Point) -> pd.DataFrame:
    """288 values by month (1 to 12) and hour (0 to 23), and 24 for month 0, the least of them."""
    run = point.run
    assert run is not None
    steps = len(run.available_kw)
    per_day = steps // 365
    day_of = np.arange(steps) // per_day
    month = (pd.Timestamp("2023-01-01") + pd.to_timedelta(day_of, unit="D")).month.to_numpy()
    hour = (np.arange(steps) % per_day) * 24 // per_day
    through = np.minimum(run.let_through_kw(), run.hc_kw)
    least = pd.DataFrame({"month": month, "hour": hour, "export_kw": through})
    by_month = least.groupby(["month", "hour"], as_index=False)["export_kw"].min()
    of_all = least.groupby("hour", as_index=False)["export_kw"].min().assign(month=0)
    both = pd.concat([of_all, by_month], ignore_index=True)
    both.insert(0, "case", point.case)
    both.insert(1, "curtailment_pct", point.curtailment_pct)
    return both[["case", "curtailment_pct", "month", "hour", "export_kw"]]


def held_in_words(limit: Mapping[str, Any]) -> str:
    """What held a capacity back, as part of a sentence."""
    where = f"{limit['element']}{', phase ' + limit['phase'] if limit['phase'] else ''}"
    share = limit.get("share_of_curtailed")
    said = f"{limit['criterion'].replace('_', ' ')} at {where}"
    return f"{said} holds it ({100 * share:.0f} % of what is curtailed)" if share else f"{said} is closest"


def write_flexible(found: FlexibleResult, folder: Path) -> Path:
    """summary.json, points.csv, sites.csv, export_profiles.csv. Raises OutputError."""
    folder = output_folder(folder)
    write_csv(folder / "points.csv", found.table)
    write_csv(folder / "sites.csv", found.sites)
    write_csv(folder / "export_profiles.csv", found.profiles)
    return write_json(folder / "summary.json", found.to_json())
