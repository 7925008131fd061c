"""An admittance between two sides -> transfer and series impedance, floating sides without their common mode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from optim.data.network import Complexes
from optim.data.node import node as cut

OPEN = 1e-5
"""An element's coupling below this share of its largest admittance is capacitance, or OpenDSS's stand-in for
an open conductor, and no path for power. Step-down windings (230 kV to 120 V) are at 5e-4."""
FLOATING = 1e-4
"""A side whose admittance to ground, all its conductors moving together, is below this share of its largest
entry is ungrounded: what is left is OpenDSS's ppm_antifloat (1e-6 and less)."""


def two_port(
    y_s: Complexes, here: list[int], there: list[int], names: Sequence[str]
) -> tuple[Complexes, Complexes, Complexes]:
    """V_to = transfer V_from - z I_to with I_to out of the to-side, and the shunt left at the from-side.

    `y_s` (k, k) siemens; `here`, `there` positions of the from- and to-nodes; `names` (k,) "bus.conductor".
    transfer = -Ytt^-1 Ytf, z = Ytt^-1. Floating sets of to-nodes have a singular Ytt but for antifloat admittance,
    whose inverse would drown the leakage in an artificial zero-sequence impedance. Their common mode is projected
    out.
    """
    y_tt, y_tf = y_s[np.ix_(there, there)], y_s[np.ix_(there, here)]
    buses, conductors = zip(*(cut(names[i]) for i in there), strict=True)
    neutral = np.array([int(c) > 3 for c in conductors])
    floating = _floating_sets(y_tt, buses)
    z = _inverse_without_common_mode(y_tt, floating, neutral) if floating else np.linalg.inv(y_tt).astype(complex)
    return -z @ y_tf, z, y_s[np.ix_(here, here)] - y_tf.T @ z @ y_tf


def _floating_sets(y_tt: Complexes, buses: Sequence[str]) -> list[list[int]]:
    """Sets of nodes that can move together without a current: ungrounded windings. Sets that are joined with each
    other but not with ground, and within those with ground the nodes of a bus, as of a delta tertiary."""
    joined = np.abs(y_tt) > OPEN * np.max(np.abs(y_tt), initial=0.0)
    count, of = connected_components(csr_array(joined), directed=False)
    found: list[list[int]] = []
    for k in range(count):
        members = [int(i) for i in np.flatnonzero(of == k)]
        if _moves_freely(y_tt[np.ix_(members, members)]):
            found.append(members)
            continue
        for bus in dict.fromkeys(buses[i] for i in members):
            part = [i for i in members if buses[i] == bus]
            if 1 < len(part) < len(members) and _moves_freely(y_tt[np.ix_(members, part)]):
                found.append(part)
    return found


def _moves_freely(y: Complexes) -> bool:
    """Whether the same voltage at all columns draws next to no current anywhere."""
    return bool(np.all(np.abs(y.sum(axis=1)) < FLOATING * np.max(np.abs(y))))


def _inverse_without_common_mode(y_tt: Complexes, floating: list[list[int]], neutral: NDArray[np.bool_]) -> Complexes:
    """Inverse of y_tt over voltages relative to each floating set's neutral, or else to its mean."""
    struck = [next(i for i in members if neutral[i]) for members in floating if np.any(neutral[members])]
    project = np.eye(len(y_tt))
    for members in floating:
        if not np.any(neutral[members]):
            project[np.ix_(members, members)] -= 1.0 / len(members)
    kept = [i for i in range(len(y_tt)) if i not in struck]
    z = np.zeros_like(y_tt)
    part = project[np.ix_(kept, kept)]
    z[np.ix_(kept, kept)] = np.linalg.pinv(part @ y_tt[np.ix_(kept, kept)] @ part, rcond=OPEN)
    return project @ z @ project
