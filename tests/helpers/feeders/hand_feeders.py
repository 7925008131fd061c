"""Networks written down branch by branch, for circuits that are solved by hand."""

from __future__ import annotations

import numpy as np

from optim.data.network import Branch, LoadLegs, Network, Shunt

ANGLES = {1: 1.0, 2: np.exp(-2j * np.pi / 3), 3: np.exp(2j * np.pi / 3)}
"""Positive sequence."""


class HandFeeder:
    """Collects branches, source first; `network()` hands them over. Bases in volts line to ground."""

    def __init__(self, v_base_v: float = 2400.0, source_pu: float = 1.0, phases=(1, 2, 3)) -> None:
        self.v_base_v = v_base_v
        self.bases: dict[str, float] = {}
        self.branches: list[Branch] = []
        self.legs: list[tuple] = []
        self.shunts: list[Shunt] = []
        ideal = np.array([[source_pu * v_base_v * ANGLES[p]] for p in phases])
        self._branch("Vsource.source", "source", (), self._nodes("src", phases), ideal, np.zeros((len(phases),) * 2))

    def line(self, name, start, end, z_ohm, phases=(1, 2, 3), y_s=0.0):
        """`z_ohm` (k, k), or one number for uncoupled phases; `y_s` half of its charging at each end."""
        z = np.asarray(z_ohm, dtype=complex)
        z = z * np.eye(len(phases)) if z.ndim == 0 else z
        self._branch(
            f"Line.{name}",
            "line",
            self._nodes(start, phases),
            self._nodes(end, phases),
            np.eye(len(phases)),
            z,
            np.asarray(y_s) * np.eye(len(phases)),
        )
        return self

    def regulator(self, name, start, end, ratios, phases=(1, 2, 3)):
        k = len(phases)
        self._branch(
            f"Transformer.{name}",
            "regulator",
            self._nodes(start, phases),
            self._nodes(end, phases),
            np.diag(ratios),
            np.zeros((k, k)),
        )
        return self

    def transformer(self, name, start, end, transfer, z_ohm=0.0, v_base_v=None):
        """Three-phase; `transfer` (3, 3) as in Branch, `v_base_v` of its far side."""
        to = self._nodes(end, (1, 2, 3), v_base_v)
        self._branch(
            f"Transformer.{name}",
            "transformer",
            self._nodes(start, (1, 2, 3)),
            to,
            np.asarray(transfer),
            np.asarray(z_ohm) * np.eye(3),
        )
        return self

    def load(self, node, p_kw, q_kvar=0.0, minus=None, mix=(0.0, 0.0, 1.0), v_rated_v=None):
        self.legs.append((node, minus, p_kw, q_kvar, mix, v_rated_v))
        return self

    def shunt(self, name, nodes, y_s):
        index = list(self.bases)
        self.shunts.append(Shunt(f"Capacitor.{name}", tuple(index.index(n) for n in nodes), np.asarray(y_s), 0.0))
        return self

    def network(self, **other) -> Network:
        names = tuple(self.bases)
        base = np.array(list(self.bases.values()))
        at = {n: i for i, n in enumerate(names)}
        rated = [leg[5] or base[at[leg[0]]] * (1.0 if leg[1] is None else np.sqrt(3)) for leg in self.legs]
        mixes = np.array([leg[4] for leg in self.legs], dtype=float).reshape(-1, 3)
        count = len(self.legs)
        legs = LoadLegs(
            tuple(f"Load.{i}" for i in range(count)),
            np.array([at[leg[0]] for leg in self.legs], dtype=int),
            np.array([-1 if leg[1] is None else at[leg[1]] for leg in self.legs], dtype=int),
            np.array([leg[2] for leg in self.legs], dtype=float),
            np.array([leg[3] for leg in self.legs], dtype=float),
            np.array(rated, dtype=float),
            mixes,
            mixes,
            np.zeros(count),
            np.full(count, 2.0),
        )
        n = len(names)
        facts = {"v_reference": np.full(n, -1), "v_judged": np.ones(n, dtype=bool), **other}
        return Network(
            "hand",
            names,
            base,
            v_solved_v=base.astype(complex),
            source_nodes=self.branches[0].to_nodes,
            branches=tuple(self.branches),
            loads=legs,
            shunts=tuple(self.shunts),
            regulators=(),
            **facts,
        )

    def _nodes(self, bus, phases, v_base_v=None):
        names = [f"{bus}.{p}" for p in phases]
        for name in names:
            self.bases.setdefault(name, self.v_base_v if v_base_v is None else v_base_v)
        index = list(self.bases)
        return tuple(index.index(name) for name in names)

    def _branch(self, name, kind, start, end, transfer, z, y=None):
        none = np.zeros((len(start),) * 2, dtype=complex)
        side = none if y is None else np.asarray(y, dtype=complex)
        there = np.zeros((len(end),) * 2, dtype=complex) if y is None else side
        self.branches.append(
            Branch(
                name,
                kind,
                start,
                end,
                np.asarray(transfer, dtype=complex),
                np.asarray(z, dtype=complex),
                side,
                there,
                np.inf,
            )
        )
