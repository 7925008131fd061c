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
from hcsim.cases.rules import Rules, find_rules
from hcsim.certify.least_change import Repair, changed_kvarh
from hcsim.feeder.model import FeederModel
from hcsim.replay.options import ReplayOptions
from hcsim.replay.result import ReplayResult, write_replay
from hcsim.replay.run import replay
from hcsim.replay.spans import ansi_ranges, spans
from hcsim.replay.verdict import strictly_new, verdict
from hcsim.results.validation import Answer, Scales, Validation, write_validation
from hcsim.schedules.dispatch.findings import findings
from hcsim.schedules.dispatch.layout import Reading
from hcsim.schedules.dispatch.read import Source, dispatch_of, read_dispatch
from hcsim.schedules.dispatch.signs import Sign
from hcsim.schedules.dispatch.understood import Dispatch
from hcsim.schedules.dispatch.write import dispatch_table, units_table
from hcsim.schedules.files import read_schedule, write_schedule
from hcsim.studies.validate.dispatch_axis import on_one_axis
from hcsim.studies.validate.how_far import judged, pieces, repaired, scales
from hcsim.util.files import output_folder, write_csv
from hcsim.util.progress import Event, Listener, silent
from hcsim.workbench.allocation import Workbench
from hcsim.workbench.own_devices import own_units
from optim.data.schedule import Schedule
from optim.data.schedule_frame import FRAME_COLUMNS
from optim.data.violations import new_violations


@dataclass(frozen=True)
class Asked:
    """What the user says beside feeder and dispatch."""

    units: Source | None = None
    reading: Reading = field(default_factory=Reading)
    sign: Sign | None = None
    how_far: bool = True
    """Whether a refuted dispatch is scaled and repaired."""
    rules: Rules | None = None


def validate(
    feeder: str | Path,
    dispatch: Source | Schedule,
    *,
    units: Source | None = None,
    columns: Mapping[str, str] | None = None,
    sign: Sign | None = None,
    step_minutes: float | None = None,
    hour_ending: bool | None = None,
    base_kw: float | None = None,
    rules: str | Path | None = None,
    out: str | Path | None = None,
    how_far: bool = True,
    listener: Listener = silent,
) -> Validation:
    """Judge a dispatch on a feeder, as `hcsim validate` does.

    Parameters
    ----------
    feeder : str or path
        Master .dss file, study folder, or bundled name.
    dispatch : path, DataFrame, records, mapping or Schedule
        A file, a pandas DataFrame, records, a mapping of columns, or a `Schedule` (kW, kvar, kWh).
    units : path, DataFrame, records or mapping, optional
        Table of the devices: name, bus, phases, kind, kw, kva, kwh, eta_charge, eta_discharge, soc_min, soc_max.
    columns : mapping, optional
        Role -> column, where names do not say: {"time": "Hour", "bus": "Bus", "p_kw": "kW"}.
    sign : str, optional
        "discharge" or "charge": what is positive in a battery's one power column; None: told from SoC or losses.
    step_minutes : float, optional
        Length of a step, where the table only counts.
    hour_ending : bool, optional
        Whether a time label stands for the end of its step; None: told from the column's name and numbers.
    base_kw : float, optional
        kW that are 1 pu of power.
    rules : str or path, optional
        "ansi-a", "ansi-b", "en50160", "cpuc-lgp", "ny-schedule", or a TOML file (`hcsim.cases.rules`).
    out : str or path, optional
        Folder for validation.json, CSV, Parquet and the page; None: nothing is written.
    how_far : bool, default True
        Whether a refuted dispatch is also scaled until it passes, and repaired.
    listener : callable, optional
        Hears what happens; nothing is printed.

    Returns
    -------
    Validation
        `.verdict` ("holds", "refuted", "not_judged"), `.violations`, `.voltages`, `.dispatch_findings`, `.read_as`.

    Raises
    ------
    ConfigError
        The dispatch cannot be read, or is ambiguous: file, row, column and the choices.
    FeederError
        The feeder cannot be read.
    ConvergenceError
        The feeder does not converge by itself.

    Examples
    --------
    >>> import hcsim, pandas as pd
    >>> day = pd.DataFrame({"hour": range(24), "pv_18_kw": [0.0] * 8 + [50.0] * 8 + [0.0] * 8})
    >>> hcsim.validate("ieee123", day).verdict
    'holds'
    """
    begun = time.perf_counter()
    bench = Workbench.open(load_case(feeder))
    reading = Reading(dict(columns or {}), step_minutes, hour_ending, base_kw)
    asked = Asked(units, reading, sign, how_far, find_rules(rules) if rules is not None else None)
    found = judge(bench, dispatch, asked, listener=listener)
    found = replace(found, seconds=time.perf_counter() - begun)
    if out is not None:
        write_all(found, Path(out))
    return found


def judge(bench: Workbench, dispatch: Source | Schedule, asked: Asked, *, listener: Listener = silent) -> Validation:
    """`validate` on a feeder that is open already."""
    rules = asked.rules
    with _part(listener, "reading the dispatch") as say:
        read = _read(bench, dispatch, asked)
        say(f"{len(read.units)} devices, {len(read.schedule.times)} steps")
    model, read, schedule, said = on_one_axis(bench, read, rules)
    with _part(listener, "bare feeder") as say:
        bare = replay(model, None, ReplayOptions(progress=_counting(say)))
    options = ReplayOptions(before=bare.before)
    with _part(listener, "replay") as say:
        found = judged(replay(model, schedule, replace(options, progress=_counting(say))), rules, schedule.step_h)
        said_verdict = verdict(found)
        say(said_verdict.words)
    answer: Answer = {"holds": "holds", "refuted": "refuted"}.get(said_verdict.kind, "not_judged")  # type: ignore[assignment]
    scale, repair, repair_said = Scales(), None, ""
    if answer == "refuted" and asked.how_far:
        with _part(listener, "how far off") as say:
            parts, days = pieces(model, schedule, options, found)
            scale = scales(parts, days, rules, say)
        with _part(listener, "smallest repair") as say:
            repair, left_out = repaired(model, schedule, options, parts, days, rules)
            repair_said = left_out or _repair_words(schedule, repair)
            say(repair_said)
    strict = answer if answer == "not_judged" else "refuted" if len(strictly_new(found)) else "holds"
    return Validation(
        name=read.schedule.case,
        feeder=bench.network.name,
        verdict=answer,
        verdict_strict=strict,
        words=said_verdict.words,
        read_as=(*read.read_as, *said),
        schedule=schedule,
        network=bench.network,
        replay=found,
        bare=bare,
        dispatch_findings=findings(replace(read, schedule=schedule), _sun(model, read)),
        spans=spans(found, schedule.step_h),
        ansi=ansi_ranges(found, schedule.step_h),
        curtailed_kwh=_curtailed_kwh(read),
        scales=scale,
        repair_kwh=repair.changed_kwh if repair and repair.passed else None,
        repaired=repair.schedule if repair and repair.passed else None,
        source_names=read.source_names,
        source_kinds=read.source_kinds,
        repair_words=repair_said,
        model_error=_model_error(read, found),
        rules={} if rules is None else rules.to_json(),
        limits_pu=tuple(v for v in (model.limits.v_min_pu, model.limits.v_max_pu) if v is not None),
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
        names = found.source_names, found.source_kinds
        write_csv(folder / "dispatch_repaired.csv", dispatch_table(found.repaired, *names))
        write_csv(folder / "dispatch_repaired_units.csv", units_table(found.repaired, *names))
    return write_page(found, folder)


def _read(bench: Workbench, dispatch: Source | Schedule, asked: Asked) -> Dispatch:
    if isinstance(dispatch, str | Path) and (Path(dispatch) / "schedule.json").is_file():
        dispatch = read_schedule(Path(dispatch), network=bench.network)
    if isinstance(dispatch, pd.DataFrame) and set(FRAME_COLUMNS) <= set(dispatch.columns):
        dispatch = Schedule.from_frame(dispatch)
    if isinstance(dispatch, Schedule):
        return dispatch_of(dispatch)
    return read_dispatch(
        dispatch,
        bench.network,
        units=asked.units,
        own=own_units(bench.circuit, bench.network),
        reading=asked.reading,
        sign=asked.sign,
        ceilings=asked.rules is not None and asked.rules.ceilings,
    )


def _sun(model: FeederModel, read: Dispatch) -> Any:
    return model.profiles.pv_pu if len(model.profiles) == len(read.schedule.times) else None


def _repair_words(schedule: Schedule, repair: Repair | None) -> str:
    if repair is None:
        return "no repair by these devices was found"
    if not repair.passed:
        left = len(new_violations(repair.replay.violations))
        return f"no repair was found: after {repair.rounds} rounds {left} new violations are left"
    kwh, kvarh = repair.changed_kwh, changed_kvarh(schedule, repair.schedule)
    energy = f"{kwh / 1e3:,.2f} MWh" if kwh >= 1e3 else f"{kwh:,.1f} kWh"
    parts = ([energy] if kwh >= 0.05 else []) + ([f"{kvarh:,.1f} kvarh"] if kvarh >= 0.05 else [])
    when = f"between {repair.between[0]} and {repair.between[1]}"
    return f"holds if {' and '.join(parts) or energy} {when} are changed: dispatch_repaired.csv"


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
