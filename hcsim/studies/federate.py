"""The feeder as referee for anyone's controller: a schedule operated by a federate, on its day or over a year."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hcsim.errors import HcsimError
from hcsim.operate.days import OperatedDays
from hcsim.operate.federate import Exchange, Federated, FederateOptions
from hcsim.operate.operation import Day
from hcsim.operate.policy import Plan, PolicyError
from hcsim.operate.settings import OperateSettings
from hcsim.results.operate import OperateResult
from hcsim.util.progress import Event, Listener, silent
from hcsim.workbench.allocation import Workbench
from optim.data.schedule import Schedule

NAME = "federate"


@dataclass(frozen=True)
class FederatedResult:
    """What the days showed, and where the controller did not answer."""

    operated: OperateResult
    exchanges: int
    late: tuple[str, ...]
    """Labels of the steps without an answer in time, in order."""

    def to_json(self) -> dict[str, Any]:
        """What summary.json holds."""
        return {**self.operated.to_json(), "exchanges": self.exchanges, "late_steps": list(self.late)}


def federate(
    bench: Workbench,
    schedule: Schedule,
    options: FederateOptions | None = None,
    days: Sequence[Day] | None = None,
    settings: OperateSettings | None = None,
    *,
    listener: Listener = silent,
) -> FederatedResult:
    """Operate a schedule by a controller of another program.

    Parameters
    ----------
    bench : Workbench
    schedule : Schedule
        Sizes, and what acts where the controller says nothing.
    options : FederateOptions, optional
        Broker, topic, and how long an answer is waited for.
    days : sequence of Day, optional
        Factors of load and sun; default: the study's own day.
    settings : OperateSettings, optional
        Delay and errors of what it sees; default: [operate].
    listener : callable, optional

    Returns
    -------
    FederatedResult

    Raises
    ------
    ConfigError
        HELICS is not installed; no controller has joined.
    HcsimError
        No broker answers; a command that names no device.
    """
    options = options or FederateOptions()
    settings = settings or OperateSettings(**bench.case.config.operate.seen())
    steps = len(bench.profiles)
    chosen = tuple(days) if days is not None else (Day(np.ones(steps), np.ones(steps), "the study's day"),)
    work = OperatedDays(bench, schedule, settings)
    listener(Event(NAME, "started"))

    def tell(words: str, share: float | None = None) -> None:
        listener(Event(NAME, "working", words, share))

    made: list[Federated] = []
    with Exchange(options, tell) as exchange:

        def make(plan: Plan) -> Federated:
            made.append(Federated(plan, exchange))
            return made[-1]

        try:
            found = work.run(NAME, make, chosen, lambda _, k, of: tell(f"{k} of {of} days", k / of))
        except PolicyError as error:
            listener(Event(NAME, "failed", str(error)))
            raise HcsimError(str(error)) from None
    operated = OperateResult(bench.case.name, schedule.case, schedule.hc_kw, chosen, {NAME: found}, asdict(settings))
    late = tuple(bench.profiles.times[t] for policy in made for t in policy.late_steps)
    words = f"{exchange.count} exchanges, {len(late)} steps without an answer"
    listener(Event(NAME, "done", words, 1.0))
    return FederatedResult(operated, exchange.count, late)


def write_federated(found: FederatedResult, folder: Path) -> Path:
    """summary.json, days.csv and operate.html, as of `hcsim operate`. Raises OutputError."""
    from hcsim.report.operate.page import operate_page
    from hcsim.results.operate import write_operated
    from hcsim.util.files import write_json

    write_operated(found.operated, folder)
    write_json(folder / "summary.json", found.to_json())
    return operate_page(found.operated, folder)
