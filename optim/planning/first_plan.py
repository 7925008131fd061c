"""A first plan for paper 2's program, from the relaxation: sites at their strongest bus, sizes rounded up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optim.planning.model import PlanningProgram

Floats = NDArray[np.float64]

_NO_UNIT_MWH = 1e-6


def strongest_sites(program: PlanningProgram) -> dict[str, str]:
    """Area -> the bus with the largest relaxed energy, for areas with any and for the `min_units` largest."""
    m, case = program.model, program.case
    energy = {a: {d: m.energy[d].value for d in case.areas[a]} for a in m.A}
    total = {a: sum(found.values()) for a, found in energy.items()}
    forced = sorted(total, key=lambda a: -total[a])[: case.storage.min_units]
    return {
        a: max(found, key=found.__getitem__) for a, found in energy.items() if total[a] > _NO_UNIT_MWH or a in forced
    }


def site_values(program: PlanningProgram, sites: dict[str, str]) -> Floats:
    """Values of `model.site` in its own order."""
    chosen = set(sites.values())
    return np.array([float(d in chosen) for d in program.model.site])


def rounded_up(program: PlanningProgram, sites: dict[str, str], more: int) -> Floats:
    """Values of (site, energy_steps, power_steps) that hold the present sizes, `more` steps above them."""
    m, storage = program.model, program.case.storage
    energy_steps, power_steps = [], []
    for a in m.A:
        if a not in sites:
            energy_steps.append(0.0)
            power_steps.append(0.0)
            continue
        energy = np.ceil(round(m.energy[sites[a]].value * 1e3 / storage.energy_step_kwh, 6)) + more
        power = np.ceil(round(m.power[sites[a]].value * 1e3 / storage.power_step_kw, 6)) + more
        energy = min(energy, m.energy_steps[a].ub)
        energy_steps.append(energy)
        most = np.floor(energy * storage.energy_step_kwh / storage.power_step_kw + 1e-9)
        power_steps.append(min(power, most))
    return np.concatenate([site_values(program, sites), energy_steps, power_steps])
