"""What every figure is made with: a picture and its words, the map of a feeder, PNG and SVG files."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from hcsim.report import style
from hcsim.report.picture_data import data_of
from hcsim.util.files import output_folder, write_atomically, write_csv, write_text
from optim.data.network import Network
from optim.data.node import bus_of

PNG_DPI = 160
MOST_INLINE = 4_000
"""Rows of a picture's data that travel inside the page; of more, the page names the file beside it."""
Study = TypeVar("Study")


@dataclass(frozen=True)
class Picture(Generic[Study]):
    """A figure with the words under it."""

    key: str
    title: str
    caption: str
    draw: Callable[[Study], Figure | None]
    """None where the study lacks what it would show."""


def draw_pictures(pictures: Sequence[Picture[Study]], study: Study) -> dict[str, Figure]:
    """Every figure that the study has the parts for, by key, in order."""
    with style.house_style():
        drawn = {picture.key: picture.draw(study) for picture in pictures}
    return {key: figure for key, figure in drawn.items() if figure is not None}


def svg_of(figure: Figure) -> str:
    """The figure as one SVG document, the same bytes every time."""
    out = io.StringIO()
    with style.house_style():
        _lay_out(figure)
        figure.savefig(out, format="svg", metadata={"Date": None}, dpi=PNG_DPI)
    return out.getvalue()


def _lay_out(figure: Figure) -> None:
    """Once and for all: matplotlib would do so, and draw everything for it, each time that the figure is saved."""
    if figure.get_layout_engine() is not None:
        figure.set_dpi(PNG_DPI)
        figure.draw_without_rendering()
        with rc_context({"figure.constrained_layout.use": False, "figure.autolayout": False}):
            figure.set_layout_engine(None)


@dataclass(frozen=True)
class Saved:
    """A figure as a page carries it."""

    svg: str
    data: pd.DataFrame
    """What it has drawn, see `hcsim.report.picture_data`."""

    def on_page(self, key: str, title: str, caption: str) -> dict[str, str]:
        """What `parts.picture` draws: words, the SVG and the numbers as addresses that carry them."""
        return {
            "key": key,
            "title": title,
            "caption": caption,
            "address": _address("image/svg+xml", self.svg),
            "data": _address("text/csv", _csv(self.data)) if 0 < len(self.data) <= MOST_INLINE else "",
            "file": f"figures/{key}.csv" if len(self.data) > MOST_INLINE else "",
        }


def save_figures(figures: Mapping[str, Figure], folder: Path) -> dict[str, Saved]:
    """KEY.png, KEY.svg and KEY.csv of each, by key. Raises OutputError."""
    output_folder(folder)
    saved = {}
    for key, figure in figures.items():
        saved[key] = Saved(svg_of(figure), data_of(figure))
        write_text(folder / f"{key}.svg", saved[key].svg)
        write_atomically(folder / f"{key}.png", partial(_save_png, figure))
        if len(saved[key].data):
            write_csv(folder / f"{key}.csv", saved[key].data)
    return saved


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))


def _address(kind: str, text: str) -> str:
    return f"data:{kind};base64," + base64.b64encode(text.encode()).decode()


def _save_png(figure: Figure, path: Path) -> None:
    with style.house_style():
        _lay_out(figure)
        figure.savefig(path, format="png", dpi=PNG_DPI)


def map_inches(network: Network, width: float, between: tuple[float, float]) -> float:
    """Height of a map of that width in inches, true to scale as far as `between` allows."""
    x, y = np.array(list(network.coordinates.values())).T
    return float(np.clip(np.ptp(y) / max(np.ptp(x), 1e-9) * width, *between))


def draw_feeder(axes: Axes, network: Network) -> None:
    """Lines, buses, source and regulators where the feeder has coordinates."""
    places = network.coordinates

    def bus(node: int) -> str:
        return bus_of(network.nodes[node])

    thick: list[Any] = []
    thin: list[Any] = []
    for branch in network.branches:
        if not branch.from_nodes:
            continue
        ends = places.get(bus(branch.from_nodes[0])), places.get(bus(branch.to_nodes[0]))
        if ends[0] is None or ends[1] is None:
            continue
        (thick if len(branch.to_nodes) >= 3 else thin).append(ends)
    axes.add_collection(LineCollection(thin, colors=style.PALE, linewidths=1.0, zorder=1))
    axes.add_collection(LineCollection(thick, colors="#8A9099", linewidths=1.8, zorder=1))
    xy = np.array([places[b] for b in network.buses if b in places])
    size = 4.0 if len(xy) < 400 else 0.5
    axes.plot(xy[:, 0], xy[:, 1], ".", color="#8A9099", markersize=size, zorder=1.5)
    source = bus(network.source_nodes[0])
    if source in places:
        axes.plot(*places[source], marker="*", color=style.BLACK, markersize=13, zorder=6)
    ends_of = {b.name: bus(b.to_nodes[0]) for b in network.branches}
    regulated = dict.fromkeys(ends_of.get(r.transformer, "") for r in network.regulators)  # a set has no order
    for name in [bus for bus in regulated if bus in places]:
        axes.plot(
            *places[name],
            marker="^",
            color=style.PURPLE,
            markersize=7,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=5,
        )
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.06)
    axes.axis("off")
