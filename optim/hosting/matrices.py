"""The program with everything decided, as matrices: where its variables stand, its bounds, and its rows.

In MW and pu. Rows of the linear model join as a solution breaks them (`Matrices.broken`).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from optim.data.linear_model import Floats
from optim.errors import ModelError
from optim.hosting.limit_rows import LOADING_TOLERANCE, NEGLIGIBLE, V_TOLERANCE_PU, applied
from optim.hosting.problem import CEILING_MW, HostingProblem
from optim.hosting.program import reactive_share
from optim.solve.linear import INF, Rows

AT_ONCE = 6
"""Limit rows per step and kind that join in one go: the worst nodes stand for their neighbours."""


@dataclass
class Columns:
    """Where the variables stand."""

    steps: int
    sites: int
    converters: int
    units: int
    elastic: bool
    spread: bool
    count: int = field(init=False)

    def __post_init__(self) -> None:
        t, g = self.steps, self.sites
        self.up, self.down = g, g + t * g
        self.power = g + 2 * t * g  # of converters, up from where it begins, and down
        self.less = self.power + t * self.converters
        self.energy = self.less + t * self.converters
        self.overstep = self.energy + (t + 1) * self.units
        self.served = self.overstep + (4 * t if self.elastic else 0)  # z of a spread objective
        self.count = self.served + (1 if self.spread else 0)


class Matrices:
    """Of one problem, whose fleet has sites and statuses."""

    def __init__(self, problem: HostingProblem) -> None:
        fleet = problem.fleet
        if fleet is not None and (problem.charging is None or fleet.chooses_sites):
            raise ModelError("A unit without site or status: this program decides neither.")
        self.problem, self.model = problem, problem.model
        self.converters = fleet.converters if fleet else []
        steps, self.sites = len(problem.profiles), len(problem.pv_nodes)
        units = len(fleet.units) if fleet else 0
        self.at = Columns(
            steps,
            self.sites,
            len(self.converters),
            units,
            problem.elastic_kw_per_pu is not None,
            problem.spread is not None,
        )
        port = {name: d for d, name in enumerate(self.model.ports)}
        self._at_pv = np.array([port[g] for g in problem.pv_nodes], dtype=int)
        self._at_bess = np.array([port[n] for _, n in self.converters], dtype=int)
        self._of = np.array([u for u, _ in self.converters], dtype=int)
        charging = np.zeros((steps, units)) if problem.charging is None else np.round(problem.charging)
        self.sign = np.where(charging[:, self._of] > 0.5, -1.0, 1.0)  # (T, C), positive into the network
        self.rated = np.zeros(self.sign.shape)
        """(T, C) MW in the direction that the status has."""
        for c, (u, _) in enumerate(self.converters):
            assert fleet is not None
            rated = fleet.phase_mw(u)
            self.rated[:, c] = np.where(self.sign[:, c] < 0, rated, fleet.units[u].eta_discharge * rated)
        square = self.model.voltage_kind == "squared"
        high, low = problem.voltage_ceiling(), problem.voltage_floor()
        self.high, self.low = (high**2, low**2) if square else (high, low)
        self.v_unit = 2.0 if square else 1.0
        self._floor_kw, self._rating = problem.substation_floor_kw(), problem.loading_ceiling_kva()
        self.written: set[Hashable] = set()
        q_from = np.zeros((steps, len(self.model.ports)))
        if problem.trust is not None:
            q_from[:, self._at_pv] = problem.trust.q_kvar
        self._p_from = np.zeros(self.sign.shape)
        """(T, C) MW from which converters' power moves up and down, in the direction that their status has."""
        p_from = np.zeros_like(q_from)
        if problem.trust is not None:
            still = np.zeros(steps)
            center = [problem.trust.bess_p_kw.get(node, still) for _, node in self.converters]
            if center:
                self._p_from = np.maximum(self.sign * np.array(center).T / 1e3, 0.0)
                np.add.at(p_from.T, self._at_bess, 1e3 * (self.sign * self._p_from).T)
        self._from = (p_from, q_from)
        """(T, D) kW and kvar at every port from which moves are counted."""
        self._r = problem.sun
        self._q_from = np.zeros((steps, self.sites)) if problem.trust is None else problem.trust.q_kvar / 1e3
        """(T, G) MVAr from which reactive power moves up and down."""

    def bounds(self) -> tuple[Floats, Floats]:
        at, p, steps = self.at, self.problem, self.at.steps
        lower, upper = np.zeros(at.count), np.full(at.count, INF)
        upper[: at.sites] = CEILING_MW
        upper[at.up : at.power] = CEILING_MW
        power = self.rated
        if p.fleet:
            energy = np.array([u.energy_kwh / 1e3 for u in p.fleet.units])
            least, most = (np.array([getattr(u, k) for u in p.fleet.units]) for k in ("soc_min", "soc_max"))
            lower[at.energy : at.overstep] = np.tile(least * energy, steps + 1)
            upper[at.energy : at.overstep] = np.tile(most * energy, steps + 1)
        less = np.zeros_like(power)
        if trust := p.trust:
            share = np.ones(steps) if trust.share is None else trust.share
            lower[: at.sites] = np.maximum(trust.pv_kw - trust.pv_radius_kw, 0.0) / 1e3
            upper[: at.sites] = (trust.pv_kw + trust.pv_radius_kw) / 1e3
            upper[at.up : at.power] = np.tile(np.repeat(share * trust.q_radius_kvar / 1e3, self.sites), 2)
            radius = share[:, None] * trust.bess_radius_kw / 1e3
            less = np.minimum(radius, self._p_from)
            power = np.clip(power - self._p_from, 0.0, radius)
        upper[at.power : at.energy] = np.concatenate([power.ravel(), less.ravel()])
        return lower, upper

    def structure(self) -> list[Rows]:
        at, p, steps, sites = self.at, self.problem, self.at.steps, self.sites
        share = reactive_share(p).ravel()
        n = steps * sites
        rows = np.arange(n)
        columns = np.concatenate([at.up + rows, at.down + rows, np.tile(np.arange(sites), steps)])
        found = []
        # from nothing, reactive power has the size q+ + q-; from elsewhere a row for each sign of it
        for up, down, name in (
            ((1.0, 1.0, "inverter"),) if p.trust is None else ((1.0, -1.0, "gives"), (-1.0, 1.0, "takes"))
        ):
            values = np.concatenate([np.full(n, up), np.full(n, down), -share])
            capability = sp.csr_array((values, (np.tile(rows, 3), columns)), shape=(n, at.count))
            capability.eliminate_zeros()
            keys: list[Hashable] = [(name, k) for k in range(n)]
            found.append(Rows(capability, np.full(n, -INF), -up * self._q_from.ravel(), keys))
        found += self._capacity_rows()
        if p.fleet is None:
            return found
        entries: list[tuple[int, int, float]] = []
        for t in range(steps):
            for u in range(at.units):
                row = t * at.units + u
                entries += [(row, at.energy + (t + 1) * at.units + u, 1.0), (row, at.energy + t * at.units + u, -1.0)]
        begun = np.zeros((steps + 1) * at.units)
        gain = {True: [u.eta_charge for u in p.fleet.units], False: [-1.0 / u.eta_discharge for u in p.fleet.units]}
        for c, (u, _) in enumerate(self.converters):
            for t in range(steps):
                held = -p.profiles.step_h * gain[bool(self.sign[t, c] < 0)][u]
                entries.append((t * at.units + u, at.power + t * at.converters + c, held))
                entries.append((t * at.units + u, at.less + t * at.converters + c, -held))
                begun[t * at.units + u] -= held * self._p_from[t, c]
        last = steps * at.units
        ends = p.profiles.day_ends
        for k, end in enumerate(ends):
            for u in range(at.units):
                row = last + k * at.units + u
                entries += [(row, at.energy + end * at.units + u, 1.0), (row, at.energy + u, -1.0)]
        begun = np.concatenate([begun[:last], np.zeros(len(ends) * at.units)])
        i, j, values = (np.array(column) for column in zip(*entries, strict=True))
        m = last + len(ends) * at.units
        balance = sp.csr_array((values.astype(float), (i.astype(int), j.astype(int))), shape=(m, at.count))
        keys = [("energy", k) for k in range(m)]
        return [*found, Rows(balance, begun, begun, keys), *self._cycle_rows()]

    def _cycle_rows(self) -> list[Rows]:
        """What a unit may give in a day, where that is limited."""
        at, p = self.at, self.problem
        if p.fleet is None or p.cycles_per_day is None:
            return []
        days, giving, h = p.profiles.day_steps, self.sign > 0, p.profiles.step_h
        rows = np.zeros((len(days) * at.units, at.count))
        begun = np.zeros(len(rows))
        for k, day in enumerate(days):
            for t in day:
                for c in np.flatnonzero(giving[t]):
                    row = k * at.units + int(self._of[c])
                    rows[row, at.power + t * at.converters + c] = h
                    rows[row, at.less + t * at.converters + c] = -h
                    begun[row] += h * self._p_from[t, c]
        most = np.tile([p.cycles_per_day * u.energy_kwh / 1e3 for u in p.fleet.units], len(days))
        keys: list[Hashable] = [("cycles", k) for k in range(len(rows))]
        return [Rows(sp.csr_array(rows), np.full(len(rows), -INF), most - begun, keys)]

    def _capacity_rows(self) -> list[Rows]:
        """Caps of sites, and what a spread objective asks of each."""
        p, at = self.problem, self.at
        index = {name: g for g, name in enumerate(p.pv_nodes)}
        found = []
        if p.caps:
            rows = np.zeros((len(p.caps), at.count))
            for k, cap in enumerate(p.caps):
                rows[k, [index[n] for n in cap.nodes if n in index]] = 1.0
            most = np.array([cap.max_kw for cap in p.caps]) / 1e3
            keys: list[Hashable] = [("cap", k) for k in range(len(p.caps))]
            found.append(Rows(sp.csr_array(rows), np.full(len(most), -INF), most, keys))
        if p.spread:
            rows = np.zeros((len(p.spread.sites), at.count))
            rows[:, : self.sites] = p.spread.members(p.pv_nodes)
            rows[:, at.served] = -np.array(p.spread.weights) / 1e3
            zero = np.zeros(len(rows))
            upper = zero if p.spread.objective == "load" else np.full(len(rows), INF)
            found.append(Rows(sp.csr_array(rows), zero, upper, [("spread", k) for k in range(len(rows))]))
        return found

    def _rows_of(self, steps: np.ndarray, by_p: Floats, by_q: Floats, kind: int, overstep: Floats) -> sp.csr_array:
        """(K,) steps, (K, D) slopes per kW and kvar -> rows per MW; `overstep` (K,) stands before the kind's own."""
        at, k = self.at, len(steps)
        of_pv, of_q = 1e3 * by_p[:, self._at_pv], 1e3 * by_q[:, self._at_pv]
        of_bess = 1e3 * by_p[:, self._at_bess] * self.sign[steps]
        values = np.hstack([self._r[steps] * of_pv, of_q, -of_q, of_bess, -of_bess])
        g, c = np.arange(self.sites), np.arange(at.converters)
        first = steps[:, None]
        columns = np.hstack(
            [
                np.broadcast_to(g, (k, self.sites)),
                at.up + first * self.sites + g,
                at.down + first * self.sites + g,
                at.power + first * at.converters + c,
                at.less + first * at.converters + c,
            ]
        )
        values = np.where(np.abs(values) > NEGLIGIBLE, values, 0.0)
        if self.problem.elastic_kw_per_pu is not None:
            values = np.hstack([values, overstep[:, None]])
            columns = np.hstack([columns, at.overstep + kind * at.steps + first])
        rows = np.repeat(np.arange(k), values.shape[1])
        found = sp.csr_array((values.ravel(), (rows, columns.ravel())), shape=(k, at.count))
        found.eliminate_zeros()
        return found

    def _begun(self, steps: np.ndarray, by_p: Floats, by_q: Floats) -> Floats:
        """(K,) what rows have from where moves are counted."""
        p, q = self._from
        found: Floats = np.einsum("kd,kd->k", by_p, p[steps]) + np.einsum("kd,kd->k", by_q, q[steps])
        return found

    def source_rows(self) -> list[Rows]:
        if self._floor_kw is None:
            return []
        m, floor = self.model, self._floor_kw
        steps, phases = (a.ravel() for a in np.indices(floor.shape))
        by_p, by_q = (_at(d, steps, phases) / 1e3 for d in (m.dsub_p_dp, m.dsub_p_dq))
        room = (m.substation_kw(*self._from) - floor)[steps, phases] / 1e3
        keys: list[Hashable] = [("source", int(t), int(s)) for t, s in zip(steps, phases, strict=True)]
        matrix = self._rows_of(steps, by_p, by_q, 3, np.ones(len(steps)))
        return [Rows(matrix, -room, np.full(len(steps), INF), keys)]

    def loss_rows(self) -> list[Rows]:
        """A ceiling on losses in each step, where it is asked for and the model knows losses."""
        m, most = self.model, self.problem.losses_max_kw
        if most is None or m.losses_base_kw is None:
            return []
        assert m.dlosses_dp is not None and m.dlosses_dq is not None
        steps = np.arange(self.at.steps)
        base = m.losses_base_kw + self._begun(steps, m.dlosses_dp, m.dlosses_dq)
        matrix = self._rows_of(steps, m.dlosses_dp / 1e3, m.dlosses_dq / 1e3, 3, -np.ones(len(steps)))
        keys: list[Hashable] = [("losses", int(t)) for t in steps]
        return [Rows(matrix, np.full(len(steps), -INF), (most - base) / 1e3, keys)]

    def holds(self, key: Hashable) -> bool:
        assert isinstance(key, tuple)
        side, t, n = key
        if t >= self.at.steps or n >= self.model.v_base.shape[1]:
            return False
        return bool(np.isfinite(self.high[t, n]) if side == "high" else self.low[t, n] > 0)

    def voltage_rows(self, wanted: list[Hashable]) -> list[Rows]:
        found = []
        for kind, side in enumerate(("high", "low")):
            keys = sorted(k for k in wanted if isinstance(k, tuple) and k[0] == side and k not in self.written)
            if not keys:
                continue
            self.written.update(keys)
            steps, nodes = (np.array([k[i] for k in keys], dtype=int) for i in (1, 2))
            by_p, by_q = _at(self.model.dv_dp, steps, nodes), _at(self.model.dv_dq, steps, nodes)
            base = self.model.v_base[steps, nodes] + self._begun(steps, by_p, by_q)
            none = np.full(len(keys), INF)
            if side == "high":
                matrix = self._rows_of(steps, by_p, by_q, kind, -np.ones(len(keys)))
                found.append(Rows(matrix, -none, self.high[steps, nodes] - base, keys))
            else:
                matrix = self._rows_of(steps, by_p, by_q, kind, np.ones(len(keys)))
                found.append(Rows(matrix, self.low[steps, nodes] - base, none, keys))
        return found

    def _loading_rows(self, steps: np.ndarray, branches: np.ndarray, p: Floats, q: Floats) -> list[Rows]:
        """Tangents of the circle |flow| = rating at the present direction."""
        m = self.model
        if not len(steps):
            return []
        assert self._rating is not None and m.flow_base_kw is not None and m.flow_base_kvar is not None
        assert m.dflow_p_dp is not None and m.dflow_p_dq is not None
        assert m.dflow_q_dp is not None and m.dflow_q_dq is not None
        size = np.hypot(p, q)[steps, branches]
        cos, sin = p[steps, branches] / size, q[steps, branches] / size
        by_p = cos[:, None] * _at(m.dflow_p_dp, steps, branches) + sin[:, None] * _at(m.dflow_q_dp, steps, branches)
        by_q = cos[:, None] * _at(m.dflow_p_dq, steps, branches) + sin[:, None] * _at(m.dflow_q_dq, steps, branches)
        rating = self._rating[steps, branches]
        base = cos * m.flow_base_kw[steps, branches] + sin * m.flow_base_kvar[steps, branches]
        base = base + self._begun(steps, by_p, by_q)
        serial = len(self.written)
        keys: list[Hashable] = [
            ("load", int(t), int(b), serial + k) for k, (t, b) in enumerate(zip(steps, branches, strict=True))
        ]
        self.written.update(keys)
        matrix = self._rows_of(steps, by_p / 1e3, by_q / 1e3, 2, -rating / 1e3)
        return [Rows(matrix, np.full(len(steps), -INF), (rating - base) / 1e3, keys)]

    def broken(self, x: Floats) -> list[Rows]:
        """New rows for what the values break, the worst of each step and kind."""
        m, steps = self.model, self.at.steps
        p_kw, q_kvar = self.injections(x)
        over = np.zeros((4, steps))
        if self.problem.elastic_kw_per_pu is not None:
            over = x[self.at.overstep : self.at.served].reshape(4, steps)
        v = m.v_base + applied(m.dv_dp, p_kw) + applied(m.dv_dq, q_kvar)
        tolerance = V_TOLERANCE_PU * self.v_unit
        excesses = (("high", v - self.high - over[0][:, None]), ("low", self.low - v - over[1][:, None]))
        keys: list[Hashable] = []
        for side, excess in excesses:
            for t, n in zip(*_worst(excess, tolerance), strict=True):
                keys.append((side, int(t), int(n)))
        found = self.voltage_rows(keys)
        if self._rating is None:
            return found
        assert m.flow_base_kw is not None and m.flow_base_kvar is not None
        p = m.flow_base_kw + applied(m.dflow_p_dp, p_kw) + applied(m.dflow_p_dq, q_kvar)
        q = m.flow_base_kvar + applied(m.dflow_q_dp, p_kw) + applied(m.dflow_q_dq, q_kvar)
        at = _worst(np.hypot(p, q) / self._rating - 1.0 - over[2][:, None], LOADING_TOLERANCE)
        return [*found, *self._loading_rows(*at, p, q)]

    def injections(self, x: Floats) -> tuple[Floats, Floats]:
        """(T, D) kW and kvar at every port."""
        at, steps, ports = self.at, self.at.steps, len(self.model.ports)
        p_kw, q_kvar = np.zeros((steps, ports)), np.zeros((steps, ports))
        np.add.at(p_kw.T, self._at_pv, 1e3 * (self._r * x[: self.sites]).T)
        np.add.at(q_kvar.T, self._at_pv, 1e3 * self.q(x).T)
        if at.converters:
            np.add.at(p_kw.T, self._at_bess, 1e3 * (self.sign * self.power(x)).T)
        return p_kw, q_kvar

    def q(self, x: Floats) -> Floats:
        at = self.at
        return self._q_from + (x[at.up : at.down] - x[at.down : at.power]).reshape(at.steps, at.sites)

    def power(self, x: Floats) -> Floats:
        up, down = x[self.at.power : self.at.energy].reshape(2, self.at.steps, self.at.converters)
        return self._p_from + up - down


def _at(slopes: Floats, steps: np.ndarray, rows: np.ndarray) -> Floats:
    """(K, D) of (T or 1, R, D)"""
    return np.asarray(slopes[steps if slopes.shape[0] > 1 else np.zeros_like(steps), rows])


def _worst(excess: Floats, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Steps and rows of the AT_ONCE largest excesses of each step."""
    steps, rows = [], []
    for t in np.flatnonzero(np.any(excess > tolerance, axis=1)):
        worst = np.argsort(-excess[t], kind="stable")[:AT_ONCE]
        worst = worst[excess[t, worst] > tolerance]
        steps += [t] * len(worst)
        rows += worst.tolist()
    return np.array(steps, dtype=int), np.array(rows, dtype=int)


def stacked(parts: list[Rows], columns: int) -> Rows:
    if not parts:
        return Rows(sp.csr_array((0, columns)), np.zeros(0), np.zeros(0), ())
    return Rows(
        sp.csr_array(sp.vstack([part.matrix for part in parts], format="csr")),
        np.concatenate([part.lower for part in parts]),
        np.concatenate([part.upper for part in parts]),
        [key for part in parts for key in part.keys],
    )


def padded(rows: Rows, columns: int) -> Rows:
    a = rows.matrix
    return Rows(
        sp.csr_array((a.data, a.indices, a.indptr), shape=(a.shape[0], columns)), rows.lower, rows.upper, rows.keys
    )
