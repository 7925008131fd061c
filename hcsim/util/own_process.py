"""A command in a process of its own: what the engine does there ends it, never the terminal's, and it writes nothing
but its results.

The front is what the user has started. It loads nothing large: it starts the child, passes on what asks it to end,
waits, and says in a sentence how a child ended that could not say so itself. The child confines itself (`confine`)
once it has read the command line, before the engine and whatever makes threads is loaded. POSIX only; elsewhere, and
where the environment says so (SWITCH), a command runs in the process that was started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from hcsim.util import last_words, sandbox, stopping
from hcsim.util.scratch import scratch_root

SWITCH = "HCSIM_GUARD"
"""Environment: "off" does without children; "trial" has feeders tried out in one, but commands in the process that was
started (to debug or measure them)."""
_CHILD = "HCSIM_CHILD"
"""Environment of a child: the folder that the front has made for it."""
_FAILED, _MOST = 1, 40
"""Exit codes of commands are no larger; those of an engine that gives up are above 200."""
_PATIENCE_S = 5.0
"""Between the second request to end and the end, for a child that is in the middle of a call and hears nothing."""
_WAKE_S = 0.2
_LAST, _MADE = "last_words", "made"
_CODE = """import sys
sys.argv[0] = "hcsim"
if {root!r} not in sys.path: sys.path.append({root!r})
from hcsim.__main__ import main
main()"""
_place: Path | None = None
"""In a child: its folder."""
confined = False
"""Whether the system holds this process to its folders."""


def wanted(arguments: Sequence[str]) -> bool:
    """Whether this is a front: a command that loads the engine, and nobody who does not want a child."""
    if os.name != "posix" or os.environ.get(SWITCH, "on") != "on" or _CHILD in os.environ or not arguments:
        return False
    return not {"--help", "-h", "--version"} & set(arguments) and not any(
        n.startswith("_") and n.endswith("_COMPLETE") for n in os.environ
    )


# -- the front --------------------------------------------------------------------------------------------


def run(arguments: Sequence[str]) -> NoReturn:
    """Start the child, wait for it, and end as it has ended."""
    place = scratch_root()
    front = _Front(place, arguments)
    code = front.wait()
    for folder in reversed(_lines(place / _MADE)):
        with suppress(OSError):
            Path(folder).rmdir()  # only where nothing was put in it
    sys.exit(code)


class _Front:
    def __init__(self, place: Path, arguments: Sequence[str]) -> None:
        self.place, self._asked = place, 0
        minded = [s for s in stopping.numbers() if signal.getsignal(s) != signal.SIG_IGN]
        blocked = {*stopping.numbers(), stopping.BY_FRONT}
        root = str(Path(__file__).resolve().parents[2])
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)  # the child begins so too: Ctrl-C must not fall on its start
        try:
            self.child = subprocess.Popen(
                [sys.executable, *_flags(), "-P", "-c", _CODE.format(root=root), *arguments],
                env={**os.environ, _CHILD: str(place), "TMPDIR": str(place), "PYTHONSAFEPATH": "1"},
            )
            for number in minded:
                signal.signal(number, self._pass_on)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._asked += 1
        self._send(stopping.BY_FRONT)
        # one that falls on the child as it goes back to sleep would be heard after the sleep only: the second, which
        # the child takes for nothing, wakes it
        _later(_WAKE_S, lambda: self._send(number))
        if self._asked == 2:
            _later(_PATIENCE_S, self.child.kill)

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self.child.send_signal(number)

    def wait(self) -> int:
        """The exit code, after a sentence where there is none of ours."""
        code = self.child.wait()
        if 0 <= code <= _MOST or code == stopping.INTERRUPTED:
            return code
        if self._asked:
            stopping.say_interrupted()
            return stopping.INTERRUPTED
        where = last_words.read(self.place / _LAST)
        print(_sentence(code, where), file=sys.stderr)
        return _FAILED


def _later(after_s: float, what: Callable[[], object]) -> None:
    timer = threading.Timer(after_s, what)
    timer.daemon = True
    timer.start()


def _sentence(code: int, where: str) -> str:
    at = f" {where}" if where else " before it had begun"
    if code == last_words.HUNG:
        return f"OpenDSS itself does not come to an end within {last_words.MOST_CPU_S:.0f} s of processor time{at}."
    if code == 120:
        return "What was printed could not be written to the end."
    if code == -signal.SIGKILL:
        return f"The run was killed{at}: by someone, or by the system where memory ran out. {_KEPT}"
    how = f"exit code {code}"
    if code < 0:
        with suppress(ValueError):
            how = signal.strsignal(-code) or how
    return f"The run has crashed ({how}){at}. {_KEPT}"


_KEPT = "What was finished is whole."


def _flags() -> list[str]:
    """Of this interpreter, as -W and -X."""
    return list(subprocess._args_from_interpreter_flags())  # type: ignore[attr-defined]


def _lines(file: Path) -> list[str]:
    with suppress(OSError):
        return file.read_text(encoding="utf-8").splitlines()
    return []


# -- the child --------------------------------------------------------------------------------------------


def settle() -> None:
    """In a child, first of all: it ends with the front, hears of signals from it alone, and keeps its last words."""
    global _place
    named = os.environ.pop(_CHILD, "")
    if not named:
        return
    _place = Path(named)
    sandbox.die_with_parent()
    stopping.install_in_child()
    last_words.keep_in(_place / _LAST)
    last_words.end_what_hangs()
    sandbox.limit(sandbox.memory_of_the_machine())


def confine(folders: Iterable[Path], *, connects: bool = False) -> None:
    """From now on a child writes in `folders`, which are made where they are not there, and in its scratch folder only.
    In any other process nothing happens. Raises OSError where a folder cannot be made."""
    global confined
    if _place is None or confined:
        return
    made: list[str] = []
    places = [folder.absolute() for folder in folders]
    try:
        for place in places:
            new = [p for p in (place, *place.parents) if not p.exists()]
            for folder in reversed(new):
                folder.mkdir(exist_ok=True)
                made.append(str(folder))
    finally:
        (_place / _MADE).write_text("\n".join(made), encoding="utf-8")
    if places:
        _prepare_fonts()
    shared = [Path("/dev/shm")] if Path("/dev/shm").is_dir() else []  # semaphores of worker processes
    confined = sandbox.write_only_in([*places, _place, *shared], programs=sandbox.python_itself(), connects=connects)


def _prepare_fonts() -> None:
    """matplotlib lists the fonts once per machine, in a cache that can no longer be written later."""
    import importlib.util

    own = importlib.util.find_spec("matplotlib")
    home = (
        os.environ.get("MPLCONFIGDIR")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matplotlib"
    )
    if own is None or own.origin is None:
        return
    installed = Path(own.origin).stat().st_mtime
    if not any(file.stat().st_mtime >= installed for file in Path(home).glob("fontlist-*.json")):
        import matplotlib.font_manager  # noqa: F401
