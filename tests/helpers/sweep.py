"""An independent road: a backward/forward sweep that knows a network only by its two-ports and loads."""

import numpy as np

from optim.data.network import Network
from optim.feeder.power_flow import leg_powers_kva, leg_voltages_v


def backward_forward_sweep(network: Network, iterations: int = 100) -> np.ndarray:
    """(N,) node phasors of a radial network: V_to = transfer V_from - z I_to along the branches, currents
    gathered backwards. Uses neither `Branch.y_prim_s` nor any admittance matrix of the whole."""
    assert network.feeding_branch is not None  # raises where not radial
    v = np.zeros(len(network.nodes), dtype=complex)
    drawn = np.zeros_like(v)
    for _ in range(iterations):
        forward(network, v, drawn)
        new = node_currents(network, v)
        drawn = backward(network, v, new)
    return v


def node_currents(network: Network, v: np.ndarray) -> np.ndarray:
    """(N,) amperes drawn from each node by loads, shunts and the shunt ends of branches."""
    legs = network.loads
    across = leg_voltages_v(legs, v)
    current = np.conj(leg_powers_kva(legs, v) * 1e3 / np.where(across == 0, 1.0, across))
    drawn = np.zeros(len(v) + 1, dtype=complex)
    np.add.at(drawn, legs.node_plus, current)
    np.subtract.at(drawn, legs.node_minus, current)
    drawn = drawn[:-1]
    for shunt in network.shunts:
        drawn[list(shunt.nodes)] += shunt.y_s @ v[list(shunt.nodes)]
    for branch in network.branches:
        here, there = list(branch.from_nodes), list(branch.to_nodes)
        drawn[here] += branch.y_from_s @ v[here]
        drawn[there] += branch.y_to_s @ v[there]
    return drawn


def backward(network: Network, v: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """(N,) amperes that leave the feeding branch at each node: own draw and everything downstream."""
    total = drawn.copy()
    for branch in reversed(network.branches):
        if branch.kind != "source":
            total[list(branch.from_nodes)] += branch.transfer.T @ total[list(branch.to_nodes)]
    return total


def forward(network: Network, v: np.ndarray, i_to: np.ndarray) -> None:
    for branch in network.branches:
        there = list(branch.to_nodes)
        here = v[list(branch.from_nodes)] if branch.kind != "source" else np.ones(1)
        v[there] = branch.transfer @ here - branch.z_ohm @ i_to[there]
