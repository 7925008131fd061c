"""One schedule of many: where a capacity is decided, the first among its equals (see `decided.ORDER`)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optim.data.linear_model import Floats
from optim.data.schedule import Schedule
from optim.errors import InfeasibleError, SolverError
from optim.hosting.decided import ORDER, DecidedProgram
from optim.hosting.problem import HostingProblem
from optim.hosting.spread import worth_kw
from optim.hosting.storage import Fleet


def first_among_equals(problem: HostingProblem, found: Schedule) -> Schedule:
    """The schedule of as much capacity, with the same placement and statuses, that comes first in the order; `found`
    where that has no answer, which its notes then say. Placement that no row of the program tells apart is arbitrary:
    a note says that, too."""
    assert found.solve is not None
    notes = found.solve.notes
    decided = replace(problem, fleet=_placed(problem, found), charging=_statuses(problem, found))
    order = 0 if problem.trust else len(ORDER)
    try:
        first = DecidedProgram().solve(decided, found.case, order=order)
        reached = worth_kw(problem.spread, found.pv_nodes, found.pv_kw)
        behind = 1e3 * first.worth_mw < reached - 1e-6 * max(reached, 1.0)
        if problem.elastic_kw_per_pu is None and (behind or first.cut):
            raise SolverError("The order lost capacity.")
    except (InfeasibleError, SolverError):
        note = "the schedule is not the first among its equals: its reactive power is not the least"
        return replace(found, solve=replace(found.solve, notes=(*notes, note)))
    if first.unfinished:
        notes = (*notes, f"not decided to the end among equals: {', '.join(first.unfinished)}")
    if place_is_arbitrary(problem):
        notes = (*notes, "where units stand is arbitrary: no row of this program tells one candidate from another")
    return replace(first.schedule, solve=replace(found.solve, notes=notes))


def place_is_arbitrary(problem: HostingProblem) -> bool:
    """Whether a lossless program chooses among candidates: what is drawn at the source is the same wherever a unit
    stands, so that only voltages, which reactive power can hold, could tell."""
    fleet = problem.fleet
    if fleet is None or not fleet.chooses_sites:
        return False
    port = {name: d for d, name in enumerate(problem.model.ports)}
    at = [port[n] for _, n in fleet.converters]
    seen = problem.model.dsub_p_dp[:, :, at].sum(axis=1)  # all phases together
    return bool(np.ptp(seen) < 1e-9)


def _placed(problem: HostingProblem, found: Schedule) -> Fleet | None:
    """Those of the fleet that the schedule has, every one placed."""
    if problem.fleet is None:
        return None
    names = [u.name for u in found.bess]
    kept = [k for k, u in enumerate(problem.fleet.units) if u.name in names]
    fleet = problem.fleet
    return Fleet(tuple(fleet.units[k] for k in kept), tuple(fleet.nodes[k] for k in kept), None, fleet.circulation)


def _statuses(problem: HostingProblem, found: Schedule) -> Floats | None:
    """(T, U) one where a unit charges; with circulation forbidden, where the fleet does."""
    if problem.fleet is None:
        return None
    net = np.zeros((len(found.times), len(found.bess)))
    for d, u in enumerate(found.bess_of):
        net[:, u] += found.p_charge_kw[:, d] - found.p_discharge_kw[:, d]
    if problem.fleet.circulation == "forbid":
        net[:] = net.sum(axis=1, keepdims=True)
    return np.asarray(net > 0, dtype=float)
