"""A proposal that failed by little: as much less PV and reactive power as the replay's own tangent asks for.

Where controls answer to everything, a new program proposes another schedule with other violations. Here all stays
as it was replayed but for devices near what was broken, so that little else happens. Each site only goes part of
the way to nothing, the same part at every hour, its reactive power further in the hours that broke something:
what a program asks of a schedule holds of what is left of it, and batteries stay as they are.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from hcsim.certify.margins import Margins
from hcsim.certify.options import LoopOptions
from hcsim.certify.stalls import oversteps
from hcsim.replay.result import ReplayResult
from hcsim.schedules.edit import reduced
from optim.data.criteria import CRITERIA
from optim.data.linear_model import Floats, LinearModel
from optim.data.schedule import Schedule
from optim.data.violations import new_violations

SIGN = {c.name: c.sign for c in CRITERIA}


def repaired(
    schedule: Schedule, found: ReplayResult, model: LinearModel, margins: Margins, options: LoopOptions
) -> Schedule | None:
    """The schedule with the least loss of capacity for which `model`, the tangent at `found`, takes back each new
    violation by `taken_back` of it and the criterion's margin (its own unit). None where devices alone cannot, by the
    tangent, or where something else than a voltage, a flow of the source or a loading is broken."""
    table = new_violations(found.violations)
    slopes = [_slopes(model, row.criterion, f"{row.element}.{row.phase}", int(row.step)) for row in table.itertuples()]
    rows = [s for s in slopes if s is not None]
    if not rows or len(rows) < len(slopes):
        return None
    at = [model.ports.index(n) for n in schedule.pv_nodes]
    steps = table["step"].to_numpy(int)
    sign = np.array([SIGN[c] for c in table["criterion"]])[:, None]
    asked = options.taken_back * oversteps(table) + np.array([margins.of(c) for c in table["criterion"]])
    by_p = np.array([p[at] for p, _ in rows]) * schedule.pv_p_kw[steps]  # what each site does to each row
    by_q = np.array([q[at] for _, q in rows]) * schedule.pv_q_kvar[steps]

    hours = np.unique(steps)
    sites = len(at)
    less_q = np.hstack([np.where(steps[:, None] == t, sign * by_q, 0.0) for t in hours])
    kvar = np.abs(schedule.pv_q_kvar[hours]).ravel()
    part = np.hstack([np.tile(np.eye(sites), (len(hours), 1)), np.eye(sites * len(hours))])  # at most all of it
    solved = linprog(
        np.concatenate([schedule.pv_kw, options.taken_back_kw_per_kvar * kvar]),
        A_ub=np.vstack([-np.hstack([sign * (by_p + by_q), less_q]), part]),
        b_ub=np.concatenate([-asked, np.ones(len(part))]),
        bounds=(0.0, 1.0),
    )
    if not solved.success:
        return None
    pv_share = 1.0 - solved.x[:sites]
    q_share = np.tile(pv_share, (len(schedule.times), 1))
    q_share[hours] -= solved.x[sites:].reshape(len(hours), sites)
    return reduced(schedule, np.clip(pv_share, 0.0, 1.0), np.clip(q_share, 0.0, 1.0))


def _slopes(model: LinearModel, criterion: str, element: str, t: int) -> tuple[Floats, Floats] | None:
    """(D,) what a kW and a kvar at each port do to a judged value; None where the model has no row of it."""
    if criterion in ("overvoltage", "undervoltage") and element in model.nodes:
        n = model.nodes.index(element)
        return model.dv_dp[t, n], model.dv_dq[t, n]
    if criterion == "reverse_flow" and element in model.substation_phases:
        s = model.substation_phases.index(element)
        return model.dsub_p_dp[t, s], model.dsub_p_dq[t, s]
    if criterion == "loading" and element in model.branches:
        b = model.branches.index(element)
        assert model.flow_base_kw is not None and model.flow_base_kvar is not None and model.rating_kva is not None
        assert model.dflow_p_dp is not None and model.dflow_p_dq is not None
        assert model.dflow_q_dp is not None and model.dflow_q_dq is not None
        flow = np.array([model.flow_base_kw[t, b], model.flow_base_kvar[t, b]])
        cosine, sine = flow / np.hypot(*flow) / model.rating_kva[b]
        return (
            cosine * model.dflow_p_dp[t, b] + sine * model.dflow_q_dp[t, b],
            cosine * model.dflow_p_dq[t, b] + sine * model.dflow_q_dq[t, b],
        )
    return None
