"""Puts the table and the picture of a finished study into README.md, so that both come from a real run.

hcsim study ieee123 --out results && python scripts/update_readme.py results
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
from pathlib import Path

from rich.console import Console

from hcsim.report.allocation.tables import main_table

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
WIDTH = 116


def table_text(summary: dict) -> str:
    """The table of the terminal, as an indented block."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    console.print(main_table(summary, width=WIDTH))
    lines = [f"    {line.rstrip()}".rstrip() for line in console.file.getvalue().splitlines()]
    return "\n".join(lines).strip("\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", type=Path, help="folder that `hcsim study` has written")
    parser.add_argument("--picture", default="07_hosting_capacity", help="figure to show, without its ending")
    wanted = parser.parse_args()
    summary = json.loads((wanted.results / "summary.json").read_text(encoding="utf-8"))
    docs = ROOT / "docs"
    docs.mkdir(exist_ok=True)
    picture = docs / f"{summary['case']}_{wanted.picture[3:]}.png"
    shutil.copyfile(wanted.results / "figures" / f"{wanted.picture}.png", picture)
    shown = f"![Hosting capacity of {summary['case']}]({picture.relative_to(ROOT).as_posix()})"
    block = f"{BEGIN}\n\n{table_text(summary)}\n\n{shown}\n\n{END}"
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    readme.write_text(before + block + after, encoding="utf-8")


if __name__ == "__main__":
    main()
