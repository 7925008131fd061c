"""How a compiled circuit is solved: a snapshot, or a native time series step by step, and what can go wrong."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from typing import Literal

import numpy as np
from dss import DSSException

from hcsim.errors import ConvergenceError, FeederError
from hcsim.opendss.session import Session, words_of
from hcsim.util import last_words
from optim.data.node import bus_of

USUAL_TOLERANCE = 1e-9
"""OpenDSS's own 1e-4 pu is too coarse to compare anything with."""
COARSER_TOLERANCES = (1e-7, 1e-6, 1e-5)
AT_LEAST_ITERATIONS = 20
"""Where the tolerance says little, so that all but the floating voltages come to rest."""
NO_TIME_S = 1e-3
LOGGED_CONTROLS = ("RegControl", "CapControl", "InvControl", "StorageController", "Relay")
"""Classes that can be told to log what they do; SwtControl, Recloser and Fuse know no such property."""
WATCHED_ITERATIONS = 12
"""Control iterations more, to see who goes on acting."""
_ACTS = re.compile(r"Element=([^,]+),\s*Action=(?!\*\*(?:ARMED|RESET))", re.IGNORECASE)
_CONTROLS_DO_NOT_SETTLE = 485
_REUSE_SYMBOLIC = 2
"""Of OpenDSS's SparseSolverOptions. The next, to keep the pivots too, loses the 8500-node feeder."""


class DoesNotConverge(ConvergenceError):
    """The power flow itself does not come to rest; the controls are not to blame."""


class Solver:
    """Solves the circuit of a session."""

    def __init__(self, session: Session) -> None:
        self._session, self._circuit = session, session.circuit
        self.fault = ""
        """What was wrong with the last step, "" where nothing was."""
        self.finest_tolerance = 0.0
        """The power flow tolerance below which OpenDSS does not get on this circuit; 0 where the usual one is met."""
        self._step_h = 1.0

    def solve(self, *, controls: bool, tolerance: float = USUAL_TOLERANCE, max_iterations: int = 100) -> None:
        """A snapshot power flow. Raises ConvergenceError, also where the solution is not finite or less
        than half of the nominal load of the connected elements is served."""
        self._set_mode("snapshot")
        self._prepare(controls, tolerance, max_iterations)
        fault = self._solve()
        name = self._circuit.Name
        if fault and not self._circuit.Solution.Converged:
            raise DoesNotConverge(f"{name}: {fault}.", f"{self._most_restless()} Check sizes and voltage bases there.")
        if fault:
            raise ConvergenceError(f"{name}: {fault}.", "Check voltage bases, source and load sizes.")
        nominal, served = nominal_kw(self._session), served_kw(self._session)
        if nominal > 0 and served < 0.5 * nominal:
            raise ConvergenceError(
                f"{name}: OpenDSS converged, but serves {served:.1f} of {nominal:.1f} kW of load.",
                "Look for open elements or tripping reclosers that cut it off, loads too large for it, wrong voltages.",
            )

    def solve_base_case(self, *, controls: bool) -> None:
        """`solve`, to the tightest tolerance that OpenDSS gets to on this circuit, which holds from then on: the
        common mode of a floating bus is held by next to nothing, and its rounding can exceed the usual one."""
        try:
            self.solve(controls=controls)
            return
        except DoesNotConverge as error:
            usual = error
        for self.finest_tolerance in COARSER_TOLERANCES:
            self._session.command(f"set miniterations={AT_LEAST_ITERATIONS}")
            try:
                self.solve(controls=controls)
                break
            except DoesNotConverge:
                pass
        else:
            raise usual
        self._session.scripts.notes.append(
            f"OpenDSS converges to a tolerance of {self.finest_tolerance:g} only, not to {USUAL_TOLERANCE:g}: some "
            "voltage goes on moving, most often that of a floating bus to ground."
        )

    def start_series(
        self,
        step_h: float,
        mode: Literal["daily", "yearly"] = "daily",
        *,
        start_h: float = 0.0,
        tolerance: float = USUAL_TOLERANCE,
        max_iterations: int = 100,
        max_control_iterations: int = 250,
    ) -> None:
        """Go to native time-series mode, one step per solve, the first of which begins at hour `start_h` of the year.
        State (taps, stored energy) stays as it is."""
        self._set_mode(f"{mode} number=1", step_h * 3600.0)
        self._prepare(True, tolerance, max_iterations, max_control_iterations)
        self._step_h, self._start_h = step_h, start_h

    def keep_matrix(self) -> None:
        """From now on enter into the system matrix only what has changed, and keep its symbolic factorization:
        for runs with many tap changes. Defining or enabling an element still builds it from scratch."""
        self._session.dss.YMatrix.SolverOptions = _REUSE_SYMBOLIC

    def controls_acted(self) -> bool:
        """Whether the last solve may have moved a control: it needed more than one control iteration."""
        return int(self._circuit.Solution.ControlIterations) > 1

    def step(self, t: int, *, controls: bool) -> bool:
        """Solve step t (0-based). True if power flow and controls converged on finite voltages; else
        `fault` says why.

        OpenDSS moves its clock before it solves: step t is solved at hour start_h + (t + 1) * step_h, which reads
        value number t of a LoadShape whose interval is step_h.
        """
        solution = self._circuit.Solution
        solution.dblHour = self._start_h + t * self._step_h
        solution.ControlMode = 0 if controls else -1
        self.fault = self._solve()
        return not self.fault

    def _set_mode(self, mode: str, step_s: float = 0.0) -> None:
        """After `set mode`, a Generator of model 3 has another admittance in the system matrix than in its current,
        and some kvar come out of nothing, until the matrix is built anew after a first solution."""
        if not (self._session.whole_numbers("Generator", "model") == 3).any():
            self._session.command(f"set mode={mode} stepsize={step_s!r}s")
            return
        self._session.command(f"set mode={mode} stepsize={NO_TIME_S}s controlmode=off")
        self._solve()
        self._session.command("buildy")
        self._session.command(f"set stepsize={step_s!r}s")

    def _prepare(
        self, controls: bool, tolerance: float, max_iterations: int, max_control_iterations: int = 250
    ) -> None:
        mode = "static" if controls else "off"
        self._session.command(f"set controlmode={mode} maxcontroliter={max_control_iterations}")
        self._session.command(f"set tolerance={max(tolerance, self.finest_tolerance)!r} maxiterations={max_iterations}")

    def _solve(self) -> str:
        """Solve; what went wrong, or ""."""
        began_h = float(self._circuit.Solution.dblHour)
        try:
            with last_words.call(f"solve at hour {began_h:g}"):
                self._circuit.Solution.Solve()
        except DSSException as fault:
            if fault.args[0] == _CONTROLS_DO_NOT_SETTLE:
                self._session.command("set number=1")  # or OpenDSS refuses every further solve
                return f"controls do not settle (they hunt): {self._hunting(began_h)}"
            raise FeederError(f"OpenDSS, solving {self._circuit.Name}: {words_of(fault)}") from fault
        if not self._circuit.Solution.Converged:
            return f"OpenDSS did not converge in {self._circuit.Solution.Iterations} iterations"
        if not np.all(np.isfinite(self._circuit.YNodeVarray)):
            return "OpenDSS converged on voltages that are not finite"
        return ""

    def _hunting(self, hour: float) -> str:
        """Which controls go on acting at this hour, by the engine's event log of a few iterations more."""
        solution = self._circuit.Solution
        most = int(solution.MaxControlIterations)
        kinds = [kind for kind in LOGGED_CONTROLS if self._session.names(kind)]
        seen: list[str] = []
        try:
            for kind in kinds:
                self._session.command(f"batchedit {kind}..* eventlog=yes")
            self._session.command(f"set maxcontroliter={WATCHED_ITERATIONS}")
            solution.dblHour = hour
            with suppress(DSSException):
                solution.Solve()
            seen = [match[1] for line in solution.EventLog if (match := _ACTS.search(str(line)))]
        finally:
            self._session.command("set number=1")
            for kind in kinds:
                self._session.command(f"batchedit {kind}..* eventlog=no")
            self._session.command(f"set maxcontroliter={most}")
        counted = Counter(seen)
        often = [name for name, n in counted.most_common() if n > 1] or list(counted)
        more = f" and {len(often) - 4} more" if len(often) > 4 else ""
        return (
            ", ".join(often[:4]) + more
            if often
            else f"{', '.join(kinds) or 'of a kind'} without a word in the event log"
        )

    def _most_restless(self) -> str:
        """Where the voltage moves most from one iteration to the next, and what stands there."""
        before = self._circuit.YNodeVarray.copy()
        self._session.command("set maxiterations=1 miniterations=1")
        self._solve()
        self._session.command("set miniterations=2")
        moved = np.abs(self._circuit.YNodeVarray - before)
        if not np.isfinite(moved).all():
            return "Its voltages grow without bound: some part may float."
        node = self._circuit.YNodeOrder[int(np.argmax(moved / np.maximum(np.abs(before), 1.0)))].lower()
        self._circuit.SetActiveBus(bus_of(node))
        here = ", ".join(str(name) for name in self._circuit.ActiveBus.AllPCEatBus if name) or "no load or source"
        return f"The voltage of node {node} moves most, by {moved.max():.3g} V in an iteration; there: {here}."


def served_kw(session: Session) -> float:
    """Active power delivered to all loads."""
    return float(session.read_class("Load", session.circuit._lib.Alt_CEBatch_Get_Powers).real.sum())


def nominal_kw(session: Session) -> float:
    """What the enabled loads ask for in a snapshot at rated voltage."""
    asked = session.read("Load", "", "kw")[session.whole_numbers("Load", "enabled") != 0]
    return float(asked.sum()) * float(session.circuit.Solution.LoadMult)


def require_readable(session: Session) -> None:
    """Options that a feeder's files may set and that leave no base case to read, named before anything else goes wrong
    for their sake. Raises FeederError with the option and the remedy."""
    circuit = session.circuit.Name
    if session.command("get loadmodel").lower().startswith("a"):
        raise FeederError(
            f"{circuit}: the files set loadmodel=admittance, with which OpenDSS takes every load for a fixed "
            "admittance and its power models for nothing: there is no base case to compare with.",
            "Take `set loadmodel=admittance` out of the files, or set loadmodel=powerflow.",
        )
    now_hz = float(session.circuit.Solution.Frequency)
    for name in session.names("Vsource"):
        own_hz = float(session.command(f'? "Vsource.{name}.basefreq"'))
        if own_hz > 0 and abs(own_hz - now_hz) > 1e-6 and session.enabled(f"Vsource.{name}"):
            raise FeederError(
                f"{circuit}: the files set the frequency to {now_hz:g} Hz after the circuit, whose Vsource.{name} is "
                f"at {own_hz:g} Hz: OpenDSS then solves a harmonic, and serves no load.",
                f"Put `set defaultbasefrequency={now_hz:g}` before `New Circuit`, or take the later option out.",
            )
