"""A job that misbehaves on purpose; workers import it by name."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from hcsim.errors import ConvergenceError


@dataclass(frozen=True)
class Number:
    value: int

    @property
    def id(self) -> str:
        return f"n{self.value:03d}"


@dataclass(frozen=True)
class CrashJob:
    """Squares numbers. `kills` die in mid-task every time, `kills_once` the first time; `fails` raise."""

    folder: Path
    kills: tuple[int, ...] = ()
    kills_once: tuple[int, ...] = ()
    fails: tuple[int, ...] = ()
    pause_s: float = 0.0
    key: str = "crash"

    @property
    def writes_in(self):
        return (self.folder,)

    def prepare(self):
        return os.getpid()

    def do(self, prepared, task):
        with (self.folder / f"{task.id}.log").open("a") as log:
            log.write("x")
        time.sleep(self.pause_s)
        marker = self.folder / f"{task.id}.killed"
        if task.value in self.kills or (task.value in self.kills_once and not marker.exists()):
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if task.value in self.fails:
            raise ConvergenceError(f"{task.value} does not converge.")
        return [{"number": task.value, "square": task.value**2}], 1

    def missing(self, prepared):
        return {}
