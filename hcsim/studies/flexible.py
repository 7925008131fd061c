"""Flexible hosting capacity: capacity against the share of a year's energy that is curtailed, every point replayed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from hcsim.cases.case import Case
from hcsim.cases.existing_devices import with_existing
from hcsim.errors import ConfigError
from hcsim.jobs.parts import Part
from hcsim.operate.days import maker_of
from hcsim.operate.settings import OperateSettings
from hcsim.results.flexible import FlexibleResult, Point, write_flexible
from hcsim.schedules.files import read_schedule
from hcsim.studies.parts.flexible import YEAR_H, BareYear, CurvePoint, FirstYear, FlexibleJob, GivenPlan
from hcsim.studies.parts.graph import plans_of
from hcsim.studies.runner import PartsAlone, gaps_in_words, opened
from hcsim.util.files import output_folder
from hcsim.util.locks import alone_in_folder
from hcsim.util.progress import Listener, silent
from hcsim.workbench.allocation import Workbench
from optim.data.schedule import Schedule

CURTAILMENT_PCT = (0.0, 1.0, 2.0, 5.0)
PROGRAMS = ("none", "centralized", "distributed")


@alone_in_folder
def flexible_capacity(
    case: Case,
    year: Path | None,
    folder: Path,
    curtailment_pct: Sequence[float] = CURTAILMENT_PCT,
    *,
    programs: Sequence[str] = PROGRAMS,
    schedules: Sequence[Path] = (),
    policy: str = "follow",
    settings: OperateSettings | None = None,
    accept_gate: bool = False,
    processes: int | None = None,
    resume: bool = False,
    listener: Listener = silent,
) -> FlexibleResult:
    """The curve of every plan over 8,760 hours.

    Plans are certified schedules of the programs, or the user's own: sites' shares, reactive power and batteries stay
    as they are there, the capacity is what is looked for.

    Parameters
    ----------
    case : Case
    year : Path or None
        CSV of a year; None: the feeder's own shapes, or a year made of the case's day.
    folder : Path
        Gets summary.json, points.csv, sites.csv, export_profiles.csv and flexible.html.
    curtailment_pct : sequence of float
        Per cent of the year's PV energy.
    programs : sequence of str
        Whose plans, where no `schedules` are given.
    schedules : sequence of Path
        Schedule folders.
    policy : str
        Which curtails.
    settings : OperateSettings, optional
        Default: [operate].
    accept_gate : bool
        Go on where the network is not quite the feeder.
    processes : int, optional
        Worker processes; None for as many as there are cores and memory for.
    resume : bool
        Take over what an earlier run of the same has finished.
    listener : callable, optional

    Returns
    -------
    FlexibleResult

    Raises
    ------
    ConfigError, FeederError, ConvergenceError, OutputError
    """
    begun = time.perf_counter()
    shares = _shares(curtailment_pct)
    maker_of(policy)
    bench = opened(case, accept_gate=accept_gate)
    settings = settings or OperateSettings(**bench.case.config.operate.seen())
    axis = with_existing(bench.case, bench.network, YEAR_H, year)
    plans, given = _plans(bench, programs, schedules)
    parts: list[Part] = [BareYear(str(year.resolve()) if year else None, _sha256(year) if year else "")]
    parts += plans
    for name in given:
        parts.append(FirstYear(name, policy, settings))
        parts += [CurvePoint(name, share, policy, settings) for share in shares]
    work = PartsAlone(bench, output_folder(folder), listener)
    work.do(FlexibleJob(bench.case, bench.circuit.source_sha256), parts, "flexible", processes, resume=resume)
    made = {name: work.values.get(part) for name, part in given.items()}
    found = FlexibleResult(
        case=bench.case.name,
        policy=policy,
        points=[p for part in parts if isinstance(p := work.values.get(part), Point)],
        plans_kw={n: (p if isinstance(p, Schedule) else p.schedule).hc_kw for n, p in made.items() if p is not None},
        settings=asdict(settings),
        notes=gaps_in_words(axis),
        missing=work.missing,
        seconds=time.perf_counter() - begun,
    )
    write_flexible(found, folder)
    return found


def _plans(bench: Workbench, programs: Sequence[str], schedules: Sequence[Path]) -> tuple[list[Part], dict[str, Part]]:
    """The parts that make the plans, and by name the one that hands it over."""
    if schedules:
        given: dict[str, Part] = {}
        for folder in schedules:
            schedule = read_schedule(folder, network=bench.network, profiles=bench.profiles)
            if schedule.case in given:
                raise ConfigError(f"Two schedules are called {schedule.case}.", "Rename one of them.")
            given[schedule.case] = GivenPlan(schedule.case, str(folder.resolve()), _sha256(folder))
        return list(given.values()), given
    parts, loops = plans_of(programs)
    return parts, dict(loops)


def _sha256(path: Path) -> str:
    """Of a file, or of every file of a folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    hashed = hashlib.sha256()
    for file in files:
        if file.is_file():
            hashed.update(file.name.encode() + file.read_bytes())
    return hashed.hexdigest()


def _shares(curtailment_pct: Sequence[float]) -> list[float]:
    """Each once, in order. Raises ConfigError."""
    if not curtailment_pct:
        raise ConfigError("--curtailment names no share of energy.", "For one: --curtailment 0,1,2,5")
    for share in curtailment_pct:
        if not 0.0 <= share < 100.0:
            raise ConfigError(f"--curtailment {share:g}: shares of energy are from 0 to below 100 per cent.")
    return sorted(set(curtailment_pct))
