"""What the check hands back, and its files. Schedules have their own: `hcsim.schedules.files`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hcsim.errors import ConfigError
from hcsim.replay.operation_files import TABLES as OPERATION_TABLES
from hcsim.replay.operation_files import long_table, operation_facts, operation_from, operation_tables
from hcsim.util.files import output_folder, write_json, write_parquet
from optim.data.criteria import Before
from optim.data.limits import Limits, VoltageBand
from optim.data.operation import Operation
from optim.data.violations import new_violations

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ReplayResult:
    """A quasi-static OpenDSS time series of a schedule (or of the bare feeder).

    >>> import hcsim
    >>> bare = hcsim.replay(hcsim.Workbench.open("ieee33").model, None)
    >>> bare.passed, bool(bare.converged.all())
    (True, True)
    """

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
    """optim.data.violations.VIOLATION_COLUMNS."""
    energy_not_delivered_kwh: float
    """Sum over devices and steps of |commanded - delivered| active energy."""
    power_flows: int
    seconds: float
    notes: tuple[str, ...] = ()
    """Sentences: steps that failed and why, loads that do not follow the profile."""
    inverters: str = "off"
    """How PV inverters behaved: "off" (as commanded), or the mode of an `InverterControl`."""
    resting: tuple[Operation, ...] = ()
    """Bare feeder, controls free: the same steps with controls come to rest from elsewhere
    (`hcsim.replay.deadbands`)."""
    limits: Limits | None = None
    """What `violations` were judged against."""

    @property
    def before(self) -> Before:
        """Of the bare feeder: what a schedule's violations are compared with."""
        return Before((self.operation, *self.resting))

    @property
    def passed(self) -> bool:
        """Every step sound, and no violation that the bare feeder does not have."""
        return bool(self.converged.all()) and not len(new_violations(self.violations))


REPLAY_TABLES = (*OPERATION_TABLES, "feeder", "taps", "devices", "soc", "violations")
RESTING = "resting"


def write_replay(replay: ReplayResult, folder: Path) -> list[Path]:
    """Long-form Parquet, one file per REPLAY_TABLES, units in the column names, and `replay.json`.

    All that decides a verdict is in it: `read_replay` gives back the same to the last bit.

    The tables of `hcsim.replay.operation_files` with q_kvar in substation; feeder (step, time, converged, losses_kw,
    load_kw), taps (step, time, regulator, tap), devices, soc and violations as in ReplayResult. Where the bare
    feeder's controls may rest elsewhere, resting/0 and resting/1 hold the same tables of those days. Raises
    OutputError.
    """
    output_folder(folder)
    tables = _replay_tables(replay)
    written = [write_parquet(folder / f"{name}.parquet", tables[name]) for name in REPLAY_TABLES]
    shutil.rmtree(folder / RESTING, ignore_errors=True)  # an earlier replay's days are not this one's
    for k, day in enumerate(replay.resting):
        where = output_folder(folder / RESTING / str(k))
        written += [write_parquet(where / f"{name}.parquet", table) for name, table in operation_tables(day).items()]
    facts = {
        "case": replay.case,
        "controls": replay.controls,
        **operation_facts(replay.operation),
        "resting": [operation_facts(day) for day in replay.resting],
        "regulators": replay.regulators,
        "tap_operations": replay.tap_operations,
        "energy_not_delivered_kwh": replay.energy_not_delivered_kwh,
        "power_flows": replay.power_flows,
        "seconds": replay.seconds,
        "notes": list(replay.notes),
        "inverters": replay.inverters,
        "limits": replay.limits,
    }
    return [*written, write_json(folder / "replay.json", facts)]


def read_replay(folder: Path) -> ReplayResult:
    """The replay that `write_replay` wrote. Raises ConfigError where a file is missing."""
    _require(folder, ["replay.json", *(f"{name}.parquet" for name in REPLAY_TABLES)])
    facts = json.loads((folder / "replay.json").read_text(encoding="utf-8"))
    days = [folder / RESTING / str(k) for k in range(len(facts["resting"]))]
    for day in days:
        _require(day, [f"{name}.parquet" for name in OPERATION_TABLES])
    table = {name: pd.read_parquet(folder / f"{name}.parquet") for name in REPLAY_TABLES}
    steps = len(facts["times"])
    return ReplayResult(
        case=facts["case"],
        controls=facts["controls"],
        converged=table["feeder"]["converged"].to_numpy(bool),
        operation=operation_from(facts, table),
        substation_kvar=table["substation"]["q_kvar"].to_numpy(float).reshape(steps, len(facts["substation_phases"])),
        regulators=tuple(facts["regulators"]),
        tap=table["taps"]["tap"].to_numpy(np.int64).reshape(steps, len(facts["regulators"])),
        tap_operations=facts["tap_operations"],
        losses_kw=table["feeder"]["losses_kw"].to_numpy(float),
        load_kw=table["feeder"]["load_kw"].to_numpy(float),
        devices=table["devices"].drop(columns=["bus", "phase"], errors="ignore"),  # `node` says both
        soc=table["soc"],
        violations=table["violations"],
        energy_not_delivered_kwh=_number(facts["energy_not_delivered_kwh"]),
        power_flows=facts["power_flows"],
        seconds=_number(facts["seconds"]),
        notes=tuple(facts["notes"]),
        inverters=facts["inverters"],
        resting=tuple(
            operation_from(said, {name: pd.read_parquet(day / f"{name}.parquet") for name in OPERATION_TABLES})
            for said, day in zip(facts["resting"], days, strict=True)
        ),
        limits=_limits(facts["limits"]),
    )


def _require(folder: Path, names: Iterable[str]) -> None:
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        raise ConfigError(
            f"{folder} is no complete replay: {', '.join(absent)} missing.",
            "Run `hcsim replay` again; it writes replay.json last.",
        )


def _limits(facts: dict[str, Any] | None) -> Limits | None:
    if facts is None:
        return None
    return Limits(**{**facts, "bands": tuple(VoltageBand(**band) for band in facts["bands"])})


def _replay_tables(replay: ReplayResult) -> dict[str, pd.DataFrame]:
    found = replay.operation
    feeder = {"converged": replay.converged, "losses_kw": replay.losses_kw, "load_kw": replay.load_kw}
    tables = operation_tables(found)
    tables["substation"]["q_kvar"] = replay.substation_kvar.reshape(-1)
    return {
        **tables,
        "feeder": pd.DataFrame({"step": np.arange(len(found.times)), "time": found.times, **feeder}),
        "taps": long_table(found.times, {"regulator": list(replay.regulators)}, tap=replay.tap),
        "devices": replay.devices,
        "soc": replay.soc,
        "violations": replay.violations,
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
