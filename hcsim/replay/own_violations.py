"""Violations that are a replay's own: no answer, not delivered, SoC off its limits."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hcsim.replay.recording import Recording
from optim.data.network import Network
from optim.data.violations import VIOLATION_COLUMNS

Floats = NDArray[np.float64]


def convergence_violations(recording: Recording, network: Network) -> pd.DataFrame:
    """A row per failed step, so that a step without an answer never passes for a good one. Steps in which protection
    has cut something off are violations of their own already, by the device's name."""
    cut_off = recording.operation.cut_off
    steps = np.array([t for t in sorted(recording.failures) if not cut_off[t]], dtype=np.int64)
    nan = np.full(len(steps), np.nan)
    return rows(("convergence", ""), [(network.name, "")] * len(steps), steps, recording.operation.times, nan, nan)


def rows(
    criterion: tuple[str, str],
    at: list[tuple[str, str]],
    steps: NDArray[np.int64],
    times: tuple[str, ...],
    value: Floats,
    limit: Floats,
) -> pd.DataFrame:
    """A table of violations: `criterion` is its name and unit, `at` element and phase of every row."""
    return pd.DataFrame(
        {
            "criterion": criterion[0],
            "element": [element for element, _ in at],
            "phase": [phase for _, phase in at],
            "step": steps,
            "time": [times[t] for t in steps],
            "value": value,
            "limit": limit,
            "unit": criterion[1],
            "base_value": np.nan,
            "existing": False,
        }
    )


def joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [t for t in tables if len(t)]
    if not filled:
        return pd.DataFrame(columns=list(VIOLATION_COLUMNS))
    return pd.concat(filled, ignore_index=True)
