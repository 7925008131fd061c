"""The answer in a sentence, and the sites that it stands for: what page and terminal begin with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from hcsim.certify.certificate import Certificate
from hcsim.feeder.topology import feeding_elements
from hcsim.operate.capacity import operated_in_words
from hcsim.report.common.sites import LEAST_KW, sites_table
from hcsim.results.allocation import StudyResult
from hcsim.results.words import PROGRAMS
from optim.data.criteria import CRITERIA
from optim.data.network import Network
from optim.data.node import bus_of, phase_of
from optim.hosting.binding import Price

OF_FEEDER = frozenset(criterion.name for criterion in CRITERIA)
"""Limits of the feeder; what else has a price is a device's own."""


def certificates(study: StudyResult) -> dict[str, Certificate]:
    """Case -> what OpenDSS has passed, controls acting."""
    return {name: case.certificate for name, case in study.cases.items() if case.certificate is not None}


def best_case(study: StudyResult) -> str | None:
    """Whose certified capacity is largest; None where nothing was certified."""
    found = certificates(study)
    return max(found, key=lambda name: found[name].certified_kw) if found else None


def headline(study: StudyResult) -> str:
    """The number, what limits it, where and when, how sure; "" where OpenDSS has passed no schedule."""
    return headline_of(study.case, certificates(study))


def headline_of(feeder: str, found: Mapping[str, Certificate]) -> str:
    """The same of certificates by case."""
    if not found:
        return ""
    best = max(found, key=lambda name: found[name].certified_kw)
    bare, top = found.get("none"), found[best]
    said = f"{feeder} can take {_capacity(top)} of PV"
    if best != "none":
        said += f" with {_in_sentence(best)}"
        said += f", and {_capacity(bare)} without" if bare is not None else ""
    limit = limit_words(top)
    said += f", limited by {limit}." if limit else "."
    sure = "OpenDSS confirms it on the studied day, all controls acting"
    if top.operated.get("hc_kw"):
        sure += f"; {operated_in_words(top.operated)}"
    elif top.robustness.get("draws"):
        sure += f"; it holds on {100 * top.robustness['share_passed']:.0f} % of days drawn with other load and sun"
    if top.word != "certified":
        sure += f"; more may be possible: {top.word}"
    return f"{said} {sure}."


def limit_words(certificate: Certificate) -> str:
    """ "reverse flow at Vsource.source.2 at 10:00": the dearest limit of the feeder that binds; "" where none does."""
    for price in certificate.binding:
        if price.limit in OF_FEEDER:
            return f"{price.limit.replace('_', ' ')} at {price.element}{f' at {price.time}' if price.time else ''}"
    return ""


def site_table(study: StudyResult) -> pd.DataFrame:
    """Of the headline's schedule, see `hcsim.report.common.sites.sites_table`; empty without a certificate."""
    best = best_case(study)
    if best is None:
        return pd.DataFrame()
    return sites_of(study.network, certificates(study)[best])


def sites_of(network: Network, certificate: Certificate) -> pd.DataFrame:
    """The sites of a certified schedule with what binds at each."""
    return sites_table(network, certificate.schedule, binds_at(network, certificate))


def binds_at(network: Network, certificate: Certificate) -> Callable[[str], str]:
    """Of a site what limits it: at its own bus, else in what carries its power, else at the source on its phases, else
    elsewhere on its phases. Dearest first within each; "–" where no price says."""
    phases: dict[str, set[str]] = {}
    for node, kw in zip(certificate.schedule.pv_nodes, certificate.schedule.pv_kw, strict=True):
        if kw > LEAST_KW:
            phases.setdefault(bus_of(node), set()).add(phase_of(node))
    feeding = feeding_elements(network)

    def rank(bus: str, price: Price) -> int | None:
        element, on = price.element, phase_of(price.element) in phases.get(bus, set())
        if price.limit.startswith("cap"):
            return 0 if bus in (element, bus_of(element)) else None
        if price.limit in ("overvoltage", "undervoltage"):
            return 0 if bus_of(element) == bus else (3 if on else None)
        if price.limit == "loading":
            return 1 if bus_of(element) in feeding(bus) else None
        if price.limit == "reverse_flow":
            return 2 if on else None
        return None

    def words(bus: str) -> str:
        ranked = [(r, k) for k, price in enumerate(certificate.binding) if (r := rank(bus, price)) is not None]
        if not ranked:
            return "–"
        price = certificate.binding[min(ranked)[1]]
        return f"{price.limit.replace('_', ' ')} at {price.element}" + (f", {price.time}" if price.time else "")

    return words


def _capacity(certificate: Certificate) -> str:
    """With as many digits as the loop's tolerance makes true: whole kW."""
    return f"{np.floor(certificate.certified_kw):,.0f} kW"


def _in_sentence(case: str) -> str:
    name = PROGRAMS.get(case, case)
    return name[:1].lower() + name[1:]
