"""What the map's script is told, as JSON small enough to travel inside the page: 16-bit integers at true digits."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from hcsim.replay.result import ReplayResult
from hcsim.report.map.layout import WIDTH, layout
from optim.data.limits import Limits
from optim.data.network import Network
from optim.data.node import bus_of, phase_of
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule

MISSING, MOST = -32768, 32_000
V_DIGIT, LOADING_DIGIT = 1e-4, 1e-3
MOST_VALUES = 400_000
"""Voltages that a page holds; of a longer time the day with the worst hour is shown, and that is said."""
LEAST_KW = 0.05


@dataclass(frozen=True)
class Shown:
    """What the map shows of a feeder; whatever is None or empty has no layer."""

    network: Network
    limits: Limits | None = None
    profiles: Profiles | None = None
    replay: ReplayResult | None = None
    schedule: Schedule | None = None
    nodal: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Title of the layer -> a table with bus, hc_kw, criterion, binding_hour, a row per bus."""
    broken: Mapping[str, str] = field(default_factory=dict)
    """Bus -> what breaks there, in words."""
    broken_words: str = "a limit is broken there"
    layer: str = ""
    """Shown first; "": the first there is."""


def map_of(shown: Shown) -> dict[str, Any]:
    """`words` under the map and `json` in the page. Every name stays text: no "<" leaves as such."""
    drawn = layout(shown.network)
    steps, words = _steps(shown)
    content = _content(shown, steps) | {
        "x": drawn.x.tolist(),
        "y": drawn.y.tolist(),
        "width": WIDTH,
        "height": drawn.height,
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return {"json": Markup(text.replace("<", "\\u003c")), "words": " ".join(w for w in (drawn.words, words) if w)}


def _steps(shown: Shown) -> tuple[slice, str]:
    """The steps that the page has room for: all, or 24 around the voltage that is farthest from its middle."""
    if shown.replay is None:
        return slice(0, len(shown.profiles) if shown.profiles else 0), ""
    v = shown.replay.operation.v_pu
    steps = len(v)
    if v.size <= MOST_VALUES or steps <= 24:
        return slice(0, steps), ""
    far = np.nanmax(np.abs(np.nan_to_num(v, nan=1.0) - 1.0), axis=1)
    start = int(np.argmax(far)) // 24 * 24
    times = shown.replay.operation.times
    end = min(start + 24, steps)
    return slice(start, end), f"Of {steps:,} steps the map has those from {times[start]} to {times[end - 1]}."


def _content(shown: Shown, steps: slice) -> dict[str, Any]:
    network = shown.network
    position = {bus: b for b, bus in enumerate(network.buses)}
    times = _times(shown, steps)
    phases = ["".join(phase_of(network.nodes[n]) for n in network.nodes_of(bus)) for bus in network.buses]
    return {
        "name": network.name,
        "bus": list(network.buses),
        "phases": phases,
        "times": times,
        "hour": _first_hour(shown, steps),
        "layer": shown.layer,
        "digits": 1,
        "least_kw": LEAST_KW,
        **_lines(network, position),
        "source": _unique(position[bus_of(network.nodes[n])] for n in network.source_nodes),
        "regulator": _regulators(network, position),
        "limits": _limits(shown.limits, network),
        **_voltages(shown, steps, position),
        **_loading(shown, steps, position),
        "load": _loads(shown, steps, position),
        **_devices(shown, steps, position),
        "nodal": [_nodal(k, title, table, position) for k, (title, table) in enumerate(shown.nodal.items())],
        "broken": [[position[bus], words] for bus, words in shown.broken.items() if bus in position],
        "broken_words": shown.broken_words,
    }


def _first_hour(shown: Shown, steps: slice) -> int:
    """That of the most PV, else of the voltage nearest to a limit."""
    plan = shown.schedule
    if plan is not None and plan.pv_p_kw[steps].sum() > 0:
        return int(np.argmax(plan.pv_p_kw[steps].sum(axis=1)))
    if shown.replay is None:
        return 0
    v = shown.replay.operation.v_pu[steps]
    return int(np.argmax(np.nanmax(np.abs(np.nan_to_num(v, nan=1.0) - 1.0), axis=1)))


def _times(shown: Shown, steps: slice) -> list[str]:
    if shown.replay is not None:
        return list(shown.replay.operation.times[steps])
    return list(shown.profiles.times) if shown.profiles else ["the whole time"]


def _drawn_branches(network: Network, position: Mapping[str, int]) -> list[tuple[str, int, int, int]]:
    found = []
    for branch in network.branches:
        if branch.from_nodes and branch.to_nodes:
            a = position[bus_of(network.nodes[branch.from_nodes[0]])]
            b = position[bus_of(network.nodes[branch.to_nodes[0]])]
            if a != b:
                found.append((branch.name, a, b, len(branch.to_nodes)))
    return found


def _lines(network: Network, position: Mapping[str, int]) -> dict[str, Any]:
    found = _drawn_branches(network, position)
    names, near, far, phases = (list(column) for column in zip(*found, strict=True)) if found else ([], [], [], [])
    return {"line": {"name": names, "from": near, "to": far, "phases": phases}}


def _regulators(network: Network, position: Mapping[str, int]) -> list[int]:
    ends = {b.name: position[bus_of(network.nodes[b.to_nodes[0]])] for b in network.branches if b.to_nodes}
    return _unique(ends[r.transformer] for r in network.regulators if r.transformer in ends)


def _limits(limits: Limits | None, network: Network) -> dict[str, Any]:
    if limits is None:
        return {}
    first = [network.nodes_of(bus) for bus in network.buses]
    kv = np.array([network.kv_base[nodes[0]] if nodes else np.nan for nodes in first])
    found: dict[str, Any] = {}
    for side, values in (("v_min", limits.v_min_at(kv)), ("v_max", limits.v_max_at(kv))):
        each = [float(x) if np.isfinite(x) else None for x in np.broadcast_to(values, kv.shape)]
        found[side] = each[0] if len(set(each)) == 1 else each
    return found


def _voltages(shown: Shown, steps: slice, position: Mapping[str, int]) -> dict[str, Any]:
    if shown.replay is None:
        return {"v": None, "node": [], "node_phase": ""}
    operation = shown.replay.operation
    judged = [n for n in range(len(operation.nodes)) if np.isfinite(operation.v_pu[steps, n]).any()]
    nodes = [operation.nodes[n] for n in judged]
    return {
        "v": packed(operation.v_pu[steps][:, judged], V_DIGIT, offset=1.0),
        "node": [position[bus_of(n)] for n in nodes],
        "node_phase": "".join(phase_of(n)[:1] for n in nodes),
    }


def _loading(shown: Shown, steps: slice, position: Mapping[str, int]) -> dict[str, Any]:
    """Of each drawn branch the fullest phase."""
    operation = shown.replay.operation if shown.replay else None
    if operation is None or operation.loading_pu is None or not len(operation.branches):
        return {"loading": None}
    place = {name: k for k, (name, *_) in enumerate(_drawn_branches(shown.network, position))}
    values = operation.loading_pu[steps]
    most = np.full((len(values), len(place)), np.nan)
    for b, element in enumerate(operation.branches):
        k = place.get(element.rpartition(".")[0])
        if k is not None:
            most[:, k] = np.fmax(most[:, k], values[:, b])
    return {"loading": packed(most, LOADING_DIGIT) if np.isfinite(most).any() else None}


def _loads(shown: Shown, steps: slice, position: Mapping[str, int]) -> dict[str, Any] | None:
    """kW by bus and step at rated voltage."""
    if shown.profiles is None:
        return None
    legs = shown.network.loads
    kw = (shown.profiles.legs_pu(len(legs.names))[0] * legs.p_kw)[steps]
    found = np.zeros((len(kw), len(position)))
    for k, node in enumerate(legs.node_plus):
        found[:, position[bus_of(shown.network.nodes[node])]] += kw[:, k]
    return packed(found, 0.1) if len(kw) else None


def _devices(shown: Shown, steps: slice, position: Mapping[str, int]) -> dict[str, Any]:
    plan = shown.schedule
    if plan is None:
        return {"pv": None, "bess": None}
    found: dict[str, Any] = {"pv": None, "bess": None}
    hourly = shown.replay is None or len(plan.times) == len(shown.replay.operation.times)
    buses = _unique(bus_of(n) for n in plan.pv_nodes)
    if buses:
        of = np.array([buses.index(bus_of(n)) for n in plan.pv_nodes])
        member = (of[None, :] == np.arange(len(buses))[:, None]).astype(float)
        found["pv"] = {
            "bus": [position[b] for b in buses],
            "kw": np.round(member @ plan.pv_kw, 1).tolist(),
            "p": packed((plan.pv_p_kw @ member.T)[steps], 0.1) if hourly else None,
        }
    if plan.bess:
        of = np.array(plan.bess_of)
        member = (of[None, :] == np.arange(len(plan.bess))[:, None]).astype(float)
        found["bess"] = {
            "bus": [position[u.bus] for u in plan.bess],
            "kw": [round(u.power_kw, 1) for u in plan.bess],
            "kwh": [round(u.energy_kwh, 1) for u in plan.bess],
            "p": packed((plan.bess_p_kw @ member.T)[steps], 0.1) if hourly else None,
            "soc": packed(plan.soc_kwh[1:][steps], 0.1) if hourly else None,
        }
    return found


def _nodal(k: int, title: str, table: pd.DataFrame, position: Mapping[str, int]) -> dict[str, Any]:
    kw: list[float | None] = [None] * len(position)
    why = [""] * len(position)
    for row in table.itertuples():
        if row.bus in position and np.isfinite(row.hc_kw):
            kw[position[row.bus]] = round(float(row.hc_kw), 1)
            where = f" at {row.binding_element}" if row.binding_element else ""
            hour = f", {row.binding_hour}" if row.binding_hour else ""
            why[position[row.bus]] = f"{str(row.criterion).replace('_', ' ')}{where}{hour}"
    return {"key": f"nodal{k}", "title": title, "kw": kw, "why": why}


def packed(values: NDArray[np.float64], digit: float, offset: float = 0.0) -> dict[str, Any]:
    """(T, K) as base64 of little-endian 16-bit integers times a scale: `digit`, or more where the largest asks for it.

    >>> packed(np.array([[0.5, np.nan]]), 0.1)
    {'data': 'BQAAgA==', 'width': 2, 'scale': 0.1, 'offset': 0.0}
    """
    shifted = values - offset
    largest = float(np.nanmax(np.abs(shifted), initial=0.0)) if np.isfinite(shifted).any() else 0.0
    scale = digit
    while largest / scale > MOST:
        scale *= 10.0
    whole = np.where(np.isfinite(shifted), np.rint(np.nan_to_num(shifted) / scale), MISSING)
    data = base64.b64encode(whole.astype("<i2").tobytes()).decode()
    return {"data": data, "width": int(values.shape[1]), "scale": scale, "offset": offset}


def _unique(items: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(items))


def broken_buses(violations: pd.DataFrame, network: Network) -> dict[str, str]:
    """Bus -> the worst that is broken there, of a table of violations (element, phase, criterion, time, value)."""
    if not len(violations):
        return {}
    ends = {b.name.lower(): bus_of(network.nodes[b.to_nodes[0]]) for b in network.branches if b.to_nodes}
    buses = set(network.buses)
    found: dict[str, str] = {}
    for row in _worst_first(violations).itertuples():
        bus = row.element if row.element in buses else ends.get(str(row.element).lower())
        if bus is not None:
            phase = f", phase {row.phase}" if row.phase else ""
            found.setdefault(bus, f"{str(row.criterion).replace('_', ' ')}{phase} at {row.time}")
    return found


def _worst_first(violations: pd.DataFrame) -> pd.DataFrame:
    far = (violations["value"] - violations["limit"]).abs()
    return violations.assign(far=far).sort_values("far", ascending=False, kind="stable")


def worst_voltages(shown: Shown) -> dict[str, tuple[float, str, str]]:
    """Bus -> the voltage nearest to its limit or farthest beyond it: pu, phase, hour."""
    if shown.replay is None:
        return {}
    operation, limits = shown.replay.operation, shown.limits or Limits()
    kv = shown.network.kv_of(operation.nodes)
    room = np.fmin(limits.v_max_at(kv) - operation.v_pu, operation.v_pu - limits.v_min_at(kv))
    found: dict[str, tuple[float, float, str, str]] = {}
    for n, node in enumerate(operation.nodes):
        if not np.isfinite(room[:, n]).any():
            continue
        t = int(np.nanargmin(room[:, n]))
        seen = (float(room[t, n]), float(operation.v_pu[t, n]), phase_of(node), operation.times[t])
        if bus_of(node) not in found or seen[0] < found[bus_of(node)][0]:
            found[bus_of(node)] = seen
    return {bus: (v, phase, hour) for bus, (_, v, phase, hour) in found.items()}
