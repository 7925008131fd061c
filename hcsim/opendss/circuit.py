"""The one door to OpenDSS. A `Circuit` is a feeder compiled in a context of its own.

Nothing here changes the working directory, opens a window or writes beside the user's files: OpenDSS's own output
(show, export, save) goes into a scratch folder that ends with the circuit. Values are read as whole vectors, per
circuit or per element class. Powers are in kW and kvar; signs are OpenDSS's (positive into the element) except
where a name says otherwise.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import opendssdirect
from dss import DSSException
from numpy.typing import NDArray
from scipy import sparse

from hcsim.errors import FeederError
from hcsim.opendss.elements import CONTROL_AND_METER_CLASSES, Element, Layout, parse_properties
from hcsim.opendss.regulators import Controlled
from hcsim.opendss.safe_scripts import Scripts, files_sha256, read_scripts
from hcsim.opendss.solving import Solving, words_of
from hcsim.opendss.voltage_bases import mend_voltage_bases

Complexes = NDArray[np.complex128]
Ints = NDArray[np.int64]

_JSON_FULL = 0x001


class Circuit(Solving, Controlled):
    """A feeder compiled in its own OpenDSS context. Make one with `Circuit.compile`."""

    def __init__(self, master: Path) -> None:
        self.master = master.resolve()
        self._scratch = tempfile.TemporaryDirectory(prefix="hcsim-")
        before = Path.cwd()
        self._dss = opendssdirect.dss.NewContext().to_dss_python()
        os.chdir(before)  # a new context goes to where the process was started
        self._dss.AllowForms = False
        self._dss.AllowEditor = False
        self._dss.AllowChangeDir = False
        self._dss.AllowDOScmd = False
        self._dss.AdvancedTypes = True
        self._dss.DataPath = self._scratch.name
        self._circuit = self._dss.ActiveCircuit
        self._kept: dict[str, tuple[Any, int]] = {}
        self.held = ()
        self._scripts = Scripts(self.master)

    @classmethod
    def compile(cls, master: Path | str, *, controls: bool = True) -> Circuit:
        """Compile `master` and solve its base case once, with regulators and capacitor controls acting or
        standing where the files leave them (a `solve` inside the files obeys the files' own settings).

        Raises FeederError with OpenDSS's message, file and line; ConvergenceError from the solve.
        """
        circuit = cls(Path(master))
        if not circuit.master.is_file():
            raise FeederError(f"No such feeder file: {master}.", "Name the master .dss file.")
        circuit._read_scripts()
        if circuit._dss.NumCircuits == 0:
            raise FeederError(f"{master} defines no circuit.", "Name the file with `New Circuit.`.")
        circuit.solve_base_case(controls=controls)
        if mended := mend_voltage_bases(circuit):
            circuit._scripts.notes += mended
            circuit.solve(controls=controls)
        return circuit

    # -- words ---------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return str(self._circuit.Name)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the feeder, the master first, in reading order."""
        return tuple(self._scripts.files)

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be done to read the feeder, one sentence each."""
        return tuple(self._scripts.notes)

    @cached_property
    def source_sha256(self) -> str:
        """Hash over all files of the feeder."""
        return files_sha256(self.files)

    def command(self, text: str) -> str:
        """One OpenDSS text command; its result. Raises FeederError with OpenDSS's message, file and line."""
        self._tap_rows = None
        while self._kept:  # the command may add elements
            self._circuit._lib.Batch_Dispose(self._kept.popitem()[1][0][0])
        try:
            self._dss.Text.Command = text
        except DSSException as fault:
            words = words_of(fault)
            for copy, original in self._scripts.origin.items():
                words = words.replace(copy, original)
            raise FeederError(f"OpenDSS, reading {self.master.name}: {words}") from fault
        return str(self._dss.Text.Result)

    # -- whole-circuit vectors -----------------------------------------------------------------------

    def node_names(self) -> tuple[str, ...]:
        """(N,) "bus.phase" in lower case, the order of the system matrix."""
        return tuple(name.lower() for name in self._circuit.YNodeOrder)

    def voltages_v(self) -> Complexes:
        """(N,) node-to-ground phasors, order of `node_names`."""
        return self._circuit.YNodeVarray

    def start_from(self, v_v: NDArray[np.complexfloating]) -> None:
        """(N,) phasors in place of `voltages_v`: the first guess of the next power flow."""
        whole = self._ffi.buffer(self._dss.YMatrix.GetVPointer(), 16 * (len(v_v) + 1))  # ground comes first
        np.frombuffer(whole, dtype=complex)[1:] = v_v

    def system_y(self) -> sparse.csc_matrix:
        """(N, N) system admittance in siemens, loads' constant part included."""
        data, indices, starts = self._dss.YMatrix.GetCompressedYMatrix(False)
        n = len(starts) - 1
        return sparse.csc_matrix((data, indices, starts), shape=(n, n))

    def injection_currents_a(self) -> Complexes:
        """(N,) currents injected into `system_y` at the solution (sources, and loads' compensation)."""
        return self._circuit.YCurrents

    def substation_kva(self) -> Complexes:
        """(S,) power per phase of the first enabled Vsource, positive into the feeder."""
        for i, name in enumerate((source := self.layout("Vsource")).names):
            if self._enabled(name):
                first = int(source.offset[i])
                phases = int(source.conductors[i])
                return -self.powers_kva("Vsource")[first : first + phases]
        raise FeederError(f"{self.name} has no enabled Vsource.")

    def element_names(self) -> tuple[str, ...]:
        """(E,) every circuit element, disabled ones included, full names in lower case."""
        return tuple(name.lower() for name in self._circuit.AllElementNames)

    def consumption_kva(self) -> Complexes:
        """(E,) kW + j kvar that each of `element_names` takes up over all its terminals: the load of a load,
        the loss of a line, less than zero for sources and generators. Sums to zero over the circuit."""
        return self._circuit.AllElementLosses

    def losses_kva(self) -> complex:
        """Losses of all delivery elements, kW + j kvar."""
        return complex(self._circuit.Losses) / 1000.0

    def load_kw(self) -> float:
        """Active power delivered to all loads."""
        return float(self.powers_kva("Load").real.sum())

    def nominal_load_kw(self) -> float:
        """What the enabled loads ask for in a snapshot at rated voltage."""
        asked = self.read("Load", "", "kw")[self.whole_numbers("Load", "enabled") != 0]
        return float(asked.sum()) * float(self._circuit.Solution.LoadMult)

    # -- element classes -----------------------------------------------------------------------------

    def layout(self, kind: str) -> Layout:
        """Names and cutting of the flat vectors of an OpenDSS class. Valid until elements are added."""
        handles = self._handles(kind)
        lib, string = self._circuit._lib, self._ffi.string
        names = tuple(f"{kind}.{string(lib.Obj_GetName(h)).decode().lower()}" for h in handles)
        conductors = np.array([lib.Alt_CE_Get_NumConductors(h) for h in handles], dtype=np.int64)
        terminals = np.array([lib.Alt_CE_Get_NumTerminals(h) for h in handles], dtype=np.int64)
        return Layout(names, conductors, terminals, np.concatenate([[0], np.cumsum(conductors * terminals)]))

    def powers_kva(self, kind: str) -> Complexes:
        """Flat, by `layout(kind)`: kW + j kvar into every conductor of every element of the class."""
        return self._read_class(kind, self._circuit._lib.Alt_CEBatch_Get_Powers)

    def currents_a(self, kind: str) -> Complexes:
        """Flat, by `layout(kind)`: amperes into every conductor of every element of the class."""
        return self._read_class(kind, self._circuit._lib.Alt_CEBatch_Get_Currents)

    def element_powers(self, name: str) -> Complexes:
        """(terminals, conductors) kW + j kvar into one element. Raises FeederError if there is none."""
        self._activate(name)
        element = self._circuit.ActiveCktElement
        return np.asarray(element.Powers, dtype=complex).ravel(order="F").reshape(element.NumTerminals, -1)

    def elements(self, kinds: Iterable[str] | None = None) -> Iterator[Element]:
        """Every circuit element, disabled ones included, class by class (all classes, or those named)."""
        for kind in self.classes() if kinds is None else kinds:
            handles = self._handles(kind)
            if not handles:
                continue
            for handle, properties in zip(handles, self._properties(kind), strict=True):
                yield self._element(kind, handle, properties)

    def classes(self) -> tuple[str, ...]:
        """OpenDSS classes that have elements in this circuit."""
        return tuple(dict.fromkeys(name.split(".", 1)[0] for name in self._circuit.AllElementNames))

    def _element(self, kind: str, handle: Any, properties: dict[str, Any]) -> Element:
        lib = self._circuit._lib
        enabled = bool(properties["enabled"])
        node_ref = np.empty((0, 0), dtype=np.int64)
        y_prim = np.empty((0, 0), dtype=complex)
        if enabled and kind not in CONTROL_AND_METER_CLASSES:
            nodes = self._circuit._get_int32_array(lib.Alt_CE_Get_NodeRef, handle)
            node_ref = nodes.astype(np.int64).ravel().reshape(lib.Alt_CE_Get_NumTerminals(handle), -1) - 1
            y_prim = np.asarray(self._circuit._get_complex128_array(lib.Alt_CE_Get_YPrim, handle))
            y_prim = y_prim.reshape(nodes.size, nodes.size)
        buses = self._circuit._get_string_array(lib.Alt_CE_Get_BusNames, handle)
        return Element(
            name=f"{kind}.{self._ffi.string(lib.Obj_GetName(handle)).decode().lower()}",
            kind=kind,
            enabled=enabled,
            buses=tuple(str(b).lower() for b in buses),
            phases=int(lib.Alt_CE_Get_NumPhases(handle)),
            node_ref=node_ref,
            y_prim_s=y_prim,
            properties=properties,
        )

    def primitive(self, name: str) -> tuple[Ints, Complexes]:
        """One element's conductors as positions in `node_names()` (-1 ground), and its present Yprim over them."""
        self._activate(name)
        element = self._circuit.ActiveCktElement
        conductors = np.asarray(element.NodeRef, dtype=np.int64).ravel() - 1
        y_prim = np.asarray(element.Yprim).ravel()
        y_prim = y_prim if np.iscomplexobj(y_prim) else y_prim.view(np.complex128)
        return conductors, y_prim.reshape(len(conductors), len(conductors))

    # -- buses ---------------------------------------------------------------------------------------

    def bus_base_v(self) -> dict[str, float]:
        """bus -> line-to-ground base in volts, 0 where the feeder sets none."""
        return {bus.Name.lower(): bus.kVBase * 1000.0 for bus in self._buses()}

    def coordinates(self) -> dict[str, tuple[float, float]]:
        """bus -> drawing coordinates, where the feeder has them."""
        return {bus.Name.lower(): (bus.x, bus.y) for bus in self._buses() if bus.Coorddefined}

    def _buses(self) -> Iterator[Any]:
        for i in range(self._circuit.NumBuses):
            self._circuit.SetActiveBusi(i)
            yield self._circuit.ActiveBus

    def fixed_loads(self) -> tuple[str, ...]:
        """Loads ("Load.s1a") with status=fixed, which OpenDSS never scales by a profile."""
        if "Load" not in self.classes():
            return ()
        names = self.layout("Load").names
        return tuple(n for n in names if self.command(f'? "{n}.status"').lower() == "fixed")

    # -- added elements ------------------------------------------------------------------------------

    def define(self, kind: str, name: str, properties: str) -> None:
        """Make an element or a general object, or edit the one of that name that is there."""
        pointer, count = self._batch(kind, f"^{re.escape(name)}$")
        exists = count > 0
        self._circuit._lib.Batch_Dispose(pointer[0])
        self.command(f'{"edit" if exists else "new"} "{kind}.{name}" {properties}')

    def write(self, kind: str, pattern: str, property_name: str, values: NDArray[np.float64]) -> None:
        """One number property of all elements of a class whose names match, in order of definition."""
        pointer, count = self._batch(kind, pattern)
        if count != len(values):
            raise ValueError(f"{len(values)} values for {count} elements {kind}.{pattern}")
        numbers = np.ascontiguousarray(values, dtype=float)
        data = self._ffi.cast("double*", numbers.ctypes.data)
        self._circuit._lib.Batch_SetFloat64ArrayS(pointer[0], count, property_name.encode(), data, 0)
        self._circuit._lib.Batch_Dispose(pointer[0])
        self._circuit._check_for_error()

    def read(self, kind: str, pattern: str, property_name: str) -> NDArray[np.float64]:
        """The counterpart of `write`."""
        pointer, count = self._batch(kind, pattern)
        function = self._circuit._lib.Batch_GetFloat64S
        values = self._circuit._get_float64_array(function, pointer[0], count, property_name.encode())
        self._circuit._lib.Batch_Dispose(pointer[0])
        return np.asarray(values, dtype=float)

    def whole_numbers(self, kind: str, property_name: str) -> Ints:
        """One integer or yes-or-no property of all elements of a class, in order of definition."""
        pointer, count = self._batch(kind)
        function = self._circuit._lib.Batch_GetInt32S
        values = self._circuit._get_int32_array(function, pointer[0], count, property_name.encode())
        self._circuit._lib.Batch_Dispose(pointer[0])
        return np.asarray(values, dtype=np.int64)

    def pv_positions(self) -> dict[str, int]:
        """PVSystem own name -> position for `set_pv`. Valid until elements are added."""
        return {name.lower(): i + 1 for i, name in enumerate(self._circuit.PVSystems.AllNames)}

    def set_pv(self, position: int, irradiance: float, kvar: float) -> None:
        """Operating point of one PVSystem. Unlike a text edit this does not rebuild the system matrix."""
        pv = self._circuit.PVSystems
        pv.idx = position
        pv.Irradiance = irradiance
        pv.kvar = kvar

    def load_positions(self) -> dict[str, int]:
        """Load own name -> position for `set_load_kw`. Valid until loads are added."""
        return {name.lower(): i + 1 for i, name in enumerate(self._circuit.Loads.AllNames)}

    def set_load_kw(self, position: int, kw: float) -> None:
        """Nominal kW of one Load at its power factor, without rebuilding the system matrix."""
        loads = self._circuit.Loads
        loads.idx = position
        loads.kW = kw

    def _read_scripts(self) -> None:
        """Let OpenDSS read the feeder's files; where their own solve fails, without it."""
        executive, scratch = self._dss.Executive, Path(self._scratch.name)
        commands = [str(executive.Command(i)) for i in range(1, executive.NumCommands + 1)]
        self._scripts = read_scripts(self.master, commands, scratch)
        try:
            self.command(f'redirect "{self._scripts.start}"')
        except FeederError as fault:
            if not self._scripts.solves:
                raise
            self._scripts = read_scripts(self.master, commands, scratch, without_solves=True)
            self.command("clear")
            try:
                self.command(f'redirect "{self._scripts.start}"')
            except FeederError:
                raise fault from None
            self._scripts.notes.append(f"The files' own solve fails, ours is tried without it ({fault.message})")

    # -- below the API's surface ---------------------------------------------------------------------

    @property
    def _ffi(self) -> Any:
        return self._circuit._api_util.ffi

    def _handles(self, kind: str) -> list[Any]:
        pointer, count = self._batch(kind)
        handles = [pointer[0][i] for i in range(count)]
        self._circuit._lib.Batch_Dispose(pointer[0])
        return handles

    def _batch(self, kind: str, pattern: str = "") -> tuple[Any, int]:
        pointer, dims = self._ffi.new("void***"), self._ffi.new("int32_t[4]")
        if pattern:
            self._circuit._lib.Batch_CreateByRegExpS(pointer, dims, kind.encode(), pattern.encode())
        else:
            self._circuit._lib.Batch_CreateByClassS(pointer, dims, kind.encode())
        self._circuit._check_for_error()
        return pointer, int(dims[0])

    def _kept_batch(self, kind: str) -> tuple[Any, int]:
        """All elements of a class, disabled ones included; until the next command."""
        if kind not in self._kept:
            self._kept[kind] = self._batch(kind)
        return self._kept[kind]

    def _read_class(self, kind: str, function: Any) -> Complexes:
        pointer, count = self._kept_batch(kind)
        if count == 0:
            return np.empty(0, dtype=complex)
        return self._circuit._get_complex128_array(function, pointer[0], count).ravel(order="F")

    def _properties(self, kind: str) -> list[dict[str, Any]]:
        pointer, count = self._batch(kind)
        text = self._circuit._lib.Batch_ToJSON(pointer[0], count, _JSON_FULL)
        rows = parse_properties(self._ffi.string(text).decode())
        self._circuit._lib.DSS_Dispose_String(text)
        self._circuit._lib.Batch_Dispose(pointer[0])
        return rows

    def _activate(self, name: str) -> None:
        if self._circuit.SetActiveElement(name) < 0:
            raise FeederError(f"No element {name} in {self.name}.")

    def _enabled(self, name: str) -> bool:
        self._activate(name)
        return bool(self._circuit.ActiveCktElement.Enabled)
