"""Where capacity stands: caps of sites, and objectives that spread it.

    total   sum S_g                       (papers 1 and 2): next to the source, if that is where it counts
    even    the least favoured site is served best: max z with S_site >= z cap_site (kW where no site has a cap);
            what is left then goes where it fits, at SECOND of its worth
    load    rooftops: S_g = z load_g, in proportion to the load that stands there

Both are one more variable z in the same programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from optim.data.linear_model import Floats
from optim.errors import ModelError

Objective = Literal["total", "even", "load"]
SECOND = 1e-3
"""What a kW above the least favoured site's share counts, where that is what is made largest."""


@dataclass(frozen=True)
class Cap:
    """The most that stands at a site, all its phases together."""

    site: str
    nodes: tuple[str, ...]
    max_kw: float
    why: str = ""


@dataclass(frozen=True)
class Spread:
    """What is made largest instead of the sum. `weights` are kW per unit of z: of each site for "even", of each
    node-phase for "load", which then is a site of its own."""

    objective: Literal["even", "load"]
    sites: tuple[tuple[str, ...], ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.objective == "load" and sum(self.weights) <= 0:
            raise ModelError(
                'objective = "load": no load stands at any site, so that nothing can be in proportion to it.',
                'Give sites with load, or another objective ("even", "total").',
            )

    def members(self, pv_nodes: tuple[str, ...]) -> Floats:
        """(B, G) one where a node-phase belongs to a site."""
        at = {name: g for g, name in enumerate(pv_nodes)}
        found = np.zeros((len(self.sites), len(pv_nodes)))
        for b, nodes in enumerate(self.sites):
            found[b, [at[n] for n in nodes]] = 1.0
        return found

    def worth_kw(self, pv_nodes: tuple[str, ...], pv_kw: Floats) -> float:
        """What the objective makes largest, in kW: for "even" the least favoured site's share times all weights."""
        if self.objective == "load":
            return float(pv_kw.sum())
        served = self.members(pv_nodes) @ pv_kw / np.array(self.weights)
        return float(sum(self.weights) * served.min() + SECOND * pv_kw.sum())


def worth_kw(spread: Spread | None, pv_nodes: tuple[str, ...], pv_kw: Floats) -> float:
    """What is made largest, in kW; without `spread` the sum."""
    return float(pv_kw.sum()) if spread is None else spread.worth_kw(pv_nodes, pv_kw)
