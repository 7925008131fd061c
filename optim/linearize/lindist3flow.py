"""LinDist3Flow as a `LinearModel`: loads, devices, losses and judged voltages on its matrices.

Derivation and index convention: `optim.linearize.lindist3flow_matrices`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from optim.data.linear_model import LinearModel
from optim.data.network import Complexes, Floats, Network
from optim.data.profiles import Profiles
from optim.errors import ModelError
from optim.feeder.neutrals import without_neutrals
from optim.feeder.parallel import merge_parallel
from optim.linearize.lindist3flow_loads import leg_voltage, load_power
from optim.linearize.lindist3flow_matrices import LinDist3Flow, Triplets, matrices


def linearize(
    network: Network,
    profiles: Profiles,
    ports: tuple[str, ...],
    *,
    voltage_dependent_loads: bool = False,
    losses: bool = False,
    own_kva: Complexes | None = None,
    source_v_pu: Floats | None = None,
) -> LinearModel:
    """Network -> LinearModel over the profile's steps, with devices at `ports` ("bus.phase").

    `own_kva` (T, L) is what load legs draw besides, at constant power (machines and batteries that the feeder has of
    its own); `source_v_pu` (T,) the source's ideal voltage over that at which the network was read.

    Loads are at their nominal power and shunts at 1 pu, as in the paper, unless `voltage_dependent_loads`:
    then a ZIP load follows the squared voltage across it to first order around its rated voltage (angles as
    at no load), and a shunt the squared voltage of its node, exactly where it is wye-connected.
    `losses` (ours): losses and squared drops of the feeder without devices stand in the base, from the model's
    own flows; sensitivities stay lossless. Without it they are neglected, as in the paper.
    Raises ModelError for a port that the network does not have or does not reach.
    """
    network = without_neutrals(merge_parallel(network))
    m = matrices(network)
    row_of = {name: r for r, name in enumerate(m.nodes)}
    missing = [p for p in ports if p not in row_of]
    if missing:
        raise ModelError(f"No energized node {missing[0]} in {network.name}: no device can stand there.")
    size = len(m.nodes)
    load = load_power(network, m.node_rows, m.w_pu, voltage_dependent_loads)
    shunt_fixed, shunt_slope = _shunt_power(network, m, voltage_dependent_loads)
    injection = np.zeros((4 * size, 2 * len(ports)))
    for d, (row, share) in _port_shares(network, m, ports):
        # S = p + jq times the share: a device between two phases, as a delta leg
        injection[row, [d, len(ports) + d]] += -1e-3 * share.real, 1e-3 * share.imag
        injection[size + row, [d, len(ports) + d]] += -1e-3 * share.imag, -1e-3 * share.real

    own = _fixed_injections(profiles, row_of)
    load_p_pu, load_q_pu = profiles.legs_pu(len(network.loads.names))
    source_pu = np.ones(len(profiles)) if source_v_pu is None else source_v_pu
    base = np.zeros((len(profiles), 4 * size))
    response = []
    factor: spla.SuperLU | None = None
    for t in range(len(profiles)):
        if factor is None or voltage_dependent_loads:
            factor = spla.splu(_system(m, load.slope(load_p_pu[t], load_q_pu[t]) + shunt_slope))
            response.append(factor.solve(injection))
        besides = 0.0 if own_kva is None else load.share @ (own_kva[t] / 1e3)
        demand = load.fixed(load_p_pu[t], load_q_pu[t]) + shunt_fixed + besides - own[t]
        a_0 = m.a_0 * source_pu[t] ** 2
        base[t] = factor.solve(np.concatenate([demand.real, demand.imag, a_0, np.zeros(size)]))
        for _ in range(LOSS_PASSES if losses else 0):
            lost, squared_drop = _losses(m, base[t])
            more = demand + lost
            base[t] = factor.solve(np.concatenate([more.real, more.imag, a_0 - squared_drop, np.zeros(size)]))
    x = np.stack(response)  # (T or 1, 4 size, 2 D): rows P, Q, v, theta; columns dp, dq per kW and kvar
    d = len(ports)
    judged, judged_names = _judged_rows(network, m)
    source = m.source_rows
    return LinearModel(
        times=profiles.times,
        nodes=judged_names,
        ports=tuple(ports),
        voltage_kind="squared",
        v_base=base[:, 2 * size :] @ judged.T,
        dv_dp=_rows(judged, x[:, 2 * size :, :d]),
        dv_dq=_rows(judged, x[:, 2 * size :, d:]),
        substation_phases=network.head_phases,
        substation_base_kw=base[:, source] * 1e3,
        substation_base_kvar=base[:, size + source] * 1e3,
        dsub_p_dp=x[:, source, :d] * 1e3,
        dsub_p_dq=x[:, source, d:] * 1e3,
        dsub_q_dp=x[:, size + source, :d] * 1e3,
        dsub_q_dq=x[:, size + source, d:] * 1e3,
        linearized_at="flat voltage profile, taps as read",
        assumptions=(
            "losses those of the feeder without devices" if losses else "losses neglected",
            "phase angles and voltage ratios between phases as at no load",
            "loads follow voltage to first order" if voltage_dependent_loads else "loads at nominal power",
            "regulators locked at the positions at which the feeder was read",
        ),
        branches=m.branches,
        flow_base_kw=base[:, :size] * 1e3,
        flow_base_kvar=base[:, size : 2 * size] * 1e3,
        dflow_p_dp=x[:, :size, :d] * 1e3,
        dflow_p_dq=x[:, :size, d:] * 1e3,
        dflow_q_dp=x[:, size : 2 * size, :d] * 1e3,
        dflow_q_dq=x[:, size : 2 * size, d:] * 1e3,
        rating_kva=_ratings_kva(network, m),
        kv_base=network.kv_of(judged_names),
    )


LOSS_PASSES = 4
"""Each pass takes losses at the flows of the one before; they settle by their share of the load per pass."""


def _losses(m: LinDist3Flow, state: Floats) -> tuple[Complexes, Floats]:
    """Flows and voltages [P, Q, v, theta] -> (demand of the losses at the feeding nodes (R,) MVA, |Z I|^2 (R,) pu).

    In the frame of each node's nominal angle I = conj(S) / |V| and Z I = (R + jX) I; a phase loses
    (Z I) conj(I) between its ends, on top of what arrives, and |V_to|^2 = |V_from|^2 - 2 (R P + X Q) - |Z I|^2.
    |V| is the mean over a branch's phases: with one each, currents of a delta would no longer sum to zero.
    """
    size = len(m.nodes)
    power, v = state[:size] + 1j * state[size : 2 * size], np.maximum(state[2 * size : 3 * size], 1e-3)
    _, branch = np.unique([name.rsplit(".", 1)[0] for name in m.branches], return_inverse=True)
    mean = np.bincount(branch, np.sqrt(v)) / np.bincount(branch)
    current = np.conj(power) / mean[branch]
    drop = (m.d_r + 1j * m.d_x) @ current
    to_feeding_node = m.a + sp.eye_array(size) + 1j * m.a_x
    return to_feeding_node @ (drop * np.conj(current)), np.abs(drop) ** 2


# -- pieces of the derivation ---------------------------------------------------------------------------


def _port_shares(
    network: Network, m: LinDist3Flow, ports: tuple[str, ...]
) -> Iterator[tuple[int, tuple[int, complex]]]:
    """Port, row and the share of its power that is drawn there: all at its node, or, where it stands against another
    phase, the shares of a delta leg."""
    row_of = {int(n): r for r, n in enumerate(m.node_rows)}
    w_v = m.w_pu * network.v_base_v
    for d, port in enumerate(ports):
        i = network.node_index[port]
        j = int(network.v_reference[i])
        if j not in row_of:
            yield d, (row_of[i], 1.0 + 0.0j)
            continue
        across = w_v[i] - w_v[j]
        yield d, (row_of[i], complex(w_v[i] / across))
        yield d, (row_of[j], complex(-w_v[j] / across))


def _fixed_injections(profiles: Profiles, row_of: dict[str, int]) -> Floats:
    """(T, rows) in MW."""
    own = np.zeros((len(profiles), len(row_of)))
    for curve in profiles.fixed:
        if curve.node not in row_of:
            raise ModelError(f"No energized node {curve.node}: nothing can feed in or draw there.")
        own[:, row_of[curve.node]] += curve.p_kw / 1e3
    return own


def _system(m: LinDist3Flow, slope: sp.csr_array) -> sp.csc_array:
    """[P, Q, v, theta] -> right-hand sides of (2a), (2b), (2c) and of the angle equation.

    `slope` (R, R) is d(demand)/dv, complex MVA.
    """
    w2 = sp.diags_array(np.abs(m.w_pu[m.node_rows]) ** 2)
    per_w2 = sp.diags_array(1 / np.abs(m.w_pu[m.node_rows]) ** 2)
    carried = m.a.T + sp.eye_array(len(m.nodes))
    return sp.csc_array(
        sp.block_array(
            [
                [-m.a, m.a_x, -slope.real, None],
                [-m.a_x, -m.a, -slope.imag, None],
                [2 * m.d_r, 2 * m.d_x, -m.a_v, 2 * w2 @ m.a_theta],
                [per_w2 @ m.d_x, -per_w2 @ m.d_r, -0.5 * m.a_theta @ per_w2, sp.eye_array(len(m.nodes)) - carried],
            ]
        )
    )


def _shunt_power(network: Network, m: LinDist3Flow, voltage_dependent: bool) -> tuple[Complexes, sp.csr_array]:
    """Capacitors, reactors and line charging -> demand in MVA at 1 pu, or as slope on the node's own v."""
    size = len(m.nodes)
    row_of = np.full(len(network.nodes), -1)
    row_of[m.node_rows] = np.arange(size)
    unit = np.where(m.w_pu == 0, 0.0, np.exp(1j * np.angle(m.w_pu))) * network.v_base_v
    demand = np.zeros(size, dtype=complex)
    admittances = [(s.nodes, s.y_s) for s in network.shunts]
    for branch in network.branches:
        admittances += [(branch.from_nodes, branch.y_from_s), (branch.to_nodes, branch.y_to_s)]
    for nodes, y_s in admittances:
        n = np.array(list(nodes), dtype=int)
        if not n.size or not np.any(y_s):
            continue
        power = unit[n] * np.conj(y_s @ unit[n]) / 1e6
        at = row_of[n] >= 0
        np.add.at(demand, row_of[n][at], power[at])
    if voltage_dependent:
        return np.zeros(size, dtype=complex), sp.csr_array(sp.diags_array(demand))
    return demand, sp.csr_array((size, size), dtype=complex)


def _judged_rows(network: Network, m: LinDist3Flow) -> tuple[sp.csr_array, tuple[str, ...]]:
    """(J, 2R) rows on [v, theta] that give the squared judged voltages, and their names."""
    size = len(m.nodes)
    row_of = np.full(len(network.nodes) + 1, -1)
    row_of[m.node_rows] = np.arange(size)
    w_v = np.append(m.w_pu * network.v_base_v, 0.0)
    chosen = np.array([n for n in m.node_rows if network.v_judged[n]], dtype=int)
    reference = network.v_reference[chosen]
    base_v = np.append(network.v_base_v, 0.0)
    triplets = Triplets()
    for node, on_v, on_theta in leg_voltage(chosen, reference, w_v, base_v, network.v_judged_base_v[chosen]):
        columns = row_of[node]
        at = np.flatnonzero(columns >= 0)
        triplets.add_pairs(at, columns[at], on_v[at].astype(complex))
        triplets.add_pairs(at, size + columns[at], on_theta[at].astype(complex))
    rows = triplets.matrix_of((len(chosen), 2 * size)).real
    return sp.csr_array(rows), tuple(network.nodes[n] for n in chosen)


def _rows(judged: sp.csr_array, x: Floats) -> Floats:
    return np.stack([judged @ each for each in x])


def _ratings_kva(network: Network, m: LinDist3Flow) -> Floats:
    feeding = network.feeding_branch
    amperes = np.array([network.branches[feeding[n]].i_rated_a for n in m.node_rows])
    return amperes * network.v_base_v[m.node_rows] / 1e3
