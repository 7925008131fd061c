"""README's table and picture from a study of the bundled case, or whether they are what a fresh one says.

    python scripts/update_readme.py              # runs the study, then writes README.md and docs/
    python scripts/update_readme.py RESULTS      # of a folder that `hcsim study ieee123` has written
    python scripts/update_readme.py --check      # compares only; 1 where a claim, verdict or certified value differs

Nothing that the table shows depends on the clock. What is certified must not either, so a study that a guard has cut
is refused.
"""

from __future__ import annotations

import argparse
import difflib
import io
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from hcsim.report.allocation.tables import main_table

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
WIDTH = 116
CASE, PICTURE = "ieee123", "07_hosting_capacity"


def table_text(summary: dict) -> str:
    """The table of the terminal, as an indented block."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    console.print(main_table(summary, width=WIDTH, beside=False))
    lines = [f"    {line.rstrip()}".rstrip() for line in console.file.getvalue().splitlines()]
    return "\n".join(lines).strip("\n")


def block(summary: dict) -> str:
    shown = f"![Hosting capacity of {summary['case']}](docs/{summary['case']}_{PICTURE[3:]}.png)"
    return f"{BEGIN}\n\n{table_text(summary)}\n\n{shown}\n\n{END}"


def study(folder: Path) -> Path:
    """What the table needs of a study: everything but the days of other load and sun."""
    command = [
        sys.executable,
        "-m",
        "hcsim",
        "study",
        CASE,
        "--robustness",
        "0",
        "--operated",
        "0",
        "--out",
        str(folder),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def cut_by_time(summary: dict) -> list[str]:
    return [name for name, case in summary["cases"].items() if case.get("certified", {}).get("cut") == "time"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", help="folder that `hcsim study ieee123` has written")
    parser.add_argument("--check", action="store_true", help="compare README.md, change nothing")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        results = wanted.results or study(Path(scratch) / "results")
        summary = json.loads((results / "summary.json").read_text(encoding="utf-8"))
        if cut := cut_by_time(summary):
            print(f"A guard of time cut the closed loop of {', '.join(cut)}: not a result to compare or to show.")
            return 1
        text = README.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        old, _, after = rest.partition(END)
        fresh = block(summary)
        if wanted.check:
            lines = (f"{BEGIN}{old}{END}".splitlines(), fresh.splitlines())
            diff = list(difflib.unified_diff(*lines, "README.md", "a fresh study", lineterm=""))
            print("\n".join(diff) if diff else "README's table is what a fresh study says.")
            return 1 if diff else 0
        (ROOT / "docs").mkdir(exist_ok=True)
        shutil.copyfile(results / "figures" / f"{PICTURE}.png", ROOT / "docs" / f"{summary['case']}_{PICTURE[3:]}.png")
        README.write_text(before + fresh + after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
