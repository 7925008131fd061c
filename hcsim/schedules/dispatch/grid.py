"""The values of one device of a dispatch by quantity."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hcsim.errors import ConfigError
from hcsim.schedules.dispatch.layout import WHOLE

Floats = NDArray[np.float64]


class Grid:
    """The values of one device by quantity, (T, phases) or (T, 1) totals."""

    def __init__(self, label: str, rows: pd.DataFrame, steps: int) -> None:
        self.label, self.steps = label, steps
        self.bus = next((b for b in rows["bus"] if b), "")
        self.kind = next((k for k in rows["kind"] if k), "")
        self._grids: dict[str, tuple[tuple[int, ...], Floats]] = {}
        for quantity, mine in rows.groupby("quantity"):
            phases = tuple(sorted(mine["phase"].unique().tolist()))
            if WHOLE in phases and len(phases) > 1:
                raise ConfigError(f"{label}: {quantity} is given per phase and as a total.", "Keep one of them.")
            grid = np.full((steps, len(phases)), np.nan)
            grid[mine["step"].to_numpy(), [phases.index(p) for p in mine["phase"]]] = mine["value"].to_numpy(
                dtype=float
            )
            self._grids[str(quantity)] = phases, grid

    def has(self, quantity: str) -> bool:
        return quantity in self._grids

    @property
    def phases(self) -> tuple[int, ...]:
        """Phases that any power is given for; empty where all are totals."""
        found = {p for q in ("p", "q", "charge", "discharge") if q in self._grids for p in self._grids[q][0]}
        return tuple(sorted(found - {WHOLE}))

    def per_phase(self, quantity: str, phases: tuple[int, ...]) -> Floats:
        """(T, k): totals split evenly, missing cells zero."""
        if quantity not in self._grids:
            return np.zeros((self.steps, len(phases)))
        given, grid = self._grids[quantity]
        grid = np.nan_to_num(grid)
        if given == (WHOLE,):
            return np.repeat(grid / len(phases), len(phases), axis=1)
        out = np.zeros((self.steps, len(phases)))
        for k, phase in enumerate(phases):
            if phase in given:
                out[:, k] = grid[:, given.index(phase)]
        return out

    def total(self, quantity: str) -> Floats:
        return np.nan_to_num(self._grids[quantity][1]).sum(axis=1) if self.has(quantity) else np.zeros(self.steps)

    def gaps(self) -> list[tuple[str, int]]:
        """(quantity, first step) where a power has no value."""
        return [
            (q, int(np.flatnonzero(np.isnan(g).all(axis=1))[0]))
            for q, (_, g) in self._grids.items()
            if q in ("p", "charge", "discharge") and np.isnan(g).all(axis=1).any()
        ]
