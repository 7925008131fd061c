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
from hcsim.jobs.side_by_side import Ended
from hcsim.operate.settings import OperateSettings
from hcsim.results.year_plan import YearPlan, YearPlans, write_year_plans
from hcsim.studies.parts.flexible import YEAR_H, BareYear
from hcsim.studies.parts.year_plan import PlanOfYear, YearJob
from hcsim.studies.runner import Parts, identity
from hcsim.util.files import output_folder
from hcsim.util.locks import alone_in_folder
from hcsim.util.progress import Listener, silent
from hcsim.workbench.allocation import Workbench

PROGRAMS = ("none", "centralized", "distributed")
POLICY = "follow"


class _Year(Parts):
    def __init__(self, bench: Workbench, folder: Path, listener: Listener) -> None:
        super().__init__(folder, listener)
        self.bench = bench
        self.plans: dict[str, YearPlan] = {}

    def do(self, parts: Sequence[Part], processes: int | None, *, resume: bool) -> None:
        bench = self.bench
        with self._opening():
            self._hire(YearJob(bench.case, bench.circuit.source_sha256), bench, processes)
            self._open_files(identity(bench, "year", bench.profiles), processes, resume=resume)
        with self.until_interrupted():
            self._do_parts(parts, bench, self._take)

    def _take(self, ended: Ended) -> None:
        if isinstance(ended.part, PlanOfYear):
            self.plans[ended.part.program] = ended.value


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
    bench = Workbench.open(case)
    bench.check_sites()
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
    work = _Year(bench, output_folder(folder), listener)
    work.do(parts, processes, resume=resume)
    ordered = {name: work.plans[name] for name in programs if name in work.plans}
    found = YearPlans(bench.case.name, ordered, axis.notes, work.missing, time.perf_counter() - begun)
    write_year_plans(found, folder)
    return found
