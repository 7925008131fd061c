"""check.html: whether a feeder is read as OpenDSS has it, its day, what it breaks before any device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hcsim.feeder.check import FeederCheck
from hcsim.replay.result import ReplayResult
from hcsim.report.common.page import Annex, Answer, write_page
from hcsim.report.map.data import Shown as MapShown
from hcsim.report.map.data import broken_buses
from hcsim.results.existing import existing_in_words
from hcsim.workbench.gates import DayGates
from optim.data.limits import Limits
from optim.data.profiles import Profiles


@dataclass(frozen=True)
class BareDay:
    """The feeder without devices on the day that a study would take."""

    profiles: Profiles
    limits: Limits
    replay: ReplayResult


def headline(name: str, gates: Mapping[str, bool], dv_max_pu: float, bare: BareDay | None) -> str:
    """Read as OpenDSS has it or not, and what the bare feeder breaks. `gates`: name -> whether it holds."""
    failed = [gate for gate, holds in gates.items() if not holds]
    if failed:
        said = f"{name} is not read as OpenDSS has it: {' and '.join(failed)} fail{'s' if len(failed) == 1 else ''}"
    else:
        said = f"{name} is read as OpenDSS has it, to {dv_max_pu:.1g} pu at every node; all {len(gates)} gates hold"
    if bare is None:
        return f"{said}. Its day was not simulated."
    return f"{said}. Over its day: {existing_in_words(bare.replay)}."


def check_page(found: FeederCheck, days: DayGates, notes: Sequence[str], bare: BareDay | None, folder: Path) -> Path:
    """check.html. Raises OutputError."""
    named = {"time gate": days.time, "memory gate": days.memory, "added gate": days.added}
    rows = [("gate", found.gate.passed, found.gate.dv_max_pu, found.gate.worst_node, "", found.gate.reason)]
    rows += [(name, g.passed, g.dv_max_pu, g.node, g.hour, g.reason) for name, g in named.items()]
    gates = pd.DataFrame(rows, columns=["gate", "holds", "largest_difference_pu", "node", "hour", "said"])
    gates["largest_difference_pu"] = [f"{x:.2g}" for x in gates["largest_difference_pu"]]
    shown = MapShown(found.network)
    if bare is not None:
        broken = broken_buses(bare.replay.violations, found.network)
        shown = MapShown(
            found.network,
            bare.limits,
            bare.profiles,
            bare.replay,
            broken=broken,
            broken_words="broken without any device at some hour",
            layer="voltage",
        )
    frame = found.ledger.to_frame()
    counts = frame.groupby(["class", "verdict"], sort=True).agg(elements=("element", "size"), kw=("kw", "sum"))
    answer = Answer(
        headline(found.network.name, {row[0]: bool(row[1]) for row in rows}, found.gate.dv_max_pu, bare),
        list(notes),
        first={"Gates": gates},
        map=shown,
        limits=bare.limits if bare else None,
        bare=bare.replay if bare else None,
    )
    annex = Annex(
        tables={"How the feeder was read": counts.reset_index(), "Every element": frame}, notes=list(found.notes)
    )
    return write_page(f"Feeder {found.network.name}", answer, annex, folder / "check.html")
