"""How a study runs its parts: timed, told to a listener, each allowed to fail without costing the others."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from hcsim import __version__
from hcsim.cases.case import Case
from hcsim.errors import HcsimError
from hcsim.replay.recording import Controls
from hcsim.util.files import write_csv, write_text
from hcsim.util.progress import Event, Listener, logged
from hcsim.workbench.allocation import Workbench

INTERRUPTED = "interrupted by the user"


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
        self._begun = time.perf_counter()

    @contextmanager
    def until_interrupted(self) -> Iterator[None]:
        """Ctrl-C ends the work inside; what is finished stays."""
        try:
            yield
        except (KeyboardInterrupt, Interrupted):
            self.missing.setdefault("the rest of the study", INTERRUPTED)

    @contextmanager
    def _part(self, key: str, title: str) -> Iterator[None]:
        """A part that may end without a result: the reason is kept under its key and the study goes on."""
        try:
            with self._timed(title):
                yield
        except HcsimError as error:
            self.missing[key] = str(error)
        except KeyboardInterrupt:
            self.missing[key] = INTERRUPTED
            raise

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

    def _progress(self, part: str, of: str) -> Callable[[int, int], None]:
        """What a long job calls with (done, total)."""

        def report(done: int, total: int) -> None:
            self._say(part, f"{done} of {total} {of}", done / total)

        return report

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


def versions() -> dict[str, str]:
    """What made the numbers."""
    named = ("opendssdirect.py", "dss-python", "pyomo", "highspy", "numpy", "scipy")
    return {"hcsim": __version__, "python": platform.python_version()} | {
        name: metadata.version(name) for name in named
    }


CONTROLS: tuple[Controls, ...] = ("locked", "free")


STUDY_PARTS = ("inputs", "schedules", "replays", "baselines", "certificates", "figures", "cones", "rounds")
"""What a study writes inside its folder; other commands may work beside these."""


def default_out(case: Case) -> Path:
    return Path("hcsim-results") / case.name
