"""A study of a feeder of which only the .dss file is known: every default as a key of a study.toml.

`hcsim init` writes it to be edited; `hcsim study feeder.dss` runs it as it is. Both are the same text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from hcsim.cases.against_feeder import levels_in_words, read_site_caps, site_nodes
from hcsim.cases.config.feeder import FeederSection
from hcsim.cases.study_file import study_toml
from hcsim.feeder.ledger import Ledger, Ratings
from hcsim.feeder.sites import DEFAULT_SITES, candidates_in_words, head_bus, spread_sites
from optim.data.network import Network

PROFILES_FILE = "profiles.csv"
ENERGY_H, POWER_SHARE = 1.7, 0.65
"""The battery of paper 1 (6000 kWh and 2250 kW on a feeder of 3490 kW), as shares of the peak load."""
UNITS = 6


@dataclass(frozen=True)
class SitesWanted:
    """What the user asked for: so many sites by rule, or those of a file."""

    count: int = DEFAULT_SITES
    file: Path | None = None


def fewer_sites(wanted: SitesWanted | None, found: int) -> str:
    """What to say where the feeder has fewer sites than were asked for; nothing where it has them."""
    if wanted is None or wanted.file is not None or not found < wanted.count:
        return ""
    return f"{wanted.count} sites were asked for, {found} are possible: no other bus stands apart from those chosen."


def fewer_on(network: Network, wanted: SitesWanted | None) -> str:
    """The same of a feeder that has been read."""
    if wanted is None or wanted.file is not None:
        return ""
    return fewer_sites(wanted, len(spread_sites(network, wanted.count)))


def default_profiles_file() -> Path:
    """The bundled day, as `hcsim init` copies it."""
    return Path(__file__).resolve().parent / "default_profiles.csv"


def study_text(
    network: Network,
    ledger: Ledger,
    feeder: FeederSection,
    peak_kw: float,
    wanted: SitesWanted,
    time_notes: tuple[str, ...] = (),
    day: str | None = None,
) -> str:
    """study.toml for the feeder (`master` as the file shall name it), every default spelled out. `peak_kw` is the
    highest load of the profiles, `time_notes` say what its loads follow.

    Raises ConfigError for sites in a file that the feeder does not have.
    """
    if wanted.file is not None:
        caps = read_site_caps(wanted.file)
        sites = tuple(caps)
        site_nodes(network, sites, str(wanted.file))
        rule = f"stated: the list of {wanted.file.name}."
    else:
        caps = {}
        sites = spread_sites(network, wanted.count)
        rule = (
            f"ours: {len(sites)} {candidates_in_words(network)[1]}, each the one electrically farthest from the "
            "source and from those chosen before."
        )
        rule += f" {fewer}" if (fewer := fewer_sites(wanted, len(sites))) else ""
    energy_kwh, power_kw = _rounded(ENERGY_H * max(peak_kw, 1.0)), _rounded(POWER_SHARE * max(peak_kw, 1.0))
    loading, loading_why = _loading_limit(ledger)
    ratings = Ratings.of(ledger)
    unrated = len(ratings.default) == ratings.lines
    values = {
        "title": f"PV hosting capacity and batteries on {network.name}",
        "feeder": {"master": feeder.master, **({"zone": feeder.zone} if feeder.zone else {})},
        "profiles": {"day": day} if day else {},
        "limits": {"loading_max_pu": loading, "existing": "forgive"},
        "simulation": {"loading_max_pu": 1.0 if unrated else loading},
        "program": {"linearization": "tangent", "base": "served", "taps": "each_hour"},
        "pv": {"buses": sites, "night_var": False, "max_kw": {bus: kw for bus, kw in caps.items() if kw is not None}},
        "bess": {
            "energy_kwh": energy_kwh,
            "power_kw": power_kw,
            "centralized_bus": head_bus(network),
            "units": min(UNITS, len(sites)),
        },
        "assumptions": {
            "profiles": "ours: the default day of hcsim, not measured on this feeder.",
            "pv_buses": rule,
            "bess": f"ours: {ENERGY_H:g} kWh and {POWER_SHARE:g} kW per kW of peak load, the ratio of paper [1].",
            "taps": "ours: the program holds regulators where the bare feeder's controls put them each hour; "
            "the replay frees them.",
            "loading": f"ours: {loading_why}.",
            "existing": "ours: violations of the bare feeder are forgiven where they become no worse.",
        },
    }
    notes = {
        "feeder.zone": f"EnergyMeters: {_meters(ledger)}.",
        "limits.loading_max_pu": f"Here {loading_why}.",
        "limits.bands": f"This feeder has {levels_in_words(network)}; the values shown are ANSI C84.1 range B at the "
        "service entrance, 110 to 127 V (120/240 V: 0.208 kV).",
        "pv": f"Sites are {rule}",
        "bess": f"Sized as in the paper, per kW of the feeder's peak load ({peak_kw:,.0f} kW): {ENERGY_H:g} kWh and "
        f"{POWER_SHARE:g} kW.",
        "bess.centralized_bus": "Here the one nearest to the source.",
    }
    if time_notes:
        notes["profiles"] = " ".join(time_notes)
    if unrated:
        notes["simulation.loading_max_pu"] = "Of transformers; no line has a rating of its own."
    heading = (
        f"Written by `hcsim init`: a study of {network.name}, every default spelled out. Edit what you know better.",
        "Unknown keys and wrong units are refused by name. Run it with `hcsim study FOLDER`.",
    )
    return study_toml(values, notes, heading)


def _meters(ledger: Ledger) -> str:
    """Which EnergyMeters there are, in words."""
    names = [row.element.split(".", 1)[1] for row in ledger if row.kind == "EnergyMeter" and row.reason != "disabled"]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}" if names else "none in this feeder"


def _loading_limit(ledger: Ledger) -> tuple[float | str, str]:
    """The loading limit and why: a rating that OpenDSS made up limits nothing."""
    ratings = Ratings.of(ledger)
    doubtful = len(ratings.missing) + len(ratings.default) + len(ratings.absurd)
    if ratings.lines and doubtful > 0.5 * ratings.lines:
        return "off", f"off because {doubtful} of {ratings.lines} lines have no rating of their own"
    return 1.0, f"{ratings.lines - doubtful} of {ratings.lines} lines have a rating of their own"


def _rounded(value: float) -> float:
    """Two significant digits."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(value / step) * step
