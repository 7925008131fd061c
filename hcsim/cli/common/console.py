"""What every command has in common on a terminal: the two consoles, exit codes, limits, violations, last words."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from hcsim.replay.result import ReplayResult

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
out_console = Console(emoji=False)
"""No emoji: a bus and a phase between colons are no picture."""
err_console = Console(stderr=True, emoji=False)
QUIET: ContextVar[bool] = ContextVar("quiet", default=False)
"""Whether progress is left out, as --quiet has it; results, warnings and errors are not."""


@contextmanager
def quieted(quiet: bool) -> Iterator[None]:
    """While a command runs."""
    token = QUIET.set(quiet)
    try:
        yield
    finally:
        QUIET.reset(token)


def say(words: str) -> None:
    """One paragraph of results, not folded: a terminal does that, and scripts read whole lines."""
    out_console.print(words, soft_wrap=True, highlight=False)


def command(*words: object) -> str:
    """A command to be typed next, ready for a shell and for `say`: names with blanks and brackets are quoted."""
    return escape(shlex.join(str(word) for word in words))


def end_of_study(folder: Path, missing: Mapping[str, str], page: str = "report.html") -> None:
    """Where the results are and what is missing of them; exits with FAILED or INTERRUPTED where a part is."""
    from hcsim.studies.runner import INTERRUPTED as BY_USER

    say(f"Results in {escape(str(folder))}; open {escape(str(folder / page))}.")
    for part, reason in missing.items():
        err_console.print(f"[yellow]Missing: {escape(part)}[/]: {escape(reason)}", soft_wrap=True)
    if BY_USER in missing.values():
        raise typer.Exit(INTERRUPTED)
    if missing:
        raise typer.Exit(FAILED)


def limit_words(limit: Mapping[str, Any]) -> str:
    """ "overvoltage at 83.1 at 10:00: 1.0502 pu (limit 1.05 pu)", or why there is none."""
    if limit.get("criterion") in (None, "none"):
        return f"none; {limit.get('reason', 'no reason given')}"
    place = ".".join(str(limit[k]) for k in ("element", "phase") if limit.get(k))
    from optim.data.criteria import CRITERIA

    unit = next((f" {c.unit}" for c in CRITERIA if c.name == limit["criterion"]), "")
    return (
        f"{str(limit['criterion']).replace('_', ' ')} at {place} at {limit.get('time')}: "
        f"{limit.get('value', float('nan')):.5g}{unit} (limit {limit.get('limit', float('nan')):.5g}{unit})"
    )


def show_violations(found: ReplayResult, console: Console, most: int = 10) -> None:
    """The worst new violations, and how many more there are."""
    fresh = found.violations[~found.violations["existing"].astype(bool)]
    if fresh.empty:
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("criterion", "element", "phase", "time", "value", "limit", "unit"):
        table.add_column(heading, justify="right" if heading in ("value", "limit") else "left")
    for row in fresh.head(most).itertuples():
        table.add_row(
            str(row.criterion),
            escape(str(row.element)),
            escape(str(row.phase)),
            str(row.time),
            f"{row.value:.5g}",
            f"{row.limit:.5g}",
            str(row.unit),
        )
    console.print(table)
    if len(fresh) > most:
        console.print(f"and {len(fresh) - most} more; --out writes them all.", soft_wrap=True, highlight=False)


def mark_of(good: bool | None) -> str:
    """The colour in which a yes, a no or no answer is said."""
    return {True: "[green]", False: "[red]", None: "[yellow]"}[good]
