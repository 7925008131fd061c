"""The semidefinite relaxation of some hours as an upper bound on hosting capacity.

Reported is the dual value, which is a bound whatever the solver's last step left open. Before it is believed, the bare
feeder's own solved state of every hour is put into the program: what does not meet it is not the feeder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from optim.bounds.balance import Bound
from optim.bounds.sdp.devices import DeviceRows, Devices
from optim.bounds.sdp.hour import Hour, HourRows
from optim.bounds.sdp.rows import ConicProgram, Rows
from optim.bounds.sdp.solving import Fit, fit_of_state, need_clarabel, require_memory, solved
from optim.bounds.sdp.tree import REMEDY, TapRange, tree_of
from optim.data.network import Network
from optim.data.node import phase_number
from optim.errors import ModelError

FITS = 1e-4
"""Per unit: the largest that the solved state may be off."""


def sdp_program(
    hours: Sequence[Hour], devices: Devices, taps: Sequence[Mapping[str, TapRange]]
) -> tuple[ConicProgram, float]:
    """The program, and the kW that a unit of its objective is.

    Raises
    ------
    ModelError
        The feeder has what the relaxation cannot hold.
    """
    base_kva = max(100.0, float(np.abs(hours[0].network.loads.p_kw).sum()) / 3.0)
    rows = Rows()
    standing = DeviceRows(rows, devices, base_kva)
    placed = {*devices.pv_nodes, *(n for nodes in devices.unit_nodes for n in nodes)}
    for t, (hour, free) in enumerate(zip(hours, taps, strict=True)):
        _refuse(hour.network, placed)
        used = placed | {int(n) for n in (*hour.network.loads.node_plus, *hour.network.loads.node_minus)}
        tree = tree_of(hour.network, used, free, base_kva)
        HourRows(rows, tree, hour).write(standing.injected(t))
    return rows.program(), base_kva


def sdp_bound(
    hours: Sequence[Hour], devices: Devices, taps: Sequence[Mapping[str, TapRange]], *, memory_gib: float = 8.0
) -> tuple[Bound, Fit]:
    """Upper bound on total PV capacity over the hours, whatever the others say.

    Parameters
    ----------
    hours
        At least one.
    devices
        Sites and batteries, T steps as the hours.
    taps
        Of each hour: transformers whose taps are free within a range; the others stand as in the hour's network.
    memory_gib
        What the solver may take.

    Returns
    -------
    bound
        kW; nan with the reason in `status` where there is none.
    fit
        How far the solved states are from the program.

    Raises
    ------
    ModelError
        The feeder has what the relaxation cannot hold.
    SolverError
        Clarabel is not installed, or the program is too large for the memory.
    """
    need_clarabel()
    program, base_kva = sdp_program(hours, devices, taps)
    require_memory(program, len(hours), memory_gib)
    ceiling = np.array([hour.losses_kw for hour in hours])
    fit = fit_of_state(program)
    if not fit.worst <= FITS:
        status = (
            f"no bound: the feeder's own solved state misses the relaxation by {fit.worst:.1e} pu (equalities "
            f"{fit.equalities:.1e}, limits {fit.inequalities:.1e}, cones {fit.cones:.1e}), more than {FITS:g}"
        )
        return Bound(np.nan, ceiling, (), "sdp", status), fit
    found = solved(program)
    if not found.trusted:
        status = (
            f"no bound: the solver ended with {found.status}, which is no proof. A ceiling on losses below what "
            "the feeder has to lose in one of the hours has this effect; otherwise try fewer hours"
        )
        return Bound(np.nan, ceiling, (), "sdp", status), fit
    return Bound(found.most * base_kva, ceiling, tuple(range(len(hours))), "sdp"), fit


def _refuse(network: Network, placed: set[int]) -> None:
    """Raises ModelError, naming what is not held."""
    if network.zone:
        raise ModelError(f"The semidefinite bound is of a whole feeder, not of zone {network.zone}.", REMEDY)
    fed = {n for b in network.branches for n in b.to_nodes}
    for n in sorted(fed):
        if phase_number(network.nodes[n]) > 3:
            raise ModelError(f"{network.nodes[n]} is a neutral conductor, which the relaxation does not hold.", REMEDY)
    for n in sorted(placed):
        if network.v_reference[n] >= 0:
            raise ModelError(
                f"A device at {network.nodes[n]} stands between two conductors, which the relaxation does not hold.",
                REMEDY,
            )
    for name in network.loads.names:
        if not name.lower().startswith("load."):
            raise ModelError(f"{name} is a device of the feeder's own, which the relaxation does not hold.", REMEDY)
