"""The layers: a table each, with a point or a line per row in the coordinates of the feeder's file.

Fields are named as utilities publish theirs: feeder, segment, phases, kW by criterion, generation or load, date.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from hcsim.errors import ConfigError
from optim.data.network import Branch, Network
from optim.data.node import bus_of, phase_of

NODAL = {"nodal": "generation", "nodal_load": "load", "nodal_with_bess": "generation beside batteries"}
"""File of a nodal study -> what is connected."""
Shape = tuple[tuple[float, float], ...]
"""Of a point its one place, of a line its two ends."""


@dataclass(frozen=True)
class Layer:
    """One layer of a map."""

    name: str
    geometry: Literal["Point", "LineString"]
    table: pd.DataFrame
    shapes: tuple[Shape, ...]
    """A row's place, in the coordinates of the feeder's file."""
    nowhere: tuple[str, ...] = ()
    """Buses and elements that have no coordinates, and so are in no row."""


def layers_of(feeder: str, network: Network, folders: Sequence[Path]) -> list[Layer]:
    """Buses and lines of the feeder; nodal capacities, sites and violations of the results in `folders`.

    Raises ConfigError where the feeder has no coordinates, and for a folder without any results.
    """
    if not network.coordinates:
        raise ConfigError(
            f"{feeder} has no coordinates of its buses: there is nothing to put on a map.",
            "OpenDSS reads them with `BusCoords FILE` (bus, x, y).",
        )
    place = _Places(feeder, network)
    nodal = pd.concat([*_nodal(feeder, folders), pd.DataFrame(columns=["bus", "kind", "capacity_kw", "date"])])
    found = [place.points("buses", _buses(feeder, network)), place.lines(nodal)]
    sites, violations = list(_sites(feeder, folders)), list(_violations(feeder, folders))
    if len(nodal):
        found.append(place.points("nodal", nodal))
    if sites:
        found.append(place.points("sites", pd.concat(sites)))
    if violations:
        found.append(place.anywhere("violations", pd.concat(violations)))
    known = {Path(f) for table in (*sites, *violations, nodal) for f in table.get("results", ())}
    if empty := [str(folder) for folder in folders if folder not in known]:
        raise ConfigError(
            f"{', '.join(empty)}: no nodal.csv, schedule or violations of ours.",
            "Name the results folder of `hcsim study`, `nodal`, `certify`, `validate` or a schedule.",
        )
    return found


class _Places:
    """Where things are."""

    def __init__(self, feeder: str, network: Network) -> None:
        self._feeder, self._network, self._at = feeder, network, network.coordinates
        self._branches = {branch.name.lower(): branch for branch in network.branches if branch.kind != "source"}

    def points(self, name: str, table: pd.DataFrame) -> Layer:
        """A row per bus."""
        there = table["bus"].isin(list(self._at))
        shapes = tuple((self._at[bus],) for bus in table.loc[there, "bus"])
        lost = tuple(dict.fromkeys(table.loc[~there, "bus"]))
        return Layer(name, "Point", table[there].reset_index(drop=True), shapes, lost)

    def lines(self, nodal: pd.DataFrame) -> Layer:
        """A row per branch between two buses, with what its ends can take: the smaller of the two."""
        able = {
            kind: rows.groupby("bus")["capacity_kw"].min().to_dict() for kind, rows in nodal.groupby("kind", sort=False)
        }
        date = str(nodal["date"].max()) if len(nodal) else ""
        rows, shapes, lost = [], [], []
        for branch in self._branches.values():
            ends = self._ends(branch)
            if ends is None:
                lost.append(branch.name)
                continue
            rows.append(self._line(branch, ends, able, date))
            shapes.append(tuple(self._at[bus] for bus in ends))
        return Layer("lines", "LineString", pd.DataFrame(rows), tuple(shapes), tuple(lost))

    def _line(
        self, branch: Branch, ends: tuple[str, str], able: Mapping[Any, Mapping[Any, float]], date: str
    ) -> dict[str, Any]:
        network = self._network
        row: dict[str, Any] = {
            "feeder": self._feeder,
            "segment": branch.name,
            "kind": branch.kind,
            "from_bus": ends[0],
            "to_bus": ends[1],
            "phases": "".join(phase_of(network.nodes[n]) for n in branch.to_nodes),
            "kv_base": round(float(network.v_base_v[branch.to_nodes[0]]) * np.sqrt(3) / 1e3, 4),
            "rated_a": branch.i_rated_a if np.isfinite(branch.i_rated_a) else None,
        }
        for kind, by_bus in able.items():
            values = [by_bus[bus] for bus in ends if bus in by_bus and np.isfinite(by_bus[bus])]
            row[f"{str(kind).replace(' ', '_')}_kw"] = min(values) if values else None
        return row | ({"date": date} if able else {})

    def _ends(self, branch: Branch) -> tuple[str, str] | None:
        nodes = self._network.nodes
        if not branch.from_nodes:
            return None
        a, b = bus_of(nodes[branch.from_nodes[0]]), bus_of(nodes[branch.to_nodes[0]])
        return (a, b) if a in self._at and b in self._at else None

    def anywhere(self, name: str, table: pd.DataFrame) -> Layer:
        """Points: at the bus, or at the middle of the branch that an element is."""
        shapes: list[Shape] = []
        there = []
        for element in table["element"]:
            branch = self._branches.get(str(element).lower())
            ends = self._ends(branch) if branch is not None else None
            at = self._at.get(str(element))
            if at is None and ends is not None:
                (x0, y0), (x1, y1) = (self._at[bus] for bus in ends)
                at = ((x0 + x1) / 2, (y0 + y1) / 2)
            there.append(at is not None)
            if at is not None:
                shapes.append((at,))
        lost = tuple(dict.fromkeys(table.loc[[not t for t in there], "element"]))
        return Layer(name, "Point", table[there].reset_index(drop=True), tuple(shapes), lost)


def _buses(feeder: str, network: Network) -> pd.DataFrame:
    phases: dict[str, str] = {}
    load_kw = dict.fromkeys(network.buses, 0.0)
    for node in network.nodes:
        phases[bus_of(node)] = phases.get(bus_of(node), "") + phase_of(node)
    legs = network.loads
    for plus, minus, kw in zip(legs.node_plus, legs.node_minus, legs.p_kw, strict=True):
        ends = [int(n) for n in (plus, minus) if n >= 0]
        for n in ends:
            load_kw[bus_of(network.nodes[n])] += float(kw) / len(ends)
    kv = {bus_of(n): float(v) * np.sqrt(3) / 1e3 for n, v in zip(network.nodes, network.v_base_v, strict=True)}
    return pd.DataFrame(
        {
            "feeder": feeder,
            "bus": list(network.buses),
            "phases": [phases.get(b, "") for b in network.buses],
            "kv_base": [round(kv.get(b, np.nan), 4) for b in network.buses],
            "load_kw": [load_kw[b] for b in network.buses],
        }
    )


def _nodal(feeder: str, folders: Sequence[Path]) -> Iterator[pd.DataFrame]:
    """A row per bus and kind: kW by criterion, the smallest, and what binds it."""
    for folder in folders:
        for stem, kind in NODAL.items():
            file = folder / f"{stem}.parquet"
            if not file.is_file():
                continue
            rows = pd.read_parquet(file)
            if not len(rows):
                continue
            wide = rows.pivot_table(index="bus", columns="criterion", values="hc_kw", aggfunc="first", sort=False)
            wide = wide.rename(columns=lambda criterion: f"{criterion}_kw").reset_index()
            binds = rows[rows["smallest"]].drop_duplicates("bus")
            table = binds[["bus", "phases", "hc_kw", "criterion", "binding_element", "binding_phase", "binding_hour"]]
            table = table.rename(columns={"hc_kw": "capacity_kw", "criterion": "binding_criterion"})
            table.insert(0, "feeder", feeder)
            table.insert(3, "kind", kind)
            yield table.merge(wide, on="bus").assign(date=_date(file), results=str(folder))


def _sites(feeder: str, folders: Sequence[Path]) -> Iterator[pd.DataFrame]:
    """A row per schedule and bus that has PV or a battery."""
    for folder in folders:
        for file in sorted(
            [*folder.glob("schedule.json"), *folder.glob("*/schedule.json"), *folder.glob("*/*/schedule.json")]
        ):
            place = file.parent
            pv = pd.read_csv(place / "pv.csv", dtype={"node": str, "bus": str, "phase": str})
            bess = pd.read_csv(place / "bess_units.csv", dtype={"bus": str})
            pv = pv[pv["capacity_kw"] > 0]
            by_bus = pv.groupby("bus", sort=False).agg(
                phases=("phase", lambda p: "".join(dict.fromkeys(p))), pv_kw=("capacity_kw", "sum")
            )
            storage = bess.groupby("bus", sort=False).agg(bess_kw=("power_kw", "sum"), bess_kwh=("energy_kwh", "sum"))
            table = by_bus.join(storage, how="outer").reset_index()
            numbers = ["pv_kw", "bess_kw", "bess_kwh"]
            table[numbers] = table[numbers].fillna(0.0)
            table["phases"] = table["phases"].fillna("")
            table.insert(0, "feeder", feeder)
            table.insert(1, "schedule", json.loads(file.read_text(encoding="utf-8")).get("case", place.name))
            yield table.assign(folder=place.name, date=_date(file), results=str(folder))


def _violations(feeder: str, folders: Sequence[Path]) -> Iterator[pd.DataFrame]:
    """A row per replay, criterion and place: how long, how far, whether it is new."""
    for folder in folders:
        for file in sorted(folder.rglob("violations.parquet")):
            rows = pd.read_parquet(file)
            if not len(rows):
                continue
            beyond = (rows["value"] - rows["limit"]).abs()
            rows = rows.assign(beyond=beyond, phase=rows["phase"].astype(str)).sort_values("step", kind="stable")
            groups = rows.groupby(["criterion", "element", "phase"], sort=False)
            worst = rows.loc[groups["beyond"].idxmax()].set_index(["criterion", "element", "phase"])
            table = groups.agg(first=("time", "first"), last=("time", "last"), steps=("step", "size")).join(
                worst[["value", "limit", "unit", "time"]]
            )
            table["is_new"] = False if "bare" in file.parts else ~groups["existing"].all()
            table = table.rename(columns={"value": "worst_value", "time": "worst_at"}).reset_index()
            table.insert(0, "feeder", feeder)
            replay = file.parent.relative_to(folder).as_posix()
            yield table.assign(replay=replay, date=_date(file), results=str(folder))


def _date(file: Path) -> str:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC).date().isoformat()
