"""One native OpenDSS daily run, read as whole vectors. Replay and baseline both stand on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from hcsim.devices.held_controls import others_held
from hcsim.devices.load_shapes import follow_loads
from hcsim.devices.own_devices import prepare_own
from hcsim.errors import FeederError
from hcsim.feeder.unbalance import three_phase_buses, unbalance_pct
from hcsim.opendss.circuit import OUR_PREFIX, Circuit
from hcsim.replay.options import ReplayOptions
from hcsim.replay.recording import V_SANE_PU, Recording, RegulatorRows
from hcsim.replay.recording import BranchMap as _BranchMap
from optim.data.network import Network
from optim.data.node import phase_of
from optim.data.operation import Operation
from optim.data.profiles import Profiles
from optim.feeder.power_flow import leg_powers_kva

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Ints = NDArray[np.int64]


FIXED = "hcsim_fixed_"
SERVED_TOLERANCE = 0.01
"""Load delivered may differ by this share from what our load models ask for at the solved voltages."""
CHUNK = 256
"""Steps whose phasors are held until their loads are checked together: bounds the memory of a year."""
SOURCES = ("vsource.", "isource.", "generator.", "pvsystem.", "storage.", "load.", "vccs.", "indmach012.", "windgen.")


class DailySeries:
    """A feeder on a load profile. Prepare once, `run` as often as needed; every run starts at the same state.

    Loads follow `profiles` by native LoadShapes, one for all or one of their own, except those with status=fixed,
    which OpenDSS never scales: `fixed_loads` names them. The feeder's own devices do what OpenDSS has them do
    (`hcsim.devices.own_devices`). Curves of `profiles.fixed` are native Generators (negative where
    they draw), which stand in the circuit while a run lasts and are no loads in its sums. Raises FeederError
    where network and circuit do not belong together.
    """

    def __init__(self, circuit: Circuit, network: Network, profiles: Profiles) -> None:
        self.circuit, self.network, self.profiles = circuit, network, profiles
        self._check_nodes()
        self.fixed_loads = circuit.fixed_loads()
        self._follow(profiles)
        self._define_fixed()
        self._map_branches()
        self.heads_at = self._map_heads()
        self._caps = circuit.capacitor_states()
        self.regulators = tuple(circuit.taps())

    def network_taps(self) -> dict[str, int]:
        """Positions at which the network was read."""
        return {r.name.split(".", 1)[1].lower(): r.tap for r in self.network.regulators}

    def run(
        self,
        options: ReplayOptions,
        *,
        before_step: Callable[[int], None] | None = None,
        after_step: Callable[[int, Complexes | None], str | None] | None = None,
        settle: Callable[[int], bool] | None = None,
        loading: bool = True,
        regulation: bool = False,
    ) -> Recording:
        """All steps in order, from `options.taps` and the capacitors' own states.

        `before_step(t)` sets devices, `after_step(t, consumption_kva)` reads them, None in a step
        without an answer; what it returns is why the step is none after all. `settle(t)` looks at the solution of
        step t and says whether it has set devices anew, so that the step is solved again. Inverters under their own
        control act also where the other controls are locked. Afterwards taps and capacitors stand where they stood
        before.
        `loading` False leaves the branches unread (NaN). `regulation` also records voltage unbalance, the power
        through regulators and the tap steps taken from step to step. What
        existed `before` is not asked here.
        """
        circuit, steps = self.circuit, len(self.profiles)
        free, autonomous = options.controls == "free", options.inverters is not None
        taps_before = circuit.taps()
        circuit.forget()
        circuit.set_capacitor_states(self._caps)
        circuit.set_taps(self.network_taps() if options.taps is None else options.taps, exact=True)
        record = _Record(self, steps, loading, regulation)
        circuit.start_series(self.profiles.step_h, start_h=self.profiles.start_h)
        circuit.start_from(self.network.v_solved_v)
        self.switch_fixed(on=True)
        try:
            with others_held(circuit) if autonomous and not free else nullcontext():
                for t in range(steps):
                    self.set_fixed(t)
                    if before_step:
                        before_step(t)
                    converged = circuit.step(t, controls=free or autonomous)
                    while settle and converged and settle(t):
                        converged = circuit.step(t, controls=free or autonomous)
                    if t == 0:
                        self._check_nodes()  # devices that came in must not have moved them
                    consumption = record.read(t, converged, free)
                    if after_step and (why := after_step(t, consumption)):
                        record.forget(t, why)
                    if options.progress:
                        options.progress(t + 1, steps)
                    if options.give_up and t in record.failures:
                        record.failures |= dict.fromkeys(range(t + 1, steps), f"step {t} had no answer")
                        break
        finally:
            self.switch_fixed(on=False)
            circuit.set_taps(taps_before)
            circuit.set_capacitor_states(self._caps)
        return record.finish()

    def _check_nodes(self) -> None:
        if self.circuit.node_names() != self.network.nodes:
            raise FeederError(
                f"{self.circuit.name}: the circuit's nodes are not those of the network.",
                "Read the network from this very circuit.",
            )

    def reload(self, profiles: Profiles) -> None:
        """Other profiles of the same steps, from the next run on."""
        self._follow(profiles)

    def _follow(self, profiles: Profiles) -> None:
        self.profiles = profiles
        prepare_own(self.circuit, profiles)
        follow_loads(self.circuit, self.network, profiles)

    def _define_fixed(self) -> None:
        for k, properties in enumerate(self._fixed()):
            self.circuit.define("Generator", f"{FIXED}{k}", f"{properties} enabled=no")

    def _fixed(self) -> Iterator[str]:
        for curve in self.profiles.fixed:
            if curve.node not in self.network.node_index:
                raise FeederError(f"{self.circuit.name} has no node {curve.node} for the curve given there.")
            kv = float(self.network.v_base_v[self.network.node_index[curve.node]]) / 1e3
            sane = f"vminpu={V_SANE_PU[0]} vmaxpu={V_SANE_PU[1]}"
            yield f"bus1={curve.node} phases=1 conn=wye kv={kv!r} pf=1 kw=0 model=1 {sane}"

    def fixed_commands(self) -> tuple[list[str], list[tuple[str, ...]]]:
        """The curves of `profiles.fixed` for an engine that runs by itself: once, and before each step."""
        once = [f'new "Generator.{FIXED}{k}" {properties}' for k, properties in enumerate(self._fixed())]
        each = [
            tuple(f'edit "Generator.{FIXED}{k}" kw={float(c.p_kw[t])!r}' for k, c in enumerate(self.profiles.fixed))
            for t in range(len(self.profiles))
        ]
        return once, each

    def switch_fixed(self, *, on: bool) -> None:
        """The curves' Generators into the circuit or out; `run` does it by itself."""
        for k in range(len(self.profiles.fixed)):
            self.circuit.command(f'edit "Generator.{FIXED}{k}" enabled={"yes" if on else "no"}')

    def set_fixed(self, t: int) -> None:
        """The curves' power at step t; `run` does it by itself."""
        if fixed := self.profiles.fixed:
            names = f"^{FIXED}({'|'.join(map(str, range(len(fixed))))})$"
            self.circuit.write("Generator", names, "kw", np.array([c.p_kw[t] for c in fixed]))

    def _map_branches(self) -> None:
        """Where each to-side branch-phase stands in the flat vectors, and its rating: found once per network."""
        known = _branches_of.get(self.circuit)
        if known is None or known[0] is not self.network:
            known = _branches_of[self.circuit] = (self.network, _BranchMap.of(self.circuit, self.network))
        self.branches, self._rated_a, self.currents_at = known[1].names, known[1].rated_a, known[1].currents

    def heads_kva(self) -> Complexes:
        """(S,) power in at every head of the network, per phase, at the present solution."""
        powers = {kind: self.circuit.powers_kva(kind) for kind in {kind for kind, _, _ in self.heads_at}}
        return np.concatenate([sign * powers[kind][at] for kind, at, sign in self.heads_at])

    def _map_heads(self) -> list[tuple[str, Ints, float]]:
        """Of each head its class, where its conductors stand in the class's flat vector, and the sign."""
        found = []
        for head in self.network.heads:
            kind = head.element.split(".", 1)[0]
            element = next(e for e in self.circuit.elements([kind]) if e.name.lower() == head.element.lower())
            terminal = element.node_ref[head.terminal].tolist()
            start = self.circuit.layout(kind).of(head.element).start + head.terminal * len(terminal)
            at = np.array([start + terminal.index(n) for n in head.nodes], dtype=np.int64)
            found.append((kind, at, head.sign))
        return found

    def has_rating(self) -> NDArray[np.bool_]:
        """(B,) branches whose loading can be stated."""
        return np.isfinite(self._rated_a)

    def regulator_rows(self) -> RegulatorRows:
        """The source-side conductors of every regulator, in the flat vectors of its class. Where a winding
        lies between two phases, or floats, only the power of the whole has a meaning."""
        names: list[str] = []
        nodes: list[int] = []
        at: list[int] = []
        row: list[int] = []
        layout = self.circuit.layout("Transformer") if "Transformer" in self.circuit.classes() else None
        node_ref = {e.name.lower(): e.node_ref.ravel() for e in self.circuit.elements(["Transformer"])}
        for branch in self.network.branches:
            if branch.kind != "regulator" or layout is None or branch.name.lower() not in node_ref:
                continue
            start, ref = layout.of(branch.name).start, node_ref[branch.name.lower()]
            between = len(branch.from_nodes) == 2 or bool(self.network.between_phases[list(branch.from_nodes)].any())
            for i, node in enumerate(branch.from_nodes):
                if i == 0 or not between:
                    phase = "" if between else phase_of(self.network.nodes[node])
                    names.append(f"{branch.name}.{phase}")
                row.append(len(names) - 1)
                nodes.append(node)
                at.append(start + int(np.flatnonzero(ref == node)[0]))
        return RegulatorRows(tuple(names), *(np.array(x, dtype=np.int64) for x in (nodes, at, row)))

    def loading_pu(self) -> Floats:
        """(B,) to-side current over normal rating at the present solution."""
        found: Floats = self.loading_of([current[None, :] for current in self.currents_a()])[0]
        return found

    def currents_a(self) -> list[Complexes]:
        """What `loading_of` asks for, class by class, as OpenDSS has it at the present solution."""
        return [self.circuit.currents_a(kind) for kind, _, _ in self.currents_at]

    def loading_of(self, currents_a: Sequence[Complexes]) -> Floats:
        """(t, B) of (t, conductors of the class) each."""
        amperes = np.empty((len(currents_a[0]) if currents_a else 1, len(self.branches)))
        for (_, row, at), current in zip(self.currents_at, currents_a, strict=True):
            amperes[:, row] = np.abs(current[:, at])
        return amperes / self._rated_a


_branches_of: WeakKeyDictionary[Circuit, tuple[Network, _BranchMap]] = WeakKeyDictionary()
"""Reading every element takes a second on a large feeder, and its lines stay what they are."""


class _Record:
    """Arrays that fill up step by step."""

    def __init__(self, series: DailySeries, steps: int, loading: bool, regulation: bool) -> None:
        self.series, circuit, network = series, series.circuit, series.network
        self._loading, self._regulation = loading, regulation
        self._buses = three_phase_buses(network) if regulation else ()
        triples = [network.nodes_of(bus) for bus in self._buses]
        self._triples = np.array(triples, dtype=np.int64).reshape(-1, 3)
        self._regulators = series.regulator_rows() if regulation else None
        self._unbalance_pct = np.full((steps, len(self._buses)), np.nan)
        flows = len(self._regulators.names) if self._regulators else 0
        self._regulator_kw = np.full((steps, flows), np.nan)
        n = len(network.nodes)
        elements = circuit.element_names()
        self._is_load = np.array([name.startswith("load.") for name in elements])
        self._is_delivery = np.array([not (e.startswith(SOURCES) or f".{OUR_PREFIX}" in e) for e in elements])
        self.v_pu = np.full((steps, n), np.nan)
        self.substation_kva = np.full((steps, len(network.source_nodes)), complex(np.nan, np.nan))
        self.loading_pu = np.full((steps, len(series.branches)), np.nan)
        self.tap = np.zeros((steps, len(series.regulators)), dtype=np.int64)
        self.losses_kw, self.load_kw = np.full(steps, np.nan), np.full(steps, np.nan)
        self.failures: dict[int, str] = {}
        self._poles_before = circuit.poles_open()
        self._poles = np.zeros((steps, len(self._poles_before))) if self._poles_before else None
        self._judged = np.flatnonzero(network.v_judged)
        self._held: dict[int, Complexes] = {}
        self._taps_now = self._taps_before = list(circuit.taps().values())
        legs = [name.lower() for name in network.loads.names]
        fixed = {name.lower() for name in series.fixed_loads}
        self._leg_fixed = np.array([name in fixed for name in legs], dtype=bool)
        self._leg_pu = series.profiles.legs_pu(len(legs))[0]
        self._leg_of_load = np.array([name.startswith("load.") for name in legs], dtype=bool)

    def read(self, t: int, converged: bool, free: bool) -> Complexes | None:
        """Record step t; every element's consumption, None where the step has no answer."""
        circuit = self.series.circuit
        if free:
            self._taps_now = list(circuit.taps().values())
        self.tap[t] = self._taps_now
        v_v = circuit.voltages_v()
        v_pu = self.series.network.judged_v_pu(v_v)
        if self._poles is not None and self._note_protection(t):
            if not converged:
                self.failures[t] = f"{', '.join(self._opened(t))} open, and what it cuts off has no power flow"
                return None
            v_pu = np.where((v_pu < V_SANE_PU[0]) | (v_pu > V_SANE_PU[1]), np.nan, v_pu)  # what is cut off
        if why := self._unsound(v_pu[self._judged]) if converged else circuit.fault:
            self.failures[t] = why
            return None
        consumption = circuit.consumption_kva()
        self.v_pu[t] = v_pu
        self.substation_kva[t] = self.series.heads_kva()
        if self._loading:
            self.loading_pu[t] = self.series.loading_pu()
        if self._regulators:
            self._unbalance_pct[t] = unbalance_pct(v_v, self._triples)
            self._regulator_kw[t] = self._regulators.kw(circuit, v_v)
        self.load_kw[t] = consumption.real[self._is_load].sum()
        self.losses_kw[t] = consumption.real[self._is_delivery].sum()
        self._held[t] = v_v
        if len(self._held) == CHUNK:
            self._check_loads()
        return consumption

    def _opened(self, t: int) -> list[str]:
        assert self._poles is not None
        return [name for name, on in zip(self._poles_before, self._poles[t], strict=True) if on]

    def _note_protection(self, t: int) -> bool:
        """Which poles are open that the files leave closed; whether any is."""
        assert self._poles is not None
        now = self.series.circuit.poles_open()
        self._poles[t] = [now[name] and not before for name, before in self._poles_before.items()]
        return bool(self._poles[t].any())

    def _unsound(self, judged_pu: Floats) -> str:
        """What is wrong with a converged step's voltages, or ""."""
        judged_pu = np.where(np.isnan(judged_pu), 1.0, judged_pu)  # cut off by protection
        if not len(judged_pu) or (judged_pu.min() >= V_SANE_PU[0] and judged_pu.max() <= V_SANE_PU[1]):
            return ""
        n = int(np.argmax(np.abs(judged_pu - 1.0)))
        return f"OpenDSS converged on {judged_pu[n]:.3f} pu at {self.series.network.nodes[self._judged[n]]}"

    def _check_loads(self) -> None:
        """Whether the held steps serve what the load models ask for; those that do not are blanked."""
        steps = np.array(list(self._held), dtype=np.int64)
        asked_kw = self._asked(np.array(list(self._held.values())), self._leg_pu[steps], self.load_kw[steps])
        self._held.clear()
        for t, asked in zip(steps, asked_kw, strict=True):
            if _differ(self.load_kw[t], asked):
                self.forget(int(t), f"OpenDSS serves {self.load_kw[t]:.1f} of {asked:.1f} kW of load")

    def forget(self, t: int, why: str) -> None:
        """Step t turned out to have no answer."""
        self.failures[t] = why
        self._held.pop(t, None)
        for array in (self.v_pu, self.substation_kva, self.loading_pu, self.load_kw, self.losses_kw):
            array[t] = complex(np.nan, np.nan) if array.dtype == complex else np.nan

    def _asked(self, v_v: Complexes, load_pu: Floats, served_kw: Floats) -> Floats:
        """(t,) what the load models ask for at voltages (t, N) and multipliers (t, L); legs of generators are no loads.

        The plain polynomials first, for all steps at once; steps that they do not explain are asked again with
        what OpenDSS does outside of a load's voltage band.
        """
        legs = self.series.network.loads
        padded = np.concatenate([v_v, np.zeros((len(v_v), 1))], axis=1)
        u = np.abs(padded[:, legs.node_plus] - padded[:, legs.node_minus]) / legs.v_rated_v
        model = legs.zip_p[:, 0] * u**2 + legs.zip_p[:, 1] * u + legs.zip_p[:, 2]
        scale = np.where(self._leg_fixed, 1.0, load_pu)
        asked = np.asarray((legs.p_kw * model * scale)[:, self._leg_of_load].sum(axis=1))
        for t in np.flatnonzero(_differ(served_kw, asked)):
            leg_kw = leg_powers_kva(legs, v_v[t]).real * scale[t]
            asked[t] = leg_kw[self._leg_of_load].sum()
        return asked

    def finish(self) -> Recording:
        series, network = self.series, self.series.network
        if self._held:
            self._check_loads()
        self.v_pu[:, ~network.v_judged] = np.nan
        operation = Operation(
            times=series.profiles.times,
            nodes=network.nodes,
            v_pu=self.v_pu,
            substation_phases=network.head_phases,
            substation_kw=self.substation_kva.real,
            branches=series.branches,
            loading_pu=self.loading_pu,
            kv_base=network.kv_base,
            protection=tuple(self._poles_before),
            poles_open=self._poles,
        )
        if self._regulators:
            before = np.vstack([np.array(self._taps_before, dtype=np.int64)[None, :], self.tap[:-1]])
            operation = replace(
                operation,
                unbalance_buses=self._buses,
                unbalance_pct=self._unbalance_pct,
                regulator_phases=self._regulators.names,
                regulator_kw=self._regulator_kw,
                regulator_controls=series.regulators,
                tap_steps=np.abs(self.tap - before).astype(float),
            )
        return Recording(
            operation,
            self.substation_kva.imag,
            self.failures,
            series.regulators,
            self.tap,
            self.losses_kw,
            self.load_kw,
        )


def _differ(served_kw: Floats, asked_kw: Floats) -> NDArray[np.bool_]:
    return np.abs(served_kw - asked_kw) > SERVED_TOLERANCE * np.abs(asked_kw) + 0.01
