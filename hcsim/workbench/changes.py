"""What a utility may change in a feeder: set points, banks, inverter curves, a battery, a section of conductor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hcsim.cases.case import Case
from hcsim.devices.inverter_curves import InverterMode
from hcsim.feeder.topology import feeding_elements
from hcsim.opendss.circuit import Circuit
from hcsim.replay.result import ReplayResult
from hcsim.workbench.allocation import Workbench
from optim.data.network import Branch, Network
from optim.data.node import bus_of
from optim.data.schedule import Schedule
from optim.hosting.binding import Price

Kind = Literal["regulator", "capacitor", "inverters", "battery", "conductor"]
KINDS: tuple[Kind, ...] = ("regulator", "capacitor", "inverters", "battery", "conductor")
STEPS_V = (-4.0, -2.0, 2.0, 4.0)
"""Of a set point, on the regulator's own base (120 V)."""
_CURVES: dict[InverterMode, str] = {"volt_var": "volt-var", "volt_var_volt_watt": "volt-var and volt-watt"}


@dataclass(frozen=True)
class Change:
    """One of them."""

    name: str
    kind: Kind
    words: str
    edits: tuple[str, ...] = ()
    """OpenDSS commands that make it, as [feeder] edits takes them."""
    battery_bus: str = ""
    inverters: InverterMode | Literal[""] = ""

    def applied(self, case: Case) -> Case:
        """The case with the change in it."""
        config = case.config
        if self.edits:
            edits = (*config.feeder.edits, *self.edits)
            config = config.model_copy(update={"feeder": config.feeder.model_copy(update={"edits": edits})})
        if self.battery_bus and config.bess is not None:
            bess = config.bess.model_copy(update={"centralized_bus": self.battery_bus})
            config = config.model_copy(update={"bess": bess})
        return replace(case, config=config)


def setting_changes(circuit: Circuit, held: Sequence[str], steps_v: Sequence[float] = STEPS_V) -> list[Change]:
    """Set points of every group of regulators that keep one bus, their line-drop compensation, and every bank.

    `held` are controls that do not act, as "regcontrol.reg1": a set point changes nothing there.
    """
    return [*_regulators(circuit, held, steps_v), *_banks(circuit)]


def _regulators(circuit: Circuit, held: Sequence[str], steps_v: Sequence[float]) -> list[Change]:
    windings = {name: facts["buses"] for name, facts in circuit.facts("Transformer").items()}
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, control in circuit.facts("RegControl").items():
        if not control["enabled"] or name in held:
            continue
        at = control["bus"] or windings[f"transformer.{control['transformer'].lower()}"][int(control["winding"]) - 1]
        groups.setdefault(at.lower().split(".")[0], []).append(control)
    found = []
    for bus, controls in groups.items():
        names = ", ".join(c["name"] for c in controls)
        for step in steps_v:
            points = [float(c["vreg"]) + step for c in controls]
            edits = tuple(f'edit "regcontrol.{c["name"]}" vreg={v:g}' for c, v in zip(controls, points, strict=True))
            to = " / ".join(f"{v:g}" for v in dict.fromkeys(points))
            found.append(Change(f"regulators at {bus} {step:+g} V", "regulator", f"set point {to} V at {names}", edits))
        if any(c["r"] or c["x"] for c in controls):
            for share, word in ((0.5, "half"), (0.0, "no")):
                edits = tuple(
                    f'edit "regcontrol.{c["name"]}" r={share * c["r"]:g} x={share * c["x"]:g}' for c in controls
                )
                words = f"{word} line-drop compensation at {names}"
                found.append(Change(f"regulators at {bus}, {word} compensation", "regulator", words, edits))
    return found


def _banks(circuit: Circuit) -> list[Change]:
    controls: dict[str, list[str]] = {}
    for control in circuit.facts("CapControl").values():
        if control["enabled"]:
            controls.setdefault(str(control["capacitor"]).lower(), []).append(control["name"])
    found = []
    for bank in circuit.facts("Capacitor").values():
        name, states = bank["name"], [int(s) for s in bank["states"]]
        if not bank["enabled"]:
            continue
        mine = controls.get(name.lower(), [])
        off = tuple(f'edit "capcontrol.{c}" enabled=no' for c in mine)
        for closed in (True, False):
            if not mine and closed == any(states):
                continue  # as it stands
            word = "closed" if closed else "open"
            states_now = " ".join("1" if closed else "0" for _ in states)
            edits = (*off, f'edit "capacitor.{name}" states=({states_now})')
            words = f"bank {name} ({sum(bank['kvar']):g} kvar) {'held ' if mine else ''}{word}"
            found.append(Change(f"capacitor {name} {word}", "capacitor", words, edits))
    return found


def inverter_changes() -> list[Change]:
    """Curves of [inverters] in place of scheduled reactive power."""
    return [
        Change(f"inverters {word}", "inverters", f"every PV inverter by its {word} curve", inverters=mode)
        for mode, word in _CURVES.items()
    ]


def battery_changes(bench: Workbench, plan: Schedule, count: int) -> list[Change]:
    """The battery of [bess] at its bus, and where most PV of the plan stands; none where the case has no [bess]."""
    bess = bench.case.config.bess
    if bess is None or count < 1:
        return []
    kw = _kw_by_bus(plan)
    sites = sorted((bus for bus in kw if kw[bus] > 0), key=lambda bus: (-kw[bus], bus))
    buses = list(dict.fromkeys([bess.centralized_bus, *sites]))[:count]
    size = f"{bess.energy_kwh:,.0f} kWh, {bess.power_kw:,.0f} kW"
    return [
        Change(f"battery at {bus}", "battery", f"a battery of {size} at bus {bus}", battery_bus=bus) for bus in buses
    ]


def conductor_changes(
    bench: Workbench, plan: Schedule, replay: ReplayResult, binding: Sequence[Price], count: int
) -> list[Change]:
    """A second conductor beside the sections of line that stand between the source and where the plan is held back.

    Those over which the voltage changes most there and then; where a rating binds, that section first.
    """
    network, lines = bench.network, bench.circuit.facts("Line")
    bus, step, first = _held_at(network, plan, replay, binding)
    at = {name: i for i, name in enumerate(replay.operation.nodes)}
    v_pu: NDArray[np.float64] = replay.operation.v_pu[step]

    def change_pu(branch: Branch) -> float:
        pairs = zip(branch.from_nodes, branch.to_nodes, strict=False)
        ends = [(at.get(network.nodes[a]), at.get(network.nodes[b])) for a, b in pairs]
        apart = [abs(v_pu[a] - v_pu[b]) for a, b in ends if a is not None and b is not None]
        return float(np.nanmax(apart)) if np.isfinite(apart).any() else 0.0

    passed = feeding_elements(network)(bus)
    way = [b for b in network.branches if b.kind == "line" and b.name in passed]
    way.sort(key=lambda b: (b.name.lower() != first, -change_pu(b), b.name))
    found: list[Change] = []
    for branch in way:
        line = lines.get(branch.name.lower())
        if line is None or line["switch"] or len(found) == count:
            continue
        edit = f'edit "line.{line["name"]}" length={line["length"] / 2:.10g}'
        edit += f" normamps={2 * line['normamps']:g} emergamps={2 * line['emergamps']:g}"
        words = f"a second conductor of its own kind along {branch.name} ({line['length']:g} {_unit(line)})"
        found.append(Change(f"second conductor {branch.name}", "conductor", words, (edit,)))
    return found


def _unit(line: dict[str, Any]) -> str:
    return "of its unit of length" if str(line["units"]).lower() == "none" else str(line["units"])


def _held_at(network: Network, plan: Schedule, replay: ReplayResult, binding: Sequence[Price]) -> tuple[str, int, str]:
    """Bus and step of what binds first and lies in the feeder, and the branch where it is a rating; where nothing
    does, the bus with most PV at the sunniest step."""
    times = list(replay.operation.times)
    ends = {b.name.lower(): bus_of(network.nodes[b.to_nodes[0]]) for b in network.branches if b.to_nodes}
    for price in binding:
        if price.limit in ("overvoltage", "undervoltage"):
            return bus_of(price.element), times.index(price.time), ""
        name = price.element.rpartition(".")[0].lower()
        if price.limit == "loading" and name in ends:
            return ends[name], times.index(price.time), name
    kw = _kw_by_bus(plan)
    most = max(kw, key=lambda bus: (kw[bus], bus))
    return most, int(np.argmax(plan.pv_p_kw.sum(axis=1))), ""


def _kw_by_bus(plan: Schedule) -> dict[str, float]:
    kw: dict[str, float] = {}
    for node, size in zip(plan.pv_nodes, plan.pv_kw, strict=True):
        kw[bus_of(node)] = kw.get(bus_of(node), 0.0) + float(size)
    return kw
