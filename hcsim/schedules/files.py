"""A `Schedule` as files that a person can edit and any other optimizer can write.

    schedule.json             kind, case, step_h, times, assumptions, solve (or null), and a word on each file;
                              scenario for the kind planning. Without a kind it is of the kind allocation
    pv.csv                    node, capacity_kw
    pv_dispatch.csv           step, time, node, p_kw, q_kvar             positive into the network
    bess_units.csv            unit, bus, energy_kwh, power_kw, eta_charge, eta_discharge, soc_min, soc_max
    bess_dispatch.csv         step, time, unit, node, p_charge_kw, p_discharge_kw        both >= 0
    soc.csv                   step, time, unit, soc_kwh                  before step 0 ... after the last
    predicted_voltages.csv    step, time, node, v_pu                     optional
    predicted_substation.csv  step, time, phase, p_kw                    optional, into the feeder

Rows are found by step and name, so their order does not matter. `time` is a label and may be left out.
A schedule without batteries has battery files with a header only: a file that is lost is never taken for
a battery that is not there.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from hcsim.errors import ConfigError
from hcsim.schedules.csv_tables import Column, FileErrors, TableIn
from hcsim.util.files import output_folder, write_csv, write_json
from hcsim.util.suggest import did_you_mean
from optim.data.network import Network
from optim.data.node import bus_of, columns
from optim.data.profiles import Profiles
from optim.data.schedule import BessUnit, Floats, Scenario, Schedule, ScheduleKind, SolveInfo, SolveStatus

END = "end"
"""Time label of the row of soc.csv after the last step."""

ABOUT = {
    "pv.csv": "inverter capacity per node-phase",
    "pv_dispatch.csv": "delivered PV power per step and node, positive into the network",
    "bess_units.csv": "one row per battery; efficiencies and SoC limits as shares of 1; header only if none",
    "bess_dispatch.csv": "battery power per step and node, charge drawn from, discharge fed into the network",
    "soc.csv": "stored energy; step s is the state before step s, the last row ('end') after the last step",
    "predicted_voltages.csv": "optional: the voltages that the optimizer claims",
    "predicted_substation.csv": "optional: active power from the source into the feeder that it claims",
}
EDITED = "Changed by hand after it was solved: the bound, gap and predictions of the solved schedule are left out."
POWER_TOLERANCE_KW = 0.01
"""By so much a dispatch may exceed what its inverter can give: digits that a hand rounds off."""
STEP = Column("step", "step")
UNIT_COLUMNS = tuple(f.name for f in fields(BessUnit))[2:]


def write_schedule(schedule: Schedule, folder: Path) -> list[Path]:
    """Write the files named above; `read_schedule` gives back the same to the last bit.

    Raises OutputError where the folder cannot be written.
    """
    output_folder(folder)
    s, times = schedule, schedule.times
    bess_names = [s.bess[u].name for u in s.bess_of]
    tables = {
        "pv.csv": pd.DataFrame({"node": list(s.pv_nodes), "capacity_kw": s.pv_kw}),
        "pv_dispatch.csv": _long(times, {"node": s.pv_nodes}, p_kw=s.pv_p_kw, q_kvar=s.pv_q_kvar),
        "bess_units.csv": pd.DataFrame(
            [(b.name, b.bus, *(getattr(b, c) for c in UNIT_COLUMNS)) for b in s.bess],
            columns=["unit", "bus", *UNIT_COLUMNS],
        ),
        "bess_dispatch.csv": _long(
            times,
            {"unit": bess_names, "node": s.bess_nodes},
            p_charge_kw=s.p_charge_kw,
            p_discharge_kw=s.p_discharge_kw,
        ),
        "soc.csv": _long((*times, END), {"unit": [b.name for b in s.bess]}, soc_kwh=s.soc_kwh),
    }
    if s.predicted_v_pu is not None:
        tables["predicted_voltages.csv"] = _long(times, {"node": s.predicted_nodes}, v_pu=s.predicted_v_pu)
    if s.predicted_substation_kw is not None:
        tables["predicted_substation.csv"] = _long(times, columns(s.substation_phases), p_kw=s.predicted_substation_kw)
    written = [write_csv(folder / name, table) for name, table in tables.items()]
    for stale in ABOUT.keys() - tables.keys():
        (folder / stale).unlink(missing_ok=True)  # an older schedule's prediction is not this one's
    return [*written, write_json(folder / "schedule.json", _facts(schedule))]


def read_schedule(folder: Path, *, network: Network | None = None, profiles: Profiles | None = None) -> Schedule:
    """The schedule in a folder, checked cell by cell.

    With `network`, every node and bus must exist there; with `profiles`, steps must be as many and as long.
    Where sizes or powers were edited after solving, `solve` and the predictions come back as None and
    `assumptions` ends with EDITED.
    Raises ConfigError that lists all faults of a file at once, each with file, column, row and remedy.
    """
    facts = _read_facts(folder / "schedule.json", profiles)
    times: tuple[str, ...] = facts["times"]
    known = None if network is None else network.nodes
    buses = None if network is None else network.buses

    pv = TableIn.read(folder / "pv.csv", (Column("node", "name", known=known), Column("capacity_kw", minimum=0.0)))
    pv_nodes = pv.unique("node")
    pv_kw = pv.numbers("capacity_kw")

    dispatch = TableIn.read(
        folder / "pv_dispatch.csv",
        (STEP, Column("node", "name", known=pv_nodes, known_from="pv.csv"), Column("p_kw"), Column("q_kvar")),
        times,
    )
    if facts["kind"] == "planning" and profiles is not None:  # its PV has a curve of its own: all it has at any hour
        profiles = replace(profiles, pv_pu=np.ones(len(profiles)))
    _check_pv_output(dispatch, dict(zip(pv_nodes, pv_kw.tolist(), strict=True)), profiles)
    p_kw, q_kvar = dispatch.grids(["node"], [(n,) for n in pv_nodes], ["p_kw", "q_kvar"])

    units = TableIn.read(
        folder / "bess_units.csv",
        (
            Column("unit", "name"),
            Column("bus", "name", known=buses),
            Column("energy_kwh", minimum=0.0),
            Column("power_kw", minimum=0.0),
            Column("eta_charge", minimum=1e-6, maximum=1.0),
            Column("eta_discharge", minimum=1e-6, maximum=1.0),
            Column("soc_min", minimum=0.0, maximum=1.0),
            Column("soc_max", minimum=0.0, maximum=1.0),
        ),
    )
    unit_names = units.unique("unit")
    bess = _units(units)

    battery = TableIn.read(
        folder / "bess_dispatch.csv",
        (
            STEP,
            Column("unit", "name", known=unit_names, known_from="bess_units.csv"),
            Column("node", "name", known=known),
            Column("p_charge_kw", minimum=0.0),
            Column("p_discharge_kw", minimum=0.0),
        ),
        times,
    )
    places = battery.pairs("unit", "node")
    _check_places(battery, places, bess)
    charge, discharge = battery.grids(["unit", "node"], places, ["p_charge_kw", "p_discharge_kw"])

    soc = TableIn.read(
        folder / "soc.csv",
        (STEP, Column("unit", "name", known=unit_names, known_from="bess_units.csv"), Column("soc_kwh", minimum=0.0)),
        (*times, END),
    )
    (soc_kwh,) = soc.grids(["unit"], [(n,) for n in unit_names], ["soc_kwh"])

    predicted_nodes, predicted_v = _prediction(folder / "predicted_voltages.csv", "node", "v_pu", times, known)
    phases, substation = _prediction(folder / "predicted_substation.csv", "node", "p_kw", times, None)
    found = Schedule(
        case=facts["case"],
        times=times,
        step_h=facts["step_h"],
        pv_nodes=pv_nodes,
        pv_kw=pv_kw,
        pv_p_kw=p_kw,
        pv_q_kvar=q_kvar,
        bess=bess,
        bess_nodes=tuple(node for _, node in places),
        bess_of=tuple(unit_names.index(unit) for unit, _ in places),
        p_charge_kw=charge,
        p_discharge_kw=discharge,
        soc_kwh=soc_kwh,
        predicted_nodes=predicted_nodes,
        predicted_v_pu=predicted_v,
        substation_phases=phases,
        predicted_substation_kw=substation,
        solve=facts["solve"],
        assumptions=facts["assumptions"],
        kind=facts["kind"],
        scenario=facts["scenario"],
    )
    return found if facts["digest"] in (None, _digest(found)) else _without_proof(found)


def _without_proof(edited: Schedule) -> Schedule:
    """What was proven and predicted was so for other devices; it is left out, and said to be."""
    return replace(
        edited,
        solve=None,
        predicted_nodes=(),
        predicted_v_pu=None,
        substation_phases=(),
        predicted_substation_kw=None,
        assumptions=(*edited.assumptions, EDITED),
    )


def _digest(s: Schedule) -> str:
    """Hash over sizes, sites and powers: tells whether a schedule was changed after it was solved."""
    words = hashlib.sha256(repr((s.step_h, s.pv_nodes, s.bess, s.bess_nodes, s.bess_of)).encode())
    for values in (s.pv_kw, s.pv_p_kw, s.pv_q_kvar, s.p_charge_kw, s.p_discharge_kw, s.soc_kwh):
        rounded = np.round(values, 6) + 0.0  # what a spreadsheet does to the last digits is no edit
        words.update(np.ascontiguousarray(rounded, dtype="<f8").tobytes())
    return words.hexdigest()


def _long(times: tuple[str, ...], names: dict[str, Any], **wide: Floats) -> pd.DataFrame:
    """(T, K) arrays as one table with T*K rows, step by step."""
    width = len(next(iter(names.values())))
    table: dict[str, Any] = {
        "step": np.repeat(np.arange(len(times)), width),
        "time": np.repeat(np.array(times, dtype=object), width),
    }
    for column, of in names.items():
        table[column] = np.tile(np.array(of, dtype=object), len(times))
    # adding 0.0 turns -0.0, which puzzles readers, into 0.0
    return pd.DataFrame(table | {column: values.reshape(-1) + 0.0 for column, values in wide.items()})


def _facts(schedule: Schedule) -> dict[str, Any]:
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
        "devices_sha256": _digest(schedule),
        "about": ABOUT,
    }


def _read_facts(path: Path, profiles: Profiles | None) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(
            f"{path} is missing.", 'It needs at least {"case": "mine", "step_h": 1.0, "times": ["00:00", ...]}.'
        )
    try:
        facts = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no JSON: {error}.", "Mend that place; a comma too many?") from error
    errors = FileErrors(path)
    if not isinstance(facts, dict):
        errors.add("is not a JSON object", 'Write {"case": ..., "step_h": ..., "times": [...]}.')
        errors.raise_any()
    known = ("format", "kind", "scenario", "case", "step_h", "times", "solve", "assumptions", "devices_sha256", "about")
    for key in sorted(facts.keys() - set(known)):
        errors.add(f"key {key!r} is unknown", did_you_mean(key, known))
    if not isinstance(facts.get("case"), str) or not facts.get("case"):
        errors.add("key 'case' is missing or no text", 'Name the case, for example "mine".')
    step_h, times = facts.get("step_h"), facts.get("times")
    if isinstance(step_h, bool) or not isinstance(step_h, int | float) or not step_h > 0:
        errors.add("key 'step_h' is missing or no positive number", "Give the length of a step in hours.")
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
    except (TypeError, ValueError) as error:
        errors.add(f"key 'solve' holds no number: {error}", "Mend it, or write null.")
        return None
    return SolveInfo(raw["status"], **numbers, solver=str(raw.get("solver", "")), notes=tuple(raw.get("notes", ())))


def _check_pv_output(table: TableIn, capacity_kw: dict[str, float], profiles: Profiles | None) -> None:
    """No inverter gives more than its capacity, nor more than the sun at that step."""
    rows = zip(*(table.values(c) for c in ("step", "node", "p_kw", "q_kvar")), strict=True)
    for i, (step, node, p_kw, q_kvar) in enumerate(rows):
        most_kva = capacity_kw[node]
        most_kw = most_kva if profiles is None else most_kva * float(profiles.pv_pu[step])
        if p_kw > most_kw + POWER_TOLERANCE_KW:
            table.errors.add(
                f"row {table.row(i)}, column p_kw: {p_kw:g} kW at {node}, where {most_kva:g} kW of inverter give "
                f"{most_kw:g} kW at step {step}",
                "Mend it, or capacity_kw in pv.csv.",
            )
        elif math.hypot(p_kw, q_kvar) > most_kva + POWER_TOLERANCE_KW:
            table.errors.add(
                f"row {table.row(i)}, columns p_kw and q_kvar: {math.hypot(p_kw, q_kvar):g} kVA at {node}, which "
                f"has {most_kva:g} kVA",
                "Mend them, or capacity_kw in pv.csv.",
            )
    table.errors.raise_any()


def _units(table: TableIn) -> tuple[BessUnit, ...]:
    columns = {name: table.numbers(name) for name in UNIT_COLUMNS}
    names, buses = table.names("unit"), table.names("bus")
    for i, unit in enumerate(names):
        if columns["soc_min"][i] > columns["soc_max"][i]:
            table.errors.add(f"row {table.row(i)}: unit {unit} has soc_min above soc_max", "Swap them.")
    table.errors.raise_any()
    return tuple(
        BessUnit(names[i], buses[i], **{c: float(columns[c][i]) for c in UNIT_COLUMNS}) for i in range(len(names))
    )


def _check_places(table: TableIn, places: list[tuple[str, ...]], bess: tuple[BessUnit, ...]) -> None:
    """Every unit has a phase, and its nodes are at its own bus."""
    home = {unit.name: unit.bus for unit in bess}
    for unit, node in places:
        if bus_of(node) != home[unit]:
            table.errors.add(
                f"column node: unit {unit} stands at bus {home[unit]}, not at node {node}",
                "Mend the node here or the bus in bess_units.csv.",
            )
    for unit in sorted(home.keys() - {unit for unit, _ in places}):
        table.errors.add(f"unit {unit} of bess_units.csv has no rows", "Add its power for every step.")
    table.errors.raise_any()


def _prediction(
    path: Path, name: str, value: str, times: tuple[str, ...], known: tuple[str, ...] | None
) -> tuple[tuple[str, ...], Floats | None]:
    if not path.is_file():
        return (), None
    table = TableIn.read(path, (STEP, Column(name, "name", known=known), Column(value)), times)
    names = list(dict.fromkeys(table.names(name)))
    (grid,) = table.grids([name], [(n,) for n in names], [value])
    return tuple(names), grid
