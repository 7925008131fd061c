"""Small cases of paper 2's program for tests."""

from __future__ import annotations

import numpy as np
from radial_feeders import feeder, random_feeder

from optim.data.profiles import Profiles
from optim.planning.case import Costs, PlanningCase, ScenarioLimits, StorageTerms

TIMES = tuple(f"{6 * k:02d}:00" for k in range(4))


def three_buses(**changes: object) -> PlanningCase:
    """Source - 1 - 2 - 3 with 3 % resistance per section; PV at 3 at noon, load in the evening; 6 h steps."""
    settings: dict = {
        "feeder": feeder([-1, 0, 1], [0.03, 0.03, 0.03], [0.02, 0.02, 0.02], [0.2, 0.3, 0.6], [0.1, 0.1, 0.2]),
        "profiles": Profiles(TIMES, 6.0, np.array([0.2, 0.5, 0.4, 1.0]), np.array([0.0, 0.3, 0.8, 0.0])),
        "pv_kw": {"3": 900.0},
        "ev_kw": {"2": np.array([100.0, 0.0, 0.0, 200.0])},
        "areas": {"X": ("2", "3")},
        "pvhc_buses": ("1", "3"),
        "typical": ScenarioLimits(0.9, 1.1),
        "pvhc": ScenarioLimits(0.9, 1.08, 60.0),
        "storage": StorageTerms(energy_max_kwh=3000.0, energy_step_kwh=500.0, power_step_kw=50.0),
        "costs": Costs(energy_cny_per_kwh=60.0, power_cny_per_kw=60.0),
    }
    return PlanningCase(**{**settings, **changes})


def random_case(seed: int) -> PlanningCase:
    """A random tree with one area of all its buses."""
    f = random_feeder(seed, 6)
    draw = np.random.default_rng(seed + 1)
    return PlanningCase(
        feeder=f,
        profiles=Profiles(TIMES, 6.0, draw.uniform(0.1, 1.0, 4), draw.uniform(0.0, 1.0, 4)),
        pv_kw={str(draw.integers(1, 7)): float(draw.uniform(0, 1500))},
        ev_kw={},
        areas={"X": f.buses},
        pvhc_buses=f.buses[::2],
        typical=ScenarioLimits(0.7, 1.3),
        pvhc=ScenarioLimits(0.7, 1.35),
        storage=StorageTerms(2000.0, 100.0, 50.0),
        costs=Costs(energy_cny_per_kwh=50.0, power_cny_per_kw=50.0),
    )
