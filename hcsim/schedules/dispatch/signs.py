"""Which way power is counted: a battery's charging, a PV plant's generation. Guessed with a reason, or refused."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hcsim.errors import ConfigError

Floats = NDArray[np.float64]
Sign = Literal["discharge", "charge"]
"""What is positive in a battery's one power column."""
CLEAR = 0.02
"""Share of the throughput by which charging must exceed discharging to be told from it."""


def battery_sign(
    name: str, p_kw: Floats, soc_kwh: Floats | None, step_h: float, wanted: Sign | None
) -> tuple[float, str]:
    """+1 where positive is discharge, -1 where positive is charge; and how that is known.

    `p_kw` (T,), `soc_kwh` (T,) at the end (or beginning) of each step, or None. Raises ConfigError where neither SoC
    nor losses tell.
    """
    if wanted is not None:
        return (1.0 if wanted == "discharge" else -1.0), f"positive is {wanted}, as told by --sign"
    if soc_kwh is not None and np.ptp(soc_kwh) > 1e-9:
        moved = np.diff(soc_kwh)
        score = max((float(np.sum(moved * p_kw[1:])), float(np.sum(moved * p_kw[:-1]))), key=abs)
        if score != 0.0:
            positive = "discharge" if score < 0 else "charge"
            return (
                1.0 if score < 0 else -1.0
            ), f"positive is {positive}, as SoC {'falls' if score < 0 else 'rises'} when it is positive"
    net, through = float(p_kw.sum() * step_h), float(np.abs(p_kw).sum() * step_h)
    if through == 0.0:
        return 1.0, "it stands still all the time"
    if abs(net) > CLEAR * through:
        positive = "discharge" if net < 0 else "charge"
        return (1.0 if net < 0 else -1.0), (
            f"positive is {positive}, as the negative side has {abs(net):,.1f} kWh "
            f"{'more' if net < 0 else 'less'} and a battery draws more than it gives"
        )
    raise ConfigError(
        f"{name}: one column of battery power, as much above zero as below, and no SoC: what is positive?",
        "Say --sign discharge or --sign charge.",
    )


def source_sign(name: str, p_kw: Floats) -> tuple[float, str]:
    """A source's power counted positive into the network; a column wholly below zero is load convention."""
    low, high = float(np.nanmin(p_kw)), float(np.nanmax(p_kw))
    if high <= 1e-9 and low < -1e-9:
        return -1.0, f"{name}: negative power is read as generation (load convention)."
    if low < -1e-6 * max(high, 1.0) - 1e-9:
        raise ConfigError(
            f"{name}: power goes from {low:g} to {high:g} kW; a source does not draw.",
            "Is it a battery? Say so in the units table (kind = bess) or in the column's name.",
        )
    return 1.0, ""
