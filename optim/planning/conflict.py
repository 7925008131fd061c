"""Why a scheme has no solution: which bus, which hour, which limit, by how much."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

from optim.errors import InfeasibleError
from optim.feeder.radial_power_flow import RadialFlow
from optim.planning.case import PlanningCase, ScenarioName
from optim.planning.exactness import ac_flows, add_caps, base_flows, losses_priced
from optim.planning.model import PlanningProgram
from optim.planning.program import build
from optim.solve.conic_engines import HighsEngine
from optim.solve.options import SolveOptions

Floats = NDArray[np.float64]


def explained(case: PlanningCase, scenarios: tuple[ScenarioName, ...], storage: bool, what: str) -> InfeasibleError:
    """The error to raise for a program without a solution, made from the least violation that is left."""
    flows, left = _best_effort(case, scenarios, storage)
    worst = [w for s in scenarios for w in _violations(case, s, flows[s])]
    with_storage = " whatever storage is allowed" if storage else " without storage"
    if not worst:
        return InfeasibleError(
            f"{what} has no solution{with_storage}, though only just: with sizes and statuses that need not be "
            f"whole, {left:.1e} pu (squared, summed) of violation remain.",
            "Loosen the limits a little, or allow finer or larger sizes.",
        )
    worst.sort(reverse=True)
    sentences = "; ".join(sentence for _, sentence, _ in worst[:3])
    more = f" ({len(worst)} violations of this kind in all)" if len(worst) > 3 else ""
    remedies = " ".join(dict.fromkeys(remedy for _, _, remedy in worst))
    if "pvhc" in scenarios:
        remedies += " The PVHC scenario holds the existing PV and needs looser limits than the typical day."
    return InfeasibleError(f"{what} has no solution: at best,{with_storage}, {sentences}{more}.", remedies)


def _best_effort(
    case: PlanningCase, scenarios: tuple[ScenarioName, ...], storage: bool
) -> tuple[dict[str, RadialFlow], float]:
    """Operating points with the least sum of voltage violations, sizes and statuses not whole; and that sum."""
    program = build(case, scenarios, storage=storage)
    add_caps(program)
    soften(program)
    engine = HighsEngine(program.model, program.cones, SolveOptions(time_limit_s=60.0, threads=1), None, "")
    try:
        found = engine.relax()
    except InfeasibleError:  # not the voltages: currents, or sizes
        return base_flows(program), float("nan")
    return ac_flows(program), found.objective


def soften(program: PlanningProgram) -> None:
    """Voltage limits may be broken at a price; nothing else is minimized."""
    m, case = program.model, program.case
    base = base_flows(program)
    m.above = pyo.Var(m.S, m.T, m.J, within=pyo.NonNegativeReals)
    m.below = pyo.Var(m.S, m.T, m.J, within=pyo.NonNegativeReals)

    def lost(s: str, t: int, j: int) -> float:
        return float((base[s].lossless_u - base[s].u)[t, j])

    @m.Constraint(m.S, m.T, m.J)
    def soft_upper(m: Any, s: str, t: int, j: int) -> Any:
        return m.w[s, t, j] - m.above[s, t, j] <= case.limits(s).v_max_pu ** 2 + lost(s, t, j)

    @m.Constraint(m.S, m.T, m.J)
    def soft_lower(m: Any, s: str, t: int, j: int) -> Any:
        low = case.limits(s).v_min_pu ** 2
        if losses_priced(case, s):
            return m.u[s, t, j] + m.below[s, t, j] >= low
        return m.w[s, t, j] + m.below[s, t, j] >= low + lost(s, t, j)

    m.u[:, :, :].setlb(0.0)
    m.objective.deactivate()
    m.least = pyo.Objective(expr=sum(m.above[k] + m.below[k] for k in m.above))


def _violations(case: PlanningCase, scenario: ScenarioName, flow: RadialFlow) -> list[tuple[float, str, str]]:
    """(how far beyond, sentence, remedy) for every limit that the AC operating point breaks, worst per bus."""
    limits, v = case.limits(scenario), flow.v_pu()
    found = []
    where = f"[planning.{scenario}]"
    for excess, name, limit, word in (
        (v - limits.v_max_pu, "v_max_pu", limits.v_max_pu, "above"),
        (limits.v_min_pu - v, "v_min_pu", limits.v_min_pu, "below"),
    ):
        for j in np.flatnonzero(excess.max(axis=0) > 1e-6):
            t = int(excess[:, j].argmax())
            found.append(
                (
                    float(excess[t, j]),
                    f"bus {case.feeder.buses[j]} is at {v[t, j]:.4f} pu at {case.profiles.times[t]} in the "
                    f"{scenario} scenario, {word} {name} = {limit:g}",
                    f"Give {where} a {'larger' if word == 'above' else 'smaller'} {name}.",
                )
            )
    if limits.i_max_a is not None:
        amps = np.sqrt(flow.l) * case.feeder.i_base_a
        for j in np.flatnonzero(amps.max(axis=0) > limits.i_max_a * (1 + 1e-6)):
            t = int(amps[:, j].argmax())
            found.append(
                (
                    float(amps[t, j] / limits.i_max_a - 1.0),
                    f"{case.feeder.branches[j]} carries {amps[t, j]:.1f} A at {case.profiles.times[t]} in the "
                    f"{scenario} scenario, above i_max_a = {limits.i_max_a:g}",
                    f"Give {where} a larger i_max_a.",
                )
            )
    return found
