"""A year, hour by hour, with every node voltage and branch loading streamed to Parquet.

What is read per step is what is written, as whole vectors; steps wait in a small buffer and leave it as one
row group, so that memory does not grow with the year. PV follows its profile by a native LoadShape: Python
does nothing per device and hour.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hcsim.devices.fleets import BessFleet, PvFleet
from hcsim.errors import OutputError
from hcsim.feeder.model import FeederModel
from hcsim.hosting.year_result import YearResult
from hcsim.opendss.circuit import Circuit
from hcsim.opendss.series.shapes import write_shape
from hcsim.replay.recording import V_SANE_PU, Controls
from hcsim.replay.series import DailySeries
from hcsim.util.files import output_folder
from optim.data.limits import Limits
from optim.data.network import Network
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule

Floats = NDArray[np.float64]
_NOTHING = np.empty(0)
BUFFER = 730
"""Steps per row group: a month or so,"""
BUFFER_BYTES = 200_000_000
"""or fewer, of a large feeder."""
SUN = "hcsim_year_sun"
TABLES = ("voltages", "loading", "feeder")


def record_year(
    model: FeederModel,
    folder: Path,
    *,
    pv_kw: Mapping[str, float] | None = None,
    bess: Schedule | None = None,
    controls: Controls = "free",
    progress: Callable[[int, int], None] | None = None,
) -> YearResult:
    """Run all steps in order with PV of `pv_kw` (node -> inverter kW) at unity power factor, and the batteries
    of `bess`, a schedule of exactly these steps.

    Writes voltages.parquet (a row per step, a column per judged node, pu), loading.parquet (a column per
    branch-phase that has a rating) and feeder.parquet (substation kW per phase, losses, taps, energy stored in
    each battery at the end of the step), float32. A
    step that does not converge, or to nonsense, is a row of NaN and stands in `failures`.

    Raises FeederError, OutputError (what was written before a full disk stays readable only where its file
    was finished).
    """
    started = time.perf_counter()
    circuit, network, profiles, limits = model.circuit, model.network, model.profiles, model.limits
    series = DailySeries(circuit, network, profiles)
    fleet = _bring_pv(circuit, network, profiles, pv_kw) if pv_kw else None
    taps_before, caps_before = circuit.taps(), circuit.capacitor_states()
    circuit.set_taps(series.network_taps())
    storage = _bring_batteries(circuit, network, bess) if bess else None
    units = tuple(unit.name for unit in bess.bess) if bess else ()
    recorder = _Recorder(series, limits, output_folder(folder), units)
    circuit.forget()
    circuit.set_capacitor_states(caps_before)
    circuit.set_taps(series.network_taps(), exact=True)
    circuit.start_series(profiles.step_h, start_h=profiles.start_h)
    circuit.start_from(network.v_solved_v)
    series.switch_fixed(on=True)
    free, steps = controls == "free", len(profiles)
    try:
        for t in range(steps):
            if profiles.fixed:
                series.set_fixed(t)
            if storage and bess:
                storage.set_power(bess.bess_p_kw[t], profiles.step_h)
            sound = circuit.step(t, controls=free)
            if storage:
                storage.finish_step(sound)
            recorder.read(t, sound, free, storage.joint_kwh if storage else _NOTHING)
            if progress and t % 200 == 199:
                progress(t + 1, steps)
        recorder.flush()
    except OSError as error:
        raise OutputError(f"Cannot write the year to {folder}: {error.strerror or error}.") from error
    finally:
        recorder.close()
        series.switch_fixed(on=False)
        circuit.set_taps(taps_before)
        circuit.set_capacitor_states(caps_before)
        for brought in (fleet, storage):
            if brought:
                brought.remove()
    return recorder.result(time.perf_counter() - started)


def _bring_pv(circuit: Circuit, network: Network, profiles: Profiles, pv_kw: Mapping[str, float]) -> PvFleet:
    buses = list(profiles.pv_of)
    for name, curve in ((SUN, profiles.pv_pu), *((f"{SUN}_{i}", profiles.pv_of[b]) for i, b in enumerate(buses))):
        write_shape(circuit, name, profiles.step_h, curve)
    fleet = _YearPv(circuit, network, tuple(pv_kw))
    fleet.resize(np.array(list(pv_kw.values()), dtype=float))
    for element, node in zip(fleet.elements, fleet.nodes, strict=True):
        bus = node.rsplit(".", 1)[0]
        shape = f"{SUN}_{buses.index(bus)}" if bus in profiles.pv_of else SUN
        circuit.command(f'edit "{element}" irradiance=1 daily={shape} kvar=0')
    return fleet


def _bring_batteries(circuit: Circuit, network: Network, bess: Schedule) -> BessFleet:
    storage = BessFleet(circuit, network, bess.bess, bess.bess_nodes, bess.bess_of)
    storage.bind()
    storage.reset(bess.soc_kwh[0])
    return storage


class _YearPv(PvFleet):
    """Under names of its own: OpenDSS keeps the LoadShape of an element for ever."""

    def __init__(self, circuit: Circuit, network: Network, nodes: tuple[str, ...]) -> None:
        super(PvFleet, self).__init__(circuit, network, nodes, [f"year_{g + 1}" for g in range(len(nodes))])
        self.size_kw = np.zeros(len(nodes))


class _Recorder:
    """Buffers, their files, and the little that is kept of every step."""

    def __init__(self, series: DailySeries, limits: Limits, folder: Path, units: tuple[str, ...]) -> None:
        self.series, self.limits, self.folder = series, limits, folder
        network, steps = series.network, len(series.profiles)
        self.judged = np.flatnonzero(network.v_judged)
        self.rated = np.flatnonzero(series.has_rating())
        self.nodes = [network.nodes[n] for n in self.judged]
        self.branches = [series.branches[b] for b in self.rated]
        phases = network.head_phases
        self._columns = {
            "voltages": self.nodes,
            "loading": self.branches,
            "feeder": [
                *(f"substation_kw {p}" for p in phases),
                "losses_kw",
                *(f"tap {r}" for r in series.regulators),
                *(f"soc_kwh {unit}" for unit in units),
            ],
        }
        currents = series.currents_a()
        size = min(BUFFER, steps, max(1, BUFFER_BYTES // (16 * (len(network.nodes) + sum(map(len, currents))))))
        self._v = np.empty((size, len(network.nodes)), dtype=complex)
        self._amps = [np.empty((size, len(c)), dtype=complex) for c in currents]
        self._feeder = np.empty((size, len(self._columns["feeder"])))
        self._sound = np.empty(size, dtype=bool)
        self._held = self._done = 0
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._taps = np.array(list(series.circuit.taps().values()), dtype=float)
        self.low, self.high = np.full(steps, np.nan), np.full(steps, np.nan)
        self.substation = np.full(steps, np.nan)
        self.reverse, self.losses = 0, 0.0
        self.above, self.below = np.zeros(len(self.nodes)), np.zeros(len(self.nodes))
        self.overloaded = np.zeros(len(self.branches))
        self.operations = np.zeros(len(self._taps))
        self.node_high = np.full(len(self.nodes), -np.inf)
        self.failures: dict[str, str] = {}

    def read(self, t: int, sound: bool, free: bool, stored_kwh: Floats) -> None:
        circuit, i = self.series.circuit, self._held
        self._sound[i] = sound
        self._v[i] = circuit.voltages_v()
        for held, current in zip(self._amps, self.series.currents_a(), strict=True):
            held[i] = current
        phases = self.series.heads_kva().real
        row = self._feeder[i]
        row[: len(phases)] = phases
        row[len(phases)] = circuit.losses_kva().real
        if free and circuit.controls_acted():
            taps = np.array(list(circuit.taps().values()), dtype=float)
            self.operations += np.abs(taps - self._taps)
            self._taps = taps
        row[len(phases) + 1 : len(row) - len(stored_kwh)] = self._taps
        row[len(row) - len(stored_kwh) :] = stored_kwh
        self._held += 1
        if self._held == len(self._v):
            self.flush()

    def flush(self) -> None:
        """Judge and write what is held."""
        count, start = self._held, self._done
        if not count:
            return
        v = self.series.network.judged_v_pu(self._v[:count])[:, self.judged]
        loading = self.series.loading_of([held[:count] for held in self._amps])[:, self.rated]
        feeder = self._feeder[:count]
        low, high = v.min(axis=1), v.max(axis=1)
        sound = self._sound[:count] & (low >= V_SANE_PU[0]) & (high <= V_SANE_PU[1])
        for i in np.flatnonzero(~sound):
            label = self.series.profiles.times[start + int(i)]
            why = "converged on voltages that make no sense" if self._sound[i] else "did not converge"
            self.failures[label] = f"OpenDSS {why}"
        v[~sound], loading[~sound], feeder[~sound] = np.nan, np.nan, np.nan
        self.low[start : start + count] = np.where(sound, low, np.nan)
        self.high[start : start + count] = np.where(sound, high, np.nan)
        self._count(v, loading, feeder, start)
        for name, values in zip(TABLES, (v, loading, feeder), strict=True):
            self._write(name, values.astype(np.float32), start)
        self._done, self._held = start + count, 0

    def _count(self, v: Floats, loading: Floats, feeder: Floats, start: int) -> None:
        limits, kv_base = self.limits, self.series.network.kv_base[self.judged]
        self.above += (v > limits.v_max_at(kv_base) + limits.v_tolerance_pu).sum(axis=0)
        self.below += (v < limits.v_min_at(kv_base) - limits.v_tolerance_pu).sum(axis=0)
        if limits.loading_max_pu is not None:
            self.overloaded += (loading > limits.loading_max_pu + limits.loading_tolerance_pu).sum(axis=0)
        phases = len(self.series.network.source_nodes)
        if limits.substation_min_kw is not None:
            below = feeder[:, :phases] < limits.substation_min_kw - limits.p_tolerance_kw
            self.reverse += int(below.any(axis=1).sum())
        self.substation[start : start + len(v)] = feeder[:, :phases].sum(axis=1)
        self.losses += float(np.nansum(feeder[:, phases]))
        self.node_high = np.fmax(self.node_high, np.nan_to_num(v, nan=-np.inf).max(axis=0))

    def _write(self, name: str, values: NDArray[np.float32], start: int) -> None:
        times = self.series.profiles.times[start : start + len(values)]
        steps = pa.array(np.arange(start, start + len(values), dtype=np.int32))
        columns = [steps, pa.array(times, pa.string()), *(pa.array(c) for c in np.ascontiguousarray(values.T))]
        table = pa.Table.from_arrays(columns, names=["step", "time", *self._columns[name]])
        if name not in self._writers:
            half = self.folder / f".{name}.part"
            self._writers[name] = pq.ParquetWriter(
                half, table.schema, use_dictionary=False, compression="snappy", write_statistics=False
            )
        self._writers[name].write_table(table)

    def close(self) -> None:
        """Files get their names only when every step is in them."""
        whole = self._done == len(self.series.profiles)
        for name, writer in self._writers.items():
            half = self.folder / f".{name}.part"
            try:
                writer.close()
                if whole:
                    half.replace(self.folder / f"{name}.parquet")
            finally:
                half.unlink(missing_ok=True)

    def result(self, seconds: float) -> YearResult:
        worst = int(np.argmax(self.node_high))
        written = pq.read_table(self.folder / "voltages.parquet", columns=[self.nodes[worst]])
        trace = written.column(0).to_numpy().astype(float)
        step_h = self.series.profiles.step_h
        return YearResult(
            v_lowest_pu=self.low,
            v_highest_pu=self.high,
            v_worst_node_pu=trace,
            worst_node=self.nodes[worst],
            substation_kw=self.substation,
            hours_above=_hours(self.nodes, self.above, step_h),
            hours_below=_hours(self.nodes, self.below, step_h),
            hours_overloaded=_hours(self.branches, self.overloaded, step_h),
            hours_reverse=self.reverse * step_h,
            tap_operations={r: int(n) for r, n in zip(self.series.regulators, self.operations, strict=True)},
            failures=self.failures,
            losses_kwh=self.losses * step_h,
            seconds=seconds,
            files=tuple(f"{name}.parquet" for name in TABLES),
        )


def _hours(names: list[str], steps: Floats, step_h: float) -> dict[str, float]:
    return {names[i]: float(steps[i] * step_h) for i in np.flatnonzero(steps > 0)}
