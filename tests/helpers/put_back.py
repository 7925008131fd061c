"""Sizes of a study put back by plain OpenDSS in a process of its own (`plain_day.py`): the question, and the answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hcsim.feeder.read import read_network
from hcsim.feeder.unbalance import three_phase_buses
from hcsim.hosting.hour_reading import lines_are_rated
from hcsim.opendss.circuit import Circuit
from hcsim.replay.recording import BranchMap
from optim.data.limits import Limits
from optim.data.network import Network
from optim.data.profiles import Profiles

LIMITS = (
    "v_max_pu",
    "v_min_pu",
    "substation_min_kw",
    "loading_max_pu",
    "unbalance_max_pct",
    "regulator_min_kw",
    "tap_operations_max",
    "v_worse_pu",
)


class PlainOpenDss:
    """A feeder of which plain OpenDSS is asked; what is judged there, by name."""

    def __init__(self, master: Path, profiles: Profiles, limits: Limits, kind: str = "generation") -> None:
        circuit = Circuit.compile(master)
        circuit.solve(controls=False)
        self.network = network = read_network(circuit)[0]
        share = profiles.pv_pu if kind == "generation" else np.ones(len(profiles))
        self._question: dict[str, Any] = {
            "master": str(master),
            "load_pu": profiles.load_pu.tolist(),
            "share": share.tolist(),
            "step_h": profiles.step_h,
            "kind": kind,
            "nodes": {
                network.nodes[n]: [float(network.v_judged_base_v[n]), self._reference(n)] for n in _judged(network)
            },
            "source": [network.nodes[n] for n in network.source_nodes],
            "rated": _rated(BranchMap.of(circuit, network), network),
            "regulators": _regulators(network),
            "triples": list(three_phase_buses(network)),
            "limits": {name: getattr(limits, name) for name in LIMITS},
        }

    def _reference(self, n: int) -> str:
        other = int(self.network.v_reference[n])
        return self.network.nodes[other] if other >= 0 else ""

    def devices(self, nodes: Sequence[str], kw: float) -> list[list[Any]]:
        """Equal power at every node; between two phases where a node has no ground."""
        network, found = self.network, []
        for name in nodes:
            n = network.node_index[name]
            other = self._reference(n)
            bus = f"{name}.{other.rsplit('.', 1)[1]}" if other else name
            volts = network.v_judged_base_v[n] if other else network.v_base_v[n]
            found.append([bus, 2 if other else 1, float(volts) / 1e3, kw / len(nodes)])
        return found

    def broken(self, asked: Iterable[tuple[Sequence[str], float]]) -> list[dict[str, list[Any]]]:
        """Per (nodes, kW): criterion -> [beyond, place, step] of its worst new violation over the day, and under
        "strict:criterion" where only the bare feeder's own day counts as before."""
        question = self._question | {"asked": [{"devices": self.devices(nodes, kw)} for nodes, kw in asked]}
        script = Path(__file__).with_name("plain_day.py")
        run = subprocess.run(
            [sys.executable, str(script)], input=json.dumps(question), capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr[-2000:]
        return json.loads(run.stdout)


def _judged(network: Network) -> list[int]:
    return np.flatnonzero(network.v_judged).tolist()


def _rated(branches: BranchMap, network: Network) -> list[list[Any]]:
    lines_too = lines_are_rated(network)
    by_name = {b.name.lower(): b for b in network.branches}
    found = []
    for name, ampere in zip(branches.names, branches.rated_a, strict=True):
        element, _, phase = name.rpartition(".")
        if np.isfinite(ampere) and (lines_too or not element.lower().startswith("line.")):
            ends = [network.nodes[n] for n in by_name[element.lower()].to_nodes]
            found.append([element, next(e for e in ends if e.rsplit(".", 1)[1] == phase), float(ampere)])
    return found


def _regulators(network: Network) -> list[list[Any]]:
    """Source-side nodes; one entry for the whole where the winding lies between two phases, or floats."""
    found = []
    for branch in network.branches:
        if branch.kind == "regulator":
            nodes = [network.nodes[n] for n in branch.from_nodes]
            whole = len(nodes) == 2 or bool((network.v_reference[list(branch.from_nodes)] >= 0).any())
            found += [[branch.name, branch.name, nodes]] if whole else [[branch.name, branch.name, [n]] for n in nodes]
    return found
