"""What OpenDSS is told when it runs a study's day by itself, and the devices that the gates put in for a trial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from hcsim.cases.case import Case
from hcsim.devices.own_devices import clocks
from hcsim.feeder.model import FeederModel
from hcsim.opendss.circuit import Circuit
from hcsim.opendss.series.alone import AloneTask
from hcsim.opendss.series.shapes import own_shapes
from optim.data.network import Floats, Network
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule

TOLERANCE = 1e-9
SHARE_OF_LOAD = 0.02
"""Of the feeder's load: what the devices on trial have together, so that nothing tips over."""


def alone_task(model: FeederModel, case: Case, profiles: Profiles) -> AloneTask:
    """The day or year of `profiles` for OpenDSS alone. Shapes that the files give are left to OpenDSS; what follows
    the study gets the study's curve."""
    mode = "yearly" if profiles.of_year else "daily"
    commands = (*_shapes(model, case, profiles, mode), *_clocks(model.circuit, profiles.step_h), *_held(model.circuit))
    return AloneTask(
        script=model.circuit.script,
        commands=commands,
        mode=mode,
        start_h=profiles.start_h,
        step_s=profiles.step_h * 3600.0,
        steps=len(profiles),
        tolerance=max(TOLERANCE, model.circuit.finest_tolerance),
    )


def _shapes(model: FeederModel, case: Case, profiles: Profiles, mode: str) -> Iterator[str]:
    names: dict[bytes, str] = {}

    def shape(values: Floats) -> Iterator[str]:
        """Defines a curve where it is new."""
        if values.tobytes() not in names:
            names[values.tobytes()] = f"alone_{len(names)}"
            listed = " ".join(repr(float(x)) for x in values)
            yield (
                f"new LoadShape.alone_{len(names) - 1} npts={len(values)} sinterval={profiles.step_h * 3600.0!r} "
                f"mult=[{listed}]"
            )

    columns = profiles.legs_pu(len(model.network.loads.names))[0]
    leg = {name.lower(): i for i, name in enumerate(model.network.loads.names)}
    native = set(case.own.curves) - set(case.own.named(case.load_columns)) if case.own else set()
    own = own_shapes(model.circuit)
    loads = [name for name in own if name.startswith("load.")]
    if not profiles.per_load and loads:
        yield from shape(profiles.load_pu)
        yield f"batchedit load..* {mode}={names[profiles.load_pu.tobytes()]}"
    for name, has in own.items():
        kind = name.split(".", 1)[0]
        if kind == "load" and name not in native:
            if profiles.per_load and name in leg:
                values = np.ascontiguousarray(columns[:, leg[name]])
                yield from shape(values)
                yield f'edit "{name}" {mode}={names[values.tobytes()]}'
            continue
        wanted = has.of(of_year=profiles.of_year)
        by_itself = (has.yearly or has.daily) if mode == "yearly" else has.daily
        if wanted and wanted != by_itself:
            yield f'edit "{name}" {mode}={wanted}'
        if kind == "pvsystem" and not wanted:
            sun = profiles.pv_of.get(has.bus, profiles.pv_pu)
            yield from shape(sun)
            yield f'edit "{name}" {mode}={names[sun.tobytes()]}'
        if kind == "pvsystem" and mode == "daily" and has.t_yearly and not has.t_daily:
            yield f'edit "{name}" Tdaily={has.t_yearly}'


def _clocks(circuit: Circuit, step_h: float) -> Iterator[str]:
    """OpenDSS's clock stands at the end of a step; who acts at 7 o'clock shall act in the step that begins at 7."""
    for clock in clocks(circuit):
        later = (clock.hour + step_h) % 24.0
        yield f'edit "{clock.element}" {clock.key}={max(later, 1e-9) if clock.zero_is_none else later!r}'


def clock_words(circuit: Circuit) -> str:
    """What is said of clocks beside the time gate, "" where there are none."""
    named = list(dict.fromkeys(clock.element for clock in clocks(circuit)))
    if not named:
        return ""
    some = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
    return (
        f"Clocks act at the hour of the label, in OpenDSS by itself one step earlier: {some} set one step later there."
    )


def _held(circuit: Circuit) -> Iterator[str]:
    for name in circuit.held:
        yield f'edit "{name}" {"maxtapchange=0" if name.lower().startswith("regcontrol.") else "enabled=no"}'


def year_of(case: Case, steps: int) -> Profiles:
    """The first `steps` hours of the feeder's yearly shapes; what has none repeats the study's day."""
    day = case.file_profiles or case.profiles
    per_hour = max(round(1.0 / day.step_h), 1)
    hours = np.arange(steps)

    def tiled(values: Floats) -> Floats:
        return np.resize(values[::per_hour][:24], steps)

    times = tuple(f"day {h // 24 + 1} {h % 24:02d}:00" for h in hours.tolist())
    base = Profiles(times, 1.0, tiled(day.load_pu), tiled(day.pv_pu), of_year=True)
    base = replace(base, pv_of={bus: tiled(curve) for bus, curve in day.pv_of.items()})
    assert case.own is not None
    return case.own.on(base, {name: tiled(values) for name, values in case.load_columns.items()})


def trial_schedule(network: Network, profiles: Profiles, nodes: tuple[str, ...]) -> Schedule:
    """A little PV at node-phases, in the study's sun."""
    steps = len(profiles)
    load_kw = float(np.abs(network.loads.p_kw).sum())
    size_kw = np.full(len(nodes), max(SHARE_OF_LOAD * load_kw, 1.0) / max(len(nodes), 1))
    none = np.zeros((steps, 0))
    return Schedule(
        case="trial",
        times=profiles.times,
        step_h=profiles.step_h,
        pv_nodes=nodes,
        pv_kw=size_kw,
        pv_p_kw=profiles.sun(nodes) * size_kw,
        pv_q_kvar=np.zeros((steps, len(nodes))),
        bess=(),
        bess_nodes=(),
        bess_of=(),
        p_charge_kw=none,
        p_discharge_kw=none,
        soc_kwh=np.zeros((steps + 1, 0)),
    )
