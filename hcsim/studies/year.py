"""`hcsim baseline --year`: hosting capacity over 8760 hours, and the year with and without it on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hcsim.cases.against_feeder import site_nodes
from hcsim.cases.site_caps import caps_of
from hcsim.cases.time_axis import TimeAxis
from hcsim.devices.held_controls import hold
from hcsim.errors import ConfigError
from hcsim.feeder.model import FeederModel
from hcsim.hosting.open_feeder import OpenFeeder, identity_of
from hcsim.hosting.result import write_baseline
from hcsim.hosting.system_wide import hosting_capacity
from hcsim.hosting.weights import shares_of
from hcsim.hosting.year_recorder import record_year
from hcsim.hosting.year_result import YearResult, YearSettings, YearStudy
from hcsim.jobs.kept_steps import KeptSteps
from hcsim.opendss.circuit import Circuit
from hcsim.replay.options import ReplayOptions
from hcsim.schedules.repeat import batteries_on
from hcsim.studies.parts.kinds import CLASSES
from hcsim.studies.runner import versions
from hcsim.util.files import to_plain_json, write_json, write_or_say
from hcsim.util.locks import alone_in_folder
from optim.data.limits import Limits
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule


@alone_in_folder
def run_year(
    opened: OpenFeeder,
    axis: TimeAxis,
    folder: Path,
    settings: YearSettings | None = None,
    *,
    bess: Schedule | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    resume: bool = False,
) -> YearStudy:
    """PV of study.toml's sites raised together over the whole year; then the year recorded without PV and
    with the capacity found. Limits are study.toml's, as in `hcsim baseline`. `bess`: the batteries of a schedule
    of the year, or of one day that is repeated, run beside the PV.

    `resume`: what an earlier run of the same has finished is taken over.

    At gaps of the profile there is no PV, so nothing new can break there. Writes baseline.json, probes.csv,
    bare/ and with_pv/ (see `record_year`) and summary.json; what cannot be written
    stands in `unwritten`. Raises ConfigError, FeederError, ConvergenceError.
    """
    settings = settings or YearSettings()
    controls = settings.controls
    config = opened.case.config
    if config.pv is None:
        raise ConfigError(f"{opened.case.study_file} has no section [pv].", "A baseline needs PV sites.")
    network, limits = opened.network, config.limits.to_limits()
    sun = axis.profiles.pv_pu.copy()
    sun[list(axis.skip_steps)] = 0.0
    profiles = replace(axis.profiles, pv_pu=sun)
    nodes = site_nodes(network, config.pv.buses, f"{opened.case.study_file}, [pv] buses")
    caps = caps_of(config.pv, network, nodes, f"{opened.case.study_file}, [pv]")
    terms = shares_of(network, nodes, settings.weights, None, caps)
    beside = batteries_on(bess, profiles) if bess else None
    circuit = Circuit.compile(opened.case.master, edits=config.feeder.edits)
    circuit.solve(controls=False)
    hold(circuit, opened.feeder.held)

    def progress_of(part: str) -> Callable[[int, int], None] | None:
        return (lambda done, total: progress(part, done, total)) if progress else None

    model = FeederModel(circuit, network, profiles, limits)
    options = ReplayOptions(controls, progress=progress_of("probes of a year"))
    asked = [settings, bess, tuple(axis.skip_steps)]
    kept = KeptSteps(folder, _identity(opened, profiles, limits), (*CLASSES, YearResult), resume=resume)
    search = partial(hosting_capacity, model, terms, options, bess=beside, tolerance_kw=settings.tolerance_kw)
    capacity = kept.do("capacity", search, asked)
    unwritten: dict[str, str] = {}
    write_or_say(unwritten, folder / "baseline.json", lambda path: write_baseline(capacity, path.parent))
    sizes = dict(zip(terms.pv_nodes, terms.sizes(capacity.hc_kw).tolist(), strict=True))
    years: dict[str, YearResult] = {}

    def record(path: Path, pv_kw: dict[str, float] | None) -> None:
        name = path.name
        watch = progress_of(f"recording {name.replace('_', ' ')}")
        with_bess = beside if name == "with_pv" else None

        def recorded() -> _Recorded:
            year = record_year(model, path, pv_kw=pv_kw, bess=with_bess, controls=controls, progress=watch)
            return year, {file: _sha256(path / file) for file in year.files}

        def whole(found: _Recorded) -> bool:
            return all((path / file).is_file() and _sha256(path / file) == of for file, of in found[1].items())

        years[name], _ = kept.do(f"year {name}", recorded, asked, ["capacity"], whole=whole)

    for name, pv_kw in (("bare", None), ("with_pv", sizes if capacity.hc_kw > 0 else None)):
        write_or_say(unwritten, folder / name, partial(record, pv_kw=pv_kw))
    study = YearStudy(profiles, limits, capacity, years, unwritten=unwritten)
    study.summary.update(
        {
            "study": "baseline over a year",
            "case": opened.case.name,
            "steps": len(profiles),
            "step_h": profiles.step_h,
            "controls": controls,
            "limits": limits,
            "hc_kw": capacity.hc_kw,
            "limit": capacity.limit,
            "power_flows": capacity.power_flows + 2 * len(profiles),
            "seconds": capacity.seconds + sum(y.seconds for y in years.values()),
            "bess": None if bess is None else {"schedule": bess.case, "steps": len(bess.times)},
            "notes": [*opened.notes, capacity.method, *_of_batteries(bess, len(profiles))],
            "scenarios": {name: year.summary() for name, year in years.items()},
            "missing": {"gaps": f"{len(axis.skip_steps)} hours are not judged"} if axis.skip_steps else {},
            "unwritten": unwritten,
        }
    )
    write_or_say(unwritten, folder / "summary.json", partial(write_json, content=study.summary))
    return study


_Recorded = tuple[YearResult, dict[str, str]]
"""... and the hash of each of its files."""


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _identity(opened: OpenFeeder, profiles: Profiles, limits: Limits) -> dict[str, Any]:
    """What the whole year depends on."""
    more = {"settings": opened.case.config.model_dump(), "loads": opened.case.load_columns, "versions": versions()}
    return identity_of("year", opened.feeder, profiles, limits, None, **to_plain_json(more))


def _of_batteries(bess: Schedule | None, steps: int) -> list[str]:
    if bess is None or len(bess.times) == steps:
        return []
    return [f"The batteries repeat the day of schedule {bess.case} every day; with PV means with PV and batteries."]
