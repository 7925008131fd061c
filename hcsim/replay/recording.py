"""What one run leaves behind, and where in OpenDSS's vectors it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hcsim.errors import ConvergenceError, FeederError
from hcsim.opendss.circuit import Circuit
from optim.data.network import Network
from optim.data.node import phase_of
from optim.data.operation import Operation

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Ints = NDArray[np.int64]


Controls = Literal["locked", "free"]


V_SANE_PU = (0.5, 1.5)
"""A solution with a judged voltage outside is nonsense, whatever OpenDSS says."""


LOADED_CLASSES = ("Line", "Transformer", "AutoTrans", "Reactor", "Capacitor")
"""Branches of these may have a rating of their own."""


@dataclass(frozen=True)
class Recording:
    """What one run leaves behind. Steps that failed hold NaN."""

    operation: Operation
    substation_kvar: Floats
    """(T, S)"""
    failures: dict[int, str]
    """Step -> what was wrong with it; empty where every step is sound."""
    regulators: tuple[str, ...]
    tap: Ints
    """(T, R)"""
    losses_kw: Floats
    """(T,) of all delivery elements, shunts included."""
    load_kw: Floats
    """(T,)"""

    def require_sound(self, what: str) -> None:
        """Raises ConvergenceError naming the first step that failed."""
        if self.failures:
            step, why = min(self.failures.items())
            raise ConvergenceError(
                f"{what}, step {step} ({self.operation.times[step]}): {why}.",
                "Look at the load profile and the feeder's own settings at that hour.",
            )


@dataclass(frozen=True)
class BranchMap:
    """Where in the classes' flat current vectors each to-side branch-phase stands."""

    names: tuple[str, ...]
    rated_a: Floats
    currents: tuple[tuple[str, Ints, Ints], ...]
    """Class, row of `names`, position in the class's vector."""

    @classmethod
    def of(cls, circuit: Circuit, network: Network) -> BranchMap:
        names: list[str] = []
        rated: list[float] = []
        where: dict[str, list[tuple[int, int]]] = {}
        kinds = [kind for kind in LOADED_CLASSES if kind in circuit.classes()]
        node_ref = {e.name.lower(): e.node_ref.ravel() for e in circuit.elements(kinds)}
        layouts = {kind.lower(): circuit.layout(kind) for kind in kinds}
        for branch in network.branches:
            kind = branch.name.split(".", 1)[0].lower()
            if kind not in layouts or branch.name.lower() not in node_ref:
                continue
            start = layouts[kind].of(branch.name).start
            for node in branch.to_nodes:
                at = np.flatnonzero(node_ref[branch.name.lower()] == node)
                if not len(at):
                    raise FeederError(
                        f"{branch.name} does not reach {network.nodes[node]} in the circuit.",
                        "Read the network from this very circuit.",
                    )
                where.setdefault(kind, []).append((len(names), start + int(at[0])))
                names.append(f"{branch.name}.{phase_of(network.nodes[node])}")
                rated.append(branch.i_rated_a if np.isfinite(branch.i_rated_a) else np.nan)
        currents = tuple((kind, *np.array(pairs).T) for kind, pairs in where.items())
        return cls(tuple(names), np.array(rated), currents)


@dataclass(frozen=True)
class RegulatorRows:
    """Where the power through regulators is read. R source-side phases."""

    names: tuple[str, ...]
    """"Transformer.reg1a.1": element and phase; "Transformer.reg1." where it is judged as a whole."""
    nodes: Ints
    at: Ints
    row: Ints
    """Conductor -> which of `names` it belongs to."""

    def kw(self, circuit: Circuit, v_v: Complexes) -> Floats:
        """(R,) at the present solution, positive away from the source."""
        if not len(self.at):
            return np.empty(0)
        amperes = circuit.currents_a("Transformer")[self.at]
        kw = (v_v[self.nodes] * np.conj(amperes)).real / 1000.0
        return np.bincount(self.row, weights=kw, minlength=len(self.names)).astype(float)
