"""Operating points of a running circuit -> the tangent model of each hour (`optim.linearize.tangent`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hcsim.errors import ConvergenceError
from hcsim.feeder.branches import merged
from hcsim.feeder.model import FeederModel
from hcsim.replay.options import ReplayOptions
from hcsim.replay.own_power import OwnPower
from hcsim.replay.result import ReplayResult
from hcsim.replay.run import replay
from optim.data.linear_model import Floats, LinearModel
from optim.data.network import Complexes, Network
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule
from optim.linearize import tangent
from optim.linearize.response import OperatingPoint
from optim.linearize.tangent import Acting

BARE = "bare feeder"
"""What a replay without a schedule calls its case."""


class PointTaker:
    """Listens to a replay and keeps what the tangent model needs of every step.

    Taps and banks that stand elsewhere than where the network was read come in as the primitive admittances
    that OpenDSS has for them, read once per position.
    """

    def __init__(self, model: FeederModel, ports: tuple[str, ...], schedule: Schedule | None) -> None:
        circuit, network, profiles = model.circuit, model.network, model.profiles
        self._circuit, self._network, self._profiles = circuit, network, profiles
        self._p_kw, self._q_kvar = port_powers(schedule, ports, len(profiles))
        fixed = {name.lower() for name in circuit.fixed_loads()}
        self._follows = np.array([name.lower() not in fixed for name in network.loads.names], dtype=bool)
        is_load = np.array([name.lower().startswith("load.") for name in network.loads.names], dtype=bool)
        self._follows &= is_load
        self._stays = is_load.astype(float)
        """(L,) multiplier of legs that no profile moves: loads as they are, own devices by what they do."""
        self._load_p_pu, self._load_q_pu = profiles.legs_pu(len(network.loads.names))
        self._own = OwnPower(circuit, network)
        self._tapped = {r.name.split(".", 1)[1].lower(): r for r in network.regulators}
        self._banks = [s for s in network.shunts if s.name.lower().startswith("capacitor.")]
        self._states_read = circuit.capacitor_states()
        self._known: dict[tuple[str, object], Complexes] = {}
        self.points: list[OperatingPoint] = []

    def __call__(self, t: int) -> None:
        v_v = self._circuit.voltages_v().copy()
        p_pu = np.where(self._follows, self._load_p_pu[t], self._stays)
        q_pu = np.where(self._follows, self._load_q_pu[t], self._stays)
        own_kva = self._own.kva(v_v) if self._own.any else None
        ideal_v = self._own.ideal_v(v_v) if self._own.any else None
        self.points.append(
            OperatingPoint(v_v, p_pu, self._p_kw[t], self._q_kvar[t], self._moved(), q_pu, own_kva, ideal_v)
        )

    def _moved(self) -> dict[str, Complexes]:
        found: dict[str, Complexes] = {}
        positions: dict[str, list[int]] = {}
        taps = self._circuit.taps()
        moved: set[str] = set()
        for name, regulator in self._tapped.items():
            positions.setdefault(regulator.transformer, []).append(taps[name])
            if taps[name] != regulator.tap:
                moved.add(regulator.transformer)
        for transformer in moved:
            found[transformer] = self._primitive(transformer, tuple(positions[transformer]))
        states = self._circuit.capacitor_states()
        for bank in self._banks:
            own = bank.name.split(".", 1)[1].lower()
            if states.get(own) != self._states_read.get(own):
                found[bank.name] = self._primitive(bank.name, states[own])
        return found

    def _primitive(self, name: str, position: object) -> Complexes:
        if (name, position) not in self._known:
            nodes, y = merged(*self._circuit.primitive(name))
            expected = self._nodes_of(name)
            order = [nodes.index(n) for n in expected]
            self._known[name, position] = y[np.ix_(order, order)]
        return self._known[name, position]

    def _nodes_of(self, name: str) -> tuple[int, ...]:
        for branch in self._network.branches:
            if branch.name.lower() == name.lower():
                return branch.admittance[0]
        return next(s.nodes for s in self._network.shunts if s.name.lower() == name.lower())


def port_powers(schedule: Schedule | None, ports: tuple[str, ...], steps: int) -> tuple[Floats, Floats]:
    """(T, D) kW and kvar that a schedule injects at the ports."""
    p_kw, q_kvar = np.zeros((steps, len(ports))), np.zeros((steps, len(ports)))
    if schedule is not None:
        at = {name: d for d, name in enumerate(ports)}
        np.add.at(p_kw.T, [at[n] for n in schedule.pv_nodes], schedule.pv_p_kw.T)
        np.add.at(q_kvar.T, [at[n] for n in schedule.pv_nodes], schedule.pv_q_kvar.T)
        if schedule.bess_nodes:
            np.add.at(p_kw.T, [at[n] for n in schedule.bess_nodes], schedule.bess_p_kw.T)
            if schedule.bess_q_kvar is not None:
                np.add.at(q_kvar.T, [at[n] for n in schedule.bess_nodes], schedule.bess_q_kvar.T)
    return p_kw, q_kvar


@dataclass(frozen=True)
class Visit:
    """A replay, and where every hour of it came to stand. Linearizing is dear: only where `model` is asked for."""

    network: Network
    profiles: Profiles
    ports: tuple[str, ...]
    found: ReplayResult
    points: tuple[OperatingPoint, ...]
    branches: bool = True
    """Whether branch flows are linearized too."""
    acting: Acting | None = None
    """Where devices can act at all, None: everywhere."""

    @cached_property
    def model(self) -> LinearModel:
        """The tangent at every hour. Raises ConvergenceError where a step of the replay is unsound."""
        if not self.found.converged.all():
            first = self.profiles.times[int(np.argmin(self.found.converged))]
            raise ConvergenceError(
                f"{self.found.case}: no operating point at {first} to linearize at.",
                "Look at the schedule's powers at that hour.",
            )
        what = "the bare feeder's" if self.found.case == BARE else f"the {self.found.case} replay's"
        at = f"{what} solution of each hour, controls {self.found.controls}"
        return tangent.linearize(
            self.network, self.points, self.profiles.times, self.ports, at, branches=self.branches, acting=self.acting
        )


def visit(
    model: FeederModel,
    schedule: Schedule | None,
    ports: tuple[str, ...],
    options: ReplayOptions,
    *,
    acting: Acting | None = None,
) -> Visit:
    """Replays a schedule (None: the bare feeder) and takes down the operating point of every hour."""
    taker = PointTaker(model, ports, schedule)
    found = replay(model, schedule, options, observer=taker)
    branches = model.limits.loading_max_pu is not None
    return Visit(model.network, model.profiles, ports, found, tuple(taker.points), branches, acting)
