"""Operate a schedule: the controller in the loop, day after day, beside the open-loop schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from hcsim.errors import ConfigError
from hcsim.operate.days import SPREAD, OperatedDays, Progress, drawn, maker_of
from hcsim.operate.foresight import foresight
from hcsim.operate.operation import Day
from hcsim.operate.policy import PolicyError
from hcsim.operate.settings import OperateSettings
from hcsim.results.operate import OperateResult, in_words, write_operated
from hcsim.schedules.dispatch.cells import read_table
from hcsim.util.progress import Event, Listener, silent
from hcsim.workbench.allocation import Workbench
from optim.data.schedule import Schedule


def operate(
    bench: Workbench,
    schedule: Schedule,
    policies: Sequence[str] = ("schedule", "follow"),
    days: Sequence[Day] | None = None,
    settings: OperateSettings | None = None,
    *,
    foresight_days: int = 0,
    listener: Listener = silent,
) -> OperateResult:
    """Run every policy on the same days.

    Parameters
    ----------
    bench
        The feeder, open.
    schedule
        The plan: sizes, powers, stored energy.
    policies
        "schedule", "follow", or "module:Class" of anybody's, made of a `Plan` and asked by its method `act`.
    days
        Factors of load and sun; None: 200 drawn days, load and sun each off by up to 10 %.
    settings
        Delay, errors, meters; None: [operate] of the study.
    foresight_days
        On so many of the days also what perfect foresight would have curtailed.

    Returns
    -------
    OperateResult
        Per policy: share of days that pass with a 95 % interval, what breaks, curtailed energy by site.

    Raises
    ------
    ConfigError
        An unknown policy, or days of another length.
    """
    settings = settings or settings_of(bench)
    steps = len(bench.profiles)
    if settings.delay_steps >= steps:
        raise ConfigError(f"[operate] delay_steps = {settings.delay_steps}: the day has {steps} steps.")
    chosen = tuple(days) if days is not None else tuple(drawn(200, settings.seed, SPREAD, steps))
    for day in chosen:
        if day.load.shape != (steps,) or day.pv.shape != (steps,):
            raise ConfigError(
                f"{day.name}: {len(day.load)} factors for {steps} steps.", "One for each step of the study."
            )
    makers = {name: maker_of(name) for name in dict.fromkeys(policies)}
    _tell(listener, "planned day", "started")
    work = OperatedDays(bench, schedule, settings)
    _tell(listener, "planned day", "done", f"{len(work.plan.meters)} voltages telemetered")
    found, cut = {}, {}
    for name, make in makers.items():
        part = f"policy {name}"
        _tell(listener, part, "started")
        try:
            found[name] = work.run(name, make, chosen, _counting(listener, part))
        except PolicyError as error:
            cut[name] = str(error)
            _tell(listener, part, "failed", str(error))
            continue
        _tell(listener, part, "done", in_words(name, found[name]))
    seen = None
    if foresight_days:
        part = "perfect foresight"
        _tell(listener, part, "started")
        told = _counting(listener, part)
        seen = foresight(bench, schedule, chosen[:foresight_days], work.before, lambda k, of: told(part, k, of))
        _tell(listener, part, "done", f"{seen.found} of {len(seen.curtailed_kwh)} days have a schedule")
    return OperateResult(bench.case.name, schedule.case, schedule.hc_kw, chosen, found, asdict(settings), cut, seen)


def settings_of(bench: Workbench, **given: int | float | None) -> OperateSettings:
    """[operate] of the study, with what the user asks for on top."""
    own = bench.case.config.operate.seen()
    return OperateSettings(**{**own, **{k: v for k, v in given.items() if v is not None}})


def read_days(file: Path, steps: int) -> list[Day]:
    """Days of a table with columns day, step (0-based), load_factor, pv_factor: CSV, Excel or Parquet.

    Raises ConfigError for other columns, gaps, or factors out of range.
    """
    table = read_table(file)
    wanted = ["day", "step", "load_factor", "pv_factor"]
    if missing := [c for c in wanted if c not in table.cells.columns]:
        raise ConfigError(f"{table.name}: no column {missing[0]!r}.", f"Columns: {', '.join(wanted)}.")
    cells = table.cells[wanted].copy()
    for column in wanted[1:]:
        cells[column] = pd.to_numeric(cells[column], errors="coerce")
    if cells.isna().any().any():
        row = int(np.flatnonzero(cells.isna().any(axis=1))[0])
        raise ConfigError(f"{table.name}, row {table.line(row)}: a factor is missing or no number.")
    if ((cells[["load_factor", "pv_factor"]] < 0) | (cells[["load_factor", "pv_factor"]] > 10)).any().any():
        raise ConfigError(f"{table.name}: factors lie between 0 and 10.")
    days = []
    for name, mine in cells.groupby("day", sort=False):
        mine = mine.sort_values("step")
        if mine["step"].tolist() != list(range(steps)):
            raise ConfigError(f"{table.name}: day {name} has {len(mine)} steps, not 0 to {steps - 1}.")
        days.append(Day(mine["load_factor"].to_numpy(float), mine["pv_factor"].to_numpy(float), str(name)))
    return days


def write_all(found: OperateResult, folder: Path) -> Path:
    """summary.json, days.csv, operate.html."""
    from hcsim.report.operate.page import operate_page

    write_operated(found, folder)
    return operate_page(found, folder)


def _counting(listener: Listener, part: str) -> Progress:
    return lambda _, done, of: _tell(listener, part, "working", f"{done} of {of} days", done / of)


def _tell(listener: Listener, part: str, state: str, words: str = "", share: float | None = None) -> None:
    listener(Event(part, state, words, share))  # type: ignore[arg-type]
