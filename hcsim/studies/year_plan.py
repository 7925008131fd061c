"""`hcsim study --year`: sizes and sites that pass every day of a year, program by program."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from hcsim.cases.case import Case
from hcsim.cases.existing_devices import with_existing
from hcsim.errors import ConfigError
from hcsim.jobs.parts import Part
from hcsim.operate.settings import OperateSettings
from hcsim.results.year_plan import YearPlans, write_year_plans
from hcsim.studies.parts.flexible import YEAR_H, BareYear
from hcsim.studies.parts.year_plan import PlanOfYear, YearJob
from hcsim.studies.runner import PartsAlone, gaps_in_words, opened
from hcsim.util.files import output_folder
from hcsim.util.locks import alone_in_folder
from hcsim.util.progress import Listener, silent

PROGRAMS = ("none", "centralized", "distributed")
POLICY = "follow"


@alone_in_folder
def plan_year(
    case: Case,
    year: Path | None,
    folder: Path,
    programs: Sequence[str] = PROGRAMS,
    *,
    gap: float | None = None,
    time_limit_s: float | None = None,
    certify_time_s: float | None = None,
    accept_gate: bool = False,
    processes: int | None = None,
    resume: bool = False,
    listener: Listener = silent,
) -> YearPlans:
    """Plans for the year.

    Parameters
    ----------
    case : Case
    year : Path or None
        CSV of a year; None: the feeder's own shapes, or a year made of the case's day.
    folder : Path
        Gets summary.json, plans.csv, sites.csv, schedules/<program>_year and year.html.
    programs : sequence of str
        Which of none, centralized, distributed, distributed_no_circulation.
    gap, time_limit_s, certify_time_s : float, optional
        As in a study.
    accept_gate : bool
        Go on where the network is not quite the feeder.
    processes : int, optional
        Worker processes; None for as many as there are cores and memory for.
    resume : bool
        Take over what an earlier run of the same has finished.
    listener : callable, optional

    Returns
    -------
    YearPlans

    Raises
    ------
    ConfigError
        The case's day is no day of hours; a year of other steps.
    FeederError, ConvergenceError, OutputError
    """
    begun = time.perf_counter()
    bench = opened(case, accept_gate=accept_gate)
    if len(bench.profiles) * bench.profiles.step_h != 24 or bench.profiles.step_h != 1.0:
        raise ConfigError(
            f"A year is planned in hours; the case has {len(bench.profiles)} steps of {bench.profiles.step_h:g} h.",
            "Give the case a day of 24 hours.",
        )
    axis = with_existing(bench.case, bench.network, YEAR_H, year)
    settings = OperateSettings(**bench.case.config.operate.seen())
    sha = hashlib.sha256(year.read_bytes()).hexdigest() if year else ""
    parts: list[Part] = [BareYear(str(year.resolve()) if year else None, sha)]
    parts += [PlanOfYear(name, POLICY, settings, gap, time_limit_s, certify_time_s) for name in programs]
    work = PartsAlone(bench, output_folder(folder), listener)
    work.do(YearJob(bench.case, bench.circuit.source_sha256), parts, "year", processes, resume=resume)
    ordered = {p.program: work.values[p] for p in parts if isinstance(p, PlanOfYear) and p in work.values}
    found = YearPlans(bench.case.name, ordered, gaps_in_words(axis), work.missing, time.perf_counter() - begun)
    write_year_plans(found, folder)
    return found
