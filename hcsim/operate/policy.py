"""A policy is an object with one method: from what it sees to what it sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from optim.data.criteria import Before
from optim.data.limits import Limits
from optim.data.linear_model import LinearModel
from optim.data.operation import Operation
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """What a policy knows before the day begins. G PV nodes, D battery nodes, U units, M meters, S head phases."""

    schedule: Schedule
    model: LinearModel
    """The tangent at the planned day, ports in the order of `ports`."""
    planned: Operation
    """The planned day as OpenDSS runs it."""
    profiles: Profiles
    limits: Limits
    before: Before
    """The bare feeder's planned day: what it breaks itself is not the devices' to mend."""
    ports: tuple[str, ...]
    """(P,) node-phases at which devices stand."""
    meters: tuple[str, ...]
    """(M,) nodes whose voltage is telemetered; those of the ports come first."""
    settings: object = None
    """`hcsim.operate.settings.OperateSettings`."""


@dataclass(frozen=True)
class Sight:
    """What a policy sees. Power is positive into the network; head power from the source into the feeder."""

    step: int
    """The step that it may set."""
    iteration: int
    """How often it has been asked in this step; 0 before the step is solved."""
    age: int
    """How many steps old the measurements are; 0: of this step's last power flow."""
    measured_step: int
    """Step that the measurements are of; -1 where there are none yet."""
    head_kw: Floats
    """(S,)"""
    v_pu: Floats
    """(M,) at the meters."""
    p_kw: Floats
    """(G + D,) delivered, PV first."""
    q_kvar: Floats
    """(G + D,)"""
    available_kw: Floats
    """(G,) what the sun would give now, from the inverters' own sensors."""
    soc_kwh: Floats
    """(U,) now."""
    forecast_load: Floats
    """(T,) forecast of the load, as a factor of the planned one; entries before `step` are what was."""
    forecast_pv: Floats
    """(T,) likewise of the sun."""


@dataclass(frozen=True)
class Commands:
    """What a policy sets; None where something stays as it is."""

    pv_p_kw: Floats
    """(G,) at most what is available."""
    pv_q_kvar: Floats
    """(G,)"""
    bess_p_kw: Floats
    """(D,) positive discharges."""
    bess_q_kvar: Floats | None = None


class Policy(Protocol):
    """Made of a `Plan`, asked at every step; it returns commands, or None once it rests."""

    def act(self, sight: Sight) -> Commands | None: ...


class PolicyError(Exception):
    """A policy raised, returned nonsense, or set what it may not."""


def checked(commands: Commands, sight: Sight, plan: Plan, at: str) -> Commands:
    """The commands of a policy, held against what it may set; `at` names the policy and the step.

    Raises PolicyError saying there what is wrong.
    """
    s = plan.schedule
    if not isinstance(commands, Commands):
        raise PolicyError(f"{at}: returned {type(commands).__name__}, not Commands.")
    shapes = {"pv_p_kw": len(s.pv_nodes), "pv_q_kvar": len(s.pv_nodes), "bess_p_kw": len(s.bess_nodes)}
    for field, count in shapes.items():
        values = np.asarray(getattr(commands, field), dtype=float)
        if values.shape != (count,):
            raise PolicyError(f"{at}: {field} has shape {values.shape}, not ({count},).")
        if not np.isfinite(values).all():
            raise PolicyError(f"{at}: {field} is not finite.")
    over = np.asarray(commands.pv_p_kw) - sight.available_kw
    if len(over) and over.max() > 1e-6 * max(1.0, float(sight.available_kw.max())):
        g = int(np.argmax(over))
        raise PolicyError(
            f"{at}: {commands.pv_p_kw[g]:g} kW at {s.pv_nodes[g]}, where the sun gives {sight.available_kw[g]:g}."
        )
    if len(s.pv_nodes) and np.min(commands.pv_p_kw) < -1e-9:
        raise PolicyError(f"{at}: PV cannot draw power.")
    return commands
