"""Our own nonlinear power flow of a `Network`: any topology, any connection, voltage-dependent loads.

The equations are Y V = I_source + I_loads(V), solved by the fixed point that OpenDSS uses: the loads' nominal
impedance stands in Y, the rest of their current on the right (R. C. Dugan, "The Open Distribution System
Simulator"). It shows whether the network that we have read is the network that OpenDSS solves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from optim.data.network import LoadLegs, Network
from optim.errors import ModelError

Complexes = NDArray[np.complex128]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PowerFlow:
    v_v: Complexes
    """(N,) node-to-ground phasors; zero at nodes without any connection to a source."""
    leg_kva: Complexes
    """(L,) consumption of each load leg."""
    source_kva: Complexes
    """(S,) power from every source into the feeder, per phase, source by source."""
    iterations: int


def admittance(network: Network) -> sparse.csc_array:
    """(N, N) siemens: sources' internal, branches and shunts; no loads."""
    parts = [b.admittance for b in network.branches] + [(s.nodes, s.y_s) for s in network.shunts]
    sizes = [len(nodes) for nodes, _ in parts]
    rows = np.concatenate([np.repeat(nodes, k) for (nodes, _), k in zip(parts, sizes, strict=True)])
    columns = np.concatenate([np.tile(nodes, k) for (nodes, _), k in zip(parts, sizes, strict=True)])
    values = np.concatenate([y.ravel() for _, y in parts])
    n = len(network.nodes)
    return sparse.csc_array((values, (rows.astype(int), columns.astype(int))), shape=(n, n))


def source_currents_a(network: Network) -> Complexes:
    """(N,) Norton currents of all sources."""
    currents = np.zeros(len(network.nodes), dtype=complex)
    for branch in network.branches:
        if branch.kind == "source":
            currents[list(branch.to_nodes)] += np.linalg.solve(branch.z_ohm, branch.transfer[:, 0])
    return currents


def leg_voltages_v(loads: LoadLegs, v_v: Complexes) -> Complexes:
    """(N,) node phasors -> (L,) phasors across the legs."""
    grounded = np.append(v_v, 0.0)
    found: Complexes = grounded[loads.node_plus] - grounded[loads.node_minus]
    return found


def leg_powers_kva(loads: LoadLegs, v_v: Complexes) -> Complexes:
    """(N,) node phasors -> (L,) consumption in kW + j kvar.

    With u the leg's voltage in pu of its rating: inside [vmin, vmax] the ZIP polynomial. Above, the shares of
    constant current and power are the impedances that they are at vmax. Between vlow and vmin their current
    falls linearly to that of the nominal impedance, which holds below vlow. (OpenDSS, Load: vminpu, vmaxpu,
    vlowpu.)
    """
    return leg_powers_at(loads, np.abs(leg_voltages_v(loads, v_v)) / loads.v_rated_v)


def leg_powers_at(loads: LoadLegs, u: Floats) -> Complexes:
    """`leg_powers_kva` at the magnitudes u (L,) in pu of the legs' ratings."""
    relative = _relative_powers(loads, u)
    zip_p, zip_q = loads.zip_p, loads.zip_q
    outside = ((u <= loads.vmin_pu) | (u > loads.vmax_pu))[:, None]
    if loads.outside_zip_p is not None and loads.outside_zip_q is not None:
        zip_p = np.where(outside, loads.outside_zip_p, zip_p)
        zip_q = np.where(outside, loads.outside_zip_q, zip_q)
    inside = loads.p_kw * (zip_p * relative).sum(axis=1) + 1j * loads.q_kvar * (zip_q * relative).sum(axis=1)
    return np.where(u <= _vlow(loads), (loads.p_kw + 1j * loads.q_kvar) * u**2, inside)


def solve(network: Network, *, tolerance: float = 1e-9, max_iterations: int = 500) -> PowerFlow:
    """The base case of the network. Raises ModelError if it does not converge.

    `tolerance` bounds the largest change of a judged voltage in the last iteration, relative to its base: the
    common mode of floating nodes, held by next to nothing, never comes to rest.
    """
    loads = network.loads
    y_legs = (loads.p_kw - 1j * loads.q_kvar) * 1e3 / loads.v_rated_v**2
    incidence = _incidence(loads, len(network.nodes))
    y = (admittance(network) + incidence.T @ sparse.diags_array(y_legs) @ incidence).tocsc()
    live = _live(network, y)
    factors = splu(y[live][:, live].tocsc())
    fixed = source_currents_a(network)
    base = np.where(network.v_base_v > 0, network.v_base_v, np.inf)
    v = np.zeros(len(network.nodes), dtype=complex)
    v[live] = factors.solve(fixed[live])
    for iteration in range(1, max_iterations + 1):
        across = leg_voltages_v(loads, v)
        safe = np.where(np.abs(across) > 0, across, 1.0)
        drawn = np.conj(leg_powers_kva(loads, v) * 1e3 / safe)
        right = fixed + incidence.T @ (y_legs * across - drawn)
        new = np.zeros_like(v)
        new[live] = factors.solve(right[live])
        moved = np.append(new - v, 0.0)
        change = float(np.max(np.abs(moved[:-1] - moved[network.v_reference]) / base, initial=0.0))
        v = new
        if not np.isfinite(change):
            break
        if change < tolerance:
            return PowerFlow(v, leg_powers_kva(loads, v), _source_kva(network, v), iteration)
    raise ModelError(f"The network {network.name} does not converge in {max_iterations} iterations.")


def _source_kva(network: Network, v_v: Complexes) -> Complexes:
    every = []
    for source in (b for b in network.branches if b.kind == "source"):
        at = v_v[list(source.to_nodes)]
        current = np.linalg.solve(source.z_ohm, source.transfer[:, 0] - at)
        every.append(at * np.conj(current) / 1e3)
    return np.concatenate(every)


def _relative_powers(loads: LoadLegs, u: Floats) -> Floats:
    """(L, 3) power at u, relative to rated, of a share of constant impedance, current and power."""
    vmin, vmax, vlow = loads.vmin_pu, loads.vmax_pu, _vlow(loads)
    high, low = u > vmax, u <= vmin
    way = (u - vlow) / np.where(vmin > vlow, vmin - vlow, 1.0)
    inverse_vmin = 1.0 / np.where(vmin > 0, vmin, 1.0)
    finite_vmax = np.where(np.isfinite(vmax), vmax, 1.0)
    current = np.where(low, u * (vlow + (1.0 - vlow) * way), np.where(high, u**2 / finite_vmax, u))
    falling = u * (vlow + (inverse_vmin - vlow) * way)
    power = np.where(low, falling, np.where(high, u**2 / finite_vmax**2, 1.0))
    return np.stack([u**2, current, power], axis=1)


def _vlow(loads: LoadLegs) -> Floats:
    return np.full(len(loads.names), 0.5) if loads.vlow_pu is None else loads.vlow_pu


def _incidence(loads: LoadLegs, n: int) -> sparse.csr_array:
    """(L, N): +1 at a leg's plus node, -1 at its minus node."""
    legs = np.arange(len(loads.names))
    plus, minus = loads.node_plus >= 0, loads.node_minus >= 0
    rows = np.concatenate([legs[plus], legs[minus]])
    columns = np.concatenate([loads.node_plus[plus], loads.node_minus[minus]])
    values = np.concatenate([np.ones(plus.sum()), -np.ones(minus.sum())])
    return sparse.csr_array((values, (rows, columns)), shape=(len(legs), n))


def _live(network: Network, y: sparse.csc_array) -> NDArray[np.bool_]:
    """(N,) nodes with any electrical path to a source."""
    _, label = connected_components(y != 0, directed=False)
    sources = [n for b in network.branches if b.kind == "source" for n in b.to_nodes]
    return np.isin(label, label[sources])
