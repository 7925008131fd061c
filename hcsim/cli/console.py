"""What every command has in common on a terminal: the two consoles, exit codes, last words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
out_console = Console()
err_console = Console(stderr=True)


def say(words: str) -> None:
    """One paragraph of results, not folded: a terminal does that, and scripts read whole lines."""
    out_console.print(words, soft_wrap=True, highlight=False)


def end_of_study(folder: Path, missing: Mapping[str, str]) -> None:
    """Where the results are and what is missing of them; exits with FAILED or INTERRUPTED where a part is."""
    from hcsim.studies.runner import INTERRUPTED as BY_USER

    say(f"Results in {escape(str(folder))}; open {escape(str(folder / 'report.html'))}.")
    for part, reason in missing.items():
        err_console.print(f"[yellow]Missing: {escape(part)}[/]: {escape(reason)}", soft_wrap=True)
    if BY_USER in missing.values():
        raise typer.Exit(INTERRUPTED)
    if missing:
        raise typer.Exit(FAILED)
