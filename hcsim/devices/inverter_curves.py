"""Volt-var and volt-watt curves of autonomous inverters, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hcsim.errors import ConfigError

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


Curve = tuple[tuple[float, float], ...]
"""(V in pu, share) in order of V; constant beyond its ends."""


InverterMode = Literal["volt_var", "volt_watt", "volt_var_volt_watt"]


VOLT_VAR_B: Curve = ((0.92, 0.44), (0.98, 0.0), (1.02, 0.0), (1.08, -0.44))
"""Share of nameplate kVA, positive into the network."""


VOLT_WATT: Curve = ((1.06, 1.0), (1.10, 0.2))
"""Share of rated kW that may be delivered."""


NO_VARS_BELOW, FULL_VARS_FROM = 0.05, 0.20
"""Shares of rated power."""


@dataclass(frozen=True)
class InverterControl:
    """How all PV inverters of a study behave.

    >>> import hcsim
    >>> control = hcsim.InverterControl("volt_var")
    >>> control.has_volt_var, control.has_volt_watt
    (True, False)
    """

    mode: InverterMode
    volt_var: Curve = VOLT_VAR_B
    volt_watt: Curve = VOLT_WATT
    kva_per_kw: float = 1.0
    """Nameplate kVA over rated kW. At 1.0 reactive power at full sun costs active power."""
    night_var: bool = False
    """Reactive power also without sun; else as little as table 7 asks for."""

    def __post_init__(self) -> None:
        if self.mode not in get_args(InverterMode):
            raise ConfigError(f"Inverters know no {self.mode!r}.", f"There are: {', '.join(get_args(InverterMode))}.")

    @property
    def has_volt_var(self) -> bool:
        """Whether reactive power follows the voltage."""
        return self.mode != "volt_watt"

    @property
    def has_volt_watt(self) -> bool:
        """Whether active power is cut at high voltage."""
        return self.mode != "volt_var"

    @property
    def q_share(self) -> float:
        """Largest reactive power over nameplate kVA."""
        return max(abs(q) for _, q in self.volt_var)

    @property
    def words(self) -> str:
        """What is on, with its curves: "volt-var 44 % at 0.92 pu, ..."."""
        parts = []
        if self.has_volt_var:
            parts.append("volt-var " + ", ".join(f"{100 * q:+.3g} % at {v:g} pu" for v, q in self.volt_var))
        if self.has_volt_watt:
            parts.append("volt-watt " + ", ".join(f"{100 * p:.3g} % at {v:g} pu" for v, p in self.volt_watt))
        return " and ".join(parts)

    def powers_kva(self, v_pu: Floats, available_kw: Floats, rated_kw: Floats) -> Complexes:
        """(G,) what the curves ask for at voltages; active power gives way to reactive power, and both to volt-watt.

        Positive into the network.
        """
        kva, p_kw = self.kva_per_kw * rated_kw, np.minimum(available_kw, rated_kw)
        q_kvar = np.zeros_like(p_kw)
        if self.has_volt_watt:
            p_kw = np.minimum(p_kw, rated_kw * np.interp(v_pu, *np.array(self.volt_watt).T))
        if self.has_volt_var:
            able = self.q_share * kva * (1.0 if self.night_var else _capability(available_kw, rated_kw))
            q_kvar = np.clip(kva * np.interp(v_pu, *np.array(self.volt_var).T), -able, able)
        found: Complexes = np.minimum(p_kw, np.sqrt(np.maximum(kva**2 - q_kvar**2, 0.0))) + 1j * q_kvar
        return found


def _capability(p_kw: Floats, rated_kw: Floats) -> Floats:
    share = p_kw / np.where(rated_kw > 0, rated_kw, np.inf)
    return np.where(share < NO_VARS_BELOW, 0.0, np.minimum(share / FULL_VARS_FROM, 1.0))
