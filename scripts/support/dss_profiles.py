"""Profiles of the bundled IEEE 123 study: where `make_dss_models.py` has them from."""

from __future__ import annotations

import math
from pathlib import Path

# Aggregate load, a share of nominal, hour 0-23: a residential evening peak (our choice; the paper draws its
# curve without figures).
LOAD_PU = (
    0.62,
    0.58,
    0.555,
    0.545,
    0.54,
    0.56,
    0.61,
    0.67,
    0.71,
    0.735,
    0.75,
    0.765,
    0.78,
    0.79,
    0.80,
    0.82,
    0.86,
    0.915,
    0.97,
    1.0,
    0.985,
    0.92,
    0.81,
    0.70,
)
PV_CENTRE_H, PV_SIGMA_H = 10.5, 3.0
PV_DAYLIGHT_H = (5, 19)
FEEDER_LOAD_KW = 3490.0
HC_WITHOUT_BESS_KW = 3427.5
"""Table II of paper 1: what the one scale of the PV curve is calibrated to."""


def pv_bell() -> list[float]:
    """A Gaussian over the middle of each hour, 1 at its top, none outside daylight."""
    first, last = PV_DAYLIGHT_H
    return [
        math.exp(-0.5 * ((t + 0.5 - PV_CENTRE_H) / PV_SIGMA_H) ** 2) if first <= t < last else 0.0 for t in range(24)
    ]


def calibrated_pv_pu() -> list[float]:
    """The bell times the one calibrated scale, such that the first reverse flow comes at 3427.5 kW of PV.

    Without storage, in a lossless feeder, reverse flow begins where S * r(t) = load(t) in some hour:
    HC = min over t of 3490 kW * load_pu(t) / pv_pu(t), and paper 1 (Table II) says 3427.5 kW.
    """
    bell = pv_bell()
    hc_of_bell_kw = min(FEEDER_LOAD_KW * x / r for x, r in zip(LOAD_PU, bell, strict=True) if r > 0)
    return [r * hc_of_bell_kw / HC_WITHOUT_BESS_KW for r in bell]


def write_profiles(path: Path, columns: dict[str, list[float] | tuple[float, ...]]) -> None:
    text = [",".join(["hour", *columns])]
    for t, values in enumerate(zip(*columns.values(), strict=True)):
        text.append(",".join([str(t), *(f"{v:.8f}".rstrip("0").rstrip(".") for v in values)]))
    path.write_text("\n".join(text) + "\n")
