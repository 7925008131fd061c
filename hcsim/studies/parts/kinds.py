"""What results of parts are made of, all of which a file for --resume can hold."""

from __future__ import annotations

from hcsim.certify.certificate import Certificate, Round
from hcsim.certify.error_budget import BudgetSteps
from hcsim.devices.held_controls import Selection
from hcsim.hosting.result import HostingCapacityResult
from hcsim.replay.inverter_day import InverterDay, VoltageChange
from hcsim.replay.result import ReplayResult
from hcsim.results.allocation import SpreadResult
from optim.data.limits import Limits, VoltageBand
from optim.data.operation import Operation
from optim.data.schedule import BessUnit, Schedule, SolveInfo
from optim.hosting.binding import Price
from optim.hosting.spread import Spread

CLASSES: tuple[type, ...] = (
    BessUnit,
    BudgetSteps,
    Certificate,
    HostingCapacityResult,
    InverterDay,
    Limits,
    Operation,
    Price,
    ReplayResult,
    Round,
    Schedule,
    Selection,
    SolveInfo,
    Spread,
    SpreadResult,
    VoltageBand,
    VoltageChange,
)
