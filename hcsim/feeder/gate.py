"""The gate: our network, solved by our own power flow, against OpenDSS at the same base case.

Nothing of OpenDSS's solution enters ours but the taps and states at which the network was read, so that
agreement shows that the network is the feeder. Beside it stand the errors of the linear models at that point.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hcsim.errors import FeederError
from hcsim.feeder.ledger import Ledger
from hcsim.opendss.circuit import Circuit
from optim.data.linear_model import LinearModel
from optim.data.network import Network
from optim.data.node import phase_number
from optim.data.profiles import Profiles
from optim.errors import ModelError
from optim.feeder import power_flow
from optim.linearize import lindist3flow, tangent
from optim.linearize.response import OperatingPoint

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

V_TOLERANCE_PU = 1e-6
POWER_TOLERANCE = 1e-6
"""Of the source's apparent power, and of each load's own (or of 1 kVA where it is smaller)."""
_INJECTING = ("Load", "Generator", "PVSystem", "Storage", "IndMach012", "Isource")


@dataclass(frozen=True)
class Gate:
    """How far our solution is from OpenDSS's. Quantities are infinite where ours does not converge."""

    passed: bool
    dv_max_pu: float
    """Largest phasor difference of a node, in pu of its base; line-to-line where the node floats."""
    worst_node: str
    dp_source_kw: float
    """Largest difference of active power at the source over its phases."""
    ds_source_kva: float
    dp_load_kw: float
    """Largest difference of the power that one load is served, apparent."""
    worst_load: str
    worst_element: str
    """Where the gate fails: the element at the node whose currents balance worst at OpenDSS's voltages."""
    reason: str
    """Where the gate fails: one sentence."""


@dataclass(frozen=True)
class LinearizationErrors:
    """Largest voltage error of each linear model at the base case, judged nodes, pu."""

    lindist3flow_dv_max_pu: float | None
    """None where LinDist3Flow does not apply; `lindist3flow_why` says why."""
    lindist3flow_node: str
    lindist3flow_why: str
    lindist3flow_lossless_dv_max_pu: float | None
    """The same with loads at nominal power and no losses, as paper 1 has it."""
    tangent_dv_max_pu: float | None
    tangent_node: str
    tangent_why: str


def check_gate(circuit: Circuit, network: Network, ledger: Ledger) -> Gate:
    """Compare at the state at which `network` was just read from `circuit`."""
    try:
        ours = power_flow.solve(network)
    except ModelError as error:
        worst = _worst_balance(network, ledger)
        inf = float("inf")
        return Gate(False, inf, "", inf, inf, inf, "", worst, f"{error.message} Worst balance: {worst}.")
    dv = _voltage_difference(network, ours.v_v)
    n = int(np.argmax(dv))
    theirs = circuit.substation_kva()
    size = min(len(theirs), len(ours.source_kva))
    d_source = ours.source_kva[:size] - theirs[:size]
    allowed = POWER_TOLERANCE * max(float(np.abs(theirs).sum()), 1.0)
    d_load, excess, worst_load = _served_difference(circuit, network, ours.leg_kva)
    faults = []
    if dv[n] > V_TOLERANCE_PU:
        faults.append(f"the voltage of node {network.nodes[n]} differs by {dv[n]:.2g} pu")
    if np.abs(d_source).max() > allowed:
        faults.append(f"the source's power differs by {np.abs(d_source).max():.3g} kVA")
    if excess > 1.0:
        faults.append(f"{worst_load} is served {d_load:.3g} kVA more or less")
    worst = _worst_balance(network, ledger) if faults else ""
    reason = f"Our power flow is not OpenDSS's: {'; '.join(faults)}; look at {worst}." if faults else ""
    return Gate(
        passed=not faults,
        dv_max_pu=float(dv[n]),
        worst_node=network.nodes[n],
        dp_source_kw=float(np.abs(d_source.real).max()),
        ds_source_kva=float(np.abs(d_source).max()),
        dp_load_kw=d_load,
        worst_load=worst_load,
        worst_element=worst,
        reason=reason,
    )


def require(gate: Gate, ledger: Ledger, *, accept: bool = False) -> None:
    """Raises FeederError where the gate fails or elements are refused, unless the user accepts that."""
    if accept:
        return
    remedy = "Look at `hcsim check`; go on all the same with --accept-gate."
    if ledger.refused:
        named = "; ".join(f"{row.element} ({row.reason})" for row in ledger.refused[:3])
        more = f" and {len(ledger.refused) - 3} more" if len(ledger.refused) > 3 else ""
        raise FeederError(f"The feeder has elements that the network cannot hold: {named}{more}.", remedy)
    if not gate.passed:
        raise FeederError(gate.reason, remedy)


def linearization_errors(network: Network) -> LinearizationErrors:
    """Both linear models at the base case against the voltages that OpenDSS solved there.

    LinDist3Flow with its loads as served and the base case's losses, and beside it as the paper has it.
    """
    lin_dv, lin_node, lin_why, lossless_dv = None, "", "", None
    try:
        once = Profiles(("base",), 1.0, np.ones(1), np.zeros(1))
        model = lindist3flow.linearize(network, once, (), voltage_dependent_loads=True, losses=True)
        lin_dv, lin_node = model_error(network, model, network.v_solved_v)
        lossless_dv = model_error(network, lindist3flow.linearize(network, once, ()), network.v_solved_v)[0]
    except ModelError as error:
        lin_why = error.message
    tan_dv, tan_node, tan_why = None, "", ""
    try:
        model = tangent_at(network, power_flow.solve(network).v_v, probe_port(network))
        tan_dv, tan_node = model_error(network, model, network.v_solved_v)
    except ModelError as error:
        tan_why = error.message
    return LinearizationErrors(lin_dv, lin_node, lin_why, lossless_dv, tan_dv, tan_node, tan_why)


def tangent_at(network: Network, v_v: Complexes, ports: tuple[str, ...], load_pu: float = 1.0) -> LinearModel:
    """The tangent at one solved point without devices."""
    legs = np.full(len(network.loads.names), load_pu)
    point = OperatingPoint(v_v, legs, np.zeros(len(ports)), np.zeros(len(ports)))
    return tangent.linearize(network, [point], ("base",), ports, "the base case")


def probe_port(network: Network) -> tuple[str, ...]:
    """One port, where a model must have some: the live judged node furthest down the branch list."""
    live = network.v_judged & (np.abs(network.v_solved_v) > 0.5 * network.v_base_v)
    for branch in reversed(network.branches):
        for n in branch.to_nodes:
            if live[n]:
                return (network.nodes[n],)
    raise ModelError(f"{network.name} has no node with a voltage.")


def model_error(network: Network, model: LinearModel, v_v: Complexes, p_kw: Floats | None = None) -> tuple[float, str]:
    """Largest difference of a model's judged voltages from those of the phasors (N,), and the node.

    `p_kw` (1, D) is what the ports inject; none where it is left out.
    """
    idle = np.zeros((1, len(model.ports)))
    predicted = model.voltages_pu(idle if p_kw is None else p_kw, idle)[0]
    at = [network.node_index[name] for name in model.nodes]
    error = np.abs(predicted - network.judged_v_pu(v_v)[at])
    if not len(error):
        return 0.0, ""
    worst = int(np.argmax(error))
    return float(error[worst]), model.nodes[worst]


# -- pieces -----------------------------------------------------------------------------------------------


def _voltage_difference(network: Network, v_v: Complexes) -> Floats:
    """(N,) pu. Common modes of floating nodes are OpenDSS's antifloat admittance alone: left out, and so are
    nodes that no source reaches."""
    difference = np.append(v_v - network.v_solved_v, 0.0)
    across = np.abs(difference[:-1] - difference[network.v_reference])
    base = np.where(network.v_judged_base_v > 0, network.v_judged_base_v, np.inf)
    compared = network.v_judged | _grounded_neutrals(network)
    return np.where(compared, across / base, 0.0)


def _grounded_neutrals(network: Network) -> NDArray[np.bool_]:
    """(N,) neutral conductors: no limit speaks of them, but they must be right."""
    number = np.array([phase_number(name) for name in network.nodes])
    return (number > 3) & (np.abs(network.v_solved_v) < 0.2 * network.v_base_v)


def _served_difference(circuit: Circuit, network: Network, leg_kva: Complexes) -> tuple[float, float, str]:
    """Largest |difference| in kVA over its tolerance, element by element: (kVA, times tolerance, name)."""
    ours: dict[str, complex] = {}
    for name, s in zip(network.loads.names, leg_kva, strict=True):
        ours[name.lower()] = ours.get(name.lower(), 0j) + complex(s)
    worst = (0.0, 0.0, "")
    for kind in set(circuit.classes()).intersection(_INJECTING):
        layout, powers = circuit.layout(kind), circuit.powers_kva(kind)
        for name in layout.names:
            theirs = complex(powers[layout.of(name)].sum())
            difference = abs(ours.get(name.lower(), 0j) - theirs)
            excess = difference / (POWER_TOLERANCE * max(abs(theirs), 1.0))
            if excess > worst[1]:
                worst = (difference, excess, name)
    return worst


def _worst_balance(network: Network, ledger: Ledger) -> str:
    """At OpenDSS's voltages our currents should balance at every node; the element to blame where they do
    least: one that the ledger calls approximated if there is one, else a load, else a branch. Where elements
    are refused, the first of them."""
    if ledger.refused:
        return min(ledger.refused, key=lambda row: row.kind == "Load").element  # a load is refused for another's sake
    v = network.v_solved_v
    residual = power_flow.admittance(network) @ v - power_flow.source_currents_a(network)
    loads = network.loads
    across = power_flow.leg_voltages_v(loads, v)
    drawn = np.conj(power_flow.leg_powers_kva(loads, v) * 1e3 / np.where(across == 0, 1.0, across))
    for nodes, sign in ((loads.node_plus, 1.0), (loads.node_minus, -1.0)):
        at = nodes >= 0
        np.add.at(residual, nodes[at], sign * drawn[at])
    n = int(np.argmax(np.abs(residual)))
    verdicts = {row.element: row.verdict for row in ledger}
    here = list(dict.fromkeys(_at_node(network, n)))
    doubtful = (name for name in here if verdicts.get(name) == "approximated")
    return next(doubtful, here[0] if here else f"node {network.nodes[n]}")


def _at_node(network: Network, n: int) -> Iterable[str]:
    """Names of loads, then of shunts and branches, that touch a node."""
    loads = network.loads
    for leg in np.flatnonzero((loads.node_plus == n) | (loads.node_minus == n)):
        yield loads.names[leg]
    for shunt in network.shunts:
        if n in shunt.nodes:
            yield shunt.name
    for branch in network.branches:
        if n in branch.admittance[0]:
            yield branch.name
