"""What breaks limits before any device: a table of its own, which says why little or nothing may be added."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from hcsim.replay.result import ReplayResult
from hcsim.replay.verdict import counted, place, quantity, worst_of

EXISTING_FILE = "existing_violations.csv"
COLUMNS = (
    "controls",
    "criterion",
    "element",
    "phase",
    "steps",
    "worst_value",
    "limit",
    "unit",
    "worst_step",
    "worst_time",
)


def existing_table(bare: Mapping[str, ReplayResult]) -> pd.DataFrame:
    """COLUMNS: a row per place and criterion of the bare feeder's replays, with the number of steps concerned; within
    a criterion the worst first. `bare` is controls ("free", "locked") -> replay."""
    rows = []
    for controls, replay in bare.items():
        for (criterion, element, phase), group in replay.violations.groupby(
            ["criterion", "element", "phase"], sort=False
        ):
            worst = worst_of(group)
            rows.append(
                (
                    controls,
                    criterion,
                    element,
                    phase,
                    len(group),
                    float(worst["value"]),
                    float(worst["limit"]),
                    worst["unit"],
                    int(worst["step"]),
                    worst["time"],
                )
            )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    far = (table["worst_value"] - table["limit"]).abs().fillna(float("inf"))
    ordered = table.assign(far=far).sort_values(
        ["controls", "criterion", "far", "element", "phase"], ascending=[True, True, False, True, True], kind="stable"
    )
    return ordered.drop(columns="far").reset_index(drop=True)


def existing_in_words(replay: ReplayResult) -> str:
    """One sentence: how many there are, and by criterion at how many places, with the worst."""
    violations = replay.violations
    if not len(violations):
        return "no violation before any device"
    parts = []
    for criterion, group in violations.groupby("criterion", sort=False):
        places = len(group.groupby(["element", "phase"]))
        worst = worst_of(group)
        value = quantity(float(worst["value"]), str(worst["unit"]))
        parts.append(
            f"{str(criterion).replace('_', ' ')} at {counted(places, 'place')}, worst {value} at {place(worst)} "
            f"at {worst['time']}"
        )
    return f"{counted(len(violations), 'violation')} before any device: {'; '.join(parts)}"
