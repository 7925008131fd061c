"""The sentences and small tables of the page: plain words for an engineer, every figure with its status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hcsim.hosting.result import HostingCapacityResult
from hcsim.replay.result import ReplayResult
from hcsim.replay.verdict import (
    counted,
    phase_labels,
    quantity,
    three_lines,
    verdict,
    voltage_error,
    worst_of,
    worst_words,
)
from hcsim.report.allocation.tables import NOTHING, STATUS_WORDS, number, simulation_beside, unsigned_zero
from hcsim.results.allocation import CaseResult, StudyResult
from hcsim.results.allocation_summary import (
    circulation_by_step,
    load_kw,
    penetration_capacity_pct,
    penetration_energy_pct,
)
from hcsim.results.words import CONTROLS, PROGRAMS
from optim.data.node import phase_of
from optim.data.schedule import Schedule
from optim.hosting.problem import CASES

MOST_VIOLATION_ROWS = 12
KINDS = ("stated", "ours", "calibrated")


def answer(study: StudyResult) -> list[str]:
    """What was found, a sentence per case and two about storage."""
    sentences = _beyond_proof(study) + [_case_sentence(study, name) for name in study.cases]
    return sentences + _storage_sentences(study) + _simulation_sentences(study)


def missing_parts(study: StudyResult) -> list[tuple[str, str]]:
    """Parts that failed or were cut off, with the reason; what was not asked for is no such part."""
    left = dict(study.missing)
    rest = left.pop("the rest of the study", "")
    expected = {f"program {c}": PROGRAMS[c] for c in CASES if c not in study.cases}
    for name, case in study.cases.items():
        title = PROGRAMS.get(name, name)
        for controls, words in CONTROLS.items():
            if controls not in case.replays:
                expected[f"replay {name}, controls {controls}"] = f"{title}, replay with {words}"
    titles = {"none": "Simulation without battery", "with_schedule": "Simulation with the schedule"}
    expected |= {f"simulation HC {n}": words for n, words in titles.items() if n not in study.baselines}
    reasons = [(words, left.pop(part, rest)) for part, words in expected.items()]
    parts = [(words, reason) for words, reason in reasons if reason]
    return parts + list(left.items())


def solve_facts(schedule: Schedule) -> list[tuple[str, str]]:
    solve = schedule.solve
    if solve is None:
        return [("claim", _kw(schedule.hc_kw)), ("status", "given by the user, no proof")]
    facts = [
        ("claim", _kw(schedule.hc_kw)),
        ("proven bound of the linear program", _kw(solve.bound)),
        ("gap", f"{100 * solve.gap:.3f} %"),
        ("status", STATUS_WORDS[solve.status]),
        ("time", f"{solve.build_s:.1f} s to build, {solve.solve_s:.1f} s to solve with {solve.solver}"),
    ]
    return facts + [("note", note) for note in solve.notes]


def penetration_facts(study: StudyResult, schedule: Schedule) -> list[tuple[str, str]]:
    capacity = penetration_capacity_pct(schedule, study.network, study.profiles)
    energy = penetration_energy_pct(schedule, study.network, study.profiles)
    peak = load_kw(study.network, study.profiles).max()
    return [
        ("PV penetration, capacity", f"{capacity:.1f} % of the peak load of {peak:,.0f} kW"),
        ("PV penetration, energy", f"{energy:.1f} % of the load's energy"),
    ]


def replay_rows(case: CaseResult) -> list[list[str]]:
    """Rows of the replay table: a label, then a cell per replay."""
    found = list(case.replays.items())
    if not found:
        return []
    errors = {c: voltage_error(case.schedule, r) for c, r in found}

    def row(label: str, cell: Any) -> list[str]:
        return [label, *(cell(c, r) for c, r in found)]

    def worst_error(controls: str, _: Any) -> str:
        error = errors[controls]
        if error is None:
            return NOTHING
        return f"{error.max_pu:+.4f} ({error.node}, {error.time}); mean {error.mean_pu:.4f}"

    def lowest_power(_: str, replay: ReplayResult) -> str:
        if not replay.converged.any():
            return NOTHING
        low = replay.operation.substation_kw[replay.converged].min(axis=0)
        phases = phase_labels(replay.operation.substation_phases)
        return ", ".join(f"{phase}: {number(kw)}" for phase, kw in zip(phases, low, strict=True))

    return [
        row("verdict", lambda c, r: verdict(r).words),
        row("strict: against the bare feeder's own day", lambda c, r: _strict_words(r)),
        row("absolute, ANSI C84.1", lambda c, r: three_lines(r)[2].partition(": ")[2]),
        row("steps converged", lambda c, r: f"{int(r.converged.sum())} of {len(r.converged)}"),
        row("voltage, pu", lambda c, r: _lowest_and_highest(r)),
        row("claim minus OpenDSS, pu", worst_error),
        row("least power from the source by phase, kW", lowest_power),
        row("losses, kWh", lambda c, r: f"{r.losses_kw[r.converged].sum() * case.schedule.step_h:,.1f}"),
        row("tap operations", lambda c, r: f"{r.tap_operations}"),
        row("commanded but not delivered, kWh", lambda c, r: f"{r.energy_not_delivered_kwh:.2f}"),
    ]


def bare_rows(study: StudyResult) -> list[list[str]]:
    """The feeder before any device: controls, violations in words, voltages, losses, tap operations."""
    rows = []
    for controls, replay in study.base_replays.items():
        count = len(replay.violations)
        said = f"{counted(count, 'violation')}, {worst_words(replay.violations)}" if count else "none"
        losses = float(replay.losses_kw[replay.converged].sum()) * study.profiles.step_h
        rows.append(
            [CONTROLS[controls], said, _lowest_and_highest(replay), f"{losses:,.1f}", str(replay.tap_operations)]
        )
    return rows


def violation_rows(table: pd.DataFrame) -> tuple[list[dict[str, str]], int]:
    """Violations of one replay by criterion, bus and phase, worst first; and how many rows were left out."""
    rows: list[tuple[bool, str, float, dict[str, str]]] = []
    for (criterion, element, phase, existing), group in table.groupby(
        ["criterion", "element", "phase", "existing"], sort=False
    ):
        worst = worst_of(group)
        value, limit, base = (float(worst[c]) for c in ("value", "limit", "base_value"))
        unit = str(worst["unit"])
        cells = {
            "criterion": str(criterion).replace("_", " "),
            "element": str(element),
            "phase": str(phase),
            "hours": hours_words(dict(zip(group["step"], group["time"], strict=True))),
            "worst": quantity(value, unit) or NOTHING,
            "at": str(worst["time"]),
            "limit": quantity(limit, unit) or NOTHING,
            "before": quantity(base, unit) or NOTHING,
            "kind": "there before" if existing else "new",
        }
        size = abs(value - limit) if np.isfinite(value) else np.inf
        rows.append((bool(existing), str(criterion), -size, cells))
    rows.sort(key=lambda r: r[:3])
    return [r[3] for r in rows[:MOST_VIOLATION_ROWS]], max(0, len(rows) - MOST_VIOLATION_ROWS)


def hours_words(times: Mapping[int, str]) -> str:
    """Step -> label; consecutive steps become ranges: "09:00–11:00, 14:00"."""
    runs: list[list[int]] = []
    for step in sorted(times):
        if runs and step == runs[-1][-1] + 1:
            runs[-1].append(step)
        else:
            runs.append([step])
    return ", ".join(times[r[0]] if len(r) == 1 else f"{times[r[0]]}–{times[r[-1]]}" for r in runs)


def battery_rows(schedule: Schedule) -> list[list[str]]:
    rows = []
    for u, unit in enumerate(schedule.bess):
        mine = [d for d, of in enumerate(schedule.bess_of) if of == u]
        charged = float(schedule.p_charge_kw[:, mine].sum()) * schedule.step_h
        discharged = float(schedule.p_discharge_kw[:, mine].sum()) * schedule.step_h
        phases = ", ".join(phase_of(schedule.bess_nodes[d]) for d in mine)
        start, end = float(schedule.soc_kwh[0, u]), float(schedule.soc_kwh[-1, u])
        rows.append(
            [
                unit.bus,
                phases,
                f"{unit.energy_kwh:,.0f}",
                f"{unit.power_kw:,.0f}",
                f"{charged:,.0f}",
                f"{discharged:,.0f}",
                f"{start:,.1f}",
                f"{end:,.1f}",
            ]
        )
    return rows


def circulation_rows(schedule: Schedule) -> list[list[str]]:
    table = circulation_by_step(schedule)
    return [[r.time, f"{r.circulated_kwh:.1f}", r.charging, r.discharging] for r in table.itertuples()]


def limit_words(found: HostingCapacityResult) -> str:
    """What stopped the search, after "finds 3,100 kW, "."""
    limit = found.limit
    if limit.get("criterion") in (None, "none"):
        return f"no limit found: {limit.get('reason', 'the search ended')}"
    phase = f", phase {limit['phase']}" if limit.get("phase") else ""
    return (
        f"limited by {str(limit['criterion']).replace('_', ' ')} at {limit.get('element')}{phase}, {limit.get('time')}"
        + (f" ({found.again_words})" if found.again_words else "")
    )


def probe_rows(found: HostingCapacityResult) -> list[list[str]]:
    """Every probe in order: kW, passed or not, the first violation."""
    rows = []
    for probe in found.probes.to_dict("records"):
        said = ""
        if not probe["passed"]:
            place = ".".join(str(probe[k]) for k in ("element", "phase") if probe[k])
            unit = {"reverse_flow": "kW", "overvoltage": "pu", "undervoltage": "pu", "loading": "pu"}
            value = quantity(float(probe["value"]), unit.get(str(probe["criterion"]), ""))
            said = f"{str(probe['criterion']).replace('_', ' ')} at {place}, {probe['time']}: {value}"
        rows.append([f"{probe['pv_kw']:,.1f}", "yes" if probe["passed"] else "no", said])
    return rows


def sentence(words: str) -> str:
    """The words with a capital at the start and a full stop at the end."""
    return words[:1].upper() + words[1:].rstrip(".") + "."


def assumption_rows(assumptions: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Name, kind (stated, ours, calibrated or empty), sentence."""
    rows = []
    for name, sentence in assumptions.items():
        kind, _, rest = sentence.partition(":")
        known = kind.strip().lower() in KINDS
        rows.append(
            (name.replace("_", " "), kind.strip().lower() if known else "", rest.strip() if known else sentence)
        )
    return rows


def ledger_counts(ledger: pd.DataFrame) -> list[list[str]]:
    """Elements by class and verdict, with their kW where they have any."""
    if ledger.empty:
        return []
    rows = []
    for (kind, said), group in ledger.groupby(["class", "verdict"], sort=True):
        kw = pd.to_numeric(group["kw"], errors="coerce").sum()
        rows.append([str(kind), str(said), str(len(group)), f"{kw:,.1f}" if kw else NOTHING])
    return rows


def ledger_reasons(ledger: pd.DataFrame) -> list[list[str]]:
    """What is not modelled exactly: verdict, reason, how many, for example."""
    if ledger.empty:
        return []
    shown = ledger[~ledger["verdict"].isin(["modelled", "passive"])]
    return [
        [str(said), str(reason), str(len(group)), ", ".join(group["element"].astype(str).head(4))]
        for (said, reason), group in shown.groupby(["verdict", "reason"], sort=True)
    ]


def _lowest_and_highest(replay: ReplayResult) -> str:
    v, nodes, times = replay.operation.v_pu, replay.operation.nodes, replay.operation.times
    if not np.isfinite(v).any():
        return NOTHING
    spots = [divmod(int(find(v)), len(nodes)) for find in (np.nanargmin, np.nanargmax)]
    return " to ".join(f"{v[t, n]:.4f} ({nodes[n]}, {times[t]})" for t, n in spots)


def _case_sentence(study: StudyResult, name: str) -> str:
    case = study.cases[name]
    solve = case.schedule.solve
    proof = "not proven by a program of ours" if solve is None else STATUS_WORDS[solve.status]
    if solve is not None and solve.status in ("time_limit", "interrupted", "gap"):
        proof += f", at most {_kw(solve.bound)}"
    said = []
    for controls, words in CONTROLS.items():
        if controls in case.replays:
            said.append(f"with {words} the claim is {_verb(verdict(case.replays[controls]).words)}")
    tail = "; ".join(said) if said else "it was not replayed"
    return f"{PROGRAMS.get(name, name)}: the program claims {_kw(case.schedule.hc_kw)} of PV ({proof}); {tail}."


BEYOND_PROOF = 0.05
"""Share by which simulation must exceed a proven claim for the page to begin with it."""


def _beyond_proof(study: StudyResult) -> list[str]:
    """Where OpenDSS finds clearly more than a program proves: said before all else, with the reason."""
    sentences = []
    for name, case in study.cases.items():
        solve, claim = case.schedule.solve, case.schedule.hc_kw
        if solve is None or solve.status not in ("optimal", "gap") or claim <= 0:
            continue
        beside = study.baselines.get(simulation_beside(name, study.with_schedule_case))
        found = {"plain simulation": beside.hc_kw if beside else np.nan}
        found["the closed loop"] = case.certificate.certified_kw if case.certificate else np.nan
        how, most = max(found.items(), key=lambda item: np.nan_to_num(item[1]))
        if most > (1.0 + BEYOND_PROOF) * claim:
            sentences.append(
                f"{PROGRAMS.get(name, name)}: {how} finds {_kw(most)} in OpenDSS, {100 * (most / claim - 1):.0f} % "
                f"more than the {_kw(claim)} that the program claims as {STATUS_WORDS[solve.status]}. The proof is of "
                "the linear program alone: it keeps regulators where it was told, sees its own losses and loads only, "
                "and takes voltages to first order; with the controls acting there is more room."
            )
    return sentences


def _strict_words(replay: ReplayResult) -> str:
    return three_lines(replay)[0].partition(": ")[2]


def _verb(words: str) -> str:
    return words.replace("holds", "confirmed by OpenDSS", 1) if words.startswith("holds") else words


def _storage_sentences(study: StudyResult) -> list[str]:
    of = {name: study.cases[name].schedule for name in CASES if name in study.cases}
    sentences = []
    if {"centralized", "distributed"} <= of.keys():
        gain = of["distributed"].hc_kw - of["centralized"].hc_kw
        burnt = float(of["distributed"].circulated_kwh().sum())
        sentences.append(
            f"Spreading the battery over {counted(len(of['distributed'].bess), 'unit')} is claimed to change "
            f"the capacity by {gain:+,.1f} kW against one central battery. In that schedule {burnt:,.0f} kWh "
            "are charged into some units while others discharge."
        )
    if {"centralized", "distributed_no_circulation"} <= of.keys():
        gain = of["distributed_no_circulation"].hc_kw - of["centralized"].hc_kw
        sentences.append(f"With such circulation forbidden the change is {unsigned_zero(gain, 1):+,.1f} kW.")
    return sentences


def simulation_title(key: str, with_schedule_case: str) -> str:
    """What a simulation was given, in words."""
    if key == "none":
        return "Without battery, the same capacity at every site"
    if key == "with_shares":
        return "Without battery, with the shares and reactive power that the program chose"
    case = with_schedule_case if key == "with_schedule" else key
    return f"With the schedule of: {PROGRAMS.get(case, case)}"


def _simulation_sentences(study: StudyResult) -> list[str]:
    sentences = []
    alone, beside = study.baselines.get("none"), study.baselines.get("with_schedule")
    if alone:
        sentences.append(
            f"Simulation alone, raising PV at the same sites without a battery, finds {alone.words}, "
            f"{limit_words(alone)}."
        )
    chosen = study.baselines.get("with_shares")
    if chosen:
        sentences.append(
            f"With the shares and reactive power that the program chose, simulation finds {chosen.words} "
            f"without a battery, {limit_words(chosen)}."
        )
    case = study.cases.get(study.with_schedule_case)
    if beside and case:
        name = PROGRAMS.get(study.with_schedule_case, study.with_schedule_case)
        words = f"With the schedule of {name} it finds {beside.words}, {limit_words(beside)}."
        if beside.hc_kw > case.schedule.hc_kw:
            words += (
                " That is more than the claim: losses, which a lossless program leaves out, take up power, and "
                "the regulators act."
            )
        sentences.append(words)
    return sentences


def _kw(value: float) -> str:
    return f"{value:,.1f} kW"
