"""What a study's words mean on its feeder: buses, sites, voltage bands."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from hcsim.cases.config.study import StudyConfig
from hcsim.errors import ConfigError
from hcsim.util.csv_text import CsvText, float_of
from hcsim.util.suggest import did_you_mean
from optim.data.network import Network
from optim.data.node import phase_of


def read_sites(file: Path) -> tuple[str, ...]:
    """Buses of a CSV file: its column `bus`, or its first column where no header says so; # starts a comment.

    Raises ConfigError for a file that cannot be read or names no bus.
    """
    return tuple(read_site_caps(file))


def read_site_caps(file: Path) -> dict[str, float | None]:
    """Bus -> what its column `max_kw` says, None where it says nothing. Raises ConfigError as `read_sites`, and for
    a cap that is no number of at least 0."""
    if not file.exists():
        raise ConfigError(f"There is no file of sites {file}.", "--sites takes a number or a CSV file.")
    remedy = "One bus per line, or a column `bus`."
    text = CsvText.read(file, remedy)
    names = [name.lower() for name in text.header]
    table = text.frame(as_text=True, header="bus" in names)
    buses = table.iloc[:, names.index("bus") if "bus" in names else 0].str.strip().str.strip("\"'").str.lower()
    most = table.iloc[:, names.index("max_kw")] if {"bus", "max_kw"} <= set(names) else pd.Series("", table.index)
    caps: dict[str, float | None] = {}
    for line, bus, said in zip(table.index, buses, most.str.strip(), strict=True):
        cap = float_of(said) if said else None
        if cap is not None and not 0.0 <= cap < float("inf"):
            raise ConfigError(f"{file}, line {line}, bus {bus}: max_kw = {said!r} is no number of kW from 0 on.")
        if bus:
            caps.setdefault(bus, cap)
    if not caps:
        raise ConfigError(f"{file} names no bus.", remedy)
    return caps


def check_bands(config: StudyConfig, network: Network, study_file: Path) -> None:
    """Raises ConfigError for a band of [[limits.bands]] that no judged node of the feeder is in."""
    kv = network.kv_base[network.v_judged]
    for band in config.limits.to_limits().bands:
        if not band.holds(kv).any():
            raise ConfigError(
                f"{study_file}, [[limits.bands]]: no node of {network.name} is {band.words}.",
                f"Its voltage levels are {levels_in_words(network)}, line to line.",
            )


def levels_in_words(network: Network) -> str:
    """ "4.16, 0.48 kV": nominal line-to-line voltages of the judged nodes, largest first."""
    levels = sorted({float(f"{kv:.5g}") for kv in network.kv_base[network.v_judged]}, reverse=True)
    return ", ".join(f"{level:g}" for level in levels) + " kV"


def site_nodes(network: Network, buses: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Node-phases "bus.phase" of the buses named, in the network's phases; "83.1.3" takes phases 1 and 3.

    `where` opens the message ("study.toml, [pv] buses"). Raises ConfigError for buses or phases that the
    feeder does not have, all of them at once, with the nearest names.
    """
    nodes: dict[str, None] = {}
    faults: list[str] = []
    for entry in buses:
        bus, phases = _split(entry, network)
        present = [network.nodes[n] for n in network.standing_places(bus)]
        wanted = [f"{bus}.{p}" for p in phases] or present
        if bus not in network.buses:
            faults.append(f"bus {bus!r} is not in the feeder. {did_you_mean(bus, network.buses)}".strip())
            continue
        missing = [node for node in wanted if node not in present]
        if missing or not wanted:
            has = ", ".join(phase_of(n) for n in present) or "no phase conductor"
            faults.append(f"{entry!r}: bus {bus} has phases {has}, not {', '.join(missing) or '1-3'}.")
            continue
        if network.outside is not None and network.outside[[network.node_index[node] for node in wanted]].any():
            faults.append(f"bus {bus} lies outside of the zone of EnergyMeter {network.zone}.")
            continue
        nodes.update(dict.fromkeys(wanted))
    if faults:
        raise ConfigError(f"{where}: " + "; ".join(faults))
    return tuple(nodes)


def _split(entry: str, network: Network) -> tuple[str, list[str]]:
    """A bus with the phases asked for. Bus names may hold dots, so the whole is tried first."""
    if entry in network.buses:
        return entry, []
    bus, *phases = entry.split(".")
    return bus, phases
