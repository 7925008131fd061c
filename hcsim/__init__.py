"""The check: everything that touches OpenDSS, files and people (see CONTRIBUTING.md).

The public face: `Study` and `PlanningStudy` are the main jobs. By parts: `load_case` and `Workbench` make a case
ready, `read_network` reads a feeder alone, `replay`, `hosting_capacity` and `certify` are what a schedule is put
through, `validate` judges anyone's dispatch, `read_schedule` and `write_schedule` are its files; `plot` draws
results. What a user can mend
is an `HcsimError`.
"""

from __future__ import annotations

import logging
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hcsim.util.arithmetic import arithmetic_for, processor_flags

if TYPE_CHECKING:
    from hcsim import plot
    from hcsim.cases.case import Case, load_case
    from hcsim.certify.certificate import Certificate
    from hcsim.certify.loop import certify
    from hcsim.certify.options import LoopOptions
    from hcsim.devices.inverter_curves import InverterControl
    from hcsim.errors import (
        ConfigError,
        ConvergenceError,
        FeederError,
        HcsimError,
        InfeasibleError,
        ModelError,
        OutputError,
        SolverError,
    )
    from hcsim.feeder.model import FeederModel
    from hcsim.feeder.read import read_network
    from hcsim.hosting.result import HostingCapacityResult
    from hcsim.hosting.system_wide import hosting_capacity
    from hcsim.hosting.weights import PvShares
    from hcsim.replay.options import ReplayOptions
    from hcsim.replay.result import ReplayResult
    from hcsim.replay.run import replay
    from hcsim.results.allocation import StudyResult
    from hcsim.results.planning import PlanningStudyResult
    from hcsim.results.validation import Validation
    from hcsim.schedules.files import read_schedule, write_schedule
    from hcsim.studies.allocation import Study
    from hcsim.studies.planning import PlanningStudy
    from hcsim.studies.validation import validate
    from hcsim.workbench.allocation import Workbench
    from optim.data.limits import Limits
    from optim.data.network import Network
    from optim.data.profiles import Profiles
    from optim.data.schedule import BessUnit, Schedule

# The arrays here are small: BLAS threads cost more than they help (on two busy cores a tangent took ten times as
# long), and how a sum is split must not decide its last bit. Read when numpy is first loaded.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# ... nor must the processor: numpy and OpenBLAS compute with wider registers where there are any, to other last digits,
# and a linear program may take another way for one of them.
os.environ.update({k: v for k, v in arithmetic_for(processor_flags()).items() if k not in os.environ})

__version__ = "0.3.0"
logging.getLogger("hcsim").addHandler(logging.NullHandler())  # silent until a user of the library, or --log, asks

_HOME = {
    "BessUnit": "optim.data.schedule",
    "Case": "hcsim.cases.case",
    "Certificate": "hcsim.certify.certificate",
    "ConfigError": "hcsim.errors",
    "ConvergenceError": "hcsim.errors",
    "FeederError": "hcsim.errors",
    "FeederModel": "hcsim.feeder.model",
    "HcsimError": "hcsim.errors",
    "HostingCapacityResult": "hcsim.hosting.result",
    "InfeasibleError": "hcsim.errors",
    "InverterControl": "hcsim.devices.inverter_curves",
    "Limits": "optim.data.limits",
    "LoopOptions": "hcsim.certify.options",
    "ModelError": "hcsim.errors",
    "Network": "optim.data.network",
    "OutputError": "hcsim.errors",
    "PlanningStudy": "hcsim.studies.planning",
    "PlanningStudyResult": "hcsim.results.planning",
    "Profiles": "optim.data.profiles",
    "PvShares": "hcsim.hosting.weights",
    "ReplayOptions": "hcsim.replay.options",
    "ReplayResult": "hcsim.replay.result",
    "Schedule": "optim.data.schedule",
    "SolverError": "hcsim.errors",
    "Study": "hcsim.studies.allocation",
    "StudyResult": "hcsim.results.allocation",
    "Validation": "hcsim.results.validation",
    "Workbench": "hcsim.workbench.allocation",
    "certify": "hcsim.certify.loop",
    "hosting_capacity": "hcsim.hosting.system_wide",
    "load_case": "hcsim.cases.case",
    "read_network": "hcsim.feeder.read",
    "read_schedule": "hcsim.schedules.files",
    "replay": "hcsim.replay.run",
    "validate": "hcsim.studies.validation",
    "write_schedule": "hcsim.schedules.files",
}
"""Public name -> the module it comes from, loaded when it is asked for: `hcsim --help` and `hcsim.__version__` must not
wait for the solver and OpenDSS."""
__all__ = [
    "BessUnit",
    "Case",
    "Certificate",
    "ConfigError",
    "ConvergenceError",
    "FeederError",
    "FeederModel",
    "HcsimError",
    "HostingCapacityResult",
    "InfeasibleError",
    "InverterControl",
    "Limits",
    "LoopOptions",
    "ModelError",
    "Network",
    "OutputError",
    "PlanningStudy",
    "PlanningStudyResult",
    "Profiles",
    "PvShares",
    "ReplayOptions",
    "ReplayResult",
    "Schedule",
    "SolverError",
    "Study",
    "StudyResult",
    "Validation",
    "Workbench",
    "__version__",
    "certify",
    "hosting_capacity",
    "load_case",
    "plot",
    "read_network",
    "read_schedule",
    "replay",
    "validate",
    "write_schedule",
]


def __getattr__(name: str) -> Any:
    if name == "plot":
        return import_module("hcsim.plot")
    if name not in _HOME:
        raise AttributeError(f"module 'hcsim' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
