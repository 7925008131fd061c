"""The same day in a second engine: EPRI's own OpenDSS (extra `[epri]`), in a process of its own.

It reads the same files as they are safe to read, has the same devices by text commands, and runs the same steps; its
phasors are then judged by the same limits against the same bare feeder. Two builds of one simulator that share no
line of ours must agree to `AGREE_PU` and in the verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hcsim.cases.case import Case
from hcsim.devices.as_text import definitions, orders
from hcsim.errors import FeederError
from hcsim.feeder.model import FeederModel
from hcsim.opendss.series.alone import Alone, AloneRun, AloneTask
from hcsim.opendss.series.engines import EngineName, installed
from hcsim.replay.result import ReplayResult
from hcsim.replay.series import DailySeries
from hcsim.replay.verdict import verdict
from hcsim.util.files import write_csv, write_json
from hcsim.workbench.allocation import Workbench
from hcsim.workbench.gate_task import alone_task
from optim.data.criteria import CRITERIA
from optim.data.network import Complexes, Floats
from optim.data.node import bus_of, phase_of
from optim.data.operation import Operation
from optim.data.schedule import Schedule
from optim.data.violations import violations

AGREE_PU = 1e-6
"""Two solutions to a tolerance of 1e-9 differ by less; a tap that went another way differs by 6e-3."""
SECOND: EngineName = "epri"


@dataclass(frozen=True)
class SecondOpinion:
    """What a second engine makes of a replay."""

    engine: str
    """Version, in its own words; "" where it gave no answer."""
    agree: bool | None
    """None where it gave no answer."""
    reason: str
    """Why there is none, or what differs; "" where all agrees."""
    dv_max_pu: float | None = None
    bus: str = ""
    phase: str = ""
    hour: str = ""
    verdict_first: str = ""
    verdict_second: str = ""
    differences: pd.DataFrame | None = None
    """step, time, bus, phase, v_first_pu, v_second_pu, dv_pu, largest first."""

    @property
    def words(self) -> str:
        """One sentence."""
        if self.agree is None:
            return f"The second engine gave no answer, the verdict is the first one's alone: {self.reason}"
        where = f"{self.dv_max_pu:.2g} pu" + (f" at {self.bus}.{self.phase} at {self.hour}" if self.bus else "")
        if self.agree:
            return f"engines agree: {self.engine} differs by at most {where}, same verdict"
        return f"engines disagree: {self.reason} ({self.engine}; at most {where})"

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts."""
        return {
            "agree": self.agree,
            "dv_max_pu": self.dv_max_pu,
            "bus": self.bus,
            "phase": self.phase,
            "hour": self.hour,
            "engine": self.engine,
            "verdict_first": self.verdict_first,
            "verdict_second": self.verdict_second,
            "reason": self.reason,
        }


def second_opinion(
    model: FeederModel, case: Case, schedule: Schedule | None, first: ReplayResult, base: ReplayResult | None = None
) -> SecondOpinion:
    """`first` once more in another engine: every node and step, and the verdict.

    `model` and `case` are those of `first`; `base` is the bare feeder in the first engine, which says what was there
    before. Limits on unbalance, regulators
    and protection are judged by the first engine only, like what devices delivered.
    """

    def silent(reason: str, version: str = "") -> SecondOpinion:
        return SecondOpinion(version, None, reason, verdict_first=verdict(first).kind)

    if not installed(SECOND):
        return silent("it is not installed: pip install 'hcsim[epri]'.")
    if first.inverters != "off":
        return silent("inverters under their own control are not replayed in it.")
    series = DailySeries(model.circuit, model.network, model.profiles)
    try:
        run = Alone(_task(model, case, schedule, first, series)).result()
    except FeederError as error:
        return silent(error.message)
    if run.nodes != model.network.nodes:
        return silent("it has other nodes, or another order of them.", run.version)
    return _compared(first, _second(model, first, base if schedule else None, series, run), run)


def bare_opinion(bench: Workbench) -> SecondOpinion:
    """The feeder's own day, controls free, in both."""
    return second_opinion(bench.model, bench.case, None, bench.replay(None, "free"))


def _task(
    model: FeederModel, case: Case, schedule: Schedule | None, first: ReplayResult, series: DailySeries
) -> AloneTask:
    task = alone_task(model, case, model.profiles)
    curves, at_step = series.fixed_commands()
    devices: Iterator[str] = iter(())
    if schedule is not None:
        steps = len(schedule.times)
        bess = first.devices[first.devices["kind"] == "bess"]
        shape = (steps, len(schedule.bess_nodes))
        done = bess["p_delivered_kw"].to_numpy(float).reshape(shape) if shape[1] else np.zeros(shape)
        done = np.where(np.isfinite(done), done, schedule.bess_p_kw)
        after = first.soc["soc_delivered_kwh"].to_numpy(float).reshape(steps, len(schedule.bess))
        stored = np.vstack([schedule.soc_kwh[:1], after[:-1]])
        devices = definitions(model.network, schedule)
        at_step = [(*a, *b) for a, b in zip(at_step, orders(schedule, done, stored), strict=True)]
    return replace(
        task,
        commands=(*task.commands, *curves, *devices),
        controls=first.controls == "free",
        at_step=tuple(at_step),
        read=_watched(series),
        engine=SECOND,
    )


def _watched(series: DailySeries) -> tuple[str, ...]:
    """Elements whose currents and powers are all that `_read` needs."""
    names: list[str] = []
    for kind, at in [*((k, at) for k, at, _ in series.heads_at), *((k, at) for k, _, at in series.currents_at)]:
        layout = series.circuit.layout(kind)
        names += [layout.names[i] for i in np.unique(np.searchsorted(layout.offset, at, side="right") - 1)]
    return tuple(dict.fromkeys(names))


def _read(series: DailySeries, run: AloneRun) -> tuple[Floats, Floats]:
    """(T, S) kW in at the heads and (T, B) loading of an engine that ran by itself and read what is watched."""
    start = np.concatenate([[0], np.cumsum(run.conductors)])
    where = {name: slice(int(start[i]), int(start[i + 1])) for i, name in enumerate(_watched(series))}

    def flat(kind: str, values: Complexes) -> Complexes:
        layout = series.circuit.layout(kind)
        whole = np.zeros((len(values), int(layout.offset[-1])), dtype=complex)
        for name in layout.names:
            if name in where:
                whole[:, layout.of(name)] = values[:, where[name]]
        return whole

    heads = [sign * flat(kind, run.power_kva)[:, at].real for kind, at, sign in series.heads_at]
    return np.concatenate(heads, axis=1), series.loading_of([flat(k, run.current_a) for k, _, _ in series.currents_at])


def _second(
    model: FeederModel, first: ReplayResult, base: ReplayResult | None, series: DailySeries, run: AloneRun
) -> ReplayResult:
    """The first one's result with what the second engine says in place of what it says."""
    network = model.network
    v_pu = np.array([network.judged_v_pu(v_v) for v_v in run.v_v])
    v_pu[:, ~network.v_judged] = np.nan
    heads_kw, loading_pu = _read(series, run)
    found = Operation(
        times=first.operation.times,
        nodes=network.nodes,
        v_pu=v_pu,
        substation_phases=network.head_phases,
        substation_kw=heads_kw,
        branches=series.branches,
        loading_pu=loading_pu,
        kv_base=network.kv_base,
    )
    solved = ~np.isnan(run.v_v).any(axis=1)
    ours = {"overvoltage", "undervoltage", "reverse_flow", "loading"} & {c.name for c in CRITERIA}
    kept = first.violations[~first.violations["criterion"].isin(ours)]
    fresh = violations(found, model.limits, base.before if base else None)
    parts = [table for table in (fresh, kept) if len(table)]
    table = pd.concat(parts, ignore_index=True) if parts else first.violations.iloc[:0]
    return replace(first, converged=solved & first.converged, operation=found, violations=table)


def _compared(first: ReplayResult, second: ReplayResult, run: AloneRun) -> SecondOpinion:
    table = _differences(first, second)
    worst = table.iloc[0] if len(table) else None
    dv = float(worst["dv_pu"]) if worst is not None else 0.0
    judged, other = verdict(first), verdict(second)
    reasons = []
    if judged.kind != other.kind:
        reasons.append(f"the first says {judged.words}, the second {other.words}")
    if dv > AGREE_PU:
        reasons.append(f"voltages differ by more than {AGREE_PU:g} pu")
    unsolved = first.converged & ~second.converged
    if unsolved.any():
        named = [t for t, bad in zip(first.operation.times, unsolved, strict=True) if bad]
        reasons.append(f"only the first solves {', '.join(named[:3])}")
    return SecondOpinion(
        engine=run.version,
        agree=not reasons,
        reason="; ".join(reasons),
        dv_max_pu=dv,
        bus=str(worst["bus"]) if worst is not None else "",
        phase=str(worst["phase"]) if worst is not None else "",
        hour=str(worst["time"]) if worst is not None else "",
        verdict_first=judged.kind,
        verdict_second=other.kind,
        differences=table,
    )


def _differences(first: ReplayResult, second: ReplayResult) -> pd.DataFrame:
    """Every judged node and step that both solve, largest difference first."""
    nodes, times = first.operation.nodes, first.operation.times
    a, b = first.operation.v_pu, second.operation.v_pu
    steps, at = np.nonzero(np.isfinite(a) & np.isfinite(b))
    table = pd.DataFrame(
        {
            "step": steps,
            "time": np.array(times, dtype=object)[steps],
            "bus": [bus_of(nodes[n]) for n in at],
            "phase": [phase_of(nodes[n]) for n in at],
            "v_first_pu": a[steps, at],
            "v_second_pu": b[steps, at],
        }
    )
    table["dv_pu"] = (table["v_second_pu"] - table["v_first_pu"]).abs()
    return table.sort_values("dv_pu", ascending=False, kind="stable").reset_index(drop=True)


def write_opinion(opinion: SecondOpinion, folder: Path) -> list[Path]:
    """engines.json, and engines.csv with every node and step. Raises OutputError."""
    written = [write_json(folder / "engines.json", opinion.to_json())]
    if opinion.differences is not None:
        written.append(write_csv(folder / "engines.csv", opinion.differences))
    return written
