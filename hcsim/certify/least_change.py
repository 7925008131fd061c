"""The smallest change of a refuted dispatch that OpenDSS passes: by the tangent of its own replay, replayed, repeated.

At every hour the tangent says what a kilowatt and a kilovar of each device do to each judged voltage, to the source's
power and to each loading. A linear program takes back every new violation, keeps what stands near a limit inside it,
keeps each battery's energy within its range and where it ended, and changes as few kilowatt-hours as it can.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from hcsim.replay.operating_points import Visit
from hcsim.replay.result import ReplayResult
from optim.data.criteria import CRITERIA, Before, thresholds
from optim.data.limits import Limits
from optim.data.linear_model import LinearModel
from optim.data.schedule import Schedule
from optim.data.violations import new_violations

Floats = NDArray[np.float64]
ROUNDS = 12
MARGIN = {"overvoltage": 2e-4, "undervoltage": 2e-4, "reverse_flow": 0.5, "loading": 1e-3}
"""Distance from a limit that the first repair keeps, in the criterion's unit; doubled where that was not enough."""
NEAR = {"overvoltage": 0.02, "undervoltage": 0.02, "reverse_flow": 500.0, "loading": 0.3}
"""What stands closer to its limit is held inside it while others move."""
STILL_KWH = 1e-6
"""A change below this is none: it would be replayed to the same end."""
Q_MOVE = 0.2
"""Share of its kVA that an inverter's reactive power moves in one round: the tangent holds near its point."""
KWH_PER_KVARH = 1e-2
"""What a kvarh changed counts beside a kWh."""


@dataclass(frozen=True)
class Repair:
    """A schedule that passes, or the best of those tried."""

    schedule: Schedule
    replay: ReplayResult
    passed: bool
    changed_kwh: float
    """Sum over devices and steps of |change of active power|."""
    rounds: int
    between: tuple[str, str]
    """First and last step changed."""


def least_change(
    schedule: Schedule,
    run: Callable[[Schedule], Visit],
    limits: Limits,
    before: Before | None,
    rounds: int = ROUNDS,
    *,
    battery: float = 1.0,
) -> Repair | None:
    """Repair `schedule`; `run` replays a schedule and keeps its operating points. `battery`: what a kilowatt-hour moved
    by batteries counts beside one of PV.

    None where some step has no answer, or where no change of the devices takes the violations back by the tangent.
    """
    seen, margin = run(schedule), 1.0
    now, best = schedule, None
    if seen.found.converged.all() and not len(new_violations(seen.found.violations)):
        return Repair(schedule, seen.found, True, 0.0, 0, ("", ""))
    for number in range(1, rounds + 1):
        if not seen.found.converged.all():
            return best
        proposal = _proposal(schedule, now, seen, limits, (before, margin, battery))
        if proposal is None or changed_kwh(now, proposal) + changed_kvarh(now, proposal) < STILL_KWH:
            if proposal is None or margin > 1e3:
                return best
            margin *= 2.0
            continue
        now, seen = proposal, run(proposal)
        left = len(new_violations(seen.found.violations))
        found = Repair(now, seen.found, left == 0, changed_kwh(schedule, now), number, _between(schedule, now))
        if left == 0:
            return found
        if best is None or left < len(new_violations(best.replay.violations)):
            best = found
        else:
            margin *= 2.0
    return best


def changed_kwh(old: Schedule, new: Schedule) -> float:
    pv = np.abs(new.pv_p_kw - old.pv_p_kw).sum()
    bess = np.abs(new.p_charge_kw - old.p_charge_kw).sum() + np.abs(new.p_discharge_kw - old.p_discharge_kw).sum()
    return float((pv + bess) * old.step_h)


def changed_kvarh(old: Schedule, new: Schedule) -> float:
    """The same of reactive power, inverters and converters of batteries."""
    batteries = np.abs(_bess_q(new) - _bess_q(old)).sum()
    return float((np.abs(new.pv_q_kvar - old.pv_q_kvar).sum() + batteries) * old.step_h)


def _bess_q(s: Schedule) -> Floats:
    """(T, D)"""
    return np.zeros_like(s.p_charge_kw) if s.bess_q_kvar is None else s.bess_q_kvar


def _between(old: Schedule, new: Schedule) -> tuple[str, str]:
    parts = (
        new.pv_p_kw - old.pv_p_kw,
        new.bess_p_kw - old.bess_p_kw,
        new.pv_q_kvar - old.pv_q_kvar,
        _bess_q(new) - _bess_q(old),
    )
    moved = sum(np.abs(part).sum(axis=1) for part in parts)
    steps = np.flatnonzero(moved > 1e-6)
    return (old.times[steps[0]], old.times[steps[-1]]) if len(steps) else ("", "")


class _Moves:
    """The program's columns: T blocks of every kind of move, kW or kvar, none negative."""

    def __init__(self, original: Schedule, now: Schedule) -> None:
        s = original
        rated = np.array([s.bess[u].power_kw / s.bess_of.count(u) for u in s.bess_of])
        room_q = _circle(_kva(s), now.pv_p_kw)
        most_q = Q_MOVE * _kva(s)
        # a converter has reactive power where the dispatch gives it some
        kva_b = np.zeros_like(rated) if s.bess_q_kvar is None else rated if s.bess_kva is None else s.bess_kva
        self.kva_b = kva_b
        room_b, most_b, q_b = _circle(kva_b, now.bess_p_kw), Q_MOVE * kva_b, _bess_q(now)
        may_charge, may_discharge = _directions(now)
        none = np.zeros_like(now.p_charge_kw)
        # name, power into the network per kW, port of, upper bounds, is it reactive
        self.kinds: tuple[tuple[str, float, str, Floats, bool], ...] = (
            ("curtail", -1.0, "pv", now.pv_p_kw, False),
            ("restore", 1.0, "pv", np.maximum(s.pv_p_kw - now.pv_p_kw, 0.0), False),
            ("q_up", 1.0, "pv", np.clip(room_q - now.pv_q_kvar, 0.0, most_q), True),
            ("q_down", -1.0, "pv", np.clip(room_q + now.pv_q_kvar, 0.0, most_q), True),
            ("bess_q_up", 1.0, "bess", np.clip(room_b - q_b, 0.0, most_b), True),
            ("bess_q_down", -1.0, "bess", np.clip(room_b + q_b, 0.0, most_b), True),
            ("charge_more", -1.0, "bess", np.where(may_charge, np.maximum(rated - now.p_charge_kw, 0.0), none), False),
            ("charge_less", 1.0, "bess", now.p_charge_kw, False),
            (
                "discharge_more",
                1.0,
                "bess",
                np.where(may_discharge, np.maximum(rated - now.p_discharge_kw, 0.0), none),
                False,
            ),
            ("discharge_less", -1.0, "bess", now.p_discharge_kw, False),
        )
        self.start, at = {}, 0
        for name, _, _, upper, _ in self.kinds:
            self.start[name] = at
            at += upper.size
        self.count = at

    def bounds(self) -> Floats:
        return np.concatenate([upper.ravel() for _, _, _, upper, _ in self.kinds])

    def of(self, x: Floats, name: str) -> Floats:
        """(T, devices) of one kind."""
        shape = next(upper.shape for kind, _, _, upper, _ in self.kinds if kind == name)
        return x[self.start[name] : self.start[name] + shape[0] * shape[1]].reshape(shape)


def _directions(s: Schedule) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(T, D) each: where more may be charged, where discharged. A unit has one status for all its converters; one that
    rests may charge while there is sun and discharge while there is none, or either where it has one converter."""
    of = np.array(s.bess_of, dtype=np.int64)
    shape = (len(s.times), len(s.bess))
    charges, discharges = np.zeros(shape), np.zeros(shape)
    np.add.at(charges.T, of, s.p_charge_kw.T)
    np.add.at(discharges.T, of, s.p_discharge_kw.T)
    charging, discharging = charges > 1e-9, discharges > 1e-9
    alone = np.bincount(of, minlength=len(s.bess)) == 1
    sun = (s.pv_p_kw.sum(axis=1) > 1e-9)[:, None]
    may_charge = ~discharging & (charging | sun | alone)
    may_discharge = ~charging & (discharging | ~sun | alone)
    return may_charge[:, of], may_discharge[:, of]


def _circle(kva: Floats, p_kw: Floats) -> Floats:
    """kvar beside a power."""
    return np.asarray(np.sqrt(np.maximum(kva**2 - p_kw**2, 0.0)))


def _kva(s: Schedule) -> Floats:
    return s.pv_kw if s.pv_kva is None else s.pv_kva


def _proposal(
    original: Schedule, now: Schedule, seen: Visit, limits: Limits, asked: tuple[Before | None, float, float]
) -> Schedule | None:
    """`asked`: what the bare feeder breaks, the margin's multiple, what moving batteries costs."""
    before, margin, battery = asked
    moves = _Moves(original, now)
    rows, sides = _limit_rows(now, seen, limits, before, moves, margin)
    energy, energy_sides, ends = _energy_rows(now, moves)
    step_h = now.step_h
    cost = np.concatenate(
        [
            np.full(
                upper.size,
                step_h
                * (KWH_PER_KVARH if reactive else 1.0)
                * (-0.5 if name == "restore" else 1.0)
                * (battery if of == "bess" else 1.0),
            )
            for name, _, of, upper, reactive in moves.kinds
        ]
    )
    solved = linprog(
        cost,
        A_ub=sparse.vstack([rows, energy]).tocsr(),
        b_ub=np.concatenate([sides, energy_sides]),
        A_eq=ends if ends.shape[0] else None,
        b_eq=np.zeros(ends.shape[0]) if ends.shape[0] else None,
        bounds=np.stack([np.zeros(moves.count), moves.bounds()], axis=1),
        method="highs",
    )
    if not solved.success:
        return None
    x = solved.x
    charge = now.p_charge_kw + moves.of(x, "charge_more") - moves.of(x, "charge_less")
    discharge = now.p_discharge_kw + moves.of(x, "discharge_more") - moves.of(x, "discharge_less")
    pv_p = now.pv_p_kw - moves.of(x, "curtail") + moves.of(x, "restore")
    room = _circle(_kva(original), pv_p)
    found = _with(
        now,
        pv_p,
        np.clip(now.pv_q_kvar + moves.of(x, "q_up") - moves.of(x, "q_down"), -room, room),
        np.maximum(charge, 0.0),
        np.maximum(discharge, 0.0),
    )
    if now.bess_q_kvar is None:
        return found
    room_b = _circle(moves.kva_b, found.bess_p_kw)
    q_b = now.bess_q_kvar + moves.of(x, "bess_q_up") - moves.of(x, "bess_q_down")
    return replace(found, bess_q_kvar=np.clip(q_b, -room_b, room_b))


def _with(s: Schedule, pv_p: Floats, pv_q: Floats, charge: Floats, discharge: Floats) -> Schedule:
    eta_c = np.array([s.bess[u].eta_charge for u in s.bess_of])
    eta_d = np.array([s.bess[u].eta_discharge for u in s.bess_of])
    moved = np.zeros((len(s.times), len(s.bess)))
    np.add.at(moved.T, list(s.bess_of), ((charge * eta_c - discharge / eta_d) * s.step_h).T)
    soc = s.soc_kwh[:1] + np.vstack([np.zeros((1, len(s.bess))), np.cumsum(moved, axis=0)])
    return replace(
        s,
        pv_p_kw=pv_p,
        pv_q_kvar=pv_q,
        p_charge_kw=charge,
        p_discharge_kw=discharge,
        soc_kwh=soc,
        predicted_v_pu=None,
        predicted_nodes=(),
        predicted_substation_kw=None,
        substation_phases=(),
        solve=None,
    )


def _limit_rows(
    now: Schedule, seen: Visit, limits: Limits, before: Before | None, moves: _Moves, margin: float
) -> tuple[sparse.csr_array, Floats]:
    """Every judged value near or beyond its limit stays, by the tangent, inside it."""
    model, found = seen.model, seen.found.operation
    blocks: list[sparse.csr_array] = []
    sides: list[Floats] = []
    for criterion in CRITERIA:
        if criterion.name not in MARGIN or not criterion.judged(limits):
            continue
        values = criterion.values(found)
        if values is None:
            continue
        base = before.worst(criterion, limits) if before is not None else None
        beyond = criterion.sign * values - thresholds(criterion, limits, base, values.shape, found.kv_base)
        for t in range(len(now.times)):
            at = np.flatnonzero(beyond[t] > -NEAR[criterion.name])
            slopes = _slopes(model, criterion.name, [criterion.elements(found)[int(k)] for k in at], t)
            if slopes is None:
                continue
            keep, by_p, by_q = slopes
            at = at[keep]
            block = _row_block(now, seen.ports, moves, t, criterion.sign * by_p, criterion.sign * by_q)
            blocks.append(block)
            room, inside = -beyond[t, at], margin * MARGIN[criterion.name]
            sides.append(np.where(room < 0, room - inside, np.maximum(room - inside, 0.0)))
    if not blocks:
        return sparse.csr_array((0, moves.count)), np.zeros(0)
    return sparse.vstack(blocks).tocsr(), np.concatenate(sides)


def _slopes(model: LinearModel, criterion: str, elements: list[str], t: int) -> tuple[Floats, Floats, Floats] | None:
    """Which of the elements the model knows, and (K, D) what a kW and a kvar at each port do to them."""
    if criterion in ("overvoltage", "undervoltage"):
        place, p, q = {n: i for i, n in enumerate(model.nodes)}, model.dv_dp[t], model.dv_dq[t]
    elif criterion == "reverse_flow":
        place, p, q = {n: i for i, n in enumerate(model.substation_phases)}, model.dsub_p_dp[t], model.dsub_p_dq[t]
    elif model.flow_base_kw is not None:
        place = {n: i for i, n in enumerate(model.branches)}
        assert model.flow_base_kvar is not None and model.rating_kva is not None
        assert model.dflow_p_dp is not None and model.dflow_p_dq is not None
        assert model.dflow_q_dp is not None and model.dflow_q_dq is not None
        flow = model.flow_base_kw[t] + 1j * model.flow_base_kvar[t]
        unit = (flow / np.maximum(np.abs(flow), 1e-9) / model.rating_kva)[:, None]
        p = unit.real * model.dflow_p_dp[t] + unit.imag * model.dflow_q_dp[t]
        q = unit.real * model.dflow_p_dq[t] + unit.imag * model.dflow_q_dq[t]
    else:
        return None
    known = [k for k, name in enumerate(elements) if name in place]
    if not known:
        return None
    at = [place[elements[k]] for k in known]
    return np.array(known, dtype=np.int64), p[at], q[at]


def _row_block(
    now: Schedule, ports: tuple[str, ...], moves: _Moves, t: int, by_p: Floats, by_q: Floats
) -> sparse.csr_array:
    place = {name: d for d, name in enumerate(ports)}
    of = {"pv": [place[n] for n in now.pv_nodes], "bess": [place[n] for n in now.bess_nodes]}
    columns, parts = [], []
    for name, sign, kind, upper, reactive in moves.kinds:
        width = upper.shape[1]
        columns.append(moves.start[name] + t * width + np.arange(width))
        parts.append(sign * (by_q if reactive else by_p)[:, of[kind]])
    dense, at = np.hstack(parts), np.concatenate(columns)
    rows = np.repeat(np.arange(len(dense)), len(at))
    return sparse.csr_array((dense.ravel(), (rows, np.tile(at, len(dense)))), shape=(len(dense), moves.count))


def _energy_rows(now: Schedule, moves: _Moves) -> tuple[sparse.csr_array, Floats, sparse.csr_array]:
    """SoC within its range after every step, where it is so already; and as it was at the end."""
    steps, units = len(now.times), len(now.bess)
    if not units:
        return sparse.csr_array((0, moves.count)), np.zeros(0), sparse.csr_array((0, moves.count))
    eta_c = np.array([now.bess[u].eta_charge for u in now.bess_of])
    eta_d = np.array([now.bess[u].eta_discharge for u in now.bess_of])
    out = 1.0 / eta_d
    per_kw = {"charge_more": eta_c, "charge_less": -eta_c, "discharge_more": -out, "discharge_less": out}
    rows, columns, data = [], [], []
    width = len(now.bess_of)
    for name, factor in per_kw.items():
        for t in range(steps):
            rows.append(t * units + np.array(now.bess_of))
            columns.append(moves.start[name] + t * width + np.arange(width))
            data.append(factor * now.step_h)
    moved = sparse.csr_array(
        (np.concatenate(data), (np.concatenate(rows), np.concatenate(columns))), shape=(steps * units, moves.count)
    )
    path = sparse.kron(sparse.csr_array(np.tril(np.ones((steps, steps)))), sparse.eye_array(units)).tocsr() @ moved
    high = np.array([u.soc_max * u.energy_kwh for u in now.bess])
    low = np.array([u.soc_min * u.energy_kwh for u in now.bess])
    soc = now.soc_kwh[1:]
    above, below = np.maximum(high - soc, 0.0).ravel(), np.maximum(soc - low, 0.0).ravel()
    return sparse.vstack([path, -path]).tocsr(), np.concatenate([above, below]), path[-units:]
