"""One native OpenDSS daily run, read as whole vectors. Replay and baseline both stand on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hcsim.engine import Circuit
from hcsim.errors import ConvergenceError, FeederError
from optim.limits import Operation
from optim.network import Network
from optim.profiles import Profiles

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Ints = NDArray[np.int64]

Controls = Literal["locked", "free"]

LOAD_SHAPE = "hcsim_load"
V_SANE_PU = (0.5, 1.5)
"""A solution with a judged voltage outside is nonsense, whatever OpenDSS says."""
SERVED_TOLERANCE = 0.05
"""Load delivered may differ from what the load models ask for at the solved voltages by this share. It is
wide because a load that OpenDSS takes out of constant power below its vminpu is served, if poorly."""
CHUNK = 256
"""Steps whose complex voltages are held before they become magnitudes: bounds the memory of a year."""
SOURCES = ("vsource.", "isource.", "generator.", "pvsystem.", "storage.", "load.", "vccs.", "indmach012.",
           "windgen.")  # fmt: skip
LOADED_CLASSES = ("Line", "Transformer", "AutoTrans")


@dataclass(frozen=True)
class Recording:
    """What one run leaves behind. Steps that failed hold NaN."""

    operation: Operation
    substation_kvar: Floats
    """(T, S)"""
    failures: dict[int, str]
    """Step -> what was wrong with it; empty where every step is sound."""
    regulators: tuple[str, ...]
    tap: Ints
    """(T, R)"""
    losses_kw: Floats
    """(T,) of all delivery elements, shunts included."""
    load_kw: Floats
    """(T,)"""

    def require_sound(self, what: str) -> None:
        """Raises ConvergenceError naming the first step that failed."""
        if self.failures:
            step, why = min(self.failures.items())
            raise ConvergenceError(
                f"{what}, step {step} ({self.operation.times[step]}): {why}.",
                "Look at the load profile and the feeder's own settings at that hour.",
            )


class DailySeries:
    """A feeder on a load profile. Prepare once, `run` as often as needed; every run starts at the same state.

    All loads follow the study's profile by a native LoadShape, except those with status=fixed, which OpenDSS
    never scales: `fixed_loads` names them. Raises FeederError where network and circuit do not belong
    together.
    """

    def __init__(self, circuit: Circuit, network: Network, profiles: Profiles) -> None:
        self.circuit, self.network, self.profiles = circuit, network, profiles
        self._check_nodes()
        self._assign_load_shape()
        self.fixed_loads = tuple(
            name for name in circuit.layout("Load").names
            if circuit.command(f'? "{name}.status"').lower() == "fixed"
        )  # fmt: skip
        self._map_branches()
        self._caps = circuit.capacitor_states()
        self.regulators = tuple(circuit.taps())

    def network_taps(self) -> dict[str, int]:
        """Positions at which the network was read."""
        return {r.name.split(".", 1)[1].lower(): r.tap for r in self.network.regulators}

    def run(
        self, *, controls: Controls, taps: Mapping[str, int] | None = None,
        before_step: Callable[[int], None] | None = None,
        after_step: Callable[[int, Complexes], None] | None = None,
        progress: Callable[[int, int], None] | None = None, loading: bool = True,
    ) -> Recording:  # fmt: skip
        """All steps in order, from `taps` (default: those of the network) and the capacitors' own states.

        `before_step(t)` sets devices, `after_step(t, consumption_kva)` reads them. Afterwards taps and
        capacitors stand where they stood before. `loading` False leaves the branches unread (NaN).
        """
        circuit, free, steps = self.circuit, controls == "free", len(self.profiles)
        taps_before = circuit.taps()
        circuit.set_taps(self.network_taps() if taps is None else taps)
        record = _Record(self, steps, loading)
        circuit.start_series(self.profiles.step_h)
        try:
            for t in range(steps):
                if before_step:
                    before_step(t)
                sound = circuit.step(t, controls=free)
                if t == 0:
                    self._check_nodes()  # devices that came in must not have moved them
                consumption = record.read(t, sound, free)
                if after_step:
                    after_step(t, consumption)
                if progress:
                    progress(t + 1, steps)
        finally:
            circuit.set_taps(taps_before)
            circuit.set_capacitor_states(self._caps)
        return record.finish()

    def _check_nodes(self) -> None:
        if self.circuit.node_names() != self.network.nodes:
            raise FeederError(
                f"{self.circuit.name}: the circuit's nodes are not those of the network.",
                "Read the network from this very circuit.",
            )

    def _assign_load_shape(self) -> None:
        shape = self.profiles
        values = " ".join(repr(float(x)) for x in shape.load_pu)
        self.circuit.define(
            "LoadShape", LOAD_SHAPE,
            f"npts={len(shape)} sinterval={shape.step_h * 3600.0!r} useactual=no mult=[{values}]",
        )  # fmt: skip
        self.circuit.command(f"batchedit load..* daily={LOAD_SHAPE}")

    def _map_branches(self) -> None:
        """Where in the classes' flat current vectors each to-side branch-phase stands, and its rating."""
        names: list[str] = []
        rated: list[float] = []
        where: dict[str, list[tuple[int, int]]] = {}
        kinds = [kind for kind in LOADED_CLASSES if kind in self.circuit.classes()]
        node_ref = {e.name.lower(): e.node_ref.ravel() for e in self.circuit.elements(kinds)}
        layouts = {kind.lower(): self.circuit.layout(kind) for kind in kinds}
        for branch in self.network.branches:
            kind = branch.name.split(".", 1)[0].lower()
            if kind not in layouts or branch.name.lower() not in node_ref:
                continue
            start = layouts[kind].of(branch.name).start
            for node in branch.to_nodes:
                at = np.flatnonzero(node_ref[branch.name.lower()] == node)
                if not len(at):
                    raise FeederError(
                        f"{branch.name} does not reach {self.network.nodes[node]} in the circuit.",
                        "Read the network from this very circuit.",
                    )
                where.setdefault(kind, []).append((len(names), start + int(at[0])))
                names.append(f"{branch.name}.{self.network.nodes[node].rsplit('.', 1)[1]}")
                rated.append(branch.i_rated_a if np.isfinite(branch.i_rated_a) else np.nan)
        self.branches = tuple(names)
        self._rated_a = np.array(rated)
        self._currents = [(kind, *np.array(pairs).T) for kind, pairs in where.items()]

    def loading_pu(self) -> Floats:
        """(B,) to-side current over normal rating at the present solution."""
        amperes = np.empty(len(self.branches))
        for kind, row, at in self._currents:
            amperes[row] = np.abs(self.circuit.currents_a(kind)[at])
        return amperes / self._rated_a


class _Record:
    """Arrays that fill up step by step."""

    def __init__(self, series: DailySeries, steps: int, loading: bool) -> None:
        self.series, circuit, network = series, series.circuit, series.network
        self._loading = loading
        n = len(network.nodes)
        elements = circuit.element_names()
        self._is_load = np.array([name.startswith("load.") for name in elements])
        self._is_delivery = np.array([not name.startswith(SOURCES) for name in elements])
        start = circuit.layout("Vsource").of(network.branches[0].name).start
        self._source = slice(start, start + len(network.source_nodes))
        self.v_pu = np.full((steps, n), np.nan)
        self.substation_kva = np.full((steps, len(network.source_nodes)), np.nan, dtype=complex)
        self.loading_pu = np.full((steps, len(series.branches)), np.nan)
        self.tap = np.zeros((steps, len(series.regulators)), dtype=np.int64)
        self.losses_kw, self.load_kw = np.full(steps, np.nan), np.full(steps, np.nan)
        self.asked_kw = np.full(steps, np.nan)
        self.failures: dict[int, str] = {}
        self._chunk = np.full((min(CHUNK, steps), n), np.nan, dtype=complex)
        self._held = 0
        self._taps_now = list(circuit.taps().values())
        legs = [name.lower() for name in network.loads.names]
        fixed = {name.lower() for name in series.fixed_loads}
        self._leg_fixed = np.array([name in fixed for name in legs], dtype=bool)
        self._leg_of_load = np.array([name.startswith("load.") for name in legs], dtype=bool)

    def read(self, t: int, sound: bool, free: bool) -> Complexes:
        circuit = self.series.circuit
        consumption = circuit.consumption_kva()
        if free:
            self._taps_now = list(circuit.taps().values())
        self.tap[t] = self._taps_now
        if sound:
            self._chunk[self._held] = circuit.voltages_v()
            self.substation_kva[t] = -circuit.powers_kva("Vsource")[self._source]
            if self._loading:
                self.loading_pu[t] = self.series.loading_pu()
            self.load_kw[t] = consumption.real[self._is_load].sum()
            self.losses_kw[t] = consumption.real[self._is_delivery].sum()
        else:
            self._chunk[self._held] = np.nan
            self.failures[t] = "OpenDSS did not converge"
        self._held += 1
        if self._held == len(self._chunk):
            self._flush(t)
        return consumption

    def _flush(self, t: int) -> None:
        """Turn the held phasors, the last of which is step t, into judged magnitudes and loads asked for."""
        held = self._chunk[: self._held]
        steps = slice(t + 1 - self._held, t + 1)
        self.v_pu[steps] = self.series.network.judged_v_pu(held)
        self.asked_kw[steps] = self._asked(held, self.series.profiles.load_pu[steps])
        self._held = 0

    def _asked(self, v_v: Complexes, load_pu: Floats) -> Floats:
        """(t,) what the load models ask for at voltages (t, N); legs of generators are no loads."""
        legs = self.series.network.loads
        padded = np.concatenate([v_v, np.zeros((len(v_v), 1))], axis=1)
        u = np.abs(padded[:, legs.node_plus] - padded[:, legs.node_minus]) / legs.v_rated_v
        model = legs.zip_p[:, 0] * u**2 + legs.zip_p[:, 1] * u + legs.zip_p[:, 2]
        scale = np.where(self._leg_fixed, 1.0, load_pu[:, None])
        return np.asarray((legs.p_kw * model * scale)[:, self._leg_of_load].sum(axis=1))

    def finish(self) -> Recording:
        series, network = self.series, self.series.network
        if self._held:
            self._flush(len(self.v_pu) - 1)
        self._judge_sanity()
        self.v_pu[:, ~network.v_judged] = np.nan
        operation = Operation(
            times=series.profiles.times, nodes=network.nodes, v_pu=self.v_pu,
            substation_phases=tuple(network.nodes[n] for n in network.source_nodes),
            substation_kw=self.substation_kva.real, branches=series.branches, loading_pu=self.loading_pu,
        )  # fmt: skip
        return Recording(
            operation, self.substation_kva.imag, self.failures, series.regulators, self.tap, self.losses_kw,
            self.load_kw,
        )  # fmt: skip

    def _judge_sanity(self) -> None:
        """A converged step is sound only if its voltages and the load it serves make sense."""
        network = self.series.network
        judged = self.v_pu[:, network.v_judged]
        outside = (judged < V_SANE_PU[0]) | (judged > V_SANE_PU[1])
        short = np.abs(self.load_kw - self.asked_kw) > SERVED_TOLERANCE * np.abs(self.asked_kw) + 0.01
        names = np.array(network.nodes, dtype=object)[network.v_judged]
        for t in np.flatnonzero(outside.any(axis=1) | short):
            if outside[t].any():
                n = int(np.nanargmax(np.abs(judged[t] - 1.0)))
                why = f"OpenDSS converged on {judged[t, n]:.3f} pu at {names[n]}"
            else:
                why = f"OpenDSS serves {self.load_kw[t]:.1f} of {self.asked_kw[t]:.1f} kW of load"
            self.failures.setdefault(int(t), why)
