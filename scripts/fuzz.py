"""Hostile and broken inputs by the thousand, and a count of what became of them.

Kinds: feeders (.dss, from OpenDSS's own words in every spelling), study.toml, profiles, schedules, dispatches (tables
of other optimizers) and result folders with parts of a killed run. Each input is read as the command line reads it.
An outcome is "read", "refused" (a sentence, HcsimError) or "crash" (OpenDSS itself died or hung in its guarded child:
a sentence too). None may be a "fault" (any other exception), a "hang", write outside ("written"), or run native code
("native code"); those are printed with the input that did it, and end the script with exit code 1.

Inputs are drawn by hypothesis; with --atheris, where that is installed, feeders are drawn by libFuzzer's coverage.

    nice python scripts/fuzz.py --inputs 5000 --seed 1 --json figures.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pyarrow as pa
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from support.fuzz_inputs import DISPATCH, FEEDER, PROFILES, STUDY, base_schedule, damaged, feeder_text

from hcsim.cases.case import load_case
from hcsim.errors import FeederError, HcsimError
from hcsim.feeder.read import read_network
from hcsim.jobs.dataset import Dataset
from hcsim.jobs.pool import TaskResult
from hcsim.opendss import guard
from hcsim.opendss.circuit import Circuit
from hcsim.schedules.dispatch.cells import read_table
from hcsim.schedules.files import read_schedule, write_schedule
from hcsim.util.locks import LOCK_FILE, folder_lock

SHARES = {"dss": 0.34, "study": 0.2, "profiles": 0.12, "schedule": 0.16, "dispatch": 0.08, "results": 0.1}
HANG_S = 300


class World:
    """A folder in which an input stands, another around it that must not change, and a library that leaves a mark."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.home = place / "outside" / "home"
        self.home.mkdir(parents=True)
        (place / "outside" / "secret.csv").write_text("1\n2\n3\n")
        self.mark, self.library = place / "ran", place / "evil.so"
        code = '#include <stdlib.h>\n__attribute__((constructor)) static void r(void) { system("touch MARK"); }\n'
        code = code.replace("MARK", str(self.mark))
        (place / "evil.c").write_text(code)
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler:
            subprocess.run([compiler, "-shared", "-fPIC", "-o", self.library, place / "evil.c"], check=True)
        self.work = place / "work"
        self.work.mkdir()
        os.chdir(self.work)

    def clean(self) -> None:
        shutil.rmtree(self.home)
        self.home.mkdir()

    def state(self) -> str:
        whole = hashlib.sha256()
        for path in sorted(self.place.rglob("*")):
            whole.update(str(path.relative_to(self.place)).encode(errors="surrogatepass"))
            if path.is_file():
                whole.update(path.read_bytes())
        return whole.hexdigest()


# -- inputs -----------------------------------------------------------------------------------------------


def kinds(world: World) -> dict[str, tuple[st.SearchStrategy, Callable]]:
    home = world.home

    def dss(text: str) -> None:
        (home / "m.dss").write_bytes(text.encode("utf-8", errors="surrogatepass"))
        circuit = Circuit.compile(home / "m.dss")
        circuit.solve(controls=False)
        read_network(circuit)

    def case(name: str, data: bytes) -> None:
        for file, text in (("m.dss", FEEDER), ("study.toml", STUDY), ("profiles.csv", PROFILES)):
            (home / file).write_text(text)
        (home / name).write_bytes(data)
        load_case(home)

    def schedule(found: tuple[str, bytes]) -> None:
        write_schedule(base_schedule(), home / "s")
        (home / "s" / found[0]).write_bytes(found[1])
        read_schedule(home / "s")

    def results(number: int) -> None:
        rng = random.Random(number)
        columns = {"bus": pa.string(), "kw": pa.float64()}
        data = Dataset(home / "r", {"feeder": "f"}, columns)
        data.open(resume=False)
        for name in ("a", "b"):
            data.put(TaskResult(name, ({"bus": name, "kw": rng.random()},), 1, 0.1))
        file = rng.choice([p for p in (home / "r").rglob("*") if p.is_file()])
        if rng.random() < 0.2:
            file = home / "r" / LOCK_FILE
            file.write_bytes(b"{}")
        content = bytearray(file.read_bytes())
        for _ in range(rng.randint(1, 40)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        file.write_bytes(bytes(content)[: rng.choice([len(content), rng.randrange(len(content) + 1)])])
        with folder_lock(home / "r"):
            data = Dataset(home / "r", {"feeder": "f"}, columns)
            done = data.open(resume=True)
            for name in {"a", "b"} - done:
                data.put(TaskResult(name, ({"bus": name, "kw": 1.0},), 1, 0.1))
            table = data.table(["a", "b"])
        if list(table["bus"]) != ["a", "b"]:
            raise AssertionError("rows of another part")

    def dispatch(data: bytes) -> None:
        (home / "d.csv").write_bytes(data)
        read_table(home / "d.csv")

    write_schedule(base_schedule(), world.work / "s")
    texts = {p.name: p.read_text(encoding="utf-8") for p in sorted((world.work / "s").iterdir())}
    shutil.rmtree(world.work / "s")
    files = st.sampled_from(sorted(texts)).flatmap(lambda n: st.tuples(st.just(n), damaged(texts[n])))
    return {
        "dss": (feeder_text(str(world.library)), dss),
        "study": (damaged(STUDY), lambda data: case("study.toml", data)),
        "profiles": (damaged(PROFILES), lambda data: case("profiles.csv", data)),
        "schedule": (files, schedule),
        "dispatch": (damaged(DISPATCH), dispatch),
        "results": (st.integers(0, 2**48), results),
    }


class Hang(BaseException):
    """The alarm."""


def outcome(world: World, read: Callable, drawn: object) -> tuple[str, str]:
    """What became of one input, and how."""
    world.clean()
    signal.alarm(HANG_S)
    try:
        read(drawn)
        found, words = "read", ""
    except FeederError as error:
        found, words = "crash" if error.message.startswith("OpenDSS itself") else "refused", error.message
    except HcsimError as error:
        found, words = "refused", error.message
    except Hang:
        found, words = "hang", ""
    except Exception:
        found, words = "fault", traceback.format_exc()
    finally:
        signal.alarm(0)
    if "\n" not in words and len(words) > 4000:
        found = "fault"
    if world.mark.exists():
        world.mark.unlink()
        found = "native code"
    return found, words


def run(kind: str, inputs: int, number: int, world: World) -> tuple[Counter, list[tuple[str, str, str]]]:
    strategy, read = kinds(world)[kind]
    world.clean()
    counts: Counter = Counter()
    bad: list[tuple[str, str, str]] = []

    @seed(number)
    @settings(
        max_examples=inputs,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=False,
    )
    @given(strategy)
    def one(drawn: object) -> None:
        world.clean()
        before = world.state()
        found, words = outcome(world, read, drawn)
        world.clean()
        if world.state() != before:
            found = "written"
        counts[found] += 1
        if found in ("fault", "hang", "written", "native code") and len(bad) < 50:
            bad.append((found, repr(drawn), words))

    one()
    return counts, bad


def with_atheris(inputs: int, world: World) -> None:
    """Feeders by libFuzzer; ends the process itself."""
    import atheris

    def one(data: bytes) -> None:
        found, words = outcome(world, kinds(world)["dss"][1], data.decode("utf-8", errors="replace"))
        if found in ("fault", "hang", "written", "native code"):
            raise RuntimeError(f"{found}: {words}")

    atheris.Setup([sys.argv[0], f"-runs={inputs}"], one)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=5000, help="in all, shared among the kinds")
    parser.add_argument("--kind", choices=SHARES, action="append", help="only these")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--atheris", action="store_true", help="feeders by atheris, which must be installed")
    parser.add_argument("--json", type=Path, help="also write the counts here")
    args = parser.parse_args()
    target = args.json.resolve() if args.json else None
    signal.signal(signal.SIGALRM, _alarm)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        world = World(Path(place))
        guard.start()
        if args.atheris:
            with_atheris(args.inputs, world)
        shares = {k: s for k, s in SHARES.items() if not args.kind or k in args.kind}
        table, bad = {}, []
        for kind, share in shares.items():
            begun = time.monotonic()
            counts, found = run(kind, round(args.inputs * share / sum(shares.values())), args.seed, world)
            table[kind] = {"inputs": sum(counts.values()), **counts, "seconds": round(time.monotonic() - begun, 1)}
            bad += [(kind, *b) for b in found]
            print(f"{kind:10}" + "  ".join(f"{k} {v}" for k, v in table[kind].items()), flush=True)
        os.chdir("/")
    print(f"{sum(t['inputs'] for t in table.values())} inputs, {len(bad)} bad")
    for kind, what, drawn, words in bad[:20]:
        print(f"\n{what}, {kind}: {drawn[:2000]}\n{words[-1500:]}")
    if target:
        target.write_text(json.dumps({"seed": args.seed, "kinds": table}, indent=1) + "\n")
    return 1 if bad else 0


def _alarm(*_: object) -> None:
    raise Hang


if __name__ == "__main__":
    sys.exit(main())
