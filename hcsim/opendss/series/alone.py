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
import opendssdirect
from dss import DSSException
from numpy.typing import NDArray

from hcsim.errors import FeederError

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


@dataclass(frozen=True)
class AloneRun:
    nodes: tuple[str, ...]
    v_v: Complexes
    """(T, N) phasors; NaN in steps that OpenDSS does not solve."""


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
            return AloneRun(tuple(str(n) for n in found["nodes"]), found["v_v"])


def run(task: AloneTask) -> AloneRun:
    """In this process."""
    dss = opendssdirect.dss.NewContext().to_dss_python()
    dss.AllowForms = dss.AllowEditor = dss.AllowChangeDir = dss.AllowDOScmd = False
    dss.AdvancedTypes = True
    circuit = dss.ActiveCircuit

    def say(text: str) -> None:
        dss.Text.Command = text

    say(f'redirect "{task.script}"')
    settings = f"tolerance={task.tolerance!r} maxiterations=100"
    say(f"set mode=snapshot controlmode=static maxcontroliter=250 {settings}")
    circuit.Solution.Solve()
    for command in task.commands:
        say(command)
    control = "static" if task.controls else "off"
    say(f"set mode={task.mode} number=1 stepsize={task.step_s!r}s controlmode={control} {settings}")
    circuit.Solution.dblHour = task.start_h
    rows = []
    for t in range(task.steps):
        try:
            circuit.Solution.Solve()
            solved = circuit.Solution.Converged
        except DSSException:
            say("set number=1")
            solved = False
        v_v = circuit.YNodeVarray.copy()
        rows.append(v_v if solved else np.full(len(v_v), complex(np.nan, np.nan)))
        circuit.Solution.dblHour = task.start_h + (t + 1) * task.step_s / 3600.0
    return AloneRun(tuple(name.lower() for name in circuit.YNodeOrder), np.array(rows))


def main(arguments: Sequence[str]) -> None:
    """Task file and result file."""
    told = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    found = run(AloneTask(**{**told, "commands": tuple(told["commands"])}))
    np.savez(arguments[1], nodes=np.array(found.nodes), v_v=found.v_v)


if __name__ == "__main__":
    main(sys.argv[1:])
