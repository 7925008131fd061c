"""Which parts an allocation study has, in the order in which one after the other they are told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hcsim.cases.case import Case
from hcsim.cases.config.inverters import InverterWord
from hcsim.jobs.parts import Part
from hcsim.operate.settings import OperateSettings
from hcsim.replay.recording import Controls
from hcsim.studies.parts.allocation import BareDay, Claim, ClaimReplay, PlainCapacity, baseline_keys
from hcsim.studies.parts.inverters import UNIFORM, InverterCapacity, InverterReplay, sharings
from hcsim.studies.parts.loops import Budget, ClosedLoop, OperatedCapacity, OtherDays, SpreadForm

POLICY = "follow"
"""Of the column *operated*."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a study beside its case; None: as the case has it."""

    programs: Sequence[str]
    controls: tuple[Controls, ...]
    """How the replays hold regulators."""
    gap: float | None = None
    time_limit_s: float | None = None
    certify: bool = True
    certify_time_s: float | None = None
    inverters: InverterWord | None = None
    robustness_draws: int | None = None
    margin_search_s: float | None = None
    operated_draws: int | None = None


def parts_of(case: Case, asked: Asked) -> list[Part]:
    """Each once."""
    return [*_open_loop(asked), *_inverters(case, asked), *(_closed_loop(case, asked) if asked.certify else ())]


def plans_of(programs: Sequence[str]) -> tuple[list[Part], dict[str, ClosedLoop]]:
    """The parts that end in a certificate of each program and no more, and by program the one that hands it over."""
    keys = baseline_keys(programs)
    loops = {name: ClosedLoop(name, f"baseline {keys[name]}") for name in programs}
    parts: list[Part] = [PlainCapacity(None, "none")]
    for name in programs:
        parts += [Claim(name), PlainCapacity(name, keys[name]), loops[name]]
    return parts, loops


def _open_loop(asked: Asked) -> Iterator[Part]:
    for controls in asked.controls:
        yield BareDay(controls)
    for name in asked.programs:
        yield Claim(name, asked.gap, asked.time_limit_s)
        for controls in asked.controls:
            yield ClaimReplay(name, controls)
    yield PlainCapacity(None, "none")
    for name, key in baseline_keys(asked.programs).items():
        yield PlainCapacity(name, key)


def _inverters(case: Case, asked: Asked) -> Iterator[Part]:
    section = case.config.inverters
    control = section.to_control(section.compare if asked.inverters is None else asked.inverters)
    if control is None:
        return
    for name, of in sharings(asked.programs):
        if name != UNIFORM:  # uniform at unity is the plain baseline
            yield InverterCapacity(name, of, None)
        yield InverterCapacity(name, of, control)
        for controls in asked.controls if name != UNIFORM else ():
            yield InverterReplay(name, of, control, controls)


def _closed_loop(case: Case, asked: Asked) -> Iterator[Part]:
    operate = case.config.operate
    operated = operate.draws if asked.operated_draws is None else asked.operated_draws
    own, keys = case.config.certify, baseline_keys(asked.programs)
    draws = own.robustness_draws if asked.robustness_draws is None else asked.robustness_draws
    margin_s = own.margin_search_s if asked.margin_search_s is None else asked.margin_search_s
    for name in asked.programs:
        yield ClosedLoop(name, f"baseline {keys[name]}", asked.certify_time_s)
        yield Budget(name, asked.certify_time_s)
        if draws:
            yield OtherDays(name, draws, own.robustness_s, margin_s)
        if operated:
            settings = OperateSettings(**operate.seen())
            yield OperatedCapacity(name, POLICY, operated, operate.pass_pct, settings)
    program = case.config.program
    if program.spread != "off" and program.objective == "total" and "none" in asked.programs:
        yield SpreadForm(program.spread, asked.gap, asked.time_limit_s, asked.certify_time_s)
