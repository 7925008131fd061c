"""A study of numbers whose parts may fail, die or never end; workers import it by name."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hcsim.errors import ConvergenceError
from hcsim.jobs.parts import Part


@dataclass(frozen=True)
class Sum:
    numbers: tuple[int, ...]
    total: float
    table: pd.DataFrame


@dataclass(frozen=True)
class ToyJob:
    classes = (Sum,)

    def prepare(self):
        return os.getpid()


@dataclass(frozen=True)
class Square(Part):
    number: int
    how: str = ""
    """What goes wrong: "fails", "dies", "hangs", "writes PATH", "broken"."""

    @property
    def name(self):
        return f"square {self.number}"

    def do(self, prepared, given, tell):
        tell(f"{self.number} squared by {prepared}", 0.5)
        if self.how == "fails":
            raise ConvergenceError(f"{self.number} does not converge.")
        if self.how == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "hangs":
            time.sleep(3600.0)
        if self.how == "broken":
            raise ZeroDivisionError("by nothing")
        if self.how.startswith("writes "):
            Path(self.how.removeprefix("writes ")).write_text("mine")
        return self.number**2


@dataclass(frozen=True)
class Total(Part):
    of: tuple[int, ...]
    also: tuple[int, ...] = ()
    name: str = "total"

    @property
    def needs(self):
        return tuple(f"square {n}" for n in self.of)

    @property
    def uses(self):
        return tuple(f"square {n}" for n in self.also)

    def do(self, prepared, given, tell):
        tell(f"{len(given)} given")
        squares = np.array([given[name] for name in sorted(given)])
        table = pd.DataFrame({"part": sorted(given), "square": squares, "share": squares / squares.sum()})
        return Sum(tuple(squares.tolist()), float(squares.sum()) / 3.0, table)
