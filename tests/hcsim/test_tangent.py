"""The tangent model against OpenDSS itself: exact at its point, and its derivatives those of finite differences.

A probe load of constant power stands at a port and is moved by a step up and down; OpenDSS solves to 1e-11. The
error of a central difference is of the order of step squared (second derivative's slope) and noise over step:
with 2 kW both stay below 1e-5 of the largest response, and 1e-4 is what the model has to keep.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from hcsim.engine import Circuit
from hcsim.feeder import read_network
from hcsim.gate import model_error, tangent_at

ROOT = Path(__file__).parent.parent.parent
FEEDERS = os.environ.get("HCSIM_FEEDERS")
STEP_KW = 2.0
RELATIVE = 1e-4
CASES = {  # master, ports
    "ieee123": (ROOT / "dss_models" / "ieee123" / "Master.dss", ("83.1", "66.3", "450.2", "16.3")),
    "ring": (ROOT / "tests" / "cases" / "nasty" / "loops.dss", ("b.1", "c.3")),
}
if FEEDERS:
    CASES |= {
        "ieee13": (Path(FEEDERS) / "13Bus" / "IEEE13Nodeckt.dss", ("675.1", "611.3", "634.2")),
        "ieee34": (Path(FEEDERS) / "34Bus" / "ieee34Mod1.dss", ("848.1", "890.3", "838.2")),
        "centre tap": (ROOT / "tests" / "cases" / "nasty" / "no_bases.dss", ("c.1", "b.3")),
    }


class Probe:
    """A circuit with a probe at every port, and what OpenDSS says for a step at one of them."""

    def __init__(self, master, ports):
        self.circuit = Circuit.compile(master)
        self.circuit.solve(controls=False, tolerance=1e-11, max_iterations=1000)
        self.network, _ = read_network(self.circuit)
        self.ports = ports
        for name in ports:
            bus, phase = name.rsplit(".", 1)
            kv = float(self.network.v_base_v[self.network.node_index[name]]) / 1e3
            self.circuit.define("load", f"probe_{bus}_{phase}",
                                f"bus1={bus}.{phase} phases=1 kv={kv!r} kw=0 kvar=0 vminpu=0.01 vmaxpu=9")  # fmt: skip
        self.elements = {e.name: e for e in self.circuit.elements(["Line", "Transformer"]) if e.enabled}

    def state(self, port="", kw=0.0, kvar=0.0):
        """Voltages (N,) and source power (S,) with kw, kvar injected at a port; branch currents by row name."""
        if port:
            self.circuit.define("load", f"probe_{port.replace('.', '_')}", f"kw={-kw!r} kvar={-kvar!r}")
        self.circuit.solve(controls=False, tolerance=1e-11, max_iterations=1000)
        found = (self.circuit.voltages_v().copy(), self.circuit.substation_kva().copy(), self._currents())
        if port:
            self.circuit.define("load", f"probe_{port.replace('.', '_')}", "kw=0 kvar=0")
        return found

    def _currents(self):
        kinds = {kind: (self.circuit.layout(kind), self.circuit.currents_a(kind).copy())
                 for kind in {e.kind for e in self.elements.values()}}  # fmt: skip
        amperes = {}
        for name, element in self.elements.items():
            layout, flat = kinds[element.kind]
            for node, current in zip(element.node_ref.ravel(), flat[layout.of(name)], strict=True):
                amperes.setdefault((name, int(node)), complex(current))
        return amperes


@pytest.fixture(scope="module", params=CASES)
def probe(request):
    return Probe(*CASES[request.param])


@pytest.fixture(scope="module")
def model(probe):
    return tangent_at(probe.network, probe.network.v_solved_v, probe.ports)


def test_exact_at_its_point(probe, model):
    error, _ = model_error(probe.network, model, probe.state()[0])
    assert error < 1e-9
    source = probe.circuit.substation_kva()
    assert model.substation_base_kw[0] == pytest.approx(source.real, rel=1e-6, abs=1e-3)
    assert model.substation_base_kvar[0] == pytest.approx(source.imag, rel=1e-6, abs=1e-3)


@pytest.mark.parametrize("power", ["P", "Q"])
def test_derivatives_are_those_of_opendss(probe, model, power):
    network, at = probe.network, [probe.network.node_index[n] for n in model.nodes]
    for d, port in enumerate(probe.ports):
        step = {"kw": STEP_KW} if power == "P" else {"kvar": STEP_KW}
        up = probe.state(port, **step)
        down = probe.state(port, **{k: -v for k, v in step.items()})
        v = (network.judged_v_pu(up[0]) - network.judged_v_pu(down[0]))[at] / (2 * STEP_KW)
        ours = (model.dv_dp if power == "P" else model.dv_dq)[0, :, d]
        assert np.abs(ours - v).max() < RELATIVE * np.abs(v).max(), port
        source = (up[1] - down[1]) / (2 * STEP_KW)
        p, q = ((model.dsub_p_dp, model.dsub_q_dp) if power == "P" else (model.dsub_p_dq, model.dsub_q_dq))
        assert np.abs(p[0, :, d] + 1j * q[0, :, d] - source).max() < RELATIVE * np.abs(source).max(), port


@pytest.mark.parametrize("power", ["P", "Q"])
def test_currents_move_as_in_opendss(probe, model, power):
    """|I| at the to-side of every rated branch that feels a port, in kVA at base voltage."""
    network = probe.network
    assert model.branches
    rows = [_row(network, name) for name in model.branches]
    base = probe.state()[2]
    ours0 = model.flow_base_kw[0] + 1j * model.flow_base_kvar[0]
    kva = np.array([network.v_base_v[node] / 1e3 for _, node in rows])
    theirs0 = np.array([abs(base[row]) for row in rows])
    assert np.abs(ours0) / kva == pytest.approx(theirs0, rel=1e-6, abs=1e-6)
    for d, port in enumerate(probe.ports):
        step = {"kw": STEP_KW} if power == "P" else {"kvar": STEP_KW}
        up, down = probe.state(port, **step)[2], probe.state(port, **{k: -v for k, v in step.items()})[2]
        theirs = np.array([(abs(up[r]) - abs(down[r])) / (2 * STEP_KW) for r in rows]) * kva
        by_p, by_q = ((model.dflow_p_dp, model.dflow_q_dp) if power == "P" else (model.dflow_p_dq, model.dflow_q_dq))
        # an idle branch's |I| has a kink at zero: only those that carry ten steps have a derivative
        carrying = np.abs(ours0) > 10 * STEP_KW
        unit = ours0 / np.maximum(np.abs(ours0), 1e-9)
        ours = (np.conj(unit) * (by_p[0, :, d] + 1j * by_q[0, :, d])).real
        worst = np.abs(ours - theirs)[carrying].max(initial=0.0)
        # the second derivative of a magnitude is 1 / |I|: a wider band than for voltages, at ten steps 1e-3
        assert worst < 2e-3 * max(np.abs(theirs).max(), 1e-6), port


def _row(network, name):
    """ "Line.l115.1" -> (element, node index at its to-side)"""
    element, phase = name.rsplit(".", 1)
    branch = next(b for b in network.branches if b.name == element)
    return element, next(n for n in branch.to_nodes if network.nodes[n].endswith(f".{phase}"))
