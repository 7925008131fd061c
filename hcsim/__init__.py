"""The check: everything that touches OpenDSS, files and people (see CONTRIBUTING.md)."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hcsim.studies.allocation import Study
    from hcsim.studies.planning import PlanningStudy

# The arrays here are small: BLAS threads cost more than they help (on two busy cores a tangent took ten times as
# long), and how a sum is split must not decide its last bit. Read when numpy is first loaded.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

__version__ = "0.2.0"
logging.getLogger("hcsim").addHandler(logging.NullHandler())  # silent until a user of the library, or --log, asks

__all__ = ["PlanningStudy", "Study", "__version__"]


def __getattr__(name: str) -> Any:
    # `hcsim --help` and `hcsim.__version__` must not wait for the solver and OpenDSS to load
    if name == "Study":
        from hcsim.studies.allocation import Study

        return Study
    if name == "PlanningStudy":
        from hcsim.studies.planning import PlanningStudy

        return PlanningStudy
    raise AttributeError(f"module 'hcsim' has no attribute {name!r}")
