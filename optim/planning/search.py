"""How paper 2's program is solved: relaxation, first plan, mixed-integer rounds, operating point.

1. Relaxation (integrality off) and AC power flow in turn, until the caps of `exactness.py` agree.
2. A first plan: the relaxation's sizes rounded up at each area's strongest bus; caps agreed again.
3. Rounds: the mixed-integer program gives a bound and a plan; with the plan fixed, LP and cuts give its cost;
   until both are within the gap. The status of a unit is an integer only in hours where it was seen to charge
   and discharge at once: elsewhere its relaxation costs nothing, and the bound stays a bound.
4. Caps agreed for the plan found; if that moves the objective by a tenth of the gap, the rounds are repeated.
5. The operating point: the plan's dispatch with its AC flows, checked against every row of the program.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray
from pyomo.core.base.var import VarData

from optim.data.schedule import SolveStatus
from optim.errors import ModelError, SolverError
from optim.feeder.radial_power_flow import RadialFlow
from optim.planning.exactness import (
    ac_flows,
    add_caps,
    base_flows,
    cone_slack,
    correction_bounds,
    correction_change,
    largest_violation,
    put_on_ac,
)
from optim.planning.first_plan import rounded_up, site_values, strongest_sites
from optim.planning.model import PlanningProgram
from optim.solve.cones import ConeReport
from optim.solve.conic_engines import ABSOLUTE_GAP, ConicEngine, HighsEngine, PyomoEngine
from optim.solve.options import Progress, ProgressCallback, SolveOptions
from optim.solve.outcome import Outcome, relative_gap

Floats = NDArray[np.float64]

_BOTH_MW = 1e-6
"""Charging and discharging at once beyond this is no rounding noise."""
_AGREED = 1e-9
"""Caps agree when their correction changes by less, in squared pu."""
_MOST_PASSES = 30
_MOST_REPEATS = 4
_MOST_IDLE = 4
"""Rounds that change nothing at a gap halved each time; what is left then is a solver's tolerance."""


@dataclass(frozen=True)
class Round:
    """One line of the log. Objective and bound in the program's unit, NaN where there is none yet."""

    phase: str
    seconds: float
    objective: float
    bound: float
    cuts: int
    correction_change: float = float("nan")


@dataclass(frozen=True)
class SolvedProgram:
    """The program's variables hold the operating point; this is how it came about."""

    status: SolveStatus
    objective: float
    bound: float
    build_s: float
    """Of `seconds`, what went into compiling the model for the solver."""
    seconds: float
    rounds: tuple[Round, ...]
    cones: ConeReport
    flows: dict[str, RadialFlow]
    """AC power flow of the plan's injections by scenario; empty where it does not settle (as written)."""
    slack_relaxed: dict[str, float]
    """Largest l u - P^2 - Q^2 of the solver's own point, before AC flows were put in, by scenario."""
    violation: float
    """Largest violation of any row, limit or cone of the program at the operating point, pu."""

    @property
    def gap(self) -> float:
        return relative_gap(self.objective, self.bound)


@dataclass(frozen=True, eq=False)
class _Plan:
    decisions: Floats
    """Values of the sites and sizes in steps."""
    statuses: Floats
    objective: float = float("nan")
    point: Floats | None = None
    """Values of all variables once the caps are agreed for this plan."""


def solve_program(
    program: PlanningProgram, options: SolveOptions, progress: ProgressCallback | None = None, phase: str = "planning"
) -> SolvedProgram:
    """Solves the program and leaves the operating point in its variables.

    Raises InfeasibleError where the limits admit nothing, SolverError where the time limit comes before the
    first plan. A time limit or Ctrl-C later gives the best plan so far with its proven bound. With
    `case.exactness` "capped" the bound is that of the program under the caps agreed for the plan.
    """
    return _PlanningSearch(program, options, progress, phase).run()


class _PlanningSearch:
    def __init__(
        self, program: PlanningProgram, options: SolveOptions, progress: ProgressCallback | None, phase: str
    ) -> None:
        self.program, self.options, self.progress, self.phase = program, options, progress, phase
        self.started = time.perf_counter()
        self.capped = program.case.exactness == "capped"
        if self.capped:
            add_caps(program)
        make = HighsEngine if options.solver == "highs" else PyomoEngine
        self.engine: ConicEngine = make(program.model, program.cones, options, progress, phase)
        self.build_s = self.seconds
        self.corrected_at: dict[str, RadialFlow] = {}
        if self.capped:
            self.use(base_flows(program))
        m = program.model
        sizes = (*m.site.values(), *m.energy_steps.values(), *m.power_steps.values())
        self.decisions: list[VarData] = [v for v in sizes if v.lb != v.ub]
        self.statuses: list[VarData] = list(m.charging.values())
        self.variables: list[VarData] = list(m.component_data_objects(pyo.Var))
        self.active: set[int] = set()  # statuses that are integers in the rounds
        self.log: list[Round] = []
        self.bound = -np.inf
        self.stopped: SolveStatus | None = None  # why, if not because of the gap

    # -- the order of the steps -------------------------------------------------------------------------

    def run(self) -> SolvedProgram:
        relaxed = self.agreed("relaxation", self.engine.relax)
        if relaxed is None:
            raise SolverError(
                f"{self.phase}: stopped after {self.seconds:.1f} s, before the relaxation was solved.",
                "Give it a longer time_limit_s.",
            )
        self.bound = relaxed.bound
        if not self.decisions and not self.statuses:
            return self.operating_point()
        settled = self.first_plan()
        for _ in range(_MOST_REPEATS):
            best = self.rounds(settled)
            if best is None:
                raise SolverError(
                    f"{self.phase}: no plan was found in {self.seconds:.1f} s.",
                    "Give it a longer time_limit_s, or more freedom in sizes and limits.",
                )
            if best is settled:
                break
            settled = self.settle(best)
            moved = abs(settled.objective - best.objective) > 0.1 * self.options.gap * abs(best.objective)
            if not moved or self.stopped:
                break
        if settled is not None and settled.point is not None:
            self.restore(settled.point)
        return self.operating_point()

    def first_plan(self) -> _Plan | None:
        """The relaxation's sites and statuses fixed, sizes free, then rounded up and if too tight, once more."""
        agreed, statuses = self.corrected_at, self.present_statuses()
        if self.decisions:
            sites = strongest_sites(self.program)
            chosen = [*self.program.model.site.values(), *self.statuses]
            values = np.concatenate([site_values(self.program, sites), statuses])
            if self.agreed("sizes", lambda: self.engine.fix(chosen, values, overtime=True)) is None:
                self.use(agreed)
                return None
            plans = [_Plan(rounded_up(self.program, sites, more), statuses) for more in (0, 1)]
        else:
            plans = [_Plan(np.zeros(0), statuses)]
        for plan in plans:
            found = self.agreed("first plan", partial(self.fixed, plan))
            if found is not None:
                return replace(plan, objective=found.objective, point=self.snapshot())
        self.use(agreed)
        return None

    def rounds(self, best: _Plan | None) -> _Plan | None:
        """Bound and plan in turn until they meet; every bound and objective under the same caps."""
        relaxed = self.engine.relax()
        self.bound = relaxed.bound
        self.activate()
        gap, idle = self.options.gap, 0
        while not self.met(best) and idle < _MOST_IDLE:
            before = (self.engine.cuts_made, len(self.active), self.bound, best)
            integers = self.decisions + [self.statuses[i] for i in sorted(self.active)]
            found = self.engine.improve(integers, self.start(best), gap=0.5 * gap)
            self.bound = max(self.bound, found.bound) if np.isfinite(found.bound) else self.bound
            if found.values_valid:
                self.activate()
                plan = _Plan(np.round([v.value for v in self.decisions]), self.present_statuses())
                polished = self.fixed(plan)
                if polished is not None and polished.values_valid:
                    plan = replace(plan, objective=polished.objective)
                    best = plan if best is None or plan.objective < best.objective else best
            if before == (self.engine.cuts_made, len(self.active), self.bound, best):
                gap, idle = 0.5 * gap, idle + 1  # only the solver's own gap or tolerance stands between
            self.note("round", best.objective if best else np.nan)
            if found.status in ("time_limit", "interrupted") or self.engine.seconds_left <= 0:
                self.stopped = None if self.met(best) else "time_limit"
                if found.status == "interrupted":
                    self.stopped = "interrupted"
                break
        return best

    def settle(self, plan: _Plan) -> _Plan:
        """Caps agreed for the plan; its values are left in the model."""
        found = self.agreed("plan", lambda: self.fixed(plan))
        if found is None:
            raise ModelError(
                f"{self.phase}: the plan found admits no AC operating point inside the limits.",
                "Loosen the limits a little or allow larger units.",
            )
        return replace(plan, objective=found.objective, point=self.snapshot())

    def operating_point(self) -> SolvedProgram:
        program = self.program
        slack: dict[str, float] = {s: float(np.abs(cone_slack(program, s)).max()) for s in program.scenarios}
        flows: dict[str, RadialFlow] = {}
        if self.capped:
            flows = ac_flows(program)
            put_on_ac(program, flows)
        objective = float(pyo.value(program.model.objective))
        gap = relative_gap(objective, self.bound)
        close = gap <= self.options.gap or abs(objective - self.bound) <= ABSOLUTE_GAP
        reached: SolveStatus = "optimal" if gap <= 1e-6 else "gap" if close else "feasible"
        return SolvedProgram(
            self.stopped or reached,
            objective,
            self.bound,
            self.build_s,
            self.seconds,
            tuple(self.log),
            self.engine.report,
            flows,
            slack,
            largest_violation(program),
        )

    # -- pieces -----------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def agreed(self, phase: str, solve: Callable[[], Outcome | None]) -> Outcome | None:
        """Solves and corrects the caps in turn until they agree; None where that ends without a point."""
        found: Outcome | None = None
        for _ in range(_MOST_PASSES):
            found = solve()
            if found is None or not found.values_valid:
                return None
            if not self.capped:
                self.note(phase, found.objective)
                break
            flows = ac_flows(self.program)
            change = correction_change(flows, self.corrected_at)
            self.note(phase, found.objective, change)
            if change < _AGREED:
                break
            self.use(flows)
        return found

    def use(self, flows: dict[str, RadialFlow]) -> None:
        self.corrected_at = flows
        for variables, lower, upper in correction_bounds(self.program, flows):
            self.engine.set_bounds(variables, lower, upper)

    def snapshot(self) -> Floats:
        return np.array([v.value for v in self.variables], dtype=float)

    def restore(self, point: Floats) -> None:
        for v, value in zip(self.variables, point.tolist(), strict=True):
            v.set_value(value, skip_validation=True)

    def fixed(self, plan: _Plan) -> Outcome | None:
        values = np.concatenate([plan.decisions, plan.statuses])
        return self.engine.fix(self.decisions + self.statuses, values, overtime=True)

    def start(self, plan: _Plan | None) -> tuple[list[VarData], Floats] | None:
        if plan is None:
            return None
        chosen = sorted(self.active)
        variables = self.decisions + [self.statuses[i] for i in chosen]
        return variables, np.concatenate([plan.decisions, plan.statuses[chosen]])

    def met(self, plan: _Plan | None) -> bool:
        if plan is None:
            return False
        near = abs(plan.objective - self.bound) <= ABSOLUTE_GAP
        return near or relative_gap(plan.objective, self.bound) <= self.options.gap

    def note(self, phase: str, objective: float, change: float = float("nan")) -> None:
        self.log.append(Round(phase, self.seconds, objective, self.bound, self.engine.cuts_made, change))
        if self.progress:
            self.progress(Progress(f"{self.phase}: {phase}", self.seconds, objective, self.bound))

    def totals(self) -> tuple[Floats, Floats]:
        """Charging and discharging of the area at every status, MW."""
        m, areas = self.program.model, self.program.case.areas
        charge = [sum(m.charge[s, t, d].value for d in areas[a]) for s, t, a in m.charging]
        discharge = [sum(m.discharge[s, t, d].value for d in areas[a]) for s, t, a in m.charging]
        return np.array(charge, dtype=float), np.array(discharge, dtype=float)

    def present_statuses(self) -> Floats:
        charge, discharge = self.totals()
        return (charge >= discharge).astype(float)

    def activate(self) -> None:
        """Statuses of units that charge and discharge at once become integers in the rounds."""
        self.active |= set(np.flatnonzero(np.minimum(*self.totals()) > _BOTH_MW).tolist())
