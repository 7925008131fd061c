"""Rows of a conic program from expressions of matrices: equalities, inequalities and semidefinite blocks.

Every variable comes with its value at a known state, so that the state can be put into what has been written down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Ints = NDArray[np.int64]
Anything = NDArray[np.float64] | NDArray[np.complex128]


@dataclass(frozen=True)
class Affine:
    """An array of complex numbers that are affine in the program's real variables."""

    columns: Ints
    """(P,)"""
    coef: Complexes
    """(P, ...)"""
    const: Complexes
    """(...)"""

    def __add__(self, other: Affine) -> Affine:
        return Affine(
            np.concatenate([self.columns, other.columns]),
            np.concatenate([self.coef, other.coef]),
            self.const + other.const,
        )

    def __neg__(self) -> Affine:
        return self.times(-1.0)

    def __sub__(self, other: Affine) -> Affine:
        return self + (-other)

    def times(self, factor: complex | Anything) -> Affine:
        """Entry by entry."""
        return Affine(self.columns, np.asarray(self.coef * factor), np.asarray(self.const * factor, dtype=complex))

    def left(self, matrix: Anything) -> Affine:
        """matrix @ self"""
        return Affine(self.columns, matrix @ self.coef, matrix @ self.const)

    def right(self, matrix: Anything) -> Affine:
        """self @ matrix"""
        return Affine(self.columns, self.coef @ matrix, self.const @ matrix)

    def adjoint(self) -> Affine:
        """Conjugate transpose."""
        return Affine(self.columns, self.coef.conj().swapaxes(1, 2), self.const.conj().T)

    def diagonal(self) -> Affine:
        """(n, n) -> (n,)"""
        return Affine(self.columns, np.einsum("pii->pi", self.coef), np.diagonal(self.const))

    def block(self, rows: list[int], columns: list[int]) -> Affine:
        """Part of a matrix."""
        at = np.ix_(rows, columns)
        return Affine(self.columns, self.coef[:, at[0], at[1]], self.const[at])

    def part(self, which: list[int]) -> Affine:
        """Part of a vector."""
        return Affine(self.columns, self.coef[:, which], self.const[which])

    def placed(self, which: list[int], size: int) -> Affine:
        """A vector among zeros."""
        onto = np.zeros((len(which), size))
        onto[np.arange(len(which)), which] = 1.0
        return self.right(onto)

    def total(self) -> Affine:
        """(n,) -> (1,)"""
        return Affine(self.columns, self.coef.sum(axis=1, keepdims=True), self.const.sum(keepdims=True))


def constant(value: Anything) -> Affine:
    """An expression without variables."""
    const: Complexes = np.asarray(value, dtype=complex)
    return Affine(np.zeros(0, dtype=np.int64), np.zeros((0, *const.shape), dtype=complex), const)


def joined(a: Affine, b: Affine, d: Affine) -> Affine:
    """[[a, b], [b^H, d]]"""
    k, m = a.const.shape[0], d.const.shape[0]
    first, second = np.eye(k, k + m), np.eye(m, k + m, k)
    across = b.left(first.T).right(second)
    return a.left(first.T).right(first) + across + across.adjoint() + d.left(second.T).right(second)


@dataclass(frozen=True)
class ConicProgram:
    """minimize c x  subject to  b - A x in (zero, nonnegative, second-order cones, semidefinite cones)."""

    cost: Floats
    matrix: sparse.csc_array
    right: Floats
    zeros: int
    nonnegatives: int
    second_order: int
    """Cones of dimension 4."""
    semidefinite: tuple[int, ...]
    """Orders of real matrices."""
    state: Floats
    """(n,) the known state."""
    loose: frozenset[int]
    """Rows that the state need not meet."""


class Rows:
    """What has been written down so far."""

    def __init__(self) -> None:
        self._values: list[float] = []
        self._cost: dict[int, float] = {}
        self._equal: list[tuple[Ints, Floats, Floats]] = []
        self._least: list[tuple[Ints, Floats, Floats]] = []
        self._second: list[tuple[Ints, Floats, Floats]] = []
        self._blocks: dict[int, list[tuple[Ints, Floats, Floats]]] = {}
        self._loose: list[int] = []
        self._count_least = 0

    def vector(self, value: Floats) -> Affine:
        """Real variables."""
        columns = self._new(np.asarray(value, dtype=float))
        n = len(columns)
        return Affine(columns, np.eye(n, dtype=complex), np.zeros(n, dtype=complex))

    def matrix(self, value: Complexes) -> Affine:
        """A complex matrix of variables."""
        columns = self._new(np.concatenate([value.real.ravel(), value.imag.ravel()]))
        unit = np.eye(value.size, dtype=complex).reshape(value.size, *value.shape)
        return Affine(columns, np.concatenate([unit, 1j * unit]), np.zeros(value.shape, dtype=complex))

    def hermitian(self, value: Complexes) -> Affine:
        """A Hermitian matrix of variables."""
        n = len(value)
        i, j = np.triu_indices(n, 1)
        columns = self._new(np.concatenate([np.diagonal(value).real, value[i, j].real, value[i, j].imag]))
        basis = np.zeros((n + 2 * len(i), n, n), dtype=complex)
        basis[np.arange(n), np.arange(n), np.arange(n)] = 1.0
        k = n + np.arange(len(i))
        basis[k, i, j] = basis[k, j, i] = 1.0
        basis[k + len(i), i, j], basis[k + len(i), j, i] = 1j, -1j
        return Affine(columns, basis, np.zeros((n, n), dtype=complex))

    def maximize(self, expression: Affine) -> None:
        """A sum of real variables, added to what is made largest."""
        for column, worth in zip(expression.columns, expression.coef.real.sum(axis=1), strict=True):
            self._cost[int(column)] = self._cost.get(int(column), 0.0) - float(worth)

    def zero(self, expression: Affine) -> None:
        """A vector or a matrix is zero, real and imaginary part."""
        flat = expression.coef.reshape(len(expression.columns), -1)
        const = expression.const.ravel()
        for coef, right in ((flat.real, const.real), (flat.imag, const.imag)):
            kept = np.flatnonzero(np.any(coef != 0, axis=0) | (np.abs(right) > 1e-9))
            if len(kept):
                self._equal.append((expression.columns, coef[:, kept], right[kept]))

    def hermitian_zero(self, expression: Affine) -> None:
        """A Hermitian matrix is zero: its upper triangle."""
        n = len(expression.const)
        i, j = np.triu_indices(n)
        self.zero(Affine(expression.columns, expression.coef[:, i, j], expression.const[i, j]))

    def nonnegative(self, expression: Affine, *, loose: bool = False) -> None:
        """The real parts of a vector; `loose` where the known state may be beyond it."""
        self._least.append((expression.columns, expression.coef.real, expression.const.real))
        if loose:
            self._loose += range(self._count_least, self._count_least + len(expression.const))
        self._count_least += len(expression.const)

    def semidefinite(self, expression: Affine) -> None:
        """A Hermitian matrix is positive semidefinite."""
        n = len(expression.const)
        if n == 1:
            self.nonnegative(expression.diagonal())
        elif n == 2:
            self._second.append((expression.columns, _light_cone(expression.coef), _light_cone(expression.const)))
        else:
            packed = (expression.columns, _packed(expression.coef), _packed(expression.const))
            self._blocks.setdefault(2 * n, []).append(packed)

    def program(self) -> ConicProgram:
        """All of it, in the order in which Clarabel wants it."""
        orders = sorted(self._blocks)
        parts = [*self._equal, *self._least, *self._second, *(p for order in orders for p in self._blocks[order])]
        rows, columns, values, right, at = [], [], [], [], 0
        for own, coef, const in parts:
            p, r = np.nonzero(coef)
            rows.append(at + r)
            columns.append(own[p])
            values.append(-coef[p, r])
            right.append(const)
            at += len(const)
        shape = (at, len(self._values))
        triplets = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        cost = np.zeros(shape[1])
        for column, worth in self._cost.items():
            cost[column] = worth
        zeros = sum(len(const) for _, _, const in self._equal)
        return ConicProgram(
            cost,
            sparse.csc_array(triplets, shape=shape),
            np.concatenate(right),
            zeros,
            self._count_least,
            len(self._second),
            tuple(order for order in orders for _ in self._blocks[order]),
            np.array(self._values),
            frozenset(zeros + i for i in self._loose),
        )

    def _new(self, value: Floats) -> Ints:
        first = len(self._values)
        self._values += value.tolist()
        return np.arange(first, len(self._values), dtype=np.int64)


def _light_cone(m: Complexes) -> Floats:
    """(..., 2, 2) Hermitian -> (..., 4): |(a - d, 2 b)| <= a + d says the same as semidefinite."""
    a, b, d = m[..., 0, 0].real, m[..., 0, 1], m[..., 1, 1].real
    return np.stack([a + d, a - d, 2.0 * b.real, 2.0 * b.imag], axis=-1)


def _packed(m: Complexes) -> Floats:
    """(..., n, n) Hermitian -> the upper triangle of [[Re, -Im], [Im, Re]] column by column, off the diagonal by the
    root of two."""
    real = np.concatenate(
        [np.concatenate([m.real, -m.imag], axis=-1), np.concatenate([m.imag, m.real], axis=-1)], axis=-2
    )
    column, row = np.tril_indices(real.shape[-1])
    found: Floats = real[..., row, column] * np.where(row == column, 1.0, np.sqrt(2.0))
    return found
