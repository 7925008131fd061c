"""The main job: what the optimizer claims, what OpenDSS makes of it, what plain simulation finds.

    study = Study.load("ieee123")
    result = study.run(out="results")

Prints nothing; a listener hears what happens. Every part is written as soon as it exists, so that Ctrl-C, a
full disk or a program without a solution costs that part and no other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hcsim.cases.case import Case, load_case
from hcsim.cases.config.inverters import InverterWord
from hcsim.cases.defaults import SitesWanted
from hcsim.certify.certificate import Round, certified_in_words, round_in_words, write_certificate
from hcsim.certify.error_budget import certify_with_budget
from hcsim.certify.options import loop_options
from hcsim.certify.put_back import put_back
from hcsim.certify.robustness import RobustnessSettings, with_robustness
from hcsim.errors import ConfigError
from hcsim.feeder.check import check_network
from hcsim.hosting.result import HostingCapacityResult, write_baseline
from hcsim.replay.inverter_day import write_inverter_day
from hcsim.replay.recording import Controls
from hcsim.replay.result import ReplayResult, write_replay
from hcsim.replay.verdict import verdict
from hcsim.results.allocation import CaseResult, SpreadResult, StudyResult, claim_in_words
from hcsim.results.allocation_summary import share_in_words
from hcsim.results.bounds import bounded
from hcsim.results.existing import EXISTING_FILE, existing_in_words, existing_table
from hcsim.schedules.files import write_schedule
from hcsim.studies.inverters import UNIFORM, InverterStudy
from hcsim.studies.runner import CONTROLS, STUDY_PARTS, Interrupted, Parts, default_out, versions
from hcsim.studies.spread import spread_form
from hcsim.studies.starts import starts_of
from hcsim.util.files import output_folder, write_csv, write_text
from hcsim.util.locks import folder_lock
from hcsim.util.progress import Listener, silent
from hcsim.workbench.allocation import Workbench
from optim.data.schedule import Schedule
from optim.hosting.problem import CASES
from optim.hosting.search import STOPPED, solve_hosting
from optim.solve.options import Progress, SolveOptions


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
        margin_search_s: float | None = None,
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
        margin_search_s : float, optional
            Seconds for a schedule that holds on most of these days, 0 for none.
        listener : callable, optional
            Hears what happens; a study prints nothing.

        Returns
        -------
        StudyResult
            What there is; parts that ended without a result are named, with the reason, in `missing`.

        Raises
        ------
        ConfigError, FeederError, OutputError
            What stops everything.
        ConvergenceError
            The bare feeder does not converge.
        """
        folder = output_folder(default_out(self.case) if out is None else Path(out))
        for name in programs:
            if name not in CASES:
                raise ConfigError(f"There is no program {name!r}.", f"Programs: {', '.join(CASES)}.")
        with folder_lock(folder, STUDY_PARTS):
            work = StudyRun(self.case, folder, listener, accept_gate=accept_gate)
            with work.until_interrupted():
                work.replay_bare_feeder()
                for name in programs:
                    work.solve_program(name, gap, time_limit_s)
                    work.replay_schedule(name)
                work.baseline_without_bess()
                work.baseline_with_schedules()
                work.compare_inverters(inverters)
                for name in programs if certify else ():
                    work.certify_schedule(name, certify_time_s)
                    work.try_on_other_days(name, robustness_draws, margin_search_s)
            if certify:
                work.spread_out(gap, time_limit_s, certify_time_s)
            work.report()
            return work.result()


class StudyRun(Parts):
    """The parts of a study in the making. Each method is one line of the table of contents above."""

    def __init__(self, case: Case, folder: Path, listener: Listener, *, accept_gate: bool = False) -> None:
        """Compile, read, gate, find the sites, linearize. What fails here fails the study."""
        super().__init__(folder, listener)
        with self._timed("feeder"):
            self.bench = self._open(case, accept_gate)
        self.case = self.bench.case
        self.cases: dict[str, CaseResult] = {}
        self.base_replays: dict[str, ReplayResult] = {}
        self.baselines: dict[str, HostingCapacityResult] = {}
        self.inverters: InverterStudy | None = None
        self.spread: SpreadResult | None = None

    def _open(self, case: Case, accept_gate: bool) -> Workbench:
        bench = Workbench.open(case)
        bench.require_gate(accept=accept_gate)
        bench.require_days(accept=accept_gate)
        checked = check_network(bench.circuit, bench.network, bench.ledger)
        bench.check_sites()
        _ = bench.linear_model
        self._begin_folder(bench)
        facts = {**checked.to_json(), **bench.day_gates.to_json()}
        write_text(self.folder / "check.json", json.dumps(facts, indent=1, allow_nan=False))
        buses, nodes = bench.network.buses, bench.network.nodes
        for words in (f"{len(buses)} buses, {len(nodes)} nodes", *bench.case.time_notes):
            self._say("feeder", words)
        return bench

    def replay_bare_feeder(self) -> None:
        """The feeder without devices through OpenDSS, taps locked and free."""
        for controls in self.controls:
            title = f"bare feeder, controls {controls}"
            with self._part(f"bare feeder replay {controls}", title):
                found = self._replay(None, controls, title)
                self.base_replays[controls] = found
                write_replay(found, self.folder / "replays" / "bare" / controls)
        write_csv(self.folder / EXISTING_FILE, existing_table(self.base_replays))

    def solve_program(self, name: str, gap: float | None, time_limit_s: float | None) -> None:
        """One program's schedule, with its proof."""
        part = f"program {name}"
        with self._part(name, part):
            options = self.bench.solve_options(gap, time_limit_s)
            schedule = solve_hosting(
                self.bench.problem(name), name, options, lambda p: self._report_solver(part, p, options)
            )
            self.cases[name] = CaseResult(schedule)
            write_schedule(schedule, self.folder / "schedules" / name)
            self._say(part, claim_in_words(schedule))
            if schedule.solve and STOPPED in schedule.solve.notes:
                raise Interrupted

    def replay_schedule(self, name: str) -> None:
        """A program's schedule through OpenDSS, taps locked and free."""
        if name not in self.cases:
            return
        schedule = self.cases[name].schedule
        for controls in self.controls:
            title = f"replay {name}, controls {controls}"
            with self._part(f"{name} replay {controls}", title):
                found = self._replay(schedule, controls, title)
                done = {**self.cases[name].replays, controls: found}
                self.cases[name] = CaseResult(schedule, done)
                write_replay(found, self.folder / "replays" / name / controls)

    def baseline_without_bess(self) -> None:
        """The same capacity at every site node, unity power factor, no BESS: the plain utility method."""
        self._baseline("none", None)

    def baseline_with_schedules(self) -> None:
        """The shares, reactive power and BESS of each schedule, capacity scaled.

        The distributed one's is kept as "with_schedule", the one without BESS as "with_shares", the others by the name
        of their case.
        """
        for name, case in self.cases.items():
            self._baseline(self._baseline_key(name), case.schedule)

    def _baseline_key(self, name: str) -> str:
        return {self.with_schedule_case: "with_schedule", "none": "with_shares"}.get(name, name)

    def compare_inverters(self, word: InverterWord | None) -> None:
        """Autonomous inverters beside unity power factor and the optimizer's reactive power, by sharing."""
        section = self.case.config.inverters
        control = section.to_control(section.compare if word is None else word)
        if control is None:
            return
        self.inverters = InverterStudy(self.bench, control)
        schedules = {name: case.schedule for name, case in self.cases.items()}
        for name in dict.fromkeys((UNIFORM, "none", self.with_schedule_case)):
            if name != UNIFORM and name not in schedules:
                continue
            part = f"inverters {control.mode} {name}"
            with self._part(f"inverters {name}", part):
                key = "none" if name == UNIFORM else self._baseline_key(name)
                known = {"unity" if name == UNIFORM else "schedule": self.baselines.get(key)}
                row = self.inverters.compare(
                    name, schedules.get(name), {k: v for k, v in known.items() if v}, self._progress(part, "probes")
                )
                for kind, found in row.found.items():
                    write_baseline(found, self.folder / "baselines" / "inverters" / name / kind)
                for controls in self.controls if name in schedules else ():
                    day = self.inverters.replay_claim(name, schedules[name], controls, self.base_replays.get(controls))
                    folder = self.folder / "replays" / name / f"{controls}_{control.mode}"
                    write_replay(day.replay, folder)
                    write_inverter_day(day, control, folder)
                self._say(part, f"{row.found[control.mode].words}, {row.found['unity'].words} at unity")

    def certify_schedule(self, name: str, time_s: float | None) -> None:
        """The closed loop from the claim, and from what simulation found under the same rules; then where it lost."""
        if name not in self.cases:
            return
        part = f"closed loop {name}"
        with self._part(f"{name} certificate", part):
            options = loop_options(self.bench, time_s)
            claim = self.cases[name].schedule

            def report_round(r: Round) -> None:
                self._say(part, round_in_words(r), min(r.seconds / options.time_limit_s, 1.0))

            found = certify_with_budget(
                self.bench,
                claim,
                options,
                report_round,
                starts=starts_of(name, self.cases, self.baselines, self._baseline_key(name), self.bench.profiles),
            )
            found = put_back(self.bench, found)
            self.cases[name] = replace(self.cases[name], certificate=found)
            write_certificate(found, self.folder)
            self._say(part, certified_in_words(found))

    def try_on_other_days(self, name: str, draws: int | None, margin_s: float | None) -> None:
        """The certified schedule on days of other load and sun; with `margin_s` also what is left with a margin.

        None: as [certify] has it.
        """
        own = self.case.config.certify
        draws = own.robustness_draws if draws is None else draws
        found = self.cases[name].certificate if name in self.cases else None
        if found is None or not draws:
            return
        part = f"robustness {name}"
        with self._part(f"{name} robustness", part):
            settings = RobustnessSettings(
                draws=draws, most_s=own.robustness_s, margin_s=own.margin_search_s if margin_s is None else margin_s
            )
            found = with_robustness(
                self.bench,
                found,
                settings,
                progress=lambda what, done, of: self._say(part, f"{done} of {of} {what}", done / max(of, 1)),
            )
            self.cases[name] = replace(self.cases[name], certificate=found)
            write_certificate(found, self.folder)
            self._say(part, share_in_words(found.robustness))

    def spread_out(self, gap: float | None, time_limit_s: float | None, certify_time_s: float | None) -> None:
        """[program] spread beside the total, without BESS."""
        program = self.case.config.program
        if program.spread == "off" or program.objective != "total" or "none" not in self.cases:
            return
        with self._part(part := f"spread {program.spread}", part):
            loop, solver = loop_options(self.bench, certify_time_s), self.bench.solve_options(gap, time_limit_s)
            self.spread = spread_form(self.bench, program.spread, solver, replace(loop, bound=False), self.folder)
            self._say(part, self.spread.words(self.cases["none"].certificate))

    def report(self) -> None:
        """summary.json, tables, figures and the page, from whatever exists."""
        from hcsim.report.allocation.page import write_report  # drawing libraries take a second to load

        with self._timed("report"):
            write_report(self.result(), self.folder)

    def result(self) -> StudyResult:
        """What there is so far."""
        paper = self.case.config.paper
        return StudyResult(
            case=self.case.name,
            title=self.case.config.title or self.case.name,
            network=self.bench.network,
            profiles=self.bench.profiles,
            limits=self.bench.limits,
            ledger=self.bench.ledger.to_frame(),
            cases=bounded(self.bench, self.cases) if "free" in self.base_replays else dict(self.cases),
            base_replays=dict(self.base_replays),
            baselines=dict(self.baselines),
            with_schedule_case=self.with_schedule_case,
            assumptions=self.case.assumed,
            paper=paper.model_dump(exclude_none=True) if paper else {},
            controls=self.bench.selection,
            versions=versions(),
            seconds={**self.seconds, "total": time.perf_counter() - self._begun},
            missing=dict(self.missing),
            inverters=self.inverters.comparison if self.inverters else None,
            gates=self.bench.day_gates.to_json(),
            loads_follow=self.case.time_notes,
            spread=self.spread,
        )

    @property
    def controls(self) -> tuple[Controls, ...]:
        """How the replays hold regulators: locked only where the program assumes the one position of each."""
        return ("free",) if self.case.config.program.taps == "each_hour" else CONTROLS

    @property
    def with_schedule_case(self) -> str:
        """The distributed schedule, or the best there is where it has none."""
        wanted = ("distributed", "distributed_no_circulation", "centralized")
        return next((name for name in wanted if name in self.cases), "distributed")

    # -- how parts run ----------------------------------------------------------------------------------

    def _report_solver(self, part: str, said: Progress, options: SolveOptions) -> None:
        stage = said.phase.partition(": ")[2] or said.phase
        words = f"{stage}: {1e3 * said.objective:.1f} kW, at most {1e3 * said.bound:.1f} kW"
        self._say(part, words.replace("nan kW", "none yet"), min(said.seconds / options.time_limit_s, 1.0))

    def _replay(self, schedule: Schedule | None, controls: Controls, part: str) -> ReplayResult:
        base = self.base_replays.get(controls) if schedule else None
        found = self.bench.replay(schedule, controls, base=base, progress=self._progress(part, "steps"))
        self._say(part, verdict(found).words if schedule else existing_in_words(found))
        return found

    def _baseline(self, name: str, schedule: Schedule | None) -> None:
        part = f"simulation HC {name}"
        with self._part(f"baseline {name}", part):
            told = self._progress(part, "probes")
            found = self.bench.baseline("schedule" if schedule else "uniform", schedule, progress=told)
            self.baselines[name] = found
            write_baseline(found, self.folder / "baselines" / name)
            self._say(part, f"{found.words} after {found.power_flows} power flows")
