"""The profiles' load multipliers as native LoadShapes, and every Load following its own."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from hcsim.devices.fleets import PREFIX
from hcsim.opendss.circuit import Circuit
from hcsim.opendss.series.shapes import own_shapes, write_shape
from optim.data.network import Network
from optim.data.profiles import Profiles

LOAD_SHAPE = f"{PREFIX}load"

_loaded: WeakKeyDictionary[Circuit, tuple[Profiles, dict[str, str]]] = WeakKeyDictionary()
"""The profiles whose values stand in the circuit, and which shape every Load was told to follow."""


def follow_loads(circuit: Circuit, network: Network, profiles: Profiles) -> None:
    """Every Load follows the column of its legs. Loads of equal columns share a shape."""
    before, followed = _loaded.get(circuit, (None, dict[str, str]()))
    if before is profiles:
        return
    own_shapes(circuit)  # before the first of them is overwritten
    if not profiles.per_load:
        write_shape(circuit, LOAD_SHAPE, profiles.step_h, profiles.load_pu)
        if set(followed.values()) != {LOAD_SHAPE}:
            circuit.command(f"batchedit load..* daily={LOAD_SHAPE}")
            followed = dict.fromkeys(_loads(circuit), LOAD_SHAPE)
        _loaded[circuit] = (profiles, followed)
        return
    shapes: dict[bytes, str] = {}
    followed = dict(followed)
    p, q = profiles.legs_pu(len(network.loads.names))
    first_leg = {name.lower(): i for i, name in reversed(list(enumerate(network.loads.names)))}
    for name, i in first_leg.items():
        if not name.startswith("load."):
            continue
        content = np.stack([p[:, i], q[:, i]]).tobytes()
        if content not in shapes:
            shapes[content] = f"{LOAD_SHAPE}_{len(shapes)}"
            write_shape(circuit, shapes[content], profiles.step_h, p[:, i], q[:, i])
        if followed.get(name) != shapes[content]:
            circuit.command(f'edit "{name}" daily={shapes[content]}')
            followed[name] = shapes[content]
    _loaded[circuit] = (profiles, followed)


def _loads(circuit: Circuit) -> list[str]:
    return [name for name in circuit.element_names() if name.startswith("load.")]
