"""The numbers behind a picture: what it has drawn, read back from the figure, so that no picture lacks its data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch

MOST_ROWS = 20_000
MANY_POINTS = 3
"""A line of fewer points of a map is a symbol; it is kept where it has a label."""


def data_of(figure: Figure) -> pd.DataFrame:
    """panel, series, x, y: lines, steps, bars and points of every panel, in the axes' own units."""
    rows = [row for axes in figure.axes for row in _rows(axes)]
    return pd.DataFrame(rows[:MOST_ROWS], columns=["panel", "series", "x", "y"])


def _rows(axes: Axes) -> Iterator[tuple[str, str, float, float]]:
    panel = (axes.get_title(loc="left") or axes.get_ylabel() or axes.get_xlabel()).replace("\n", ", ")

    def named(label: object) -> str:
        text = str(label or "")
        return "" if text.startswith("_") else text

    for line in axes.get_lines():
        name = named(line.get_label())
        points = np.asarray(line.get_xydata(), dtype=float)
        if name or len(points) >= MANY_POINTS:
            yield from ((panel, name, float(x), float(y)) for x, y in points)
    for patch in axes.patches:
        if isinstance(patch, StepPatch):
            values, edges, _ = patch.get_data()
            yield from (
                (panel, named(patch.get_label()), float(x), float(y)) for x, y in zip(edges, values, strict=False)
            )
    for bars in axes.containers:
        for patch in bars:
            if isinstance(patch, Rectangle):
                tick = patch.get_x() + patch.get_width() / 2
                yield panel, named(bars.get_label()), float(tick), float(patch.get_height())
    for cloud in axes.collections:
        if isinstance(cloud, PathCollection):
            offsets = np.asarray(cloud.get_offsets(), dtype=float)
            yield from ((panel, named(cloud.get_label()), float(x), float(y)) for x, y in offsets)
