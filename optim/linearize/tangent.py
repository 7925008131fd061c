"""Tangent model: solved operating points -> `LinearModel`, first order, exact at the point, any topology.

At a solution, currents balance at every node:  Y V + sum_legs E I_leg(E^T V) - E_s I_s = I_dev(V), and the
sources hold  V_s + Z_s I_s = w. A leg of voltage U and power S(|U|) draws I = conj(S / U), so that

    dI = a dU + b conj(dU),   a = conj(S') / (2 |U|),   b = a U / conj(U) - conj(S) / conj(U)^2,  S' = dS/d|U|.

A device injects constant power, the same with S' = 0 and the sign turned; its own step dS enters on the right
as conj(dS / V). With real and imaginary parts apart this is one sparse real system per point: one LU gives the
response of every voltage, source current and branch current to P and Q at every port. The source currents are
unknowns of their own because a stiff source turns voltage differences into noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from optim.data.linear_model import LinearModel
from optim.data.network import Complexes, Floats, Ints, LoadLegs, Network
from optim.data.node import phase_of
from optim.errors import ModelError
from optim.feeder.power_flow import leg_powers_at, leg_voltages_v
from optim.linearize.response import Frame, OperatingPoint, Response

Acting = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""(T, D) each: the ports at which a device can move active power, reactive power."""
FELT_KVA = 1e-3
"""A branch whose flow moves by less than this per kW or kvar at any port has no row: no device loads it."""


def linearize(
    network: Network,
    points: Sequence[OperatingPoint],
    times: tuple[str, ...],
    ports: tuple[str, ...],
    linearized_at: str = "the bare feeder's solution of each hour",
    *,
    branches: bool = True,
    acting: Acting | None = None,
) -> LinearModel:
    """One point per step -> LinearModel with voltage rows in pu and branch rows in kVA at base voltage.

    Branch rows: conj(I) V_base rotated to the node's angle at the point, at the to-side and positive away from
    the source, so that |row| / rating_kva is the loading; only rated branches that feel a port have rows, none
    where `branches` is False. A port that cannot act in a step, by `acting`, has no slopes there.
    Raises ModelError for a port without voltage.
    """
    index = network.node_index
    for name in ports:
        if name not in index or abs(points[0].v_v[index[name]]) < 1e-3 * network.v_base_v[index[name]]:
            raise ModelError(f"No energized node {name} in {network.name}: no device can stand there.")
    port_nodes = np.array([index[name] for name in ports], dtype=int)
    judged = np.flatnonzero(network.v_judged & (np.abs(points[0].v_v) > 0))
    always = np.ones((len(points), 2 * len(ports)), dtype=bool)
    able = always if acting is None else np.hstack(acting)
    frame = Frame(network, port_nodes)
    solved = [Response(frame, point, np.flatnonzero(able[t])) for t, point in enumerate(points)]
    flows = _FlowRows(network, branches)
    flows.keep(flows.felt(max(solved, key=lambda r: len(r.columns))))

    v_base, dv_dp, dv_dq = _stack(solved, [_voltage_rows(network, judged, r) for r in solved], len(ports))
    sub = [_substation_rows(network, r) for r in solved]
    p_sub = _stack(solved, [rows.real_part() for rows in sub], len(ports))
    q_sub = _stack(solved, [rows.imaginary_part() for rows in sub], len(ports))
    lost = _stack(solved, [_loss_rows(r) for r in solved], len(ports))
    moved = [flows.rows(r) for r in solved]
    p_flow = _stack(solved, [rows.real_part() for rows in moved], len(ports))
    q_flow = _stack(solved, [rows.imaginary_part() for rows in moved], len(ports))
    return LinearModel(
        times=times,
        nodes=tuple(network.nodes[n] for n in judged),
        ports=tuple(ports),
        voltage_kind="magnitude",
        v_base=v_base,
        dv_dp=dv_dp,
        dv_dq=dv_dq,
        substation_phases=network.head_phases,
        substation_base_kw=p_sub[0],
        substation_base_kvar=q_sub[0],
        dsub_p_dp=p_sub[1],
        dsub_p_dq=p_sub[2],
        dsub_q_dp=q_sub[1],
        dsub_q_dq=q_sub[2],
        losses_base_kw=lost[0][:, 0],
        dlosses_dp=lost[1][:, 0],
        dlosses_dq=lost[2][:, 0],
        linearized_at=linearized_at,
        assumptions=("first order around the operating point", "regulators and capacitors held where they stand there"),
        branches=flows.names,
        flow_base_kw=p_flow[0],
        flow_base_kvar=q_flow[0],
        dflow_p_dp=p_flow[1],
        dflow_p_dq=p_flow[2],
        dflow_q_dp=q_flow[1],
        dflow_q_dq=q_flow[2],
        rating_kva=flows.rating_kva,
        kv_base=network.kv_base[judged],
    )


@dataclass(frozen=True)
class _Rows:
    """Real or complex rows at the point (R,) with their derivatives (R, C) by the response's columns."""

    value: Complexes | Floats
    slope: Complexes | Floats

    def real_part(self) -> _Rows:
        return _Rows(self.value.real, self.slope.real)

    def imaginary_part(self) -> _Rows:
        return _Rows(self.value.imag, self.slope.imag)


# -- rows -------------------------------------------------------------------------------------------------


def _voltage_rows(network: Network, judged: Ints, r: Response) -> _Rows:
    """|V_n - V_ref| in pu: d|U| = Re(conj(U) dU) / |U|."""
    v = np.append(r.point.v_v, 0.0)
    slope = np.vstack([r.v_slope, np.zeros((1, r.v_slope.shape[1]))])
    reference = network.v_reference[judged]
    across, moved = v[judged] - v[reference], slope[judged] - slope[reference]
    base = network.v_judged_base_v[judged]
    size = np.maximum(np.abs(across), 1e-9)
    return _Rows(np.abs(across) / base, (np.conj(across)[:, None] * moved).real / (size * base)[:, None])


def _substation_rows(network: Network, r: Response) -> _Rows:
    """Power in at every head in kVA per phase: dS = dV conj(I) + V conj(dI)."""
    by_name = {b.name: b for b in network.branches}
    sources = [b for b in network.branches if b.kind == "source"]
    ends = np.cumsum([len(b.to_nodes) for b in sources])
    last = dict(zip((b.name for b in sources), ends.tolist(), strict=True))
    values, slopes = [], []
    for head in network.heads:
        nodes, found = list(head.nodes), by_name[head.element]
        if found.kind == "source":
            rows = slice(last[head.element] - len(nodes), last[head.element])
            i, di = r.source_a[rows], r.i_slope[rows]
        else:
            across, y = found.admittance
            y = r.point.admittance_of.get(head.element, y)[[across.index(n) for n in nodes]] * head.sign
            i, di = y @ r.point.v_v[list(across)], y @ r.v_slope[list(across)]
        v, dv = r.point.v_v[nodes], r.v_slope[nodes]
        values.append(v * np.conj(i) / 1e3)
        slopes.append((dv * np.conj(i)[:, None] + v[:, None] * np.conj(di)) / 1e3)
    return _Rows(np.concatenate(values), np.concatenate(slopes))


def _loss_rows(r: Response) -> _Rows:
    """Power lost in branches and shunts, sources left out, in kW: L = Re(V^H Y V), dL = Re(dV^H Y V + V^H Y dV)."""
    v = r.point.v_v
    i, back = r.y_s @ v, r.y_s.conj().T @ v
    slope = np.conj(r.v_slope).T @ i + r.v_slope.T @ np.conj(back)
    return _Rows(np.array([np.vdot(v, i).real]) / 1e3, slope.real[None, :] / 1e3)


class _FlowRows:
    """Branch currents at the to-side, as kVA at base voltage in the frame of the node's own angle."""

    def __init__(self, network: Network, wanted: bool) -> None:
        self._network = network
        self._rows = [(network.branches[b], i) for b, i in network.judged_branches] if wanted else []
        self._name()

    def keep(self, chosen: Ints) -> None:
        self._rows = [self._rows[k] for k in chosen]
        self._name()

    def _name(self) -> None:
        nodes, base = self._network.nodes, self._network.v_base_v
        self.names = tuple(f"{b.name}.{phase_of(nodes[b.to_nodes[i]])}" for b, i in self._rows)
        self.rating_kva = np.array([b.i_rated_a * base[b.to_nodes[i]] / 1e3 for b, i in self._rows])
        self._to = np.array([b.to_nodes[i] for b, i in self._rows], dtype=int)
        found = [b.admittance for b, _ in self._rows]
        self._at = [
            len(b.from_nodes) + i if b.y_prim_s is None else nodes.index(b.to_nodes[i])
            for (b, i), (nodes, _) in zip(self._rows, found, strict=True)
        ]
        """Row of each branch's admittance at its to-side."""
        self._first = np.concatenate([[0], np.cumsum([len(nodes) for nodes, _ in found])]).astype(int)
        if found:
            self._columns = np.concatenate([nodes for nodes, _ in found]).astype(int)
            # minus: out of the branch, away from the source
            self._values = -np.concatenate([y[at] for (_, y), at in zip(found, self._at, strict=True)])

    def felt(self, r: Response) -> Ints:
        moved = np.abs(self.rows(r).slope)
        return np.flatnonzero(moved.max(axis=1, initial=0.0) > FELT_KVA)

    def rows(self, r: Response) -> _Rows:
        if not self._rows:
            return _Rows(np.zeros(0, dtype=complex), np.zeros((0, r.v_slope.shape[1]), dtype=complex))
        n, values = len(r.point.v_v), self._values
        if r.point.admittance_of:
            values = values.copy()
            for k in [k for k, (branch, _) in enumerate(self._rows) if branch.name in r.point.admittance_of]:
                branch = self._rows[k][0]
                values[self._first[k] : self._first[k + 1]] = -r.point.admittance_of[branch.name][self._at[k]]
        current = sp.csr_array((values, self._columns, self._first), shape=(len(self._rows), n))
        to = self._to
        frame = r.point.v_v[to] / np.maximum(np.abs(r.point.v_v[to]), 1e-9) * self._network.v_base_v[to] / 1e3
        return _Rows(frame * np.conj(current @ r.point.v_v), frame[:, None] * np.conj(current @ r.v_slope))


def _stack(solved: Sequence[Response], rows: Sequence[_Rows], ports: int) -> tuple[Floats, Floats, Floats]:
    """Rows of every step -> values extrapolated to no device (T, R), slopes per kW and per kvar (T, R, D)."""
    slopes = np.zeros((len(solved), len(rows[0].value), 2 * ports))
    base = []
    for t, (response, row) in enumerate(zip(solved, rows, strict=True)):
        slopes[t][:, response.columns] = row.slope
        injected = np.concatenate([response.point.p_kw, response.point.q_kvar])[response.columns]
        base.append(row.value - row.slope @ injected)
    return np.array(base), slopes[:, :, :ports], slopes[:, :, ports:]


def unbalance_kva(network: Network, point: OperatingPoint) -> Floats:
    """(N,) kVA by which the currents of branches, loads, own devices and sources miss to balance at the point's
    voltages: zero where the network, with the point's taps, multipliers and powers, is what was solved. Devices at
    ports are not looked at."""
    frame = Frame(network, np.zeros(0, dtype=np.int64))
    loads, v_v = network.loads, point.v_v
    ideal_v = frame.ideal if point.ideal_v is None else point.ideal_v
    current = frame.admittance(point.admittance_of) @ v_v
    np.subtract.at(current, frame.at_source, frame.source_currents(v_v, ideal_v))
    across = leg_voltages_v(loads, v_v)
    dead = np.abs(across) < 1e-6 * loads.v_rated_v
    drawn_va = _served_va(loads, point, np.abs(across) / loads.v_rated_v)
    leg_a = np.where(dead, 0.0, np.conj(drawn_va / np.where(dead, 1.0, across)))
    for nodes, sign in ((loads.node_plus, 1.0), (loads.node_minus, -1.0)):
        at = nodes >= 0
        np.add.at(current, nodes[at], sign * leg_a[at])
    found: Floats = np.abs(v_v * np.conj(current)) / 1e3
    return found


def _served_va(loads: LoadLegs, point: OperatingPoint, u: Floats) -> Complexes:
    load_q_pu = point.load_pu if point.load_q_pu is None else point.load_q_pu
    kva = leg_powers_at(loads, u)
    served = kva.real * point.load_pu + 1j * kva.imag * load_q_pu
    return np.asarray(1e3 * (served if point.own_kva is None else served + point.own_kva))
