"""Where the bare feeder's controls may come to rest: what its own violations are, whatever the hours before were.

A regulator stands still anywhere inside its bandwidth, a switched bank between its two settings. Where a simulated
day shows them at an hour depends on the hours before; with devices under study these are other hours, and at
midnight, the devices long idle, a bus may stand a tap step lower than "before" without anything having become
worse. So the day is run twice more: every regulator at the lower edge of its band and banks coming from open, every
one at the upper edge and banks coming from closed. Whatever rest the hours before lead to lies between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hcsim.replay.options import ReplayOptions
from hcsim.replay.series import DailySeries
from optim.data.operation import Operation


def resting_days(
    series: DailySeries, *, loading: bool, regulation: bool, progress: Callable[[int, int], None] | None = None
) -> tuple[Operation, ...]:
    """The bare feeder's two extreme days, nothing where no control can rest elsewhere. A step in which they do not
    come to rest has no values. All controls stand afterwards where they stood. `progress` hears (steps done, steps
    in all)."""
    circuit = series.circuit
    held = {name.lower() for name in circuit.held}
    switched = circuit.switched_banks()
    if not switched and all(r.name.lower() in held for r in series.network.regulators):
        return ()
    days = []
    for upper in (False, True):

        def send(t: int, upper: bool = upper) -> None:
            circuit.set_capacitor_states({name: (int(upper),) * len(steps) for name, steps in switched.items()})
            if progress:
                progress(t + upper * len(series.profiles), 2 * len(series.profiles))

        with circuit.regulated_at(upper=upper):
            options = ReplayOptions("free")
            found = series.run(options, before_step=send, loading=loading, regulation=regulation).operation
        days.append(replace(found, regulator_controls=(), tap_steps=None))  # finer steps are no operations
    return tuple(days)
