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
    """A row per failed step, so that a step without an answer never passes for a good one."""
    steps = np.array(sorted(recording.failures), dtype=np.int64)
    nan = np.full(len(steps), np.nan)
    return rows(
        "convergence", [network.name] * len(steps), [""] * len(steps), steps, recording.operation.times, nan, nan, ""
    )


def rows(
    criterion: str,
    elements: list[str],
    phases: list[str],
    steps: NDArray[np.int64],
    times: tuple[str, ...],
    value: Floats,
    limit: Floats,
    unit: str,
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "criterion": criterion,
            "element": elements,
            "phase": phases,
            "step": steps,
            "time": [times[t] for t in steps],
            "value": value,
            "limit": limit,
            "unit": unit,
            "base_value": np.nan,
            "existing": False,
        }
    )


def joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [t for t in tables if len(t)]
    if not filled:
        return pd.DataFrame(columns=list(VIOLATION_COLUMNS))
    return pd.concat(filled, ignore_index=True)
