"""The devices that a dispatch speaks of: from a units table, the feeder itself, or what the dispatch tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np

from hcsim.errors import ConfigError
from hcsim.schedules.dispatch.cells import Table, numbers
from hcsim.schedules.dispatch.words import KINDS, PHASES, word
from hcsim.util.suggest import did_you_mean

Kind = Literal["pv", "bess", "generator", "load"]
ETA, SOC_MIN, SOC_MAX = 0.95, 0.0, 1.0
"""Where a units table is silent: one-way efficiency, and the whole energy usable."""
_COLUMNS: dict[str, tuple[str, ...]] = {
    "name": ("name", "device", "unit", "id"),
    "bus": ("bus", "node", "location", "site"),
    "phases": ("phases", "phase", "ph"),
    "kind": ("kind", "type", "technology"),
    "kw": ("kw", "p_kw", "rated_kw", "power_kw", "size_kw", "kw_rated", "p_nom_kw", "max_kw"),
    "kva": ("kva", "s_kva", "rated_kva"),
    "kwh": ("kwh", "energy_kwh", "rated_kwh", "capacity_kwh", "kwh_rated", "e_nom_kwh"),
    "eta_charge": ("eta_charge", "efficiency_charge", "charge_efficiency", "eff_charge", "eta_ch", "eta_c"),
    "eta_discharge": (
        "eta_discharge",
        "efficiency_discharge",
        "discharge_efficiency",
        "eff_discharge",
        "eta_dis",
        "eta_d",
    ),
    "eta": ("eta", "efficiency", "round_trip", "roundtrip_efficiency", "rte"),
    "soc_min": ("soc_min", "min_soc", "soc_low"),
    "soc_max": ("soc_max", "max_soc", "soc_high"),
    "soc_start": ("soc_start", "initial_soc", "soc_0", "soc0", "soc_initial"),
}
MOST = 1e9
"""kW, kVA or kWh above which a number is a slip."""


class Sizes(TypedDict, total=False):
    """Numbers of a `Unit`."""

    kw: float
    kva: float
    kwh: float
    eta_charge: float
    eta_discharge: float
    soc_min: float
    soc_max: float
    soc_start: float


@dataclass(frozen=True)
class Unit:
    """A device as its owner describes it. NaN where nothing is said; shares of 1 for efficiencies and SoC."""

    name: str
    bus: str = ""
    phases: tuple[int, ...] = ()
    kind: str = ""
    kw: float = np.nan
    kva: float = np.nan
    kwh: float = np.nan
    eta_charge: float = ETA
    eta_discharge: float = ETA
    soc_min: float = SOC_MIN
    soc_max: float = SOC_MAX
    soc_start: float = np.nan
    sized: bool = True
    """Whether its owner states `kw`; else it is the largest power of its dispatch."""
    element: str = ""
    """The feeder's own element that it commands, "storage.bess1"."""
    said: tuple[str, ...] = ()


def read_units(table: Table, own: dict[str, Unit]) -> dict[str, Unit]:
    """Name -> unit of a units table. `own` are the feeder's elements, which a row may name to command them.

    Raises ConfigError for unknown columns (nearest named), two units of one name, numbers out of range (row, column),
    a battery without energy.
    """
    columns = _known_columns(table)
    if "name" not in columns and "bus" not in columns:
        raise ConfigError(
            f"{table.name} has neither a column name nor a column bus.", f"Columns: {', '.join(_COLUMNS)}."
        )
    values = {
        key: numbers(table, column) for key, column in columns.items() if key not in ("name", "bus", "phases", "kind")
    }
    found: dict[str, Unit] = {}
    for i in range(len(table.cells)):
        text = {key: _cell(table, i, columns.get(key, "")) for key in ("name", "bus", "phases", "kind")}
        name = text["name"] or text["bus"]
        if not name:
            raise ConfigError(f"{table.name}, row {table.line(i)}: a unit without a name.")
        if name in found:
            raise ConfigError(
                f"{table.name}, row {table.line(i)}: a second unit {name!r}.", "Names tell devices apart."
            )
        given = {key: float(v[i]) for key, v in values.items() if not np.isnan(v[i])}
        found[name] = _unit(table, i, name, text, given, own)
    return found


def _known_columns(table: Table) -> dict[str, str]:
    of = {w: key for key, words in _COLUMNS.items() for w in words}
    columns: dict[str, str] = {}
    for column in table.cells.columns:
        key = of.get(word(column))
        if key is None:
            raise ConfigError(f"{table.name}: column {column!r} is unknown.", did_you_mean(word(column), list(of)))
        if key in columns:
            raise ConfigError(f"{table.name}: {columns[key]!r} and {column!r} both say {key}.", "Keep one.")
        columns[key] = column
    return columns


def _cell(table: Table, i: int, column: str) -> str:
    if not column:
        return ""
    cell = table.cells[column].iloc[i]
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell == int(cell) else str(cell).strip().lower()


def _unit(table: Table, i: int, name: str, text: dict[str, str], given: dict[str, float], own: dict[str, Unit]) -> Unit:
    row = f"{table.name}, row {table.line(i)}, {name}"
    base = _own(name, own)
    kind = next((k for k, words in KINDS.items() if text["kind"] in words), text["kind"]) or (base.kind if base else "")
    if kind not in ("", *KINDS):
        raise ConfigError(f"{row}: kind {text['kind']!r} is unknown.", f"Known: {', '.join(KINDS)}.")
    for key in ("kw", "kva", "kwh"):
        if key in given and not 0.0 < given[key] <= MOST:
            raise ConfigError(f"{row}: {key} = {given[key]:g} is out of range.", f"Above 0, at most {MOST:g}.")
    said: list[str] = []
    if "eta" in given:
        one_way = float(np.sqrt(_share(row, "eta", given["eta"])))
        given.setdefault("eta_charge", one_way)
        given.setdefault("eta_discharge", one_way)
        said.append(f"{name}: efficiency {given['eta']:g} is read as round trip, {one_way:.4g} each way.")
    shares = {
        k: _share(row, k, given[k])
        for k in ("eta_charge", "eta_discharge", "soc_min", "soc_max", "soc_start")
        if k in given
    }
    if min(shares.get("eta_charge", 1.0), shares.get("eta_discharge", 1.0)) < 0.01:
        raise ConfigError(f"{row}: an efficiency below 1 %.", "Write shares of 1, or per cent.")
    if shares.get("soc_min", SOC_MIN) >= shares.get("soc_max", SOC_MAX):
        raise ConfigError(f"{row}: soc_min is not below soc_max.")
    if kind == "bess" and "kwh" not in given and not (base and base.kwh == base.kwh):
        raise ConfigError(f"{row}: a battery without energy.", "Fill in kwh.")
    if kind == "bess" and not {"eta_charge", "eta_discharge"} & shares.keys() and not base:
        said.append(f"{name}: no efficiencies given, {ETA:g} each way assumed.")
    bus, phases = text["bus"], _phases(row, text["phases"])
    if base:
        bus, phases = bus or base.bus, phases or base.phases
    merged: Sizes = _sizes_of(base) if base else {}
    numeric: dict[str, float] = {k: v for k, v in given.items() if k in ("kw", "kva", "kwh")}
    for key, value in (numeric | shares).items():
        merged[key] = value  # type: ignore[literal-required]
    return Unit(name, bus, phases, kind, **merged, element=base.element if base else "", said=tuple(said))


def _sizes_of(unit: Unit) -> Sizes:
    return Sizes(
        kw=unit.kw,
        kva=unit.kva,
        kwh=unit.kwh,
        eta_charge=unit.eta_charge,
        eta_discharge=unit.eta_discharge,
        soc_min=unit.soc_min,
        soc_max=unit.soc_max,
        soc_start=unit.soc_start,
    )


def _own(name: str, own: dict[str, Unit]) -> Unit | None:
    if name in own:
        return own[name]
    short = [unit for full, unit in own.items() if full.split(".", 1)[1] == name]
    return short[0] if len(short) == 1 else None


def _share(row: str, key: str, value: float) -> float:
    share = value / 100.0 if value > 1.5 else value
    if not 0.0 <= share <= 1.0:
        raise ConfigError(f"{row}: {key} = {value:g} is no share.", "Between 0 and 1, or 0 and 100 per cent.")
    return share


def _phases(row: str, text: str) -> tuple[int, ...]:
    """ "1.2.3", "abc", "a,b", "3" (a phase), "" (all of the bus)."""
    parts = [p for p in text.replace(",", ".").replace(" ", ".").replace(";", ".").split(".") if p]
    if len(parts) == 1 and len(parts[0]) > 1 and all(c in "abc123" for c in parts[0]):
        parts = list(parts[0])
    if any(p not in PHASES for p in parts):
        raise ConfigError(f"{row}: phases {text!r} are none.", "Write 1.2.3 or abc.")
    return tuple(PHASES[p] for p in parts)
