"""The program where placement and statuses are decided: linear, as matrices, kept from one solve to the next.

The same equations as in `program.py`, which is there to be read (a test solves both): what the closed loop solves in
every round, and what picks one schedule among many of the same capacity. With a status decided a converter has one
direction and so one variable; reactive power has two, up and down, so that its size is linear.

    maximize  sum S_g - oversteps at their price
    (3c), (3d), (7d)  energies   (7b), (7c)  q+ + q- <= sqrt(1 - r^2) S   (7e)  source   (7a) and loadings, as broken

The order among schedules of equal capacity, each solved to its end with those before held: least reactive energy;
least energy through batteries, as what circulates goes through two of them; capacity even over sites (least sum of
squares, in `PIECES` straight pieces); and what is still open in favour of sites, then hours, that come first.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from optim.data.linear_model import Floats
from optim.data.schedule import Schedule, SolveInfo
from optim.errors import ModelError
from optim.hosting.limit_rows import LOADING_TOLERANCE, NEGLIGIBLE, V_TOLERANCE_PU, applied
from optim.hosting.problem import CEILING_MW, ELASTIC_KW_PER_KW, HostingProblem
from optim.hosting.program import reactive_share
from optim.solve.linear import INF, Answer, LinearPrograms, Rows

AT_ONCE = 6
"""Limit rows per step and kind that join in one go: the worst nodes stand for their neighbours."""
NEAR_PU = 3e-3
"""A row of the last program that was this near to its limit is in the next one from its start."""
KEPT_SHARE = 1e-9
"""Of an objective, what later ones may cost it: the solver's own digits."""
PIECES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0)
"""Times the mean capacity of a node-phase at which the pieces of its square end."""
ORDER = ("reactive energy", "energy through batteries", "evenness over sites", "names")


@dataclass(frozen=True)
class Price:
    """What one unit more of a limit is worth, in kW of hosting capacity."""

    limit: str
    element: str
    """Node, source phase, branch-phase or unit."""
    time: str
    kw_per_unit: float
    unit: str


@dataclass(frozen=True)
class Decided:
    """A solved program."""

    schedule: Schedule
    worth_mw: float
    """Its objective: capacity less oversteps at their price."""
    prices: tuple[Price, ...]
    """Of what binds, dearest first."""
    iterations: int
    cut: str
    """ "", "work" or "time": what ended it before its optimum."""
    overstep_mw: float = 0.0
    """What its oversteps cost of it; 0 where limits are hard."""
    unfinished: tuple[str, ...] = ()
    """Those of ORDER that were not solved to their end."""


@dataclass
class _Columns:
    """Where the variables stand."""

    steps: int
    sites: int
    converters: int
    units: int
    elastic: bool
    count: int = field(init=False)

    def __post_init__(self) -> None:
        t, g = self.steps, self.sites
        self.up, self.down = g, g + t * g
        self.power = g + 2 * t * g  # of converters, up from where it begins, and down
        self.less = self.power + t * self.converters
        self.energy = self.less + t * self.converters
        self.overstep = self.energy + (t + 1) * self.units
        self.count = self.overstep + (4 * t if self.elastic else 0)


class DecidedProgram:
    """Programs of the same sites, fleet and length, one after the other; limits, statuses and linear model may change.

    `most_iterations` of the simplex method and `guard_s` seconds are for each of its solves.
    """

    def __init__(self, most_iterations: int = 200_000, guard_s: float = 600.0) -> None:
        self._programs = LinearPrograms(most_iterations, guard_s)
        self._near: set[Hashable] = set()

    @property
    def iterations(self) -> int:
        return self._programs.iterations

    def solve(self, problem: HostingProblem, case: str, *, order: int = len(ORDER)) -> Decided:
        """The optimum, and among its equals the first by the first `order` of ORDER.

        Raises InfeasibleError, SolverError, ModelError where something is not decided.
        """
        if problem.trust is not None and order:
            raise ModelError("The order among equals is for a program without trust region.")
        return _Solve(self._programs, problem, self._near).run(case, order)


class _Solve:
    def __init__(self, programs: LinearPrograms, problem: HostingProblem, near: set[Hashable]) -> None:
        fleet = problem.fleet
        if fleet is not None and (problem.charging is None or fleet.chooses_sites):
            raise ModelError("A unit without site or status: this program decides neither.")
        self.programs, self.problem, self.near, self.model = programs, problem, near, problem.model
        self.converters = fleet.converters if fleet else []
        steps, self.sites = len(problem.profiles), len(problem.pv_nodes)
        units = len(fleet.units) if fleet else 0
        self.at = _Columns(steps, self.sites, len(self.converters), units, problem.elastic_kw_per_pu is not None)
        port = {name: d for d, name in enumerate(self.model.ports)}
        self._at_pv = np.array([port[g] for g in problem.pv_nodes], dtype=int)
        self._at_bess = np.array([port[n] for _, n in self.converters], dtype=int)
        self._of = np.array([u for u, _ in self.converters], dtype=int)
        charging = np.zeros((steps, units)) if problem.charging is None else np.round(problem.charging)
        self._sign = np.where(charging[:, self._of] > 0.5, -1.0, 1.0)  # (T, C), positive into the network
        square = self.model.voltage_kind == "squared"
        high, low = problem.voltage_ceiling(), problem.voltage_floor()
        self._high, self._low = (high**2, low**2) if square else (high, low)
        self._v_unit = 2.0 if square else 1.0
        self._floor_kw, self._rating = problem.substation_floor_kw(), problem.loading_ceiling_kva()
        self._written: set[Hashable] = set()
        q_from = np.zeros((steps, len(self.model.ports)))
        if problem.trust is not None:
            q_from[:, self._at_pv] = problem.trust.q_kvar
        self._p_from = np.zeros(self._sign.shape)
        """(T, C) MW from which converters' power moves up and down, in the direction that their status has."""
        p_from = np.zeros_like(q_from)
        if problem.trust is not None:
            still = np.zeros(steps)
            center = [problem.trust.bess_p_kw.get(node, still) for _, node in self.converters]
            if center:
                self._p_from = np.maximum(self._sign * np.array(center).T / 1e3, 0.0)
                np.add.at(p_from.T, self._at_bess, 1e3 * (self._sign * self._p_from).T)
        self._from = (p_from, q_from)
        """(T, D) kW and kvar at every port from which moves are counted."""
        self._r = problem.profiles.pv_pu
        self._q_from = np.zeros((steps, self.sites)) if problem.trust is None else problem.trust.q_kvar / 1e3
        """(T, G) MVAr from which reactive power moves up and down."""

    def run(self, case: str, order: int) -> Decided:
        lower, upper = self._bounds()
        parts = [*self._structure(), *self._source_rows()]
        remembered = [key for key in self.near if self._holds(key)]
        parts += self._voltage_rows(remembered)
        cost = self._cost()
        self.programs.load(cost, lower, upper, _stacked(parts, self.at.count))
        begun = self.programs.iterations
        answer = self._settled()
        worth, prices, first = answer.objective, self._prices(answer), answer
        unfinished: list[str] = list(ORDER[:order]) if answer.cut else []
        if not answer.cut:
            answer, unfinished = self._in_order(cost, answer, order, lower, upper)
        self._remember(answer.values)
        return Decided(
            self._schedule(answer.values, case),
            worth,
            prices,
            self.programs.iterations - begun,
            first.cut,
            float(-cost[self.at.overstep :] @ first.values[self.at.overstep :][: self.at.count - self.at.overstep]),
            tuple(unfinished),
        )

    # -- variables and rows that no linear model changes -------------------------------------------------------

    def _bounds(self) -> tuple[Floats, Floats]:
        at, p, steps = self.at, self.problem, self.at.steps
        lower, upper = np.zeros(at.count), np.full(at.count, INF)
        upper[: at.sites] = CEILING_MW
        upper[at.up : at.power] = CEILING_MW
        power, sign = np.zeros((steps, at.converters)), self._sign
        if p.fleet:
            for c, (u, _) in enumerate(self.converters):
                rated = p.fleet.phase_mw(u)
                power[:, c] = np.where(sign[:, c] < 0, rated, p.fleet.units[u].eta_discharge * rated)
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

    def _structure(self) -> list[Rows]:
        at, p, steps, sites = self.at, self.problem, self.at.steps, self.sites
        share = np.repeat(reactive_share(p), sites)
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
                held = -p.profiles.step_h * gain[bool(self._sign[t, c] < 0)][u]
                entries.append((t * at.units + u, at.power + t * at.converters + c, held))
                entries.append((t * at.units + u, at.less + t * at.converters + c, -held))
                begun[t * at.units + u] -= held * self._p_from[t, c]
        last = steps * at.units
        for u in range(at.units):
            entries += [(last + u, at.energy + steps * at.units + u, 1.0), (last + u, at.energy + u, -1.0)]
        i, j, values = (np.array(column) for column in zip(*entries, strict=True))
        m = last + at.units
        balance = sp.csr_array((values.astype(float), (i.astype(int), j.astype(int))), shape=(m, at.count))
        keys = [("energy", k) for k in range(m)]
        return [*found, Rows(balance, begun, begun, keys)]

    def _cost(self) -> Floats:
        cost = np.zeros(self.at.count)
        cost[: self.sites] = 1.0
        if self.problem.trust is not None:
            cost[self.at.up : self.at.energy] = -self.problem.trust.move_price
        price = self.problem.elastic_kw_per_pu
        if price is not None:
            steps, at = self.at.steps, self.at.overstep
            cost[at : at + 2 * steps] = -price / 1e3 / self._v_unit
            cost[at + 2 * steps : at + 3 * steps] = -price / 1e3
            cost[at + 3 * steps :] = -ELASTIC_KW_PER_KW
        return cost

    # -- rows of the linear model ---------------------------------------------------------------------------

    def _rows_of(self, steps: np.ndarray, by_p: Floats, by_q: Floats, kind: int, overstep: Floats) -> sp.csr_array:
        """(K,) steps, (K, D) slopes per kW and kvar -> rows per MW; `overstep` (K,) stands before the kind's own."""
        at, k = self.at, len(steps)
        of_pv, of_q = 1e3 * by_p[:, self._at_pv], 1e3 * by_q[:, self._at_pv]
        of_bess = 1e3 * by_p[:, self._at_bess] * self._sign[steps]
        values = np.hstack([self._r[steps][:, None] * of_pv, of_q, -of_q, of_bess, -of_bess])
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
        return np.einsum("kd,kd->k", by_p, p[steps]) + np.einsum("kd,kd->k", by_q, q[steps])

    def _source_rows(self) -> list[Rows]:
        if self._floor_kw is None:
            return []
        m, floor = self.model, self._floor_kw
        steps, phases = (a.ravel() for a in np.indices(floor.shape))
        by_p, by_q = (_at(d, steps, phases) / 1e3 for d in (m.dsub_p_dp, m.dsub_p_dq))
        room = (m.substation_kw(*self._from) - floor)[steps, phases] / 1e3
        keys: list[Hashable] = [("source", int(t), int(s)) for t, s in zip(steps, phases, strict=True)]
        matrix = self._rows_of(steps, by_p, by_q, 3, np.ones(len(steps)))
        return [Rows(matrix, -room, np.full(len(steps), INF), keys)]

    def _holds(self, key: Hashable) -> bool:
        assert isinstance(key, tuple)
        side, t, n = key
        if t >= self.at.steps or n >= self.model.v_base.shape[1]:
            return False
        return bool(np.isfinite(self._high[t, n]) if side == "high" else self._low[t, n] > 0)

    def _voltage_rows(self, wanted: list[Hashable]) -> list[Rows]:
        found = []
        for kind, side in enumerate(("high", "low")):
            keys = sorted(k for k in wanted if isinstance(k, tuple) and k[0] == side and k not in self._written)
            if not keys:
                continue
            self._written.update(keys)
            steps, nodes = (np.array([k[i] for k in keys], dtype=int) for i in (1, 2))
            by_p, by_q = _at(self.model.dv_dp, steps, nodes), _at(self.model.dv_dq, steps, nodes)
            base = self.model.v_base[steps, nodes] + self._begun(steps, by_p, by_q)
            none = np.full(len(keys), INF)
            if side == "high":
                matrix = self._rows_of(steps, by_p, by_q, kind, -np.ones(len(keys)))
                found.append(Rows(matrix, -none, self._high[steps, nodes] - base, keys))
            else:
                matrix = self._rows_of(steps, by_p, by_q, kind, np.ones(len(keys)))
                found.append(Rows(matrix, self._low[steps, nodes] - base, none, keys))
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
        serial = len(self._written)
        keys: list[Hashable] = [
            ("load", int(t), int(b), serial + k) for k, (t, b) in enumerate(zip(steps, branches, strict=True))
        ]
        self._written.update(keys)
        matrix = self._rows_of(steps, by_p / 1e3, by_q / 1e3, 2, -rating / 1e3)
        return [Rows(matrix, np.full(len(steps), -INF), (rating - base) / 1e3, keys)]

    def _broken(self, x: Floats) -> list[Rows]:
        """New rows for what the values break, the worst of each step and kind."""
        m, steps = self.model, self.at.steps
        p_kw, q_kvar = self._injections(x)
        over = np.zeros((4, steps))
        if self.problem.elastic_kw_per_pu is not None:
            over = x[self.at.overstep : self.at.count].reshape(4, steps)
        v = m.v_base + applied(m.dv_dp, p_kw) + applied(m.dv_dq, q_kvar)
        tolerance = V_TOLERANCE_PU * self._v_unit
        excesses = (("high", v - self._high - over[0][:, None]), ("low", self._low - v - over[1][:, None]))
        keys: list[Hashable] = []
        for side, excess in excesses:
            for t, n in zip(*_worst(excess, tolerance), strict=True):
                keys.append((side, int(t), int(n)))
        found = self._voltage_rows(keys)
        if self._rating is None:
            return found
        assert m.flow_base_kw is not None and m.flow_base_kvar is not None
        p = m.flow_base_kw + applied(m.dflow_p_dp, p_kw) + applied(m.dflow_p_dq, q_kvar)
        q = m.flow_base_kvar + applied(m.dflow_q_dp, p_kw) + applied(m.dflow_q_dq, q_kvar)
        at = _worst(np.hypot(p, q) / self._rating - 1.0 - over[2][:, None], LOADING_TOLERANCE)
        return [*found, *self._loading_rows(*at, p, q)]

    def _remember(self, x: Floats) -> None:
        """Rows that were near their limit, for the next program."""
        m = self.model
        p_kw, q_kvar = self._injections(x)
        v = m.v_base + applied(m.dv_dp, p_kw) + applied(m.dv_dq, q_kvar)
        self.near.clear()
        for key in self._written:
            assert isinstance(key, tuple)
            if key[0] not in ("high", "low"):
                continue
            side, t, n = key
            room = self._high[t, n] - v[t, n] if side == "high" else v[t, n] - self._low[t, n]
            if room < NEAR_PU * self._v_unit:
                self.near.add(key)

    # -- solving --------------------------------------------------------------------------------------------

    def _settled(self) -> Answer:
        """Solves and adds the rows that the solution breaks, until it breaks none."""
        while True:
            answer = self.programs.solve()
            new = self._broken(answer.values)
            if not new or answer.cut:
                return answer
            for rows in new:
                self.programs.add(_padded(rows, len(answer.values)))

    def _in_order(
        self, cost: Floats, best: Answer, order: int, lower: Floats, upper: Floats
    ) -> tuple[Answer, list[str]]:
        """ORDER's first `order`, one after the other; the best so far and those not solved to their end."""
        if order < 1:
            return best, []
        at = self.at
        reactive, through, names = (np.zeros(at.count) for _ in range(3))
        reactive[at.up : at.power] = -1.0
        through[at.power : at.less] = np.where(self._sign < 0, -1.0, 0.0).ravel()
        generic = np.modf(np.arange(1, at.count + 1) * (np.sqrt(5.0) - 1.0) / 2.0)[0]  # no two sums alike
        names[: at.sites] = -1.0 - np.arange(at.sites) / at.sites - 1e-3 * generic[: at.sites]
        names[at.up : at.energy] = -1e-2 * (1.0 + generic[at.up : at.energy])
        held, unfinished = cost, []
        for k, wanted in enumerate(ORDER[:order]):
            if wanted == ORDER[1] and not at.converters:
                continue
            self._hold(held, best, k)
            if wanted == ORDER[2]:
                held = self._evenness(best)
            else:
                held = {ORDER[0]: reactive, ORDER[1]: through, ORDER[3]: names}[wanted]
            held = np.concatenate([held, np.zeros(self.programs.columns - len(held))])
            self.programs.set_cost(held)
            answer = self._settled()
            if answer.cut:
                return best, list(ORDER[k:order])
            best = answer
        return best, unfinished

    def _hold(self, cost: Floats, answer: Answer, k: int) -> None:
        """What is reached stays, to the solver's own digits."""
        cost = np.concatenate([cost, np.zeros(self.programs.columns - len(cost))])
        room = KEPT_SHARE * max(abs(answer.objective), 1.0) if self.problem.elastic_kw_per_pu is None else 1e-6
        least = np.array([answer.objective - room])
        self.programs.add(Rows(sp.csr_array(cost[None, :]), least, np.array([INF]), [("kept", k)]))

    def _evenness(self, best: Answer) -> Floats:
        """The cost of the pieces of each site's square, which join the program as columns with a row per site."""
        sites, pieces = self.sites, len(PIECES)
        mean = max(float(best.values[:sites].mean()), 1e-6)
        ends = mean * np.array([*PIECES, 1e3 * PIECES[-1]])
        width = np.diff(ends, prepend=0.0)
        slope = ends - width / 2.0  # of half the square
        columns = self.programs.columns
        self.programs.add_columns(np.tile(width, sites))
        rows = np.repeat(np.arange(sites), pieces + 2)
        at = np.hstack([np.arange(sites)[:, None], columns + np.arange(sites * (pieces + 1)).reshape(sites, -1)])
        values = np.tile(np.concatenate([[1.0], -np.ones(pieces + 1)]), sites)
        matrix = sp.csr_array((values, (rows, at.ravel())), shape=(sites, self.programs.columns))
        zero = np.zeros(sites)
        self.programs.add(Rows(matrix, zero, zero, [("pieces", g) for g in range(sites)]))
        return np.concatenate([np.zeros(columns), np.tile(-slope / mean, sites)])

    # -- what a solution says ---------------------------------------------------------------------------------

    def _injections(self, x: Floats) -> tuple[Floats, Floats]:
        """(T, D) kW and kvar at every port."""
        at, steps, ports = self.at, self.at.steps, len(self.model.ports)
        p_kw, q_kvar = np.zeros((steps, ports)), np.zeros((steps, ports))
        np.add.at(p_kw.T, self._at_pv, 1e3 * (self._r[:, None] * x[: self.sites]).T)
        np.add.at(q_kvar.T, self._at_pv, 1e3 * self._q(x).T)
        if at.converters:
            np.add.at(p_kw.T, self._at_bess, 1e3 * (self._sign * self._power(x)).T)
        return p_kw, q_kvar

    def _q(self, x: Floats) -> Floats:
        at = self.at
        return self._q_from + (x[at.up : at.down] - x[at.down : at.power]).reshape(at.steps, at.sites)

    def _power(self, x: Floats) -> Floats:
        up, down = x[self.at.power : self.at.energy].reshape(2, self.at.steps, self.at.converters)
        return self._p_from + up - down

    def _prices(self, answer: Answer) -> tuple[Price, ...]:
        m, times = self.model, self.model.times
        found = []
        for key, dual in zip(answer.keys, answer.row_prices, strict=True):
            assert isinstance(key, tuple)
            if abs(dual) < 1e-7:
                continue
            value = abs(float(dual))
            if key[0] == "source":
                found.append(Price("reverse_flow", m.substation_phases[key[2]], times[key[1]], value, "kW"))
            elif key[0] in ("high", "low"):
                limit = self._high if key[0] == "high" else self._low
                per_pu = 2.0 * np.sqrt(limit[key[1], key[2]]) if self._v_unit == 2.0 else 1.0
                word = "overvoltage" if key[0] == "high" else "undervoltage"
                found.append(Price(word, m.nodes[key[2]], times[key[1]], 1e3 * value * float(per_pu), "pu"))
            elif key[0] == "load":
                found.append(Price("loading", m.branches[key[2]], times[key[1]], value, "kVA"))
        if self.problem.fleet:
            at, prices = self.at, answer.column_prices
            energy = prices[at.energy : at.overstep].reshape(at.steps + 1, at.units)
            power = prices[at.power : at.less].reshape(at.steps, at.converters)
            names = [u.name for u in self.problem.fleet.units]
            labels = ("start", *times)
            for t, u in zip(*np.nonzero(np.abs(energy) > 1e-7), strict=True):
                word = "battery full" if energy[t, u] > 0 else "battery empty"
                found.append(Price(word, names[u], labels[t], abs(float(energy[t, u])), "kWh"))
            at_rating = (power > 1e-7) & (self._power(answer.values) > 1e-9)
            for t, c in zip(*np.nonzero(at_rating), strict=True):
                unit, node = self.converters[c]
                word = f"{names[unit]}.{node.rsplit('.', 1)[1]}"
                found.append(Price("battery power", word, times[t], float(power[t, c]), "kW"))
        return tuple(sorted(found, key=lambda p: (-_in_steps(p), p.limit, p.element, p.time)))

    def _schedule(self, x: Floats, case: str) -> Schedule:
        p, m, profiles, at = self.problem, self.model, self.problem.profiles, self.at
        pv_kw = np.maximum(1e3 * x[: self.sites], 0.0)
        power = 1e3 * np.maximum(self._power(x), 0.0)
        energy = 1e3 * x[at.energy : at.overstep].reshape(at.steps + 1, at.units)
        p_kw, q_kvar = self._injections(x)
        return Schedule(
            case=case,
            times=profiles.times,
            step_h=profiles.step_h,
            pv_nodes=p.pv_nodes,
            pv_kw=pv_kw,
            pv_p_kw=profiles.pv_pu[:, None] * pv_kw[None, :],
            pv_q_kvar=1e3 * self._q(x) + 0.0,
            bess=p.fleet.units if p.fleet else (),
            bess_nodes=tuple(n for _, n in self.converters),
            bess_of=tuple(u for u, _ in self.converters),
            p_charge_kw=np.where(self._sign < 0, power, 0.0),
            p_discharge_kw=np.where(self._sign > 0, power, 0.0),
            soc_kwh=energy,
            predicted_nodes=m.nodes,
            predicted_v_pu=m.voltages_pu(p_kw, q_kvar),
            substation_phases=m.substation_phases,
            predicted_substation_kw=m.substation_kw(p_kw, q_kvar),
            solve=SolveInfo("feasible", pv_kw.sum(), np.nan, np.nan, 0.0, 0.0),
            assumptions=(f"linearized at {m.linearized_at}", *m.assumptions),
        )


def _in_steps(price: Price) -> float:
    """What a usual step of a limit is worth: a hundredth of a pu, one of anything else."""
    return price.kw_per_unit * (0.01 if price.unit == "pu" else 1.0)


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


def _stacked(parts: list[Rows], columns: int) -> Rows:
    if not parts:
        return Rows(sp.csr_array((0, columns)), np.zeros(0), np.zeros(0), ())
    return Rows(
        sp.csr_array(sp.vstack([part.matrix for part in parts], format="csr")),
        np.concatenate([part.lower for part in parts]),
        np.concatenate([part.upper for part in parts]),
        [key for part in parts for key in part.keys],
    )


def _padded(rows: Rows, columns: int) -> Rows:
    a = rows.matrix
    return Rows(
        sp.csr_array((a.data, a.indices, a.indptr), shape=(a.shape[0], columns)), rows.lower, rows.upper, rows.keys
    )
