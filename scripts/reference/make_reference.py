"""Writes the two reference pages of docs/; tests compare them with what they are made from.

docs/reference_study_toml.md comes from the sections' own fields, docs/reference_commands.md from what `--help` says.

python scripts/reference/make_reference.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import command_page

from hcsim.cases.study_file import reference_page

DOCS = Path(__file__).resolve().parents[2] / "docs"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    for name, text in (("reference_study_toml.md", reference_page()), ("reference_commands.md", command_page.page())):
        (DOCS / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
