"""`--rules`: what a standard, a tariff or a file asks of a dispatch: limits, time axis, and how they are judged.

Each rule is written out with its source, and what could not be confirmed from a public source is said beside it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import ValidationError

from hcsim.cases.config.limits import LimitsSection
from hcsim.errors import ConfigError
from hcsim.util.suggest import did_you_mean
from optim.data.limits import Limits

TimeAxis = Literal["as_given", "year"]
WEEK_H = 168.0
KEYS = ("title", "source", "asks", "unconfirmed", "time_axis", "ceilings", "limits")


@dataclass(frozen=True)
class Rules:
    """What is asked. `limits` are keys of `Limits` that take the place of the study's."""

    name: str
    title: str
    source: str
    asks: tuple[str, ...]
    unconfirmed: tuple[str, ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)
    time_axis: TimeAxis = "as_given"
    """"year": a dispatch of one day runs on every day of 8760 hours."""
    ceilings: bool = False
    """Powers are ceilings of export, by month and hour; batteries are sources that may stand at theirs at any hour."""
    week_share: float = 0.0
    """Share of a week's steps in which a voltage may lie between `v_floor_pu` and the lower limit."""
    v_floor_pu: float = 0.0

    def on(self, limits: Limits) -> Limits:
        """The study's limits with these in their place; a voltage limit holds on every level."""
        volts = {"bands": ()} if {"v_min_pu", "v_max_pu"} & self.limits.keys() and "bands" not in self.limits else {}
        return replace(limits, **{**volts, **self.limits})

    def judged(self, violations: pd.DataFrame, steps: int, step_h: float) -> pd.DataFrame:
        """What of `violations` the rules count: undervoltages above the floor only where a place has more of them in a
        week (or in a dispatch that is shorter) than `week_share` of its steps."""
        if not self.week_share or violations.empty:
            return violations
        low = (violations["criterion"] == "undervoltage").to_numpy() & (
            violations["value"].to_numpy(dtype=float) >= self.v_floor_pu
        )
        if not low.any():
            return violations
        per_week = min(round(WEEK_H / step_h), steps)
        week = violations["step"].to_numpy(dtype=int) // per_week
        key = [violations["element"], violations["phase"].astype(str), pd.Series(week, index=violations.index)]
        count = violations["step"].where(low).groupby(key).transform("count").to_numpy()
        length = np.minimum(per_week, steps - week * per_week)
        return violations[~(low & (count <= self.week_share * length))]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "asks": list(self.asks),
            "unconfirmed": list(self.unconfirmed),
            "limits": dict(self.limits),
            "time_axis": self.time_axis,
        }


_ANSI = (
    "ANSI C84.1-2020, table 1, service voltage on a base of 120 V",
    "The standard itself is sold, not public; the numbers are those that utilities print from it.",
    "Table 1 has 0.975 (range A) and 0.95 pu (range B) as the lower limit of service above 600 V; here every node is "
    "judged as a service up to 600 V, in the same way as ansi_a and ansi_b of every verdict.",
)
KNOWN: dict[str, Rules] = {
    r.name: r
    for r in (
        Rules(
            "ansi-a",
            "ANSI C84.1 range A",
            _ANSI[0],
            ("Every voltage between 114 and 126 V on 120 V (0.95 to 1.05 pu), in every step.",),
            _ANSI[1:],
            {"v_min_pu": 114.0 / 120.0, "v_max_pu": 126.0 / 120.0},
        ),
        Rules(
            "ansi-b",
            "ANSI C84.1 range B",
            _ANSI[0],
            (
                "Every voltage between 110 and 127 V on 120 V (0.9167 to 1.0583 pu), in every step. The standard means "
                "range B for limited extent and duration; how long is not in it.",
            ),
            _ANSI[1:],
            {"v_min_pu": 110.0 / 120.0, "v_max_pu": 127.0 / 120.0},
        ),
        Rules(
            "en50160",
            "EN 50160, low voltage, supply voltage variations",
            "EN 50160:2022, voltage of electricity supplied by public networks (its scope: standards.iteh.ai)",
            (
                "In every week 95 % of the 10-minute means of every voltage between 0.90 and 1.10 pu.",
                "All 10-minute means between 0.85 and 1.10 pu.",
            ),
            (
                "The standard is sold, not public; the two sentences are as secondary sources quote it.",
                "For medium voltage it has other shares (secondary sources differ); here all levels are judged alike.",
                "Steps longer than 10 minutes stand for the means within them; a dispatch shorter than a week is taken "
                "as the whole week.",
            ),
            {"v_min_pu": 0.90, "v_max_pu": 1.10},
            week_share=0.05,
            v_floor_pu=0.85,
        ),
        Rules(
            "cpuc-lgp",
            "Limited Generation Profile, California Rule 21",
            "CPUC D.20-09-035 (R.17-07-007) and the resolution of 21 March 2024 as IREC reports it (irecusa.org, "
            "'Milestone decision by California regulators approves the use of DER schedules')",
            (
                "The profile is the most that a project exports at each time of the year; it must fit the grid at "
                "every hour of the year.",
                "Read here: 288 values (month and hour), 24 or 12 values by month (with hours of the day where two "
                "blocks differ), 24 hours of a day that is the same all year, or a whole year; each device stands at "
                "its ceiling at every hour of 8760.",
            ),
            (
                "What exactly the 24 values of the approved configuration are could not be read in a public source; "
                "they are taken as written in the table, by month and block of hours.",
                "The utility's own study uses the Integration Capacity Analysis and its margins, which are not "
                "modelled; here the feeder is simulated with the study's limits.",
            ),
            time_axis="year",
            ceilings=True,
        ),
        Rules(
            "ny-schedule",
            "Storage schedule as filed, New York",
            "New York Standardized Interconnection Requirements with energy storage, order of April 2018 and its "
            "Appendix K (ny-best.org, policy documents)",
            (
                "The applicant says how storage will be run; that schedule is studied, on every day of the year.",
                "A schedule of one day repeats on all 365 days; one of a year is taken as it is. A day must end with "
                "the energy with which it began.",
            ),
            (
                "Which days a utility studies, and with which load, could not be confirmed: all 8760 hours are run "
                "with the study's loads.",
            ),
            time_axis="year",
        ),
    )
}


def find_rules(name: str | Path) -> Rules:
    """One of KNOWN, or a TOML file: title, source, asks, unconfirmed, time_axis ("as_given" or "year"), ceilings, and
    [limits] with keys of a study.toml. Raises ConfigError naming the key."""
    text = str(name)
    if text.lower() in KNOWN:
        return KNOWN[text.lower()]
    path = Path(text).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"--rules {text}: neither a known set of rules nor a file.",
            f"{did_you_mean(text.lower(), list(KNOWN))} Known: {', '.join(KNOWN)}.".strip(),
        )
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path} is no TOML: {error}.", "See docs/validate_a_dispatch.md.") from None
    return _from_file(path, content)


def _from_file(path: Path, content: dict[str, Any]) -> Rules:
    for key in content:
        if key not in KEYS:
            raise ConfigError(f"{path}: key {key!r} is unknown.", did_you_mean(key, KEYS))
    for key, kind in (("title", str), ("source", str), ("ceilings", bool), ("limits", dict)):
        if key in content and not isinstance(content[key], kind):
            raise ConfigError(f"{path}: key {key!r} is no {kind.__name__}.")
    axis = content.get("time_axis", "as_given")
    if axis not in ("as_given", "year"):
        raise ConfigError(f"{path}: time_axis {axis!r} is unknown.", 'Write "as_given" or "year".')
    given = content.get("limits", {})
    try:
        whole = LimitsSection(**given).to_limits()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "limits"
        raise ConfigError(
            f"{path}, [limits] {where}: {first['msg']}.", did_you_mean(where, list(LimitsSection.model_fields))
        ) from None
    names = {"voltage_worse_pu": "v_worse_pu", "loading_worse_pct": "loading_worse"}
    taken = {names.get(k, k): getattr(whole, names.get(k, k)) for k in given if k != "existing"}

    def listed(key: str) -> tuple[str, ...]:
        value = content.get(key, ())
        return (value,) if isinstance(value, str) else tuple(str(v) for v in value)

    return Rules(
        path.stem,
        content.get("title", path.stem),
        content.get("source", str(path)),
        listed("asks"),
        listed("unconfirmed"),
        taken,
        axis,
        content.get("ceilings", False),
    )
