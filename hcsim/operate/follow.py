"""The policy *follow*: the schedule, corrected by measured head power and voltages, per phase and by the tangent.

At every measurement each limit in sight has a distance r to it, positive where it is overstepped. The correction d of
all devices is the one of least weighted size that takes the overstepped back,

    min  sum_i w_i (x_i + d_i - x_i^ref)^2   so that   J d <= -r - margin   (softly),   low <= x + d <= high,

with J the tangent of the planned hour (which device moves which phase of the head and which voltage), x what they
deliver now and x^ref what they would like: PV all that the sun gives, inverters their planned reactive power,
batteries their plan and what brings their energy back to it. Reactive power is cheapest, but counts for voltages only,
then come batteries, then curtailment; equal weights per kVA share a burden fairly among sites that can carry it. The
reference pulls curtailed power back as soon as there is room, so that the rule settles without a memory of its own.

The tangent knows the network, not what regulators make of it: one that compensates line drop raises its tap where more
reactive power is drawn to bring a voltage down. So the step is watched (`_Watch`): where answers made it worse, the
best that was seen is taken up again, first without moving reactive power, then with reactive power moved the other way.
"""

from __future__ import annotations

import daqp
import numpy as np
from numpy.typing import NDArray

from hcsim.operate.policy import Commands, Floats, Plan, PolicyError, Sight
from hcsim.operate.settings import OperateSettings
from optim.data.criteria import CRITERIA, thresholds

WEIGHTS = {"q": 1e-3, "bess": 0.3, "curtail": 1.0}
"""Per squared share of a device's rating: what is used first costs least."""
RESTED_KW = 0.05
"""A correction below this is none ..."""
NEARLY_KW, NEARLY = 2.0, 0.005
"""... and so is one below this, where what is overstepped of the margin is less than this share of what is in sight: a
tenth of the margin itself."""
OUT_OF_REACH = 0.1
"""Share of what is in sight that all devices at their ratings must move at least: a sixth of a tap step."""
LEAST_MARGIN = 0.2
"""Share of the margin that is kept where the plan itself stands nearer to its limit."""
RECOVERY = 0.3
"""Share of the distance from planned stored energy that a battery makes good per step."""
Q_MOVE = 0.1
"""Share of its kVA by which an inverter's reactive power moves at most from one power flow to the next: regulators
answer to it, and what they do the tangent does not know."""
SOFT, HARD = 8, 0
FAR = 1e30
REACH_PU, REACH_KW = 0.01, 400.0
"""Limits farther away than this are out of sight."""
WORSE = 0.02
"""Share of what is in sight by which an overstep must grow to count as the wrong answer."""
PATIENCE = 3
"""Answers in a row that may leave it worse than it was: one tap that moves is no feedback."""
OTHER_WAY = 3
"""Moves against the tangent at most, in one step."""
_VOLTAGE = ("overvoltage", "undervoltage")


class Follow:
    """Made once per plan; keeps nothing from day to day, and of a day only the step's own commands."""

    def __init__(self, plan: Plan) -> None:
        self.plan, s = plan, plan.schedule
        settings = plan.settings if isinstance(plan.settings, OperateSettings) else OperateSettings()
        self.settings = settings
        port = {name: i for i, name in enumerate(plan.ports)}
        self._pv_at = np.array([port[n] for n in s.pv_nodes], dtype=np.int64)
        self._bess_at = np.array([port[n] for n in s.bess_nodes], dtype=np.int64)
        node = {name: i for i, name in enumerate(plan.model.nodes)}
        self._meter_rows = np.array([node[m] for m in plan.meters], dtype=np.int64)
        self._kva = np.maximum(s.pv_kw if s.pv_kva is None else s.pv_kva, 1e-9)
        share = np.array([s.bess[u].power_kw / s.bess_of.count(u) for u in s.bess_of]).reshape(-1)
        self._rated = np.maximum(share, 1e-9)
        self._scale = np.concatenate([self._kva, self._kva, self._rated])
        self._bounds()
        g, d = len(s.pv_nodes), len(s.bess_nodes)
        w_p = np.full(g, WEIGHTS["curtail"]) / self._kva**2
        w_q = np.full(g, WEIGHTS["q"]) / self._kva**2
        w_b = np.full(d, WEIGHTS["bess"]) / self._rated**2
        self._weights = np.concatenate([w_p, w_q, w_b])
        self._matrix: dict[int, Floats] = {}
        self._felt: dict[int, NDArray[np.bool_]] = {}

    # -- what is known before -------------------------------------------------------------------------------

    def _bounds(self) -> None:
        """(T, M) and (T, S): how far a voltage and a head's power may go; where the plan itself stands nearer to
        a limit than the margin, there, but for the least margin.

        What the bare feeder breaks on its planned day says little of another day, so nothing is forgiven in advance.
        """
        plan, margin = self.plan, self.settings.margin_pu
        place = {name: i for i, name in enumerate(plan.planned.nodes)}
        at = [place[m] for m in plan.meters]
        limits = {}
        for criterion in CRITERIA:
            if criterion.name in _VOLTAGE:
                edge = thresholds(criterion, plan.limits, None, plan.planned.v_pu.shape, plan.planned.kv_base)
                limits[criterion.name] = criterion.sign * edge[:, at]
        planned = plan.planned.v_pu[:, at]
        high, low, least_margin = limits["overvoltage"], limits["undervoltage"], LEAST_MARGIN * margin
        self._v_high = np.fmax(high - margin, np.fmin(planned, high - least_margin))
        self._v_low = np.fmin(low + margin, np.fmax(planned, low + least_margin))
        least = plan.limits.substation_min_kw
        head = plan.planned.substation_kw
        self._head_low = (
            np.full_like(head, -np.inf) if least is None else np.full_like(head, least + self.settings.margin_kw)
        )
        own = plan.before.days[0].substation_kw
        self._head_low = np.fmin(self._head_low, own)  # a phase that is reversed without devices is not theirs
        heads, meters = head.shape[1], len(at)
        far = np.full(head.shape, np.inf)
        self._upper = np.nan_to_num(np.hstack([self._v_high, far]), nan=FAR, posinf=FAR)
        self._lower = np.nan_to_num(np.hstack([self._v_low, self._head_low]), nan=-FAR, neginf=-FAR)
        self._unseen = np.clip((self._upper + self._lower) / 2.0, -1.0, 1.0)
        self._reach = np.concatenate([np.full(meters, REACH_PU), np.full(heads, REACH_KW)])

    def _jacobian(self, t: int) -> Floats:
        """(M + S, 2G + D): voltages and head power per kW of PV, kvar of PV, kW of batteries.

        Reactive power counts for voltages only: it moves the head's active power through losses, and a rule that
        may burn power to keep it from flowing back does.
        """
        if t not in self._matrix:
            m, rows = self.plan.model, self._meter_rows
            k = t if m.dv_dp.shape[0] > 1 else 0
            dv_p, dv_q = m.dv_dp[k][rows], m.dv_dq[k][rows]
            dh_p, dh_q = m.dsub_p_dp[k], m.dsub_p_dq[k]
            p, q = np.vstack([dv_p, dh_p]), np.vstack([dv_q, np.zeros_like(dh_q)])
            self._matrix[t] = np.hstack([p[:, self._pv_at], q[:, self._pv_at], p[:, self._bess_at]])
        return self._matrix[t]

    def _moved(self, t: int) -> NDArray[np.bool_]:
        """(M + S,) what the devices together can move at all: the rest is not theirs to mend."""
        if t not in self._felt:
            most = np.abs(self._jacobian(t)) @ self._scale
            self._felt[t] = most > OUT_OF_REACH * self._reach
        return self._felt[t]

    # -- the step -------------------------------------------------------------------------------------------

    def act(self, sight: Sight) -> Commands | None:
        if sight.iteration == 0:
            self._watch = _Watch(slice(len(self._kva), 2 * len(self._kva)))
        if sight.measured_step < 0 or (self.settings.delay_steps == 0 and sight.iteration == 0):
            self._now = self._reference(sight)
            return self._commands(self._now, sight)
        values = np.concatenate([sight.v_pu, sight.head_kw])
        if sight.age:
            if sight.iteration:
                return None
            self._now = self._reference(sight)
            target = self._solve(sight, self._carried(values, sight))
        else:
            beyond = self._beyond(values, sight.step)
            again = self._watch.look(beyond, self._now)
            target = self._solve(sight, values) if again is None else again
            if np.abs(target - self._now).max(initial=0.0) < (NEARLY_KW if beyond < NEARLY else RESTED_KW):
                further = self._watch.further(self._now)
                if further is None:
                    return None
                target = further
        self._now = target
        return self._commands(target, sight)

    def _beyond(self, values: Floats, t: int) -> float:
        """The worst overstep, as a share of what is in sight; 0 where there is none."""
        with np.errstate(invalid="ignore"):
            over = np.fmax(values - self._upper[t], self._lower[t] - values) / self._reach * self._moved(t)
        return max(float(np.nanmax(over, initial=0.0)), 0.0)

    def _reference(self, sight: Sight) -> Floats:
        """What devices would like at this step."""
        s, t = self.plan.schedule, sight.step
        q = s.pv_q_kvar[t]
        room = np.sqrt(np.maximum(self._kva**2 - q**2, 0.0))
        return np.concatenate([np.minimum(sight.available_kw, room), q, self._battery_reference(sight)])

    def _battery_reference(self, sight: Sight) -> Floats:
        s, t = self.plan.schedule, sight.step
        if not s.bess:
            return np.zeros(0)
        short = (s.soc_kwh[t] - sight.soc_kwh)[list(s.bess_of)] / np.array([s.bess_of.count(u) for u in s.bess_of])
        wanted = s.bess_p_kw[t] - RECOVERY * short / s.step_h
        low, high = self._battery_range(sight)
        return np.asarray(np.clip(wanted, low, high))

    def _battery_range(self, sight: Sight) -> tuple[Floats, Floats]:
        """(D,) each: what rating and stored energy allow in this step."""
        s = self.plan.schedule
        low, high = np.empty(len(s.bess_of)), np.empty(len(s.bess_of))
        for d, u in enumerate(s.bess_of):
            unit, count = s.bess[u], s.bess_of.count(u)
            stock = max(sight.soc_kwh[u] - unit.soc_min * unit.energy_kwh, 0.0) * unit.eta_discharge / s.step_h / count
            room = max(unit.soc_max * unit.energy_kwh - sight.soc_kwh[u], 0.0) / unit.eta_charge / s.step_h / count
            low[d], high[d] = -min(self._rated[d], room), min(self._rated[d], stock)
        return low, high

    def _solve(self, sight: Sight, values: Floats) -> Floats:
        """The least correction, as a program of daqp: simple bounds first, then limits, soft."""
        g, now = len(self._kva), self._now
        reference = self._reference(sight)
        t, meters = sight.step, len(self._meter_rows)
        values = np.where(np.isnan(values), self._unseen[t], values)  # what is not judged is far from everything
        upper, lower = self._upper[t] - values, self._lower[t] - values
        if np.array_equal(now, reference) and upper.min(initial=0.0) >= 0.0 >= lower.max(initial=0.0):
            return now  # nothing is overstepped, and nothing is wanted
        low, high = self._ranges(sight, now)
        near = ((upper < self._reach) | (lower > -self._reach)) & self._moved(t)
        j, scale = self._jacobian(t), self._scale  # unknowns as shares of ratings
        hessian = np.diag(2.0 * self._weights * scale**2)
        gradient = 2.0 * self._weights * (now - reference) * scale
        rows = j[near] * scale
        rows[np.flatnonzero(near) < meters, 2 * g :] = 0.0  # voltages are not mended with energy that is needed later
        rows[(lower > -self._reach)[near] & (np.flatnonzero(near) < meters), :g] = 0.0
        rows = np.ascontiguousarray(rows)
        size = np.maximum(np.abs(rows).max(axis=1, initial=1e-12), 1e-12)
        rows /= size[:, None]
        b_up = np.concatenate([(high - now) / scale, upper[near] / size])
        b_low = np.concatenate([(low - now) / scale, lower[near] / size])
        b_low = np.minimum(b_low, b_up)
        sense = np.concatenate([np.full(len(scale), HARD), np.full(len(rows), SOFT)]).astype(np.int32)
        x, _, flag, _ = daqp.solve(hessian, gradient, rows, b_up, b_low, sense, rho_soft=1e-4)
        if flag < 0:
            raise PolicyError(f"policy follow, step {sight.step}: its least correction has no solution (daqp: {flag}).")
        return np.asarray(np.clip(now + np.asarray(x) * scale, low, high))

    def _ranges(self, sight: Sight, now: Floats) -> tuple[Floats, Floats]:
        """(2G + D,) each. The circle of an inverter as a box around where it stands: P gives way to Q."""
        g = len(self._kva)
        q_room = np.sqrt(np.maximum(self._kva**2 - np.minimum(now[:g], 0.9 * self._kva) ** 2, 0.0))
        low_b, high_b = self._battery_range(sight) if self.plan.schedule.bess else (np.zeros(0), np.zeros(0))
        q, most = now[g : 2 * g], (Q_MOVE if self._watch.moves_q else 0.0) * self._kva
        low = np.concatenate([np.zeros(g), np.clip(q - most, -q_room, q_room), low_b])
        high = np.concatenate([sight.available_kw, np.clip(q + most, -q_room, q_room), high_b])
        return low, np.maximum(high, low)

    def _carried(self, values: Floats, sight: Sight) -> Floats:
        """Old measurements brought to this step: the distance from plan that remains after what devices did
        differently then is taken to stay, head power in proportion to the load."""
        s, then, now = self.plan.schedule, sight.measured_step, sight.step
        g = len(self._kva)
        did = np.concatenate([sight.p_kw[:g], sight.q_kvar[:g], sight.p_kw[g:]])
        meant = np.concatenate([s.pv_p_kw[then], s.pv_q_kvar[then], s.bess_p_kw[then]])
        planned = self._planned(then)
        off = values - planned - self._jacobian(then) @ (did - meant)
        meters = len(self._meter_rows)
        load = self.plan.profiles.load_kw(np.ones(1)) if not self.plan.profiles.per_load else None
        ratio = 1.0 if load is None or load[then] <= 0 else float(load[now] / load[then])
        off[meters:] *= ratio
        will = self._now - np.concatenate([s.pv_p_kw[now], s.pv_q_kvar[now], s.bess_p_kw[now]])
        return np.asarray(self._planned(now) + off + self._jacobian(now) @ will)

    def _planned(self, t: int) -> NDArray[np.float64]:
        place = {name: i for i, name in enumerate(self.plan.planned.nodes)}
        at = [place[m] for m in self.plan.meters]
        return np.concatenate([self.plan.planned.v_pu[t, at], self.plan.planned.substation_kw[t]])

    def _commands(self, x: Floats, sight: Sight) -> Commands:
        g = len(self._kva)
        q = np.clip(x[g : 2 * g], -self._kva, self._kva)
        room = np.sqrt(np.maximum(self._kva**2 - q**2, 0.0))
        return Commands(np.clip(np.minimum(x[:g], sight.available_kw), 0.0, room), q, x[2 * g :])


class _Watch:
    """What the answers of one step have done. `q` are the places of reactive power among the unknowns."""

    def __init__(self, q: slice) -> None:
        self._q = q
        self._least, self._best = np.inf, np.zeros(0)
        self._wrong: Floats | None = None
        """(2G + D,) the move that made it worse, of reactive power only."""
        self._other_way = self._worse = 0
        self._back = False
        """Whether the last answer was to go back: taps need not have come along, so that all is measured anew."""
        self._over = False

    @property
    def moves_q(self) -> bool:
        """Whether the tangent is still believed of reactive power."""
        return self._wrong is None

    def look(self, beyond: float, now: Floats) -> Floats | None:
        """After a power flow: where to go back to, if what was done made it worse; else None."""
        worse = beyond > self._least + WORSE and not self._back
        if beyond < self._least or self._back:
            self._least, self._best = beyond, now.copy()
        self._worse = self._worse + 1 if worse else 0
        self._back = self._worse >= PATIENCE and not self._over
        if not self._back:
            return None
        self._worse = 0
        if self._wrong is None:
            self._wrong = np.zeros_like(now)
            self._wrong[self._q] = (now - self._best)[self._q]
        else:
            self._over = True  # neither way helps
        return self._best

    def further(self, now: Floats) -> Floats | None:
        """Where nothing is left to do by the tangent and a limit is still overstepped: reactive power the other way."""
        if self._wrong is None or self._over or self._least < NEARLY or self._other_way == OTHER_WAY:
            return None
        self._other_way += 1
        return np.asarray(now - self._wrong)
