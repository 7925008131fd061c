"""An `Operation` as tables: all that limits are judged on, long-form, and the names that give it back exactly.

A quantity that was not recorded (None) has a table without rows and a null in the facts, so that it is never taken
for one that is recorded of nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optim.data.node import columns
from optim.data.operation import Operation

Floats = NDArray[np.float64]

TABLES = ("voltages", "loading", "substation", "unbalance", "regulators", "tap_steps")


def operation_tables(found: Operation) -> dict[str, pd.DataFrame]:
    """voltages (step, time, bus, phase, v_pu, v_deviation_pu where recorded), loading (step, time, element, phase,
    loading_pu), substation (step, time, bus,
    phase, p_kw), unbalance (step, time, bus, unbalance_pct), regulators (step,
    time, element, phase, p_kw away from the source), tap_steps (step, time, control, tap_steps)."""
    times = found.times
    deviation = {} if found.v_deviation_pu is None else {"v_deviation_pu": found.v_deviation_pu}
    return {
        "voltages": long_table(times, columns(found.nodes, "bus"), v_pu=found.v_pu, **deviation),
        "loading": _of(times, columns(found.branches, "element"), loading_pu=found.loading_pu),
        "substation": long_table(times, columns(found.substation_phases), p_kw=found.substation_kw),
        "unbalance": _of(times, {"bus": list(found.unbalance_buses)}, unbalance_pct=found.unbalance_pct),
        "regulators": _of(times, columns(found.regulator_phases, "element"), p_kw=found.regulator_kw),
        "tap_steps": _of(times, {"control": list(found.regulator_controls)}, tap_steps=found.tap_steps),
    }


def operation_facts(found: Operation) -> dict[str, Any]:
    """Names in the order of the arrays, and which arrays there are: what JSON has to say beside the tables."""
    return {
        "times": found.times,
        "nodes": found.nodes,
        "kv_base": found.kv_base,
        "substation_phases": found.substation_phases,
        "branches": found.branches,
        "loading_recorded": found.loading_pu is not None,
        "v_deviation_recorded": found.v_deviation_pu is not None,
        "unbalance_buses": found.unbalance_buses,
        "unbalance_recorded": found.unbalance_pct is not None,
        "regulator_phases": found.regulator_phases,
        "regulator_kw_recorded": found.regulator_kw is not None,
        "regulator_controls": found.regulator_controls,
        "tap_steps_recorded": found.tap_steps is not None,
        "protection": found.protection,
        "poles_open": found.poles_open,
    }


def operation_from(facts: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> Operation:
    """The operation that `operation_facts` and `operation_tables` tell of, to the last bit."""
    steps = len(facts["times"])
    names = {
        key: tuple(facts[key])
        for key in ("nodes", "substation_phases", "branches", "unbalance_buses", "regulator_phases")
    }
    controls = tuple(facts["regulator_controls"])

    def wide(table: str, column: str, width: int) -> Floats:
        found: Floats = tables[table][column].to_numpy(float).reshape(steps, width)
        return found

    def recorded(flag: str, table: str, column: str, width: int) -> Floats | None:
        return wide(table, column, width) if facts[flag] else None

    kv = facts["kv_base"]
    n = len(names["nodes"])
    return Operation(
        times=tuple(facts["times"]),
        nodes=names["nodes"],
        v_pu=wide("voltages", "v_pu", n),
        substation_phases=names["substation_phases"],
        substation_kw=wide("substation", "p_kw", len(names["substation_phases"])),
        branches=names["branches"],
        loading_pu=recorded("loading_recorded", "loading", "loading_pu", len(names["branches"])),
        v_deviation_pu=recorded("v_deviation_recorded", "voltages", "v_deviation_pu", n),
        unbalance_buses=names["unbalance_buses"],
        unbalance_pct=recorded("unbalance_recorded", "unbalance", "unbalance_pct", len(names["unbalance_buses"])),
        regulator_phases=names["regulator_phases"],
        regulator_kw=recorded("regulator_kw_recorded", "regulators", "p_kw", len(names["regulator_phases"])),
        regulator_controls=controls,
        tap_steps=recorded("tap_steps_recorded", "tap_steps", "tap_steps", len(controls)),
        protection=tuple(facts.get("protection", ())),
        poles_open=None if facts.get("poles_open") is None else np.array(facts["poles_open"], dtype=float),
        kv_base=None if kv is None else np.array([np.nan if x is None else x for x in kv], dtype=float),
    )


def long_table(times: tuple[str, ...], names: dict[str, list[str]], **wide: NDArray[Any]) -> pd.DataFrame:
    """(T, K) arrays as one table with T*K rows, step by step."""
    width = len(next(iter(names.values())))
    table: dict[str, object] = {
        "step": np.repeat(np.arange(len(times)), width),
        "time": pd.Series(np.repeat(np.array(times, dtype=object), width), dtype="str"),
    }
    for column, of in names.items():
        table[column] = pd.Series(np.tile(np.array(of, dtype=object), len(times)), dtype="str")
    return pd.DataFrame(table | {column: values.reshape(-1) for column, values in wide.items()})


def _of(times: tuple[str, ...], names: dict[str, list[str]], **wide: Floats | None) -> pd.DataFrame:
    """The table of what may not have been recorded: no rows then."""
    known = {column: values for column, values in wide.items() if values is not None}
    if known:
        return long_table(times, names, **known)
    empty = {column: np.empty((len(times), 0)) for column in wide}
    return long_table(times, {key: [] for key in names}, **empty)
