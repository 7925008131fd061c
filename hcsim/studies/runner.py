"""How a study runs its parts: timed, told to a listener, each allowed to fail without costing the others."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from hcsim import __version__
from hcsim.cases.case import Case
from hcsim.cases.time_axis import TimeAxis
from hcsim.errors import HcsimError
from hcsim.hosting.open_feeder import FeederFiles, identity_of
from hcsim.jobs.kept_steps import KeptSteps
from hcsim.jobs.part_files import FOLDER, PartFiles
from hcsim.jobs.parts import Part, PartsJob
from hcsim.jobs.side_by_side import Ended, SideBySide
from hcsim.jobs.workers import Crew, Here, Workers, cores, processes_that_fit
from hcsim.replay.recording import Controls
from hcsim.studies.parts.kinds import CLASSES
from hcsim.util.files import to_plain_json, write_csv, write_text
from hcsim.util.progress import Event, Listener, logged
from hcsim.workbench.allocation import Workbench
from optim.data.profiles import Profiles

INTERRUPTED = "interrupted by the user"
FEW_NODES = 20
"""Up to which a study is done sooner than workers have begun."""


class Interrupted(Exception):
    """The user wants to stop, and the part at work has already ended in order."""


def how_it_ended(error: BaseException) -> str:
    """What a listener hears of a part without a result: only Ctrl-C is the user's doing; anything that is neither it
    nor a fault we explain is one of hcsim itself."""
    if isinstance(error, KeyboardInterrupt | Interrupted):
        return INTERRUPTED
    if isinstance(error, HcsimError):
        return str(error)
    return f"a fault of hcsim itself ({type(error).__name__}: {error})"


class Parts:
    """A study in the making. `missing` names the parts without a result, `seconds` what each took."""

    def __init__(self, folder: Path, listener: Listener) -> None:
        self.folder, self.listener = folder, logged(listener)
        self.missing: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}
        """Processor time of those that workers may do."""
        self._begun = time.perf_counter()
        self._crew: Crew | None = None

    @contextmanager
    def until_interrupted(self) -> Iterator[None]:
        """Ctrl-C ends the work inside; what is finished stays."""
        try:
            yield
        except (KeyboardInterrupt, Interrupted):
            self.missing.setdefault("the rest of the study", INTERRUPTED)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        self._words = ""
        self.listener(Event(name, "started"))
        try:
            yield
        except BaseException as error:
            words = how_it_ended(error)
            self.listener(Event(name, "done" if isinstance(error, Interrupted) else "failed", words))
            raise
        finally:
            self.seconds[name] = time.perf_counter() - begun
        self.listener(Event(name, "done", self._words, 1.0))

    def _say(self, part: str, words: str, share: float | None = None) -> None:
        self._words = words
        self.listener(Event(part, "working", words, share))

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """The case is made ready inside; where that fails, nobody is left waiting for work."""
        try:
            with self._timed("feeder"):
                yield
        except BaseException:
            if self._crew is not None:
                self._crew.end(at_once=True)
            raise

    def _hire(self, job: PartsJob, bench: Workbench, processes: int | None) -> None:
        """Workers begin to load while the case is still being made ready."""
        self._job = job
        if processes is None:
            processes = cores() if len(bench.network.nodes) > FEW_NODES else 1
        if processes > 1:
            self._crew = Workers(job, processes)

    def _open_files(self, identity: dict[str, Any], processes: int | None, *, resume: bool) -> None:
        """What an earlier run has left is ours or cleared away. Raises ConfigError, OutputError."""
        if processes is None and isinstance(self._crew, Workers):  # the feeder is open: its memory is known
            self._crew.keep(processes_that_fit(cores()))
        self._files = PartFiles(self.folder, identity)
        self._files.open(resume=resume)

    def _do_parts(self, parts: Sequence[Part], prepared: Any, take: Callable[[Ended], None]) -> None:
        """Runs them; `take` keeps what they hand back, in the order in which they end."""
        crew, files = self._crew or Here(self._job, prepared), self._files
        work = SideBySide(parts, files, self._job.classes, self.listener)
        try:
            for ended in work.run(crew):
                self.seconds[ended.part.title] = ended.made.seconds
                self.cpu_seconds[ended.part.title] = ended.made.cpu_seconds
                if ended.made.error:
                    self.missing[ended.part.name] = ended.made.error
                    continue
                if ended.unwritten:
                    self.missing[ended.part.name] = ended.unwritten
                try:
                    take(ended)
                except HcsimError as error:
                    self.missing[ended.part.name] = str(error)
                if ended.part.stopped(ended.value):
                    raise Interrupted
        except BaseException as error:
            left = crew.at_work
            crew.end(at_once=True)
            for part in left:
                if isinstance(error, KeyboardInterrupt):
                    self.missing[part.name] = INTERRUPTED
                self.listener(Event(part.title, "failed", how_it_ended(error)))
            raise
        crew.end(at_once=False)

    def _in_order(self, parts: Sequence[Part]) -> dict[str, Any]:
        """`seconds` and `missing` of a result, in the order of the parts, whichever of them ended first."""
        titles, names = ["feeder", *(p.title for p in parts)], [p.name for p in parts]
        seconds = {t: self.seconds[t] for t in (*titles, *self.seconds) if t in self.seconds}
        seconds["total"] = time.perf_counter() - self._begun
        return {
            "seconds": seconds,
            "missing": {n: self.missing[n] for n in (*names, *self.missing) if n in self.missing},
        }

    def _begin_folder(self, bench: Workbench) -> None:
        """What the study stands on: its inputs as read, and the feeder's ledger; nothing of an earlier study."""
        self._clear()
        write_csv(self.folder / "ledger.csv", bench.ledger.to_frame())
        for name, text in bench.case.inputs.items():
            write_text(self.folder / "inputs" / name, text)

    def _clear(self) -> None:
        """Removes what an earlier study left in the folder, so that its parts are not taken for ours."""
        if not (self.folder / "inputs" / "study.toml").is_file():
            return
        for file in ("summary.json", "report.html"):
            (self.folder / file).unlink(missing_ok=True)
        for name in ("schedules", "replays", "baselines", "certificates", "figures"):
            shutil.rmtree(self.folder / name, ignore_errors=True)


class PartsAlone(Parts):
    """Parts whose results are written together at the end: `values` by part, as far as they came."""

    def __init__(self, bench: Workbench, folder: Path, listener: Listener) -> None:
        super().__init__(folder, listener)
        self.bench = bench
        self.values: dict[Part, Any] = {}

    def do(self, job: PartsJob, parts: Sequence[Part], kind: str, processes: int | None, *, resume: bool) -> None:
        """All of them; what ends without a result is named in `missing`. Raises ConfigError, OutputError."""
        with self._opening():
            self._hire(job, self.bench, processes)
            self._open_files(identity(self.bench, kind, self.bench.profiles), processes, resume=resume)
        with self.until_interrupted():
            self._do_parts(parts, self.bench, self._take)

    def _take(self, ended: Ended) -> None:
        self.values[ended.part] = ended.value


def opened(case: Case, *, accept_gate: bool) -> Workbench:
    """A case ready for a study: gated, its sites found. Raises FeederError, ConfigError."""
    bench = Workbench.open(case)
    bench.require_gate(accept=accept_gate)
    bench.require_days(accept=accept_gate)
    bench.check_sites()
    return bench


def gaps_in_words(axis: TimeAxis) -> tuple[str, ...]:
    """What a year says of itself, gaps included."""
    gaps = len(axis.skip_steps)
    return (*axis.notes, f"{gaps} hours are gaps in the profile: there is no PV in them.") if gaps else axis.notes


def versions() -> dict[str, str]:
    """What made the numbers."""
    named = ("opendssdirect.py", "dss-python", "pyomo", "highspy", "numpy", "scipy")
    return {"hcsim": __version__, "python": platform.python_version()} | {
        name: metadata.version(name) for name in named
    }


def identity(bench: Workbench, kind: str, profiles: Profiles) -> dict[str, Any]:
    """What all parts of a study depend on beside their own settings."""
    case = bench.case
    files = FeederFiles(
        case.master.resolve(), bench.circuit.source_sha256, bench.selection.held, case.config.feeder.zone
    )
    more = {"settings": case.config.model_dump(), "loads": case.load_columns, "versions": versions()}
    return identity_of(kind, files, profiles, bench.limits, None, **to_plain_json(more))


def kept_steps(bench: Workbench, kind: str, profiles: Profiles, folder: Path, *, resume: bool) -> KeptSteps:
    """What a command that does one step after the other has finished. Raises ConfigError, OutputError."""
    return KeptSteps(folder, identity(bench, kind, profiles), CLASSES, resume=resume)


CONTROLS: tuple[Controls, ...] = ("locked", "free")


STUDY_PARTS = ("inputs", "schedules", "replays", "baselines", "certificates", "figures", "cones", "rounds", FOLDER)
"""What a study writes inside its folder; other commands may work beside these."""


def default_out(case: Case) -> Path:
    return Path("hcsim-results") / case.name
