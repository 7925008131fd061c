"""What may not be exceeded, everywhere or by voltage level: for program, replay and simulation alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optim.errors import ModelError

SAME_KV = 1e-6
"""Nominal voltages within this share of each other are one level: 277.13 V times the root of 3 is 480 V."""


@dataclass(frozen=True)
class VoltageBand:
    """Voltage limits of a level of its own.

    It holds for the nodes whose nominal line-to-line voltage is at least `kv_min` and below `kv_max` (None: no bound).
    Limits in pu of a node's own nominal voltage; None: not judged there.
    """

    kv_min: float | None
    kv_max: float | None
    v_min_pu: float | None
    v_max_pu: float | None

    def holds(self, kv_base: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of these nominal voltages (kV, line to line) are in the band."""
        low = 0.0 if self.kv_min is None else self.kv_min
        high = np.inf if self.kv_max is None else self.kv_max
        kv = kv_base * (1.0 + SAME_KV)
        return np.asarray((kv >= low) & (kv < high))

    @property
    def words(self) -> str:
        """As a sentence has it: "1 to 35 kV", "below 1 kV"."""
        if not self.kv_min:
            return "all levels" if self.kv_max is None else f"below {self.kv_max:g} kV"
        return f"from {self.kv_min:g} kV" if self.kv_max is None else f"{self.kv_min:g} to {self.kv_max:g} kV"


@dataclass(frozen=True)
class Limits:
    """What may not be exceeded. A criterion set to None is not judged.

    `v_tolerance_pu`, `p_tolerance_kw`, `loading_tolerance_pu` cover numerical noise of solver and power
    flow only, not engineering judgement.

    >>> import hcsim
    >>> hcsim.Limits(v_max_pu=1.05).v_max_pu
    1.05
    """

    v_min_pu: float | None = 0.95
    v_max_pu: float | None = 1.05
    substation_min_kw: float | None = 0.0
    """Least active power into the feeder per source phase (paper 1, eq. 7e: no reverse flow)."""
    loading_max_pu: float | None = None
    """Branch current over its normal rating."""
    v_tolerance_pu: float = 1e-5
    p_tolerance_kw: float = 0.05
    loading_tolerance_pu: float = 1e-4
    v_deviation_max_pu: float | None = None
    """Voltage change at a node when the devices under study come on, controls frozen."""
    unbalance_max_pct: float | None = None
    """ANSI C84.1, annex: largest deviation of a line-to-line magnitude from the mean of the three, per
    cent of that mean."""
    regulator_min_kw: float | None = None
    """Least active power through each regulator phase, away from the source (0: no reverse flow)."""
    tap_operations_max: float | None = None
    """Tap steps that one regulator takes within one step of the series."""
    unbalance_tolerance_pct: float = 1e-3
    loading_worse: float = 0.005
    """The share of what it carries by which an overloaded element may gain and still be "no worse than before": a
    device far away raises the voltage of its loads, and their current with it. Ours."""
    v_worse_pu: float = 1e-4
    """By so much may a voltage beyond its limit already go further and still be "no worse than before": a hundredth of
    a volt at 120 V, less than any meter shows. Ours."""
    bands: tuple[VoltageBand, ...] = ()
    """Voltage levels with limits of their own, none overlapping; elsewhere `v_min_pu` and `v_max_pu` hold."""

    def v_min_at(self, kv_base: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """(N,) least voltage in pu at nodes of these nominal voltages (kV, line to line), -inf where none is set.

        One number for all of them where no level has a band of its own. Raises ModelError where bands meet nodes
        whose nominal voltage is not known.
        """
        return self._by_level(kv_base, "v_min_pu", -np.inf)

    def v_max_at(self, kv_base: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """(N,) the same for the largest voltage, +inf where none is set."""
        return self._by_level(kv_base, "v_max_pu", np.inf)

    def _by_level(self, kv_base: NDArray[np.float64] | None, side: str, none: float) -> NDArray[np.float64]:
        def number(limit: float | None) -> float:
            return none if limit is None else limit

        everywhere = np.array(number(getattr(self, side)))
        if not self.bands:
            return everywhere
        if kv_base is None:
            raise ModelError("Voltage bands per level need the nodes' nominal voltages, which are not known here.")
        limit = np.broadcast_to(everywhere, kv_base.shape).copy()
        for band in self.bands:
            limit[band.holds(kv_base)] = number(getattr(band, side))
        return limit

    def leaves_room(self) -> bool:
        """Whether there is a voltage between the limits of every level."""
        ranges = [(self.v_min_pu, self.v_max_pu), *((b.v_min_pu, b.v_max_pu) for b in self.bands)]
        return all(low is None or high is None or low < high for low, high in ranges)

    def levels(self, kv_base: NDArray[np.float64]) -> list[tuple[str, NDArray[np.bool_]]]:
        """Which nodes are in which band, in words, those elsewhere last; all of them under "" where there are none."""
        if not self.bands:
            return [("", np.ones(len(kv_base), dtype=bool))]
        held = [(band.words, band.holds(kv_base)) for band in self.bands]
        every = [*held, ("elsewhere", ~np.any([mask for _, mask in held], axis=0))]
        return [(words, mask) for words, mask in every if mask.any()]

    def v_lines(self, kv_base: NDArray[np.float64] | None = None) -> list[tuple[str, float]]:
        """Voltage limits with the level each holds for ("" where no level has its own), for figures.

        Of levels that are not among `kv_base` none.
        """
        shown = [b for b in self.bands if kv_base is None or b.holds(kv_base).any()]
        every = [(b.words, b.v_min_pu, b.v_max_pu) for b in shown]
        if kv_base is None or not np.all(np.any([b.holds(kv_base) for b in self.bands], axis=0)):
            every.append(("elsewhere" if self.bands else "", self.v_min_pu, self.v_max_pu))
        return [(words, limit) for words, low, high in every for limit in (low, high) if limit is not None]

    @classmethod
    def screening(cls) -> Limits:
        """All criteria of a nodal or stochastic study.

        ANSI C84.1 range A (114 to 126 V on 120 V), 3 % of deviation and of unbalance (California ICA; C84.1 annex),
        normal ratings, no reverse flow. Ours: four tap steps, 2.5 % with the usual 32 over +-10 %.
        """
        return cls(
            v_min_pu=0.95,
            v_max_pu=1.05,
            substation_min_kw=0.0,
            loading_max_pu=1.0,
            v_deviation_max_pu=0.03,
            unbalance_max_pct=3.0,
            regulator_min_kw=0.0,
            tap_operations_max=4.0,
        )
