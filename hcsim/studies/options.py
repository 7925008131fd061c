"""Settings before capital: what changes of a feeder raise its certified capacity, each certified and ranked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from hcsim.cases.case import Case
from hcsim.certify.certificate import Certificate
from hcsim.certify.options import loop_options
from hcsim.errors import ConfigError, HcsimError
from hcsim.results.options import Option, OptionsResult, cost_of, ranked, read_costs, write_options
from hcsim.studies.parts.graph import plans_of
from hcsim.studies.parts.options import OptionsJob, TriedChange
from hcsim.studies.runner import PartsAlone, opened
from hcsim.util.files import output_folder
from hcsim.util.locks import alone_in_folder
from hcsim.util.progress import Listener, silent
from hcsim.workbench.allocation import Workbench
from hcsim.workbench.changes import (
    KINDS,
    STEPS_V,
    Change,
    battery_changes,
    conductor_changes,
    inverter_changes,
    setting_changes,
)


@alone_in_folder
def rank_options(
    case: Case,
    folder: Path,
    *,
    program: str = "none",
    kinds: Sequence[str] = KINDS,
    steps_v: Sequence[float] = STEPS_V,
    batteries: int = 3,
    sections: int = 3,
    costs: Path | None = None,
    rounds: int | None = None,
    accept_gate: bool = False,
    processes: int | None = None,
    resume: bool = False,
    listener: Listener = silent,
) -> OptionsResult:
    """Every change by itself, certified in the changed feeder, against the feeder as it is.

    Parameters
    ----------
    case : Case
    folder : Path
        Gets options.json, options.csv, options.html, and schedules/ with what is certified under each change.
    program : str
        Whose certificate is raised; "none" is the feeder without batteries.
    kinds : sequence of str
        Of `hcsim.workbench.changes.KINDS`.
    steps_v : sequence of float
        V by which set points of regulators are moved, on their own base.
    batteries, sections : int
        How many places for a battery and how many sections of line are tried.
    costs : Path, optional
        CSV with columns option (a name or wildcard) and cost, in any unit of money.
    rounds : int, optional
        Rounds of each closed loop; None: [certify] max_rounds.
    accept_gate : bool
        Go on where the network is not quite the feeder.
    processes : int, optional
        Worker processes; None for as many as there are cores and memory for.
    resume : bool
        Take over what an earlier run of the same has finished.
    listener : callable, optional

    Returns
    -------
    OptionsResult

    Raises
    ------
    ConfigError, FeederError, ConvergenceError, OutputError
    HcsimError
        The feeder as it is has no certificate.
    """
    begun = time.perf_counter()
    if unknown := [k for k in kinds if k not in KINDS]:
        raise ConfigError(f"There are no changes of kind {unknown[0]!r}.", f"There are: {', '.join(KINDS)}.")
    priced = read_costs(costs) if costs else []
    bench = opened(case, accept_gate=accept_gate)
    if program != "none" and bench.case.config.bess is None:
        raise ConfigError(f"{bench.case.study_file} has no [bess], which program {program} needs.")
    work = PartsAlone(bench, output_folder(folder), listener)
    job = OptionsJob(bench.case, bench.circuit.source_sha256)
    first, loops = plans_of([program])
    work.do(job, first, "options", processes, resume=resume)
    base = work.values.get(loops[program])
    if not isinstance(base, Certificate):
        raise HcsimError("; ".join(f"{name}: {why}" for name, why in work.missing.items()))
    changes, notes = _changes(bench, base, kinds, steps_v, (batteries, sections), program)
    tried = [TriedChange(change, program, rounds) for change in changes]
    work.do(job, [*first, *tried], "options", processes, resume=True)
    found = []
    for part in tried:
        if (value := work.values.get(part)) is not None:
            facts, schedule = value
            gained = None if facts["hc_kw"] is None else facts["hc_kw"] - base.certified_kw
            cost = cost_of(part.change.name, priced)
            found.append(Option(part.change, gained_kw=gained, cost=cost, schedule=schedule, **facts))
    near_kw = loop_options(bench).tolerance * base.certified_kw
    notes.append(f"Gains below {near_kw:,.0f} kW are within the tolerance of the closed loop: they say nothing.")
    unused = [p for p, _ in priced if not any(cost_of(c.name, [(p, 1.0)]) for c in changes)]
    if unused:
        notes.append(f"Costs of what was not tried: {', '.join(unused)}.")
    result = OptionsResult(
        bench.case.name,
        program,
        base.certified_kw,
        base.word,
        ranked(found),
        tuple(notes),
        work.missing,
        time.perf_counter() - begun,
    )
    write_options(result, folder)
    return result


def _changes(
    bench: Workbench,
    base: Certificate,
    kinds: Sequence[str],
    steps_v: Sequence[float],
    counts: tuple[int, int],
    program: str,
) -> tuple[list[Change], list[str]]:
    """What is tried, and what is said of what is not."""
    notes = ["A ranking of single changes: two that gain together may gain nothing alone, and the other way round."]
    changes = [c for c in setting_changes(bench.circuit, bench.selection.held, steps_v) if c.kind in kinds]
    if "inverters" in kinds and base.certified_kw > 0 and program == "none":
        changes += inverter_changes()
        notes.append("Inverter curves replace the scheduled reactive power; sites keep the plan's shares of PV.")
    if "battery" in kinds and program == "none":
        places = battery_changes(bench, base.schedule, counts[0])
        changes += places
        if not places and counts[0]:
            notes.append("No battery was tried: the case has no [bess].")
    if "conductor" in kinds and counts[1]:
        changes += conductor_changes(bench, base.schedule, base.replay, base.binding, counts[1])
    return changes, notes
