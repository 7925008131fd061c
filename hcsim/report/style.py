"""One look for all figures: colour-blind safe, legible at the width of a page."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from math import ceil
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from hcsim.results.allocation import StudyResult
from hcsim.results.words import CONTROLS
from optim.data.limits import Limits

PAGE_INCHES = 10.0
"""Width of a figure; the page shows it at about the same size."""

# Okabe and Ito's palette, distinguishable with any colour vision and in grey.
BLACK, ORANGE, SKY, GREEN = "#222222", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#767676", "#C9CDD2"

CLAIM, LOCKED, FREE, LIMIT = BLACK, BLUE, ORANGE, VERMILION
"""The same colour for the same thing in every figure: claim, replay locked, replay free, limit."""
DASHES = ((4, 2), (1, 1), (6, 1, 1, 1), (8, 3))
"""Of limits, by voltage level."""
PHASES = {"1": PURPLE, "2": GREEN, "3": SKY}
UNITS = (BLUE, ORANGE, GREEN, PURPLE, SKY, BLACK, GREY)
REPLAYS = {"locked": (f"OpenDSS, {CONTROLS['locked']}", LOCKED), "free": (f"OpenDSS, {CONTROLS['free']}", FREE)}

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E6E9",
    "grid.linewidth": 0.7,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.5,
    "lines.solid_joinstyle": "round",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,  # a dollar in a name is no formula
    "svg.hashsalt": "hcsim",
    "svg.fonttype": "path",
}


OTHER_SCRIPTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
    "Hiragino Sans",
    "Noto Sans",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Arial Unicode MS",
)
"""Fonts for names that DejaVu has no letters for; those that are installed are asked in this order."""


@cache
def _fonts() -> list[str]:
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [str(STYLE["font.family"]), *(name for name in OTHER_SCRIPTS if name in installed)]


@contextmanager
def house_style() -> Iterator[None]:
    """Inside, figures look alike. A letter that no installed font has is drawn as an empty box, without a warning: the
    tables have the name."""
    with mpl.rc_context({**STYLE, "font.family": _fonts()}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?s).*[Gg]lyph .* missing from")
        warnings.filterwarnings("ignore", message=r"(?s)Matplotlib currently does not support .* natively")
        yield


def panels(count: int, *, height: float, columns: int = 4, **kw: Any) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, `height` inches a row."""
    columns = min(columns, count)
    rows = ceil(count / columns)
    figure = Figure(figsize=(PAGE_INCHES, height * rows), layout="constrained")
    axes = list(np.ravel(figure.subplots(rows, columns, squeeze=False, **kw)))
    for spare in axes[count:]:
        spare.set_visible(False)
    return figure, axes[:count]


def hour_axis(axes: Axes, times: Sequence[str], *, label: bool = True) -> None:
    """Step edges on x: step t covers [t, t+1). Labels of the steps' starts, as many as fit."""
    steps = len(times)
    stride = next((s for s in (1, 2, 3, 4, 6) if steps / s <= 5), ceil(steps / 4))
    axes.set_xlim(0, steps)
    axes.xaxis.set_major_locator(FixedLocator(list(range(0, steps + 1, stride))))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _edge(times, x)))
    if label:
        axes.set_xlabel("hour of day" if _is_one_day(times) else "start of step")


def stairs(axes: Axes, values: np.ndarray, **kw: Any) -> None:
    """Step means drawn as steps from edge to edge; gaps where a value is not a number."""
    axes.stairs(values, np.arange(len(values) + 1), baseline=None, **kw)


def legend_below(figure: Figure, axes: Sequence[Axes], columns: int = 6) -> None:
    """One legend for all panels, each label once."""
    found: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(list(found.values()), list(found), loc="outside lower center", ncols=columns)


def voltage_limits(axes: Axes, limits: Limits, kv_base: np.ndarray | None = None) -> None:
    """Lines at the voltage limits; where voltage levels have their own, a dash pattern and a label for each."""
    lines = limits.v_lines(kv_base)
    levels = list(dict.fromkeys(words for words, _ in lines))
    for words, limit in lines:
        pattern = (0, DASHES[levels.index(words) % len(DASHES)])
        label = f"limits {words}" if words else "limits"
        axes.axhline(limit, color=LIMIT, linestyle=pattern, linewidth=1.2, label=label)


def case_title(study: StudyResult, case: str, names: dict[str, str]) -> str:
    return f"{names.get(case, case)}\n{study.cases[case].schedule.hc_kw:,.1f} kW claimed"


def _is_one_day(times: Sequence[str]) -> bool:
    return list(times) == [f"{hour:02d}:00" for hour in range(24)]


def _edge(times: Sequence[str], x: float) -> str:
    at = round(x)
    if _is_one_day(times):
        return str(at)
    return times[at] if 0 <= at < len(times) else ""
