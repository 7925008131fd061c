"""An infeasible program in the words of an engineer: which limits, at which bus and hour, exclude each other."""

from __future__ import annotations

import ast
import re

from optim.errors import InfeasibleError
from optim.hosting_problem import HostingProblem

MOST = 8
"""Conflicting limits that are named; an irreducible set is rarely larger."""


def in_words(error: InfeasibleError, problem: HostingProblem) -> str:
    """The rows of the conflict as sentences; the solver's own remedy where it has named none."""
    if not error.rows:
        return error.remedy
    said = list(dict.fromkeys(row_in_words(row, problem) for row in error.rows))
    more = f"; and {len(said) - MOST} more" if len(said) > MOST else ""
    return "These exclude each other: " + "; ".join(said[:MOST]) + more + "."


def row_in_words(row: str, problem: HostingProblem) -> str:
    """Row "voltage_min['83.1','23:00']" -> "at least 0.95 pu at 83.1 at 23:00"; other rows keep their names."""
    found = re.fullmatch(r"(\w+)\[(.*)\]", row)
    if not found:
        return row
    kind, index = found[1], ast.literal_eval(f"({found[2]},)")
    times, limits, fleet = problem.profiles.times, problem.limits, problem.fleet
    if kind == "voltage_min":
        return f"at least {limits.v_min_pu:g} pu at {index[0]} at {index[1]}"
    if kind == "voltage_max":
        return f"at most {limits.v_max_pu:g} pu at {index[0]} at {index[1]}"
    if kind == "loading_max":
        return f"the current of {index[0]} at {index[1]} within its rating"
    if kind == "no_reverse_flow":
        phase = problem.model.substation_phases[index[0]]
        return f"at least {limits.substation_min_kw:g} kW into the feeder at {phase} at {times[index[1]]}"
    if kind in ("q_most", "q_least"):
        rest = problem.profiles.pv_pu[index[1]] == 0 and not problem.night_var
        what = "no reactive power from PV" if rest else "the reactive power that PV may give or take"
        return f"{what} at {index[0]} at {times[index[1]]}"
    if fleet and kind in ("charge_limit", "discharge_limit"):
        unit, node, step = index
        power = "charging" if kind == "charge_limit" else "discharging"
        return f"the {power} power of {fleet.units[unit].name} at {node} at {times[step]}"
    if fleet and kind in ("energy_floor", "energy_ceiling", "energy_balance"):
        return f"the stored energy of {fleet.units[index[0]].name} at {times[index[1]]}"
    if fleet and kind == "energy_returns":
        return f"{fleet.units[index[0]].name} back at its first SoC"
    return row
