"""One feeder with its devices in the circuit, run day after day under policies: solve, look, act, until it rests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np

from hcsim.operate.policy import Commands, Floats, Plan, Policy, PolicyError, Sight, checked
from hcsim.operate.settings import OperateSettings
from hcsim.replay.options import ReplayOptions
from hcsim.replay.run import judges_regulation
from hcsim.replay.scheduled_devices import ScheduledDevices
from hcsim.replay.series import DailySeries
from hcsim.schedules.repeat import on_days
from hcsim.workbench.allocation import Workbench
from optim.data.operation import Operation
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule


@dataclass(frozen=True)
class Day:
    """Load and sun of a day as factors of the planned ones, (T,) each."""

    load: Floats
    pv: Floats
    name: str = ""


@dataclass(frozen=True)
class OperatedDay:
    """What happened."""

    operation: Operation | None
    """None where a step had no answer."""
    failures: dict[int, str]
    pv_p_kw: Floats
    """(T, G) delivered."""
    available_kw: Floats
    """(T, G)"""
    bess_p_kw: Floats
    """(T, D)"""
    soc_kwh: Floats
    """(T, U) after each step."""
    rounds: Floats
    """(T,) power flows of each step beyond the first."""
    hunting: tuple[int, ...]
    """Steps in which the policy did not come to rest."""
    tap_operations: int
    power_flows: int

    def curtailed_kwh(self, step_h: float) -> Floats:
        """(G,)"""
        return np.asarray(np.maximum(self.available_kw - self.pv_p_kw, 0.0).sum(axis=0) * step_h)


@dataclass(frozen=True)
class PlanOfDay:
    """Plans of one day each, for the same devices, and which of them each day of a longer time follows."""

    plans: tuple[Plan, ...]
    choice: tuple[int, ...] = ()
    """Empty: the first, every day."""

    @classmethod
    def same(cls, plan: Plan) -> PlanOfDay:
        """One plan for every day."""
        return cls((plan,))

    def on(self, days: int) -> PlanOfDay:
        """With a choice for so many days."""
        return self if self.choice else PlanOfDay(self.plans, (0,) * days)

    def of_day(self, day: int) -> int:
        """Which plan."""
        return self.choice[day] if self.choice else 0


class OperatedFeeder:
    """Use as a context; nothing else may use the circuit meanwhile. Controls are free."""

    def __init__(self, bench: Workbench, plan: Plan, settings: OperateSettings) -> None:
        self._bench, self.plan, self.settings = bench, plan, settings
        self._devices = ScheduledDevices(bench.circuit, bench.network, plan.schedule, bench.profiles.step_h)
        self._series = DailySeries(bench.circuit, bench.network, bench.profiles)
        index = bench.network.node_index
        self._meters = np.array([index[m] for m in plan.meters], dtype=np.int64)

    def __enter__(self) -> OperatedFeeder:
        self._devices.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._devices.disconnect()

    def run(self, day: Day, policy: Policy, name: str, seed: int = 0) -> OperatedDay:
        """One day under a policy. Raises PolicyError for what a policy may not do, with its name and the step."""
        self._series.reload(self._bench.profiles.scaled(day.load))
        self._devices.take(self.plan.schedule)
        available = available_kw(self.plan.schedule, self.plan.profiles, day)
        return self._days(day, available, ([policy], PlanOfDay.same(self.plan)), name, seed)

    def run_on(self, profiles: Profiles, plans: PlanOfDay, make: Make, name: str, seed: int = 0) -> OperatedDay:
        """Days on end, as `profiles` have load and sun, seamlessly over midnight; each day by the plan chosen for it.

        Raises PolicyError; ConfigError where the profiles are no whole days of the plans' steps, or a plan does not end
        its day as it began.
        """
        s = self.plan.schedule
        whole = on_days(s, profiles)
        self._series = DailySeries(self._bench.circuit, self._bench.network, profiles)
        self._devices.take(whole)
        plans = plans.on(len(profiles) // len(self.plan.profiles))
        planned = [plan.profiles for plan in plans.plans]
        with np.errstate(invalid="ignore", divide="ignore"):
            load = profiles.load_kw(self._leg_kw) / np.concatenate(
                [planned[k].load_kw(self._leg_kw) for k in plans.choice]
            )
            sun = profiles.pv_pu / np.concatenate([planned[k].pv_pu for k in plans.choice])
        day = Day(np.nan_to_num(load, nan=1.0, posinf=1.0), np.nan_to_num(sun, nan=1.0, posinf=1.0), "year")
        available = np.minimum(profiles.sun(s.pv_nodes) * s.pv_kw, _most_kw(s))
        policies = [make(plan) for plan in plans.plans]
        return self._days(day, available, (policies, plans), name, seed)

    @property
    def _leg_kw(self) -> Floats:
        return self._bench.network.loads.p_kw

    def _days(
        self, day: Day, available_kw: Floats, asked: tuple[list[Policy], PlanOfDay], name: str, seed: int
    ) -> OperatedDay:
        run = _Run(self, day, available_kw, asked, (name, np.random.default_rng(seed)))
        recording = self._series.run(
            ReplayOptions("free"),
            before_step=run.begin,
            after_step=run.finish,
            settle=run.settle,
            loading=self._bench.limits.loading_max_pu is not None,
            regulation=judges_regulation(self._bench.limits),
        )
        operations = int(np.abs(np.diff(recording.tap, axis=0)).sum())
        return run.result(recording.operation, dict(recording.failures), operations)

    @property
    def devices(self) -> ScheduledDevices:
        return self._devices

    @property
    def times(self) -> tuple[str, ...]:
        """(T,) labels of what runs."""
        return self._series.profiles.times

    def measure(self) -> tuple[Floats, Floats]:
        """(S,) head power and (M,) voltages of the present solution."""
        head_kw, v_pu = self.state()
        return head_kw, v_pu[self._meters]

    def state(self) -> tuple[Floats, Floats]:
        """(S,) head power and (N,) voltages of the present solution, NaN where none is judged."""
        network = self._bench.network
        v_pu = np.where(network.v_judged, network.judged_v_pu(self._bench.circuit.voltages_v()), np.nan)
        return self._series.heads_kva().real, v_pu

    def taps(self) -> dict[str, int]:
        """Regulator -> position now."""
        return self._bench.circuit.taps()


class _Run:
    """A day in the making."""

    def __init__(
        self,
        feeder: OperatedFeeder,
        day: Day,
        available_kw: Floats,
        asked: tuple[list[Policy], PlanOfDay],
        named: tuple[str, np.random.Generator],
    ) -> None:
        self.feeder, self.day, self.available_kw = feeder, day, available_kw
        self.policies, self.plans = asked
        self.name, self.random = named
        self.s = feeder.plan.schedule
        self.steps, self.of_plan = len(available_kw), len(feeder.plan.profiles)
        self.rounds = np.zeros(self.steps)
        self._seen: tuple[Floats, Floats] | None = None
        """Head power and voltages of the present solution, where they have been read."""
        self.hunting: list[int] = []
        self.flows = 0
        self.past: list[tuple[Floats, Floats, Floats, Floats]] = []
        """Measurements of every finished step: head, voltages, p, q."""
        self.times = feeder.times
        self.forecast_load, self.forecast_pv = self._forecasts()

    def _forecasts(self) -> tuple[Floats, Floats]:
        """The day's own factors with an error that hours share."""
        settings = self.feeder.settings
        level, rho = settings.forecast_error_pct / 100.0, settings.forecast_correlation

        def error() -> Floats:
            e = np.zeros(self.steps)
            e[0] = self.random.normal()
            for t in range(1, self.steps):
                e[t] = rho * e[t - 1] + np.sqrt(1.0 - rho**2) * self.random.normal()
            return level * e

        return self.day.load * (1.0 + error()), self.day.pv * (1.0 + error())

    def _known(self, t: int) -> tuple[Floats, Floats]:
        """Of the day of step t what was, and what is forecast."""
        day = slice(t - t % self.of_plan, t - t % self.of_plan + self.of_plan)
        past = np.arange(self.of_plan) < t % self.of_plan
        load = np.where(past, self.day.load[day], self.forecast_load[day])
        return load, np.where(past, self.day.pv[day], self.forecast_pv[day])

    # -- the hooks of the series ----------------------------------------------------------------------------

    def begin(self, t: int) -> None:
        self.t, self.iteration = t, 0
        chosen = self.plans.of_day(t // self.of_plan)
        self.policy, self.plan = self.policies[chosen], self.plans.plans[chosen]
        self._set(self._ask(self._old(t)))
        self.flows += 1

    def settle(self, t: int) -> bool:
        """After a power flow: whether the policy has set something, so that the step is solved again."""
        if self.feeder.settings.delay_steps:
            return False
        self.iteration += 1
        if self.iteration > self.feeder.settings.rounds:
            self.hunting.append(t)
            return False
        self._seen = self.feeder.measure()
        head, v = self._noisy(*self._seen)
        p, q = self._delivered()
        commands = self._ask((t, head, v, p, q))
        if commands is None:
            return False
        self._set(commands)
        self._seen = None
        self.rounds[t] = self.iteration
        self.flows += 1
        return True

    def finish(self, t: int, consumption_kva: object) -> str:
        why = self.feeder.devices.collect(t, consumption_kva)  # type: ignore[arg-type]
        head, v = self._noisy(*(self._seen or self.feeder.measure()))
        self._seen = None
        p, q = self._delivered()
        if self.past and self.random.random() < self.feeder.settings.lost_share:
            head, v, p, q = self.past[-1]
        self.past.append((head, v, p, q))
        hear = getattr(self.policy, "finished", None)
        if hear is not None:
            hear(t % self.of_plan, self.feeder.taps(), *self.feeder.state(), why)
        return why

    def _old(self, t: int) -> tuple[int, Floats, Floats, Floats, Floats] | None:
        """Measurements that have arrived when step t begins."""
        seen = t - max(self.feeder.settings.delay_steps, 1)
        return (seen, *self.past[seen]) if seen >= 0 else None

    def _noisy(self, head: Floats, v: Floats) -> tuple[Floats, Floats]:
        settings = self.feeder.settings
        if settings.measurement_error_pct:
            head = head * (1.0 + settings.measurement_error_pct / 100.0 * self.random.normal(size=head.shape))
        if settings.voltage_error_pu:
            v = v + settings.voltage_error_pu * self.random.normal(size=v.shape)
        return head, v

    def _delivered(self) -> tuple[Floats, Floats]:
        """What was last commanded: the devices' own meters, exact but for a failed step."""
        c = self.commands
        q_bess = np.zeros(len(c.bess_p_kw)) if c.bess_q_kvar is None else c.bess_q_kvar
        return np.concatenate([c.pv_p_kw, c.bess_p_kw]), np.concatenate([c.pv_q_kvar, q_bess])

    def _ask(self, seen: tuple[int, Floats, Floats, Floats, Floats] | None) -> Commands | None:
        plan, t = self.plan, self.t
        none = np.zeros(0)
        step, head, v, p, q = seen if seen is not None else (-1, none, none, none, none)
        if self.iteration == 0:
            self._forecast = self._known(t)
        sight = Sight(
            step=t % self.of_plan,
            iteration=self.iteration,
            age=0 if step == t else t - step,
            measured_step=step % self.of_plan if step >= 0 else -1,
            head_kw=head,
            v_pu=v,
            p_kw=p,
            q_kvar=q,
            available_kw=self.available_kw[t],
            soc_kwh=self.feeder.devices.bess.joint_kwh.copy(),
            forecast_load=self._forecast[0],
            forecast_pv=self._forecast[1],
        )
        try:
            commands = self.policy.act(sight)
        except PolicyError:
            raise
        except Exception as error:  # anybody's policy: whatever it raises is its fault, and named
            where = f"policy {self.name}, step {t} ({self.times[t]})"
            raise PolicyError(f"{where}: {type(error).__name__}: {error}") from error
        if commands is None:
            if self.iteration == 0:
                raise PolicyError(f"policy {self.name}, step {t} ({self.times[t]}): set nothing at all.")
            return None
        return checked(commands, sight, plan, f"policy {self.name}, step {t} ({self.times[t]})")

    def _set(self, commands: Commands | None) -> None:
        if commands is None:
            return
        limit = self.feeder.settings.ramp_pct / 100.0
        last = getattr(self, "commands", None)
        if limit < 1.0 and last is not None and self.iteration == 0:
            step = limit * np.maximum(self.s.pv_kw, 1e-9)
            p = np.minimum(
                np.clip(commands.pv_p_kw, last.pv_p_kw - step, last.pv_p_kw + step), self.available_kw[self.t]
            )
            commands = replace(commands, pv_p_kw=p)
        self.commands = commands
        devices = self.feeder.devices
        devices.pv.set_power(commands.pv_p_kw, commands.pv_q_kvar)
        if devices.bess.units:
            devices.bess.set_power(commands.bess_p_kw, self.feeder.plan.profiles.step_h, commands.bess_q_kvar)

    def result(self, operation: Operation, failures: dict[int, str], tap_operations: int) -> OperatedDay:
        devices = self.feeder.devices
        return OperatedDay(
            operation=None if failures else operation,
            failures=failures,
            pv_p_kw=devices.pv_kva.real,
            available_kw=self.available_kw,
            bess_p_kw=devices.bess_kva.real,
            soc_kwh=devices.soc_kwh,
            rounds=self.rounds,
            hunting=tuple(self.hunting),
            tap_operations=tap_operations,
            power_flows=self.flows,
        )


def available_kw(s: Schedule, profiles: Profiles, day: Day) -> Floats:
    """(T, G) what the sun would give on a day that is off from the planned one."""
    with np.errstate(invalid="ignore", divide="ignore"):
        planned = np.where(s.pv_kw > 0, s.pv_p_kw / np.where(s.pv_kw > 0, s.pv_kw, 1.0), 0.0)
    sun = np.maximum(planned, profiles.pv_pu[:, None] * (s.pv_kw > 0))
    return np.asarray(np.minimum(day.pv[:, None] * sun * s.pv_kw, _most_kw(s)))


def _most_kw(s: Schedule) -> Floats:
    """(G,) what module and inverter let through."""
    return s.pv_kw if s.pv_kva is None else np.minimum(s.pv_kw, s.pv_kva)


Make = Callable[[Plan], Policy]
