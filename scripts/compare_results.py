"""Compares two results folders file by file, byte for byte but for seconds and dates.

    hcsim study ieee123 --out a && hcsim study ieee123 --out b && python scripts/compare_results.py a b

What may differ is how a run went: JSON keys and columns of tables called `seconds` (or `seconds_...`, `..._seconds`, or
one of TIMES), how many tasks `--resume` took over, and dates. Everything else is a finding: it is printed, and the exit
code is 1.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import sys
import zipfile
from pathlib import Path

TIMES = {"build_s", "solve_s", "wall_s", "cpu_s", "date", "since", "written", "resumed"}
DATE = re.compile(rb"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2})?(\.\d+)?(Z|[+-]\d{2}:?\d{2})?")
TOOK = re.compile(rb"\b\d[\d,.]* s(?:econds)?\b")
"""A duration in a page or a log."""
FACT = re.compile(rb"<dt>[^<]*(?:seconds|resumed)</dt><dd>[^<]*</dd>")
TABLE = re.compile(rb"<table.*?</table>", re.DOTALL)
ROW = re.compile(rb"<tr.*?</tr>", re.DOTALL)
CELL = re.compile(rb"<t[hd].*?</t[hd]>", re.DOTALL)
IGNORED = {".hcsim.lock"}


def is_time(key: str) -> bool:
    return key in TIMES or key.startswith("seconds") or key.endswith(("_seconds", "_solve_s"))


def without_times(value: object) -> object:
    """JSON content with what tells how long things took taken out."""
    if isinstance(value, dict):
        if list(value) == ["mapping"]:  # of a part: pairs
            return [[key, without_times(v)] for key, v in value["mapping"] if not is_time(str(key))]
        return {key: without_times(v) for key, v in value.items() if not is_time(key)}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def essence(path: Path, raw: bytes | None = None) -> bytes:
    """The bytes that must be equal."""
    raw = path.read_bytes() if raw is None else raw
    if path.suffix == ".zip":  # a part for --resume: each of its members by itself
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return b"".join(essence(Path(name), archive.read(name)) for name in archive.namelist())
    if path.name == "about.json":  # a part's, with a hash over what took seconds
        return json.dumps({k: v for k, v in without_times(json.loads(raw)).items() if k != "sha256"}).encode()
    if path.suffix == ".json":
        content = json.loads(raw)
        return json.dumps(without_times(content), indent=1).encode()
    if path.suffix == ".csv":
        rows = list(csv.reader(io.StringIO(raw.decode("utf-8"))))
        kept = [k for k, name in enumerate(rows[0])] if rows else []
        kept = [k for k in kept if not is_time(rows[0][k])]
        return "\n".join(",".join(row[k] for k in kept if k < len(row)) for row in rows).encode()
    if path.suffix in (".html", ".log", ".txt", ".md"):
        facts = FACT.sub(b"", TABLE.sub(lambda found: untimed(found.group(0)), raw))
        return TOOK.sub(b"* s", DATE.sub(b"*", facts))
    return raw


def untimed(table: bytes) -> bytes:
    """A table of a page without its column of seconds."""
    rows = [CELL.findall(row) for row in ROW.findall(table)]
    heads = [re.sub(rb"<[^>]*>", b"", cell).strip().lower() for cell in rows[0]] if rows else []
    timed = {k for k, head in enumerate(heads) if head in (b"seconds", b"s", b"time, s")}
    if not timed:
        return table
    return b"\n".join(b"".join(cell for k, cell in enumerate(row) if k not in timed) for row in rows)


def differences(a: Path, b: Path) -> list[str]:
    """A line per file that is missing in one or differs, with the first place where it does."""
    files = [{p.relative_to(f): p for p in sorted(f.rglob("*")) if p.is_file()} for f in (a, b)]
    found = []
    for name in sorted(files[0].keys() | files[1].keys()):
        if name.name in IGNORED:
            continue
        if name not in files[0] or name not in files[1]:
            found.append(f"{name}: only in {a if name in files[0] else b}")
            continue
        one, other = (essence(f[name]) for f in files)
        if one != other:
            at = next(
                (k for k, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), min(len(one), len(other))
            )
            near = slice(max(at - 40, 0), at + 40)
            found.append(f"{name}: at byte {at}: {one[near]!r} against {other[near]!r}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    wanted = parser.parse_args()
    for folder in (wanted.a, wanted.b):
        if not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    found = differences(wanted.a, wanted.b)
    print("\n".join(found) if found else f"{wanted.a} and {wanted.b}: nothing differs but seconds and dates")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
