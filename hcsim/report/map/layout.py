"""Where buses are drawn: at the feeder's own coordinates, or as a tree where it has none."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optim.data.network import Network
from optim.data.node import bus_of

WIDTH = 10_000
"""Of the drawing, in whole numbers: finer than any screen at the deepest zoom."""
HEIGHTS = (3_000, 9_000)
ONE_ROW = 900
"""Height of a tree that does not branch."""
MARGIN = 250
ENOUGH = 0.5
"""Share of the buses that must have coordinates for these to be used."""


@dataclass(frozen=True)
class Layout:
    """Places of all buses, in the order of `Network.buses`; y points down."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    height: int
    words: str
    """How it is drawn."""
    own: bool
    """Whether these are the feeder's coordinates."""


def layout(network: Network) -> Layout:
    """Coordinates where at least half of the buses have them (the others stand at a neighbour), else a tree."""
    parent, depth = _tree(network)
    own = {b: xy for b, xy in network.coordinates.items() if np.all(np.isfinite(xy))}
    places = [own.get(bus) for bus in network.buses]
    known = [xy for xy in places if xy is not None]
    if len(known) < max(2, ENOUGH * len(places)) or len(set(known)) < 2:
        why = "The feeder states no coordinates" if not known else "Too few buses have coordinates"
        words = f"{why}; it is drawn as a tree, from the source on the left, a step to the right for every element."
        x, y = depth.astype(float), -_leaf_rows(parent, depth)
        return _fitted(x, y, words, own=False, true_to_scale=False)
    left_out = 0
    order = np.argsort(depth, kind="stable")
    for b in order:
        if places[b] is None:
            left_out += 1
            places[b] = places[parent[b]] if parent[b] >= 0 and places[parent[b]] is not None else None
    centre = tuple(np.mean(known, axis=0))
    xy = np.array([centre if place is None else place for place in places], dtype=float)
    words = "Drawn at the feeder's own coordinates."
    if left_out:
        words += f" {left_out} buses without any stand at the bus that feeds them."
    return _fitted(xy[:, 0], xy[:, 1], words, own=True, true_to_scale=True)


def _fitted(x: NDArray[np.float64], y: NDArray[np.float64], words: str, *, own: bool, true_to_scale: bool) -> Layout:
    """Into WIDTH by a height; north is up."""
    inner = WIDTH - 2 * MARGIN
    wide, high = max(float(np.ptp(x)), 1e-12), max(float(np.ptp(y)), 1e-12)
    if true_to_scale:
        height = float(np.clip(inner * high / wide, HEIGHTS[0], HEIGHTS[1]))
        per = min(inner / wide, height / high)
        sx = sy = per
    else:
        rows = len(np.unique(y))
        height = float(np.clip(90.0 * rows, HEIGHTS[0], HEIGHTS[1])) if rows > 1 else float(ONE_ROW)
        sx = inner / wide if np.ptp(x) > 0 else 0.0
        sy = height / high if rows > 1 else 0.0
    across = MARGIN + (inner - sx * wide) / 2 + sx * (x - x.min())
    down = MARGIN + (height - sy * high) / 2 + sy * (y.max() - y)
    return Layout(np.rint(across).astype(int), np.rint(down).astype(int), round(height) + 2 * MARGIN, words, own)


def _tree(network: Network) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(B,) bus that feeds each, -1 for the first and for what nothing reaches; (B,) elements from the source."""
    position = {bus: i for i, bus in enumerate(network.buses)}
    near: list[list[int]] = [[] for _ in position]
    for branch in network.branches:
        ends = {position[bus_of(network.nodes[n])] for n in (*branch.from_nodes, *branch.to_nodes)}
        for a in ends:
            near[a] += sorted(ends - {a})
    parent, depth = np.full(len(position), -1), np.full(len(position), -1)
    starts = [position[bus_of(network.nodes[n])] for n in network.source_nodes]
    for start in (*starts, *range(len(position))):
        if depth[start] >= 0:
            continue
        depth[start] = 0
        queue = deque([start])
        while queue:
            a = queue.popleft()
            for b in near[a]:
                if depth[b] < 0:
                    depth[b], parent[b] = depth[a] + 1, a
                    queue.append(b)
    return parent, depth


def _leaf_rows(parent: NDArray[np.int64], depth: NDArray[np.int64]) -> NDArray[np.float64]:
    """(B,) row of each: leaves one below the other, in the order of a walk that keeps subtrees together; a bus stands
    in the middle of its children."""
    children: list[list[int]] = [[] for _ in parent]
    for b in np.argsort(depth, kind="stable"):
        if parent[b] >= 0:
            children[parent[b]].append(int(b))
    row, leaf = np.zeros(len(parent)), 0
    stack = [(int(b), False) for b in np.flatnonzero(parent < 0)[::-1]]
    while stack:
        b, done = stack.pop()
        if not children[b]:
            row[b], leaf = leaf, leaf + 1
        elif done:
            row[b] = (row[children[b][0]] + row[children[b][-1]]) / 2
        else:
            stack += [(b, True), *((c, False) for c in children[b][::-1])]
    return row
