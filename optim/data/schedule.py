"""`Schedule`: the claim. Sizes, sites, powers per step, SoC, predictions, and how it was solved.

Device arrays are flat over node-phases ("bus.phase"), so a phase that does not exist has no column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optim.data.schedule_frame import fields_of, to_frame

Floats = NDArray[np.float64]

SolveStatus = Literal["optimal", "gap", "work_limit", "time_limit", "interrupted", "feasible"]
"""optimal: proven to the solver's tolerance; gap: proven to the gap asked for; work_limit (nodes,
iterations), time_limit (the guard) and interrupted: best solution so far, with its proven bound; feasible: the
same, where no more could be proven although there was time (a solver's tolerance, a correction that moved)."""
ScheduleKind = Literal["allocation", "planning"]
"""allocation: paper 1's, or anyone's, PV that follows the day's curve; planning: a plan of paper 2, replayed with the
charging station in the feeder and its scenario's limits, PV with a curve of its own."""
Scenario = Literal["typical", "pvhc"]
"""Of a plan: the typical day, or the day of the largest PV."""


@dataclass(frozen=True)
class SolveInfo:
    """How a program ended. `bound` is proven; gap = |bound - objective| / |objective|."""

    status: SolveStatus
    objective: float
    bound: float
    gap: float
    build_s: float
    solve_s: float
    solver: str = "highs"
    notes: tuple[str, ...] = ()

    @property
    def cut(self) -> str:
        """What ended it before its proof.

        "time" (a guard: elsewhere it may end elsewhere), "work" (its budget), "user"; "" where nothing did.
        """
        return {"time_limit": "time", "work_limit": "work", "interrupted": "user"}.get(self.status, "")


@dataclass(frozen=True)
class BessUnit:
    """One battery at a bus: one SoC, one status, a converter on each of its phases.

    >>> import hcsim
    >>> unit = hcsim.BessUnit("A", "18", 200.0, 50.0, eta_charge=0.95, eta_discharge=0.95, soc_min=0.1, soc_max=0.9)
    >>> round((unit.soc_max - unit.soc_min) * unit.energy_kwh)
    160
    """

    name: str
    bus: str
    energy_kwh: float
    power_kw: float
    """Rating of the whole unit; a phase has power_kw / number of phases."""
    eta_charge: float
    eta_discharge: float
    soc_min: float
    soc_max: float


@dataclass(frozen=True)
class Schedule:
    """The claim: G PV node-phases, D BESS node-phases, U units, T steps. Power is positive into the network.

    >>> import hcsim, numpy as np
    >>> sun, none = np.array([[0.0], [50.0]]), np.zeros((2, 0))
    >>> mine = hcsim.Schedule("mine", ("11:00", "12:00"), 1.0, ("18.1",), np.array([50.0]), sun, 0 * sun, (), (), (),
    ...     none, none, np.zeros((3, 0)))
    >>> mine.hc_kw
    50.0
    """

    case: str
    """none, centralized, distributed, distributed_no_circulation, or the user's own word."""
    times: tuple[str, ...]
    step_h: float
    pv_nodes: tuple[str, ...]
    """(G,)"""
    pv_kw: Floats
    """(G,) inverter capacity S_g."""
    pv_p_kw: Floats
    """(T, G) delivered active power, r(t) S_g."""
    pv_q_kvar: Floats
    """(T, G) positive into the network."""
    bess: tuple[BessUnit, ...]
    bess_nodes: tuple[str, ...]
    """(D,)"""
    bess_of: tuple[int, ...]
    """(D,) index into `bess`."""
    p_charge_kw: Floats
    """(T, D) >= 0, drawn from the network."""
    p_discharge_kw: Floats
    """(T, D) >= 0, fed into the network."""
    soc_kwh: Floats
    """(T+1, U) stored energy; row 0 before the first step."""
    predicted_nodes: tuple[str, ...] = ()
    predicted_v_pu: Floats | None = None
    """(T, N)"""
    substation_phases: tuple[str, ...] = ()
    predicted_substation_kw: Floats | None = None
    """(T, S)"""
    solve: SolveInfo | None = None
    """None where the schedule was not made by a program of ours."""
    assumptions: tuple[str, ...] = field(default=())
    kind: ScheduleKind = "allocation"
    scenario: Scenario | None = None
    """Of a schedule of kind planning; None for all others."""
    pv_kva: Floats | None = None
    """(G,) nameplate of the inverters; None: as many kVA as `pv_kw` has kW."""
    bess_q_kvar: Floats | None = None
    """(T, D) positive into the network; None: batteries at unity power factor."""
    bess_kva: Floats | None = None
    """(D,) nameplate of the batteries' converters; None: each phase's share of `BessUnit.power_kw`."""
    replaces: tuple[str, ...] = ()
    """Elements of the feeder ("storage.bess1") that this commands: out of the circuit while its devices act."""

    @property
    def hc_kw(self) -> float:
        """Hosting capacity: PV of all nodes."""
        return float(self.pv_kw.sum())

    @property
    def bess_p_kw(self) -> Floats:
        """(T, D) net, positive into the network."""
        return self.p_discharge_kw - self.p_charge_kw

    def to_frame(self) -> pd.DataFrame:
        """All of it but for claims and proofs as one table, a row per time, device and phase.

        Columns are `optim.data.schedule_frame.FRAME_COLUMNS`; `from_frame` gives the same numbers back.
        """
        return to_frame(self)

    @staticmethod
    def from_frame(frame: pd.DataFrame, case: str = "dispatch", replaces: Sequence[str] = ()) -> Schedule:
        """A schedule of a table with time, bus, phase, kind and kW; see `optim.data.schedule_frame.fields_of`.

        Examples
        --------
        >>> import pandas as pd
        >>> from optim.data.schedule import Schedule
        >>> rows = [("11:00", "18", 1, "pv", 30.0), ("12:00", "18", 1, "pv", 50.0)]
        >>> found = Schedule.from_frame(pd.DataFrame(rows, columns=["time", "bus", "phase", "kind", "p_kw"]))
        >>> found.pv_nodes, float(found.hc_kw), len(found.to_frame())
        (('18.1',), 50.0, 2)
        """
        fields = fields_of(frame, case, replaces)
        return Schedule(**{**fields, "bess": tuple(BessUnit(*unit) for unit in fields["bess"])})

    def circulated_kwh(self) -> Floats:
        """(T,) energy that one unit (or phase) charges while another discharges: min of both totals."""
        both = np.minimum(self.p_charge_kw.sum(axis=1), self.p_discharge_kw.sum(axis=1))
        found: Floats = both * self.step_h
        return found
