"""The planning study's claims beside OpenDSS's answers, the simulation and the paper: the content of summary.json."""

from __future__ import annotations

from typing import Any

import numpy as np

from hcsim.hosting.result import baseline_summary
from hcsim.replay.result import ReplayResult
from hcsim.replay.verdict import replay_summary
from hcsim.results.planning import PlanningStudyResult, SchemeResult
from optim.planning.case import ScenarioName
from optim.planning.result import ScenarioOperation


def summarize_planning(study: PlanningStudyResult) -> dict[str, Any]:
    """The content of summary.json. Schemes, replays and simulations that are missing have no key."""
    network = study.network
    return {
        "case": study.case,
        "program": "planning",
        "versions": dict(study.versions),
        "feeder": {
            "buses": len(network.buses),
            "nodes": len(network.nodes),
            "load_kw": float(network.loads.p_kw.sum()),
            "source_sha256": network.source_sha256,
        },
        "exactness": study.planning.exactness,
        "assumptions": dict(study.assumptions),
        "cases": {name: scheme_summary(study, name, scheme) for name, scheme in study.schemes.items()},
        "missing": dict(study.missing),
    }


def scheme_summary(study: PlanningStudyResult, name: str, scheme: SchemeResult) -> dict[str, Any]:
    found = scheme.result
    paper = study.paper.scheme(name) if study.paper else None
    return {
        "objective_cny": found.objective_cny,
        "capex_cny_per_year": found.capex_cny_per_year,
        "om_cny_per_year": found.om_cny_per_year,
        "loss_cny_per_year": found.loss_cny_per_year,
        "pvhc_mw": found.pvhc_mw,
        "pvhc_revenue_cny": found.pvhc_revenue_cny,
        "pvhc_by_bus_kw": found.pvhc.pvhc_kw,
        "pvhc_refined_mw": found.pvhc_refined_mw,
        "plan": [{"area": u.area, "bus": u.bus, "kwh": u.energy_kwh, "kw": u.power_kw} for u in found.plan],
        "v_min_pu": found.v_min_pu,
        "v_max_pu": found.v_max_pu,
        "pvhc_v_max_pu": float(found.pvhc.v_pu.max()),
        "pvhc_ac_v_max_pu": None if found.pvhc.ac_v_pu is None else float(found.pvhc.ac_v_pu.max()),
        "gap": found.solve.gap,
        "bound_cny": found.solve.bound * 1e4,
        "program_objective_cny": found.solve.objective * 1e4,
        "status": found.solve.status,
        "build_s": found.solve.build_s,
        "solve_s": found.solve.solve_s,
        "pvhc_solve_s": found.pvhc_solve.solve_s,
        "rounds": len(found.rounds),
        "cuts": found.cones.cuts,
        "cone_slack_max": found.cone_slack_max,
        "cone_slack_relaxed": found.slack_relaxed,
        "violation_max_pu": found.violation,
        "replay": _replays(study, scheme, "typical"),
        "replay_pvhc": _replays(study, scheme, "pvhc"),
        "simulation": {sharing: baseline_summary(of) for sharing, of in scheme.simulations.items()},
        "paper": paper.model_dump(exclude_none=True) if paper else None,
    }


def _replays(study: PlanningStudyResult, scheme: SchemeResult, scenario: ScenarioName) -> dict[str, Any]:
    operation = scheme.result.typical if scenario == "typical" else scheme.result.pvhc
    return {
        controls: {
            **replay_summary(scheme.schedules[scenario], replay, study.profiles.step_h),
            "loss_deviation_rel": loss_deviation_rel(operation, replay),
            "soc_deviation_kwh": soc_deviation_kwh(replay),
        }
        for (of, controls), replay in scheme.replays.items()
        if of == scenario
    }


def loss_deviation_rel(operation: ScenarioOperation, replay: ReplayResult) -> float | None:
    """OpenDSS's losses over the day against the program's, over the program's; None without any."""
    ok = replay.converged
    claimed = float(operation.losses_kw[ok].sum())
    return float(replay.losses_kw[ok].sum()) / claimed - 1.0 if claimed > 0 else None


def soc_deviation_kwh(replay: ReplayResult) -> float:
    """Largest difference of a unit's stored energy, commanded against delivered."""
    if replay.soc.empty:
        return 0.0
    difference = (replay.soc["soc_commanded_kwh"] - replay.soc["soc_delivered_kwh"]).abs().to_numpy(float)
    return float(np.nanmax(difference, initial=0.0))
