"""Paper 2's study: schemes A, B and C planned, each scenario replayed in OpenDSS, hosting capacity simulated.

    study = PlanningStudy.load("ieee33")
    result = study.run(out="results")

Prints nothing; a listener hears what happens. Parts are written as soon as they exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hcsim.cases.case import Case, load_case
from hcsim.errors import ConfigError
from hcsim.hosting.result import write_baseline
from hcsim.jobs.parts import Part
from hcsim.jobs.side_by_side import Ended
from hcsim.replay.result import write_replay
from hcsim.results.planning import PlanningStudyResult, SchemeResult
from hcsim.schedules.files import write_schedule
from hcsim.studies.parts.planning import PlanCapacity, PlanningJob, PlanReplay, SchemePlan, parts_of, with_exactness
from hcsim.studies.runner import STUDY_PARTS, Parts, default_out, identity, versions
from hcsim.util.files import output_folder, write_csv, write_parquet
from hcsim.util.locks import folder_lock
from hcsim.util.progress import Listener, silent
from hcsim.workbench.allocation import Workbench
from hcsim.workbench.planning import PlanningBench
from optim.planning.case import Exactness, Scheme
from optim.planning.result import PlanningResult

SCHEMES: tuple[Scheme, ...] = ("A", "B", "C")


@dataclass(frozen=True)
class PlanningStudy:
    """A case, ready to be planned.

    Examples
    --------
    >>> import hcsim
    >>> hcsim.PlanningStudy.load("ieee33").case.name
    'ieee33'
    """

    case: Case

    @classmethod
    def load(cls, case: str | Path) -> PlanningStudy:
        """The planning study of a case.

        Parameters
        ----------
        case : str or path
            A bundled name ("ieee33"), or a folder with a study.toml that has [planning].

        Returns
        -------
        PlanningStudy

        Raises
        ------
        ConfigError
            Unknown case, study.toml, profiles.
        FeederError
            No .dss file.
        """
        return cls(load_case(case))

    def run(
        self,
        out: str | Path | None = None,
        *,
        schemes: Sequence[str] = SCHEMES,
        gap: float | None = None,
        time_limit_s: float | None = None,
        exactness: Exactness | None = None,
        accept_gate: bool = False,
        processes: int | None = 1,
        resume: bool = False,
        listener: Listener = silent,
    ) -> PlanningStudyResult:
        """Runs the study and writes its results to `out` (default: ./hcsim-results/<case>).

        Parameters
        ----------
        out : str or path, optional
            Folder of the results.
        schemes : sequence of str, default A, B, C
            Schemes of paper 2.
        gap : float, optional
            Relative gap at which a program may end; default [planning] gap.
        time_limit_s : float, optional
            Seconds a program may take; default [planning] time_limit_s.
        exactness : str, optional
            The remedy for the relaxation; default [planning] exactness.
        accept_gate : bool, default False
            Go on where the network is not quite the feeder.
        processes : int, optional
            Worker processes, as in `Study.run`.
        resume : bool, default False
            Take over what an earlier run of the same study into the same folder has finished.
        listener : callable, optional
            Hears what happens; a study prints nothing.

        Returns
        -------
        PlanningStudyResult
            What there is; parts that ended without a result are named, with the reason, in `missing`.

        Raises
        ------
        ConfigError, FeederError, OutputError
            What stops everything.
        ModelError
            Meshed feeder, sizes that admit nothing.
        """
        chosen = known_schemes(schemes)
        folder = output_folder(default_out(self.case) if out is None else Path(out))
        with folder_lock(folder, STUDY_PARTS):
            work = PlanningRun(self.case, folder, listener, exactness, accept_gate=accept_gate)
            work.open(processes, resume=resume)
            with work.until_interrupted():
                work.run(list(parts_of(chosen, exactness, gap, time_limit_s)))
            work.report()
            return work.result()


def known_schemes(names: Sequence[str]) -> tuple[Scheme, ...]:
    """Raises ConfigError for a scheme that paper 2 does not have."""
    wanted = [name.strip().upper() for name in names]
    for name in wanted:
        if name not in SCHEMES:
            raise ConfigError(f"There is no scheme {name!r}.", f"Schemes: {', '.join(SCHEMES)}.")
    return tuple(s for s in SCHEMES if s in wanted)


class PlanningRun(Parts):
    """A planning study in the making: opened here, its parts done by a crew, what they hand back kept here."""

    def __init__(
        self,
        case: Case,
        folder: Path,
        listener: Listener,
        exactness: Exactness | None = None,
        *,
        accept_gate: bool = False,
    ) -> None:
        super().__init__(folder, listener)
        self.case, self._exactness, self._accept_gate = case, exactness, accept_gate
        self._parts: list[Part] = []
        self._values: dict[Part, Any] = {}

    def open(self, processes: int | None, *, resume: bool) -> None:
        """Compile, read, gate, make the equivalent feeder. What fails here fails the study."""
        with self._opening():
            feeder = Workbench.open(self.case)
            job = PlanningJob(self.case, feeder.circuit.source_sha256, self._exactness)
            self._hire(job, feeder, processes)
            feeder.require_gate(accept=self._accept_gate)
            self.bench = bench = with_exactness(PlanningBench.of(feeder), self._exactness)
            self._open_files(identity(feeder, "planning", bench.day), processes, resume=resume)
            self._begin_folder(feeder)
            self._say("feeder", f"{len(feeder.network.buses)} buses, equivalent of {len(bench.case.feeder)} sections")

    def run(self, parts: list[Part]) -> None:
        """All parts; what ends without a result is named in `missing`."""
        self._parts = parts
        self._do_parts(parts, self.bench, self._take)

    def _take(self, ended: Ended) -> None:
        """Keeps a result, and writes it."""
        part, value = ended.part, ended.value
        self._values[part] = value
        match part:
            case SchemePlan():
                found, schedules = value
                for scenario, schedule in schedules.items():
                    write_schedule(schedule, self.folder / "schedules" / f"{part.scheme}_{scenario}")
                write_parquet(self.folder / "cones" / f"{part.scheme}.parquet", cone_table(found))
                write_csv(self.folder / "rounds" / f"{part.scheme}.csv", pd.DataFrame(found.rounds))
            case PlanReplay():
                write_replay(value, self.folder / "replays" / part.scheme / part.scenario / part.controls)
            case PlanCapacity():
                write_baseline(value, self.folder / "baselines" / part.scheme / part.sharing)

    @property
    def schemes(self) -> dict[Scheme, SchemeResult]:
        """What there is so far, in the order of the parts."""
        have = [(part, self._values[part]) for part in self._parts if part in self._values]
        found = {part.scheme: SchemeResult(*value) for part, value in have if isinstance(part, SchemePlan)}
        for part, value in have:
            if isinstance(part, PlanReplay):
                replays = {**found[part.scheme].replays, (part.scenario, part.controls): value}
                found[part.scheme] = replace(found[part.scheme], replays=replays)
            elif isinstance(part, PlanCapacity):
                simulations = {**found[part.scheme].simulations, part.sharing: value}
                found[part.scheme] = replace(found[part.scheme], simulations=simulations)
        return found

    def report(self) -> None:
        """summary.json, plan.csv, figures and the page, from whatever exists."""
        from hcsim.report.planning.page import write_planning_report  # drawing libraries take a second to load

        with self._timed("report"):
            write_planning_report(self.result(), self.folder)

    def result(self) -> PlanningStudyResult:
        """What there is so far."""
        bench = self.bench.bench
        return PlanningStudyResult(
            case=self.case.name,
            title=self.case.config.title or self.case.name,
            network=bench.network,
            profiles=self.bench.day,
            ledger=bench.ledger.to_frame(),
            planning=self.bench.case,
            schemes=self.schemes,
            assumptions=dict(self.case.config.assumptions),
            paper=self.bench.section.paper,
            versions=versions(),
            **self._in_order(self._parts),
        )


def cone_table(found: PlanningResult) -> pd.DataFrame:
    """Slack of (36) per scenario, step and branch: l u - P^2 - Q^2, squared pu on 1 MVA."""
    parts = []
    for operation in (found.typical, found.pvhc):
        steps, width = operation.cone_slack.shape
        parts.append(
            pd.DataFrame(
                {
                    "scenario": operation.scenario,
                    "step": np.repeat(np.arange(steps), width),
                    "branch": pd.Series(np.tile(np.array(operation.branches, dtype=object), steps), dtype="str"),
                    "cone_slack_pu": operation.cone_slack.ravel(),
                    "current_a": operation.current_a.ravel(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
