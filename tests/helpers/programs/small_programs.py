"""Hosting programs small enough to enumerate, and their optimum by enumeration: every placement, every status,
one linear program each, written from the paper's equations in numpy and solved by scipy, without Pyomo and
without a line of the code under test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from scipy.optimize import linprog

from optim.data.limits import Limits
from optim.data.linear_model import LinearModel
from optim.data.profiles import Profiles
from optim.data.schedule import BessUnit
from optim.hosting.problem import HostingProblem
from optim.hosting.storage import Fleet


def linear_model(
    load_kw, *, ports, dsub_p_dp, dv_dp=None, dv_dq=None, dsub_p_dq=None, v_base=None, nodes=("x.1",), kind="magnitude"
) -> LinearModel:
    """`load_kw` (T,) or (T, S); sensitivities (rows, ports) or (T, rows, ports). Voltages 1.0 where not given."""
    load = np.asarray(load_kw, dtype=float)
    load = load[:, None] if load.ndim == 1 else load
    t, s, d, n = len(load), load.shape[1], len(ports), len(nodes)

    def rows(given, count):
        array = np.zeros((count, d)) if given is None else np.asarray(given, dtype=float)
        return array if array.ndim == 3 else array[None]

    return LinearModel(
        times=tuple(f"{hour:02d}:00" for hour in range(t)),
        nodes=tuple(nodes),
        ports=tuple(ports),
        voltage_kind=kind,
        v_base=np.ones((t, n)) if v_base is None else np.asarray(v_base, dtype=float),
        dv_dp=rows(dv_dp, n),
        dv_dq=rows(dv_dq, n),
        substation_phases=tuple(f"src.{k + 1}" for k in range(s)),
        substation_base_kw=load,
        substation_base_kvar=np.zeros_like(load),
        dsub_p_dp=rows(dsub_p_dp, s),
        dsub_p_dq=rows(dsub_p_dq, s),
        dsub_q_dp=rows(None, s),
        dsub_q_dq=rows(None, s),
        linearized_at="by hand",
        assumptions=(),
    )


def profiles_of(model: LinearModel, pv_pu, step_h: float = 1.0) -> Profiles:
    return Profiles(model.times, step_h, np.ones(len(model.times)), np.asarray(pv_pu, dtype=float))


def unit(bus: str, energy_kwh=100.0, power_kw=60.0, **other) -> BessUnit:
    """Four fifths each way and a range of 10-90 %, so that a wrong efficiency or range shows."""
    facts = {"eta_charge": 0.8, "eta_discharge": 0.8, "soc_min": 0.1, "soc_max": 0.9, **other}
    return BessUnit(f"bess_{bus}", bus, energy_kwh, power_kw, **facts)


def random_problem(seed: int, *, candidates: int, placed: int, steps: int, circulation: str) -> HostingProblem:
    """Losses, voltages and reactive power that tell sites apart; some of these programs are infeasible."""
    rng = np.random.default_rng(seed)
    buses = [chr(ord("a") + k) for k in range(candidates)]
    ports = tuple(f"{b}.1" for b in buses)
    same = rng.random() < 0.3  # sites that cannot be told apart by losses are a case of their own
    losses = np.full(candidates, 0.02) if same else rng.uniform(0.0, 0.15, candidates)
    n = 2
    model = linear_model(
        rng.uniform(30, 120, steps),
        ports=ports,
        nodes=("a.1", "b.1"),
        dsub_p_dp=-1 + losses[None, :],
        dsub_p_dq=rng.uniform(-0.02, 0.02, (1, candidates)),
        dv_dp=rng.uniform(0, 6e-4, (n, candidates)),
        dv_dq=rng.uniform(0, 6e-4, (n, candidates)),
        v_base=rng.uniform(0.94, 1.06, (steps, n)),
    )
    sun = rng.uniform(0.2, 1.0, steps) * (rng.random(steps) < 0.7)
    sun[rng.integers(steps)] = 0.9
    fleet = Fleet(tuple(unit(b) for b in buses), tuple((p,) for p in ports), placed, circulation)
    limits = Limits(substation_min_kw=float(rng.choice([0.0, 45.0])))
    return HostingProblem(model, profiles_of(model, sun), limits, ports, fleet, night_var=bool(rng.random() < 0.7))


@dataclass(frozen=True)
class Enumerated:
    """Best of all placements and statuses; None where none has a solution."""

    hc_kw: float | None
    placement: tuple[int, ...] = ()
    status: tuple[tuple[int, ...], ...] = ()
    programs: int = 0


def enumerate_optimum(problem: HostingProblem) -> Enumerated:
    best, count = Enumerated(None), 0
    for placement, status in decisions(problem):
        count += 1
        value = fixed_optimum(problem, placement, status)
        if value is not None and (best.hc_kw is None or value > best.hc_kw):
            best = Enumerated(value, placement, tuple(map(tuple, status)))
    return Enumerated(best.hc_kw, best.placement, best.status, count)


def decisions(problem: HostingProblem) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """(placed units, status (U, T)): 1 charges, 0 discharges."""
    fleet, steps = problem.fleet, len(problem.profiles)
    if fleet is None:
        yield (), np.zeros((0, steps))
        return
    units = len(fleet.units)
    for placement in combinations(range(units), fleet.n_placed or units):
        free = 1 if fleet.circulation == "forbid" else len(placement)
        for bits in product((0, 1), repeat=free * steps):
            status = np.zeros((units, steps), dtype=int)
            status[list(placement)] = np.reshape(bits, (free, steps))
            yield placement, status


def fixed_optimum(problem: HostingProblem, placement: tuple[int, ...], status: np.ndarray) -> float | None:
    """max sum S with placement and status given: eqs (2)-(5), (7) and (9) in kW, kWh and pu. None: infeasible."""
    model, fleet, r = problem.model, problem.fleet, problem.profiles.pv_pu
    steps, h = len(r), problem.profiles.step_h
    g = len(problem.pv_nodes)
    converters = [(u, node) for u in placement for node in fleet.nodes[u]] if fleet else []
    k, units = len(converters), len(placement)
    s_at = np.arange(g)
    q_at = g + np.arange(steps * g).reshape(steps, g)
    c_at = g + steps * g + np.arange(steps * k).reshape(steps, k)
    d_at = c_at + steps * k
    e_at = g + steps * g + 2 * steps * k + np.arange((steps + 1) * units).reshape(steps + 1, units)
    size = g + steps * g + 2 * steps * k + (steps + 1) * units

    low, high = np.full(size, -np.inf), np.full(size, np.inf)
    low[s_at] = 0
    less, less_than, equal = [], [], []
    for t in range(steps):
        idle = r[t] == 0 and not problem.night_var
        share = 0.0 if idle else np.sqrt(1 - r[t] ** 2)
        for i in range(g):
            for sign in (1.0, -1.0):  # (7b), (7c)
                row = np.zeros(size)
                row[q_at[t, i]], row[s_at[i]] = sign, -share
                less.append(row)
                less_than.append(0.0)
        for j, (u, _) in enumerate(converters):  # (3a)-(3b), (9b)-(9c)
            rated = fleet.units[u].power_kw / len(fleet.nodes[u])
            low[c_at[t, j]] = low[d_at[t, j]] = 0
            high[c_at[t, j]] = rated * status[u, t]
            high[d_at[t, j]] = fleet.units[u].eta_discharge * rated * (1 - status[u, t])
        for w, u in enumerate(placement):  # (3c), (3d)
            b = fleet.units[u]
            row = np.zeros(size)
            row[e_at[t + 1, w]], row[e_at[t, w]] = 1, -1
            for j, (owner, _) in enumerate(converters):
                if owner == u:
                    row[c_at[t, j]], row[d_at[t, j]] = -h * b.eta_charge, h / b.eta_discharge
            equal.append(row)
            low[e_at[t, w]], high[e_at[t, w]] = b.soc_min * b.energy_kwh, b.soc_max * b.energy_kwh

        def injected(by_p, by_q, t=t):
            """A row of the linear model in the program's variables: (4), (5)."""
            row = np.zeros(size)
            for i, node in enumerate(problem.pv_nodes):
                port = model.ports.index(node)
                row[s_at[i]] += by_p[port] * r[t]
                row[q_at[t, i]] += by_q[port]
            for j, (_, node) in enumerate(converters):
                port = model.ports.index(node)
                row[d_at[t, j]] += by_p[port]
                row[c_at[t, j]] -= by_p[port]
            return row

        at = t if model.dv_dp.shape[0] > 1 else 0
        for n in range(len(model.nodes)):  # (7a)
            row = injected(model.dv_dp[at, n], model.dv_dq[at, n])
            less += [row, -row]
            less_than += [
                model.to_row(problem.limits.v_max_pu) - model.v_base[t, n],
                model.v_base[t, n] - model.to_row(problem.limits.v_min_pu),
            ]
        for s in range(len(model.substation_phases)):  # (7e)
            row = injected(
                model.dsub_p_dp[t if model.dsub_p_dp.shape[0] > 1 else 0, s],
                model.dsub_p_dq[t if model.dsub_p_dq.shape[0] > 1 else 0, s],
            )
            less.append(-row)
            less_than.append(model.substation_base_kw[t, s] - problem.limits.substation_min_kw)
    for w in range(units):  # (7d)
        row = np.zeros(size)
        row[e_at[steps, w]], row[e_at[0, w]] = 1, -1
        equal.append(row)
    cost = np.zeros(size)
    cost[s_at] = -1
    found = linprog(
        cost,
        A_ub=np.array(less),
        b_ub=np.array(less_than),
        A_eq=np.array(equal) if equal else None,
        b_eq=np.zeros(len(equal)) if equal else None,
        bounds=np.column_stack([low, high]),
        method="highs",
    )
    return -found.fun if found.status == 0 else None
