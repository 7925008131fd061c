"""Neutral conductors out of the two-ports: voltages are then those from phase to neutral.

A neutral that is grounded nowhere behind a branch carries back what the phases carry: I_n = -sum I_p, and the drop
of V_p - V_n is that of the loop, z_pq - z_pn - z_nq + z_nn, exactly. One that is grounded behind it as well as before
(multi-grounded) is taken for earth there, V_n = 0: the Kron reduction z_pq - z_pn z_nn^-1 z_nq, which the resistance
of real electrodes makes approximate.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optim.data.network import Branch, Network
from optim.data.node import phase_number

_GROUNDED = 1e-9
"""Siemens: an admittance to ground below this is OpenDSS's stand-in for none."""


def without_neutrals(network: Network) -> Network:
    """The network with every branch between phases only; itself where no node is judged against a neutral."""
    between = network.between_phases
    neutrals = {int(m) for m in network.v_reference[(network.v_reference >= 0) & ~between]}
    carried = {
        n for b in network.branches for n in b.to_nodes if not network.v_judged[n] and _numbered_neutral(network, n)
    }
    neutrals |= carried
    if not neutrals:
        return network
    earthed = _grounded_behind(network, neutrals)
    return replace(
        network, branches=tuple(_reduced(b, neutrals, earthed) if b.kind != "source" else b for b in network.branches)
    )


def _numbered_neutral(network: Network, n: int) -> bool:
    return phase_number(network.nodes[n]) > 3


def _grounded_behind(network: Network, neutrals: set[int]) -> set[int]:
    """Neutral nodes with an electrode at them or farther from the source on the same conductor."""
    found = {
        n
        for shunt in network.shunts
        for i, n in enumerate(shunt.nodes)
        if n in neutrals and abs(shunt.y_s[i].sum()) > _GROUNDED
    }
    for branch in reversed(network.branches):
        here = found.intersection(branch.to_nodes)
        if here and branch.kind in ("line", "switch", "reactor"):
            found.update(n for n in branch.from_nodes if n in neutrals)
    return found


def _reduced(branch: Branch, neutrals: set[int], earthed: set[int]) -> Branch:
    to = [i for i, n in enumerate(branch.to_nodes) if n not in neutrals]
    out = [i for i, n in enumerate(branch.to_nodes) if n in neutrals]
    source = [i for i, n in enumerate(branch.from_nodes) if n not in neutrals]
    if not to or (not out and len(source) == len(branch.from_nodes)):
        return branch
    z, transfer = branch.z_ohm, branch.transfer
    line = branch.kind in ("line", "switch", "reactor")
    if len(out) == 1 and not (line and branch.to_nodes[out[0]] in earthed):
        (m,) = out
        z = z - z[:, [m]] - z[[m], :] + z[m, m]
        transfer = transfer - transfer[[m], :]
    elif out:
        across = np.linalg.solve(z[np.ix_(out, out)], z[out, :])
        z = z - z[:, out] @ across
    return replace(
        branch,
        from_nodes=tuple(branch.from_nodes[i] for i in source),
        to_nodes=tuple(branch.to_nodes[i] for i in to),
        transfer=transfer[np.ix_(to, source)],
        z_ohm=z[np.ix_(to, to)],
        y_from_s=branch.y_from_s[np.ix_(source, source)],
        y_to_s=branch.y_to_s[np.ix_(to, to)],
        prim_nodes=(),
        y_prim_s=None,
    )
