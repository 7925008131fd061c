"""An allocation study as summary.json has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from hcsim.certify.certificate import Certificate
from hcsim.hosting.result import baseline_summary
from hcsim.operate.capacity import operated_in_words
from hcsim.replay.inverter_day import InverterDay, control_facts, day_facts
from hcsim.replay.verdict import replay_summary, verdict, verdict_facts
from hcsim.results.allocation import CaseResult, StudyResult
from hcsim.results.words import PROGRAMS
from optim.data.network import Network
from optim.data.profiles import Profiles
from optim.data.schedule import Floats, Schedule
from optim.data.violations import new_violations

SHOWN_PRICES = 12
"""Of what binds at a certificate; all of it stands in binding.csv."""
CUT_WORDS = {
    "time": "A guard ended it, and on another machine it may end elsewhere: give it more (--time-limit, "
    "--certify-time).",
    "work": "Its budget was spent: give it more (max_nodes under [solver], max_rounds under [certify]).",
}
PAPER_KEYS = {"none": "none_kw", "centralized": "centralized_kw", "distributed": "distributed_kw"}
"""Case -> key of [paper]; the paper has no case without circulation."""


def penetration_capacity_pct(schedule: Schedule, network: Network, profiles: Profiles) -> float:
    """Installed PV capacity over the feeder's peak load, both in kW, in per cent."""
    return _per_cent(schedule.hc_kw, float(load_kw(network, profiles).max()))


def penetration_energy_pct(schedule: Schedule, network: Network, profiles: Profiles) -> float:
    """PV energy over load energy, both over the studied steps, in per cent."""
    return _per_cent(float(schedule.pv_p_kw.sum()), float(load_kw(network, profiles).sum()))


def _per_cent(part: float, of: float) -> float:
    """NaN on a feeder without load."""
    return 100.0 * part / of if of else float("nan")


def load_kw(network: Network, profiles: Profiles) -> Floats:
    """(T,) the feeder's load at nominal voltage."""
    return profiles.load_kw(network.loads.p_kw)


def circulation_by_step(schedule: Schedule) -> pd.DataFrame:
    """Steps in which one battery charges while another discharges: energy only burnt, and by whom.

    step, time, circulated_kwh, charging, discharging (unit names). Empty if there are none.
    """
    units = np.array([schedule.bess[u].name for u in schedule.bess_of], dtype=object)
    energy = schedule.circulated_kwh()
    rows = [
        (
            t,
            schedule.times[t],
            float(energy[t]),
            *(", ".join(dict.fromkeys(units[p[t] > 1e-3])) for p in (schedule.p_charge_kw, schedule.p_discharge_kw)),
        )
        for t in np.flatnonzero(energy > 1e-3 * schedule.step_h)
    ]
    return pd.DataFrame(rows, columns=["step", "time", "circulated_kwh", "charging", "discharging"])


def paper_kw(study: StudyResult, case: str) -> float | None:
    value = study.paper.get(PAPER_KEYS.get(case, ""))
    return float(value) if isinstance(value, int | float) else None


def summarize(study: StudyResult) -> dict[str, Any]:
    """The content of summary.json. Cases, replays and baselines that are missing have no key."""
    network = study.network
    return {
        "case": study.case,
        "versions": dict(study.versions),
        "feeder": {
            "buses": len(network.buses),
            "nodes": len(network.nodes),
            "load_kw": float(network.loads.p_kw.sum()),
            "source_sha256": network.source_sha256,
            "loads_follow": list(study.loads_follow),
            **study.gates,
        },
        "limits": asdict(study.limits),
        "controls": asdict(study.controls),
        "assumptions": dict(study.assumptions),
        "cut": cut_word(cuts(study)),
        **({"programs": list(study.programs)} if study.programs else {}),
        "cases": {name: case_summary(study, name, case) for name, case in study.cases.items()},
        "baseline": {
            name: baseline_summary(found, study.with_schedule_case if name == "with_schedule" else None)
            for name, found in study.baselines.items()
        },
        **({"inverters": inverters_summary(study)} if study.inverters else {}),
        **({"spread": study.spread.facts(_total(study))} if study.spread else {}),
    }


def _total(study: StudyResult) -> Certificate | None:
    return study.cases["none"].certificate if "none" in study.cases else None


def spread_sentences(study: StudyResult) -> list[str]:
    """Total and spread form side by side."""
    return [study.spread.words(_total(study))] if study.spread else []


def cuts(study: StudyResult) -> dict[str, str]:
    """Part -> what ended it before its end: "time", "work" or "user"; parts that ended by themselves are not in it."""
    found: dict[str, str] = {}
    for name, case in study.cases.items():
        loop = case.certificate
        found[f"program {name}"] = case.schedule.solve.cut if case.schedule.solve else ""
        found[f"closed loop {name}"] = loop.cut if loop else ""
        found[f"drawn days {name}"] = str(loop.robustness.get("cut", "")) if loop else ""
    return {part: word for part, word in found.items() if word}


def cut_word(found: Mapping[str, str]) -> str:
    """The word for a whole study: a guard's cut before a budget's, as it may end elsewhere on another machine."""
    return next((word for word in ("time", "user", "work") if word in found.values()), "")


def cut_sentences(study: StudyResult) -> list[str]:
    """What a terminal says at the end of what was cut."""
    found, said = cuts(study), []
    for word, words in CUT_WORDS.items():
        parts = [part for part, by in found.items() if by == word]
        if parts:
            said.append(f"cut: {word} ({', '.join(parts)}). {words}")
    return said


def case_summary(study: StudyResult, name: str, case: CaseResult) -> dict[str, Any]:
    schedule, solve = case.schedule, case.schedule.solve
    return {
        "hc_kw": schedule.hc_kw,
        "bound_kw": solve.bound if solve and np.isfinite(solve.bound) else None,
        "gap": solve.gap if solve and np.isfinite(solve.gap) else None,
        "status": solve.status if solve else "given",
        "cut": solve.cut if solve else "",
        "build_s": solve.build_s if solve else None,
        "solve_s": solve.solve_s if solve else None,
        "bess_buses": [unit.bus for unit in schedule.bess],
        "circulated_kwh": float(schedule.circulated_kwh().sum()),
        "penetration_capacity_pct": penetration_capacity_pct(schedule, study.network, study.profiles),
        "penetration_energy_pct": penetration_energy_pct(schedule, study.network, study.profiles),
        "paper_hc_kw": paper_kw(study, name),
        "replay": {
            controls: replay_summary(schedule, replay, study.profiles.step_h)
            for controls, replay in case.replays.items()
        },
        **(certified_summary(case.certificate) if case.certificate else {}),
        **_no_more_than(case),
    }


def _no_more_than(case: CaseResult) -> dict[str, Any]:
    """`no_more_than_kw` with `method` and `losses_ceiling_kw`: a bound of the feeder, not of a program."""
    found = case.no_more_than
    keys = ("no_more_than_kw", "method", "losses_ceiling_kw", "losses_ceiling")
    return {key: found[key] for key in keys} | {"no_more_than_status": found["status"]} if found else {}


def certified_summary(found: Certificate) -> dict[str, Any]:
    """What the closed loop says of a case; `error_budget` in kW, see `hcsim.certify.error_budget`."""
    return {
        "certified_kw": found.certified_kw,
        "certified": {
            "word": found.word,
            "verified": found.verified,
            "idle_batteries": list(found.idle_batteries),
            **verdict_facts(found.replay),
            "claim_kw": found.claim_kw,
            "bound_kw": found.bound_kw,
            "status": found.status,
            "cut": found.cut,
            "reason": found.reason,
            "offered_kw": found.offered_kw,
            "iterations": len(found.rounds),
            "power_flows": found.power_flows,
            "seconds": found.seconds,
            "new_violations": len(new_violations(found.replay.violations)),
            "bess_buses": [unit.bus for unit in found.schedule.bess],
            "tap_operations": found.replay.tap_operations,
            "losses_kwh": float(found.replay.losses_kw.sum() * found.schedule.step_h),
            "bare_losses_kwh": found.bare_losses_kwh,
            "losses_pct": found.losses_pct,
            "circulated_kwh": float(found.schedule.circulated_kwh().sum()),
            "binding": [asdict(price) for price in found.binding[:SHOWN_PRICES]],
            "error_budget": dict(found.error_budget),
            **({"robustness": _robustness(found.robustness)} if found.robustness else {}),
        },
        **({"operated": dict(found.operated)} if found.operated else {}),
    }


def beside_capacity(summary: Mapping[str, Any]) -> list[str]:
    """A sentence for every certified capacity: what is lost and goes round for it, and what is left on other days."""
    said = []
    for name, case in summary["cases"].items():
        if (found := case.get("certified")) is None:
            continue
        words = f"{PROGRAMS.get(name, name)}: {found['losses_pct']:.1f} % of the load's energy is lost"
        words += f", {found['circulated_kwh']:,.0f} kWh go round between batteries"
        said.append(words + (f"; {operated_in_words(case['operated'])}." if case.get("operated") else "."))
    return said


MIN_DAYS = 20
"""Fewer drawn days tell no share, unless fewer were asked for."""


def enough_days(robustness: Mapping[str, Any]) -> bool:
    return bool(robustness["draws"] >= min(MIN_DAYS, robustness["draws_wanted"]))


def share_in_words(robustness: Mapping[str, Any]) -> str:
    draws, wanted = robustness["draws"], robustness["draws_wanted"]
    if not enough_days(robustness):
        return f"{draws} of {wanted} days tried in the time there was: too few for a share"
    return f"{100 * robustness['share_passed']:.1f} % of {draws} days pass"


def _robustness(robustness: Mapping[str, Any]) -> dict[str, Any]:
    """Shares only of enough days."""
    if enough_days(robustness):
        return dict(robustness)
    return {k: v for k, v in robustness.items() if k not in ("causes", "by_criterion")} | {
        "share_passed": None,
        "share_in_range": None,
        "reason": share_in_words(robustness),
    }


def inverters_summary(study: StudyResult) -> dict[str, Any]:
    """Hosting capacity by sharing, and by who decides on reactive power: "unity", "schedule" or the control; and
    what becomes of the claim with autonomous inverters ("replay" by controls, energies over the studied steps)."""
    compared = study.inverters
    if compared is None:
        return {}
    rows: dict[str, Any] = {}
    for sharing, row in compared.rows.items():
        rows[sharing] = {kind: baseline_summary(f) | {"at_hc": dict(f.at_hc)} for kind, f in row.found.items()}
        if row.days:
            rows[sharing]["claim_kw"] = study.cases[sharing].schedule.hc_kw
            rows[sharing]["replay"] = {controls: inverter_day_summary(day) for controls, day in row.days.items()}
    return {**control_facts(compared.control), "hosting_capacity": rows}


def inverter_day_summary(day: InverterDay) -> dict[str, Any]:
    judged = verdict(day.replay)
    said = {"verdict": judged.kind, "new_violations": judged.new, "existing_violations": judged.existing}
    return {"converged": bool(day.replay.converged.all()), **said, **day_facts(day)}
