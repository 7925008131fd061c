"""The OpenDSS that runs a feeder by itself: DSS-Extensions' build, or EPRI's own (extra `[epri]`).

Both are told the same text commands and asked for the same vectors; nothing else of them is used, so that what
differs between two runs is the engine.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hcsim.errors import ConfigError, FeederError

Complexes = NDArray[np.complex128]
EngineName = Literal["dss_extensions", "epri"]


class Engine(Protocol):
    """One circuit in one engine. `say` raises FeederError with the engine's own words."""

    version: str

    def say(self, text: str) -> None:
        """A text command."""

    def solve(self, hour: float) -> bool:
        """One step whose clock begins at `hour`; whether it converged."""

    def nodes(self) -> tuple[str, ...]:
        """(N,) "bus.phase" in lower case, the order of the system matrix."""

    def voltages_v(self) -> Complexes:
        """(N,) node-to-ground phasors."""

    def element(self, name: str) -> tuple[Complexes, Complexes]:
        """Amperes, and kW + j kvar, into every conductor of an element."""


class DssExtensions:
    """The engine that hcsim itself uses, in a context of its own."""

    def __init__(self) -> None:
        import opendssdirect

        self._dss: Any = opendssdirect.dss.NewContext().to_dss_python()
        self._dss.AllowForms = self._dss.AllowEditor = self._dss.AllowChangeDir = self._dss.AllowDOScmd = False
        self._dss.AdvancedTypes = True
        self._circuit = self._dss.ActiveCircuit
        self.version = str(self._dss.Version).splitlines()[0]

    def say(self, text: str) -> None:
        from dss import DSSException

        try:
            self._dss.Text.Command = text
        except DSSException as fault:
            raise FeederError(str(fault.args[1])) from fault

    def solve(self, hour: float) -> bool:
        from dss import DSSException

        self._circuit.Solution.dblHour = hour
        try:
            self._circuit.Solution.Solve()
            return bool(self._circuit.Solution.Converged)
        except DSSException:
            self.say("set number=1")  # or it refuses every further solve
            return False

    def nodes(self) -> tuple[str, ...]:
        return tuple(name.lower() for name in self._circuit.YNodeOrder)

    def voltages_v(self) -> Complexes:
        found: Complexes = self._circuit.YNodeVarray.copy()
        return found

    def element(self, name: str) -> tuple[Complexes, Complexes]:
        if self._circuit.SetActiveElement(name) < 0:
            raise FeederError(f"This engine knows no {name}.")
        element = self._circuit.ActiveCktElement
        found = [np.asarray(values, dtype=complex).ravel(order="F") for values in (element.Currents, element.Powers)]
        return found[0], found[1]


class Epri:
    """EPRI's OpenDSS by py-dss-interface. It is one a process, tells errors by a code, and moves the working folder."""

    def __init__(self) -> None:
        try:
            import py_dss_interface
        except ImportError as fault:
            raise ConfigError("EPRI's engine is not installed.", "pip install 'hcsim[epri]'.") from fault
        here = os.getcwd()  # noqa: PTH109
        self._dss: Any = py_dss_interface.DSS()
        os.chdir(here)
        self.version = str(self._dss.dssinterface.version).split("; license")[0]

    def say(self, text: str) -> None:
        said = str(self._dss.text(text))
        if self._dss.errorinterface.error_code:  # its description is not asked for: that can end the process
            raise FeederError(said.strip().replace("\n", " ") or f"error at: {text}")

    def solve(self, hour: float) -> bool:
        self._dss.solution.dbl_hour = hour
        self._dss.solution.solve()
        converged = bool(self._dss.solution.converged)
        if self._dss.errorinterface.error_code:
            self._dss.text("set number=1")
            return False
        return converged

    def nodes(self) -> tuple[str, ...]:
        return tuple(str(name).lower() for name in self._dss.circuit.y_node_order)

    def voltages_v(self) -> Complexes:
        return _complex(self._dss.circuit.y_node_varray)

    def element(self, name: str) -> tuple[Complexes, Complexes]:
        self._dss.circuit.set_active_element(name)
        if str(self._dss.cktelement.name).lower() != name.lower():
            raise FeederError(f"This engine knows no {name}.")
        return _complex(self._dss.cktelement.currents), _complex(self._dss.cktelement.powers)


def installed(name: EngineName) -> bool:
    """Whether it can be had here."""
    return name != "epri" or find_spec("py_dss_interface") is not None


def engine(name: EngineName) -> Engine:
    """Raises ConfigError where it is not installed."""
    return Epri() if name == "epri" else DssExtensions()


def _complex(pairs: Any) -> Complexes:
    values = np.asarray(pairs, dtype=float)
    return values[0::2] + 1j * values[1::2]
