"""The policy *rolling*: at every step the program over the rest of the day, from the measured energy and the forecast.

    min   sum over steps and sites of curtailed energy  +  a little per kWh through batteries  +  oversteps, end of day
    so    y(t) = y_plan(t) + J(t) (x(t) - x_plan(t)) + (f(t) - 1) h0(t)   inside its limits, less the margin, softly
          stored energy as in the plan's equations (paper 1, eq. 3c), within its range, at the day's end as planned

with J the tangent of the planned hour, x what PV and batteries do, f the forecast factor of the load and h0 the head's
power without devices. Of its answer only the batteries' power of the present step is used: as the reference of
*follow*, which corrects it within the step by what is measured. Without batteries it is *follow*.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from hcsim.operate.follow import FAR, Follow
from hcsim.operate.policy import Commands, Floats, Plan, PolicyError, Sight

THROUGH, OVERSTEP_KW, OVERSTEP_PU, END = 1e-3, 10.0, 1e4, 1.5
"""Beside a kilowatt-hour of PV curtailed: one through a battery, one of reverse flow beyond its limit, a volt per unit
for an hour, one missing at the day's end."""


class Rolling(Follow):
    """Made once per plan."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        s = plan.schedule
        self._ahead = np.zeros(len(s.bess_nodes))
        eta_c = np.array([s.bess[u].eta_charge for u in s.bess_of])
        eta_d = np.array([s.bess[u].eta_discharge for u in s.bess_of])
        self._stored_per_kw = np.concatenate([eta_c, -1.0 / eta_d]) * s.step_h  # charge, discharge

    def act(self, sight: Sight) -> Commands | None:
        """As *follow*, around what the rest of the day wants of the batteries."""
        if sight.iteration == 0 and self.plan.schedule.bess:
            self._ahead = self._rest_of_day(sight)
        return super().act(sight)

    def _battery_reference(self, sight: Sight) -> Floats:
        low, high = self._battery_range(sight)
        return np.asarray(np.clip(self._ahead, low, high))

    def _rest_of_day(self, sight: Sight) -> Floats:
        """(D,) kW of the batteries in this step."""
        s, first = self.plan.schedule, sight.step
        steps, g, d = len(s.times) - first, len(s.pv_nodes), len(s.bess_nodes)
        available = self._available(sight)
        width = g + 2 * d  # curtailed, charged, discharged
        blocks, sides, kinds = [], [], []
        for k in range(steps):
            t = first + k
            rows, side, of_voltage = self._limits(t, available[k], float(sight.forecast_load[t]))
            blocks.append(rows)
            sides.append(side)
            kinds.append(of_voltage)
        limits = sparse.block_diag(blocks, format="csr")
        soft = sparse.eye_array(limits.shape[0], format="csr")
        energy, low, high = self._energy(sight, steps, width)
        units = len(s.bess)
        none = sparse.csr_array((limits.shape[0], 2 * units))
        end = sparse.csr_array(
            (np.concatenate([np.ones(units), -np.ones(units)]), (np.tile(np.arange(units), 2), np.arange(2 * units))),
            shape=(units, 2 * units),
        )
        pad = sparse.csr_array((energy.shape[0], soft.shape[1] + 2 * units))
        a_ub = sparse.vstack(
            [sparse.hstack([limits, -soft, none]), sparse.hstack([energy, pad]), sparse.hstack([-energy, pad])]
        ).tocsr()
        b_ub = np.concatenate([*sides, high, -low])
        a_eq = sparse.hstack([energy[-units:], sparse.csr_array((units, soft.shape[1])), end]).tocsr()
        b_eq = s.soc_kwh[-1] - sight.soc_kwh
        per_step = np.concatenate([np.full(g, s.step_h), np.full(2 * d, THROUGH * s.step_h)])
        over = s.step_h * np.where(np.concatenate(kinds), OVERSTEP_PU, OVERSTEP_KW)
        cost = np.concatenate([np.tile(per_step, steps), over, np.full(2 * units, END)])
        most = [np.concatenate([available[k], self._rated, self._rated]) for k in range(steps)]
        upper = np.concatenate([*most, np.full(soft.shape[1] + 2 * units, np.inf)])
        bounds = np.stack([np.zeros(len(upper)), upper], axis=1)
        solved = linprog(cost, A_ub=a_ub, b_ub=b_ub, A_eq=a_eq, b_eq=b_eq, bounds=bounds, method="highs")
        if not solved.success:
            raise PolicyError(f"policy rolling, step {first}: the rest of the day has no solution ({solved.message}).")
        return np.asarray(solved.x[g + d : g + 2 * d] - solved.x[g : g + d])

    def _available(self, sight: Sight) -> Floats:
        """(steps left, G) now from the inverters' own sensors, later as forecast."""
        s, first = self.plan.schedule, sight.step
        sun = np.maximum(s.pv_p_kw, self.plan.profiles.sun(s.pv_nodes) * s.pv_kw)[first:]
        found = np.minimum(sun * sight.forecast_pv[first:, None], self._kva)
        found[0] = sight.available_kw
        room = np.sqrt(np.maximum(self._kva**2 - s.pv_q_kvar[first:] ** 2, 0.0))
        return np.asarray(np.minimum(found, room))

    def _limits(self, t: int, available: Floats, load: float) -> tuple[sparse.csr_array, Floats, Floats]:
        """Rows over (curtailed, charged, discharged) of step t, their sides, and which are of voltages."""
        s, g, meters = self.plan.schedule, len(self._kva), len(self._meter_rows)
        j = self._jacobian(t)
        planned = np.concatenate([s.pv_p_kw[t], s.pv_q_kvar[t], s.bess_p_kw[t]])
        without = self._planned(t) - j @ planned
        without[meters:] *= load
        without = without + j[:, : 2 * g] @ np.concatenate([available, s.pv_q_kvar[t]])
        by_bess = j[:, 2 * g :]
        moved = np.hstack([-j[:, :g], -by_bess, by_bess])
        upper, lower = self._upper[t], self._lower[t]
        known = np.isfinite(without)
        up, down = known & (upper < FAR), known & (lower > -FAR)
        rows = np.vstack([moved[up], -moved[down]])
        sides = np.concatenate([(upper - without)[up], (without - lower)[down]])
        of_voltage = np.concatenate([np.flatnonzero(up) < meters, np.flatnonzero(down) < meters])
        most = np.concatenate([available, self._rated, self._rated])
        near = sides < np.maximum(rows, 0.0) @ most  # what no device can break need not be a row
        return sparse.csr_array(rows[near]), sides[near], of_voltage[near]

    def _energy(self, sight: Sight, steps: int, width: int) -> tuple[sparse.csr_array, Floats, Floats]:
        """(steps x U) energy moved up to the end of each step, and how far it may go."""
        s, g = self.plan.schedule, len(self._kva)
        units, d = len(s.bess), len(s.bess_nodes)
        of = np.array(s.bess_of)
        one = sparse.csr_array((self._stored_per_kw, (np.tile(of, 2), g + np.arange(2 * d))), shape=(units, width))
        path = sparse.kron(sparse.csr_array(np.tril(np.ones((steps, steps)))), one).tocsr()
        low = np.tile([u.soc_min * u.energy_kwh for u in s.bess] - sight.soc_kwh, steps)
        high = np.tile([u.soc_max * u.energy_kwh for u in s.bess] - sight.soc_kwh, steps)
        return path, np.minimum(low, 0.0), np.maximum(high, 0.0)
