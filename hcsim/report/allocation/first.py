"""The answer in a sentence, and the sites that it stands for: what page and terminal begin with."""

from __future__ import annotations

import numpy as np

from hcsim.certify.certificate import Certificate
from hcsim.feeder.topology import distance_graph, distances
from hcsim.results.allocation import StudyResult
from hcsim.results.words import PROGRAMS
from optim.data.criteria import CRITERIA
from optim.data.network import Network
from optim.data.node import bus_of, phase_of
from optim.data.schedule import Schedule

LEAST_KW = 0.05
"""PV below what the table's digits show is none."""


def certificates(study: StudyResult) -> dict[str, Certificate]:
    """Case -> what OpenDSS has passed, controls acting."""
    return {name: case.certificate for name, case in study.cases.items() if case.certificate is not None}


def best_case(study: StudyResult) -> str | None:
    """Whose certified capacity is largest; None where nothing was certified."""
    found = certificates(study)
    return max(found, key=lambda name: found[name].certified_kw) if found else None


def headline(study: StudyResult) -> str:
    """The number, what limits it, where and when, how sure; "" where OpenDSS has passed no schedule."""
    best = best_case(study)
    if best is None:
        return ""
    found = certificates(study)
    bare, top = found.get("none"), found[best]
    said = f"{study.case} can take {_capacity(top)} of PV"
    if best != "none":
        said += f" with {_in_sentence(best)}"
        said += f", and {_capacity(bare)} without" if bare is not None else ""
    limit = limit_words(top)
    said += f", limited by {limit}." if limit else "."
    sure = "OpenDSS confirms it on the studied day, all controls acting"
    if top.robustness.get("draws"):
        sure += f"; it holds on {100 * top.robustness['share_passed']:.0f} % of days drawn with other load and sun"
    if top.word != "certified":
        sure += f"; more may be possible: {top.word}"
    return f"{said} {sure}."


def limit_words(certificate: Certificate) -> str:
    """ "reverse flow at Vsource.source.2 at 10:00": the dearest limit of the feeder that binds; "" where none does."""
    of_feeder = {criterion.name for criterion in CRITERIA}
    for price in certificate.binding:
        if price.limit in of_feeder:
            return f"{price.limit.replace('_', ' ')} at {price.element}{f' at {price.time}' if price.time else ''}"
    return ""


def site_rows(study: StudyResult) -> list[dict[str, str]]:
    """Of the headline's schedule: bus, phases, kW, share of all, electrical distance; largest first."""
    best = best_case(study)
    if best is None:
        return []
    schedule = certificates(study)[best].schedule
    away = _away_pct(study.network)
    kw, phases = _by_bus(schedule)
    total = max(sum(kw.values()), 1e-9)
    return [
        {
            "bus": bus,
            "phases": " ".join(phases[bus]),
            "kw": f"{power:,.1f}",
            "share": f"{100 * power / total:.1f} %",
            "distance": f"{away[bus]:.0f} %" if bus in away and np.isfinite(away[bus]) else "–",
        }
        for bus, power in sorted(kw.items(), key=lambda item: -item[1])
        if power > LEAST_KW
    ]


def _by_bus(schedule: Schedule) -> tuple[dict[str, float], dict[str, list[str]]]:
    kw: dict[str, float] = {}
    phases: dict[str, list[str]] = {}
    for node, power in zip(schedule.pv_nodes, schedule.pv_kw.tolist(), strict=True):
        bus = bus_of(node)
        kw[bus] = kw.get(bus, 0.0) + power
        if power > LEAST_KW:
            phases.setdefault(bus, []).append(phase_of(node))
    return kw, phases


def _away_pct(network: Network) -> dict[str, float]:
    """Bus -> electrical distance from the source, per cent of the farthest's."""
    position = {bus: i for i, bus in enumerate(network.buses)}
    found = distances(distance_graph(network), position[bus_of(network.nodes[network.source_nodes[0]])])
    farthest = max(float(found[np.isfinite(found)].max(initial=0.0)), 1e-12)
    return {bus: 100 * float(found[i]) / farthest for bus, i in position.items()}


def _capacity(certificate: Certificate) -> str:
    """With as many digits as the loop's tolerance makes true: whole kW."""
    return f"{np.floor(certificate.certified_kw):,.0f} kW"


def _in_sentence(case: str) -> str:
    name = PROGRAMS.get(case, case)
    return name[:1].lower() + name[1:]
