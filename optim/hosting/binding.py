"""What binds in a solved program, and what a unit more of it is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optim.hosting.matrices import Matrices
from optim.solve.linear import Answer


@dataclass(frozen=True)
class Price:
    """What one unit more of a limit is worth, in kW of hosting capacity."""

    limit: str
    element: str
    """Node, source phase, branch-phase or unit."""
    time: str
    kw_per_unit: float
    unit: str


def prices(matrices: Matrices, answer: Answer) -> tuple[Price, ...]:
    """Dearest first, by what a usual step of each limit is worth."""
    m, times = matrices.model, matrices.model.times
    found = []
    for key, dual in zip(answer.keys, answer.row_prices, strict=True):
        assert isinstance(key, tuple)
        if abs(dual) < 1e-7:
            continue
        value = abs(float(dual))
        if key[0] == "source":
            found.append(Price("reverse_flow", m.substation_phases[key[2]], times[key[1]], value, "kW"))
        elif key[0] in ("high", "low"):
            limit = matrices.high if key[0] == "high" else matrices.low
            per_pu = 2.0 * np.sqrt(limit[key[1], key[2]]) if matrices.v_unit == 2.0 else 1.0
            word = "overvoltage" if key[0] == "high" else "undervoltage"
            found.append(Price(word, m.nodes[key[2]], times[key[1]], 1e3 * value * float(per_pu), "pu"))
        elif key[0] == "losses":
            found.append(Price("losses", "feeder", times[key[1]], value, "kW"))
        elif key[0] == "cap":
            cap = matrices.problem.caps[key[1]]
            found.append(Price("cap of the site", cap.site, "", value, "kW"))
        elif key[0] == "cycles" and matrices.problem.fleet:
            units, days = matrices.problem.fleet.units, matrices.problem.profiles.day_steps
            day, unit = divmod(key[1], len(units))
            time = times[days[day].start] if len(days) > 1 else ""
            found.append(Price("battery cycles", units[unit].name, time, value, "kWh"))
        elif key[0] == "load":
            found.append(Price("loading", m.branches[key[2]], times[key[1]], value, "kVA"))
    if matrices.problem.fleet:
        at, prices = matrices.at, answer.column_prices
        energy = prices[at.energy : at.overstep].reshape(at.steps + 1, at.units)
        power = prices[at.power : at.less].reshape(at.steps, at.converters)
        names = [u.name for u in matrices.problem.fleet.units]
        labels = ("start", *times)
        for t, u in zip(*np.nonzero(np.abs(energy) > 1e-7), strict=True):
            word = "battery full" if energy[t, u] > 0 else "battery empty"
            found.append(Price(word, names[u], labels[t], abs(float(energy[t, u])), "kWh"))
        at_rating = (power > 1e-7) & (matrices.power(answer.values) > matrices.rated - 1e-7)
        for t, c in zip(*np.nonzero(at_rating), strict=True):
            unit, node = matrices.converters[c]
            word = f"{names[unit]}.{node.rsplit('.', 1)[1]}"
            found.append(Price("battery power", word, times[t], float(power[t, c]), "kW"))
    return tuple(sorted(found, key=lambda p: (-_in_steps(p), p.limit, p.element, p.time)))


def _in_steps(price: Price) -> float:
    """What a usual step of a limit is worth: a hundredth of a pu, one of anything else."""
    return price.kw_per_unit * (0.01 if price.unit == "pu" else 1.0)
