"""How the programs of `optim.hosting.program` are solved: rows as they are broken, statuses as they are needed.

The naive distributed program is hard: 20 candidates times 24 statuses, all permutations of equal units, and
thousands of dense voltage rows. Two solvers work on the one Pyomo model instead:

- the *continuous* one holds every voltage row that was ever broken; integers are relaxed or fixed in it;
- the *integer* one holds only the voltage rows that bind in the continuous one (those with a price). In a
  lossless model whose voltages can be held by reactive power there are none, and it is small.

Each round: (a) Placement. Where candidates are interchangeable in every row that the integer solver holds
(equal units, no voltage row with a price, no losses), any placement has the same optimum: one is fixed, and
what is proven for it is proven for all. Elsewhere placement is decided with k(t), the number of units
charging, integer and single statuses continuous: an hour in which some charge while others discharge is
settled at once for all permutations. (b) Statuses, integer only in the hours in which a solution charges and
discharges at once; the others need no integer to be right. (c) All decisions fixed, continuous, voltage rows
until none is broken: a schedule. Claim and bound meet, or the rows that now bind join the integer solver for
another round; at last the whole program at once. Every stage relaxes the program, so every bound is proven.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from pyomo.core.base.var import VarData

from optim.data.linear_model import Floats
from optim.data.node import phase_of
from optim.data.schedule import Schedule
from optim.errors import InfeasibleError, SolverError
from optim.hosting import storage
from optim.hosting.conflict import explained
from optim.hosting.limit_rows import LimitRows, number
from optim.hosting.order import first_among_equals
from optim.hosting.problem import CEILING_MW, HostingProblem
from optim.hosting.program import build, schedule_of
from optim.solve.highs import HighsSession
from optim.solve.options import ProgressCallback, SolveOptions
from optim.solve.outcome import Outcome, relative_gap, solve_info
from optim.solve.pyomo_solvers import solve_with_pyomo

TANGLED_MW = 1e-6
STOPPED = "stopped by the user"
"""In the notes of a schedule that came out of Ctrl-C, whatever its proof was worth by then."""
FIRST_SCHEDULE_S = 10.0
"""A time limit shorter than the first linear programs take is exceeded by up to this for each of the two, so
that it ends with a schedule and a bound rather than with nothing."""


def solve_hosting(
    problem: HostingProblem,
    case: str,
    options: SolveOptions,
    progress: ProgressCallback | None = None,
    *,
    tidy: bool = True,
) -> Schedule:
    """Solves the program and returns the claim with its proof; `tidy` picks, among the schedules of the same
    objective, one with the least reactive power.

    Status "optimal" or "gap" when claim and bound meet to `options.gap`; "work_limit" (nodes, iterations),
    "time_limit" (the guard) or "interrupted" with the best schedule so far and its proven bound otherwise.
    The guard ends the search for better schedules and proofs; the first schedule may take up to FIRST_SCHEDULE_S
    beyond it. Raises InfeasibleError (limits, buses and hours in conflict), SolverError (no
    schedule within the time), KeyboardInterrupt where Ctrl-C left nothing to keep.
    """
    try:
        search = _Search(problem, case, options, progress)
        claim, bound = search.run()
    except InfeasibleError:
        raise explained(problem, case, options) from None
    build_s, solve_s = search.build_s, time.perf_counter() - search.begun - search.build_s
    gap = relative_gap(claim.objective, bound)
    status = claim.status
    if gap <= options.gap * 1.001:
        status = "optimal" if gap <= 1e-6 else "gap"
    else:
        status = "interrupted" if search.interrupted else "time_limit" if search.out_of_time() else "work_limit"
    if problem.spread and problem.spread.objective == "even":
        bound = np.nan  # what is proven is the least favoured site's share, not the sum
    outcome = Outcome(status, claim.objective * 1e3, bound * 1e3, solve_s, True)
    notes = (f"{search.rows_written} limit rows of {search.rows.possible} were ever needed", *search.notes)
    if problem.losses_max_kw is not None and problem.model.losses_base_kw is None:
        notes = (*notes, "this linear model knows no losses: their ceiling holds in the closed loop only")
    if search.interrupted:
        notes = (*notes, STOPPED)
    found = schedule_of(search.m, problem, case, solve_info(outcome, build_s, solve_s, options, notes))
    if not tidy or search.interrupted or options.solver != "highs":
        return found
    return first_among_equals(problem, found)


class _Search:
    def __init__(
        self, problem: HostingProblem, case: str, options: SolveOptions, progress: ProgressCallback | None
    ) -> None:
        self.begun = time.perf_counter()
        self.problem, self.options, self.fleet = problem, options, problem.fleet
        self.m = build(problem)
        if self.fleet and len(self.fleet.units) > 1 and problem.charging is None:
            storage.units_charging(self.m, self.fleet)
        self.rows = LimitRows(self.m, problem)
        self.rows_written = 0
        self.build_s = time.perf_counter() - self.begun
        self._progress, self._case = progress, case
        self.bound = np.inf
        self.placements = [v for v in self.m.placed.values() if not v.fixed] if self.fleet else []
        self._conflicting: set[str] = set()
        """Rows known when decisions left no schedule: they matter as much as those with a price."""
        self.best: Outcome | None = None
        self._best_values: list[float | None] = []
        self.notes: list[str] = []
        self._stopped = False
        self._sessions: list[HighsSession] = []

    def run(self) -> tuple[Outcome, float]:
        """(best claim, proven bound) in MW; the model holds the claim's values on return."""
        if self.options.solver != "highs":
            return self._run_elsewhere()
        self.continuous = HighsSession(self.m, self.options, self._progress, self._case)
        integers = [v for v in self.continuous.variables if not v.is_continuous() and not v.fixed]
        self.continuous.set_integer(integers, False)
        # compiled before any voltage row is written: it gets only those that prove to have a price
        self.integer = HighsSession(self.m, self.options, self._progress, self._case) if integers else self.continuous
        self._sessions = [self.continuous, self.integer]
        self.integer.set_integer(integers, False)
        for session in {id(s): s for s in (self.continuous, self.integer)}.values():
            free = [size for size in self.m.pv.values() if size.ub is None]
            session.set_bounds(free, [0.0] * len(free), [CEILING_MW] * len(free))
        relaxed = self._settle("relaxation", grace_s=FIRST_SCHEDULE_S)
        self.bound = min(self.bound, relaxed.bound)
        if not integers and relaxed.values_valid:
            self._keep(relaxed)
        elif relaxed.values_valid:
            values = [v.value for v in self.continuous.variables]
            try:
                self._rounds(integers)
            except KeyboardInterrupt:
                self._stopped = True
            if self.best is None:
                self._restore(values)
                self._round_off()
        if self.best is None:
            self._give_up()
        self._restore(self._best_values)
        if any(number(size) > 0.99 * CEILING_MW for size in self.m.pv.values()):
            raise SolverError(
                f"{self._case}: the program is unbounded, nothing limits the PV capacity.",
                "Add a limit (reverse flow, voltage or rating).",
            )
        assert self.best is not None
        return self.best, self.bound

    @property
    def interrupted(self) -> bool:
        """Whether the user wants to stop, inside the solver or between its runs."""
        return self._stopped or any(session.interrupted for session in self._sessions)

    def _give_up(self) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        known = f", hosting capacity at most {self.bound * 1e3:.1f} kW" if np.isfinite(self.bound) else ""
        raise SolverError(
            f"{self._case}: no schedule found within {self.options.time_limit_s:g} s and "
            f"{self.options.max_nodes} nodes{known}.",
            "Give it more (--time-limit; time_limit_s and max_nodes under [solver]).",
        )

    # -- rounds -------------------------------------------------------------------------------------------

    def _rounds(self, integers: list[VarData]) -> None:
        self._share_binding_rows()
        while not self._spent():
            self._round()
            if self._closed():
                return
            if not self._share_binding_rows():
                break
        if not self._spent():
            self._whole(integers)

    def _round_off(self) -> None:
        """A first schedule where time was up or Ctrl-C came before any: the relaxation's sites and directions."""
        for variable, value in zip(self.placements, self._most_placed(), strict=True):
            variable.set_value(value)
        self._schedule_from(grace_s=FIRST_SCHEDULE_S)

    def _round(self) -> None:
        """Steps (a) to (c) of the module docstring."""
        m, solver, placements = self.m, self.integer, self.placements
        proven_for_all = not placements or self._interchangeable()
        if placements and not proven_for_all:
            coarse = placements + [m.units_charging[t] for t in m.step]
            stage = self._integer_run("placement", coarse)
            self.bound = min(self.bound, stage.bound)
            solver.set_integer(coarse, False)
            if not stage.values_valid:
                return
        chosen = self._most_placed()
        solver.set_bounds(placements, chosen, chosen)
        try:
            stage = self._statuses()
        except InfeasibleError:
            if proven_for_all:
                raise
            return  # these sites admit no statuses; others may, which is for the whole program to say
        finally:
            solver.restore_bounds(placements)
        if proven_for_all:
            self.bound = min(self.bound, stage.bound)
        if stage.values_valid:
            self._schedule_from()

    def _statuses(self) -> Outcome:
        """Step (b): statuses integer in hours where the solution before charged and discharged at once."""
        solver = self.integer
        hours: set[int] = set()
        while True:
            deciding = [v for t in sorted(hours) for v in self._statuses_of(t)]
            stage = self._integer_run("statuses", deciding)
            solver.set_integer(deciding, False)
            tangled = self._tangled_hours() if stage.values_valid else set()
            if not tangled - hours or self._spent():
                return stage
            hours |= tangled

    def _integer_run(self, phase: str, integers: list[VarData]) -> Outcome:
        solver = self.integer
        solver.phase = f"{self._case}: {phase}"
        solver.set_integer(integers, True)
        # a stage that cannot be closed leaves as much to those after it
        return solver.run(gap=self.options.gap / 4, max_nodes=max(solver.nodes_left // 2, 1), explain=False)

    def _statuses_of(self, t: int) -> list[VarData]:
        if hasattr(self.m, "fleet_charging"):  # single statuses follow from the fleet's
            return [self.m.fleet_charging[t]]
        return [self.m.charging[u, t] for u in self.m.unit]

    def _tangled_hours(self) -> set[int]:
        """Steps in which one unit (with circulation forbidden: the fleet) charges and discharges at once."""
        charge, discharge = self._unit_powers()
        if hasattr(self.m, "fleet_charging"):
            charge, discharge = charge.sum(axis=1, keepdims=True), discharge.sum(axis=1, keepdims=True)
        return set(np.flatnonzero(np.any(np.minimum(charge, discharge) > TANGLED_MW, axis=1)).tolist())

    def _unit_powers(self) -> tuple[Floats, Floats]:
        """(T, U) charging and discharging power of each unit, MW."""
        fleet = self.fleet
        assert fleet is not None
        powers = [
            [[sum(number(v[u, n, t]) for n in nodes) for u, nodes in enumerate(fleet.nodes)] for t in self.m.step]
            for v in (self.m.p_charge, self.m.p_discharge)
        ]
        return np.array(powers[0]), np.array(powers[1])

    def _interchangeable(self) -> bool:
        """Whether the integer solver's rows cannot tell one candidate from another."""
        fleet, model = self.fleet, self.problem.model
        assert fleet is not None
        if self.problem.trust or any(self.integer.has_row(c.name) for c in self.rows.written()):
            return False
        port = {name: d for d, name in enumerate(model.ports)}
        first = [_phase(n) for n in fleet.nodes[0]]
        if any([_phase(n) for n in nodes] != first for nodes in fleet.nodes):
            return False
        if len({replace(unit, name="", bus="") for unit in fleet.units}) > 1:
            return False
        columns = np.array([[port[n] for n in nodes] for nodes in fleet.nodes])
        seen = model.dsub_p_dp[:, :, columns]  # (T or 1, S, U, phases)
        return bool(np.max(np.abs(seen - seen[:, :, :1, :])) < 1e-9)

    def _most_placed(self) -> Floats:
        """1 for the n_placed candidates that the present (relaxed or integer) solution holds highest."""
        assert self.fleet is not None
        shares = np.array([number(v) for v in self.placements])
        values = np.zeros(len(shares))
        values[np.argsort(-shares, kind="stable")[: self.fleet.n_placed]] = 1.0
        return values

    def _whole(self, integers: list[VarData]) -> None:
        """The whole program, all integers, with the rows that ever bound, from the best schedule on."""
        solver = self.integer
        solver.phase = f"{self._case}: whole program"
        solver.set_integer(integers, True)
        while not self._spent():
            if self.best is not None:
                self._restore(self._best_values)
                solver.start_from(integers, solver.value(integers))
            stage = solver.run(explain=False)
            self.bound = min(self.bound, stage.bound)
            if not stage.values_valid:
                return
            self._schedule_from()
            if self._closed() or not self._share_binding_rows():
                return

    def _schedule_from(self, grace_s: float = 0.0) -> None:
        """Step (c): the present placement and directions fixed, all voltage rows, the best continuous rest."""
        charge, discharge = self._unit_powers()
        placed = np.array([round(number(v)) for v in self.m.placed.values()])
        directions = self._directions(charge, discharge) * placed
        decided, values = list(self.placements), [float(round(number(v))) for v in self.placements]
        for u in self.m.unit:
            decided += [self.m.charging[u, t] for t in self.m.step]
            values += directions[:, u].tolist()
        if hasattr(self.m, "fleet_charging"):
            decided += [self.m.fleet_charging[t] for t in self.m.step]
            values += directions.max(axis=1).tolist()
        self._conflicting = set()
        self.continuous.set_bounds(decided, values, values)
        try:
            outcome = self._settle("schedule", grace_s)
        except InfeasibleError:  # these decisions break limits whatever else is done: the integer solver must know
            self._conflicting = {row.name for row in self.rows.written()}
            return
        finally:
            self.continuous.restore_bounds(decided)
        if outcome.values_valid:
            self._keep(outcome)

    def _directions(self, charge: Floats, discharge: Floats) -> Floats:
        """(T, U) 1 where a unit (with circulation forbidden: the fleet) rather charges; an idle one keeps its status,
        which may matter to the last watt."""
        net = charge - discharge
        if hasattr(self.m, "fleet_charging"):
            net = np.repeat(net.sum(axis=1, keepdims=True), net.shape[1], axis=1)
            status = np.array([[number(self.m.fleet_charging[t])] * net.shape[1] for t in self.m.step])
        else:
            status = np.array([[number(self.m.charging[u, t]) for u in self.m.unit] for t in self.m.step])
        return np.where(np.abs(net) > TANGLED_MW, net > 0, status > 0.5).astype(float)

    def _settle(self, phase: str, grace_s: float = 0.0) -> Outcome:
        """Solves the continuous program, adds the rows that its solution breaks, until it breaks none.

        Has at least `grace_s` for it, whatever the time limit."""
        solver = self.continuous
        solver.phase = f"{self._case}: {phase}"
        until = time.perf_counter() + max(grace_s, solver.seconds_left)
        while True:
            outcome = solver.run(time_limit_s=until - time.perf_counter(), overtime=True, explain=False)
            if not outcome.values_valid:
                return outcome
            new = self.rows.broken()
            if not new:
                return outcome
            self.rows_written += len(new)
            solver.add(new)
            if outcome.status == "interrupted":  # the point breaks rows: no schedule, but its bound stands
                return Outcome("interrupted", np.nan, outcome.bound, outcome.seconds, False)

    # -- small things -------------------------------------------------------------------------------------

    def _share_binding_rows(self) -> bool:
        """Rows with a price in the continuous program join the integer one. True where there are new ones."""
        wanted = self._conflicting or self.continuous.binding_rows()
        new = [c for c in self.rows.written() if c.name in wanted and not self.integer.has_row(c.name)]
        self.integer.add(new)
        return bool(new)

    def _spent(self) -> bool:
        return self.interrupted or self.out_of_time() or self.integer.nodes_left <= 0

    def out_of_time(self) -> bool:
        return self.continuous.seconds_left <= 0

    def _closed(self) -> bool:
        return self.best is not None and relative_gap(self.best.objective, self.bound) <= self.options.gap

    def _keep(self, outcome: Outcome) -> None:
        if self.best is None or outcome.objective > self.best.objective:
            self.best = outcome
            self._best_values = [v.value for v in self.continuous.variables]

    def _restore(self, values: list[float | None]) -> None:
        for variable, value in zip(self.continuous.variables, values, strict=True):
            variable.set_value(value, skip_validation=True)

    def _run_elsewhere(self) -> tuple[Outcome, float]:
        """Another Pyomo solver gets the whole program at once, all voltage rows in it; loadings as they break."""
        self.rows_written = len(self.rows.all_voltage_rows())
        while True:
            outcome = solve_with_pyomo(self.m, self.options)
            if not outcome.values_valid:
                raise SolverError(f"{self.options.solver} found no schedule.", "Give it more time.")
            new = self.rows.broken()
            self.rows_written += len(new)
            if not new:
                return outcome, outcome.bound


def _phase(node: str) -> str:
    return phase_of(node)
