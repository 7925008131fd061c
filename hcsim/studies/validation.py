"""Validate anyone's dispatch: read it, replay it beside the bare feeder, judge it, say how far off it is.

found = validate("Master.dss", "dispatch.csv", units="units.csv", out="results")
found.verdict, found.violations, found.voltages
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hcsim.cases.case import load_case
from hcsim.cases.on_axis import on_axis
from hcsim.certify.least_change import Repair, least_change
from hcsim.feeder.model import FeederModel
from hcsim.replay.operating_points import Visit, visit
from hcsim.replay.options import ReplayOptions
from hcsim.replay.result import ReplayResult, write_replay
from hcsim.replay.run import replay
from hcsim.replay.spans import ansi_counts, spans
from hcsim.replay.verdict import verdict
from hcsim.results.validation import Answer, Scales, Validation, write_validation
from hcsim.schedules.dispatch.build import Dispatch
from hcsim.schedules.dispatch.findings import findings
from hcsim.schedules.dispatch.layout import Reading
from hcsim.schedules.dispatch.read import Source, read_dispatch
from hcsim.schedules.dispatch.signs import Sign
from hcsim.schedules.dispatch.write import dispatch_table
from hcsim.schedules.edit import with_parts
from hcsim.schedules.files import write_schedule
from hcsim.util.files import output_folder, write_csv
from hcsim.util.progress import Event, Listener, silent
from hcsim.workbench.allocation import Workbench
from hcsim.workbench.own_devices import own_units
from optim.data.schedule import Schedule
from optim.data.violations import new_violations

SCALE_STEP = 0.005
"""To how fine a share the largest part of a dispatch that passes is found."""
REPAIR_STEPS = 2000
"""Longest dispatch, in steps, that a repair is sought for."""


@dataclass(frozen=True)
class Asked:
    """What the user says beside feeder and dispatch."""

    units: Source | None = None
    reading: Reading = field(default_factory=Reading)
    sign: Sign | None = None
    how_far: bool = True
    """Whether a refuted dispatch is scaled and repaired."""


def validate(
    feeder: str | Path,
    dispatch: Source | Schedule,
    *,
    units: Source | None = None,
    columns: Mapping[str, str] | None = None,
    sign: Sign | None = None,
    out: str | Path | None = None,
    how_far: bool = True,
    listener: Listener = silent,
) -> Validation:
    """Judge a dispatch on a feeder, as `hcsim validate` does.

    Parameters
    ----------
    feeder
        Master .dss file, study folder, or bundled name.
    dispatch
        A file, a pandas DataFrame, records, a mapping of columns, or a `Schedule` (kW, kvar, kWh).
    units
        Table of the devices: name, bus, phases, kind, kw, kva, kwh, eta_charge, eta_discharge, soc_min, soc_max.
    columns
        Role -> column, where names do not say: {"time": "Hour", "bus": "Bus", "p_kw": "kW"}.
    sign
        "discharge" or "charge": what is positive in a battery's one power column; None: told from SoC or losses.
    out
        Folder for validation.json, CSV, Parquet and the page; None: nothing is written.
    how_far
        Whether a refuted dispatch is also scaled until it passes, and repaired.

    Returns
    -------
    Validation
        `.verdict` ("holds", "refuted", "not_judged"), `.violations`, `.voltages`, `.dispatch_findings`, `.read_as`.

    Raises
    ------
    ConfigError
        The dispatch cannot be read, or is ambiguous: file, row, column and the choices.
    FeederError, ConvergenceError
        The feeder cannot be read, or does not converge by itself.

    Examples
    --------
    >>> import pandas as pd
    >>> day = pd.DataFrame({"hour": range(24), "pv_18_kw": [0.0] * 8 + [50.0] * 8 + [0.0] * 8})
    >>> validate("ieee123", day).verdict
    'holds'
    """
    begun = time.perf_counter()
    bench = Workbench.open(load_case(feeder))
    asked = Asked(units, Reading(dict(columns or {})), sign, how_far)
    found = judge(bench, dispatch, asked, listener=listener)
    found = replace(found, seconds=time.perf_counter() - begun)
    if out is not None:
        write_all(found, Path(out))
    return found


def judge(bench: Workbench, dispatch: Source | Schedule, asked: Asked, *, listener: Listener = silent) -> Validation:
    """`validate` on a feeder that is open already."""
    with _part(listener, "reading the dispatch") as say:
        read = _read(bench, dispatch, asked)
        say(f"{len(read.units)} devices, {len(read.schedule.times)} steps")
    model, schedule, said = _on_one_axis(bench, read)
    with _part(listener, "bare feeder") as say:
        bare = replay(model, None, ReplayOptions(progress=_counting(say)))
    options = ReplayOptions(before=bare.before)
    with _part(listener, "replay") as say:
        found = replay(model, schedule, replace(options, progress=_counting(say)))
        said_verdict = verdict(found)
        say(said_verdict.words)
    answer: Answer = {"holds": "holds", "refuted": "refuted"}.get(said_verdict.kind, "not_judged")  # type: ignore[assignment]
    scales, repair = Scales(), None
    if answer == "refuted" and asked.how_far:
        with _part(listener, "how far off") as say:
            scales = _scales(schedule, lambda s: _passes(model, s, options), say)
        if len(schedule.times) <= REPAIR_STEPS:
            with _part(listener, "smallest repair") as say:
                repair = least_change(schedule, _visitor(model, schedule, options), model.limits, bare.before)
                say(_repair_words(repair))
    return Validation(
        name=read.schedule.case,
        feeder=bench.network.name,
        verdict=answer,
        verdict_strict=_strict(found, bare, model, answer),
        words=said_verdict.words,
        read_as=(*read.read_as, *said),
        schedule=schedule,
        network=bench.network,
        replay=found,
        bare=bare,
        dispatch_findings=findings(replace(read, schedule=schedule), _sun(model, read)),
        spans=spans(found, schedule.step_h),
        ansi=ansi_counts(found, bench.network, schedule.step_h),
        curtailed_kwh=_curtailed_kwh(read),
        scales=scales,
        repair_kwh=repair.changed_kwh if repair and repair.passed else None,
        repaired=repair.schedule if repair and repair.passed else None,
        repair_words=_repair_words(repair) if answer == "refuted" and asked.how_far else "",
        model_error=_model_error(read, found),
        limits_pu=tuple(v for v in (bench.limits.v_min_pu, bench.limits.v_max_pu) if v is not None),
    )


def write_all(found: Validation, out: Path) -> Path:
    """validation.json, tables as CSV, the replay as Parquet, the schedule, the repaired dispatch, report.html."""
    from hcsim.report.validation.page import write_page

    folder = output_folder(out)
    write_validation(found, folder)
    write_replay(found.replay, folder / "replay")
    write_replay(found.bare, folder / "bare")
    write_schedule(found.schedule, folder / "schedule")
    if found.repaired is not None:
        write_csv(folder / "dispatch_repaired.csv", dispatch_table(found.repaired))
    return write_page(found, folder)


def _read(bench: Workbench, dispatch: Source | Schedule, asked: Asked) -> Dispatch:
    if isinstance(dispatch, Schedule):
        table = dispatch_table(dispatch)
        read = read_dispatch(table, bench.network, units=_units_of(dispatch), reading=asked.reading)
        return replace(read, schedule=dispatch, read_as=("A schedule of hcsim's own form.",))
    return read_dispatch(
        dispatch,
        bench.network,
        units=asked.units,
        own=own_units(bench.circuit, bench.network),
        reading=asked.reading,
        sign=asked.sign,
    )


def _units_of(schedule: Schedule) -> pd.DataFrame:
    from hcsim.schedules.dispatch.write import units_table

    return units_table(schedule)


def _on_one_axis(bench: Workbench, read: Dispatch) -> tuple[FeederModel, Schedule, tuple[str, ...]]:
    """The study's profiles over the dispatch's own steps."""
    profiles, said = on_axis(bench.profiles, read.schedule.times, read.schedule.step_h, read.start_h)
    schedule = replace(read.schedule, times=profiles.times)
    return FeederModel(bench.circuit, bench.network, profiles, bench.limits), schedule, said


def _sun(model: FeederModel, read: Dispatch) -> Any:
    return model.profiles.pv_pu if len(model.profiles) == len(read.schedule.times) else None


def _passes(model: FeederModel, schedule: Schedule, options: ReplayOptions) -> bool:
    found = replay(model, schedule, replace(options, give_up=True))
    return bool(found.converged.all()) and not len(new_violations(found.violations))


def _scales(schedule: Schedule, passes: Callable[[Schedule], bool], say: Callable[[str], None]) -> Scales:
    """Bisection from 0 to 1 for the whole and for each kind of power with the rest as it is."""
    count = 0

    def largest(**which: bool) -> float | None:
        nonlocal count

        def at(share: float) -> bool:
            nonlocal count
            count += 1
            return passes(with_parts(schedule, **dict.fromkeys(which, share)))

        if not at(0.0):
            return None
        low, high = 0.0, 1.0
        while high - low > SCALE_STEP:
            middle = (low + high) / 2.0
            low, high = (middle, high) if at(middle) else (low, middle)
        return low

    whole = largest(pv=True, charging=True, discharging=True)
    say(f"{100 * (whole or 0.0):.1f} % of it passes")
    has_bess = bool(schedule.bess_nodes)
    return Scales(
        whole,
        largest(pv=True),
        largest(charging=True) if has_bess else None,
        largest(discharging=True) if has_bess else None,
        count,
    )


def _visitor(model: FeederModel, schedule: Schedule, options: ReplayOptions) -> Callable[[Schedule], Visit]:
    ports = tuple(dict.fromkeys([*schedule.pv_nodes, *schedule.bess_nodes]))
    return lambda s: visit(model, s, ports, options)


def _repair_words(repair: Repair | None) -> str:
    if repair is None:
        return "no repair by these devices was found"
    if not repair.passed:
        left = len(new_violations(repair.replay.violations))
        return f"no repair was found: after {repair.rounds} rounds {left} new violations are left"
    energy = f"{repair.changed_kwh / 1e3:,.2f} MWh" if repair.changed_kwh >= 1e3 else f"{repair.changed_kwh:,.1f} kWh"
    return f"holds if {energy} between {repair.between[0]} and {repair.between[1]} are changed: dispatch_repaired.csv"


def _strict(found: ReplayResult, bare: ReplayResult, model: FeederModel, answer: Answer) -> Answer:
    """Against the bare feeder's own day alone, without the range in which its controls may rest."""
    from optim.data.violations import violations

    if answer == "not_judged":
        return answer
    own = violations(found.operation, model.limits, bare.operation)
    kinds = (
        found.violations[~found.violations["criterion"].isin(own["criterion"].unique())]
        if len(found.violations)
        else []
    )
    rest = len(new_violations(kinds)) if len(kinds) else 0
    return "refuted" if len(new_violations(own)) + rest else "holds"


def _curtailed_kwh(read: Dispatch) -> float:
    """What the dispatch itself leaves unused of the power that it says was available."""
    s = read.schedule
    lost = 0.0
    for name, available in read.available_kw.items():
        lost += float(np.maximum(available - s.pv_p_kw[:, list(read.columns[name])].sum(axis=1), 0.0).sum() * s.step_h)
    return lost


def _model_error(read: Dispatch, found: ReplayResult) -> dict[str, Any]:
    """The optimizer's own voltages against OpenDSS's."""
    table = read.voltages_pu
    if table.empty:
        return {}
    place = {n: i for i, n in enumerate(found.operation.nodes)}
    known = table[table["node"].isin(place)]
    if known.empty:
        return {}
    ours = found.operation.v_pu[known["step"].to_numpy(dtype=int), [place[n] for n in known["node"]]]
    off = known["v_pu"].to_numpy(dtype=float) - ours
    worst = int(np.nanargmax(np.abs(off)))
    row = known.iloc[worst]
    bus, phase = str(row["node"]).rsplit(".", 1)
    return {
        "points": len(known),
        "max_pu": float(off[worst]),
        "mean_pu": float(np.nanmean(np.abs(off))),
        "bus": bus,
        "phase": phase,
        "hour": found.operation.times[int(row["step"])],
        "claimed_pu": float(row["v_pu"]),
        "replayed_pu": float(ours[worst]),
        "nodes_unknown": len(table) - len(known),
    }


class _part:
    """A piece of the job, told to the listener."""

    def __init__(self, listener: Listener, name: str) -> None:
        self.listener, self.name, self.words = listener, name, ""

    def __enter__(self) -> Callable[[str], None]:
        self.listener(Event(self.name, "started"))
        return self._say

    def _say(self, words: str, share: float | None = None) -> None:
        self.words = words
        self.listener(Event(self.name, "working", words, share))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.listener(Event(self.name, "failed" if kind else "done", self.words, None if kind else 1.0))


def _counting(say: Callable[..., None]) -> Callable[[int, int], None]:
    return lambda done, of: say(f"{done} of {of} steps", done / of)


def compare(
    feeder: str | Path, dispatches: Sequence[Source], asked: Asked, listener: Listener = silent
) -> list[Validation]:
    """Several dispatches on one feeder, side by side."""
    bench = Workbench.open(load_case(feeder))
    return [judge(bench, dispatch, asked, listener=listener) for dispatch in dispatches]
