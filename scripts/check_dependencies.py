"""hcsim in environments of its own: every dependency at the lowest version that is allowed, and at the newest.

Each environment is made by ordinary venv and pip from this checkout. In it a short study is run and the tests marked
`smoke`. The lower bounds are those of pyproject.toml, read from there; what the dependencies themselves need is left
to pip, so "lowest" means old direct dependencies beside what is new today below them, as an installation that has
grown over the years has it.

Another Python is tried with --python; one that is too new for the lowest versions gets --only newest.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("lowest", "newest")
EXTRA = "test"


def lowest_pins(project: dict) -> list[str]:
    """`name==lower bound` of every dependency and of the test extra."""
    declared = [*project["dependencies"], *project["optional-dependencies"][EXTRA]]
    pins = []
    for requirement in declared:
        named, _, marker = requirement.partition("; ")
        found = re.fullmatch(r"([\w.-]+)>=([\w.]+)(,<[\w.]+)?", named)
        if not found:
            raise SystemExit(f"{requirement!r} has no lower bound, or one that is not understood here.")
        pins.append(f"{found[1]}=={found[2]}" + (f"; {marker}" if marker else ""))
    return pins


def run(command: list[str | Path], log: Path, folder: Path = ROOT) -> bool:
    """Whether it ends with 0; what it says goes to `log`, and on failure its end to the terminal."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    with log.open("a") as file:
        file.write(f"$ {' '.join(map(str, command))}\n")
        file.flush()
        done = subprocess.run(
            list(map(str, command)),
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**clean, "MPLBACKEND": "Agg"},
            cwd=folder,
            check=False,
        )
    if done.returncode:
        print(f"failed: {' '.join(map(str, command))}\n" + "\n".join(log.read_text().splitlines()[-30:]))
    return done.returncode == 0


def check(kind: str, python: str, folder: Path) -> tuple[bool, dict[str, str]]:
    """Installs and runs; returns whether all is well, and what was installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    log = folder / f"{kind}.log"
    environment = folder / kind
    constraints = folder / f"{kind}.txt"
    constraints.write_text("\n".join(lowest_pins(project)) + "\n" if kind == "lowest" else "")
    executable = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    study = [
        "study",
        ROOT / "tests" / "cases" / "three_bus",
        "--program",
        "centralized",
        "--out",
        folder / f"{kind}-out",
    ]
    steps: list[list[str | Path]] = [
        [python, "-m", "venv", environment],
        [executable, "-m", "pip", "install", "--quiet", "-c", constraints, f"{ROOT}[{EXTRA}]"],
        [executable, "-m", "hcsim", *study],
        [executable, "-m", "pytest", "-m", "smoke", "-p", "no:cacheprovider", "tests"],
    ]
    for what, step in zip(("environment", "installation", "study", "smoke tests"), steps, strict=True):
        begun = time.perf_counter()
        # the study away from the checkout, so that what is installed is what runs
        well = run(step, log, folder if what == "study" else ROOT)
        print(f"{kind}: {what} {'ok' if well else 'FAILED'} ({time.perf_counter() - begun:.0f} s)", flush=True)
        if not well:
            return False, {}
    frozen = subprocess.run([executable, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    installed = dict(line.split("==") for line in frozen.splitlines() if "==" in line)
    return True, {name.lower().replace("_", "-").replace(".", "-"): version for name, version in installed.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=KINDS, help="one of the two environments")
    parser.add_argument("--python", default=sys.executable, help="the Python to make them with (default: this one)")
    parser.add_argument("--keep", type=Path, help="a folder for environments and logs, kept (default: a temporary one)")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="hcsim-dependencies-"))
    folder.mkdir(parents=True, exist_ok=True)
    version = subprocess.run([options.python, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    kinds = [options.only] if options.only else list(KINDS)
    found = {kind: check(kind, options.python, folder.resolve()) for kind in kinds}
    names = [
        re.split(r"[<>=]", r)[0]
        for r in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    ]
    print(f"\n{version}\n" + f"{'':20}" + "".join(f"{kind:>14}" for kind in kinds))
    for name in names:
        key = name.lower().replace("_", "-").replace(".", "-")
        print(f"{name:20}" + "".join(f"{found[kind][1].get(key, '-'):>14}" for kind in kinds))
    if not options.keep:
        shutil.rmtree(folder)
    raise SystemExit(0 if all(well for well, _ in found.values()) else 1)


if __name__ == "__main__":
    main()
