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
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from optim.data.linear_model import Floats
from optim.data.schedule import Schedule
from optim.errors import ModelError
from optim.hosting.binding import Price, prices
from optim.hosting.limit_rows import applied
from optim.hosting.matrices import Matrices, padded, stacked
from optim.hosting.problem import HostingProblem
from optim.hosting.spread import SECOND
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
        self.programs, self.problem, self.near, self.model = programs, problem, near, problem.model
        self.matrices = Matrices(problem)
        self.at = self.matrices.at

    def run(self, case: str, order: int) -> Decided:
        lower, upper = self.matrices.bounds()
        parts = [*self.matrices.structure(), *self.matrices.source_rows(), *self.matrices.loss_rows()]
        remembered = [key for key in self.near if self.matrices.holds(key)]
        parts += self.matrices.voltage_rows(remembered)
        cost = self._cost()
        self.programs.load(cost, lower, upper, stacked(parts, self.at.count))
        begun = self.programs.iterations
        answer = self._settled()
        worth, binding, first = answer.objective, prices(self.matrices, answer), answer
        unfinished: list[str] = list(ORDER[:order]) if answer.cut else []
        if not answer.cut:
            answer, unfinished = self._in_order(cost, answer, order, lower, upper)
        self._remember(answer.values)
        return Decided(
            self._schedule(answer.values, case),
            worth,
            binding,
            self.programs.iterations - begun,
            first.cut,
            float(-cost[self.at.overstep : self.at.served] @ first.values[self.at.overstep : self.at.served]),
            tuple(unfinished),
        )

    def _cost(self) -> Floats:
        cost = np.zeros(self.at.count)
        cost[: self.matrices.sites] = 1.0
        if self.problem.spread and self.problem.spread.objective == "even":
            cost[: self.matrices.sites] = SECOND
            cost[self.at.served] = sum(self.problem.spread.weights) / 1e3
        if self.problem.trust is not None:
            cost[self.at.up : self.at.energy] = -self.problem.trust.move_price
        price = self.problem.elastic_kw_per_pu
        if price is not None:
            steps, at = self.at.steps, self.at.overstep
            cost[at : at + 2 * steps] = -price / 1e3 / self.matrices.v_unit
            cost[at + 2 * steps : at + 3 * steps] = -price / 1e3
            cost[at + 3 * steps : at + 4 * steps] = -self.problem.elastic_kw_per_kw
        return cost

    def _remember(self, x: Floats) -> None:
        """Rows that were near their limit, for the next program."""
        m = self.model
        p_kw, q_kvar = self.matrices.injections(x)
        v = m.v_base + applied(m.dv_dp, p_kw) + applied(m.dv_dq, q_kvar)
        self.near.clear()
        for key in self.matrices.written:
            assert isinstance(key, tuple)
            if key[0] not in ("high", "low"):
                continue
            side, t, n = key
            room = self.matrices.high[t, n] - v[t, n] if side == "high" else v[t, n] - self.matrices.low[t, n]
            if room < NEAR_PU * self.matrices.v_unit:
                self.near.add(key)

    def _settled(self) -> Answer:
        """Solves and adds the rows that the solution breaks, until it breaks none."""
        while True:
            answer = self.programs.solve()
            new = self.matrices.broken(answer.values)
            if not new or answer.cut:
                return answer
            for rows in new:
                self.programs.add(padded(rows, len(answer.values)))

    def _in_order(
        self, cost: Floats, best: Answer, order: int, lower: Floats, upper: Floats
    ) -> tuple[Answer, list[str]]:
        """ORDER's first `order`, one after the other; the best so far and those not solved to their end."""
        if order < 1:
            return best, []
        at = self.at
        reactive, through, names = (np.zeros(at.count) for _ in range(3))
        reactive[at.up : at.power] = -1.0
        through[at.power : at.less] = np.where(self.matrices.sign < 0, -1.0, 0.0).ravel()
        generic = np.modf(np.arange(1, at.count + 1) * (np.sqrt(5.0) - 1.0) / 2.0)[0]  # no two sums alike
        names[: at.sites] = -1.0 - np.arange(at.sites) / at.sites - 1e-3 * generic[: at.sites]
        names[at.up : at.energy] = -1e-2 * (1.0 + generic[at.up : at.energy])
        held = cost
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
        return best, []

    def _hold(self, cost: Floats, answer: Answer, k: int) -> None:
        """What is reached stays, to the solver's own digits."""
        cost = np.concatenate([cost, np.zeros(self.programs.columns - len(cost))])
        # oversteps at their price leave the solver fewer digits
        share = KEPT_SHARE * (1.0 if self.problem.elastic_kw_per_pu is None else 100.0)
        room = share * max(abs(answer.objective), 1.0)
        least = np.array([answer.objective - room])
        self.programs.add(Rows(sp.csr_array(cost[None, :]), least, np.array([INF]), [("kept", k)]))

    def _evenness(self, best: Answer) -> Floats:
        """The cost of the pieces of each site's square, which join the program as columns with a row per site."""
        sites, pieces = self.matrices.sites, len(PIECES)
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

    def _schedule(self, x: Floats, case: str) -> Schedule:
        p, m, profiles, at = self.problem, self.model, self.problem.profiles, self.at
        pv_kw = np.maximum(1e3 * x[: self.matrices.sites], 0.0)
        power = 1e3 * np.maximum(self.matrices.power(x), 0.0)
        energy = 1e3 * x[at.energy : at.overstep].reshape(at.steps + 1, at.units)
        p_kw, q_kvar = self.matrices.injections(x)
        return Schedule(
            case=case,
            times=profiles.times,
            step_h=profiles.step_h,
            pv_nodes=p.pv_nodes,
            pv_kw=pv_kw,
            pv_p_kw=p.sun * pv_kw,
            pv_q_kvar=1e3 * self.matrices.q(x) + 0.0,
            bess=p.fleet.units if p.fleet else (),
            bess_nodes=tuple(n for _, n in self.matrices.converters),
            bess_of=tuple(u for u, _ in self.matrices.converters),
            p_charge_kw=np.where(self.matrices.sign < 0, power, 0.0),
            p_discharge_kw=np.where(self.matrices.sign > 0, power, 0.0),
            soc_kwh=energy,
            predicted_nodes=m.nodes,
            predicted_v_pu=m.voltages_pu(p_kw, q_kvar),
            substation_phases=m.substation_phases,
            predicted_substation_kw=m.substation_kw(p_kw, q_kvar),
            assumptions=(f"linearized at {m.linearized_at}", *m.assumptions),
        )
