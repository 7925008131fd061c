"""Paper 2's study: schemes A, B and C planned, each scenario replayed in OpenDSS, hosting capacity simulated.

    study = PlanningStudy.load("ieee33")
    result = study.run(out="results")

Prints nothing; a listener hears what happens. Parts are written as soon as they exist.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from hcsim.cases.case import Case, load_case
from hcsim.errors import ConfigError
from hcsim.hosting.result import write_baseline
from hcsim.replay.recording import Controls
from hcsim.replay.result import ReplayResult, write_replay
from hcsim.replay.verdict import verdict
from hcsim.results.planning import PlanningStudyResult, SchemeResult, claim_in_words
from hcsim.schedules.files import write_schedule
from hcsim.studies.runner import CONTROLS, STUDY_PARTS, Interrupted, Parts, default_out, versions
from hcsim.util.files import output_folder, write_csv, write_parquet
from hcsim.util.locks import folder_lock
from hcsim.util.progress import Listener, silent
from hcsim.workbench.allocation import Workbench
from hcsim.workbench.planning import SCENARIOS, PlanningBench, Sharing
from optim.planning.case import Exactness, ScenarioName, Scheme
from optim.planning.result import PlanningResult
from optim.planning.schemes import solve_planning
from optim.solve.options import Progress, SolveOptions

SCHEMES: tuple[Scheme, ...] = ("A", "B", "C")
SHARINGS: tuple[Sharing, ...] = ("as_planned", "uniform")


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
            with work.until_interrupted():
                for scheme in chosen:
                    work.solve_scheme(scheme, gap, time_limit_s)
                    work.replay_scheme(scheme)
                    work.simulate_hosting_capacity(scheme)
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
    """The parts of a planning study. Each method is one line of the table of contents above."""

    def __init__(
        self,
        case: Case,
        folder: Path,
        listener: Listener,
        exactness: Exactness | None = None,
        *,
        accept_gate: bool = False,
    ) -> None:
        """Compile, read, gate, make the equivalent feeder. What fails here fails the study."""
        super().__init__(folder, listener)
        self.case = case
        self.schemes: dict[Scheme, SchemeResult] = {}
        self._bare: dict[tuple[ScenarioName, Controls], ReplayResult] = {}
        with self._timed("feeder"):
            self.bench = self._open(exactness, accept_gate)

    def _open(self, exactness: Exactness | None, accept_gate: bool) -> PlanningBench:
        feeder = Workbench.open(self.case)
        feeder.require_gate(accept=accept_gate)
        bench = PlanningBench.of(feeder)
        if exactness is not None:
            bench = replace(bench, case=replace(bench.case, exactness=exactness))
        self._begin_folder(feeder)
        self._say("feeder", f"{len(feeder.network.buses)} buses, equivalent of {len(bench.case.feeder)} sections")
        return bench

    def solve_scheme(self, scheme: Scheme, gap: float | None, time_limit_s: float | None) -> None:
        """One scheme's plan and its schedules of both scenarios."""
        part = f"scheme {scheme}"
        with self._part(scheme, part):
            options = self.bench.options(gap, time_limit_s)
            found = solve_planning(self.bench.case, scheme, options, lambda p: self._report_rounds(part, p, options))
            schedules = {scenario: self.bench.schedule(found, scenario) for scenario in SCENARIOS}
            self.schemes[scheme] = SchemeResult(found, schedules)
            for scenario, schedule in schedules.items():
                write_schedule(schedule, self.folder / "schedules" / f"{scheme}_{scenario}")
            write_parquet(self.folder / "cones" / f"{scheme}.parquet", cone_table(found))
            write_csv(self.folder / "rounds" / f"{scheme}.csv", pd.DataFrame(found.rounds))
            self._say(part, claim_in_words(found))
            if found.solve.status == "interrupted":
                raise Interrupted

    def replay_scheme(self, scheme: Scheme) -> None:
        """A plan's schedules through OpenDSS, taps locked and free."""
        if scheme not in self.schemes:
            return
        for scenario in SCENARIOS:
            for controls in CONTROLS:
                title = f"replay {scheme} {scenario}, controls {controls}"
                with self._part(f"{scheme} replay {scenario} {controls}", title):
                    found = self._replay(scheme, scenario, controls, title)
                    here = self.schemes[scheme]
                    replays = {**here.replays, (scenario, controls): found}
                    self.schemes[scheme] = replace(here, replays=replays)
                    write_replay(found, self.folder / "replays" / scheme / scenario / controls)

    def simulate_hosting_capacity(self, scheme: Scheme) -> None:
        """Hosting capacity of the plan by simulation, for each way of sharing PV."""
        if scheme not in self.schemes:
            return
        for sharing in SHARINGS:
            title = f"simulation HC {scheme}, {sharing.replace('_', ' ')}"
            with self._part(f"{scheme} simulation {sharing}", title):
                here = self.schemes[scheme]
                found = self.bench.simulated_pvhc(
                    here.schedules["pvhc"], here.result, sharing, progress=self._progress(title, "probes")
                )
                self.schemes[scheme] = replace(here, simulations={**here.simulations, sharing: found})
                write_baseline(found, self.folder / "baselines" / scheme / sharing)
                self._say(title, f"{found.words} after {found.power_flows} power flows")

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
            schemes=dict(self.schemes),
            assumptions=dict(self.case.config.assumptions),
            paper=self.bench.section.paper,
            versions=versions(),
            seconds={**self.seconds, "total": time.perf_counter() - self._begun},
            missing=dict(self.missing),
        )

    def _replay(self, scheme: Scheme, scenario: ScenarioName, controls: Controls, part: str) -> ReplayResult:
        base = self._bare.get((scenario, controls))
        if base is None:
            base = self._bare[scenario, controls] = self.bench.replay(None, scenario, controls)
        found = self.bench.replay(
            self.schemes[scheme].schedules[scenario],
            scenario,
            controls,
            base=base,
            progress=self._progress(part, "steps"),
        )
        self._say(part, verdict(found).words)
        return found

    def _report_rounds(self, part: str, said: Progress, options: SolveOptions) -> None:
        stage = said.phase.partition(": ")[2] or said.phase
        words = f"{stage}: {said.objective:.3f}, at least {said.bound:.3f}".replace("nan", "none yet")
        self._say(part, words.replace("-inf", "none yet"), min(said.seconds / options.time_limit_s, 1.0))


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
