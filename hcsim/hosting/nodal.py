"""Nodal hosting capacity: for every bus the largest generation (or load) that breaks nothing, by criterion.

California's iterative ICA: at each bus by itself, hour by hour, power is raised until a limit breaks. A site
is the bus's live phases with equal power each, at unity power factor; generation follows the study's PV
availability (its size is inverter kW), a new load is flat. See `hcsim.hosting.hour_probe` for what is judged when, and
`hcsim.hosting.nodal_search` for how the size is found.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hcsim.feeder.model import FeederModel
from hcsim.hosting.hour_probe import HourVerdict, Kind, Mode, Prober
from hcsim.hosting.nodal_search import Settled, SiteSearch
from hcsim.hosting.open_feeder import FeederFiles as Feeder
from hcsim.hosting.put_back import SitePutBack, Stood, WholeDay
from hcsim.replay.recording import Controls
from optim.data.limits import Limits
from optim.data.network import Network
from optim.data.node import phase_of
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule

Ints = NDArray[np.int64]

NODAL_COLUMNS = {
    "bus": pa.string(),
    "phases": pa.string(),
    "criterion": pa.string(),
    "hc_kw": pa.float64(),
    "binding_element": pa.string(),
    "binding_phase": pa.string(),
    "binding_hour": pa.string(),
    "status": pa.string(),
    "smallest": pa.bool_(),
    "verified": pa.bool_(),
    "verified_strict": pa.bool_(),
    "searched_kw": pa.float64(),
    "passes_again_from_kw": pa.float64(),
    "passes_again_to_kw": pa.float64(),
}
"""`verified`: put back at `hc_kw`, every hour and the whole day (`hcsim.hosting.put_back`), it breaks nothing;
`verified_strict`: nor anything that is forgiven because the bare feeder's controls may rest elsewhere. `searched_kw`:
what the search by hours had found, above `hc_kw` where that failed when it was put back. The last two: sizes above
`hc_kw` seen to pass again, hour by hour; NaN where none was."""

OK, AGAIN = "ok", "ok, passes again above"
WHOLE_DAY = "ok, larger sizes fail over the whole day"
NO_PHASE = "no live phase conductor: nothing can be connected"
FLOW_FAILS = "no limit broken before the power flow fails"
NOT_BINDING = "no limit broken up to the largest size asked"
WORSE = "ok, an existing violation worsens"
BROKEN = "not defined: broken by the batteries alone"
NO_POWER = "no power at any hour"


@dataclass(frozen=True)
class Site:
    """A task: one bus, one scenario."""

    id: str
    bus: str
    nodes: tuple[str, ...]
    kind: Kind


@dataclass(frozen=True)
class NodalJob:
    """Everything that nodal rows depend on, but the site."""

    feeder: Feeder
    profiles: Profiles
    limits: Limits
    controls: Controls = "free"
    bess: Schedule | None = None
    resolution_kw: float = 1.0
    """Sizes are whole multiples of it."""
    largest_kw_per_phase: float = 2000.0
    """Where the search ends."""
    skip_steps: tuple[int, ...] = field(default=())
    """Steps that are not judged: gaps of the profile."""

    @cached_property
    def key(self) -> str:
        return hashlib.sha256(pickle.dumps(self)).hexdigest()[:16]

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def prepare(self) -> Prober:
        circuit, network = self.feeder.open()
        return Prober(FeederModel(circuit, network, self.profiles, self.limits), controls=self.controls, bess=self.bess)

    def do(self, prepared: Prober, task: Site) -> tuple[list[dict[str, Any]], int]:
        """One row per criterion, the smallest marked."""
        if not task.nodes:
            return self._rows(prepared, task, None), 0
        before = prepared.power_flows
        answers = search_site(prepared, self, task)
        stood = put_back(prepared, self, task, answers)
        return self._rows(prepared, task, answers, stood), prepared.power_flows - before

    def missing(self, prepared: Prober) -> dict[str, str]:
        return missing_hours(prepared, self.skip_steps)

    def _rows(
        self, prober: Prober, site: Site, answers: list[Settled] | None, stood: Sequence[Stood] = ()
    ) -> list[dict[str, Any]]:
        rows = []
        for c, criterion in enumerate(prober.criteria):
            row: dict[str, Any] = {
                "bus": site.bus,
                "phases": phases_of(site.nodes),
                "criterion": criterion.name,
                "hc_kw": np.nan,
                "binding_element": "",
                "binding_phase": "",
                "binding_hour": "",
                "status": NO_PHASE,
                "smallest": False,
                "verified": False,
                "verified_strict": False,
                "searched_kw": None,
                "passes_again_from_kw": None,
                "passes_again_to_kw": None,
            }
            if answers is not None:
                row |= self._answer(prober, c, answers[c], stood[c])
            rows.append(row)
        if answers is not None and rows:
            least = np.nan_to_num([row["hc_kw"] for row in rows], nan=-1.0)  # what is not defined binds
            rows[int(np.argmin(least))]["smallest"] = True
        return rows

    def _answer(self, prober: Prober, c: int, found: Settled, stood: Stood) -> dict[str, Any]:
        element, phase = prober.element_of(c, found.at) if found.at >= 0 else ("", "")
        status = {"": OK, "convergence": FLOW_FAILS, "largest": NOT_BINDING, "base": BROKEN}[found.why]
        if found.why == "" and found.not_monotone:
            status = AGAIN
        if found.why == "" and prober.was_beyond(c, found.step, found.at):
            status = WORSE
        step, broken, again = found.step, found.why == "base", found.again
        if not broken and stood.k < found.k:
            status, step = WHOLE_DAY, stood.step
            element, phase = prober.element_of(c, stood.at) if stood.at >= 0 else ("", "")
            again = stood.again if stood.again[1] else again
        return {
            "hc_kw": np.nan if broken else stood.k * self.resolution_kw,
            "binding_element": element,
            "binding_phase": phase,
            "binding_hour": self.profiles.times[step] if step >= 0 else "",
            "status": status,
            "verified": not broken,
            "verified_strict": not broken and stood.strict,
            "searched_kw": None if broken else found.k * self.resolution_kw,
            "passes_again_from_kw": again[0] * self.resolution_kw if again[0] else None,
            "passes_again_to_kw": again[1] * self.resolution_kw if again[1] else None,
        }


def missing_hours(prober: Prober, skip_steps: Sequence[int]) -> dict[str, str]:
    """Hours that no capacity speaks of: the feeder without devices cannot be solved, or the profile has a gap."""
    times = prober.profiles.times
    gaps = {f"hour {times[t]}": "the profile has a gap" for t in skip_steps}
    return gaps | {f"hour {times[t]}": f"without devices: {why}" for t, why in sorted(prober.failures.items())}


def put_back(prober: Prober, job: NodalJob, site: Site, found: Sequence[Settled]) -> list[Stood]:
    """(C,) what is left of the answers of `search_site`, whose devices are still placed."""
    phases = len(site.nodes)
    sizes = SitePutBack(
        prober,
        WholeDay(prober, job.skip_steps),
        _steps_of(prober, job, site),
        lambda k: prober.resize(np.full(phases, k * job.resolution_kw / phases)),
    )
    stood = [sizes.settle(c, settled.k, settled.not_monotone) for c, settled in enumerate(found)]
    counted = [c for c, settled in enumerate(found) if settled.why != "base"]
    while counted:  # the smallest is what a bus can take: nothing at all may break there
        least = min(stood[c].k for c in counted)
        gaps = [c for c in counted if stood[c].k > least and not sizes.holds(c, least)]
        if not gaps:
            break
        for c in gaps:
            below = sizes.settle(c, least, gaps=True)
            stood[c] = replace(below, again=(least + 1, stood[c].k))
    return stood


def _steps_of(prober: Prober, job: NodalJob, site: Site) -> Ints:
    """Steps at which the site has any power, and that are judged."""
    share = prober.availability(site.kind, site.nodes)
    return np.array([t for t in prober.steps if share[t] > 0 and t not in set(job.skip_steps)], dtype=np.int64)


def search_site(prober: Prober, job: NodalJob, site: Site) -> list[Settled]:
    """(C,) the answers of one site, hour by hour."""
    prober.place(site.nodes, site.kind)
    phases = len(site.nodes)
    steps, share = _steps_of(prober, job, site), prober.availability(site.kind, site.nodes)

    def ask(k: int, step: int, mode: Mode) -> HourVerdict:
        prober.resize(np.full(phases, k * job.resolution_kw / phases))
        return prober.probe(step, mode)

    search = SiteSearch(
        ask=ask,
        steps=steps,
        scale=share[steps],
        base_excess=np.array([prober.excess_without(int(t)) for t in steps]).reshape(len(steps), -1),
        base_gaps=prober.gaps_without,
        modes=prober.mode_of_criteria,
        largest=max(1, int(job.largest_kw_per_phase * phases / job.resolution_kw)),
    )
    return search.run()


def sites(network: Network, kind: Kind, buses: Sequence[str] | None = None) -> list[Site]:
    """Every bus (or those named), in the feeder's order, with its live phases."""
    found = []
    for bus in network.buses if buses is None else buses:
        live = tuple(network.nodes[n] for n in network.nodes_of(bus) if network.v_judged[n])
        found.append(Site(f"{kind}-{bus}", bus, live, kind))
    return found


def phases_of(nodes: Sequence[str]) -> str:
    """ "1.2.3" """
    return ".".join(phase_of(node) for node in nodes)
