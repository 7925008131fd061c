"""Which of the feeder's controls a case leaves free to act."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hcsim.opendss.circuit import Circuit

if TYPE_CHECKING:
    from hcsim.cases.case import Case
from hcsim.devices.held_controls import Selection, hold, select


def selected(circuit: Circuit, case: Case, free: Sequence[str] = (), locked: Sequence[str] = ()) -> Selection:
    """What [controls] of a case chooses, or `free` and `locked` of the command line where there are any; the others
    are held in the circuit from now on."""
    section, where = case.config.controls, f"{case.study_file}, [controls]"
    chosen = select(circuit, section.free, section.locked, where)
    if free or locked:
        one_word = len(free) == 1 and free[0] in ("all", "none")
        chosen = select(circuit, free[0] if one_word else free or "all", locked, "Command line, controls")
    hold(circuit, chosen.held)
    return chosen
