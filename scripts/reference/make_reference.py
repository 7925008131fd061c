"""Writes docs/reference_study_toml.md from the sections' own fields; tests compare the two.

python scripts/make_reference.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hcsim.cases.study_file import reference_page

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference_study_toml.md"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    PAGE.write_text(reference_page(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
