"""OpenDSS by itself: a day or a year of a feeder, run by its own `solve mode=daily|yearly` in a process of its own.

    python -m hcsim.opendss.series.alone TASK.json RESULT.npz

What stands here is written as a user of OpenDSS would write it, and shares nothing with the way hcsim runs a day but
the feeder's files: it is what the time gate compares with. After the files and one solution, as users have it, come
the commands of the task, and then one native step after the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hcsim.errors import FeederError, HcsimError
from hcsim.opendss.series.engines import EngineName, engine

Complexes = NDArray[np.complex128]


@dataclass(frozen=True)
class AloneTask:
    """What the process is told."""

    script: str
    """The feeder's master file, as it is safe to read."""
    commands: tuple[str, ...]
    """Given once the feeder stands: curves of what has none, settings of clocks."""
    mode: str
    """ "daily" or "yearly"."""
    start_h: float
    step_s: float
    steps: int
    tolerance: float
    controls: bool = True
    at_step: tuple[tuple[str, ...], ...] = ()
    """(T,) commands before each step: what devices are told. Empty: none."""
    read: tuple[str, ...] = ()
    """Elements whose currents and powers are wanted too."""
    engine: EngineName = "dss_extensions"


@dataclass(frozen=True)
class AloneRun:
    nodes: tuple[str, ...]
    v_v: Complexes
    """(T, N) phasors; NaN in steps that OpenDSS does not solve."""
    current_a: Complexes
    """(T, C) into every conductor of the elements of `read`, one after the other; NaN likewise."""
    power_kva: Complexes
    """(T, C) likewise."""
    conductors: tuple[int, ...]
    """How many of C each element of `read` has."""
    version: str
    """Of the engine, in its own words."""


class Alone:
    """A process at work; `result` waits for it."""

    def __init__(self, task: AloneTask) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hcsim-alone-")
        folder = Path(self._folder.name)
        self._written = folder / "result.npz"
        (folder / "task.json").write_text(json.dumps(asdict(task)), encoding="utf-8")
        package = Path(__file__).resolve().parents[3]
        path = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hcsim.opendss.series.alone", str(folder / "task.json"), str(self._written)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
        )

    def result(self) -> AloneRun:
        """Raises FeederError where the process ends without one."""
        _, said = self._process.communicate()
        if self._process.returncode or not self._written.is_file():
            lines = said.decode(errors="replace").strip().splitlines()
            raise FeederError(
                f"OpenDSS by itself ended without a result ({lines[-1] if lines else self._process.returncode}).",
                "Run the feeder's files in OpenDSS with solve mode=daily.",
            )
        with np.load(self._written) as found:
            return AloneRun(
                tuple(str(n) for n in found["nodes"]),
                found["v_v"],
                found["current_a"],
                found["power_kva"],
                tuple(int(n) for n in found["conductors"]),
                str(found["version"]),
            )


def run(task: AloneTask) -> AloneRun:
    """In this process."""
    dss = engine(task.engine)
    dss.say(f'redirect "{task.script}"')
    settings = f"tolerance={task.tolerance!r} maxiterations=100"
    dss.say(f"set mode=snapshot controlmode=static maxcontroliter=250 {settings}")
    dss.solve(0.0)
    for command in task.commands:
        dss.say(command)
    control = "static" if task.controls else "off"
    dss.say(f"set mode={task.mode} number=1 stepsize={task.step_s!r}s controlmode={control} {settings}")
    voltages: list[Complexes] = []
    currents: list[Complexes] = []
    powers: list[Complexes] = []
    nodes = dss.nodes()
    for t in range(task.steps):
        for command in task.at_step[t] if task.at_step else ():
            dss.say(command)
        solved = dss.solve(task.start_h + t * task.step_s / 3600.0)
        found = [dss.element(name) for name in task.read]
        for rows, row in zip(
            (voltages, currents, powers),
            (dss.voltages_v(), _joined([a for a, _ in found]), _joined([p for _, p in found])),
            strict=True,
        ):
            rows.append(row if solved else np.full(len(row), complex(np.nan, np.nan)))
    conductors = tuple(len(dss.element(name)[0]) for name in task.read)
    return AloneRun(nodes, np.array(voltages), np.array(currents), np.array(powers), conductors, dss.version)


def _joined(parts: list[Complexes]) -> Complexes:
    return np.concatenate(parts) if parts else np.empty(0, dtype=complex)


def main(arguments: Sequence[str]) -> None:
    """Task file and result file."""
    told = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    told["at_step"] = tuple(tuple(step) for step in told["at_step"])
    try:
        found = run(AloneTask(**{**told, "commands": tuple(told["commands"]), "read": tuple(told["read"])}))
    except HcsimError as error:
        sys.exit(f"{error.message} {error.remedy}".strip())
    np.savez(arguments[1], **{**asdict(found), "nodes": np.array(found.nodes)})


if __name__ == "__main__":
    main(sys.argv[1:])
