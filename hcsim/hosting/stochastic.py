"""Stochastic hosting capacity: customers get rooftop PV in random order, until something breaks.

A deployment is an order in which customers (the feeder's loads) get PV, all of them at random, those close to
the source first, or those far from it. At each penetration step the first so many have theirs; the last one's
is cut so that the step is met exactly. Penetration is PV capacity over the feeder's nominal load. Every
sunny hour is solved and judged as in the nodal study (`hcsim.hosting.hour_probe`). A step that breaks nothing hour by
hour is put back: the whole day in order, controls free from the feeder's own start (`hcsim.hosting.put_back`); what
breaks there counts like any other violation, so that every capacity is one that has held.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hcsim.errors import FeederError
from hcsim.feeder.model import FeederModel
from hcsim.feeder.topology import distance_graph, distances
from hcsim.hosting.hour_probe import Prober
from hcsim.hosting.nodal import missing_hours
from hcsim.hosting.open_feeder import FeederFiles as Feeder
from hcsim.hosting.put_back import WholeDay
from hcsim.replay.recording import Controls
from optim.data.limits import Limits
from optim.data.network import Network
from optim.data.node import bus_of
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Pattern = Literal["random", "near", "far"]

STOCHASTIC_COLUMNS = {
    "deployment": pa.int64(),
    "penetration_pct": pa.float64(),
    "pv_kw": pa.float64(),
    "criterion": pa.string(),
    "violated": pa.bool_(),
    "element": pa.string(),
    "phase": pa.string(),
    "hour": pa.string(),
    "verified": pa.bool_(),
}
"""`verified`: the whole step, put back over the day as it is, breaks nothing (`hcsim.hosting.put_back`)."""
CONVERGENCE = "convergence"
"""Beside the limits: a step with an hour that the engine does not converge at is violated by this."""
UNDEFINED = "hosting capacity"
"""Key of what is missing where there is no capacity at all."""
SPREAD = 0.35
"""Near and far are tendencies: ranks by distance are blurred by up to this share of the feeder."""


@dataclass(frozen=True)
class Rooftops:
    """Who can have PV, and how much. M customers, G node-phases."""

    customers: tuple[str, ...]
    nodes: tuple[str, ...]
    share: Floats
    """(M, G) how a customer's PV spreads over node-phases; rows sum to 1."""
    size_kw: Floats
    """(M,)"""
    distance: Floats
    """(M,) electrical distance from the source: only its order counts."""

    def order(self, pattern: Pattern, seed: int, deployment: int) -> Ints:
        """The order of one deployment. The same seed and number give the same, on any machine."""
        rng = np.random.default_rng([seed, deployment])
        count = len(self.customers)
        if pattern == "random":
            return rng.permutation(count)
        rank = np.argsort(np.argsort(self.distance, kind="stable"), kind="stable") / max(count - 1, 1)
        blurred = rank + rng.uniform(-SPREAD, SPREAD, count)
        return np.argsort(blurred if pattern == "near" else -blurred, kind="stable")

    def sizes(self, order: Ints, total_kw: float) -> Floats | None:
        """(G,) kW by node-phase with `total_kw` in all; None where all roofs together hold less."""
        sizes = self.size_kw[order]
        before = np.cumsum(sizes) - sizes
        taken = np.clip(total_kw - before, 0.0, sizes)
        if taken.sum() < total_kw * (1 - 1e-9):
            return None
        per_customer = np.zeros(len(order))
        per_customer[order] = taken
        return np.asarray(per_customer @ self.share)


def rooftops(network: Network, *, per_load: float | None, fixed_kw: float | None) -> Rooftops:
    """Every load that takes power at a live node; PV of `per_load` times its nominal kW, or `fixed_kw`.

    Raises FeederError where there is none.
    """
    legs = network.loads
    members: dict[str, list[int]] = {}
    for leg, name in enumerate(legs.names):
        ends = [n for n in (legs.node_plus[leg], legs.node_minus[leg]) if n >= 0 and network.v_judged[n]]
        if ends and legs.p_kw[leg] > 0:
            members.setdefault(name, []).append(leg)
    if not members:
        raise FeederError(f"{network.name} has no load at a live node: there is no roof for PV.")
    touched = sorted({int(n) for legs_of in members.values() for leg in legs_of for n in _ends(network, leg)})
    column = {n: g for g, n in enumerate(touched)}
    share = np.zeros((len(members), len(touched)))
    kw = np.zeros(len(members))
    far = source_distance(network)
    distance = np.zeros(len(members))
    for m, legs_of in enumerate(members.values()):
        for leg in legs_of:
            ends = _ends(network, leg)
            for n in ends:
                share[m, column[n]] += legs.p_kw[leg] / len(ends)
            kw[m] += legs.p_kw[leg]
            distance[m] = max(distance[m], max(far[n] for n in ends))
    share /= kw[:, None]
    size = np.full(len(members), fixed_kw) if fixed_kw is not None else kw * (per_load or 1.0)
    return Rooftops(tuple(members), tuple(network.nodes[n] for n in touched), share, size, distance)


def _ends(network: Network, leg: int) -> list[int]:
    """Where the PV of a load's leg stands: at the leg's own phase; half at each of two phases that have a ground;
    where there is none, at the one node whose devices stand between these two phases."""
    ends = (int(network.loads.node_plus[leg]), int(network.loads.node_minus[leg]))
    for node, other in (ends, ends[::-1]):
        if node >= 0 <= other and network.v_reference[node] == other:
            return [node]
    return [n for n in ends if n >= 0 and network.v_judged[n]]


def source_distance(network: Network) -> Floats:
    """(N,) electrical distance of a node's bus from the source, `hcsim.feeder.topology.distance_graph`."""
    buses = {bus: i for i, bus in enumerate(network.buses)}
    bus_at = np.array([buses[bus_of(name)] for name in network.nodes])
    found = distances(distance_graph(network), int(bus_at[network.source_nodes[0]]))
    return np.asarray(found[bus_at])


@dataclass(frozen=True)
class Deployment:
    """A task."""

    number: int
    pattern: Pattern

    @property
    def id(self) -> str:
        return f"{self.number:06d}"


@dataclass(frozen=True)
class StochasticJob:
    """Everything that the rows depend on, but the deployment."""

    feeder: Feeder
    profiles: Profiles
    limits: Limits
    penetrations_pct: tuple[float, ...]
    seed: int = 1
    per_load: float | None = 1.5
    fixed_kw: float | None = None
    controls: Controls = "free"
    bess: Schedule | None = None
    skip_steps: tuple[int, ...] = ()

    @cached_property
    def key(self) -> str:
        return hashlib.sha256(pickle.dumps(self)).hexdigest()[:16]

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def prepare(self) -> tuple[Prober, Rooftops]:
        circuit, network = self.feeder.open()
        prober = Prober(
            FeederModel(circuit, network, self.profiles, self.limits), controls=self.controls, bess=self.bess
        )
        return prober, rooftops(network, per_load=self.per_load, fixed_kw=self.fixed_kw)

    def do(self, prepared: tuple[Prober, Rooftops], task: Deployment) -> tuple[list[dict[str, Any]], int]:
        """Rows of all steps that the roofs can hold."""
        prober, roofs = prepared
        before = prober.power_flows
        nominal = float(prober.network.loads.p_kw.sum())
        order = roofs.order(task.pattern, self.seed, task.number)
        prober.place(roofs.nodes, "generation")
        day = WholeDay(prober, self.skip_steps)
        rows: list[dict[str, Any]] = []
        for pct in self.penetrations_pct:
            sizes = roofs.sizes(order, nominal * pct / 100.0)
            if sizes is None:
                break
            rows += self._step(prober, day, task, pct, sizes)
        return rows, prober.power_flows - before

    def missing(self, prepared: tuple[Prober, Rooftops]) -> dict[str, str]:
        return missing_hours(prepared[0], self.skip_steps) | broken_by_batteries(prepared[0])

    def _step(self, prober: Prober, day: WholeDay, task: Deployment, pct: float, sizes: Floats) -> list[dict[str, Any]]:
        """The worst hour of each criterion; one row each, and one for convergence."""
        prober.resize(sizes)
        count = len(prober.criteria)
        worst, at = np.full(count, -np.inf), np.full(count, -1)
        when = np.full(count, -1)
        lost = -1
        for t in self._sunny(prober):
            for mode in prober.modes:
                verdict = prober.probe(t, mode)
                if not verdict.sound:
                    lost = t if lost < 0 else lost
                    break
                judged = ~np.isnan(verdict.excess)
                more = np.flatnonzero(judged & (np.nan_to_num(verdict.excess, nan=-np.inf) > worst))
                worst[more], at[more], when[more] = verdict.excess[more], verdict.at[more], t
        held = False
        if lost < 0 and not np.any(worst > 0):
            whole = day.run()
            lost, held = whole.failed, whole.failed < 0 and not np.any(whole.excess > 0)
            if not held and lost < 0:
                worst, at, when = whole.excess, whole.at, whole.step
        head = {"deployment": task.number, "penetration_pct": pct, "pv_kw": float(sizes.sum())}
        rows = []
        for c, criterion in enumerate(prober.criteria):
            broken = bool(worst[c] > 0)
            element, phase = prober.element_of(c, int(at[c])) if broken and at[c] >= 0 else ("", "")
            hour = self.profiles.times[when[c]] if broken else ""
            rows.append(_row(head, criterion.name, broken, element, phase, hour))
        hour = self.profiles.times[lost] if lost >= 0 else ""
        rows.append(_row(head, CONVERGENCE, lost >= 0, prober.network.name if lost >= 0 else "", "", hour))
        return [row | {"verified": held} for row in rows]

    def _sunny(self, prober: Prober) -> Sequence[int]:
        skip = set(self.skip_steps)
        return [int(t) for t in prober.steps if self.profiles.sunny[t] and int(t) not in skip]


def broken_by_batteries(prober: Prober) -> dict[str, str]:
    """Why no capacity is defined, where the batteries break a limit without any PV; else nothing."""
    for t in prober.steps:
        for c in np.flatnonzero(prober.excess_without(int(t)) > 0):
            element, phase = prober.element_of(int(c), int(np.argmax(prober.gaps_without(int(t))[c])))
            place = f"{element}.{phase}" if phase else element
            words = f"the batteries alone break {prober.criteria[c].name.replace('_', ' ')} at {place}"
            return {UNDEFINED: f"not defined: {words}, {prober.profiles.times[t]}"}
    return {}


def _row(head: dict[str, Any], criterion: str, violated: bool, element: str, phase: str, hour: str) -> dict[str, Any]:
    return head | {"criterion": criterion, "violated": violated, "element": element, "phase": phase, "hour": hour}


def deployments(count: int, patterns: Sequence[Pattern]) -> list[Deployment]:
    """Numbers 0 to count - 1, the patterns taking turns."""
    return [Deployment(i, patterns[i % len(patterns)]) for i in range(count)]
