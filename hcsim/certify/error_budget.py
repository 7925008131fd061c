"""Where the open-loop claim lost: hosting capacities on the way from the claim to the certificate.

Placement and statuses stay those of the claim; from one program to the next one thing is switched:

    the claim: loads as the program has them, no losses, taps as in the file        (LinDist3Flow)
      load model       ... and loads and shunts that follow voltage                 (LinDist3Flow)
      losses           ... and losses: the tangent of every hour at the bare feeder, taps as in the file
      linearization    ... moved to where the simulation is, until it is certified  (closed loop, taps locked)
      frozen taps      ... and regulators and capacitors free to act                (closed loop, controls free)
      device delivery  ... and native PVSystem and Storage elements, which may miss their command
    certified

Each figure is what the hosting capacity loses at that switch, in kW: negative where the claim was too low. They
telescope, so they sum to claim less certified; what could not be measured (a program without solution, a locked
loop out of time) is in the rest. A study that claims with the tangent has loads and losses in its claim already:
these two are zero there. What a loop leaves to its tolerance stands in its own line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hcsim.certify.certificate import Certificate, Round
from hcsim.certify.decisions import decisions_of
from hcsim.certify.loop import certify
from hcsim.certify.options import LoopOptions
from hcsim.errors import InfeasibleError, SolverError
from hcsim.replay.operating_points import visit
from hcsim.replay.options import ReplayOptions
from hcsim.replay.result import ReplayResult
from hcsim.workbench.allocation import Workbench
from optim.data.linear_model import LinearModel
from optim.data.schedule import Schedule
from optim.hosting.decided import DecidedProgram

PARTS = ("load_model_kw", "losses_kw", "linearization_kw", "frozen_taps_kw", "device_delivery_kw")
WORDS = {
    "load_model_kw": "load model",
    "losses_kw": "losses",
    "linearization_kw": "linearization",
    "frozen_taps_kw": "frozen taps",
    "device_delivery_kw": "device delivery",
    "rest_kw": "not measured",
}


ENOUGH = 5e-3
"""A locked loop whose certificate is this near to its claim has said what the budget asks of it."""
LOCKED_ROUNDS = 20
"""Of the loop with controls locked."""


@dataclass(frozen=True)
class BudgetSteps:
    """Hosting capacities between a claim and its certificate that do not depend on the latter; NaN where they could not
    be measured."""

    following_kw: float
    """Loads and shunts follow voltage."""
    lossy_kw: float
    """And the feeder has losses."""
    locked_kw: float
    """Certified with controls locked."""


def certify_with_budget(
    bench: Workbench,
    claim: Schedule,
    options: LoopOptions,
    listen: Callable[[Round], None] | None = None,
    *,
    starts: Sequence[Schedule] = (),
) -> Certificate:
    """The closed loop and then its error budget; what the guard of `options` leaves of its seconds is the budget's."""
    found = certify(bench, claim, options, listen, starts=starts)
    left = max(options.time_limit_s - found.seconds, 0.0)
    steps = budget_steps(bench, claim, replace(options, time_limit_s=left))
    return replace(found, error_budget=error_budget(claim, found, steps))


def budget_steps(
    bench: Workbench, claim: Schedule, options: LoopOptions, listen: Callable[[Round], None] | None = None
) -> BudgetSteps:
    """`options` are those of the loop with controls free; their guard holds for the locked loop."""
    following_kw, lossy_kw = _programs_kw(bench, claim)
    return BudgetSteps(following_kw, lossy_kw, _locked_kw(bench, claim, options, listen))


def error_budget(claim: Schedule, certificate: Certificate, steps: BudgetSteps | None) -> dict[str, float]:
    """PARTS and "rest_kw", which sum to "claim_kw" - "certified_kw", both in the budget as well.

    A part that could not be measured is NaN.
    """
    steps = steps or BudgetSteps(np.nan, np.nan, np.nan)
    missed = missed_kw(certificate.replay)
    chain = [
        claim.hc_kw,
        steps.following_kw,
        steps.lossy_kw,
        steps.locked_kw,
        certificate.certified_kw + missed,
        certificate.certified_kw,
    ]
    lost = dict(zip(PARTS, (-np.diff(chain)).tolist(), strict=True))
    rest = claim.hc_kw - certificate.certified_kw - float(np.nansum(list(lost.values())))
    return {"claim_kw": claim.hc_kw, **lost, "rest_kw": rest, "certified_kw": certificate.certified_kw}


def missed_kw(replay: ReplayResult) -> float:
    """PV that native elements did not deliver as commanded: each one's worst step, summed."""
    pv = replay.devices[replay.devices["kind"] == "pv"]
    if not len(pv):
        return 0.0
    short = (pv["p_commanded_kw"] - pv["p_delivered_kw"]).clip(lower=0.0)
    return float(short.groupby(pv["element"]).max().sum())


def _programs_kw(bench: Workbench, claim: Schedule) -> tuple[float, float]:
    """Hosting capacity with voltage-dependent loads, and with losses as well."""
    if bench.case.config.program.linearization == "tangent":
        return claim.hc_kw, claim.hc_kw
    ports = tuple(dict.fromkeys((*bench.ports, *claim.pv_nodes, *claim.bess_nodes)))
    following = bench.lindist3flow(ports, voltage_dependent_loads=True)
    tangent = visit(bench.model, None, ports, ReplayOptions("locked")).model
    return _capacity_kw(bench, claim, following), _capacity_kw(bench, claim, tangent)


def _capacity_kw(bench: Workbench, claim: Schedule, model: LinearModel) -> float:
    decided = decisions_of(claim)
    problem = replace(
        bench.problem("none"), model=model, pv_nodes=claim.pv_nodes, fleet=decided.fleet, charging=decided.charging
    )
    try:
        return DecidedProgram().solve(problem, claim.case, order=0).schedule.hc_kw
    except (InfeasibleError, SolverError):
        return np.nan


def _locked_kw(
    bench: Workbench, claim: Schedule, options: LoopOptions, listen: Callable[[Round], None] | None
) -> float:
    """What a closed loop certifies where no control moves."""
    locked = replace(
        options,
        controls="locked",
        reopenings=0,
        walks=2,
        max_rounds=min(options.max_rounds, LOCKED_ROUNDS),
        bound=False,
        max_tap_operations=None,
        tolerance=max(options.tolerance, ENOUGH),
    )
    found = certify(bench, claim, locked, listen)
    near = found.certified_kw >= (1.0 - ENOUGH) * found.claim_kw
    return found.certified_kw if found.settled or near else np.nan


def budget_in_words(budget: dict[str, float]) -> str:
    """One line, "" where there is none."""
    if not budget:
        return ""
    parts = {**{k: budget[k] for k in PARTS}, "rest_kw": budget["rest_kw"]}
    said = ", ".join(f"{WORDS[k]} {v:+.1f}" for k, v in parts.items() if np.isfinite(v) and abs(v) >= 0.05)
    return f"From claim to certificate the capacity loses, in kW: {said or 'nothing'}."
