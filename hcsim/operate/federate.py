"""A controller in another program as a policy, by HELICS (extra cosim): it sees what any policy sees, and commands.

Every time a policy would be asked, one message goes out and the answer is waited for. Time of the co-simulation is a
count of these exchanges; step and iteration stand in the message, so that commands of step t act at t. Names and
fields follow the types of OEDI-SI where they fit (`VoltagesMagnitude`, `PowersReal`, `StatesOfCharge`, `CommandList`).
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

import numpy as np

from hcsim.errors import ConfigError, HcsimError
from hcsim.operate.policy import Commands, Floats, Plan, PolicyError, Sight
from hcsim.operate.scheduled import Scheduled

PORT = 23404
ANSWER_S, BROKER_S, ARRIVAL_S = 10.0, 10.0, 120.0
"""Seconds for an answer, for a broker to take a connection, and for the controller to join."""
TOPIC = "controller/commands"
PARTS = ("voltages_magnitude", "head_powers_real", "powers_real", "powers_imaginary", "available_powers_real")
STATES = "states_of_charge"
Late = Literal["last", "schedule"]


@dataclass(frozen=True)
class FederateOptions:
    """How the feeder and the controller meet."""

    broker: str | None = None
    """tcp://HOST:PORT of a broker that runs already; None: one of our own, on `port`."""
    port: int = PORT
    commands: str = TOPIC
    """The publication whose commands act."""
    answer_s: float = ANSWER_S
    arrival_s: float = ARRIVAL_S
    late: Late = "last"
    """What acts in a step without an answer: the last commands, or the schedule."""


@dataclass
class Exchange:
    """The feeder's side of a co-simulation. Use as a context."""

    options: FederateOptions
    tell: Callable[[str], None] = lambda words: None
    late: list[int] = field(default_factory=list)
    """Exchanges that had no answer in time."""
    count: int = 0

    def __enter__(self) -> Exchange:
        self.helics = h = _helics()
        self._broker = None
        address = self.options.broker
        if address is None:
            self._broker = h.helicsCreateBroker("zmq", "", f"-f 2 --localport={self.options.port} --loglevel=no_print")
            address = h.helicsBrokerGetAddress(self._broker)
        else:
            _reach(address)
        info = h.helicsCreateFederateInfo()
        h.helicsFederateInfoSetCoreTypeFromString(info, "zmq")
        words = f"--broker={address} --federates=1 --loglevel=no_print"
        h.helicsFederateInfoSetCoreInitString(info, words)
        h.helicsFederateInfoSetFlagOption(info, h.HELICS_FLAG_UNINTERRUPTIBLE, True)
        try:
            self._federate = fed = h.helicsCreateValueFederate("hcsim", info)
        except h.HelicsException as error:
            raise ConfigError(f"The broker at {address} takes no feeder: {error}.") from None
        text = h.HELICS_DATA_TYPE_STRING
        self._topics = {
            name: h.helicsFederateRegisterGlobalPublication(fed, f"feeder/{name}", text, "")
            for name in ("sight", *PARTS, STATES, "taps", "verdict")
        }
        self._commands = h.helicsFederateRegisterSubscription(fed, self.options.commands, "")
        self.tell(f"waiting for a controller at {address}")
        h.helicsFederateEnterExecutingModeAsync(fed)
        if not self._done_within(self.options.arrival_s):
            self._pending = True
            self._leave()
            raise ConfigError(
                f"No controller has joined at {address} within {self.options.arrival_s:g} s.",
                f"Start it while hcsim waits; its commands are published as {self.options.commands}.",
            )
        h.helicsFederateEnterExecutingModeComplete(fed)
        self._pending = self._alone = False
        self.tell("the controller has joined")
        return self

    def _done_within(self, seconds: float) -> bool:
        h, until = self.helics, time.perf_counter() + seconds
        pause = 0.0
        while not h.helicsFederateIsAsyncOperationCompleted(self._federate):
            if time.perf_counter() > until:
                return False
            time.sleep(pause)
            pause = min(pause + 1e-5, 0.01)
        return True

    def publish(self, name: str, content: Mapping[str, Any]) -> None:
        """One topic; nothing goes out while an answer is outstanding."""
        if not self._pending and not self._alone:
            self.helics.helicsPublicationPublishString(self._topics[name], json.dumps(content, allow_nan=False))

    def ask(self, sight: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        """The answer, None where there is none in time. Raises PolicyError for an answer that is no command list."""
        h = self.helics
        number, self.count = self.count, self.count + 1
        if self._alone:
            self.late.append(number)
            return None
        if self._pending:  # an older answer is still outstanding: it is not waited for twice
            if not self._done_within(0.0):
                self.late.append(number)
                return None
            self._receive()  # too late for its step, and so for nothing
            if self._alone:
                return None
        for part in (*PARTS, STATES):
            self.publish(part, sight[part])
        self.publish("sight", sight)
        h.helicsFederateRequestTimeAsync(self._federate, float(number + 1))
        self._pending = True
        if not self._done_within(self.options.answer_s):
            self.late.append(number)
            return None
        return self._receive()

    def _receive(self) -> list[dict[str, Any]] | None:
        h = self.helics
        try:
            granted = h.helicsFederateRequestTimeComplete(self._federate)
        except h.HelicsException:
            granted = h.HELICS_TIME_MAXTIME
        if granted >= h.HELICS_TIME_MAXTIME:
            self._alone = True
            self.late.append(self.count - 1)
            return None
        self._pending = False
        if not h.helicsInputIsUpdated(self._commands):
            self.late.append(self.count - 1)
            return None
        text = h.helicsInputGetString(self._commands)
        try:
            answer = json.loads(text)
        except ValueError:
            raise PolicyError(f"the answer is no JSON: {text[:80]!r}") from None
        answer = answer.get("root", answer) if isinstance(answer, dict) else answer
        if not isinstance(answer, list) or not all(isinstance(c, dict) for c in answer):
            raise PolicyError("the answer is no list of commands")
        return answer

    def __exit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        """Whatever is outstanding ends with the connection; the other side may have left before."""
        h, fed = self.helics, self._federate
        with suppress(h.HelicsException):
            if self._pending:
                h.helicsCoreDisconnect(h.helicsFederateGetCore(fed))
            else:
                h.helicsFederateDisconnect(fed)
        if self._broker is not None:
            if not self._pending:  # the controller hears of the end by it
                h.helicsBrokerWaitForDisconnect(self._broker, 2000)
            h.helicsBrokerDisconnect(self._broker)
        if self._pending:
            self._done_within(2.0)
        h.helicsFederateFree(fed)
        h.helicsCloseLibrary()


class Federated:
    """The policy. What a command does not name stays as it is; a new step begins with the schedule.

    Commands are `{"obj_name": "pv.83.1", "obj_property": "p_kw", "val": 12.5}`, properties p_kw and q_kvar, of pv or
    bess and the node they stand at, kW into the network. An empty list: the controller rests.
    """

    def __init__(self, plan: Plan, exchange: Exchange) -> None:
        self.plan, self.exchange, s = plan, exchange, plan.schedule
        self._pv = {f"pv.{node}": g for g, node in enumerate(s.pv_nodes)}
        self._bess = {f"bess.{node}": d for d, node in enumerate(s.bess_nodes)}
        self._devices = [*self._pv, *self._bess]
        self._heads = [f"head.{k + 1}" for k in range(plan.planned.substation_kw.shape[1])]
        self._scheduled = Scheduled(plan)
        self.late_steps: list[int] = []

    def act(self, sight: Sight) -> Commands | None:
        """Publishes, waits, and takes what comes."""
        answer = self.exchange.ask(self.message(sight))
        if answer is None:
            self.late_steps.append(sight.step)
            if sight.iteration:
                return None
            return self._late(sight)
        if sight.iteration == 0:
            self._now = self._scheduled.commands(sight)
        elif not answer:
            return None
        self._now = self._told(answer, self._now, sight)
        return self._now

    def _late(self, sight: Sight) -> Commands:
        last = getattr(self, "_now", None)
        if last is None or self.exchange.options.late == "schedule":
            self._now = self._scheduled.commands(sight)
        else:
            self._now = Commands(
                np.minimum(last.pv_p_kw, sight.available_kw), last.pv_q_kvar, last.bess_p_kw, last.bess_q_kvar
            )
        return self._now

    def _told(self, answer: list[dict[str, Any]], now: Commands, sight: Sight) -> Commands:
        p, q, b = now.pv_p_kw.copy(), now.pv_q_kvar.copy(), now.bess_p_kw.copy()
        bess_q = np.zeros_like(b) if now.bess_q_kvar is None else now.bess_q_kvar.copy()
        asked_q = now.bess_q_kvar is not None
        for command in answer:
            name, what = str(command.get("obj_name")), str(command.get("obj_property"))
            try:
                value = float(command["val"])
            except (KeyError, TypeError, ValueError):
                raise PolicyError(f"{self._at(sight)}: {command} has no number as val.") from None
            if name in self._pv and what in ("p_kw", "q_kvar"):
                (p if what == "p_kw" else q)[self._pv[name]] = value
            elif name in self._bess and what in ("p_kw", "q_kvar"):
                (b if what == "p_kw" else bess_q)[self._bess[name]] = value
                asked_q |= what == "q_kvar"
            else:
                raise PolicyError(f"{self._at(sight)}: there is no {name} with {what}; see the ids of powers_real.")
        return Commands(p, q, b, bess_q if asked_q else None)

    def finished(self, step: int, taps: Mapping[str, int], head_kw: Floats, v_pu: Floats, why: str) -> None:
        """A step is over: what the regulators do, and how far it is from its limits."""
        nodes, network_limits = self.plan.planned.nodes, self.plan.limits
        high = network_limits.v_max_at(self.plan.planned.kv_base) - v_pu
        low = v_pu - network_limits.v_min_at(self.plan.planned.kv_base)
        room = np.fmin(high, low)
        verdict: dict[str, Any] = {"step": step, "converged": not why, "head_kw_least": float(np.min(head_kw))}
        if np.isfinite(room).any():
            n = int(np.nanargmin(room))
            verdict |= {"v_room_pu": float(room[n]), "v_room_at": nodes[n], "v_pu": float(v_pu[n])}
        self.exchange.publish("taps", {"step": step, "ids": list(taps), "values": [int(x) for x in taps.values()]})
        self.exchange.publish("verdict", verdict)

    def _at(self, sight: Sight) -> str:
        return f"federate, step {sight.step} ({self.plan.profiles.times[sight.step]})"

    def message(self, sight: Sight) -> dict[str, Any]:
        """What goes out, plain: lists beside the names of what they are of."""
        step = sight.measured_step
        return {
            "step": sight.step,
            "time": self.plan.profiles.times[sight.step],
            "iteration": sight.iteration,
            "measured_step": step,
            "voltages_magnitude": _of(self.plan.meters, sight.v_pu, "pu"),
            "head_powers_real": _of(self._heads, sight.head_kw, "kW"),
            "powers_real": _of(self._devices, sight.p_kw, "kW"),
            "powers_imaginary": _of(self._devices, sight.q_kvar, "kvar"),
            "available_powers_real": _of(list(self._pv), sight.available_kw, "kW"),
            STATES: _of([u.name for u in self.plan.schedule.bess], sight.soc_kwh, "kWh"),
        }


def _of(ids: Any, values: Floats, unit: str) -> dict[str, Any]:
    known = [float(v) if np.isfinite(v) else None for v in values]
    return {"ids": list(ids)[: len(known)], "values": known, "units": unit}


def _helics() -> ModuleType:
    try:
        import helics
    except ImportError:
        raise ConfigError(
            "Co-simulation needs HELICS, which is not installed.", "Install hcsim with its extra: hcsim[cosim]."
        ) from None
    found: ModuleType = helics
    return found


def _reach(address: str) -> None:
    """Raises HcsimError where nobody answers there."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"--broker {address} is no address.", "For one: tcp://127.0.0.1:23404")
    try:
        socket.create_connection((host, int(port)), timeout=BROKER_S).close()
    except OSError as error:
        raise HcsimError(
            f"No HELICS broker answers at {address} within {BROKER_S:g} s ({error}).",
            "Start one with `helics_broker -f 2`, or leave --broker out: hcsim then starts its own.",
        ) from None
