"""One hour of the three-phase branch-flow relaxation (L. Gan and S. H. Low, 2014), delta loads included.

With W = V V^H at every bus and S = V_from I^H, L = I I^H at every section,

    W_to = T W_from T^H - T S z^H - z S^H T^H + z L z^H
    what arrives at the to-side   diag(T S - z L),    what leaves the from-side   diag(S conj(T))
    [[W_from, S], [S^H, L]] positive semidefinite, which takes the place of "of rank one".

A leg between phases has its own current: X = V I^H over the legs of a bus, power of the legs diag(G X) with G V the
voltages across, power at the nodes diag(X G), and [[W, X], [X^H, R]] positive semidefinite with R up to the largest
current squared. An ideal transformer whose taps are free passes on every conductor's power and leaves the squared
voltage within the squared ratios; between conductors only what is positive semidefinite is kept of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optim.bounds.sdp.legs import Envelope, envelope
from optim.bounds.sdp.rows import Affine, Complexes, Floats, Rows, constant, joined
from optim.bounds.sdp.tree import REMEDY, Section, Tree
from optim.data.network import Network
from optim.errors import ModelError
from optim.feeder.power_flow import leg_powers_at, leg_voltages_v

SMALLEST_CURRENT = 0.05
"""Per unit, at least what a section's currents are scaled by."""


@dataclass(frozen=True)
class Hour:
    """What the relaxation takes of one hour."""

    network: Network
    """Taps and banks as they stand."""
    v_v: Complexes
    """(N,) the bare feeder's solved voltages, the state that has to fit."""
    load_p_pu: Floats
    load_q_pu: Floats
    """(L,) multipliers of the load legs."""
    u_min: Floats
    u_max: Floats
    """(L,) range of the legs' voltages, pu of their ratings."""
    v_low: Floats
    v_high: Floats
    """(N,) what judged voltages may be, pu; infinite where there is no limit."""
    floor_kw: Floats
    """(S,) least power from every source node; -inf where there is no limit."""
    losses_kw: float
    """Ceiling on losses."""
    label: str = ""


@dataclass(frozen=True)
class _Drawn:
    """Legs on the same conductors together, in pu of power: slope * w + d, w the squared pu voltage across."""

    plus: int
    minus: int
    slope: complex
    least: complex
    most: complex
    current: float
    """Largest, pu at the base of `plus`."""
    now: complex
    """At the known state."""


class HourRows:
    """Writes one hour's rows."""

    def __init__(self, rows: Rows, tree: Tree, hour: Hour) -> None:
        self.rows, self.tree, self.hour = rows, tree, hour
        self.v = {b: hour.v_v[list(nodes)] / tree.v_base_v[list(nodes)] for b, nodes in tree.buses.items()}
        self.w = {b: rows.hermitian(np.outer(v, v.conj())) for b, v in self.v.items()}
        self._sum = {b: constant(np.zeros(len(v))) for b, v in self.v.items()}
        """What flows into every bus."""
        self._held: set[str] = set()
        """Buses whose W some other block keeps positive semidefinite."""
        self._current = {b: np.zeros(len(v), dtype=complex) for b, v in self.v.items()}
        """At the known state, drawn at every bus."""
        self.loads = constant(np.zeros(1))
        self.source: list[tuple[int, Affine]] = []
        """Node and power."""

    def write(self, injected: Sequence[tuple[int, Affine]]) -> None:
        """All rows of the hour; `injected` is the power of devices at nodes, a vector of one each, in pu."""
        for bus, on, y in self.tree.shunts:
            self._flow_out(bus, on, self.w[bus].block(on, on).right(y.conj().T).diagonal())
            self._current[bus][on] += y @ self.v[bus][on]
        self._write_loads()
        currents = self._currents_of_state()
        for section, current in zip(self.tree.sections, currents, strict=True):
            self._write_section(section, current)
        given = constant(np.zeros(1))
        for node, power in injected:
            bus, at = self._at(node, "A device")
            self._flow_out(bus, [at], -power)
            given = given + power
        for bus, flow in self._sum.items():
            self.rows.zero(flow)
            if bus not in self._held:
                self.rows.semidefinite(self.w[bus])
        self._write_limits(given)

    # -- parts ---------------------------------------------------------------------------------------------

    def _at(self, node: int, what: str) -> tuple[str, int]:
        if node not in self.tree.place:
            raise ModelError(f"{what} stands at {self.hour.network.nodes[node]}, which nothing feeds.", REMEDY)
        return self.tree.place[node]

    def _flow_out(self, bus: str, at: list[int], power: Affine) -> None:
        self._sum[bus] = self._sum[bus] - power.placed(at, len(self.v[bus]))

    def _currents_of_state(self) -> list[Complexes]:
        """Currents of the sections at the known state, gathered from the ends."""
        found: list[Complexes] = []
        for s in reversed(self.tree.sections):
            current = self._current[s.to_bus][s.to_at] + s.y_to @ self.v[s.to_bus][s.to_at]
            found.append(current)
            if s.from_bus:
                v = self.v[s.from_bus][s.from_at]
                self._current[s.from_bus][s.from_at] += s.transfer.T @ current + s.y_from @ v
        return found[::-1]

    def _write_section(self, s: Section, current: Complexes) -> None:
        rows, scale = self.rows, max(float(np.max(np.abs(current))), SMALLEST_CURRENT)
        if not s.from_bus:
            v, w = np.ones(1, dtype=complex), constant(np.ones((1, 1)))
        else:
            v = self.v[s.from_bus][s.from_at]
            w = self.w[s.from_bus].block(s.from_at, s.from_at)
            if np.any(s.ratio_from != 1.0):
                behind = rows.hermitian(np.outer(v, v.conj()))
                self._ideal(w, behind, 1.0 / s.ratio_from[:, ::-1])
                w = behind
            elif len(s.from_at) == len(self.v[s.from_bus]):
                self._held.add(s.from_bus)
        i = current / scale
        flow, square = rows.matrix(np.outer(v, i.conj())), rows.hermitian(np.outer(i, i.conj()))
        rows.semidefinite(joined(w, flow, square))
        flow, square = flow.times(scale), square.times(scale**2)
        passed = flow.left(s.transfer)
        dropped = passed.right(s.z.conj().T)
        t = s.transfer
        far = w.left(t).right(t.conj().T) - dropped - dropped.adjoint() + square.left(s.z).right(s.z.conj().T)
        there = self.w[s.to_bus].block(s.to_at, s.to_at)
        free = bool(np.any(s.ratio_to != 1.0))
        if free:
            self._ideal(far, there, s.ratio_to)
        else:
            rows.hermitian_zero(there - far)
            if len(s.to_at) == len(self.v[s.to_bus]):
                self._held.add(s.to_bus)
        arriving = passed.diagonal() - square.left(s.z).diagonal() - there.right(s.y_to.conj().T).diagonal()
        self._flow_out(s.to_bus, s.to_at, -arriving)
        if s.from_bus:
            leaving = flow.right(s.transfer.conj()).diagonal() + w.right(s.y_from.conj().T).diagonal()
            self._flow_out(s.from_bus, s.from_at, leaving)
        else:
            nodes = self.tree.buses[s.to_bus]
            self.source += [(nodes[at], arriving.part([k])) for k, at in enumerate(s.to_at)]

    def _ideal(self, before: Affine, behind: Affine, ratio: Floats) -> None:
        """`behind` is what an ideal transformer makes of `before`, conductor by conductor with a ratio in its range."""
        fixed = ratio[:, 0] == ratio[:, 1]
        near, far = before.diagonal(), behind.diagonal()
        self.rows.nonnegative(far - near.times(ratio[:, 0] ** 2))
        self.rows.nonnegative(near.times(ratio[:, 1] ** 2) - far)
        still = [int(k) for k in np.flatnonzero(fixed)]
        if still:
            product = np.outer(ratio[still, 0], ratio[still, 0])
            self.rows.hermitian_zero(behind.block(still, still) - before.block(still, still).times(product))

    def _write_loads(self) -> None:
        between: dict[str, list[_Drawn]] = {}
        for leg in drawn(self.tree, self.hour):
            bus, at = self._at(leg.plus, "A load")
            if leg.minus < 0:
                power = self._power(leg, self.w[bus].diagonal().part([at]), abs(self.v[bus][at]) ** 2)
                self._flow_out(bus, [at], power)
                self.loads = self.loads + power
                self._current[bus][at] += np.conj(leg.now / self.v[bus][at])
            elif leg.current > 0:
                between.setdefault(bus, []).append(leg)
        for bus, legs in between.items():
            self._write_between(bus, legs)

    def _power(self, leg: _Drawn, across: Affine, now: float) -> Affine:
        """slope * w + d"""
        rest = constant(np.array([leg.least]))
        if leg.most != leg.least:
            d = leg.now - leg.slope * now
            for part, unit in (("real", 1.0), ("imag", 1j)):
                low, high = getattr(leg.least, part), getattr(leg.most, part)
                if high > low:
                    variable = self.rows.vector(np.array([getattr(d, part) - low]))
                    self.rows.nonnegative(variable)
                    self.rows.nonnegative(constant(np.array([high - low])) - variable)
                    rest = rest + variable.times(unit)
        return across.times(leg.slope) + rest

    def _write_between(self, bus: str, legs: list[_Drawn]) -> None:
        nodes, base = self.tree.buses[bus], self.tree.v_base_v
        for leg in legs:
            if self.tree.place.get(leg.minus, ("", 0))[0] != bus:
                raise ModelError(f"A load stands between bus {bus} and another: not held.", REMEDY)
        at = sorted({self.tree.place[n][1] for leg in legs for n in (leg.plus, leg.minus)})
        across = np.zeros((len(legs), len(at)))
        for k, leg in enumerate(legs):
            for node, sign in ((leg.plus, 1.0), (leg.minus, -1.0)):
                across[k, at.index(self.tree.place[node][1])] = sign * base[node] / base[leg.plus]
        v, w = self.v[bus][at], self.w[bus].block(at, at)
        scale = np.array([leg.current for leg in legs])
        legs_v = across @ v
        current = np.conj(np.array([leg.now for leg in legs]) / legs_v)
        i = current / scale
        flow, square = self.rows.matrix(np.outer(v, i.conj())), self.rows.hermitian(np.outer(i, i.conj()))
        self.rows.semidefinite(joined(w, flow, square))
        if len(at) == len(nodes):
            self._held.add(bus)
        self.rows.nonnegative(constant(np.ones(len(legs))) - square.diagonal())
        flow = flow.times(scale)
        power, squared = flow.left(across).diagonal(), w.left(across).right(across.T).diagonal()
        for k, leg in enumerate(legs):
            wanted = self._power(leg, squared.part([k]), abs(legs_v[k]) ** 2)
            self.rows.zero(power.part([k]) - wanted)
            self.loads = self.loads + wanted
        self._flow_out(bus, at, flow.right(across).diagonal())
        self._current[bus][at] += across.T @ current

    def _write_limits(self, given: Affine) -> None:
        hour, network, base_kva = self.hour, self.hour.network, self.tree.base_kva
        for node, (bus, at) in self.tree.place.items():
            if not network.v_judged[node]:
                continue
            other = int(network.v_reference[node])
            if other < 0:
                squared = self.w[bus].diagonal().part([at])
            else:
                if self.tree.place.get(other, ("", 0))[0] != bus:
                    raise ModelError(f"{network.nodes[node]} is judged against another bus: not held.", REMEDY)
                g = np.zeros((1, len(self.v[bus])))
                g[0, at] = self.tree.v_base_v[node]
                g[0, self.tree.place[other][1]] -= self.tree.v_base_v[other]
                squared = self.w[bus].left(g).right(g.T).diagonal()
            unit = (network.v_judged_base_v[node] / (self.tree.v_base_v[node] if other < 0 else 1.0)) ** 2
            squared = squared.times(1.0 / unit)
            if np.isfinite(hour.v_high[node]):
                self.rows.nonnegative(constant(np.array([hour.v_high[node] ** 2])) - squared)
            if np.isfinite(hour.v_low[node]) and hour.v_low[node] > 0:
                self.rows.nonnegative(squared - constant(np.array([hour.v_low[node] ** 2])))
        whole = constant(np.zeros(1))
        floor = {n: hour.floor_kw[k] / base_kva for k, n in enumerate(network.source_nodes)}
        for node, power in self.source:
            whole = whole + power
            if np.isfinite(floor.get(node, -np.inf)):
                self.rows.nonnegative(power - constant(np.array([floor[node]])))
        lost = whole + given - self.loads
        self.rows.nonnegative(constant(np.array([hour.losses_kw / base_kva])) - lost, loose=True)


def drawn(tree: Tree, hour: Hour) -> list[_Drawn]:
    """The load legs, those on the same conductors together; legs without voltage are served nothing."""
    network, legs, base = hour.network, hour.network.loads, tree.v_base_v
    volts = np.abs(leg_voltages_v(legs, hour.v_v))
    found: Envelope = envelope(legs, hour.load_p_pu, hour.load_q_pu, hour.u_min, hour.u_max)
    s = leg_powers_at(legs, volts / legs.v_rated_v)
    now = s.real * hour.load_p_pu + 1j * s.imag * hour.load_q_pu
    sums: dict[tuple[int, int], list[complex]] = {}
    for k in range(len(legs.names)):
        plus, minus, sign = int(legs.node_plus[k]), int(legs.node_minus[k]), 1.0
        if plus < 0 or (minus, plus) in sums:
            plus, minus = minus, plus
        if volts[k] < 1e-3 * legs.v_rated_v[k]:
            continue
        for n in (plus, minus):
            if n >= 0 and n not in tree.place:
                raise ModelError(f"{legs.names[k]} stands at {network.nodes[n]}, which the tree does not hold.", REMEDY)
        per_w = (base[plus] / legs.v_rated_v[k]) ** 2
        mine = [found.slope[k] * per_w, found.least[k], found.most[k], found.current_a[k] * base[plus] / 1e3, now[k]]
        before = sums.get((plus, minus), [0.0] * 5)
        sums[plus, minus] = [sign * a / tree.base_kva + b for a, b in zip(mine, before, strict=True)]
    return [
        _Drawn(plus, minus, complex(a), complex(b), complex(c), float(np.real(d)), complex(e))
        for (plus, minus), (a, b, c, d, e) in sums.items()
    ]
