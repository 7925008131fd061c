"""The main job: what the optimizer claims, what OpenDSS makes of it, what plain simulation finds.

    study = Study.load("ieee123")
    result = study.run(out="results")

Prints nothing; a listener hears what happens. Every part is written as soon as it exists, so that Ctrl-C, a
full disk or a program without a solution costs that part and no other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hcsim.cases.case import Case, load_case
from hcsim.cases.config.inverters import InverterWord
from hcsim.cases.defaults import SitesWanted
from hcsim.certify.certificate import write_certificate
from hcsim.errors import ConfigError
from hcsim.feeder.check import check_network
from hcsim.hosting.result import HostingCapacityResult, write_baseline
from hcsim.jobs.side_by_side import Ended
from hcsim.replay.inverter_day import write_inverter_day
from hcsim.replay.recording import Controls
from hcsim.replay.result import write_replay
from hcsim.results.allocation import StudyResult
from hcsim.results.bounds import bounded
from hcsim.results.existing import EXISTING_FILE, existing_table
from hcsim.schedules.files import write_schedule
from hcsim.studies.parts.allocation import AllocationJob, BareDay, Claim, ClaimReplay
from hcsim.studies.parts.collected import Collected
from hcsim.studies.parts.graph import Asked, parts_of
from hcsim.studies.parts.inverters import InverterReplay
from hcsim.studies.parts.loops import Budget, ClosedLoop, OperatedCapacity, OtherDays, SpreadForm
from hcsim.studies.runner import CONTROLS, STUDY_PARTS, Parts, default_out, identity, versions
from hcsim.util.files import output_folder, write_csv, write_text
from hcsim.util.locks import folder_lock
from hcsim.util.progress import Listener, silent
from hcsim.workbench.allocation import Workbench
from optim.hosting.problem import CASES


@dataclass(frozen=True)
class Study:
    """A case, ready to run.

    Examples
    --------
    >>> import hcsim
    >>> hcsim.Study.load("ieee123").case.name
    'ieee123'
    """

    case: Case

    @classmethod
    def load(cls, case: str | Path, sites: SitesWanted | None = None) -> Study:
        """The study of a case.

        Parameters
        ----------
        case : str or path
            A bundled name ("ieee123"), a folder with a study.toml, or a feeder's master .dss file.
        sites : SitesWanted, optional
            Of a .dss file: how many sites its defaults shall have, or which.

        Returns
        -------
        Study

        Raises
        ------
        ConfigError
            Unknown case, study.toml, profiles.
        FeederError
            No .dss file.
        """
        return cls(load_case(case, sites))

    def run(
        self,
        out: str | Path | None = None,
        *,
        programs: Sequence[str] = CASES,
        gap: float | None = None,
        time_limit_s: float | None = None,
        accept_gate: bool = False,
        certify: bool = True,
        certify_time_s: float | None = None,
        inverters: InverterWord | None = None,
        robustness_draws: int | None = None,
        operated_draws: int | None = None,
        margin_search_s: float | None = None,
        processes: int | None = 1,
        resume: bool = False,
        listener: Listener = silent,
    ) -> StudyResult:
        """Runs the whole study and writes its results to `out` (default: ./hcsim-results/<case>).

        Parameters
        ----------
        out : str or path, optional
            Folder of the results.
        programs : sequence of str
            Which of none, centralized, distributed, distributed_no_circulation.
        gap : float, optional
            Relative gap at which a program may end; default [solver] gap.
        time_limit_s : float, optional
            Seconds a program may take; default [solver] time_limit_s.
        accept_gate : bool, default False
            Go on where the network is not quite the feeder.
        certify : bool, default True
            Run the closed loop on what the programs claim.
        certify_time_s : float, optional
            Seconds the loop may take per program; default [certify].
        inverters : str, optional
            Which autonomous inverters are laid beside; default [inverters] compare.
        robustness_draws : int, optional
            Days of other load and sun; default [certify] robustness_draws.
        operated_draws : int, optional
            Of them under a policy that acts; default [operate] draws.
        margin_search_s : float, optional
            Seconds for a schedule that holds on most of these days, 0 for none.
        processes : int, optional
            Worker processes that do its parts side by side, 1 for this one alone; None for as many as there are cores
            and memory for. It changes nothing but the time. Where there are several, a script that calls this needs
            its `if __name__ == "__main__"`.
        resume : bool, default False
            Take over what an earlier run of the same study into the same folder has finished.
        listener : callable, optional
            Hears what happens; a study prints nothing.

        Returns
        -------
        StudyResult
            What there is; parts that ended without a result are named, with the reason, in `missing`.

        Raises
        ------
        ConfigError, FeederError, OutputError
            What stops everything; under `resume` also parts of another study.
        ConvergenceError
            The bare feeder does not converge.
        """
        folder = output_folder(default_out(self.case) if out is None else Path(out))
        for name in programs:
            if name not in CASES:
                raise ConfigError(f"There is no program {name!r}.", f"Programs: {', '.join(CASES)}.")
        with folder_lock(folder, STUDY_PARTS):
            work = StudyRun(self.case, folder, listener, processes, accept_gate=accept_gate, resume=resume)
            asked = Asked(
                programs=tuple(dict.fromkeys(programs)),
                controls=work.controls,
                gap=gap,
                time_limit_s=time_limit_s,
                certify=certify,
                certify_time_s=certify_time_s,
                inverters=inverters,
                robustness_draws=robustness_draws,
                operated_draws=operated_draws,
                margin_search_s=margin_search_s,
            )
            with work.until_interrupted():
                work.run(asked)
            work.report()
            return work.result()


class StudyRun(Parts):
    """A study in the making: opened here, its parts done by a crew, what they hand back kept here."""

    def __init__(
        self,
        case: Case,
        folder: Path,
        listener: Listener,
        processes: int | None = 1,
        *,
        accept_gate: bool = False,
        resume: bool = False,
    ) -> None:
        """Compile, read, gate, find the sites, linearize. What fails here fails the study."""
        super().__init__(folder, listener)
        with self._opening():
            self.bench = self._open(case, processes, accept_gate, resume)
        self.case = self.bench.case
        self.found = Collected()
        self._written: set[str] = set()

    def _open(self, case: Case, processes: int | None, accept_gate: bool, resume: bool) -> Workbench:
        bench = Workbench.open(case)
        self._hire(AllocationJob(case, bench.circuit.source_sha256), bench, processes)
        bench.require_gate(accept=accept_gate)
        bench.require_days(accept=accept_gate)
        checked = check_network(bench.circuit, bench.network, bench.ledger)
        bench.check_sites()
        _ = bench.linear_model
        self._open_files(identity(bench, "allocation", bench.profiles), processes, resume=resume)
        self._begin_folder(bench)
        facts = {**checked.to_json(), **bench.day_gates.to_json()}
        write_text(self.folder / "check.json", json.dumps(facts, indent=1, allow_nan=False))
        buses, nodes = bench.network.buses, bench.network.nodes
        for words in (f"{len(buses)} buses, {len(nodes)} nodes", *bench.case.time_notes):
            self._say("feeder", words)
        return bench

    def run(self, asked: Asked) -> None:
        """All parts; what ends without a result is named in `missing`."""
        parts = parts_of(self.case, asked)
        self.found = Collected(parts)
        try:
            self._do_parts(parts, self.bench, self._take)
        finally:
            self._write_baselines(at_last=True)

    def _take(self, ended: Ended) -> None:
        """Keeps a result, and writes it."""
        part, value = ended.part, ended.value
        self.found.values[part] = value
        match part:
            case BareDay():
                write_replay(value, self.folder / "replays" / "bare" / part.controls)
                write_csv(self.folder / EXISTING_FILE, existing_table(self.found.base_replays))
            case Claim():
                write_schedule(value, self.folder / "schedules" / part.program)
            case ClaimReplay():
                write_replay(value, self.folder / "replays" / part.program / part.controls)
            case InverterReplay() if value is not None:
                folder = self.folder / "replays" / value[0] / f"{part.controls}_{part.control.mode}"
                write_replay(value[1].replay, folder)
                write_inverter_day(value[1], part.control, folder)
            case ClosedLoop() | Budget() | OtherDays() | OperatedCapacity():
                if (found := self.found.certificate(part.program)) is not None:
                    write_certificate(found, self.folder)
            case SpreadForm():
                write_schedule(value.claim, self.folder / "schedules" / value.claim.case)
                write_certificate(value.certificate, self.folder)
        self._write_baselines()

    def _write_baselines(self, *, at_last: bool = False) -> None:
        """Under names that are known once every program has ended."""
        if not at_last and any(isinstance(part, Claim) for part in self.found.missing(but=self.missing)):
            return
        for key, found in self.found.baselines.items():
            self._write_baseline(found, key)
        for name, row in self.found.inverters.rows.items() if self.found.inverters else ():
            for kind, found in row.found.items():
                self._write_baseline(found, f"inverters/{name}/{kind}")

    def _write_baseline(self, found: HostingCapacityResult, place: str) -> None:
        if place not in self._written:
            self._written.add(place)
            write_baseline(found, self.folder / "baselines" / place)

    def report(self) -> None:
        """summary.json, tables, figures and the page, from whatever exists."""
        from hcsim.report.allocation.page import write_report  # drawing libraries take a second to load

        with self._timed("report"):
            write_report(self.result(), self.folder)

    def result(self) -> StudyResult:
        """What there is so far."""
        paper, found = self.case.config.paper, self.found
        return StudyResult(
            case=self.case.name,
            title=self.case.config.title or self.case.name,
            network=self.bench.network,
            profiles=self.bench.profiles,
            limits=self.bench.limits,
            ledger=self.bench.ledger.to_frame(),
            cases=bounded(self.bench, found.cases) if "free" in found.base_replays else found.cases,
            base_replays=found.base_replays,
            baselines=found.baselines,
            with_schedule_case=found.with_schedule_case,
            assumptions=self.case.assumed,
            paper=paper.model_dump(exclude_none=True) if paper else {},
            controls=self.bench.selection,
            versions=versions(),
            inverters=found.inverters,
            gates=self.bench.day_gates.to_json(),
            loads_follow=self.case.time_notes,
            spread=found.spread,
            programs=tuple(part.program for part in found.parts if isinstance(part, Claim)),
            **self._in_order(found.parts),
        )

    @property
    def controls(self) -> tuple[Controls, ...]:
        """How the replays hold regulators: locked only where the program assumes the one position of each."""
        return ("free",) if self.case.config.program.taps == "each_hour" else CONTROLS
