"""The policy *schedule*: open loop. Every device does what was planned, PV what the sun gives of it."""

from __future__ import annotations

import numpy as np

from hcsim.operate.policy import Commands, Plan, Sight


class Scheduled:
    """Planned reactive power and battery power; PV as available beside its reactive power, sqrt(S^2 - q^2)."""

    def __init__(self, plan: Plan) -> None:
        self._schedule = plan.schedule
        self._kva = plan.schedule.pv_kw if plan.schedule.pv_kva is None else plan.schedule.pv_kva

    def act(self, sight: Sight) -> Commands | None:
        return None if sight.iteration else self.commands(sight)

    def commands(self, sight: Sight) -> Commands:
        """What the plan has at this step, with the sun there is."""
        s, t = self._schedule, sight.step
        room = np.sqrt(np.maximum(self._kva**2 - s.pv_q_kvar[t] ** 2, 0.0))
        return Commands(np.minimum(sight.available_kw, room), s.pv_q_kvar[t], s.bess_p_kw[t])
