"""Why a hosting program has no solution, in the words of an engineer: which limit, at which bus and hour.

A smallest set of rows that exclude each other would be the textbook answer; on a real feeder it takes minutes
and holds a thousand rows of reactive power. Asked instead is by how much the limits of each hour must be
overstepped so that the rest can hold: one overstep per limit and hour, their sum least, charging and
discharging free of integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyomo.environ as pyo

from optim.errors import InfeasibleError, SolverError
from optim.hosting.limit_rows import LimitRows, injections, number
from optim.hosting.problem import HostingProblem
from optim.hosting.program import build
from optim.solve.highs import HighsSession
from optim.solve.options import SolveOptions

MOST = 6
"""Hours that are named."""
TIME_LIMIT_S = 30.0


@dataclass(frozen=True)
class Overstep:
    """A limit that cannot be held at one hour, where it is exceeded most."""

    row: str
    """Name of the row in the program, "voltage_min['83.1','23:00']"."""
    words: str
    relative: float
    """Overstep over the limit, to put the worst first."""


def explained(problem: HostingProblem, case: str, options: SolveOptions) -> InfeasibleError:
    """The error to raise for an infeasible program."""
    message = f"{case}: the program has no solution."
    try:
        found = sorted(_oversteps(problem, options), key=lambda o: -o.relative)
    except SolverError:
        return InfeasibleError(message, "Which limit is in the way could not be found in time.")
    except InfeasibleError:  # whatever limits on voltage, loading and reverse flow give way
        return InfeasibleError(message, "Its trust region admits nothing: widen it or move its centre.")
    if not found:
        return InfeasibleError(
            message,
            "Its limits can be held only by units that charge and discharge at once: give more units, other "
            "sites or wider limits.",
        )
    listed = "; ".join(o.words for o in found[:MOST])
    more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    rows = tuple(o.row for o in found)
    return InfeasibleError(message, f"Cannot be held: {listed}{more}. {_remedies(rows, problem)}", rows)


def _remedies(rows: tuple[str, ...], problem: HostingProblem) -> str:
    def concerned(kind: str) -> bool:
        return any(row.startswith(kind) for row in rows)

    high, low, load = concerned("voltage_max"), concerned("voltage_min"), concerned("loading_max")
    possible = []
    if (high or low) and not problem.night_var and np.any(problem.profiles.pv_pu == 0):
        possible.append("set night_var = true (with false there is no reactive power from PV at night)")
    if high or low:
        taps = " and ".join(["lower"] * high + ["raise"] * low)
        possible += [f"{taps} the regulators' taps in the feeder file", "widen the voltage limits"]
    if load:
        possible.append("raise loading_max_pu")
    if concerned("no_reverse_flow"):
        possible.append("lower substation_min_kw")
    words = ", or ".join(possible)
    return f"{words[0].upper()}{words[1:]}."


def _oversteps(problem: HostingProblem, options: SolveOptions) -> Iterator[Overstep]:
    soft = replace(problem, elastic_kw_per_pu=1.0)
    m = build(soft)
    m.hosting_capacity.deactivate()
    kinds = (m.overstep_high, m.overstep_low, m.overstep_load, m.overstep_source)
    m.oversteps = pyo.Objective(expr=pyo.quicksum(v for kind in kinds for v in kind.values()))
    rows = LimitRows(m, soft)
    solver = HighsSession(m, SolveOptions(threads=options.threads, time_limit_s=TIME_LIMIT_S))
    solver.set_integer([v for v in solver.variables if not v.is_continuous()], False)
    while solver.run(explain=False).status == "optimal":
        new = rows.broken()
        if not new:
            return _felt(m, problem)
        solver.add(new)
    raise SolverError("No time left.")


def _felt(m: pyo.ConcreteModel, problem: HostingProblem) -> Iterator[Overstep]:
    """Each overstep at the node, phase or branch that feels it most."""
    model, times = problem.model, problem.model.times
    moved = injections(m, problem)
    v_pu, drawn = model.voltages_pu(*moved), model.substation_kw(*moved)
    high, low, floor = problem.voltage_ceiling(), problem.voltage_floor(), problem.substation_floor_kw()
    for t, time in enumerate(times):
        if number(m.overstep_high[t]) > 1e-5:
            n = int(np.argmax(v_pu[t] - high[t]))
            yield Overstep(
                f"voltage_max['{model.nodes[n]}','{time}']",
                f"at most {high[t, n]:g} pu at {model.nodes[n]} at {time} ({v_pu[t, n]:.4f} at best)",
                float(v_pu[t, n] / high[t, n] - 1),
            )
        if number(m.overstep_low[t]) > 1e-5:
            n = int(np.argmax(low[t] - v_pu[t]))
            yield Overstep(
                f"voltage_min['{model.nodes[n]}','{time}']",
                f"at least {low[t, n]:g} pu at {model.nodes[n]} at {time} ({v_pu[t, n]:.4f} at best)",
                float(1 - v_pu[t, n] / low[t, n]),
            )
        if number(m.overstep_load[t]) > 1e-5:
            worst = [row for row in m.loading_max if row[1] == time]
            yield Overstep(
                f"loading_max['{worst[-1][0]}','{time}']",
                f"the current of {worst[-1][0]} at {time} within its rating "
                f"({number(m.overstep_load[t]):.1%} above it at best)",
                number(m.overstep_load[t]),
            )
        if floor is not None and number(m.overstep_source[t]) > 1e-6:
            s = int(np.argmax(floor[t] - drawn[t]))
            yield Overstep(
                f"no_reverse_flow[{s},{t}]",
                f"at least {floor[t, s]:g} kW into the feeder at {model.substation_phases[s]} at {time} "
                f"({drawn[t, s]:.1f} at best)",
                number(m.overstep_source[t]) * 1e3 / max(abs(float(floor[t, s])), 1.0),
            )
