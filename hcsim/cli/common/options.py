"""Options that several commands have, and what becomes of them: read, checked, refused where nothing would use them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from hcsim.errors import ConfigError
from hcsim.opendss import guard
from hcsim.util import own_process
from hcsim.util.files import cannot_write

if TYPE_CHECKING:
    from hcsim.cases.defaults import SitesWanted
    from hcsim.devices.inverter_curves import InverterControl
    from hcsim.workbench.allocation import Workbench


RESULTS = "hcsim-results"
"""Where a command writes that is told no folder."""


class Program(StrEnum):
    none = "none"
    centralized = "centralized"
    distributed = "distributed"
    distributed_no_circulation = "distributed_no_circulation"


class StudyKind(StrEnum):
    allocation = "allocation"
    planning = "planning"


class Controls(StrEnum):
    free = "free"
    locked = "locked"
    both = "both"


class Inverters(StrEnum):
    off = "off"
    volt_var = "volt_var"
    volt_watt = "volt_watt"
    volt_var_volt_watt = "volt_var_volt_watt"


CaseArgument = Annotated[
    str, typer.Argument(metavar="CASE", help="Bundled case, folder with a study.toml, or a feeder's master .dss file.")
]
GapOption = Annotated[
    float | None, typer.Option(min=0.0, max=1.0, help="Stop a program when it is proven to this share: 0.002 is 0.2 %.")
]
TimeOption = Annotated[
    float | None, typer.Option("--time-limit", min=0.1, help="Guard in seconds per program; its budget is nodes.")
]
AcceptOption = Annotated[
    bool,
    typer.Option("--accept-gate", help="Go on although our network is not OpenDSS's, or elements had to be left out."),
]
SitesOption = Annotated[
    str | None,
    typer.Option(
        "--sites",
        metavar="N or FILE",
        help="With a .dss file: so many sites, spread over the feeder by electrical distance, or a CSV file of buses.",
    ),
]
DayOption = Annotated[
    str | None,
    typer.Option(
        "--day",
        metavar="DATE",
        help="A day of the feeder's yearly load shapes: 2025-05-04, worst-light (least load for its sun) or "
        "worst-peak. Default: [profiles] day.",
    ),
]
ZoneOption = Annotated[
    str | None,
    typer.Option(
        "--zone",
        metavar="METER",
        help="Only what lies behind this EnergyMeter, reverse flow judged at its head. Default: [feeder] zone.",
    ),
]
FreeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--free",
        metavar="NAME",
        help="Only these controls act where controls are free: a name "
        "(RegControl.creg1a), a class (CapControl), wildcards, all or none; repeatable. Default: [controls].",
    ),
]
LockOption = Annotated[
    list[str] | None, typer.Option("--lock", metavar="NAME", help="These controls do not act; likewise.")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with what a killed run left in the folder.")]
MarginTimeOption = Annotated[
    float | None,
    typer.Option(
        "--margin-time",
        min=0.0,
        help="Guard in seconds per program of the search for the capacity with which 95 % of the drawn "
        "days pass. Default: [certify] margin_search_s; 3600 with certify --robustness.",
    ),
]
InvertersOption = Annotated[
    Inverters | None,
    typer.Option(
        help="Let PV inverters follow their own voltage instead of a schedule (curves in [inverters]). "
        "Default: [inverters] control."
    ),
]


# -- options that hold for every command, wherever they stand ---------------------------------------------


def take_option(args: Sequence[str], option: str) -> tuple[list[str], list[str]]:
    """The arguments without `option`, and its values in their order."""
    rest: list[str] = []
    values: list[str] = []
    left = iter(args)
    for arg in left:
        if arg == "--":
            return [*rest, arg, *left], values
        if arg == option:
            value = next(left, None)
            if value is None:
                return [*rest, arg], values
            values.append(value)
        elif arg.startswith(f"{option}="):
            values.append(arg.partition("=")[2])
        else:
            rest.append(arg)
    return rest, values


def take_flag(args: Sequence[str], *names: str) -> tuple[list[str], bool]:
    """The arguments without a switch, and whether it stood among them."""
    end = args.index("--") if "--" in args else len(args)
    return [*(a for a in args[:end] if a not in names), *args[end:]], any(a in names for a in args[:end])


# -- words that have moved --------------------------------------------------------------------------------


class Command(TyperCommand):
    """A command that names the new spelling where it is given an old one, that writes in its results folder only, and
    that has the process in which feeders are tried out started while its rooms are imported."""

    def invoke(self, ctx: Any) -> Any:
        if {"case", "master"} & ctx.params.keys():
            _confine(ctx.params)
            guard.start()
        return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if is_usage_error(error) and any("--program" in p.opts for p in self.params):
                _refuse_old_spelling(given)
            raise


def _confine(params: Mapping[str, Any]) -> None:
    """Where the command runs in a process of its own: see `hcsim.util.own_process`. Raises OutputError."""
    folders = [Path(params["out"] or RESULTS)] if "out" in params else []
    try:
        own_process.confine(folders, connects=bool(params.get("scheduler")) or "broker" in params)
    except OSError as error:
        raise cannot_write(folders[0], error) from error


def is_usage_error(error: Exception) -> bool:
    """Wrong options are typer's to explain (exit code 2); its base class has moved between versions."""
    return any(cls.__name__ == "ClickException" for cls in type(error).__mro__)


def _refuse_old_spelling(args: list[str]) -> None:
    for word, following in pairwise([*args, ""]):
        name, has_value, value = word.partition("=")
        value = value if has_value else following
        if name == "--case":
            raise ConfigError("--case NAME is --program NAME now: it names a program.")
        if name == "--program" and value in list(StudyKind):
            raise ConfigError(f"--program {value} is `hcsim study CASE --study {value}` now: it names a kind of study.")


# -- options that nothing would use -----------------------------------------------------------------------


def refuse(ctx: typer.Context, names: Iterable[str], who: str, remedy: str = "") -> None:
    """Options that the user gave and that `who` ("A planning study") has no use for are wrong use, not silence.

    `names` are parameters of the command. Raises ConfigError naming every such option.
    """
    options = {p.name: p.opts[0] for p in ctx.command.params}
    idle = [options[name] for name in names if given(ctx, name)]
    if idle:
        raise ConfigError(f"{who} has no use for {', '.join(idle)}.", remedy)


def given(ctx: typer.Context, name: str) -> bool:
    """Whether the user has set a parameter, be it to its default."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name not in ("DEFAULT", "DEFAULT_MAP")


# -- what an option says ----------------------------------------------------------------------------------


def sites_wanted(option: str | None) -> SitesWanted | None:
    """--sites as the rooms want it. Raises ConfigError for a number that is none."""
    from hcsim.cases.defaults import SitesWanted

    if option is None:
        return None
    if option.lstrip("+-").isdigit():
        if int(option) < 1:
            raise ConfigError(f"--sites {option} is no number of sites.", "Give at least 1, or a CSV file of buses.")
        return SitesWanted(count=int(option))
    return SitesWanted(file=Path(option))


def same_feeder(day: str | None, zone: str | None) -> tuple[str, ...]:
    """What a command to be typed next needs to mean the same day and zone."""
    return tuple(word for k, v in (("--day", day), ("--zone", zone)) if v is not None for word in (k, v))


def control_of(bench: Workbench, word: Inverters | None) -> InverterControl | None:
    """What --inverters says, or study.toml where it says nothing."""
    return bench.case.config.inverters.to_control(word.value if word else None)


class Engines(StrEnum):
    """Which OpenDSS replays."""

    first = "first"
    both = "both"


EngineOption = Annotated[
    Engines,
    typer.Option(
        "--engine",
        help="first: the OpenDSS that hcsim runs on (DSS-Extensions). both: EPRI's own OpenDSS beside it (extra epri), "
        "same files, devices and steps, and whether both say the same.",
    ),
]


def numbers_of(text: str, option: str, example: str) -> list[float]:
    """A list of numbers with commas between. Raises ConfigError."""
    try:
        return [float(word) for word in text.replace(";", ",").split(",") if word.strip()]
    except ValueError:
        raise ConfigError(f"{option} {text!r} is no list of numbers.", f"For one: {option} {example}") from None
