"""schedule.json: what a schedule is of, its steps, how it was solved, and whether it was edited since."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np

from hcsim.errors import ConfigError
from hcsim.schedules.csv_tables import FileErrors
from hcsim.util.suggest import did_you_mean
from optim.data.profiles import Profiles
from optim.data.schedule import Scenario, Schedule, ScheduleKind, SolveInfo, SolveStatus

LONGEST_STEP_H = 8784.0
ABOUT = {
    "pv.csv": "inverter capacity per node-phase",
    "pv_dispatch.csv": "delivered PV power per step and node, positive into the network",
    "bess_units.csv": "one row per battery; efficiencies and SoC limits as shares of 1; header only if none",
    "bess_dispatch.csv": "battery power per step and node, charge drawn from, discharge fed into the network",
    "bess_converters.csv": "optional: nameplate in kVA of each phase of a battery",
    "soc.csv": "stored energy; step s is the state before step s, the last row ('end') after the last step",
    "predicted_voltages.csv": "optional: the voltages that the optimizer claims",
    "predicted_substation.csv": "optional: active power from the source into the feeder that it claims",
}


def facts_of(schedule: Schedule) -> dict[str, Any]:
    solve = None
    if schedule.solve is not None:  # JSON knows no infinity, and a bound may be one
        solve = {
            k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(schedule.solve).items()
        }
    return {
        "format": "hcsim schedule 1",
        "kind": schedule.kind,
        **({"scenario": schedule.scenario} if schedule.scenario else {}),
        "case": schedule.case,
        "step_h": schedule.step_h,
        "times": schedule.times,
        "solve": solve,
        "assumptions": schedule.assumptions,
        **({"replaces": schedule.replaces} if schedule.replaces else {}),
        "devices_sha256": digest(schedule),
        "about": ABOUT,
    }


def read_facts(path: Path, profiles: Profiles | None) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(
            f"{path} is missing.", 'It needs at least {"case": "mine", "step_h": 1.0, "times": ["00:00", ...]}.'
        )
    try:
        facts = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError, OSError) as error:
        raise ConfigError(f"{path} is no JSON: {error}.", "Mend that place; a comma too many?") from error
    errors = FileErrors(path)
    if not isinstance(facts, dict):
        errors.add("is not a JSON object", 'Write {"case": ..., "step_h": ..., "times": [...]}.')
        errors.raise_any()
    known = (
        "format",
        "kind",
        "scenario",
        "case",
        "step_h",
        "times",
        "solve",
        "assumptions",
        "replaces",
        "devices_sha256",
        "about",
    )
    for key in sorted(facts.keys() - set(known)):
        errors.add(f"key {key!r} is unknown", did_you_mean(key, known))
    if not isinstance(facts.get("case"), str) or not facts.get("case"):
        errors.add("key 'case' is missing or no text", 'Name the case, for example "mine".')
    step_h, times = facts.get("step_h"), facts.get("times")
    if isinstance(step_h, bool) or not isinstance(step_h, int | float) or not step_h > 0:
        errors.add("key 'step_h' is missing or no positive number", "Give the length of a step in hours.")
    elif not 1e-3 <= step_h <= LONGEST_STEP_H:
        errors.add(f"key 'step_h' is {float(str(step_h)):g}", f"Steps are 0.001 to {LONGEST_STEP_H:g} hours long.")
    if not isinstance(times, list) or not times or not all(isinstance(t, str) for t in times):
        errors.add("key 'times' is missing or no list of labels", 'Give one label per step: ["00:00", ...].')
    elif profiles is not None:
        if len(times) != len(profiles):
            errors.add(
                f"key 'times' has {len(times)} steps, the study's profiles have {len(profiles)}",
                "Use the profiles' steps.",
            )
        elif tuple(times) != profiles.times:
            wrong = next(i for i, t in enumerate(times) if t != profiles.times[i])
            errors.add(
                f"step {wrong} is {times[wrong]!r}, in the profiles {profiles.times[wrong]!r}",
                "Use the profiles' labels.",
            )
        if step_h != profiles.step_h:
            errors.add(f"key 'step_h' is {step_h}, in the profiles {profiles.step_h}", "Make them equal.")
    notes = facts.get("assumptions", [])
    if not isinstance(notes, list) or not all(isinstance(n, str) for n in notes):
        errors.add("key 'assumptions' is no list of sentences", "Write a list of texts, or leave it out.")
    replaces = facts.get("replaces", [])
    if not isinstance(replaces, list) or not all(isinstance(n, str) and "." in n for n in replaces):
        errors.add("key 'replaces' is no list of elements", 'Write ["storage.bess1", ...], or leave it out.')
    solve = _read_solve(facts.get("solve"), errors)
    kind, scenario = facts.get("kind", "allocation"), facts.get("scenario")
    if kind not in get_args(ScheduleKind):
        errors.add(f"kind {kind!r} is unknown", f"Kinds: {', '.join(get_args(ScheduleKind))}.")
    elif kind == "planning" and scenario not in get_args(Scenario):
        errors.add(f"scenario {scenario!r} is none of a plan", f"Scenarios: {', '.join(get_args(Scenario))}.")
    elif kind != "planning" and scenario is not None:
        errors.add(f"key 'scenario' belongs to the kind planning, not {kind}", "Take it out.")
    errors.raise_any()
    return {
        "kind": kind,
        "scenario": scenario,
        "case": facts["case"],
        "step_h": float(facts["step_h"]),
        "times": tuple(times),
        "assumptions": tuple(notes),
        "replaces": tuple(replaces),
        "solve": solve,
        "digest": facts.get("devices_sha256"),
    }


def _read_solve(raw: Any, errors: FileErrors) -> SolveInfo | None:
    if raw is None:
        return None
    keys = {f.name for f in fields(SolveInfo)}
    needed = keys - {"solver", "notes"}
    if not isinstance(raw, dict) or raw.keys() - keys or needed - raw.keys():
        errors.add("key 'solve' is neither null nor a whole solve record", f"Use null, or {sorted(needed)}.")
        return None
    if raw["status"] not in get_args(SolveStatus):
        errors.add(f"solve status {raw['status']!r} is unknown", f"Use one of {', '.join(get_args(SolveStatus))}.")
        return None
    try:
        numbers = {k: float(raw[k]) for k in ("objective", "bound", "gap", "build_s", "solve_s")}
    except (TypeError, ValueError, OverflowError) as error:
        errors.add(f"key 'solve' holds no number: {error}", "Mend it, or write null.")
        return None
    return SolveInfo(raw["status"], **numbers, solver=str(raw.get("solver", "")), notes=tuple(raw.get("notes", ())))


def digest(s: Schedule) -> str:
    """Hash over sizes, sites and powers: tells whether a schedule was changed after it was solved."""
    words = hashlib.sha256(repr((s.step_h, s.pv_nodes, s.bess, s.bess_nodes, s.bess_of)).encode())
    for values in (s.pv_kw, s.pv_p_kw, s.pv_q_kvar, s.p_charge_kw, s.p_discharge_kw, s.soc_kwh):
        rounded = np.round(values, 6) + 0.0  # what a spreadsheet does to the last digits is no edit
        words.update(np.ascontiguousarray(rounded, dtype="<f8").tobytes())
    for name, optional in (("pv_kva", s.pv_kva), ("bess_q_kvar", s.bess_q_kvar), ("bess_kva", s.bess_kva)):
        if optional is not None:  # schedules that have none keep the hash that they had before these were known
            words.update(name.encode() + np.ascontiguousarray(np.round(optional, 6) + 0.0, dtype="<f8").tobytes())
    if s.replaces:
        words.update(repr(s.replaces).encode())
    return words.hexdigest()
