"""--inverters: the option of replay, baseline and study, and what a terminal shows of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from hcsim.errors import ConfigError

if TYPE_CHECKING:
    from hcsim.devices.inverter_curves import InverterControl
    from hcsim.replay.inverter_day import InverterDay
    from hcsim.workbench.allocation import Workbench


class Inverters(StrEnum):
    off = "off"
    volt_var = "volt_var"
    volt_watt = "volt_watt"
    volt_var_volt_watt = "volt_var_volt_watt"


InvertersOption = Annotated[
    Inverters | None,
    typer.Option(
        help="Let PV inverters follow their own voltage instead of a schedule (curves in [inverters]). "
        "Default: [inverters] control."
    ),
]
CompareOption = Annotated[
    Inverters | None,
    typer.Option(
        "--inverters",
        help="Lay hosting capacities with autonomous inverters beside those of the schedules. "
        "Default: [inverters] compare.",
    ),
]


def control_of(bench: Workbench, word: Inverters | None) -> InverterControl | None:
    """What the option says, or study.toml where it says nothing."""
    return bench.case.config.inverters.to_control(word.value if word else None)


def refuse_in_year(case: str, word: Inverters | None) -> None:
    """A year is simulated at unity power factor only. Raises ConfigError where anything else is asked for."""
    from hcsim.cases.case import load_case

    if (word.value if word else load_case(case).config.inverters.control) != "off":
        raise ConfigError(
            "--year simulates inverters at unity power factor, not on their own.",
            "Add --inverters off, or leave --year out.",
        )


def show_day(day: InverterDay, console: Console) -> None:
    from hcsim.replay.inverter_day import day_in_words

    for sentence in day_in_words(day):
        console.print(escape(sentence), soft_wrap=True, highlight=False)
