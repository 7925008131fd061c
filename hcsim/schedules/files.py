"""A `Schedule` as files that a person can edit and any other optimizer can write.

    schedule.json             kind, case, step_h, times, assumptions, solve (or null), and a word on each file;
                              scenario for the kind planning. Without a kind it is of the kind allocation
    pv.csv                    node, capacity_kw; kva where a nameplate is not as many kVA as kW
    pv_dispatch.csv           step, time, node, p_kw, q_kvar             positive into the network
    bess_units.csv            unit, bus, energy_kwh, power_kw, eta_charge, eta_discharge, soc_min, soc_max
    bess_dispatch.csv         step, time, unit, node, p_charge_kw, p_discharge_kw        both >= 0; q_kvar, optional,
                              positive into the network
    bess_converters.csv       unit, node, kva                            optional, of each phase of a battery
    soc.csv                   step, time, unit, soc_kwh                  before step 0 ... after the last
    predicted_voltages.csv    step, time, node, v_pu                     optional
    predicted_substation.csv  step, time, bus, phase, p_kw               optional, into the feeder

Beside a node stand its bus and phase, as "18.1" alone is read as a number; either may be left out, and where both
are there they say the same. Rows are found by step and name, so their order does not matter. `time` is a label and
may be left out.
A schedule without batteries has battery files with a header only: a file that is lost is never taken for
a battery that is not there.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hcsim.schedules.csv_tables import Column, TableIn
from hcsim.schedules.facts import ABOUT, digest, facts_of, read_facts
from hcsim.util.files import output_folder, write_csv, write_json
from optim.data.network import Network
from optim.data.node import bus_of, columns
from optim.data.profiles import Profiles
from optim.data.schedule import BessUnit, Floats, Schedule

END = "end"
"""Time label of the row of soc.csv after the last step."""

EDITED = "Changed by hand after it was solved: the bound, gap and predictions of the solved schedule are left out."
POWER_TOLERANCE_KW = 0.01
"""By so much a dispatch may exceed what its inverter can give: digits that a hand rounds off."""
STEP = Column("step", "step")
UNIT_COLUMNS = tuple(f.name for f in fields(BessUnit))[2:]


def write_schedule(schedule: Schedule, folder: Path) -> list[Path]:
    """Write the files named above; `read_schedule` gives back the same to the last bit.

    Parameters
    ----------
    schedule : Schedule
        Sizes, powers in kW and kvar (T steps), stored energy in kWh.
    folder : path
        Made if need be; an older schedule in it is replaced.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    OutputError
        The folder cannot be written.

    Examples
    --------
    >>> import hcsim, numpy as np, tempfile
    >>> from pathlib import Path
    >>> sun, none = np.array([[0.0], [50.0]]), np.zeros((2, 0))
    >>> mine = hcsim.Schedule(
    ...     case="mine", times=("11:00", "12:00"), step_h=1.0, pv_nodes=("18.1",), pv_kw=np.array([50.0]),
    ...     pv_p_kw=sun, pv_q_kvar=0 * sun, bess=(), bess_nodes=(), bess_of=(), p_charge_kw=none,
    ...     p_discharge_kw=none, soc_kwh=np.zeros((3, 0)),
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = hcsim.write_schedule(mine, Path(folder))
    ...     print(hcsim.read_schedule(Path(folder)).hc_kw, (Path(folder) / "pv.csv").read_text().split())
    50.0 ['node,bus,phase,capacity_kw', '18.1,18,1,50.0']
    """
    output_folder(folder)
    s, times = schedule, schedule.times
    bess_names = [s.bess[u].name for u in s.bess_of]
    tables = {
        "pv.csv": pd.DataFrame(
            {"node": list(s.pv_nodes), "capacity_kw": s.pv_kw} | ({} if s.pv_kva is None else {"kva": s.pv_kva})
        ),
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
            **({} if s.bess_q_kvar is None else {"q_kvar": s.bess_q_kvar}),
        ),
        "soc.csv": _long((*times, END), {"unit": [b.name for b in s.bess]}, soc_kwh=s.soc_kwh),
    }
    if s.bess_kva is not None:
        tables["bess_converters.csv"] = pd.DataFrame(
            {"unit": bess_names, "node": list(s.bess_nodes), "kva": np.asarray(s.bess_kva, dtype=float)}
        )
    if s.predicted_v_pu is not None:
        tables["predicted_voltages.csv"] = _long(times, {"node": s.predicted_nodes}, v_pu=s.predicted_v_pu)
    if s.predicted_substation_kw is not None:
        tables["predicted_substation.csv"] = _long(times, columns(s.substation_phases), p_kw=s.predicted_substation_kw)
    written = [write_csv(folder / name, table) for name, table in tables.items()]
    for stale in ABOUT.keys() - tables.keys():
        (folder / stale).unlink(missing_ok=True)  # an older schedule's prediction is not this one's
    return [*written, write_json(folder / "schedule.json", facts_of(schedule))]


def read_schedule(folder: Path, *, network: Network | None = None, profiles: Profiles | None = None) -> Schedule:
    """The schedule in a folder, checked cell by cell.

    Where sizes or powers were edited after solving, `solve` and the predictions come back as None and
    `assumptions` ends with EDITED.

    Parameters
    ----------
    folder : path
        With schedule.json, pv.csv and the other files that `write_schedule` writes; see `ABOUT`.
    network : Network, optional
        Every node and bus must exist there.
    profiles : Profiles, optional
        Steps must be as many and as long, and no inverter may give more than the sun.

    Returns
    -------
    Schedule

    Raises
    ------
    ConfigError
        Lists all faults of a file at once, each with file, column, row and remedy.

    Examples
    --------
    >>> import hcsim
    >>> from pathlib import Path
    >>> try:
    ...     hcsim.read_schedule(Path("nowhere"))
    ... except hcsim.ConfigError as error:
    ...     print(error.message)
    nowhere/schedule.json is missing.
    """
    facts = read_facts(folder / "schedule.json", profiles)
    times: tuple[str, ...] = facts["times"]
    known = None if network is None else network.nodes
    buses = None if network is None else network.buses

    pv = TableIn.read(
        folder / "pv.csv",
        (
            Column("node", "name", known=known),
            Column("capacity_kw", minimum=0.0),
            Column("kva", minimum=0.0, optional=True),
        ),
    )
    pv_nodes = pv.unique("node")
    pv_kw = pv.numbers("capacity_kw")
    pv_kva = pv.numbers("kva") if pv.has("kva") else None

    dispatch = TableIn.read(
        folder / "pv_dispatch.csv",
        (STEP, Column("node", "name", known=pv_nodes, known_from="pv.csv"), Column("p_kw"), Column("q_kvar")),
        times,
    )
    if facts["kind"] == "planning" and profiles is not None:  # its PV has a curve of its own: all it has at any hour
        profiles = replace(profiles, pv_pu=np.ones(len(profiles)))
    plates = pv_kw if pv_kva is None else pv_kva
    _check_pv_output(
        dispatch,
        dict(zip(pv_nodes, pv_kw.tolist(), strict=True)),
        dict(zip(pv_nodes, plates.tolist(), strict=True)),
        profiles,
    )
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
            Column("q_kvar", optional=True),
        ),
        times,
    )
    places = battery.pairs("unit", "node")
    _check_places(battery, places, bess)
    q_bess = battery.grids(["unit", "node"], places, ["q_kvar"])[0] if battery.has("q_kvar") else None
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
        pv_kva=pv_kva,
        bess_q_kvar=q_bess,
        bess_kva=_converters(folder / "bess_converters.csv", places),
        replaces=facts["replaces"],
    )
    return found if facts["digest"] in (None, digest(found)) else _without_proof(found)


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


def _check_pv_output(
    table: TableIn, capacity_kw: dict[str, float], plate_kva: dict[str, float], profiles: Profiles | None
) -> None:
    """No inverter gives more than its capacity and its nameplate, nor more than the sun at that step."""
    rows = zip(*(table.values(c) for c in ("step", "node", "p_kw", "q_kvar")), strict=True)
    for i, (step, node, p_kw, q_kvar) in enumerate(rows):
        rated_kw, most_kva = capacity_kw[node], plate_kva[node]
        most_kw = rated_kw if profiles is None else rated_kw * float(profiles.sun((node,))[step, 0])
        if p_kw > most_kw + POWER_TOLERANCE_KW:
            table.errors.add(
                f"row {table.row(i)}, column p_kw: {p_kw:g} kW at {node}, where {rated_kw:g} kW of inverter give "
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


def _converters(path: Path, places: list[tuple[str, ...]]) -> Floats | None:
    """(D,) nameplates in the order of `places`; None where the file is not there."""
    if not path.is_file():
        return None
    table = TableIn.read(path, (Column("unit", "name"), Column("node", "name"), Column("kva", minimum=0.0)))
    values = table.numbers("kva")
    given: dict[tuple[str, ...], float] = {
        pair: float(kva)
        for pair, kva in zip(zip(table.names("unit"), table.names("node"), strict=True), values, strict=True)
    }
    for unit, node in [p for p in places if p not in given]:
        table.errors.add(f"no row for unit {unit} at {node}", "Every converter of bess_dispatch.csv needs its kVA.")
    for unit, node in [p for p in given if p not in set(places)]:
        table.errors.add(f"unit {unit} at {node} is not in bess_dispatch.csv", "Take the row out.")
    table.errors.raise_any()
    return np.array([given[p] for p in places], dtype=np.float64)


def _prediction(
    path: Path, name: str, value: str, times: tuple[str, ...], known: tuple[str, ...] | None
) -> tuple[tuple[str, ...], Floats | None]:
    if not path.is_file():
        return (), None
    table = TableIn.read(path, (STEP, Column(name, "name", known=known), Column(value)), times)
    names = list(dict.fromkeys(table.names(name)))
    (grid,) = table.grids([name], [(n,) for n in names], [value])
    return tuple(names), grid
