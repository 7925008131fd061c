"""Which day of a year is studied: a date, or the one that is worst."""

from __future__ import annotations

import datetime
import re
from dataclasses import replace

import numpy as np

from hcsim.cases.own_time import OwnLoads
from hcsim.errors import ConfigError
from optim.data.profiles import Profiles

WORST_LIGHT, WORST_PEAK = "worst-light", "worst-peak"
DAYS = 365
SUNNY = 0.2
"""Share of its best hour from which on the sun counts for the lightest day."""
_DATE = re.compile(r"^(?:\d{4}-)?(\d{2})-(\d{2})$")


def check_day(text: str, where: str) -> None:
    """Raises ConfigError for what is neither a date nor one of the words."""
    if text not in (WORST_LIGHT, WORST_PEAK):
        day_of_year(text, where)


def day_of_year(text: str, where: str) -> int:
    """0 for 1 January. Yearly shapes have 8760 hours, so 29 February is none of their days."""
    found = _DATE.match(text)
    remedy = f'Write a date, "2025-05-04", or "{WORST_LIGHT}", the day of least load for its sun, or "{WORST_PEAK}".'
    if not found:
        raise ConfigError(f"{where}: {text!r} is no day.", remedy)
    try:
        date = datetime.date(2023, int(found[1]), int(found[2]))
    except ValueError:
        raise ConfigError(f"{where}: {text!r} is no day of a year of 8760 hours.", remedy) from None
    return date.timetuple().tm_yday - 1


def on_day(base: Profiles, own: OwnLoads, text: str, where: str) -> tuple[Profiles, str]:
    """`base` standing on a day of the feeder's yearly shapes, and a sentence on which.

    "worst-light" is the day with the least load for the sun it has: the smallest load / pv_pu of any hour with sun;
    "worst-peak" the one with the highest load of any hour. The file's sun is the same every day.
    """
    if abs(len(base) * base.step_h - 24.0) > 1e-6:
        raise ConfigError(f"{where}: the profiles have {len(base) * base.step_h:g} hours, not one day.")
    if not own.has_year:
        raise ConfigError(
            f"{where}: no load of the feeder has a shape longer than a day, so every day is the same.", "Leave it out."
        )
    if text not in (WORST_LIGHT, WORST_PEAK):
        day = day_of_year(text, where)
        return replace(
            base, start_h=24.0 * day, of_year=True
        ), f"The day is {_date(day)} of the feeder's yearly shapes."
    whole = np.array([own.total_kw(replace(base, start_h=24.0 * d, of_year=True)) for d in range(DAYS)])
    if text == WORST_PEAK:
        day, step = divmod(int(np.argmax(whole)), len(base))
        why = f"the highest load of the year, {whole[day, step]:,.0f} kW at {base.times[step]}"
    else:
        sunny = base.pv_pu >= SUNNY * max(base.pv_pu.max(), 1e-9)
        per_sun = np.where(sunny, whole / np.where(sunny, base.pv_pu, 1.0), np.inf)
        day, step = divmod(int(np.argmin(per_sun)), len(base))
        why = f"the least load for its sun, {whole[day, step]:,.0f} kW at {base.times[step]}"
    return replace(base, start_h=24.0 * day, of_year=True), f"The day is {_date(day)}, {text}: {why}."


def _date(day: int) -> str:
    date = datetime.date(2023, 1, 1) + datetime.timedelta(days=day)
    return f"{date.day} {date:%B}"
