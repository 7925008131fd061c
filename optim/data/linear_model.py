"""`LinearModel`: what every linearization hands to a program. Affine functions of device injections, per step.

Index convention: t step, n judged node, d port (a node-phase at which devices may inject), s source phase,
b branch-phase. Injections are in kW and kvar, positive into the network, relative to no device at all;
loads and capacitors are inside the base vectors. Sensitivities that do not change in time have a first axis
of length 1 and broadcast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LinearModel:
    times: tuple[str, ...]
    nodes: tuple[str, ...]
    """(N,) judged nodes."""
    ports: tuple[str, ...]
    """(D,) node-phases at which devices may inject."""
    voltage_kind: Literal["squared", "magnitude"]
    """Whether the voltage rows speak of pu squared (LinDist3Flow) or of pu (tangent)."""
    v_base: Floats
    """(T, N)"""
    dv_dp: Floats
    """(T or 1, N, D) per kW."""
    dv_dq: Floats
    """(T or 1, N, D) per kvar."""
    substation_phases: tuple[str, ...]
    substation_base_kw: Floats
    """(T, S) active power from the source into the feeder."""
    substation_base_kvar: Floats
    dsub_p_dp: Floats
    """(T or 1, S, D) kW at the source per kW injected: about -1."""
    dsub_p_dq: Floats
    dsub_q_dp: Floats
    dsub_q_dq: Floats
    linearized_at: str
    assumptions: tuple[str, ...]
    branches: tuple[str, ...] = ()
    """(B,) "Line.l115.1", flow measured at the to-side, positive away from the source."""
    flow_base_kw: Floats | None = None
    """(T, B)"""
    flow_base_kvar: Floats | None = None
    dflow_p_dp: Floats | None = None
    """(T or 1, B, D)"""
    dflow_p_dq: Floats | None = None
    dflow_q_dp: Floats | None = None
    dflow_q_dq: Floats | None = None
    rating_kva: Floats | None = None
    """(B,) inf where unrated."""
    losses_base_kw: Floats | None = None
    """(T,) lost in branches and shunts; None where the model knows no losses."""
    dlosses_dp: Floats | None = None
    """(T, D) kW per kW injected."""
    dlosses_dq: Floats | None = None
    kv_base: Floats | None = None
    """(N,) nominal line-to-line voltage of the judged nodes."""

    def to_row(self, v_pu: float) -> float:
        """A voltage limit in pu, in the unit of the voltage rows."""
        return v_pu**2 if self.voltage_kind == "squared" else v_pu

    def voltages_pu(self, p_kw: Floats, q_kvar: Floats) -> Floats:
        """(T, D) injections -> (T, N) voltage magnitudes in pu."""
        rows = self.v_base + _apply(self.dv_dp, p_kw) + _apply(self.dv_dq, q_kvar)
        return np.sqrt(np.maximum(rows, 0.0)) if self.voltage_kind == "squared" else rows

    def substation_kw(self, p_kw: Floats, q_kvar: Floats) -> Floats:
        """(T, D) injections -> (T, S) active power from the source into the feeder."""
        return self.substation_base_kw + _apply(self.dsub_p_dp, p_kw) + _apply(self.dsub_p_dq, q_kvar)


def _apply(sensitivity: Floats, injection: Floats) -> Floats:
    """(T or 1, N, D) times (T, D) -> (T, N)."""
    one = sensitivity.shape[0] == 1
    found: Floats = injection @ sensitivity[0].T if one else np.einsum("tnd,td->tn", sensitivity, injection)
    return found
