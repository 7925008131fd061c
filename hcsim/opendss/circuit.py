"""The one door to OpenDSS. A `Circuit` is a feeder compiled in a context of its own.

Nothing here changes the working directory, opens a window or writes beside the user's files: OpenDSS's own output
(show, export, save) goes into a scratch folder that ends with the circuit. Values are read as whole vectors, per
circuit or per element class. Powers are in kW and kvar; signs are OpenDSS's (positive into the element) except
where a name says otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hcsim.errors import FeederError
from hcsim.opendss.elements import CONTROL_AND_METER_CLASSES, Element, Layout
from hcsim.opendss.regulators import FeederControls
from hcsim.opendss.series.memory import Memory
from hcsim.opendss.session import Session
from hcsim.opendss.solving import Solver, nominal_kw, require_readable, served_kw
from hcsim.opendss.voltage_bases import mend_voltage_bases, state_missing_bases

OUR_PREFIX = "hcsim_"
"""How the names of elements begin that are added here."""
Complexes = NDArray[np.complex128]
Ints = NDArray[np.int64]

_LOG = logging.getLogger(__name__)


class Circuit:
    """A feeder compiled in its own OpenDSS context. Make one with `Circuit.compile`.

    It reads; what its controls and its solver do is theirs, under the circuit's name: see `FeederControls`, `Solver`
    and, for commands and elements, `Session`.
    """

    def __init__(self, master: Path, edits: Sequence[str] = ()) -> None:
        self.master, self.edits = master.resolve(), tuple(edits)
        self._session = Session(self.master, self.edits)
        self._dss, self._circuit = self._session.dss, self._session.circuit
        self._controls = FeederControls(self._session)
        self._solver = Solver(self._session)
        self._memory = Memory(self._session, self._read_again)
        self._first_controls = True

        self.command = self._session.command
        self.define = self._session.define
        self.read, self.write = self._session.read, self._session.write
        self.whole_numbers = self._session.whole_numbers

        self.taps, self.set_taps = self._controls.taps, self._controls.set_taps
        self.regulated_at = self._controls.regulated_at
        self.capacitor_states = self._controls.capacitor_states
        self.set_capacitor_states = self._controls.set_capacitor_states
        self.switched_banks = self._controls.switched_banks

        self.solve, self.solve_base_case = self._solver.solve, self._solver.solve_base_case
        self.start_series, self.step = self._solver.start_series, self._solver.step
        self.keep_matrix = self._solver.keep_matrix
        self.controls_acted = self._solver.controls_acted

        self.remember, self.forget = self._session.journal.remember, self._memory.forget

    @property
    def held(self) -> tuple[str, ...]:
        """Controls that never act, see `hcsim.devices.held_controls`."""
        return self._controls.held

    @held.setter
    def held(self, names: tuple[str, ...]) -> None:
        self._controls.held = names

    @property
    def fault(self) -> str:
        """What was wrong with the last step, "" where nothing was."""
        return self._solver.fault

    @classmethod
    def compile(cls, master: Path | str, *, controls: bool = True, edits: Sequence[str] = ()) -> Circuit:
        """Compile `master` and solve its base case once, with regulators and capacitor controls acting or
        standing where the files leave them (a `solve` inside the files obeys the files' own settings). `edits` are
        commands that follow the files: another setting of a control, another conductor.

        Raises FeederError with OpenDSS's message, file and line; ConvergenceError from the solve.
        """
        circuit = cls(Path(master), edits)
        if not circuit.master.is_file():
            raise FeederError(f"No such feeder file: {master}.", "Name the master .dss file.")
        circuit._session.read_scripts()
        if circuit._dss.NumCircuits == 0:
            raise FeederError(f"{master} defines no circuit.", "Name the file with `New Circuit.`.")
        circuit._session.require_edited()
        if odd := [name for name in circuit.element_names() if '"' in name or name.endswith(".")]:
            kind, _, name = odd[0].partition(".")
            raise FeederError(
                f"{master}: OpenDSS takes the quotes of {odd[0]} for a part of its name.",
                f'Quotes go around class and name: "{kind}.{name.strip(chr(34)) or "name"}".',
            )
        if ours := [name for name in circuit.element_names() if name.split(".", 1)[1].startswith(OUR_PREFIX)]:
            raise FeederError(f"{ours[0]} has a name that hcsim gives to its own devices.", "Rename it in the feeder.")
        require_readable(circuit._session)
        circuit._session.scripts.notes += state_missing_bases(circuit)
        circuit._first_controls = controls
        circuit._solve_first()
        circuit._memory.begin()
        _LOG.info("compiled %s: %d nodes, sha256 %s", master, len(circuit.node_names()), circuit.source_sha256)
        for note in circuit.notes:
            _LOG.info("%s: %s", master, note)
        return circuit

    def _solve_first(self) -> None:
        self.solve_base_case(controls=self._first_controls)
        if mended := mend_voltage_bases(self):
            notes = self._session.scripts.notes
            notes += [note for note in mended if note not in notes]
            self.solve(controls=self._first_controls)

    def _read_again(self) -> None:
        """The same files compiled anew in place, and solved as `compile` does, controls then standing still."""
        self._session.read_again()
        state_missing_bases(self)
        self._solve_first()
        self.solve(controls=False)

    @property
    def generation(self) -> int:
        """Counts how often `forget` had to compile anew: what was set without a command is lost then."""
        return self._memory.generation

    # -- words ---------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return str(self._circuit.Name)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the feeder, the master first, in reading order."""
        return tuple(self._session.scripts.files)

    @property
    def script(self) -> str:
        """The master file as OpenDSS reads it here, in a folder that ends with the circuit."""
        return str(self._session.scripts.start)

    @property
    def finest_tolerance(self) -> float:
        """The power flow tolerance below which OpenDSS does not get on this circuit; 0 where the usual one is met."""
        return self._solver.finest_tolerance

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be done to read the feeder, one sentence each."""
        return tuple(self._session.scripts.notes)

    @cached_property
    def source_sha256(self) -> str:
        """Hash over all files of the feeder."""
        return self._session.scripts.sha256

    # -- whole-circuit vectors -----------------------------------------------------------------------

    def node_names(self) -> tuple[str, ...]:
        """(N,) "bus.phase" in lower case, the order of the system matrix."""
        return tuple(name.lower() for name in self._circuit.YNodeOrder)

    def voltages_v(self) -> Complexes:
        """(N,) node-to-ground phasors, order of `node_names`."""
        found: Complexes = self._circuit.YNodeVarray
        return found

    def start_from(self, v_v: NDArray[np.complexfloating]) -> None:
        """(N,) phasors in place of `voltages_v`: the first guess of the next power flow."""
        whole = self._session.ffi.buffer(self._dss.YMatrix.GetVPointer(), 16 * (len(v_v) + 1))  # ground comes first
        np.frombuffer(whole, dtype=complex)[1:] = v_v

    def system_y(self) -> sparse.csc_array:
        """(N, N) system admittance in siemens, loads' constant part included."""
        data, indices, starts = self._dss.YMatrix.GetCompressedYMatrix(False)
        n = len(starts) - 1
        return sparse.csc_array((data, indices, starts), shape=(n, n))

    def injection_currents_a(self) -> Complexes:
        """(N,) currents injected into `system_y` at the solution (sources, and loads' compensation)."""
        found: Complexes = self._circuit.YCurrents
        return found

    def substation_kva(self) -> Complexes:
        """(S,) power per phase of every enabled Vsource, one after the other, positive into the feeder."""
        layout, powers = self.layout("Vsource"), self.powers_kva("Vsource")
        found = [
            -powers[int(layout.offset[i]) : int(layout.offset[i] + layout.conductors[i])]
            for i, name in enumerate(layout.names)
            if self._session.enabled(name)
        ]
        if not found:
            raise FeederError(f"{self.name} has no enabled Vsource.")
        return np.concatenate(found)

    def element_names(self) -> tuple[str, ...]:
        """(E,) every circuit element, disabled ones included, full names in lower case."""
        return tuple(name.lower() for name in self._circuit.AllElementNames)

    def consumption_kva(self) -> Complexes:
        """(E,) kW + j kvar that each of `element_names` takes up over all its terminals: the load of a load,
        the loss of a line, less than zero for sources and generators. Sums to zero over the circuit."""
        found: Complexes = self._circuit.AllElementLosses
        return found

    def losses_kva(self) -> complex:
        """Losses of all delivery elements, kW + j kvar."""
        return complex(self._circuit.Losses) / 1000.0

    def load_kw(self) -> float:
        """Active power delivered to all loads."""
        return served_kw(self._session)

    def nominal_load_kw(self) -> float:
        """What the enabled loads ask for in a snapshot at rated voltage."""
        return nominal_kw(self._session)

    # -- element classes -----------------------------------------------------------------------------

    def layout(self, kind: str) -> Layout:
        """Names and cutting of the flat vectors of an OpenDSS class. Valid until elements are added."""
        handles = self._session.handles(kind)
        lib, string = self._circuit._lib, self._session.ffi.string
        names = tuple(f"{kind}.{string(lib.Obj_GetName(h)).decode().lower()}" for h in handles)
        conductors = np.array([lib.Alt_CE_Get_NumConductors(h) for h in handles], dtype=np.int64)
        terminals = np.array([lib.Alt_CE_Get_NumTerminals(h) for h in handles], dtype=np.int64)
        return Layout(names, conductors, terminals, np.concatenate([[0], np.cumsum(conductors * terminals)]))

    def powers_kva(self, kind: str) -> Complexes:
        """Flat, by `layout(kind)`: kW + j kvar into every conductor of every element of the class."""
        return self._session.read_class(kind, self._circuit._lib.Alt_CEBatch_Get_Powers)

    def currents_a(self, kind: str) -> Complexes:
        """Flat, by `layout(kind)`: amperes into every conductor of every element of the class."""
        return self._session.read_class(kind, self._circuit._lib.Alt_CEBatch_Get_Currents)

    def element_powers(self, name: str) -> Complexes:
        """(terminals, conductors) kW + j kvar into one element. Raises FeederError if there is none."""
        self._session.activate(name)
        element = self._circuit.ActiveCktElement
        return np.asarray(element.Powers, dtype=complex).ravel(order="F").reshape(element.NumTerminals, -1)

    def elements(self, kinds: Iterable[str] | None = None) -> Iterator[Element]:
        """Every circuit element, disabled ones included, class by class (all classes, or those named)."""
        for kind in self.classes() if kinds is None else kinds:
            handles = self._session.handles(kind)
            if not handles:
                continue
            for handle, properties in zip(handles, self._session.properties(kind), strict=True):
                yield self._element(kind, handle, properties)

    def stated(self, kind: str) -> dict[str, tuple[str, ...]]:
        """Own name in lower case -> the properties that the files set, in the order in which they did (a line code
        sets some of its line's), for every element or general object of a class."""
        rows = self._session.properties(kind, stated_only=True)
        return {str(row["name"]).lower(): tuple(key for key in row if key != "name") for row in rows}

    def facts(self, kind: str) -> dict[str, dict[str, Any]]:
        """Full name in lower case -> every property of each element of a class, also of those that were just added."""
        names = self._session.names(kind)
        return {
            f"{kind.lower()}.{name}": facts for name, facts in zip(names, self._session.properties(kind), strict=True)
        }

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
            name=f"{kind}.{self._session.ffi.string(lib.Obj_GetName(handle)).decode().lower()}",
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
        self._session.activate(name)
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

    @cached_property
    def _protected(self) -> dict[str, tuple[str, int, int]]:
        """Fuse, relay or recloser -> the element that it opens, at which terminal, and how many poles there are."""
        found = {}
        for kind in ("Fuse", "Relay", "Recloser"):
            for name in self._session.names(kind):
                told = {
                    key: self.command(f'? "{kind}.{name}.{key}"') for key in ("switchedobj", "switchedterm", "enabled")
                }
                if (
                    told["enabled"].lower().startswith(("y", "t"))
                    and self._circuit.SetActiveElement(told["switchedobj"]) >= 0
                ):
                    poles = int(self._circuit.ActiveCktElement.NumPhases)
                    found[f"{kind}.{name}"] = (told["switchedobj"], int(told["switchedterm"]), poles)
        return found

    def poles_open(self) -> dict[str, bool]:
        """ "Fuse.f1.2" -> whether that pole of what a fuse, relay or recloser switches is open."""
        found = {}
        for name, (element, terminal, poles) in self._protected.items():
            self._session.activate(element)
            for pole in range(1, poles + 1):
                found[f"{name}.{pole}"] = bool(self._circuit.ActiveCktElement.IsOpen(terminal, pole))
        return found

    def zone_branches(self, meter: str) -> tuple[str, ...]:
        """Full names of the branches that OpenDSS counts to the zone of an EnergyMeter."""
        meters = self._circuit.Meters
        meters.Name = meter
        return tuple(str(name) for name in meters.AllBranchesInZone)

    def load_shapes(self) -> Any:
        """OpenDSS's interface to LoadShapes."""
        return self._circuit.LoadShapes

    def load_mult(self) -> float:
        """What multiplies all loads but those with status=fixed or exempt."""
        return float(self._circuit.Solution.LoadMult)

    def fixed_loads(self) -> tuple[str, ...]:
        """Loads ("Load.s1a") with status=fixed, which OpenDSS never scales by a profile."""
        if "Load" not in self.classes():
            return ()
        names = self.layout("Load").names
        return tuple(n for n in names if self.command(f'? "{n}.status"').lower() == "fixed")

    # -- added elements ------------------------------------------------------------------------------

    def pv_positions(self) -> dict[str, int]:
        """PVSystem own name -> position for `set_pv`. Valid until elements are added."""
        return {name.lower(): i + 1 for i, name in enumerate(self._circuit.PVSystems.AllNames)}

    def set_pv(self, positions: Sequence[int], irradiance: Sequence[float], kvar: Sequence[float]) -> None:
        """Operating points of PVSystems. Unlike a text edit this does not rebuild the system matrix."""
        lib = self._circuit._lib
        at, sun, reactive = lib.PVSystems_Set_idx, lib.PVSystems_Set_Irradiance, lib.PVSystems_Set_kvar
        for position, p, q in zip(positions, irradiance, kvar, strict=True):
            at(position)
            sun(p)
            reactive(q)
        self._circuit._check_for_error()

    def load_positions(self) -> dict[str, int]:
        """Load own name -> position for `set_load_kw`. Valid until loads are added."""
        return {name.lower(): i + 1 for i, name in enumerate(self._circuit.Loads.AllNames)}

    def set_load_kw(self, position: int, kw: float) -> None:
        """Nominal kW of one Load at its power factor, without rebuilding the system matrix."""
        loads = self._circuit.Loads
        loads.idx = position
        loads.kW = kw
