"""certify.html: what `hcsim certify` has found, the answer first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from hcsim.certify.certificate import Certificate, certified_in_words, existing_in_words, rounds_table
from hcsim.feeder.model import FeederModel
from hcsim.replay.result import ReplayResult
from hcsim.report.allocation.first import headline_of, sites_of
from hcsim.report.common.page import Annex, Answer, write_page
from hcsim.report.map.data import Shown as MapShown
from hcsim.results.words import PROGRAMS


def certify_page(
    case: str, model: FeederModel, found: Mapping[str, Certificate], bare: ReplayResult, folder: Path
) -> Path:
    """certify.html of certificates by program. Raises OutputError."""
    best = max(found.values(), key=lambda c: c.certified_kw)
    rows = [
        {
            "program": PROGRAMS.get(name, name),
            "certified_kw": c.certified_kw,
            "status": c.word,
            "last_claim_kw": c.claim_kw,
            "losses_pct": c.losses_pct,
            "circulated_kwh": float(c.schedule.circulated_kwh().sum()),
            "rounds": len(c.rounds),
            "power_flows": c.power_flows,
        }
        for name, c in found.items()
    ]
    sentences = [f"{PROGRAMS.get(name, name)}: {certified_in_words(c)}" for name, c in found.items()]
    sentences += [words for c in found.values() if (words := existing_in_words(c))][:1]
    answer = Answer(
        headline_of(case, found),
        sentences,
        first={"Sites": sites_of(model.network, best), "Programs": pd.DataFrame(rows)},
        map=MapShown(model.network, model.limits, model.profiles, best.replay, best.schedule),
        limits=model.limits,
        bare=bare,
    )
    tables = {}
    for name, c in found.items():
        prices = pd.DataFrame(
            [(p.limit, p.element, p.time, p.kw_per_unit, p.unit) for p in c.binding],
            columns=["limit", "at", "hour", "kW per unit of it", "unit"],
        )
        tables[f"What would lift the limit, {PROGRAMS.get(name, name)}"] = prices
        tables[f"Rounds, {PROGRAMS.get(name, name)}"] = rounds_table(c.rounds)
    return write_page(f"Certified hosting capacity: {case}", answer, Annex(tables=tables), folder / "certify.html")
