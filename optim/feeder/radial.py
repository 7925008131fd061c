"""`RadialFeeder`: the positive-sequence equivalent of a feeder, on which paper 2's branch flow model works.

Index convention: position *j* is bus `buses[j]` and, at the same time, the one branch that feeds it; buses
stand after the bus that feeds them. Per unit on 1 MVA (three-phase) and on each bus's own voltage base, so
that a flow of 1 pu is 1 MW. Loads are positive as consumption.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from optim.data.network import Branch, Network
from optim.data.node import bus_of, phase_number
from optim.errors import ModelError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

S_BASE_MVA = 1.0
_FULL = 300
"""Buses up to which products with a full matrix are faster than with a sparse one."""
_NEGLIGIBLE_PU = 1e-6
"""An impedance below this shifts a voltage by less than 1e-6 pu per MVA. It counts as none, as solvers stumble
over coefficients of 1e-8; a source behind so little is its bus."""
_TURN = np.exp(-2j * np.pi / 3)


@dataclass(frozen=True)
class RadialFeeder:
    """A tree of J buses below the source. A bus's voltage obeys V_j = ratio_j V_parent - z_j I_j."""

    name: str
    source_bus: str
    source_u_pu: float
    """Squared voltage of the source bus."""
    buses: tuple[str, ...]
    """(J,) all but the source bus."""
    branches: tuple[str, ...]
    """(J,) OpenDSS names of the elements that feed the bus; parallel single-phase units joined by "+"."""
    parent: Ints
    """(J,) index of the feeding bus, -1 for the source."""
    r_pu: Floats
    x_pu: Floats
    ratio: Floats
    """(J,) voltage ratio of a regulator or off-nominal transformer at the sending end; 1 for a line."""
    i_base_a: Floats
    """(J,) phase current at 1 pu."""
    i_rated_a: Floats
    """(J,) inf where the feeder states none."""
    load_p_mw: Floats
    load_q_mvar: Floats
    """(J,) nominal, constant power."""
    load_g_pu: Floats
    load_b_pu: Floats
    """(J,) voltage-dependent part of the nominal load: + g u in MW, + b u in Mvar consumed."""
    shunt_b_pu: Floats
    """(J,) capacitors and line charging: b u in Mvar injected, the same in every step."""
    notes: tuple[str, ...] = ()
    """What the equivalent leaves out, one sentence each."""

    def __len__(self) -> int:
        return len(self.buses)

    @cached_property
    def bus_index(self) -> dict[str, int]:
        return {bus: j for j, bus in enumerate(self.buses)}

    def index_of(self, bus: str) -> int:
        """Position of a bus; ModelError for the source bus and for a bus that is not there."""
        if bus in self.bus_index:
            return self.bus_index[bus]
        if bus == self.source_bus:
            raise ModelError(f"Bus {bus} is the source of {self.name}: a device there changes nothing.")
        raise ModelError(f"Bus {bus} is not in {self.name}.", f"Its buses: {', '.join(self.buses[:12])} ...")

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        below: list[list[int]] = [[] for _ in self.buses]
        for j, i in enumerate(self.parent):
            if i >= 0:
                below[i].append(j)
        return tuple(tuple(c) for c in below)

    @cached_property
    def downstream(self) -> sp.csr_array:
        """(J, J) 1 where bus (column) is fed through branch (row), itself included."""
        n = len(self)
        rows, columns = [], []
        for j in range(n):
            b = j
            while b >= 0:
                rows.append(b)
                columns.append(j)
                b = int(self.parent[b])
        return sp.csr_array((np.ones(len(rows)), (rows, columns)), shape=(n, n))

    @cached_property
    def _downstream(self) -> Floats | sp.csr_array:
        """`downstream`, full where that is small."""
        return self.downstream.toarray() if len(self) <= _FULL else self.downstream

    def gathered(self, drawn: Floats) -> Floats:
        """(T, J) what buses draw -> what flows through the branch to each."""
        return np.asarray((self._downstream @ drawn.T).T)

    def along(self, dropped: Floats) -> Floats:
        """(T, J) what is dropped in each branch -> what has been dropped on the way to each bus."""
        return np.asarray((self._downstream.T @ dropped.T).T)

    @cached_property
    def voltage_dependent(self) -> tuple[int, ...]:
        """Buses where something is consumed or fed in that depends on the voltage."""
        return tuple(
            int(j) for j in np.flatnonzero((self.load_g_pu != 0) | (self.load_b_pu != 0) | (self.shunt_b_pu != 0))
        )

    @cached_property
    def gain(self) -> Floats:
        """(J,) product of squared ratios from the source to the bus."""
        product = np.ones(len(self))
        for j, i in enumerate(self.parent):
            product[j] = self.ratio[j] ** 2 * (product[i] if i >= 0 else 1.0)
        return product

    def sending_loss(self, lost_pu: Floats) -> Floats:
        """(..., J) loss of squared bus voltage -> the same at the sending end behind the ratio."""
        return self.ratio**2 * np.where(self.parent >= 0, lost_pu[..., self.parent], 0.0)

    def sending_u(self, u_pu: Floats) -> Floats:
        """(..., J) squared bus voltages -> squared voltage at the sending end behind the ratio."""
        at_parent = np.where(self.parent >= 0, u_pu[..., self.parent], self.source_u_pu)
        return self.ratio**2 * at_parent


def positive_sequence(network: Network) -> RadialFeeder:
    """The balanced equivalent of a radial network, from its impedances, loads and taps.

    A section with k phases carries the same total power and has the same losses and mean voltage drop as the
    balanced section r + jx = 3/k^2 * conj(a) Z a, a the nominal phase angles: for three phases the positive
    sequence impedance, for one phase three times its own. Regulators enter with the mean of their ratios.
    Loads keep their total power at nominal voltage and its slope at the voltage of the base case.

    Raises ModelError where the feeder is meshed.
    """
    _ = network.feeding_branch  # refuses loops and parallel elements, naming both
    home = [bus_of(name) for name in network.nodes]
    feeding = _sections(network, home)
    source_bus = home[network.source_nodes[0]]
    source = next(b for b in network.branches if b.kind == "source")
    source_u = _source_u(network, source)
    z_source, _ratio = _equivalent(network, (source,))
    order: list[tuple[str, str, tuple[Branch, ...]]] = []
    if abs(z_source) > _NEGLIGIBLE_PU:
        order.append((source_bus, "", (source,)))
        source_bus = f"behind {source.name}"
    order += [(to, frm, found) for to, (frm, found) in feeding.items()]
    position = {to: j for j, (to, _, _) in enumerate(order)}
    z, ratio, rated, i_base = (np.zeros(len(order), dtype=t) for t in (complex, float, float, float))
    for j, (to, _frm, sections) in enumerate(order):
        z[j], ratio[j] = (z_source, 1.0) if sections[0].kind == "source" else _equivalent(network, sections)
        v_ln = network.v_base_v[network.nodes_of(to)[0]]
        i_base[j] = S_BASE_MVA * 1e6 / (3.0 * v_ln)
        rated[j] = min(b.i_rated_a * len(_phases(network, (b,))) / 3.0 for b in sections) * len(sections)
    z = np.where(np.abs(z) < _NEGLIGIBLE_PU, 0.0, z)
    loads = _bus_loads(network, home, position)
    return RadialFeeder(
        name=network.name,
        source_bus=source_bus,
        source_u_pu=source_u,
        buses=tuple(position),
        branches=tuple("+".join(b.name for b in found) for _, _, found in order),
        parent=np.array([position.get(frm, -1) for _, frm, _ in order], dtype=np.int64),
        r_pu=_rounded(z.real),
        x_pu=_rounded(z.imag),
        ratio=ratio,
        i_base_a=i_base,
        i_rated_a=rated,
        load_p_mw=loads[0],
        load_q_mvar=loads[1],
        load_g_pu=loads[2],
        load_b_pu=loads[3],
        shunt_b_pu=_bus_shunts(network, home, position),
        notes=_notes(network, feeding),
    )


def _rounded(part: Floats) -> Floats:
    """Without the 1e-20 that rounding leaves where there is no resistance or reactance."""
    return np.where(np.abs(part) < 1e-12, 0.0, part)


def _sections(network: Network, home: list[str]) -> dict[str, tuple[str, tuple[Branch, ...]]]:
    """bus -> (feeding bus, its branches), breadth first; single-phase units side by side together."""
    found: dict[str, tuple[str, tuple[Branch, ...]]] = {}
    for branch in network.branches:
        if branch.kind == "source":
            continue
        frm, to = home[branch.from_nodes[0]], home[branch.to_nodes[0]]
        already = found.get(to)
        if already and already[0] != frm:
            raise ModelError(
                f"Not radial as a balanced feeder: bus {to} is fed from {already[0]} through "
                f"{already[1][0].name} and from {frm} through {branch.name}.",
                "Open one of them: the branch flow model needs one feeding bus per bus.",
            )
        found[to] = (frm, (*(already[1] if already else ()), branch))
    placed = {home[network.source_nodes[0]]}
    ordered: dict[str, tuple[str, tuple[Branch, ...]]] = {}
    waiting = dict(found)
    while waiting:
        ready = [to for to, (frm, _) in waiting.items() if frm in placed]
        if not ready:
            raise ModelError(f"Bus {next(iter(waiting))} is not connected to the source of {network.name}.")
        for to in ready:
            ordered[to] = waiting.pop(to)
            placed.add(to)
    return ordered


def _phases(network: Network, sections: tuple[Branch, ...]) -> list[int]:
    return [phase_number(network.nodes[n]) for b in sections for n in b.to_nodes]


def _equivalent(network: Network, sections: tuple[Branch, ...]) -> tuple[complex, float]:
    """Series impedance in pu and voltage ratio of the branches between two buses."""
    k = len(_phases(network, sections))
    carried, ratios, v_base = 0.0 + 0.0j, [], 1.0
    for b in sections:
        angle = _TURN ** np.array([phase_number(network.nodes[n]) - 1 for n in b.to_nodes])
        carried += np.conj(angle) @ b.z_ohm @ angle
        v_base = float(network.v_base_v[b.to_nodes[0]])
        if b.kind != "source":
            entering = _TURN ** np.array([phase_number(network.nodes[n]) - 1 for n in b.from_nodes])
            no_load = b.transfer @ (entering * network.v_base_v[list(b.from_nodes)])
            ratios += list(np.abs(no_load) / network.v_base_v[list(b.to_nodes)])
    z_base = 3.0 * v_base**2 / (S_BASE_MVA * 1e6)
    return 3.0 / k**2 * carried / z_base, float(np.mean(ratios)) if ratios else 1.0


def _source_u(network: Network, source: Branch) -> float:
    phasors = source.transfer[:, 0] / network.v_base_v[list(source.to_nodes)]
    angle = _TURN ** np.arange(len(phasors))
    return float(abs(np.mean(phasors * np.conj(angle))) ** 2)


def _bus_loads(network: Network, home: list[str], position: dict[str, int]) -> tuple[Floats, ...]:
    """Constant and u-proportional part of the nominal load per bus, linearized at the base case in u = |V|^2.

    p(u) = p (Z u + I sqrt(u) + P), whose constant-current part is replaced by its tangent in u.
    """
    legs = network.loads
    out = tuple(np.zeros(len(position)) for _ in range(4))
    padded = np.append(network.v_solved_v, 0.0)
    across = np.abs(padded[legs.node_plus] - padded[legs.node_minus]) / legs.v_rated_v
    for leg, name in enumerate(legs.names):
        bus = home[max(legs.node_plus[leg], legs.node_minus[leg])]
        j = position.get(bus)
        if j is None:
            continue  # at the ideal source: it loads no branch
        u0 = float(across[leg]) ** 2
        base_u = (
            float(
                np.mean(
                    np.abs(network.v_solved_v[list(network.nodes_of(bus))])
                    / network.v_base_v[list(network.nodes_of(bus))]
                )
            )
            ** 2
        )
        if not np.isfinite(u0) or u0 <= 0 or base_u <= 0:
            raise ModelError(f"{name} has no voltage in the base case of {network.name}.")
        for rated, zip_, constant, slope in (
            (legs.p_kw[leg], legs.zip_p[leg], out[0], out[2]),
            (legs.q_kvar[leg], legs.zip_q[leg], out[1], out[3]),
        ):
            value = zip_[0] * u0 + zip_[1] * np.sqrt(u0) + zip_[2]
            per_u = (zip_[0] * u0 + 0.5 * zip_[1] * np.sqrt(u0)) / base_u
            slope[j] += rated * per_u / 1e3
            constant[j] += rated * (value - per_u * base_u) / 1e3
    return out


def _bus_shunts(network: Network, home: list[str], position: dict[str, int]) -> Floats:
    """Susceptance per bus in pu (Mvar injected at 1 pu), from capacitors and line charging."""
    b = np.zeros(len(position))

    def put(nodes: tuple[int, ...], y: NDArray[np.complex128]) -> None:
        if nodes and home[nodes[0]] in position:
            phases = np.array([phase_number(network.nodes[n]) - 1 for n in nodes])
            v = _TURN**phases * network.v_base_v[list(nodes)]
            b[position[home[nodes[0]]]] -= float(np.imag(v @ np.conj(y @ v))) / 1e6

    for shunt in network.shunts:
        put(shunt.nodes, shunt.y_s)
    for branch in network.branches:
        put(branch.from_nodes, branch.y_from_s)
        put(branch.to_nodes, branch.y_to_s)
    return b


def _notes(network: Network, feeding: dict[str, tuple[str, tuple[Branch, ...]]]) -> tuple[str, ...]:
    notes = []
    partial = sum(len(_phases(network, found)) < 3 for _, found in feeding.values())
    if partial:
        notes.append(
            f"{partial} of {len(feeding)} sections have fewer than three phases: the program "
            "works on the positive-sequence equivalent; the replay judges all phases."
        )
    if network.regulators:
        notes.append(
            f"{len(network.regulators)} regulators enter with the mean of their tap ratios and do "
            "not move in the program."
        )
    legs = network.loads
    if np.any(legs.zip_p[:, :2] != 0) or np.any(legs.zip_q[:, :2] != 0):
        notes.append("Voltage-dependent loads are linear in the squared voltage around the base case.")
    return tuple(notes)
