"""The tangent model against OpenDSS itself: exact at its point, and its derivatives those of finite differences.

Every node that a device can stand at is a port (on large feeders every n-th, so that all parts are met). A generator of
constant power stands there and is moved by one and two steps up and down; OpenDSS solves to 1e-11. Richardson's
extrapolation of the two central differences leaves an error of the fourth order in the step; what remains is the
power flow's own tolerance over the step. Currents are compared as phasors, whose derivative has no kink where a
branch is idle. The issue asks for 1e-4 of the largest response of each port.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hcsim.errors import ConvergenceError
from hcsim.feeder.read import read_network
from hcsim.opendss.circuit import Circuit
from optim.linearize.response import OperatingPoint
from optim.linearize.tangent import linearize

ROOT = Path(__file__).parents[3]
FEEDERS = os.environ.get("HCSIM_FEEDERS")
NASTY = ROOT / "tests" / "cases" / "nasty"
RELATIVE = 1e-4
STEPS_PU = (2e-3, 2e-4, 2e-5)
"""A step moves the voltage where it moves most by so much. A large one may cross a corner of a load's voltage model,
over a small one the currents of short lines drown in rounding: the derivative is that of the step which agrees best."""
STEP_KVA = 2000.0
"""No step is larger. Where that does not move a voltage by FELT_PU, at a stiff source, nothing but the source's power
is compared: the power flow's rounding is as large as what happens to the rest."""
FELT_PU = 5e-5
CASES = {  # master, at most so many ports, what a device at every port feeds in already, kW + j kvar
    "ieee123": (ROOT / "dss_models" / "ieee123" / "Master.dss", 300),
    "ieee123 fed back": (ROOT / "dss_models" / "ieee123" / "Master.dss", 40, 150.0 - 40.0j),
    "ieee33": (ROOT / "dss_models" / "ieee33" / "Master.dss", 100),
    "ring": (NASTY / "loops.dss", 100),
    "delta delta": (ROOT / "tests" / "cases" / "delta_delta.dss", 100),
}
if FEEDERS:
    CASES |= {
        "ieee13": (Path(FEEDERS) / "13Bus" / "IEEE13Nodeckt.dss", 100),
        "ieee34": (Path(FEEDERS) / "34Bus" / "ieee34Mod1.dss", 100),
        "ieee34 fed back": (Path(FEEDERS) / "34Bus" / "ieee34Mod1.dss", 20, 60.0 + 20.0j),
        "ieee37": (Path(FEEDERS) / "37Bus" / "ieee37.dss", 120),
        "ckt5": (Path(FEEDERS) / "ckt5" / "Master_ckt5.dss", 12),
        "centre tap": (NASTY / "no_bases.dss", 100),
    } | {trap.stem: (trap, 100) for trap in sorted((Path(FEEDERS) / "traps").glob("*.dss"))}


class Probe:
    """A circuit with a probe at every port, and what OpenDSS says for a step at one of them."""

    def __init__(self, master, most, standing_kva=0j):
        self.standing_kva = standing_kva
        self.circuit = Circuit.compile(master)
        self._solve()
        network, _ = read_network(self.circuit)
        # only rated branches have rows: rate those that have no rating of their own
        rated = (replace(b, i_rated_a=min(b.i_rated_a, 1000.0)) for b in network.branches)
        network = self.network = replace(network, branches=tuple(rated))
        self.live = network.v_judged & (np.abs(network.v_solved_v) > 0.1 * network.v_base_v)
        every = [n for n in np.flatnonzero(self.live) if network.nodes[n].rsplit(".", 1)[1] in "123"]
        stride = -(-len(every) // most)
        self.at = every[::stride]
        self.ports = tuple(network.nodes[n] for n in self.at)
        for k, n in enumerate(self.at):
            bus, phase = network.nodes[n].rsplit(".", 1)
            other = network.v_reference[n]
            where = f"{bus}.{phase}" if other < 0 else f"{bus}.{phase}.{network.nodes[other].rsplit('.', 1)[1]}"
            kv = float(network.v_judged_base_v[n]) / 1e3
            connection = "wye" if other < 0 else "delta"
            self.circuit.define(
                "generator",
                f"probe_{k}",
                f"bus1={where} phases=1 conn={connection} kv={kv!r} "
                f"{self._words(standing_kva)} model=1 vminpu=0.01 vmaxpu=9",
            )
        self.layouts = {
            kind: self.circuit.layout(kind)
            for kind in ("Line", "Transformer", "Reactor")
            if any(b.name.lower().startswith(kind.lower() + ".") for b in network.branches)
        }

    @staticmethod
    def _words(kva):
        return f"kw={float(kva.real)!r} kvar={float(kva.imag)!r}"

    def _solve(self):
        self.circuit.solve(controls=False, tolerance=1e-11, max_iterations=1000)

    def state(self, k=-1, kva=0.0):
        """Voltages (N,) V, source power (S,) kVA, and currents (A,) A with P + jQ injected at port k."""
        if k >= 0:
            self.circuit.define("generator", f"probe_{k}", self._words(self.standing_kva + kva))
        self._solve()
        currents = [self.circuit.currents_a(kind).copy() for kind in self.layouts]
        found = self.circuit.voltages_v().copy(), self.circuit.substation_kva().copy(), np.concatenate(currents)
        if k >= 0:
            self.circuit.define("generator", f"probe_{k}", self._words(self.standing_kva))
        return found

    def slopes(self, k, direction, step):
        """Derivatives of `state` per kW (direction 1) or kvar (1j), and of the judged voltages in pu."""

        def central(h):
            up, down = self.state(k, h * direction), self.state(k, -h * direction)
            both = [(a - b) / (2 * h) for a, b in zip(up, down, strict=True)]
            return [*both, (self.network.judged_v_pu(up[0]) - self.network.judged_v_pu(down[0])) / (2 * h)]

        for own in (step, 1.01 * step, 0.99 * step):
            try:
                one, two = central(own), central(2 * own)
                break
            except ConvergenceError:  # a floating winding of 480 V goes round by rounding alone: elsewhere it rests
                self.circuit.define("generator", f"probe_{k}", self._words(self.standing_kva))
        else:
            raise ConvergenceError(f"no step near {step} kVA at {self.ports[k]} comes to rest")
        return [(4 * a - b) / 3 for a, b in zip(one, two, strict=True)]

    def current_rows(self, names):
        """Positions in the flat currents of a model's rows: "Line.l115.1" -> its to-side conductor."""
        start, first = 0, {}
        for layout in self.layouts.values():
            first |= {name.lower(): start + layout.of(name).start for name in layout.names}
            start += int(layout.offset[-1])
        elements = {e.name.lower(): e for e in self.circuit.elements(list(self.layouts))}
        branches = {b.name: b for b in self.network.branches}
        rows = []
        for row in names:
            name, phase = row.rsplit(".", 1)
            node = next(n for n in branches[name].to_nodes if self.network.nodes[n].endswith(f".{phase}"))
            inside = int(np.flatnonzero(elements[name.lower()].node_ref.ravel() == node)[0])
            rows.append((first[name.lower()] + inside, node))
        return np.array([r[0] for r in rows]), np.array([r[1] for r in rows])


@pytest.fixture(scope="module", params=CASES)
def probe(request):
    return Probe(*CASES[request.param])


@pytest.fixture(scope="module")
def model(probe):
    d = len(probe.ports)
    at = probe.standing_kva
    point = OperatingPoint(
        probe.state()[0], np.ones(len(probe.network.loads.names)), np.full(d, at.real), np.full(d, at.imag)
    )
    return linearize(probe.network, [point], ("base",), probe.ports)


def test_exact_at_its_point(probe, model):
    v_v, source, _ = probe.state()
    p, q = (np.full((1, len(probe.ports)), part) for part in (probe.standing_kva.real, probe.standing_kva.imag))
    at = [probe.network.node_index[n] for n in model.nodes]
    assert np.abs(model.voltages_pu(p, q)[0] - probe.network.judged_v_pu(v_v)[at]).max() < 1e-9
    found_kw = model.substation_base_kw[0] + model.dsub_p_dp[0] @ p[0] + model.dsub_p_dq[0] @ q[0]
    assert found_kw == pytest.approx(source.real, rel=1e-6, abs=1e-3)
    found_kvar = model.substation_base_kvar[0] + model.dsub_q_dp[0] @ p[0] + model.dsub_q_dq[0] @ q[0]
    assert found_kvar == pytest.approx(source.imag, rel=1e-6, abs=1e-3)


def test_every_device_every_phase_moves_what_it_moves_in_opendss(probe, model):
    """Voltages, substation power and branch currents, per kW and per kvar, at every port."""
    network, nodes = probe.network, [probe.network.node_index[n] for n in model.nodes]
    rows, to = probe.current_rows(model.branches)
    v_to = probe.state()[0][to]
    frame = v_to / np.abs(v_to) * network.v_base_v[to] / 1e3
    worst = {"v": (0.0, ""), "source": (0.0, ""), "current": (0.0, "")}
    for k, port in enumerate(probe.ports):
        for direction, power in ((1.0 + 0j, "p"), (1j, "q")):
            dv = getattr(model, f"dv_d{power}")[0, :, k]
            source = getattr(model, f"dsub_p_d{power}")[0, :, k] + 1j * getattr(model, f"dsub_q_d{power}")[0, :, k]
            flow = getattr(model, f"dflow_p_d{power}")[0, :, k] + 1j * getattr(model, f"dflow_q_d{power}")[0, :, k]
            found = {}
            for step in {min(pu / float(np.abs(dv).max()), STEP_KVA) for pu in STEPS_PU}:
                _, d_source, d_current, d_judged = probe.slopes(k, direction, step)
                pairs = {"source": (source, d_source)}
                if STEP_KVA * np.abs(dv).max() > FELT_PU:
                    # currents: into the element there, out of it and away from the source here
                    pairs |= {"v": (dv, d_judged[nodes]), "current": (flow, -frame * np.conj(d_current[rows]))}
                for what, (ours, theirs) in pairs.items():
                    if len(ours):
                        error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
                        found[what] = min(found.get(what, np.inf), error)
            for what, error in found.items():
                worst[what] = max(worst[what], (error, f"{power} at {port}"))
    assert max(error for error, _ in worst.values()) < RELATIVE, worst
