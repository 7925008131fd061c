"""Loads -> legs.

Powers come from the load's own admittance in the compiled circuit, so that every way to state a load (kVA,
billed kWh, allocation, growth, multiplier) is read alike; its properties only say how it depends on voltage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hcsim.opendss.elements import Element
from optim.data.network import LoadLegs

Complexes = NDArray[np.complex128]
Zip = tuple[float, float, float]

_IMPEDANCE: Zip = (1.0, 0.0, 0.0)
_CURRENT: Zip = (0.0, 1.0, 0.0)
_POWER: Zip = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Leg:
    name: str
    plus: int
    minus: int
    p_kw: float
    q_kvar: float
    v_rated_v: float
    zip_p: Zip
    zip_q: Zip
    vmin_pu: float = 0.0
    vmax_pu: float = math.inf
    vlow_pu: float = 0.0
    outside_zip_p: Zip | None = None
    outside_zip_q: Zip | None = None

    def at(self, v_v: Complexes) -> complex:
        """Phasor across the leg."""
        ends = [v_v[n] if n >= 0 else 0.0 for n in (self.plus, self.minus)]
        return complex(ends[0] - ends[1])


def load_legs(element: Element, v_v: Complexes) -> tuple[list[Leg], str]:
    """The legs of an enabled load, and how they approximate it ("" where they are exact).

    `v_v` (N,) are the base case's voltages: exponents that no ZIP polynomial has are matched there in value,
    slope and curvature.
    """
    facts = element.properties
    delta = facts["conn"] == "delta"
    nodes = [int(n) for n in element.node_ref[0]]
    legs, why = [], ""
    for i in range(element.phases):
        j = (i + 1) % len(nodes) if delta else len(nodes) - 1
        if nodes[i] == nodes[j]:
            continue  # a leg from a node to itself carries nothing
        y = -complex(element.y_prim_s[i, j])
        if len(nodes) == 2 or not delta:
            y = complex(element.y_prim_s[i, i])
        rated = 1e3 * float(facts["kv"]) / (math.sqrt(3.0) if not delta and element.phases in (2, 3) else 1.0)
        p, q = y.real * rated**2 / 1e3, -y.imag * rated**2 / 1e3
        if facts["model"] in (6, 7):
            q = float(facts["kvar"]) / element.phases  # whatever the multiplier
        u = abs(Leg("", nodes[i], nodes[j], p, q, rated, _POWER, _POWER).at(v_v)) / rated
        zip_p, zip_q, why = _dependence(facts, u)
        if facts["model"] == 8:
            p, zip_p = _normalized(p, zip_p)
            q, zip_q = _normalized(q, zip_q)
        band = (0.0, math.inf, 0.0)
        if facts["model"] != 2:
            band = (float(facts["vminpu"]), float(facts["vmaxpu"]) or math.inf, float(facts["vlowpu"]))
        outside = (_POWER, _POWER) if facts["model"] in (3, 4) else (zip_p, zip_q)
        legs.append(Leg(element.name, nodes[i], nodes[j], p, q, rated, zip_p, zip_q, *band, *outside))
        if facts["model"] in (6, 7) and not band[0] < u <= band[1]:
            why = why or f"model {facts['model']} outside its voltage band, at {u:.3f} pu"
    return legs, why


def injection_legs(element: Element, powers_kva: Complexes, v_v: Complexes) -> list[Leg]:
    """A generator (or any other source of power) as it stands in the base case: constant power per conductor, or
    between conductors where it has none to ground, as a machine in delta; also where it stands still now.

    `powers_kva` (conductors,) are what flows into it now, `v_v` (N,) the voltages at which it does.
    """
    ends = [(int(node), -1) for node in element.node_ref.ravel()]
    powers = np.asarray(powers_kva, dtype=complex)
    if element.node_ref.shape[0] == 1 and len(ends) > 1 and all(node >= 0 for node, _ in ends):
        last = ends[-1][0]
        v = v_v[[node for node, _ in ends]]
        currents = np.conj(powers / np.where(v == 0, 1.0, v))
        powers = ((v - v_v[last]) * np.conj(currents))[:-1]
        ends = [(node, last) for node, _ in ends[:-1]]
    legs = []
    for (plus, minus), power in zip(ends, powers, strict=True):
        if plus >= 0:
            across = v_v[plus] - (v_v[minus] if minus >= 0 else 0.0)
            rated = max(float(abs(across)), 1.0)
            p, q = float(power.real), float(power.imag)
            legs.append(Leg(element.name, plus, minus, p, q, rated, _POWER, _POWER))
    return legs


def collect(legs: Iterable[Leg]) -> LoadLegs:
    rows = list(legs)

    def column(name: str, otherwise: str = "") -> NDArray[np.float64]:
        values = [getattr(leg, name if getattr(leg, name) is not None else otherwise) for leg in rows]
        return np.array(values, dtype=float)

    return LoadLegs(
        names=tuple(leg.name for leg in rows),
        node_plus=np.array([leg.plus for leg in rows], dtype=np.int64),
        node_minus=np.array([leg.minus for leg in rows], dtype=np.int64),
        p_kw=column("p_kw"),
        q_kvar=column("q_kvar"),
        v_rated_v=column("v_rated_v"),
        zip_p=column("zip_p").reshape(-1, 3),
        zip_q=column("zip_q").reshape(-1, 3),
        vmin_pu=column("vmin_pu"),
        vmax_pu=column("vmax_pu"),
        vlow_pu=column("vlow_pu"),
        outside_zip_p=column("outside_zip_p", "zip_p").reshape(-1, 3),
        outside_zip_q=column("outside_zip_q", "zip_q").reshape(-1, 3),
    )


def _dependence(facts: Mapping[str, Any], u: float) -> tuple[Zip, Zip, str]:
    """ZIP shares of active and reactive power by OpenDSS load model, and what is approximate about them."""
    match int(facts["model"]):
        case 1 | 6:
            return _POWER, _POWER, ""
        case 2:
            return _IMPEDANCE, _IMPEDANCE, ""
        case 3 | 7:
            return _POWER, _IMPEDANCE, ""
        case 4:
            watts, vars_ = float(facts["cvrwatts"]), float(facts["cvrvars"])
            why = ""
            # outside the band another law holds, at the nominal power: match at the band's edge then
            u = min(max(u, float(facts["vminpu"])), float(facts["vmaxpu"]) or math.inf)
            if not {watts, vars_} <= {0.0, 1.0, 2.0}:
                why = f"exponents {watts:g}, {vars_:g} as ZIP, exact to second order at {u:.4f} pu"
            return _osculating(watts, u), _osculating(vars_, u), why
        case 5:
            return _CURRENT, _CURRENT, ""
        case 8:
            z = [float(x) for x in facts["zipv"]]
            why = f"cut-out of ZIPV below {z[6]:g} pu left out" if z[6] > 0 else ""
            return (z[0], z[1], z[2]), (z[3], z[4], z[5]), why
        case other:
            return _IMPEDANCE, _IMPEDANCE, f"OpenDSS knows no load model {other} and solves an impedance"


def _osculating(exponent: float, u: float) -> Zip:
    """The quadratic that equals u**exponent at u in value, slope and curvature."""
    if exponent in (0.0, 1.0, 2.0) or u <= 0:
        return {0.0: _POWER, 1.0: _CURRENT, 2.0: _IMPEDANCE}.get(exponent, _POWER)
    value = u**exponent
    slope = exponent * value / u
    bend = (exponent - 1) * slope / u
    return bend / 2, slope - bend * u, value - slope * u + bend * u**2 / 2


def _normalized(power: float, shares: Zip) -> tuple[float, Zip]:
    """Rated power and shares that sum to one; as they are where they sum to zero."""
    total = sum(shares)
    if total == 0.0:
        return power, shares
    return power * total, (shares[0] / total, shares[1] / total, shares[2] / total)
