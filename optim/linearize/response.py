"""The linear system of one solved operating point: how voltages and source currents answer the ports.

See `optim.linearize.tangent` for the equations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from optim.data.network import Complexes, Floats, Ints, LoadLegs, Network
from optim.feeder.power_flow import leg_powers_at, leg_voltages_v

U_STEP = 1e-6
"""Step in pu for S'(|U|): the load models are polynomials in pieces, rounding is what there is to avoid."""
Triplets = tuple[Ints, Ints, Complexes]
DENSE = 100
"""Unknowns up to which a full matrix is solved sooner than a sparse one is sorted."""


@dataclass(frozen=True)
class OperatingPoint:
    """One solved hour. The network's own taps and states, but for what `admittance_of` says."""

    v_v: Complexes
    """(N,) node phasors."""
    load_pu: Floats
    """(L,) multiplier of each load leg's active power, and of its reactive power where `load_q_pu` is None."""
    p_kw: Floats
    """(D,) injected at the ports by devices that stand in the solution."""
    q_kvar: Floats
    admittance_of: Mapping[str, Complexes] = field(default_factory=dict)
    """Branch or shunt name -> admittance over the same nodes, where a tap or a bank has moved."""
    load_q_pu: Floats | None = None
    """(L,)"""
    own_kva: Complexes | None = None
    """(L,) what legs draw besides, at constant power: machines and batteries that the feeder has of its own."""
    ideal_v: Complexes | None = None
    """(S,) ideal voltages of all sources in order, where they are not those at which the network was read."""


class Frame:
    """What the linear systems of all points share."""

    def __init__(self, network: Network, port_nodes: Ints) -> None:
        self.network = network
        sources = [b for b in network.branches if b.kind == "source"]
        self.at_source = np.concatenate([np.array(b.to_nodes, dtype=int) for b in sources])
        self.z = np.asarray(sp.block_diag([sp.coo_array(b.z_ohm) for b in sources]).toarray())
        self.ideal = np.concatenate([b.transfer[:, 0] for b in sources])
        self.ports = port_nodes, network.v_reference[port_nodes]
        """(D,) each: a device stands between its node and what that is judged against: ground, neutral, a phase."""
        self.elements = {b.name: b.admittance for b in network.branches if b.kind != "source"}
        self.elements |= {s.name: (s.nodes, s.y_s) for s in network.shunts}
        self._y = _assembled([(*nodes_and_y,) for nodes_and_y in self.elements.values()], len(network.nodes))
        loads = network.loads
        self.load_legs = _Legs(loads.node_plus, loads.node_minus)
        self.port_legs = _Legs(*self.ports)
        n, s = len(network.nodes), len(self.at_source)
        behind, rows = n + np.arange(s), n + np.nonzero(self.z)[0]
        one = np.ones(s, dtype=complex)
        self.of_sources = (
            np.concatenate([self.at_source, behind, rows]),
            np.concatenate([behind, self.at_source, n + np.nonzero(self.z)[1]]),
            np.concatenate([-one, one, self.z[np.nonzero(self.z)]]),
        )

    def admittance(self, moved: Mapping[str, Complexes]) -> sp.csr_array:
        """(N, N) siemens of branches and shunts, sources left out, with elements whose taps or steps have moved."""
        changed = [(self.elements[name][0], y - self.elements[name][1]) for name, y in moved.items()]
        return self._y + _assembled(changed, len(self.network.nodes)) if changed else self._y

    def source_currents(self, v_v: Complexes, ideal_v: Complexes) -> Complexes:
        """(S,) amperes out of the sources."""
        return np.asarray(np.linalg.solve(self.z, ideal_v - v_v[self.at_source]))


class _Legs:
    """Where E diag(values) E^T has entries, E the incidence of legs between two nodes, -1 for ground."""

    def __init__(self, plus: Ints, minus: Ints) -> None:
        pairs = ((plus, plus, 1.0), (plus, minus, -1.0), (minus, plus, -1.0), (minus, minus, 1.0))
        at = [np.flatnonzero((rows >= 0) & (columns >= 0)) for rows, columns, _ in pairs]
        self.rows = np.concatenate([p[0][k] for p, k in zip(pairs, at, strict=True)]).astype(int)
        self.columns = np.concatenate([p[1][k] for p, k in zip(pairs, at, strict=True)]).astype(int)
        self._leg = np.concatenate(at)
        self._sign = np.concatenate([np.full(len(k), p[2]) for p, k in zip(pairs, at, strict=True)])

    def entries(self, values: Complexes) -> Complexes:
        """Of one value per leg."""
        return np.asarray(self._sign * values[self._leg])


class Response:
    """The solved linear system of one point: how V and I_s move per kW and kvar at the ports that can act."""

    def __init__(self, frame: Frame, point: OperatingPoint, columns: Ints) -> None:
        self.point, self.columns = point, columns
        """(C,) of the 2D columns, P of every port and then Q."""
        n, s = len(point.v_v), len(frame.at_source)
        ideal_v = frame.ideal if point.ideal_v is None else point.ideal_v
        self.source_a = frame.source_currents(point.v_v, ideal_v)
        self.y_s = frame.admittance(point.admittance_of)

        grounded = np.append(point.v_v, 0.0)
        node, other = frame.ports
        v_port = grounded[node] - grounded[other]
        own = (point.p_kw + 1j * point.q_kvar) * 1e3
        straight, crossed = _load_slopes(frame.network.loads, point)
        legs, ports, y = frame.load_legs, frame.port_legs, self.y_s.tocoo()
        of_sources = frame.of_sources
        linear = (
            np.concatenate([y.row, legs.rows, of_sources[0]]),
            np.concatenate([y.col, legs.columns, of_sources[1]]),
            np.concatenate([y.data, legs.entries(straight), of_sources[2]]),
        )
        conjugate = (
            np.concatenate([legs.rows, ports.rows]),
            np.concatenate([legs.columns, ports.columns]),
            np.concatenate([legs.entries(crossed), ports.entries(np.conj(own) / np.conj(v_port) ** 2)]),
        )
        moved = _solved(linear, conjugate, _steps(n + s, frame.ports, 1e3 / np.conj(v_port), columns))
        self.v_slope: Complexes = moved[:n]
        """(N, C) volts"""
        self.i_slope: Complexes = moved[n:]
        """(S, C) amperes out of the sources"""


def _steps(size: int, ports: tuple[Ints, Ints], per_kw: Complexes, columns: Ints) -> Complexes:
    """(size, C) what a kW or kvar of each column brings into its nodes, amperes."""
    d = len(per_kw)
    every = np.concatenate([per_kw, -1j * per_kw])[columns]
    found = np.zeros((size, len(columns)), dtype=complex)
    at = np.arange(len(columns))
    found[ports[0][columns % d], at] = every
    other = ports[1][columns % d]
    between = other >= 0
    found[other[between], at[between]] -= every[between]
    return found


def _solved(linear: Triplets, conjugate: Triplets, right: Complexes) -> Complexes:
    """dx of  A dx + B conj(dx) = right, real and imaginary parts apart."""
    m = len(right)
    rows, columns, values = linear
    # nodes cut off have no equation: hold them where they are
    lonely = np.flatnonzero(np.bincount(rows, np.abs(values), m) == 0)
    rows, columns = np.concatenate([rows, lonely]), np.concatenate([columns, lonely])
    values = np.concatenate([values, np.ones(len(lonely))])
    r, c = np.concatenate([rows, conjugate[0]]), np.concatenate([columns, conjugate[1]])
    plus, minus = np.concatenate([values, conjugate[2]]), np.concatenate([values, -conjugate[2]])
    at = np.concatenate([r, r, r + m, r + m]), np.concatenate([c, c + m, c, c + m])
    entries = np.concatenate([plus.real, -minus.imag, plus.imag, minus.real])
    parts = np.vstack([right.real, right.imag])
    if m <= DENSE:
        system = np.bincount(at[0] * (2 * m) + at[1], entries, 4 * m * m).reshape(2 * m, 2 * m)
        x = np.linalg.solve(system, parts)
    else:
        x = spla.splu(sp.csc_array((entries, at), shape=(2 * m, 2 * m))).solve(parts)
    return np.asarray(x[:m] + 1j * x[m:])


def _load_slopes(loads: LoadLegs, point: OperatingPoint) -> tuple[Complexes, Complexes]:
    """(L,) a and b of the module docstring, siemens."""
    across = leg_voltages_v(loads, point.v_v)
    dead = np.abs(across) < 1e-6 * loads.v_rated_v
    u_v = np.where(dead, loads.v_rated_v, across)
    u = np.abs(u_v) / loads.v_rated_v
    load_q_pu = point.load_pu if point.load_q_pu is None else point.load_q_pu

    def scaled(kva: Complexes) -> Complexes:
        return np.asarray(1e3 * ~dead * (kva.real * point.load_pu + 1j * kva.imag * load_q_pu))

    s = scaled(leg_powers_at(loads, u))
    slope = scaled(leg_powers_at(loads, u + U_STEP) - leg_powers_at(loads, u - U_STEP)) / (2 * U_STEP)
    if point.own_kva is not None:
        s = s + 1e3 * point.own_kva * ~dead
    a = np.conj(slope) / loads.v_rated_v / (2 * np.abs(u_v))
    return a, a * u_v / np.conj(u_v) - np.conj(s) / np.conj(u_v) ** 2


def _assembled(parts: Sequence[tuple[tuple[int, ...], Complexes]], n: int) -> sp.csr_array:
    """(N, N) siemens of elements that stand between these nodes."""
    if not parts:  # a source with loads at its own bus
        return sp.csr_array((n, n), dtype=complex)
    rows = np.concatenate([np.repeat(nodes, len(nodes)) for nodes, _ in parts])
    columns = np.concatenate([np.tile(nodes, len(nodes)) for nodes, _ in parts])
    values = np.concatenate([y.ravel() for _, y in parts])
    return sp.csr_array((values, (rows.astype(int), columns.astype(int))), shape=(n, n))
