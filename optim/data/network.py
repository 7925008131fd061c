"""`Network`: the feeder as the linear models see it. Pure data, with its topology questions.

Index convention, obeyed by every array of the project: position *n* of a node array is `Network.nodes[n]`,
written "bus.phase" in lower case as OpenDSS names it ("83.1"). Position -1 in a node index means ground.
Sign convention of the project: power is positive into the network; loads are positive as consumption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optim.data.node import bus_of, phase_of
from optim.errors import ModelError

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Ints = NDArray[np.int64]

BranchKind = Literal["source", "line", "switch", "transformer", "regulator", "reactor", "capacitor"]


@dataclass(frozen=True)
class Branch:
    """One series element with its terminals seen as `from` (source side) and `to`.

    At no load V_to = transfer @ V_from, and V_to = transfer @ V_from - z_ohm @ I_to, volts and amperes,
    I_to flowing out of the branch at its to-side. A line has the identity as `transfer`, a regulator the
    diagonal of its tap ratios, a transformer whatever its windings make of it (delta-delta: the zero
    sequence removed). Shunt parts of the pi section are in `y_from_s`, `y_to_s`.
    """

    name: str
    """Full OpenDSS name, "Line.l115"."""
    kind: BranchKind
    from_nodes: tuple[int, ...]
    """(kf,) node indices; empty for the source, whose from-side is the ideal voltage."""
    to_nodes: tuple[int, ...]
    """(kt,) node indices."""
    transfer: Complexes
    """(kt, kf) no-load voltage transfer; for the source (kt, 1), the ideal phasors in volts."""
    z_ohm: Complexes
    """(kt, kt) series impedance referred to the to-side."""
    y_from_s: Complexes
    """(kf, kf) shunt admittance at the from-side."""
    y_to_s: Complexes
    """(kt, kt) shunt admittance at the to-side."""
    i_rated_a: float
    """Normal rating per phase at the to-side; inf where the feeder states none."""
    prim_nodes: tuple[int, ...] = ()
    y_prim_s: Complexes | None = None
    """Exact admittance of the whole element over `prim_nodes`: any connection, open conductors and floating
    sides included, which the two-port above leaves out. None: the two-port is exact (see `admittance`)."""

    @property
    def admittance(self) -> tuple[tuple[int, ...], Complexes]:
        """Nodes and the admittance between them (siemens), as network equations want it."""
        if self.y_prim_s is not None:
            return self.prim_nodes, self.y_prim_s
        y = np.linalg.inv(self.z_ohm)
        if self.kind == "source":
            return self.to_nodes, y + self.y_to_s
        from_from = self.transfer.T @ y @ self.transfer + self.y_from_s
        across = -y @ self.transfer
        whole = np.block([[from_from, across.T], [across, y + self.y_to_s]])
        return (*self.from_nodes, *self.to_nodes), whole


@dataclass(frozen=True)
class LoadLegs:
    """Every load, cut into legs between two nodes (or a node and ground). L legs.

    A three-phase wye load is three legs to ground (or to its neutral node); a delta load three legs between
    phases. Power of a leg at the voltage magnitude v across it, u = v / v_rated_v:
    p = p_kw * (zip_p @ [u**2, u, 1]), q likewise, inside the leg's [vmin_pu, vmax_pu]. Outside, OpenDSS turns
    the shares of constant current and power into impedances; see `optim.feeder.power_flow.leg_powers_kva`.
    """

    names: tuple[str, ...]
    """(L,) OpenDSS load name, "Load.s1a"; several legs may share it."""
    node_plus: Ints
    node_minus: Ints
    """(L,) -1 is ground."""
    p_kw: Floats
    q_kvar: Floats
    v_rated_v: Floats
    zip_p: Floats
    """(L, 3) shares of constant impedance, current, power; rows sum to 1, but for exponential loads, whose
    polynomial is exact at the base case's voltage and not at rated voltage."""
    zip_q: Floats
    vmin_pu: Floats
    vmax_pu: Floats
    vlow_pu: Floats | None = None
    """Below it a leg is its nominal impedance; None: 0.5 everywhere, OpenDSS's default."""
    outside_zip_p: Floats | None = None
    outside_zip_q: Floats | None = None
    """(L, 3) shares that take the place of `zip_p`, `zip_q` outside the band, where a load model changes its
    nature there (OpenDSS models 3 and 4: constant power); None: the same shares."""


@dataclass(frozen=True)
class Shunt:
    """A capacitor bank or shunt reactor as the admittance it is."""

    name: str
    nodes: tuple[int, ...]
    y_s: Complexes
    kvar: float
    """Rated kvar, positive capacitive."""


@dataclass(frozen=True)
class Regulator:
    """A tap changer under a RegControl, at the position at which the network was read."""

    name: str
    """Full OpenDSS name of the control, "RegControl.creg1a"."""
    transformer: str
    """Full OpenDSS name, "Transformer.reg1a"."""
    winding: int
    tap: int
    """Position in steps, 0 is neutral."""
    tap_ratio: float
    """Per-unit winding tap, 1 + tap * step."""
    tap_min: int
    tap_max: int


@dataclass(frozen=True)
class Head:
    """Where power enters what is studied: the terminal of a source, or of the element that heads a zone. S phases."""

    element: str
    """Full OpenDSS name, "Vsource.source"."""
    terminal: int
    """Counted from 0."""
    nodes: tuple[int, ...]
    """(S,) its conductors, ground left out."""
    phases: tuple[str, ...]
    """(S,) what its phases are called: their nodes, "sourcebus.1", or, where two heads stand at one bus,
    "Vsource.other.1"."""
    sign: float = 1.0
    """-1 where the power into the element at this terminal leaves what is studied (sources, far ends)."""


@dataclass(frozen=True)
class Network:
    """A compiled feeder. Nodes in OpenDSS's own order.

    >>> import hcsim
    >>> network = hcsim.Workbench.open("ieee33").network
    >>> len(network.buses), network.nodes[0].split(".")[1]
    (33, '1')
    """

    name: str
    nodes: tuple[str, ...]
    v_base_v: Floats
    """(N,) line-to-ground base."""
    v_reference: Ints
    """(N,) what a node's voltage is measured against, and a device at it stands against: -1 ground; else the index of
    another node of its bus: the neutral conductor where there is one, or another phase or leg where customers stand
    between them (ungrounded delta, centre-tapped service). `v_judged_base_v` is the base then."""
    v_judged: NDArray[np.bool_]
    """(N,) False where no limit applies (neutral conductors, nodes cut off)."""
    v_solved_v: Complexes
    """(N,) OpenDSS's voltages at the base case at which the network was read."""
    source_nodes: tuple[int, ...]
    """(S,) nodes at which power enters, head by head: those of every source, or of the head of a zone."""
    branches: tuple[Branch, ...]
    """Source first, then breadth-first from it: a branch stands after the branch that feeds it."""
    loads: LoadLegs
    shunts: tuple[Shunt, ...]
    regulators: tuple[Regulator, ...]
    coordinates: dict[str, tuple[float, float]] = field(default_factory=dict)
    """bus -> drawing coordinates, where the feeder has them."""
    source_sha256: str = ""
    """Hash over all files that were read."""
    v_judged_ratio: Floats | None = None
    """(N,) nominal judged voltage over `v_base_v`: 1 to ground or a neutral, the root of 3 between phases, 2 between
    the legs of a centre-tapped service. None: the root of 3 wherever a node is judged against another."""
    zone: str = ""
    """The EnergyMeter whose zone is studied; "" for the whole circuit."""
    zone_heads: tuple[Head, ...] = ()
    """Where the zone is fed; none for the whole circuit."""
    outside: NDArray[np.bool_] | None = None
    """(N,) nodes outside of the zone; None where there is none."""

    @cached_property
    def node_index(self) -> dict[str, int]:
        """Node-phase ("83.1") -> its place in `nodes`."""
        return {name: i for i, name in enumerate(self.nodes)}

    @cached_property
    def buses(self) -> tuple[str, ...]:
        """Names of the buses, in the order of the nodes."""
        return tuple(dict.fromkeys(bus_of(n) for n in self.nodes))

    @cached_property
    def v_judged_base_v(self) -> Floats:
        """(N,) base of the judged voltage."""
        if self.v_judged_ratio is not None:
            return self.v_judged_ratio * self.v_base_v
        return np.where(self.v_reference >= 0, np.sqrt(3.0), 1.0) * self.v_base_v

    @cached_property
    def between_phases(self) -> NDArray[np.bool_]:
        """(N,) judged between two phases or legs, and not to ground or a neutral."""
        return (self.v_reference >= 0) & (self.v_judged_base_v > 1.5 * self.v_base_v)

    @cached_property
    def heads(self) -> tuple[Head, ...]:
        """Every source, in the order of the branches, or what heads the zone."""
        if self.zone_heads:
            return self.zone_heads
        sources = [b for b in self.branches if b.kind == "source"]
        at = [n for b in sources for n in b.to_nodes]
        return tuple(
            Head(
                b.name,
                0,
                b.to_nodes,
                tuple(self.nodes[n] if at.count(n) == 1 else f"{b.name}.{phase_of(self.nodes[n])}" for n in b.to_nodes),
                -1.0,
            )
            for b in sources
        )

    @cached_property
    def head_phases(self) -> tuple[str, ...]:
        """(S,) names of the phases of all heads."""
        return tuple(phase for head in self.heads for phase in head.phases)

    @cached_property
    def judged_branches(self) -> tuple[tuple[int, int], ...]:
        """(B,) branch and position in its `to_nodes`: the branch-phases with a rating of their own, in order.

        Programs, replays and simulations judge these and no others.
        """
        return tuple(
            (b, i)
            for b, branch in enumerate(self.branches)
            if branch.kind != "source" and np.isfinite(branch.i_rated_a)
            for i in range(len(branch.to_nodes))
        )

    @cached_property
    def kv_base(self) -> Floats:
        """(N,) nominal line-to-line voltage in kV, as a feeder's voltage bases state it: what tells voltage levels."""
        found: Floats = np.sqrt(3.0) * self.v_base_v / 1e3
        return found

    def kv_of(self, nodes: Sequence[str]) -> Floats:
        """`kv_base` of the nodes named."""
        return self.kv_base[[self.node_index[name] for name in nodes]]

    def nodes_of(self, bus: str) -> tuple[int, ...]:
        """Node indices of a bus, phase order (phases 1-3 only)."""
        found = [(self.node_index[f"{bus}.{p}"]) for p in (1, 2, 3) if f"{bus}.{p}" in self.node_index]
        return tuple(found)

    def standing_places(self, bus: str) -> tuple[int, ...]:
        """The phases of a bus at which a device can stand, each pair of legs once, no grounded or neutral conductor."""
        places: list[int] = []
        for n in self.nodes_of(bus):
            other = int(self.v_reference[n])
            grounded = not self.v_judged[n] and abs(self.v_solved_v[n]) > 0 and n in self._stood_against
            if not grounded and not (other in places and self.v_reference[other] == n):
                places.append(n)
        return tuple(places)

    @cached_property
    def _stood_against(self) -> frozenset[int]:
        return frozenset(self.v_reference[self.v_reference >= 0].tolist())

    def judged_v_pu(self, v_v: Complexes) -> Floats:
        """Node phasors (..., N) in volts -> the magnitudes (..., N) in pu that limits speak of."""
        padded = np.concatenate([v_v, np.zeros((*v_v.shape[:-1], 1), dtype=complex)], axis=-1)
        found: Floats = np.abs(v_v - padded[..., self.v_reference]) / self.v_judged_base_v
        return found

    @cached_property
    def feeding_branch(self) -> Ints:
        """(N,) index of the branch whose to-side holds the node; -1 if none.

        Raises ModelError where two branches feed one node (a loop or parallel elements): the network is
        not radial, and neither LinDist3Flow nor a branch-flow model applies.
        """
        feeding = np.full(len(self.nodes), -1)
        for b, branch in enumerate(self.branches):
            for n in branch.to_nodes:
                if feeding[n] >= 0:
                    raise ModelError(
                        f"Not radial: node {self.nodes[n]} is fed by {self.branches[feeding[n]].name} and by "
                        f"{branch.name}.",
                        "Open one of them, or use the tangent linearization, which takes any topology.",
                    )
                feeding[n] = b
        return feeding

    def downstream_of(self, branch: int) -> tuple[int, ...]:
        """Node indices fed through a branch, itself included (radial networks)."""
        inside = set(self.branches[branch].to_nodes)
        for later in self.branches[branch + 1 :]:
            if inside.intersection(later.from_nodes):
                inside.update(later.to_nodes)
        return tuple(sorted(inside))
