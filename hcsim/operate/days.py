"""A schedule under policies on days of other load and sun: how many pass, what breaks, what is curtailed."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from hcsim.certify.robustness import Draws
from hcsim.errors import ConfigError, ConvergenceError
from hcsim.operate.operation import Day, Make, OperatedDay, OperatedFeeder
from hcsim.operate.policy import Floats, Plan
from hcsim.operate.settings import OperateSettings
from hcsim.replay.operating_points import visit
from hcsim.replay.options import ReplayOptions
from hcsim.replay.result import ReplayResult
from hcsim.util.suggest import did_you_mean
from hcsim.workbench.allocation import Workbench
from optim.data.criteria import Before
from optim.data.schedule import Schedule
from optim.data.violations import Excess, worst_new

Progress = Callable[[str, int, int], None]
"""Called with (policy, days done, of how many)."""
SPREAD = 0.10
"""By which load and sun of drawn days are off at most."""
BATCH = 10
"""Days that are run before they are judged, where too many failures end the matter."""


@dataclass(frozen=True)
class PolicyDays:
    """A policy on all its days."""

    name: str
    broken: tuple[tuple[Excess, ...], ...]
    """(K,) what is new and farthest beyond, by criterion; empty where the day passes."""
    curtailed_share: Floats
    """(K,) of the day's available PV energy."""
    curtailed_kwh: Floats
    """(G,) mean over the days, by site node."""
    soc_end_off_kwh: Floats
    """(K, U) stored energy at the end, less the planned."""
    tap_operations: Floats
    """(K,)"""
    hunting_days: int
    power_flows: int
    seconds: float
    times: tuple[str, ...]
    nodes: tuple[str, ...] = ()

    @property
    def share_passed(self) -> float:
        return float(np.mean([not b for b in self.broken]))

    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        passed = sum(not b for b in self.broken)
        ci = binomtest(passed, len(self.broken)).proportion_ci(0.95, "wilson")
        return float(ci.low), float(ci.high)

    def worst(self) -> dict[str, Any] | None:
        """What breaks farthest beyond what is allowed, relative to its unit's tolerance."""
        each = [e for found in self.broken for e in found]
        if not each:
            return None
        counts: dict[tuple[str, str, str], list[Excess]] = {}
        for e in each:
            counts.setdefault((e.criterion, e.element, e.phase), []).append(e)
        (criterion, element, phase), mine = max(counts.items(), key=lambda item: len(item[1]))
        top = max(mine, key=lambda e: np.nan_to_num(e.beyond))
        return {
            "criterion": criterion,
            "bus": element,
            "phase": phase,
            "hour": self.times[top.step],
            "beyond": float(top.beyond) if np.isfinite(top.beyond) else None,
            "unit": top.unit,
            "share_of_days": len(mine) / len(self.broken),
        }

    def to_json(self) -> dict[str, Any]:
        low, high = self.interval()
        return {
            "draws": len(self.broken),
            "share_passed": self.share_passed,
            "share_low": low,
            "share_high": high,
            "curtailed_share_mean": float(self.curtailed_share.mean()),
            "curtailed_share_worst": float(self.curtailed_share.max()),
            "curtailed_kwh_by_site": {
                n: float(k) for n, k in zip(self.nodes, self.curtailed_kwh, strict=True) if k > 1e-6
            },
            "worst": self.worst(),
            "tap_operations_mean": float(self.tap_operations.mean()),
            "soc_end_off_kwh_mean": float(np.mean(np.abs(self.soc_end_off_kwh))) if self.soc_end_off_kwh.size else 0.0,
            "hunting_days": self.hunting_days,
            "power_flows": self.power_flows,
            "seconds": self.seconds,
        }


@dataclass
class OperatedDays:
    """The same days for every policy, in a circuit of its own; the bare feeder of a load is simulated once."""

    bench: Workbench
    schedule: Schedule
    settings: OperateSettings = field(default_factory=OperateSettings)
    bare: dict[bytes, Before] = field(default_factory=dict)
    """Bare days that were run already; may be shared by all of one feeder."""

    def __post_init__(self) -> None:
        self.plan = plan_of(self.bench, self.schedule, self.settings)

    def run(
        self,
        name: str,
        make: Make,
        days: Sequence[Day],
        progress: Progress | None = None,
        most_failures: int | None = None,
    ) -> PolicyDays:
        """Every day under the policy; no more once `most_failures` are exceeded. Raises PolicyError."""
        begun = time.perf_counter()
        found: list[OperatedDay] = []
        broken: list[tuple[Excess, ...]] = []
        at_once = len(days) if most_failures is None else BATCH
        while len(found) < len(days) and (most_failures is None or sum(map(bool, broken)) <= most_failures):
            batch = days[len(found) : len(found) + at_once]
            with OperatedFeeder(self.bench, self.plan, self.settings) as feeder:
                policy = make(self.plan)
                for day in batch:
                    found.append(feeder.run(day, policy, name, seed=self.settings.seed + len(found)))
                    if progress:
                        progress(name, len(found), len(days))
            # the bare feeder's days are run in the same circuit, once the devices have left it
            broken += [self._broken(day, one) for day, one in zip(batch, found[len(broken) :], strict=True)]
        step_h = self.bench.profiles.step_h
        lost = np.array([r.curtailed_kwh(step_h) for r in found])
        there = np.array([r.available_kw.sum() * step_h for r in found])
        return PolicyDays(
            name=name,
            broken=tuple(broken),
            curtailed_share=lost.sum(axis=1) / np.maximum(there, 1e-9),
            curtailed_kwh=lost.mean(axis=0),
            tap_operations=np.array([r.tap_operations for r in found], dtype=float),
            soc_end_off_kwh=np.array([r.soc_kwh[-1] - self.schedule.soc_kwh[-1] for r in found]),
            hunting_days=sum(bool(r.hunting) for r in found),
            power_flows=sum(r.power_flows for r in found),
            seconds=time.perf_counter() - begun,
            times=self.bench.profiles.times,
            nodes=self.schedule.pv_nodes,
        )

    def _broken(self, day: Day, found: OperatedDay) -> tuple[Excess, ...]:
        limits = self.bench.limits
        if found.operation is None:
            step, _ = min(found.failures.items())
            return (Excess("convergence", "", self.bench.network.name, "", step, np.nan, np.nan),)
        if not worst_new(found.operation, limits):
            return ()
        return worst_new(found.operation, limits, self.before(day.load))

    def before(self, load: Floats) -> Before:
        """The bare feeder on a day of these loads; run once."""
        key = np.round(load, 4).tobytes()
        if key not in self.bare:
            bench = replace(self.bench, case=replace(self.bench.case, profiles=self.bench.profiles.scaled(load)))
            self.bare[key] = bench.replay(None, "free").before
        return self.bare[key]


def plan_of(bench: Workbench, schedule: Schedule, settings: OperateSettings) -> Plan:
    """The planned day replayed, its tangent, and which nodes are telemetered.

    Raises ConvergenceError where the plan itself has a step without an answer.
    """
    ports = tuple(dict.fromkeys([*schedule.pv_nodes, *schedule.bess_nodes]))
    bare = bench.bare("free").found
    seen = visit(bench.model, schedule, ports, ReplayOptions(before=bare.before))
    if not seen.found.converged.all():
        raise ConvergenceError(f"{schedule.case}: the planned day itself has a step without an answer.")
    meters = _meters(seen.found, bare, ports, bench, settings.meters)
    return Plan(
        schedule, seen.model, seen.found.operation, bench.profiles, bench.limits, bare.before, ports, meters, settings
    )


def _meters(
    found: ReplayResult, bare: ReplayResult, ports: tuple[str, ...], bench: Workbench, count: int
) -> tuple[str, ...]:
    """The ports, and the nodes that come closest to a limit on the planned or the bare day, one per bus and phase."""
    limits, operation = bench.limits, found.operation
    kv = bench.network.kv_of(operation.nodes)
    high, low = limits.v_max_at(kv), limits.v_min_at(kv)
    with np.errstate(invalid="ignore"):
        v = np.vstack([operation.v_pu, bare.operation.v_pu])
        room = np.fmin(high - np.fmax.reduce(v, axis=0), np.fmin.reduce(v, axis=0) - low)  # NaN: not judged
    judged = [n for n in ports if n in set(operation.nodes) and np.isfinite(room[operation.nodes.index(n)])]
    order = [operation.nodes[i] for i in np.argsort(room, kind="stable") if np.isfinite(room[i])]
    rest = [n for n in order if n not in judged][:count]
    return (*judged, *rest)


def drawn(draws: int, seed: int, spread: float, steps: int) -> list[Day]:
    """Days whose whole load is off by one factor and whose whole sun by another, uniform within the spread."""
    both = Draws.seeded(draws, seed, spread)
    return [
        Day(np.full(steps, a), np.full(steps, b), f"draw {k + 1}")
        for k, (a, b) in enumerate(zip(both.load, both.pv, strict=True))
    ]


def known_policies() -> Mapping[str, Make]:
    """Name -> what makes it of a plan."""
    from hcsim.operate.follow import Follow
    from hcsim.operate.rolling import Rolling
    from hcsim.operate.scheduled import Scheduled

    return {"schedule": Scheduled, "follow": Follow, "rolling": Rolling}


def maker_of(name: str) -> Make:
    """A policy by name. Raises ConfigError for one that is not there."""
    ours = known_policies()
    if name in ours:
        return ours[name]
    module, mark, member = name.partition(":")
    if not mark:
        raise ConfigError(
            f"There is no policy {name!r}.", f"{did_you_mean(name, ours)} Or module:Class of your own.".strip()
        )
    sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), member)  # type: ignore[no-any-return]
    except ImportError as error:
        raise ConfigError(f"Policy {name!r}: {error}.", "The module must be importable from here.") from None
    except AttributeError:
        raise ConfigError(f"Policy {name!r}: {module} has no {member}.") from None
    finally:
        sys.path.pop(0)
