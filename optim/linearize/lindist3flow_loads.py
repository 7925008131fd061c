"""LinDist3Flow's loads: what stands at which row, and how it follows the squared voltage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from optim.data.network import Complexes, Floats, Ints, Network
from optim.linearize.lindist3flow_matrices import Triplets


@dataclass(frozen=True)
class LoadPower:
    """Demand of the loads by row, in MVA, as their legs' multipliers make it."""

    share: sp.csr_array
    """(R, L) which part of a leg's power stands at a row."""
    fixed_mva: Complexes
    """(L,) at multiplier 1."""
    slope_mva: Complexes
    """(L,) per squared pu across the leg."""
    weight: sp.csr_array
    """(L, R) squared voltage across the leg per squared voltage of a row."""

    def fixed(self, p_pu: Floats, q_pu: Floats) -> Complexes:
        """(R,)"""
        return np.asarray(self.share @ (self.fixed_mva.real * p_pu + 1j * self.fixed_mva.imag * q_pu))

    def slope(self, p_pu: Floats, q_pu: Floats) -> sp.csr_array:
        """(R, R) per squared pu."""
        legs = self.slope_mva.real * p_pu + 1j * self.slope_mva.imag * q_pu
        return self.share @ sp.diags_array(legs) @ self.weight


def load_power(network: Network, node_rows: Ints, w_pu: Complexes, voltage_dependent: bool) -> LoadPower:
    """Loads -> their demand by row, delta legs split exactly.

    A leg between nodes i and j draws S = V_ij conj(I): its share at i is S w_i / (w_i - w_j), at j
    -S w_j / (w_i - w_j). `node_rows` (R,) is the node of each row, `w_pu` (N,) the no-load phasors.
    """
    size = len(node_rows)
    row_of = np.full(len(network.nodes) + 1, -1)
    row_of[node_rows] = np.arange(size)
    w_v = np.append(w_pu * network.v_base_v, 0.0)
    legs = network.loads
    i, j = legs.node_plus, legs.node_minus
    across = w_v[i] - w_v[j]
    dead = np.abs(across) < 1e-3 * legs.v_rated_v  # a load on a node cut off: served nothing, by the ledger
    across = np.where(dead, 1.0, across)
    s = np.where(dead, 0.0, (legs.p_kw + 1j * legs.q_kvar) / 1e3)
    fixed_part, slope_part = s, np.zeros_like(s)
    if voltage_dependent:
        shares_p, shares_q = legs.zip_p, legs.zip_q
        fixed_part = s.real * (shares_p[:, 1] / 2 + shares_p[:, 2]) + 1j * s.imag * (
            shares_q[:, 1] / 2 + shares_q[:, 2]
        )
        slope_part = s.real * (shares_p[:, 0] + shares_p[:, 1] / 2) + 1j * s.imag * (
            shares_q[:, 0] + shares_q[:, 1] / 2
        )
    leg = np.arange(len(s))
    share, weights = Triplets(), Triplets()
    for node, part in ((i, w_v[i] / across), (j, -w_v[j] / across)):
        at = (row_of[node] >= 0) & ~dead
        share.add_pairs(row_of[node][at], leg[at], part.astype(complex)[at])
    if voltage_dependent:
        base_v = np.append(network.v_base_v, 0.0)
        for other, weight, _ in leg_voltage(i, j, w_v, base_v, legs.v_rated_v):
            at = row_of[other] >= 0
            weights.add_pairs(leg[at], row_of[other][at], weight.astype(complex)[at])
    return LoadPower(share.matrix_of((size, len(s))), fixed_part, slope_part, weights.matrix_of((len(s), size)))


def leg_voltage(
    i: Ints, j: Ints, w_v: Complexes, w_base_v: Floats, v_rated_v: Floats
) -> list[tuple[Ints, Floats, Floats]]:
    """Squared voltage across legs in pu of v_rated_v, first order: (node, weight on v, weight on theta) twice.

    With a = w_i / (w_i - w_j) and b = -w_j / (w_i - w_j):
    v = |w_ij|^2 (Re a v_i / |w_i|^2 + Re b v_j / |w_j|^2 - 2 Im a theta_i - 2 Im b theta_j).
    """
    across = w_v[i] - w_v[j]
    safe = np.where(across == 0, 1.0, across)
    size2 = (np.abs(across) / v_rated_v) ** 2
    parts = []
    for node, share in ((i, w_v[i] / safe), (j, -w_v[j] / safe)):
        own2 = np.abs(w_v[node] / np.where(w_base_v[node] == 0, 1.0, w_base_v[node])) ** 2
        on_v = size2 * share.real / np.where(own2 == 0, 1.0, own2)
        parts.append((node, on_v, -2.0 * size2 * share.imag))
    return parts
