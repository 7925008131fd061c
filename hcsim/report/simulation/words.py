"""Headlines of hosting capacity by simulation: the number, what limits it, where and when, how sure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hcsim.hosting.nodal import NO_PHASE, NOT_BINDING
from hcsim.hosting.nodal_result import NodalResult
from hcsim.hosting.result import HostingCapacityResult
from hcsim.hosting.stochastic_result import StochasticResult
from hcsim.hosting.year_result import YearStudy
from hcsim.replay.verdict import counted

PATTERNS = {"random": "at random", "near": "near the source first", "far": "far from it first"}


def limit_at(limit: Mapping[str, Any]) -> str:
    """ "reverse flow at source, phase 2, at 10:00"; "" where none was met."""
    if limit.get("criterion") in (None, "", "none"):
        return ""
    return at_place(limit["criterion"], limit.get("element"), limit.get("phase"), limit.get("time"))


def at_place(criterion: object, element: object, phase: object = "", hour: object = "") -> str:
    """A limit with its place and hour, as a sentence has it."""
    words = str(criterion).replace("_", " ")
    words += f" at {element}" if element else ""
    words += f", phase {phase}" if phase else ""
    return words + (f", at {hour}" if hour else "")


def baseline_headline(case: str, found: HostingCapacityResult) -> str:
    """Of hosting capacity by simulation, sites all together."""
    if found.undefined:
        return f"{case} has no hosting capacity by simulation: {found.undefined}."
    limit = limit_at(found.limit)
    said = f"By plain simulation {case} can take {np.floor(found.hc_kw):,.0f} kW of PV, shared by fixed shares"
    said += f", limited by {limit}." if limit else f"; {found.limit.get('reason', 'no limit was met')}."
    put_back = "Put back in a feeder compiled anew it holds" if found.verified else "It was not put back"
    again = f", though {found.again_words}" if found.again_words else ""
    return f"{said} {put_back}{again}."


def nodal_headline(result: NodalResult, scenario: str = "generation") -> str:
    """Of a nodal study: least, half and most of the buses, each by itself."""
    whole = result.outcomes[scenario].table
    table = whole[whole["smallest"] & (whole["status"] != NO_PHASE) & whole["hc_kw"].notna()]
    what = "new load" if scenario == "load" else "new generation"
    if table.empty:
        return f"No bus of {result.network.name} could be judged."
    least = table.loc[table["hc_kw"].idxmin()]
    where = at_place(least["criterion"], least["binding_element"], least["binding_phase"], least["binding_hour"])
    said = (
        f"A single bus of {_name(result)} can take {table['hc_kw'].min():,.0f} to {table['hc_kw'].max():,.0f} kW of "
        f"{what}, half of its {len(table)} buses {table['hc_kw'].median():,.0f} kW or more"
    )
    said += f"; least at bus {least['bus']}, limited by {where}." if least["status"] != NOT_BINDING else "."
    held = int(table["verified"].sum())
    sure = "Every size held" if held == len(table) else f"{held} of {len(table)} sizes held"
    return f"{said} {sure} when put back at its bus over the whole time; the sizes do not add up."


def _name(result: NodalResult) -> str:
    return str(result.summary.get("case", result.network.name))


def nodal_counts(table: pd.DataFrame) -> str:
    """How many buses each limit stops, most first."""
    bound = table[table["smallest"] & ~table["status"].isin([NOT_BINDING, NO_PHASE])]
    said = [f"{str(c).replace('_', ' ')} at {n}" for c, n in bound["criterion"].value_counts().items()]
    free = int((table["smallest"] & (table["status"] == NOT_BINDING)).sum())
    return (
        f"What stops them: {', '.join(said) or 'nothing'}"
        + (f"; nothing up to the largest size at {free}" if free else "")
        + "."
    )


def stochastic_headline(result: StochasticResult) -> str:
    """Of random deployments: what half of them take, and what the worst one in twenty does."""
    found = result.capacities.dropna(subset=["hc_kw"])
    case = str(result.summary.get("case", result.network.name))
    if found.empty:
        why = result.summary.get("reason", "none was finished")
        return f"Random deployments on {case} have no hosting capacity: {why}."
    low, half = (found["hc_kw"].quantile(q, interpolation="lower") for q in (0.05, 0.5))
    pct = found["hc_pct"].quantile(0.5, interpolation="lower")
    said = (
        f"Half of {counted(len(found), 'random deployment')} of rooftop PV on {case} take {half:,.0f} kW or more "
        f"({pct:.0f} % of the nominal load) without breaking a limit, 19 in 20 take {low:,.0f} kW or more"
    )
    first = [c for names in found["first"] for c in names.split(";") if c]
    if first:
        kind = max(dict.fromkeys(first), key=first.count)
        said += f"; what breaks first is most often {kind.replace('_', ' ')} ({first.count(kind)} of {len(found)})"
    held = "each was put back and held" if bool(found["verified"].all()) else "not each held when put back"
    return f"{said}. Of the steps of penetration simulated, {held}."


def year_headline(study: YearStudy) -> str:
    """Of a year: capacity, what limits it, how near voltages come."""
    case = str(study.summary.get("case", "The feeder"))
    hours = len(study.profiles) * study.profiles.step_h
    said = baseline_headline(case, study.capacity).replace("By plain simulation ", f"Over {hours:,.0f} hours ", 1)
    if (year := study.years.get("with_pv")) is not None:
        low, high = float(np.nanmin(year.v_lowest_pu)), float(np.nanmax(year.v_highest_pu))
        said += f" With it voltages lie between {low:.4f} and {high:.4f} pu."
    return said
