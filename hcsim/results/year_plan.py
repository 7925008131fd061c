"""A plan for the year: what the days in the program decide, and what the whole year says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hcsim.operate.year import YearRun
from hcsim.results.words import PROGRAMS
from hcsim.schedules.files import write_schedule
from hcsim.util.files import output_folder, write_csv, write_json
from optim.data.schedule import Schedule

HOLDS, OPERATED, REFUTED = "holds", "holds operated", "refuted"


@dataclass(frozen=True)
class YearRound:
    """One program over the days known so far, and the year under it."""

    days: tuple[str, ...]
    claim_kw: float
    claim_status: str
    """"optimal", "gap", ...: how far the program's claim is proven."""
    hc_kw: float
    """What the closed loop leaves of the claim over these days."""
    certificate: str
    """The loop's word for it: "certified", or "best found" with what is missing."""
    days_failing: int
    new_violations: int
    worst_day: str
    """Joins the program in the next round; "" where none fails."""


@dataclass(frozen=True)
class YearPlan:
    """Sizes and sites that the year has, and the dispatch of the days in the program."""

    program: str
    schedule: Schedule
    """Over the days in the program, one after another."""
    days: tuple[str, ...]
    """Labels of the days in the program, the first three by rule, then those that broke most."""
    word: str
    """Of the closed loop over these days."""
    rounds: tuple[YearRound, ...]
    open_loop: YearRun
    """The year with every day dispatched as the most similar day of the program."""
    operated: YearRun
    """The same with the policy acting."""
    policy: str
    failing: tuple[str, ...]
    """Days with a new violation, open loop."""

    @property
    def status(self) -> str:
        """How far the claim holds."""
        if self.open_loop.passed:
            return HOLDS
        return OPERATED if self.operated.passed else REFUTED

    @property
    def words(self) -> str:
        """One sentence."""
        title = PROGRAMS.get(self.program, self.program)
        said = f"{title}: {self.schedule.hc_kw:,.0f} kW, {self.word} over its days, "
        said += f"decided by {len(self.days)} days ({', '.join(self.days)}); "
        if self.open_loop.passed:
            return f"{said}no limit breaks in 8,760 hours, no hand on it"
        open_loop = f"{len(self.failing)} days break a limit by schedule alone"
        run = self.operated
        if run.passed:
            share = f"{100 * run.curtailed_share:.2f} % of the energy"
            return f"{said}{open_loop}, none operated by {self.policy}, which curtails {share}"
        worst = run.worst
        where = f"{worst['criterion'].replace('_', ' ')} at {worst['element']}"
        return (
            f"{said}{open_loop}, and operated by {self.policy} {run.new_violations} violations stay, the worst {where} "
            f"at {worst['time']}"
        )

    def to_json(self) -> dict[str, Any]:
        """As `cases.<program>.year` of summary.json."""
        run = self.operated
        return {
            "hc_kw": self.schedule.hc_kw,
            "status": self.status,
            "certificate": self.word,
            "days_in_program": list(self.days),
            "days_failing": len(self.failing),
            "failing": list(self.failing[:31]),
            "new_violations": self.open_loop.new_violations,
            "worst": self.open_loop.worst,
            "policy": self.policy,
            "new_violations_operated": run.new_violations,
            "curtailed_kwh": float(run.curtailed_kwh.sum()),
            "curtailed_pct": 100.0 * run.curtailed_share,
            "limit": run.limit,
            "cycles": {u.name: float(c) for u, c in zip(self.schedule.bess, run.full_cycles, strict=True)},
            "rounds": [dict(r.__dict__) for r in self.rounds],
        }


@dataclass(frozen=True)
class YearPlans:
    """A study over the year."""

    case: str
    plans: Mapping[str, YearPlan]
    notes: Sequence[str] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def table(self) -> pd.DataFrame:
        """A row per program: capacity, days in the program, days failing, curtailed energy, cycles; kW, kWh."""
        rows = []
        for name, plan in self.plans.items():
            found = plan.to_json()
            rows.append(
                {
                    "program": name,
                    "hc_kw": found["hc_kw"],
                    "status": found["status"],
                    "days_in_program": len(plan.days),
                    "days_failing": found["days_failing"],
                    "new_violations": found["new_violations"],
                    "new_violations_operated": found["new_violations_operated"],
                    "curtailed_kwh": found["curtailed_kwh"],
                    "curtailed_pct": found["curtailed_pct"],
                    "full_cycles_most": float(np.max(plan.operated.full_cycles, initial=0.0)),
                }
            )
        return pd.DataFrame(rows)

    @property
    def sites(self) -> pd.DataFrame:
        """A row per program and node that has PV: pv_kw."""
        rows = [
            (name, node, float(kw))
            for name, plan in self.plans.items()
            for node, kw in zip(plan.schedule.pv_nodes, plan.schedule.pv_kw, strict=True)
            if kw > 0
        ]
        return pd.DataFrame(rows, columns=["program", "node", "pv_kw"])

    def to_json(self) -> dict[str, Any]:
        """What summary.json holds."""
        years = {name: plan.to_json() for name, plan in self.plans.items()}
        return {
            "case": self.case,
            "study": "year",
            "cases": {name: {"hc_kw": year["hc_kw"], "year": year} for name, year in years.items()},
            "notes": list(self.notes),
            "missing": dict(self.missing),
            "seconds": self.seconds,
        }


def write_year_plans(found: YearPlans, folder: Path) -> Path:
    """summary.json, plans.csv, sites.csv and schedules/<program>_year. Raises OutputError."""
    folder = output_folder(folder)
    write_csv(folder / "plans.csv", found.table)
    write_csv(folder / "sites.csv", found.sites)
    for name, plan in found.plans.items():
        write_schedule(plan.schedule, folder / "schedules" / f"{name}_year")
    return write_json(folder / "summary.json", found.to_json())
