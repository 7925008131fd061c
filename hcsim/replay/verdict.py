"""Claim against replay against baseline. Everything is joined by name; positions are never trusted.

`summarize` makes the content of summary.json; the words of a verdict are made here once, for terminal and
report alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from hcsim.certify.certificate import Certificate
from hcsim.replay.inverter_day import InverterDay, control_facts, day_facts
from hcsim.replay.result import CaseResult, HostingCapacityResult, ReplayResult, StudyResult
from optim.data.limits import new_violations
from optim.data.network import Network
from optim.data.profiles import Profiles
from optim.data.schedule import Floats, Schedule
from optim.errors import ModelError

PAPER_KEYS = {"none": "none_kw", "centralized": "centralized_kw", "distributed": "distributed_kw"}
"""Case -> key of [paper]; the paper has no case without circulation."""

UNDELIVERED_WORTH_A_WORD_KWH = 1.0
"""Below this the difference is what power flow and inverter set points leave over."""


@dataclass(frozen=True)
class VoltageError:
    """Predicted minus replayed voltage over all nodes and converged steps that both have."""

    max_pu: float
    """Largest magnitude, with the sign it has: positive where the claim is too high."""
    mean_pu: float
    """Mean of the magnitudes."""
    node: str
    step: int
    time: str
    predicted_pu: float
    replayed_pu: float
    points: int


@dataclass(frozen=True)
class Verdict:
    kind: Literal["holds", "refuted", "not judged"]
    words: str
    new: int
    existing: int


def match_voltages(schedule: Schedule, replay: ReplayResult) -> pd.DataFrame:
    """The voltages that both speak of: step, time, node, predicted_pu, replayed_pu, difference_pu.

    Steps that did not converge and nodes where no limit applies (NaN in the replay) are left out. Empty where
    the schedule predicts nothing. Raises ModelError where the two are not about the same steps, or where the
    claim speaks of a node that the replay does not know.
    """
    columns = ["step", "time", "node", "predicted_pu", "replayed_pu", "difference_pu"]
    if schedule.predicted_v_pu is None:
        return pd.DataFrame(columns=columns)
    found = replay.operation
    if schedule.times != found.times:
        raise ModelError(
            f"Schedule {schedule.case!r} and its replay differ in their steps: "
            f"{len(schedule.times)} from {schedule.times[0]}, {len(found.times)} from {found.times[0]}.",
            "Replay the schedule with the profiles it was made for.",
        )
    place = {node: i for i, node in enumerate(found.nodes)}
    strange = [n for n in schedule.predicted_nodes if n not in place]
    if strange:
        raise ModelError(
            f"Schedule {schedule.case!r} predicts voltages at {', '.join(strange[:5])}, "
            f"which the replayed feeder does not have ({len(strange)} nodes).",
            "Was it made for another feeder?",
        )
    replayed = found.v_pu[:, [place[n] for n in schedule.predicted_nodes]]
    steps, width = replayed.shape
    table = pd.DataFrame(
        {
            "step": np.repeat(np.arange(steps), width),
            "time": np.repeat(np.array(found.times, dtype=object), width),
            "node": np.tile(np.array(schedule.predicted_nodes, dtype=object), steps),
            "predicted_pu": schedule.predicted_v_pu.reshape(-1),
            "replayed_pu": replayed.reshape(-1),
        }
    )
    table["difference_pu"] = table["predicted_pu"] - table["replayed_pu"]
    usable = np.repeat(replay.converged, width) & table["difference_pu"].notna().to_numpy()
    return table[usable].reset_index(drop=True)


def voltage_error(schedule: Schedule, replay: ReplayResult) -> VoltageError | None:
    """How far the linear model's voltages are from OpenDSS's; None where nothing is predicted or replayed."""
    table = match_voltages(schedule, replay)
    if table.empty:
        return None
    size = table["difference_pu"].abs().to_numpy()
    worst = table.iloc[int(size.argmax())]
    return VoltageError(
        max_pu=float(worst["difference_pu"]),
        mean_pu=float(size.mean()),
        node=str(worst["node"]),
        step=int(worst["step"]),
        time=str(worst["time"]),
        predicted_pu=float(worst["predicted_pu"]),
        replayed_pu=float(worst["replayed_pu"]),
        points=len(table),
    )


def verdict(replay: ReplayResult) -> Verdict:
    """What OpenDSS says of a schedule. A violation that the bare feeder has too is not held against it."""
    fresh = new_violations(replay.violations)
    new, existing = len(fresh), len(replay.violations) - len(fresh)
    failed = [t for t, ok in zip(replay.operation.times, replay.converged, strict=True) if not ok]
    if failed:
        return Verdict("not judged", f"not judged: no convergence at {listed(failed)}", new, existing)
    words = "holds" if not new else f"refuted: {counted(new, 'new violation')}, {worst_words(fresh)}"
    if existing:
        words += f" ({counted(existing, 'violation')} there before)"
    if replay.energy_not_delivered_kwh > UNDELIVERED_WORTH_A_WORD_KWH:
        words += f"; {replay.energy_not_delivered_kwh:.1f} kWh commanded were not delivered"
    return Verdict("refuted" if new else "holds", words, new, existing)


def worst_words(table: pd.DataFrame) -> str:
    """The worst violation of each criterion, "worst overvoltage 1.0567 pu at 83.1 at 10:00"."""
    words = []
    for criterion, rows in table.groupby("criterion", sort=False):
        worst = worst_of(rows)
        place = f"{worst['element']}.{worst['phase']}" if worst["phase"] else worst["element"]
        value = quantity(float(worst["value"]), str(worst["unit"]))
        words.append(f"worst {str(criterion).replace('_', ' ')} {value} at {place} at {worst['time']}")
    return "; ".join(words)


def worst_of(rows: pd.DataFrame) -> pd.Series:
    """The row farthest beyond its limit; the first where the rows have no value."""
    excess = (rows["value"].astype(float) - rows["limit"].astype(float)).abs().fillna(0.0)
    return rows.loc[excess.idxmax()]


def quantity(value: float, unit: str) -> str:
    """A value as its unit is read: 1.0567 pu, -12.3 kW; nothing where it is not a number."""
    if not np.isfinite(value):
        return ""
    digits = 4 if unit == "pu" else 1
    return f"{round(value, digits) + 0.0:.{digits}f} {unit}".strip()


def penetration_capacity_pct(schedule: Schedule, network: Network, profiles: Profiles) -> float:
    """Installed PV capacity over the feeder's peak load, both in kW, in per cent."""
    return 100.0 * schedule.hc_kw / float(load_kw(network, profiles).max())


def penetration_energy_pct(schedule: Schedule, network: Network, profiles: Profiles) -> float:
    """PV energy over load energy, both over the studied steps, in per cent."""
    return 100.0 * float(schedule.pv_p_kw.sum()) / float(load_kw(network, profiles).sum())


def load_kw(network: Network, profiles: Profiles) -> Floats:
    """(T,) the feeder's load at nominal voltage."""
    return profiles.load_pu * float(network.loads.p_kw.sum())


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
            *(
                ", ".join(dict.fromkeys(units[p[t] > 1e-3]))
                for p in (schedule.p_charge_kw, schedule.p_discharge_kw)
            ),
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
        },
        "limits": asdict(study.limits),
        "controls": asdict(study.controls),
        "assumptions": dict(study.assumptions),
        "cases": {name: case_summary(study, name, case) for name, case in study.cases.items()},
        "baseline": {
            name: baseline_summary(found, study.with_schedule_case if name == "with_schedule" else None)
            for name, found in study.baselines.items()
        },
        **({"inverters": inverters_summary(study)} if study.inverters else {}),
    }


def case_summary(study: StudyResult, name: str, case: CaseResult) -> dict[str, Any]:
    schedule, solve = case.schedule, case.schedule.solve
    return {
        "hc_kw": schedule.hc_kw,
        "bound_kw": solve.bound if solve else None,
        "gap": solve.gap if solve else None,
        "status": solve.status if solve else "given",
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
    }


def certified_summary(found: Certificate) -> dict[str, Any]:
    """What the closed loop says of a case; `error_budget` in kW, see `hcsim.certify.error_budget`."""
    return {
        "certified_kw": found.certified_kw,
        "certified": {
            "claim_kw": found.claim_kw,
            "bound_kw": found.bound_kw,
            "status": found.status,
            "reason": found.reason,
            "iterations": len(found.rounds),
            "power_flows": found.power_flows,
            "seconds": found.seconds,
            "new_violations": len(new_violations(found.replay.violations)),
            "bess_buses": [unit.bus for unit in found.schedule.bess],
            "tap_operations": found.replay.tap_operations,
            "error_budget": dict(found.error_budget),
            **({"robustness": dict(found.robustness)} if found.robustness else {}),
        },
    }


def replay_summary(schedule: Schedule, replay: ReplayResult, step_h: float) -> dict[str, Any]:
    found, judged, error = replay.operation, verdict(replay), voltage_error(schedule, replay)
    ok = replay.converged
    seen = np.isfinite(found.v_pu[ok]).any()
    return {
        "converged": bool(ok.all()),
        "v_min_pu": float(np.nanmin(found.v_pu[ok])) if seen else None,
        "v_max_pu": float(np.nanmax(found.v_pu[ok])) if seen else None,
        "new_violations": judged.new,
        "existing_violations": judged.existing,
        "min_substation_kw": {
            phase_of(name): float(found.substation_kw[ok, i].min()) if ok.any() else None
            for i, name in enumerate(found.substation_phases)
        },
        "dv_max_pu": abs(error.max_pu) if error else None,
        "dv_mean_pu": error.mean_pu if error else None,
        "losses_kwh": float(replay.losses_kw[ok].sum()) * step_h,
        "tap_operations": replay.tap_operations,
        "energy_not_delivered_kwh": replay.energy_not_delivered_kwh,
    }


def baseline_summary(found: HostingCapacityResult, of_case: str | None = None) -> dict[str, Any]:
    """`of_case` names the case whose schedule the simulation was given."""
    limit: Mapping[str, Any] = found.limit
    return {
        "hc_kw": found.hc_kw,
        "limit": {
            "criterion": limit.get("criterion"),
            "element": limit.get("element"),
            "phase": limit.get("phase"),
            "hour": limit.get("time"),
            **({"reason": limit["reason"]} if "reason" in limit else {}),
        },
        "power_flows": found.power_flows,
        **({"case": of_case} if of_case else {}),
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


def phase_of(name: str) -> str:
    return name.rsplit(".", 1)[1] if "." in name else name


def counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def listed(words: list[str], most: int = 4) -> str:
    """A few of the words, and how many more there are."""
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
