"""What a simulation stands on: a compiled circuit, its network, the profiles of a day, and limits to judge it by."""

from __future__ import annotations

from dataclasses import dataclass

from hcsim.opendss.circuit import Circuit
from optim.data.limits import Limits
from optim.data.network import Network
from optim.data.profiles import Profiles


@dataclass(frozen=True)
class FeederModel:
    """Circuit, network, profiles and limits that belong together: the network was read from this very circuit.

    >>> import hcsim
    >>> model = hcsim.Workbench.open("ieee33").model
    >>> len(model.network.buses), len(model.profiles)
    (33, 24)
    """

    circuit: Circuit
    network: Network
    profiles: Profiles
    limits: Limits
