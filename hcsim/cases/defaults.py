"""A study of a feeder of which only the .dss file is known: every default as a key of a study.toml.

`hcsim init` writes it to be edited; `hcsim study feeder.dss` runs it as it is. Both are the same text.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hcsim.cases.against_feeder import levels_in_words, read_sites, site_nodes
from hcsim.feeder.ledger import Ledger, Ratings
from hcsim.feeder.sites import DEFAULT_SITES, head_bus, spread_sites
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


def default_profiles_file() -> Path:
    """The bundled day, as `hcsim init` copies it."""
    return Path(__file__).resolve().parent / "default_profiles.csv"


def study_text(network: Network, ledger: Ledger, master: str, load_peak_pu: float, wanted: SitesWanted) -> str:
    """study.toml for the feeder `master` (as the file shall name it), every default spelled out.

    Raises ConfigError for sites in a file that the feeder does not have.
    """
    if wanted.file is not None:
        sites = read_sites(wanted.file)
        site_nodes(network, sites, str(wanted.file))
        rule = f"stated: the list of {wanted.file.name}."
    else:
        sites = spread_sites(network, wanted.count)
        rule = (
            f"ours: {len(sites)} three-phase medium-voltage buses, each the one electrically farthest from the "
            "source and from those chosen before."
        )
    peak_kw = load_peak_pu * float(np.maximum(network.loads.p_kw, 0.0)[_real_loads(network)].sum())
    energy_kwh, power_kw = _rounded(ENERGY_H * max(peak_kw, 1.0)), _rounded(POWER_SHARE * max(peak_kw, 1.0))
    loading, loading_why = _loading_limit(ledger)
    ratings = Ratings.of(ledger)
    unrated = len(ratings.default) == ratings.lines
    simulation_loading = "1.0 # of transformers; no line has a rating of its own" if unrated else loading
    quoted = json.dumps  # a TOML basic string escapes as JSON does
    listed = "\n".join(f"    {quoted(bus, ensure_ascii=False)}," for bus in sites)
    return f"""\
# Written by `hcsim init`: a study of {network.name} with every default spelled out. Edit what you know better.
# Unknown keys and wrong units are refused by name. Run it with `hcsim study FOLDER`.
title = {quoted(f"PV hosting capacity and batteries on {network.name}", ensure_ascii=False)}

[feeder]
master = {quoted(master, ensure_ascii=False)} # relative to this folder, or absolute

[profiles]
file = "{PROFILES_FILE}" # columns hour, load_pu, pv_pu; whole days in equal steps

[limits] # each may be "off"
v_min_pu = 0.95
v_max_pu = 1.05
substation_min_kw = 0.0 # least power from the source into each phase: no reverse flow
loading_max_pu = {loading} # current over normal rating; {loading_why}
loading_worse_pct = 0.5 # of what it carries that a branch overloaded already may gain: the voltage of its loads moves
unbalance_max_pct = "off" # largest deviation of a line-to-line voltage from the mean of the three, per cent
v_deviation_max_pu = "off" # voltage change when devices come on; nodal and stochastic studies only
regulator_min_kw = "off" # least power through each regulator phase, away from the source
tap_operations_max = "off" # tap steps of one regulator within one step
existing = "forgive" # what the bare feeder breaks already may stay as it is; "strict": must be mended
# Voltage levels with limits of their own; elsewhere those above hold. This feeder has {levels_in_words(network)}.
# [[limits.bands]]
# kv_min = 0.0 # from this nominal line-to-line kV on (120/240 V: 0.208); left out: from the lowest
# kv_max = 1.0 # below this one; left out: up to the highest
# v_min_pu = 0.917 # here ANSI C84.1 range B at the service entrance, 110 to 127 V; left out: as above
# v_max_pu = 1.058

[simulation] # nodal and stochastic studies judge these where [limits] has "off"; each may be "off" too
loading_max_pu = {simulation_loading}
v_deviation_max_pu = 0.03 # when a site comes on, controls frozen
unbalance_max_pct = 3.0
regulator_min_kw = 0.0
tap_operations_max = 4.0

[controls] # which of the feeder's own controls act where controls are free: replay, simulation, closed loop
free = "all" # or "none", or a list: names ("RegControl.creg1a"), classes ("CapControl"), wildcards ("creg4*")
locked = [] # these hold what the feeder was read with, whatever free says

[program]
kind = "allocation"
linearization = "tangent" # exact at each hour's operating point, any topology; or "lindist3flow" (radial feeders)
base = "served" # lindist3flow only: loads and losses as the bare feeder has them; "nominal": paper 1's
taps = "each_hour" # regulators where the bare feeder's controls put them each hour; "as_read": locked all day

[pv]
# Candidates; all phases of a bus, or some: "83.1.3". {rule[0].upper() + rule[1:]}
buses = [
{listed}
]
night_var = false # true: inverters give and take reactive power without sun too

[bess]
# Sized as in the paper, per kW of the feeder's peak load ({peak_kw:,.0f} kW): {ENERGY_H:g} kWh and {POWER_SHARE:g} kW.
energy_kwh = {energy_kwh:.1f} # all units together
power_kw = {power_kw:.1f} # all units together, grid side, all phases
eta_charge = 0.95
eta_discharge = 0.95
soc_min = 0.05 # shares of energy_kwh
soc_max = 0.95
centralized_bus = {quoted(head_bus(network), ensure_ascii=False)} # nearest to the source
units = {min(UNITS, len(sites))} # distributed cases: equal units, at most one per bus
candidate_buses = [] # empty: the PV buses

[solver]
name = "highs"
gap = 1e-3 # a program stops when it is proven to this
max_nodes = 5000 # branch-and-bound nodes per program: its budget
time_limit_s = 3600.0 # per program: a guard; what it cuts is said and may end elsewhere on another machine
threads = 1

[certify] # the closed loop
time_limit_s = 3600.0 # per case: a guard, like that of [solver]; the budget is rounds
# max_rounds = 60 # left out: 60, fewer on a feeder of more than 1000 nodes
tolerance = 2e-3 # certified where claim and certificate agree to this share
margin_pu = 2e-4 # least distance from voltage limits inside the programs
margin_kw = 0.5 # least distance from the substation's limit inside the programs, per phase
margin_loading_pu = 1e-3 # least distance from loading limits inside the programs, as a share of the rating
# max_tap_operations = 20 # tap steps of any one regulator over the studied day
soc_reserve = 0.0 # share of its energy that no battery goes below
robustness_draws = 200 # days with load and PV off by up to 10 % on which a certified schedule is tried; 0: none
robustness_s = 3600.0 # per case: a guard; draws not made by then are left out
margin_search_rounds = 20 # its budget
margin_search_s = 0.0 # per case, guard of the search for the capacity with which 95 % of those days pass; 0: none

[inverters] # volt-var and volt-watt on their own; the curves are IEEE 1547-2018's defaults for category B
control = "off" # in `hcsim replay` and `baseline`: "volt_var", "volt_watt", "volt_var_volt_watt"; "off": as scheduled
compare = "off" # the same words: what `hcsim study` lays beside unity power factor and the optimizer's reactive power
volt_var = [[0.92, 0.44], [0.98, 0.0], [1.02, 0.0], [1.08, -0.44]] # [V in pu, share of nameplate kVA]
volt_watt = [[1.06, 1.0], [1.10, 0.2]] # [V in pu, most active power as a share of rated kW]
kva_per_kw = 1.0 # nameplate kVA over rated kW; reactive power goes first, so 1.0 may cost active power
night_var = false # true: reactive power without sun too

[assumptions] # shown in the report
profiles = "ours: the default day of hcsim, not measured on this feeder."
pv_buses = {quoted(rule, ensure_ascii=False)}
bess = "ours: {ENERGY_H:g} kWh and {POWER_SHARE:g} kW per kW of peak load, the ratio of paper [1]."
taps = "ours: the program holds regulators where the bare feeder's controls put them each hour; the replay frees them."
loading = {quoted(f"ours: {loading_why}.", ensure_ascii=False)}
existing = "ours: violations of the bare feeder are forgiven where they become no worse."
"""


def _loading_limit(ledger: Ledger) -> tuple[str, str]:
    """The loading limit and why: a rating that OpenDSS made up limits nothing."""
    ratings = Ratings.of(ledger)
    doubtful = len(ratings.missing) + len(ratings.default) + len(ratings.absurd)
    if ratings.lines and doubtful > 0.5 * ratings.lines:
        return '"off"', f"off because {doubtful} of {ratings.lines} lines have no rating of their own"
    return "1.0", f"{ratings.lines - doubtful} of {ratings.lines} lines have a rating of their own"


def _real_loads(network: Network) -> np.ndarray:
    """(L,) True for loads; generators held at their base case are legs too."""
    return np.array([name.lower().startswith("load.") for name in network.loads.names], dtype=bool)


def _rounded(value: float) -> float:
    """Two significant digits."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(value / step) * step
