"""`hcsim cases`: what is bundled."""

from __future__ import annotations

from rich.table import Table

from hcsim.cli.console import out_console, say


def cases() -> None:
    """The bundled cases, and where their files lie."""
    from hcsim.cases.case import bundled_folder, bundled_names, load_case

    table = Table(box=None, pad_edge=False)
    for heading in ("case", "study", "title"):
        table.add_column(heading)
    for name in bundled_names():
        config = load_case(name).config
        table.add_row(name, config.program.kind, config.title)
    out_console.print(table)
    say(f"Files: {bundled_folder()}. A folder of your own with a study.toml is a case too.")
