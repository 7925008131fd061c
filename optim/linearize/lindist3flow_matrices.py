"""LinDist3Flow: paper 1, eqs (1)-(2), for the phases that exist, with regulators, transformers and delta loads.

Derivation. Let w_n be the no-load phasor of node n: the source's ideal voltage carried down through every
branch's `transfer`; its angle is the node's nominal angle (on a positive-sequence feeder 0, -120, +120
degrees, behind a delta-wye transformer shifted by 30). Write V_n = w_n (1 + e_n), e small and complex, so that
|V|^2 = |w|^2 (1 + 2 Re e) to first order and Im e = theta is the angle beyond the nominal one. A branch gives
V_to = T V_from - Z I_to with I_psi = conj(S_psi / V_psi). With |V_phi| = |V_psi| in the drop and losses
neglected (the paper's assumptions) this is, with u_phi,psi = T_phi,psi w_psi / w_phi,

    v_to     = |w_to|^2 (Re u  v_from / |w_from|^2 - 2 Im u theta_from) - 2 (R P + X Q)
    theta_to = Re u theta_from + Im u v_from / (2 |w_from|^2) - (X P - R Q) / |w|^2
    R + jX   = gamma o Z,  gamma_phi,psi = exp(j (angle w_psi - angle w_phi))

The first line is eq. (1c); for positive sequence gamma = exp(j 2 pi / 3 (phi - psi)). For lines and regulators
u is the identity and the angle is not needed; delta windings and line-to-line voltages need it. An ideal
transformer passes power as S_from = u^T S_to.

Index convention: row r of every matrix here is a node of the network other than those cut off, in the order
in which branches feed them (source bus first); a node and the branch-phase that feeds it share the row.
Per unit: v in squared pu of the node's base, P and Q in MW and Mvar per phase, so R and X are pu on 1 MVA.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from optim.data.network import Branch, Complexes, Floats, Ints, Network
from optim.feeder.neutrals import without_neutrals
from optim.feeder.parallel import merge_parallel


@dataclass(frozen=True)
class LinDist3Flow:
    """The matrices of eq. (2):  A P - A_x Q = -p,  A Q + A_x P = -q,  A_v v + a_0 = 2 (D_r P + D_x Q).

    A is the paper's: +1 where the branch leaves the node, -1 where it enters; A_v is its transpose but for the
    transfer of regulators and transformers; A_x is zero without delta windings; a_0 = A_0 v_0 (R,).
    """

    node_rows: Ints
    """(R,) node index of each row."""
    nodes: tuple[str, ...]
    """(R,) node names; column r of A is the branch-phase that feeds node r."""
    branches: tuple[str, ...]
    """(R,) "Line.l115.1": feeding branch and phase."""
    a: sp.csr_array
    a_x: sp.csr_array
    a_v: sp.csr_array
    a_theta: sp.csr_array
    """Voltage transfer Im u (R, R), what one node's angle does to another's voltage; zero without delta windings."""
    a_0: Floats
    d_r: sp.csr_array
    d_x: sp.csr_array
    w_pu: Complexes
    """(N,) no-load phasors in pu of the node's base; 0 for nodes cut off."""
    source_rows: Ints
    """(S,) rows of the source bus."""


def matrices(network: Network) -> LinDist3Flow:
    """Network -> the matrices of eq. (2).

    Branches side by side count as one (`optim.feeder.parallel`). Raises ModelError where the network is not radial
    (Network.feeding_branch names the loop).
    """
    network = without_neutrals(merge_parallel(network))
    feeding = network.feeding_branch
    w_v = no_load_voltages(network)
    # small but for a few digits: neutrals and dead nodes carry no nominal angle
    live = np.abs(w_v) > 1e-3 * network.v_base_v
    rows_of_branch = [[n for n in b.to_nodes if live[n] and feeding[n] >= 0] for b in network.branches]
    node_rows = np.array([n for nodes in rows_of_branch for n in nodes], dtype=np.int64)
    row_of = np.full(len(network.nodes), -1)
    row_of[node_rows] = np.arange(len(node_rows))

    u, drop = Triplets(), Triplets()
    a_0 = np.zeros(len(node_rows))
    for branch in network.branches:
        to = [i for i, n in enumerate(branch.to_nodes) if row_of[n] >= 0]
        to_nodes = np.array([branch.to_nodes[i] for i in to], dtype=int)
        if not len(to_nodes):
            continue
        r_to = row_of[to_nodes]
        base_to = network.v_base_v[to_nodes]
        gamma_z = _rotated(branch.z_ohm[np.ix_(to, to)], w_v[to_nodes], w_v[to_nodes])
        drop.add(r_to, r_to, gamma_z * 1e6 / np.outer(base_to, base_to))  # a tertiary has a level of its own
        if branch.kind == "source":
            a_0[r_to] = np.abs(branch.transfer[to, 0]) ** 2 / base_to**2
            continue
        source = [i for i, n in enumerate(branch.from_nodes) if row_of[n] >= 0]
        from_nodes = np.array([branch.from_nodes[i] for i in source], dtype=int)
        transfer = branch.transfer[np.ix_(to, source)]
        u.add(r_to, row_of[from_nodes], transfer * w_v[from_nodes][None, :] / w_v[to_nodes][:, None])

    size = len(node_rows)
    identity = sp.eye_array(size, format="csr")
    carried, rotated = u.matrix(size), drop.matrix(size)
    carried.data = np.round(carried.data, 12)  # the ones of an incidence matrix, not 1 - 1e-16
    w_pu = np.where(live, w_v / network.v_base_v, 0.0)
    w2 = np.abs(w_pu[node_rows]) ** 2
    transfer_v = sp.diags_array(w2) @ carried.real @ sp.diags_array(1 / w2)
    return LinDist3Flow(
        node_rows=node_rows,
        nodes=tuple(network.nodes[n] for n in node_rows),
        branches=tuple(_branch_phase(network, feeding[n], n) for n in node_rows),
        a=sp.csr_array(carried.real.T - identity),
        a_x=_pruned(sp.csr_array(carried.imag.T)),
        a_v=sp.csr_array(transfer_v - identity),
        a_theta=_pruned(sp.csr_array(carried.imag)),
        a_0=a_0,
        d_r=sp.csr_array(rotated.real),
        d_x=sp.csr_array(rotated.imag),
        w_pu=w_pu,
        source_rows=row_of[np.array([n for n in _head_rows(network) if row_of[n] >= 0], dtype=int)],
    )


def _head_rows(network: Network) -> tuple[int, ...]:
    """Nodes whose feeding branch-phases carry what enters: those of the sources, or behind the head of a zone."""
    if not network.zone_heads:
        return network.source_nodes
    at = {b.name: b.to_nodes for b in network.branches}
    return tuple(n for head in network.zone_heads for n in at[head.element])


def no_load_voltages(network: Network) -> Complexes:
    """(N,) the source's ideal phasors carried down through every `transfer`, volts; 0 for nodes not reached."""
    w_v = np.zeros(len(network.nodes), dtype=complex)
    for branch in network.branches:
        to = np.array(branch.to_nodes, dtype=int)
        if branch.kind == "source":
            w_v[to] = branch.transfer[:, 0]
        elif np.all(w_v[to] == 0):
            w_v[to] = branch.transfer @ w_v[np.array(branch.from_nodes, dtype=int)]
    return w_v


def _rotated(z: Complexes, w_row: Complexes, w_column: Complexes) -> Complexes:
    """gamma o z with gamma = exp(j (angle w_column - angle w_row))."""
    unit_row, unit_column = w_row / np.abs(w_row), w_column / np.abs(w_column)
    return z * np.conj(unit_row)[:, None] * unit_column[None, :]


def _branch_phase(network: Network, branch: int, node: int) -> str:
    found: Branch = network.branches[branch]
    return f"{found.name}.{network.nodes[node].rsplit('.', 1)[1]}"


def _pruned(matrix: sp.csr_array) -> sp.csr_array:
    """Rounding residue of real transfers is not a coupling."""
    matrix.data[np.abs(matrix.data) < 1e-9] = 0.0
    matrix.eliminate_zeros()
    return matrix


class Triplets:
    """Collects dense blocks into a sparse complex matrix."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.int64]] = []
        self._columns: list[NDArray[np.int64]] = []
        self._values: list[Complexes] = []

    def add(self, rows: Ints, columns: Ints, block: Complexes) -> None:
        r, c = np.meshgrid(rows, columns, indexing="ij")
        self.add_pairs(r.ravel(), c.ravel(), block.ravel())

    def add_pairs(self, rows: Ints, columns: Ints, values: Complexes) -> None:
        self._rows.append(rows)
        self._columns.append(columns)
        self._values.append(values)

    def matrix(self, size: int) -> sp.csr_array:
        return self.matrix_of((size, size))

    def matrix_of(self, shape: tuple[int, int]) -> sp.csr_array:
        if not self._rows:
            return sp.csr_array(shape, dtype=complex)
        index = (np.concatenate(self._rows), np.concatenate(self._columns))
        return sp.csr_array((np.concatenate(self._values), index), shape=shape)
