"""What the closed loop is asked for, what it says on its way, and what it hands out. See `hcsim.certify.loop`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hcsim.devices.held_controls import ALL_FREE, Selection
from hcsim.replay.result import ReplayResult, write_replay
from hcsim.schedules.files import write_schedule
from hcsim.util.files import output_folder, write_csv, write_json
from hcsim.util.html_text import shown
from optim.data.criteria import CRITERIA
from optim.data.node import bus_of, phase_of
from optim.data.schedule import Schedule
from optim.hosting.binding import Price

IDLE_SHARE = 1e-3
"""A battery that moves less than this share of its energy over the studied time does nothing."""
CERTIFIED, STALLED, OUT_OF_TIME = "certified to tolerance", "stalled", "out of time"
OUT_OF_ROUNDS = "out of rounds"


@dataclass(frozen=True)
class Round:
    """One round, as shown and stored."""

    number: int
    claim_kw: float
    """What the linear program proposes."""
    passed: bool
    new_violations: int
    worst: str
    """The worst new violation and where, in words; "" where there is none."""
    worst_pu: float
    """By how much the worst new voltage violation is beyond its limit; 0 where there is none."""
    tap_operations: int
    certified_kw: float
    """Best so far, after this round."""
    radius_kw: float
    seconds: float
    """Since the loop began."""
    note: str = ""


@dataclass(frozen=True)
class Certificate:
    """What the loop hands out. `schedule` passed its replay with controls free: no new violation.

    >>> import dataclasses, hcsim
    >>> {"claim_kw", "bound_kw", "status", "reason"} <= {field.name for field in dataclasses.fields(hcsim.Certificate)}
    True
    """

    case: str
    schedule: Schedule
    replay: ReplayResult
    claim_kw: float
    """What the tangent at the certified schedule claims, inside the first trust region."""
    bound_kw: float
    """Proven for the last linearization without trust region, with hard limits and no margin; placement and
    statuses open. NaN where that program has no solution or there was no time for it."""
    status: str
    """CERTIFIED, STALLED, OUT_OF_ROUNDS or OUT_OF_TIME."""
    reason: str
    """A sentence or two: what stopped the loop."""
    rounds: tuple[Round, ...]
    power_flows: int
    seconds: float
    error_budget: dict[str, float] = field(default_factory=dict)
    """See `hcsim.certify.error_budget`; empty where it was not asked for."""
    controls: Selection = ALL_FREE
    """Which of the feeder's controls were free to act."""
    robustness: dict[str, Any] = field(default_factory=dict)
    """See `hcsim.certify.robustness`; empty where it was not asked for."""
    operated: dict[str, Any] = field(default_factory=dict)
    """See `hcsim.operate.capacity.Operated.to_json`; empty where no policy was asked for."""
    robust: Schedule | None = None
    """What the closed loop certifies with the margin of `robustness`; None where no margin was tried."""

    cut: str = ""
    """"time" where the guard ended the loop, "work" where its rounds were over, "put back" where the schedule had to be
    lowered afterwards, "" where it ended by itself."""
    offered_kw: float = np.nan
    """What the tangent at the certified schedule offers beyond it, within the first region, limits kept to the last
    digit; at most the tolerance where the loop has settled."""
    binding: tuple[Price, ...] = ()
    """What would lift the limit there, dearest first."""

    verified: bool = False
    """Whether the schedule also held in a feeder compiled anew, see `hcsim.certify.put_back`."""

    bare_losses_kwh: float = np.nan
    """Of the feeder without devices over the same time."""

    @property
    def settled(self) -> bool:
        """Whether the loop ended because nothing helped any more, and not by a budget."""
        return not self.cut

    @property
    def idle_batteries(self) -> tuple[str, ...]:
        """Names of units that neither charge nor discharge."""
        schedule = self.schedule
        moved_kw = (schedule.p_charge_kw + schedule.p_discharge_kw).sum(axis=0)
        idle = []
        for u, unit in enumerate(schedule.bess):
            mine = [d for d, of in enumerate(schedule.bess_of) if of == u]
            if float(moved_kw[mine].sum()) * schedule.step_h < IDLE_SHARE * unit.energy_kwh:
                idle.append(unit.name)
        return tuple(idle)

    @property
    def word(self) -> str:
        """Either "certified": the loop ended after at least one round with nothing left to gain, and the devices act.

        Or "best found", with what is missing.
        """
        missing = []
        if self.cut:
            missing.append(f"cut by {self.cut}" if self.cut != "put back" else "lowered when put back")
        if self.status == STALLED:
            missing.append("stalled: the tangent offers more, which replays refuse")
        if not self.rounds:
            missing.append("no round of the loop")
        if self.schedule.bess and len(self.idle_batteries) == len(self.schedule.bess):
            missing.append("batteries idle")
        return f"best found ({', '.join(missing)})" if missing else "certified"

    @property
    def sites(self) -> pd.DataFrame:
        """A row per bus and phase that has PV: bus, phase, pv_kw."""
        pairs = zip(self.schedule.pv_nodes, self.schedule.pv_kw, strict=True)
        rows = [(bus_of(node), phase_of(node), float(kw)) for node, kw in pairs if kw > 0]
        return pd.DataFrame(rows, columns=["bus", "phase", "pv_kw"])

    def _repr_html_(self) -> str:
        """What a notebook shows: the number, how sure it is, and its sites."""
        return shown(f"{self.case}: {self.certified_kw:,.1f} kW {self.word}. {self.reason}", self.sites)

    @property
    def losses_pct(self) -> float:
        """Energy lost in the feeder over the studied time, per cent of what its loads draw."""
        return float(100.0 * self.replay.losses_kw.sum() / max(self.replay.load_kw.sum(), 1e-9))

    @property
    def certified_kw(self) -> float:
        """Certified hosting capacity."""
        return self.schedule.hc_kw

    @property
    def existing_worse(self) -> dict[str, float]:
        """Criterion -> by how much, in its unit, a violation that the bare feeder has as well is worse at most.

        Worse than at the same place and hour of the bare feeder's own day: its controls rest elsewhere in their bands.
        """
        table = self.replay.violations
        table = table[table["existing"].astype(bool)]
        worse = {}
        for criterion in CRITERIA:
            rows = table[table["criterion"] == criterion.name]
            if len(rows):
                gain = criterion.sign * (rows["value"].to_numpy(float) - rows["base_value"].to_numpy(float))
                worse[criterion.name] = max(float(np.nanmax(gain)), 0.0)
        return worse


SUFFIX, ROBUST = "_certified", "_robust"


def rounds_table(rounds: Sequence[Round]) -> pd.DataFrame:
    """A row per round, columns as the fields of `Round`."""
    return pd.DataFrame([asdict(r) for r in rounds], columns=list(Round.__dataclass_fields__))


def binding_table(binding: Sequence[Price]) -> pd.DataFrame:
    """What would lift the limit: a row per limit, place and hour, dearest first, columns as the fields of `Price`."""
    return pd.DataFrame([asdict(price) for price in binding], columns=list(Price.__dataclass_fields__))


def write_certificate(found: Certificate, folder: Path) -> Path:
    """Write a certificate and what it stands on under a study's folder.

    The certified schedule as schedules/<case>_certified, which `hcsim replay` takes, its replay as
    replays/<case>_certified/<controls>, and certificates/<case> with rounds.csv and certificate.json.

    Returns the schedule's folder. Raises OutputError.
    """
    name = found.case + SUFFIX
    schedule = folder / "schedules" / name
    write_schedule(replace(found.schedule, case=name), schedule)
    write_replay(found.replay, folder / "replays" / name / found.replay.controls)
    if found.robust is not None:
        write_schedule(replace(found.robust, case=found.case + ROBUST), folder / "schedules" / (found.case + ROBUST))
    own = output_folder(folder / "certificates" / found.case)
    write_csv(own / "rounds.csv", rounds_table(found.rounds))
    facts = (
        "case",
        "certified_kw",
        "claim_kw",
        "bound_kw",
        "status",
        "reason",
        "power_flows",
        "seconds",
        "controls",
        "error_budget",
        "robustness",
        "operated",
        "existing_worse",
        "cut",
        "offered_kw",
        "losses_pct",
    )
    step_h = found.schedule.step_h
    write_csv(own / "binding.csv", binding_table(found.binding))
    more = {
        "losses_kwh": float(found.replay.losses_kw.sum() * step_h),
        "bare_losses_kwh": found.bare_losses_kwh,
        "circulated_kwh": float(found.schedule.circulated_kwh().sum()),
        "reactive_kvarh": float(np.abs(found.schedule.pv_q_kvar).sum() * step_h),
        "binding": [asdict(price) for price in found.binding],
    }
    write_json(own / "certificate.json", {key: getattr(found, key) for key in facts} | more)
    return schedule


def round_in_words(r: Round) -> str:
    """One line while the loop runs: claim, worst violation and where, tap moves, certified so far."""
    said = r.worst or ("passed" if r.passed else "within all limits, but refused: losses, taps or other days")
    note = f" ({r.note})" if r.note else ""
    return (
        f"round {r.number}: claims {r.claim_kw:.1f} kW, {said}, {r.tap_operations} tap moves, "
        f"certified {r.certified_kw:.1f} kW{note}"
    )


def existing_in_words(found: Certificate) -> str:
    """One line on what the bare feeder breaks as well, "" where it breaks nothing."""
    units = {criterion.name: criterion.unit for criterion in CRITERIA}
    said = [f"{name.replace('_', ' ')} {worse:.2g} {units[name]}" for name, worse in found.existing_worse.items()]
    if not said:
        return ""
    return (
        "What the bare feeder breaks as well is nowhere worse than its controls may have it by themselves; against "
        f"its own day, at the same place and hour, by at most: {', '.join(said)}."
    )


def certified_in_words(found: Certificate) -> str:
    """Two sentences: capacity with its status, and what was burned for it."""
    share = f" ({100 * found.certified_kw / found.claim_kw:.1f} % of its last claim)" if found.claim_kw > 0 else ""
    idle = f" Idle: {', '.join(found.idle_batteries)}." if found.idle_batteries else ""
    ended = f"{found.status} after {len(found.rounds)} rounds"
    return f"{found.certified_kw:.1f} kW {found.word}{share}, {ended}. {found.reason}{idle} {burned_in_words(found)}"


def burned_in_words(found: Certificate) -> str:
    """What a capacity stands beside: burning power makes room for more."""
    step_h = found.schedule.step_h
    lost = f"{found.replay.losses_kw.sum() * step_h:,.0f} kWh are lost ({found.losses_pct:.1f} % of the load"
    lost += f"; {found.bare_losses_kwh:,.0f} without devices)" if np.isfinite(found.bare_losses_kwh) else ")"
    return f"{lost}, {found.schedule.circulated_kwh().sum():,.0f} kWh go round between batteries."


def binding_in_words(found: Certificate, most: int = 3) -> str:
    """What would lift the limit, "" where nothing binds."""
    per = {"pu": (0.01, "0.01 pu"), "kW": (1.0, "kW"), "kVA": (1.0, "kVA"), "kWh": (1.0, "kWh")}
    said = []
    for price in found.binding[:most]:
        scale, unit = per.get(price.unit, (1.0, price.unit))
        what = price.limit.replace("_", " ")
        said.append(f"{what} at {price.element} at {price.time} {scale * price.kw_per_unit:.2f} kW per {unit}")
    return f"What would lift the limit: {', '.join(said)}." if said else ""
