"""What can be said of a feeder before any study: how it was read, whether the gate holds, what the linear models
are worth on it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hcsim.errors import ConfigError
from hcsim.feeder.gate import Gate, LinearizationErrors, check_gate, linearization_errors
from hcsim.feeder.ledger import VERDICTS, Ledger, Ratings
from hcsim.feeder.read import read_network
from hcsim.opendss.circuit import Circuit
from optim.data.network import Network


@dataclass(frozen=True)
class FeederCheck:
    master: Path
    network: Network
    ledger: Ledger
    gate: Gate
    linearization: LinearizationErrors
    ratings: Ratings
    notes: tuple[str, ...]
    """What was done to read the feeder's files safely, one sentence each."""
    circuit: Circuit | None = field(default=None, repr=False, compare=False)
    """As it was read, for what else is to be checked of it."""
    seconds: dict[str, float] = field(default_factory=dict)
    """compile, read, gate, linearization, total"""

    @property
    def sound(self) -> bool:
        """Whether a study may go on without being told to."""
        return self.gate.passed and not self.ledger.refused

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts; null where a number does not exist."""
        frame = self.ledger.to_frame()
        by_class = {
            str(kind): {v: int((rows["verdict"] == v).sum()) for v in VERDICTS}
            for kind, rows in frame.groupby("class", sort=True)
        }
        totals = {v: {k: float(frame.loc[frame["verdict"] == v, k].sum()) for k in ("kw", "kvar")} for v in VERDICTS}
        gate, lin, ratings = self.gate, self.linearization, self.ratings
        return {
            "feeder": self.network.name,
            "master": str(self.master),
            "nodes": len(self.network.nodes),
            "buses": len(self.network.buses),
            "elements": {
                "total": len(self.ledger),
                "by_verdict": {v: self.ledger.count(v) for v in VERDICTS},
                "by_class": by_class,
                "power_by_verdict": totals,
            },
            "gate": {
                "passed": gate.passed,
                "dv_max_pu": _number(gate.dv_max_pu),
                "worst_node": gate.worst_node,
                "dp_source_kw": _number(gate.dp_source_kw),
                "ds_source_kva": _number(gate.ds_source_kva),
                "dp_load_kw": _number(gate.dp_load_kw),
                "worst_load": gate.worst_load,
                "worst_element": gate.worst_element,
                "reason": gate.reason,
            },
            "linearization": {
                "lindist3flow_dv_max_pu": lin.lindist3flow_dv_max_pu,
                "lindist3flow_node": lin.lindist3flow_node,
                "lindist3flow_why_not": lin.lindist3flow_why,
                "lindist3flow_lossless_dv_max_pu": lin.lindist3flow_lossless_dv_max_pu,
                "tangent_dv_max_pu": lin.tangent_dv_max_pu,
                "tangent_node": lin.tangent_node,
                "tangent_why_not": lin.tangent_why,
            },
            "seconds": self.seconds.get("total", 0.0),
            "seconds_by_part": {k: v for k, v in self.seconds.items() if k != "total"},
            "refused": [{"element": row.element, "reason": row.reason} for row in self.ledger.refused],
            "approximated": reasons(self.ledger, "approximated"),
            "nodes_judged_otherwise": [
                {"node": n.node, "judged": n.judged, "reason": n.reason} for n in self.ledger.nodes
            ],
            "ratings": {
                "lines": ratings.lines,
                "missing": list(ratings.missing),
                "default_400_a": list(ratings.default),
                "absurd": list(ratings.absurd),
                "made_up": list(ratings.made_up),
            },
            "ledger": [
                {"class": kind, "elements": n, "in_program": program, "in_replay": replay}
                for kind, n, program, replay in self.ledger.roles()
            ],
            "notes": list(self.notes),
        }


def check_feeder(master: Path, zone: str = "", edits: Sequence[str] = ()) -> FeederCheck:
    """Compile, read, gate, linearize; of a `zone` only what lies behind that EnergyMeter, with [feeder] edits.

    Raises ConfigError where there is no such file, FeederError and ConvergenceError where the feeder cannot be
    read or solved.
    """
    if not master.is_file():
        raise ConfigError(f"There is no feeder file {master}.", "Name the master .dss file.")
    clock = Clock()
    circuit = Circuit.compile(master, edits=edits)
    circuit.solve(controls=False)
    clock.lap("compile")
    network, ledger = read_network(circuit, zone)
    clock.lap("read")
    return check_network(circuit, network, ledger, clock)


def check_network(circuit: Circuit, network: Network, ledger: Ledger, clock: Clock | None = None) -> FeederCheck:
    """The same for a circuit that has just been read."""
    clock = clock or Clock()
    gate = check_gate(circuit, network, ledger)
    clock.lap("gate")
    errors = linearization_errors(network)
    clock.lap("linearization")
    notes = (*circuit.notes, *absurd_voltages(network), *negative_loads(ledger))
    return FeederCheck(circuit.master, network, ledger, gate, errors, Ratings.of(ledger), notes, circuit, clock.laps())


def absurd_voltages(network: Network) -> tuple[str, ...]:
    """A sentence where judged voltages are nowhere near their base, as a wrong voltage base makes them."""
    v_pu = network.judged_v_pu(network.v_solved_v)
    far = np.flatnonzero(network.v_judged & ((v_pu < 0.5) | (v_pu > 1.5)))
    if not len(far):
        return ()
    worst = far[np.argmax(np.abs(np.log(np.maximum(v_pu[far], 1e-6))))]
    base_kv = network.v_judged_base_v[worst] / 1e3
    return (
        f"{len(far)} nodes are far from their voltage base, worst {network.nodes[worst]} at {v_pu[worst]:.3g} pu "
        f"of {base_kv:.4g} kV: a level may be missing in `set voltagebases`, or a phase is open.",
    )


def negative_loads(ledger: Ledger) -> tuple[str, ...]:
    """A sentence where loads consume less than nothing: generation, whose curve is the user's to choose."""
    rows = [row for row in ledger if row.kind == "Load" and row.kw < 0 and row.verdict != "passive"]
    if not rows:
        return ()
    named = ", ".join(f"{row.element} {row.kw:,.0f} kW" for row in rows[:5])
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return (
        f"{len(rows)} loads are negative, which is generation ({named}{more}): they follow the load profile, not the "
        'sun, unless they have a shape of their own or a column "load_pu:<name>" in the profiles.',
    )


def reasons(ledger: Ledger, verdict: str) -> list[dict[str, Any]]:
    """Reasons of a verdict, with how many elements have it and one of them."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in ledger:
        if row.verdict == verdict:
            found.setdefault((row.kind, _general(row.reason)), []).append(row.element)
    return [
        {"class": kind, "reason": reason, "elements": len(names), "example": names[0]}
        for (kind, reason), names in found.items()
    ]


def _general(reason: str) -> str:
    """A reason without the figure that differs from element to element."""
    head, at, tail = reason.partition(" at ")
    return head if at and tail[:1].isdigit() else reason


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


class Clock:
    """Seconds by part."""

    def __init__(self) -> None:
        self._begun = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[name] = round(now - self._last, 4)
        self._last = now

    def laps(self) -> dict[str, float]:
        return {**self._laps, "total": round(time.perf_counter() - self._begun, 4)}
