"""What the closed loop may move of a schedule, as the program's variables."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hcsim.schedules.edit import with_reserve
from hcsim.workbench.allocation import Workbench
from optim.data.linear_model import Floats
from optim.data.schedule import Schedule
from optim.hosting.problem import CASES
from optim.hosting.storage import Fleet


@dataclass(frozen=True)
class Decisions:
    """What the loop keeps while it walks: the units that stand, and when each charges."""

    fleet: Fleet | None
    charging: Floats | None
    """(T, U) one where a unit charges."""


def decisions_of(schedule: Schedule) -> Decisions:
    if not schedule.bess:
        return Decisions(None, None)
    nodes = tuple(
        tuple(n for n, of in zip(schedule.bess_nodes, schedule.bess_of, strict=True) if of == u)
        for u in range(len(schedule.bess))
    )
    net = np.zeros((len(schedule.times), len(schedule.bess)))
    for d, u in enumerate(schedule.bess_of):
        net[:, u] += schedule.p_charge_kw[:, d] - schedule.p_discharge_kw[:, d]
    circulation = "forbid" if schedule.case == "distributed_no_circulation" else "allow"
    if circulation == "forbid":
        net[:] = net.sum(axis=1, keepdims=True)  # one status for all, also of those that idle
    return Decisions(Fleet(schedule.bess, nodes, None, circulation), (net > 0).astype(float))


def open_fleet(bench: Workbench, claim: Schedule, reserve: float) -> Fleet | None:
    """What may be decided anew: the case's own fleet for its programs, the units that stand for a schedule from
    elsewhere, nothing without batteries."""
    if not claim.bess:
        return None
    fleet = decisions_of(claim).fleet
    if claim.case in CASES and bench.case.config.bess is not None:
        own = bench.fleet(claim.case)
        if own is not None and {u.bus for u in claim.bess} <= {u.bus for u in own.units}:
            fleet = own
    assert fleet is not None
    return replace(fleet, units=tuple(with_reserve(u, reserve) for u in fleet.units))
