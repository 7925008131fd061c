"""Small radial feeders for tests: by hand and at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optim.feeder.radial import RadialFeeder


def feeder(
    parent: Sequence[int],
    r: Sequence[float],
    x: Sequence[float],
    p_mw: Sequence[float],
    q_mvar: Sequence[float],
    *,
    ratio: Sequence[float] | None = None,
    g: Sequence[float] | None = None,
    shunt: Sequence[float] | None = None,
    source_u: float = 1.0,
) -> RadialFeeder:
    """Per unit on 1 MVA; bus "0" is the source, bus j + 1 is fed from `parent[j]` (-1: the source)."""
    n = len(parent)

    def array(values: Sequence[float] | None, default: float = 0.0) -> np.ndarray:
        return np.full(n, default) if values is None else np.asarray(values, dtype=float)

    return RadialFeeder(
        name="test",
        source_bus="0",
        source_u_pu=source_u,
        buses=tuple(str(j + 1) for j in range(n)),
        branches=tuple(f"Line.{j + 1}" for j in range(n)),
        parent=np.asarray(parent, dtype=np.int64),
        r_pu=array(r),
        x_pu=array(x),
        ratio=array(ratio, 1.0),
        i_base_a=np.full(n, 45.6),
        i_rated_a=np.full(n, np.inf),
        load_p_mw=array(p_mw),
        load_q_mvar=array(q_mvar),
        load_g_pu=array(g),
        load_b_pu=array(None),
        shunt_b_pu=array(shunt),
    )


def random_feeder(seed: int, buses: int = 7, *, ratios: bool = True) -> RadialFeeder:
    """A random tree with loads of some 0.1 MW, now and then a regulator and a capacitor."""
    draw = np.random.default_rng(seed)
    parent = [-1, *(int(draw.integers(-1, j)) for j in range(1, buses))]
    r, x = draw.uniform(0.001, 0.02, (2, buses))
    p, q = draw.uniform(0, 0.3, buses), draw.uniform(0, 0.2, buses)
    ratio = np.where(draw.uniform(size=buses) < 0.3, draw.uniform(0.95, 1.05, buses), 1.0)
    g = draw.uniform(0, 0.1, buses)
    shunt = np.where(draw.uniform(size=buses) < 0.2, 0.1, 0.0)
    return feeder(
        parent,
        r,
        x,
        p,
        q,
        ratio=ratio if ratios else None,
        g=g if ratios else None,
        shunt=shunt if ratios else None,
        source_u=float(draw.uniform(0.98, 1.03)),
    )
