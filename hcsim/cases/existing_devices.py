"""What stands in a feeder already beside its loads: the charging station and the PV of [planning]."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hcsim.cases.case import Case
from hcsim.cases.config.planning import PlanningSection
from hcsim.cases.profiles_csv import read_profile_table
from hcsim.cases.time_axis import TimeAxis, time_axis
from hcsim.errors import ConfigError
from hcsim.util.suggest import did_you_mean
from optim.data.network import Network
from optim.data.profiles import FixedInjection

Floats = NDArray[np.float64]
DAY_STEPS = 24


def with_existing(case: Case, network: Network, hours: int, file: Path | None) -> TimeAxis:
    """The time axis of a simulation study (see `time_axis`) with all of it, where [program] kind is "planning": paper
    1's feeder has none of what a second section of the same file adds for paper 2's program."""
    section = case.config.planning
    if section is None or case.config.program.kind != "planning":
        return _axis(case, (), hours, file)
    axis = _axis(case, station(case, network, section), hours, file)
    profiles = replace(axis.profiles, fixed=(*axis.profiles.fixed, *pv(network, section, axis.profiles.pv_pu)))
    return replace(axis, profiles=profiles, notes=(*axis.notes, *station_note(section), *pv_note(section)))


def _axis(case: Case, fixed: tuple[FixedInjection, ...], hours: int, file: Path | None) -> TimeAxis:
    """On the case's own day loads follow what `case.profiles` says; on another axis they follow their curves there."""
    if hours == DAY_STEPS:
        return time_axis(replace(case.profiles, fixed=(*case.profiles.fixed, *fixed)), hours, file)
    day = case.file_profiles or case.profiles
    day = replace(day, start_h=0.0, of_year=False, fixed=(*day.fixed, *fixed))
    return time_axis(day, hours, file, case.own, case.load_columns)


def station(case: Case, network: Network, section: PlanningSection) -> tuple[FixedInjection, ...]:
    """The charging station of [planning] ev_bus, on the case's own steps. Raises ConfigError without its curve."""
    return tuple(own for bus, kw in station_kw(case, section).items() for own in balanced(network, bus, -kw))


def station_kw(case: Case, section: PlanningSection) -> dict[str, Floats]:
    """Bus -> (T,) kW drawn."""
    if section.ev_bus is None:
        return {}
    file = case.folder / case.config.profiles.file
    table = read_profile_table(file)
    if "ev_mw" not in table:
        raise ConfigError(f"{file} has no column ev_mw.", "[planning] ev_bus needs it, or leave ev_bus out.")
    return {section.ev_bus: 1e3 * table["ev_mw"].to_numpy(dtype=float)}


def pv(network: Network, section: PlanningSection, pv_pu: Floats) -> tuple[FixedInjection, ...]:
    """The PV of [planning.pv_kw] at the availability `pv_pu`."""
    return tuple(own for bus, kw in section.pv_kw.items() for own in balanced(network, bus, kw * pv_pu))


def station_note(section: PlanningSection) -> tuple[str, ...]:
    if section.ev_bus is None:
        return ()
    return (f"A charging station draws the curve ev_mw at bus {section.ev_bus}, beside the loads.",)


def pv_note(section: PlanningSection) -> tuple[str, ...]:
    kw = sum(section.pv_kw.values())
    if kw == 0:
        return ()
    return (f"{kw:,.0f} kW of PV stand at {len(section.pv_kw)} buses already ([planning.pv_kw]) and run beside.",)


def nodes_of(network: Network, bus: str) -> list[str]:
    """Raises ConfigError for a bus that the feeder does not have."""
    if bus not in network.buses:
        words = f"[planning] names bus {bus!r}, which is not in the feeder."
        raise ConfigError(words, did_you_mean(bus, network.buses))
    return [network.nodes[n] for n in network.nodes_of(bus)]


def balanced(network: Network, bus: str, p_kw: Floats) -> list[FixedInjection]:
    nodes = nodes_of(network, bus.lower())
    return [FixedInjection(node, p_kw / len(nodes)) for node in nodes]
