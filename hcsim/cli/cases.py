"""`hcsim cases` and `hcsim schema`: what is bundled, and what a case of your own may say."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from hcsim.cli.common.console import out_console, say


def cases() -> None:
    """The bundled cases, and where their files lie."""
    from hcsim.cases.case import bundled_folder, bundled_names, load_case

    table = Table(box=None, pad_edge=False)
    for heading in ("case", "study", "title"):
        table.add_column(heading)
    for name in bundled_names():
        config = load_case(name).config
        table.add_row(name, config.program.kind, escape(config.title))
    out_console.print(table)
    say(f"Files: {bundled_folder()}. A folder of your own with a study.toml is a case too.")


def schema() -> None:
    """The JSON schema of study.toml, for editors that complete and check it; `hcsim init` writes it beside its own.

    Kept as study.schema.json, an editor (Even Better TOML, Taplo, tombi) finds it by a first line in study.toml that
    says so: #:schema ./study.schema.json
    """
    from hcsim.cases.study_file import schema_text

    print(schema_text(), end="")
