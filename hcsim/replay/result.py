"""What the check hands back, and its files. Schedules have their own: `hcsim.schedules.files`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hcsim.errors import ConfigError
from hcsim.util.files import output_folder, write_json, write_parquet
from optim.data.criteria import Before
from optim.data.operation import Operation
from optim.data.violations import new_violations

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ReplayResult:
    """A quasi-static OpenDSS time series of a schedule (or of the bare feeder)."""

    case: str
    controls: str
    """"locked" (taps as the program assumed) or "free" (every control acts)."""
    converged: NDArray[np.bool_]
    """(T,)"""
    operation: Operation
    """Judged voltages (T, N), substation kW (T, S), loading (T, B), by name."""
    substation_kvar: Floats
    """(T, S)"""
    regulators: tuple[str, ...]
    tap: NDArray[np.int64]
    """(T, R) positions after each step."""
    tap_operations: int
    """Sum of |tap changes| from step to step over the series."""
    losses_kw: Floats
    """(T,)"""
    load_kw: Floats
    """(T,) delivered to loads."""
    devices: pd.DataFrame
    """Long: time, step, element, node, kind (pv|bess), p_commanded_kw, p_delivered_kw, q_commanded_kvar,
    q_delivered_kvar. Positive into the network."""
    soc: pd.DataFrame
    """Long: time, step, unit, soc_commanded_kwh, soc_delivered_kwh (end of step)."""
    violations: pd.DataFrame
    """optim.data.limits.VIOLATION_COLUMNS."""
    energy_not_delivered_kwh: float
    """Sum over devices and steps of |commanded - delivered| active energy."""
    power_flows: int
    seconds: float
    notes: tuple[str, ...] = ()
    """Sentences: steps that failed and why, loads that do not follow the profile."""
    inverters: str = "off"
    """How PV inverters behaved: "off" (as commanded), or the mode of an `InverterControl`."""
    resting: tuple[Operation, ...] = ()
    """Bare feeder, controls free: the same steps with controls come to rest from elsewhere (`replay.deadbands`)."""

    @property
    def before(self) -> Before:
        """Of the bare feeder: what a schedule's violations are compared with."""
        return Before((self.operation, *self.resting))

    @property
    def passed(self) -> bool:
        """Every step sound, and no violation that the bare feeder does not have."""
        return bool(self.converged.all()) and not len(new_violations(self.violations))


REPLAY_TABLES = ("voltages", "loading", "substation", "feeder", "taps", "devices", "soc", "violations")


def write_replay(replay: ReplayResult, folder: Path) -> list[Path]:
    """Long-form Parquet, one file per REPLAY_TABLES, units in the column names, and `replay.json`.

    voltages (step, time, bus, phase, v_pu), loading (step, time, element, phase, loading_pu), substation
    (step, time, phase, p_kw, q_kvar), feeder (step, time, converged, losses_kw, load_kw), taps (step, time,
    regulator, tap), devices, soc and violations as in ReplayResult. Raises OutputError.
    """
    output_folder(folder)
    tables = _replay_tables(replay)
    written = [write_parquet(folder / f"{name}.parquet", tables[name]) for name in REPLAY_TABLES]
    facts = {
        "case": replay.case,
        "controls": replay.controls,
        "times": replay.operation.times,
        "nodes": replay.operation.nodes,
        "kv_base": replay.operation.kv_base,
        "branches": replay.operation.branches,
        "loading_recorded": replay.operation.loading_pu is not None,
        "substation_phases": replay.operation.substation_phases,
        "regulators": replay.regulators,
        "tap_operations": replay.tap_operations,
        "energy_not_delivered_kwh": replay.energy_not_delivered_kwh,
        "power_flows": replay.power_flows,
        "seconds": replay.seconds,
        "notes": list(replay.notes),
        "inverters": replay.inverters,
    }
    return [*written, write_json(folder / "replay.json", facts)]


def read_replay(folder: Path) -> ReplayResult:
    """The replay that `write_replay` wrote. Raises ConfigError where a file is missing."""
    needed = ["replay.json", *(f"{name}.parquet" for name in REPLAY_TABLES)]
    absent = [name for name in needed if not (folder / name).is_file()]
    if absent:
        raise ConfigError(
            f"{folder} is no complete replay: {', '.join(absent)} missing.",
            "Run `hcsim replay` again; it writes replay.json last.",
        )
    facts = json.loads((folder / "replay.json").read_text(encoding="utf-8"))
    table = {name: pd.read_parquet(folder / f"{name}.parquet") for name in REPLAY_TABLES}
    steps, times = len(facts["times"]), tuple(facts["times"])

    def wide(name: str, column: str, width: int) -> Floats:
        return table[name][column].to_numpy(float).reshape(steps, width)

    nodes, phases, branches = (tuple(facts[k]) for k in ("nodes", "substation_phases", "branches"))
    return ReplayResult(
        case=facts["case"],
        controls=facts["controls"],
        converged=table["feeder"]["converged"].to_numpy(bool),
        operation=Operation(
            times=times,
            nodes=nodes,
            v_pu=wide("voltages", "v_pu", len(nodes)),
            substation_phases=phases,
            substation_kw=wide("substation", "p_kw", len(phases)),
            branches=branches,
            loading_pu=wide("loading", "loading_pu", len(branches)) if facts["loading_recorded"] else None,
            kv_base=np.array(facts["kv_base"], dtype=float) if facts.get("kv_base") else None,
        ),
        substation_kvar=wide("substation", "q_kvar", len(phases)),
        regulators=tuple(facts["regulators"]),
        tap=table["taps"]["tap"].to_numpy(np.int64).reshape(steps, len(facts["regulators"])),
        tap_operations=facts["tap_operations"],
        losses_kw=table["feeder"]["losses_kw"].to_numpy(float),
        load_kw=table["feeder"]["load_kw"].to_numpy(float),
        devices=table["devices"],
        soc=table["soc"],
        violations=table["violations"],
        energy_not_delivered_kwh=_number(facts["energy_not_delivered_kwh"]),
        power_flows=facts["power_flows"],
        seconds=_number(facts["seconds"]),
        notes=tuple(facts["notes"]),
        inverters=facts.get("inverters", "off"),
    )


def _replay_tables(replay: ReplayResult) -> dict[str, pd.DataFrame]:
    found = replay.operation
    loading = found.loading_pu if found.loading_pu is not None else np.empty((len(found.times), 0))
    branches = found.branches if found.loading_pu is not None else ()
    names = {"bus": [n.rsplit(".", 1)[0] for n in found.nodes], "phase": [_phase(n) for n in found.nodes]}
    parts = {"element": [b.rsplit(".", 1)[0] for b in branches], "phase": [_phase(b) for b in branches]}
    feeder = {"converged": replay.converged, "losses_kw": replay.losses_kw, "load_kw": replay.load_kw}
    return {
        "voltages": _long(found.times, names, v_pu=found.v_pu),
        "loading": _long(found.times, parts, loading_pu=loading),
        "substation": _long(
            found.times,
            {"phase": list(found.substation_phases)},
            p_kw=found.substation_kw,
            q_kvar=replay.substation_kvar,
        ),
        "feeder": pd.DataFrame({"step": np.arange(len(found.times)), "time": found.times, **feeder}),
        "taps": _long(found.times, {"regulator": list(replay.regulators)}, tap=replay.tap),
        "devices": replay.devices,
        "soc": replay.soc,
        "violations": replay.violations,
    }


def _long(times: tuple[str, ...], names: dict[str, list[str]], **wide: NDArray) -> pd.DataFrame:
    """(T, K) arrays as one table with T*K rows, step by step."""
    width = len(next(iter(names.values())))
    table: dict[str, object] = {
        "step": np.repeat(np.arange(len(times)), width),
        "time": pd.Series(np.repeat(np.array(times, dtype=object), width), dtype="str"),
    }
    for column, of in names.items():
        table[column] = pd.Series(np.tile(np.array(of, dtype=object), len(times)), dtype="str")
    return pd.DataFrame(table | {column: values.reshape(-1) for column, values in wide.items()})


def _phase(name: str) -> str:
    return name.rsplit(".", 1)[1] if "." in name else ""


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
