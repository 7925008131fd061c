"""What one solution shows, criterion by criterion, read as whole vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hcsim.feeder.unbalance import three_phase_buses, unbalance_pct
from hcsim.replay.series import DailySeries
from optim.data.criteria import Criterion
from optim.data.limits import Limits
from optim.data.network import Network
from optim.data.node import node as cut
from optim.data.operation import Operation

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Ints = NDArray[np.int64]
_NOTHING = np.empty(0)


@dataclass(frozen=True)
class Reading:
    """One solution. What no limit speaks of is left out, so there is no NaN to mind."""

    v_pu: Floats
    """(M,) judged voltages."""
    substation_kw: Floats
    loading_pu: Floats
    """(B,) branch-phases that have a rating."""
    v_deviation_pu: Floats
    """(M,)"""
    unbalance_pct: Floats
    """(K,)"""
    regulator_kw: Floats
    """(R,)"""
    tap_steps: Floats
    """(C,)"""


class HourReader:
    """Reads the series' circuit. Vectors that no criterion needs are not read."""

    def __init__(self, series: DailySeries, limits: Limits) -> None:
        self.series, network = series, series.network
        self.limits, self.network = limits, network
        self.judged = np.flatnonzero(network.v_judged)
        self._base_v = network.v_judged_base_v[self.judged]
        self.kv_base = network.kv_base[self.judged]
        """(M,) for limits per voltage level."""
        self._reference = network.v_reference[self.judged]
        self._floating = bool((self._reference >= 0).any())
        self.three_phase = three_phase_buses(network)
        self._triples = np.array([network.nodes_of(bus) for bus in self.three_phase], dtype=np.int64)
        self._triples = self._triples.reshape(-1, 3)
        self._regulators = series.regulator_rows()
        rated = series.has_rating()
        self._rated = np.flatnonzero(rated)
        self._names: dict[str, list[tuple[str, str]]] = {
            "nodes": [cut(network.nodes[n]) for n in self.judged],
            "reverse_flow": [cut(phase) for phase in network.head_phases],
            "loading": [cut(series.branches[b]) for b in self._rated],
            "voltage_unbalance": [(bus, "") for bus in self.three_phase],
            "regulator_reverse_flow": [cut(name) for name in self._regulators.names],
            "tap_operations": [(name, "") for name in series.regulators],
        }

    def names(self, criterion: Criterion) -> list[tuple[str, str]]:
        """Element and phase of every value of a criterion."""
        return self._names.get(criterion.name, self._names["nodes"])

    def read(
        self,
        base: Reading | None,
        taps_before: Mapping[str, int] | None = None,
        taps_now: Mapping[str, int] | None = None,
    ) -> Reading:
        """`base` is what voltages are compared with; None for the base itself."""
        circuit, limits = self.series.circuit, self.limits
        v_v = circuit.voltages_v()
        seen = v_v[self.judged]
        if self._floating:
            seen = seen - np.append(v_v, 0.0)[self._reference]
        v_pu = np.abs(seen) / self._base_v
        steps = np.zeros(len(self.series.regulators))
        if taps_before and taps_now:
            steps = np.abs([float(taps_now[name] - taps_before[name]) for name in taps_before])
        return Reading(
            v_pu=v_pu,
            substation_kw=self.series.heads_kva().real,
            loading_pu=(self.series.loading_pu()[self._rated] if limits.loading_max_pu is not None else _NOTHING),
            v_deviation_pu=np.abs(v_pu - base.v_pu) if base is not None else np.zeros(len(v_pu)),
            unbalance_pct=unbalance_pct(v_v, self._triples) if limits.unbalance_max_pct is not None else _NOTHING,
            regulator_kw=(self._regulators.kw(circuit, v_v) if limits.regulator_min_kw is not None else _NOTHING),
            tap_steps=np.asarray(steps, dtype=float),
        )

    @staticmethod
    def value(criterion: Criterion, reading: Reading) -> Floats:
        """(K,) what the criterion judges."""
        return np.asarray(
            {
                "overvoltage": reading.v_pu,
                "undervoltage": reading.v_pu,
                "reverse_flow": reading.substation_kw,
                "loading": reading.loading_pu,
                "voltage_deviation": reading.v_deviation_pu,
                "voltage_unbalance": reading.unbalance_pct,
                "regulator_reverse_flow": reading.regulator_kw,
                "tap_operations": reading.tap_steps,
            }[criterion.name]
        )

    def of_day(self, criterion: Criterion, day: Operation) -> Floats:
        """(T, K) what `value` would be at every step of a recorded day; NaN where it says nothing."""
        found = criterion.values(day)
        assert found is not None
        columns = {"overvoltage": self.judged, "undervoltage": self.judged, "loading": self._rated}
        return found[:, columns[criterion.name]] if criterion.name in columns else found


def lines_are_rated(network: Network) -> bool:
    """False where no line has a rating of its own."""
    rated = [np.isfinite(b.i_rated_a) for b in network.branches if b.name.lower().startswith("line.")]
    return any(rated) or not rated
