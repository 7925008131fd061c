"""Progress events on a terminal: live bars where there is one, a line per finished part elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from hcsim.cli.common.console import QUIET, err_console
from hcsim.util import last_words
from hcsim.util.progress import Event, Listener, logged


class Show:
    """A listener to be used as a context: `with Show(console) as listener: study.run(listener=listener)`."""

    def __init__(self, console: Console = err_console) -> None:
        self._console = console
        self._quiet = QUIET.get()
        self._begun: dict[str, float] = {}
        self._tasks: dict[str, TaskID] = {}
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            TimeElapsedColumn(),
            TextColumn("{task.fields[words]}", style="dim", markup=False),
            console=console,
            transient=True,
            disable=self._quiet or not console.is_terminal,
        )

    def __enter__(self) -> Show:
        if not self._bars.disable:  # a disabled Progress still ends with an empty line in some versions of rich
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._bars.disable:
            self._bars.stop()

    def __call__(self, event: Event) -> None:
        if event.state == "started":
            last_words.part(event.part)
            self._begun[event.part] = time.perf_counter()
            self._tasks[event.part] = self._bars.add_task(event.part, total=None, words="")
            return
        task = self._tasks[event.part]
        if event.state == "working":
            total = None if event.share is None else 1.0
            self._bars.update(task, total=total, completed=event.share or 0.0, words=event.words)
            return
        self._bars.remove_task(task)
        seconds = time.perf_counter() - self._begun[event.part]
        mark = "[green]✓[/]" if event.state == "done" else "[red]✗[/]"
        words = escape(event.words.splitlines()[0]) if event.words else ""
        if self._quiet:
            return
        self._console.print(f"{mark} {event.part:<50} {seconds:6.1f} s  [dim]{words}[/]", soft_wrap=True)


@dataclass
class Work:
    """A part at work, as a command tells of it."""

    part: str
    listener: Listener
    words: str = ""

    def say(self, words: str, share: float | None = None) -> None:
        self.words = words
        self.listener(Event(self.part, "working", words, share))

    def count(self, of: str) -> Callable[[int, int], None]:
        """A `progress(done, total)` for rooms that count `of` ("buses")."""

        def hear(done: int, total: int) -> None:
            self.say(f"{done} of {total} {of}", done / max(total, 1))

        return hear

    def count_parts(self, of: str, done: int, total: int) -> None:
        """The same for rooms that say with every call what they count."""
        self.count(of)(done, total)


@contextmanager
def working(part: str) -> Iterator[Work]:
    """One part of a command, shown on standard error from its start to its end."""
    with Show() as show:
        listener = logged(show)
        work = Work(part, listener)
        listener(Event(part, "started"))
        try:
            yield work
        except BaseException:
            listener(Event(part, "failed", work.words))
            raise
        listener(Event(part, "done", work.words, 1.0))
