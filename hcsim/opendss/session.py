"""A context of OpenDSS of its own: text commands, and whole classes of elements as vectors."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import opendssdirect
from dss import DSSException
from numpy.typing import NDArray

from hcsim.errors import FeederError
from hcsim.opendss import guard
from hcsim.opendss.elements import parse_properties
from hcsim.opendss.repairs import mend
from hcsim.opendss.safe.safe_scripts import Scripts, read_scripts
from hcsim.opendss.safe.script_lines import Vocabulary
from hcsim.opendss.safe.tokens import Words
from hcsim.util import last_words
from hcsim.util.scratch import scratch_folder

Complexes = NDArray[np.complex128]
Ints = NDArray[np.int64]

MOST_REPAIRS = 20
"""Each reads the scripts anew."""
_JSON_STATED, _JSON_FULL = 0x000, 0x001


_WORDS = re.compile(r'^(new|edit|batchedit)\s+("[^"]+"|\S+)(.*)$', re.IGNORECASE | re.DOTALL)
_EDITED = re.compile(r"""\s*(edit|batchedit)\s+(?:object=)?["'(\[{]?([^\s"')\]}]+)""", re.IGNORECASE)
_KEY = re.compile(r"([%\w]+)\s*=")
Action = Callable[[], object]


class Session:
    """What a `Circuit`, its controls and its solver share: the context, the scripts it reads, and the doors of the
    engine below its API's surface. The scratch folder for OpenDSS's own output ends with it."""

    def __init__(self, master: Path, edits: Sequence[str] = ()) -> None:
        self.master, self.edits = master, tuple(edits)
        self._scratch = scratch_folder("circuit")
        self.dss = _context()
        self.dss.DataPath = self._scratch.name
        self.circuit: Any = self.dss.ActiveCircuit
        self.scripts = Scripts(master)
        self.commands = 0
        """How many there have been: positions and handles hold until the next one."""
        self._kept: dict[str, tuple[Any, int]] = {}
        self._refused = ""
        """Why a child could not read the scripts."""
        self.journal = Journal()

    @property
    def ffi(self) -> Any:
        return self.circuit._api_util.ffi

    def command(self, text: str) -> str:
        """One OpenDSS text command; its result. Raises FeederError with OpenDSS's message, file and line."""
        self.commands += 1
        while self._kept:  # the command may add elements
            self.circuit._lib.Batch_Dispose(self._kept.popitem()[1][0][0])
        try:
            with last_words.call(text):
                self.dss.Text.Command = text
        except DSSException as fault:
            raise FeederError(f"OpenDSS, reading {self.master.name}: {self._in_place(words_of(fault))}") from fault
        self.journal.note_command(text, lambda: self.command(text))
        return str(self.dss.Text.Result)

    def _in_place(self, words: str) -> str:
        """With the user's files instead of our copies."""
        for copy, original in self.scripts.origin.items():
            words = words.replace(copy, original)
        return words

    def read_again(self) -> None:
        """The files as they were read first."""
        self.command("clear")
        self.command(f'redirect "{self.scripts.start}"')

    def read_scripts(self) -> None:
        """Let OpenDSS read the feeder's files; where their own solve fails, without it."""
        scratch = Path(self._scratch.name)
        self.scripts = read_scripts(self.master, vocabulary(), scratch, edits=self.edits)
        self._try_out()
        try:
            self._redirect()
        except FeederError as fault:
            if not self.scripts.solves:
                raise
            self.scripts = read_scripts(self.master, vocabulary(), scratch, without_solves=True, edits=self.edits)
            self._try_out()
            self.command("clear")
            try:
                self._redirect()
            except FeederError:
                raise fault from None
            self.scripts.notes.append(f"The files' own solve fails, ours is tried without it ({fault.message})")

    def _try_out(self, mended: int = 0) -> None:
        """In a child process first: see `hcsim.opendss.guard`."""
        scripts = self.scripts
        key = f"{scripts.sha256} {scripts.start.parent.parent.name}" + (f" mended {mended}" if mended else "")
        self._refused = self._in_place(guard.try_out(self.master, scripts.start, scripts.lines, key))

    def _check_again(self, mended: int) -> None:
        """What was mended must pass as what was written: a name put right may mean what the old one did not."""
        scratch = Path(self._scratch.name)
        read_scripts(self.scripts.start, vocabulary(), scratch / f"mended{mended}", allowed=[scratch])

    def _redirect(self) -> None:
        """Have OpenDSS read the scripts; where it refuses what carries no power, without that."""
        for mended in range(1, MOST_REPAIRS):
            try:
                self._redirect_once()
                return
            except FeederError as fault:
                if not (done := mend(fault.message, self.scripts.origin)):
                    raise
                self.scripts.notes.append(done)
                self._check_again(mended)
                self._try_out(mended)
                self.command("clear")
        self._redirect_once()

    def _redirect_once(self) -> None:
        if self._refused:
            raise FeederError(self._refused)
        self.command(f'redirect "{self.scripts.start}"')

    def define(self, kind: str, name: str, properties: str) -> None:
        """Make an element or a general object, or edit the one of that name that is there."""
        pointer, count = self.batch(kind, f"^{re.escape(name)}$")
        exists = count > 0
        self.circuit._lib.Batch_Dispose(pointer[0])
        self.command(f'{"edit" if exists else "new"} "{kind}.{name}" {properties}')

    def write(self, kind: str, pattern: str, property_name: str, values: NDArray[np.float64]) -> None:
        """One number property of all elements of a class whose names match, in order of definition."""
        pointer, count = self.batch(kind, pattern)
        if count != len(values):
            raise ValueError(f"{len(values)} values for {count} elements {kind}.{pattern}")
        numbers = np.ascontiguousarray(values, dtype=float)
        data = self.ffi.cast("double*", numbers.ctypes.data)
        self.circuit._lib.Batch_SetFloat64ArrayS(pointer[0], count, property_name.encode(), data, 0)
        self.circuit._lib.Batch_Dispose(pointer[0])
        self.circuit._check_for_error()

    def require_edited(self) -> None:
        """OpenDSS passes over an edit of what is not there. Raises FeederError naming it."""
        for edit in self.edits:
            found = _EDITED.match(edit)
            if found is None:
                raise FeederError(f"{edit!r} names no element.", "For one: edit regcontrol.reg1 vreg=122")
            verb = found[1].lower()
            kind, _, name = found[2].partition(".")
            if kind.lower() not in vocabulary().classes:
                raise FeederError(f"{edit!r}: OpenDSS has no class {kind}.")
            names = self.names(kind)
            fits = name.lower() in names if verb == "edit" else any(re.search(name, n, re.IGNORECASE) for n in names)
            if not fits:
                there = f"There are: {', '.join(names[:10])}." if names else f"The feeder has no {kind}."
                raise FeederError(f"{edit!r}: the feeder has no {kind}.{name}.", there)

    def read(self, kind: str, pattern: str, property_name: str) -> NDArray[np.float64]:
        """The counterpart of `write`."""
        pointer, count = self.batch(kind, pattern)
        function = self.circuit._lib.Batch_GetFloat64S
        values = self.circuit._get_float64_array(function, pointer[0], count, property_name.encode())
        self.circuit._lib.Batch_Dispose(pointer[0])
        return np.asarray(values, dtype=float)

    def whole_numbers(self, kind: str, property_name: str) -> Ints:
        """One integer or yes-or-no property of all elements of a class, in order of definition."""
        pointer, count = self.batch(kind)
        function = self.circuit._lib.Batch_GetInt32S
        values = self.circuit._get_int32_array(function, pointer[0], count, property_name.encode())
        self.circuit._lib.Batch_Dispose(pointer[0])
        return np.asarray(values, dtype=np.int64)

    def handles(self, kind: str) -> list[Any]:
        pointer, count = self.batch(kind)
        handles = [pointer[0][i] for i in range(count)]
        self.circuit._lib.Batch_Dispose(pointer[0])
        return handles

    def names(self, kind: str) -> list[str]:
        """Own names of all elements of a class in lower case, disabled ones included, in order of definition."""
        lib = self.circuit._lib
        return [self.ffi.string(lib.Obj_GetName(handle)).decode().lower() for handle in self.handles(kind)]

    def batch(self, kind: str, pattern: str = "") -> tuple[Any, int]:
        pointer, dims = self.ffi.new("void***"), self.ffi.new("int32_t[4]")
        if pattern:
            self.circuit._lib.Batch_CreateByRegExpS(pointer, dims, kind.encode(), pattern.encode())
        else:
            self.circuit._lib.Batch_CreateByClassS(pointer, dims, kind.encode())
        self.circuit._check_for_error()
        return pointer, int(dims[0])

    def kept_batch(self, kind: str) -> tuple[Any, int]:
        """All elements of a class, disabled ones included; until the next command."""
        if kind not in self._kept:
            self._kept[kind] = self.batch(kind)
        return self._kept[kind]

    def read_class(self, kind: str, function: Any) -> Complexes:
        pointer, count = self.kept_batch(kind)
        if count == 0:
            return np.empty(0, dtype=complex)
        found: Complexes = self.circuit._get_complex128_array(function, pointer[0], count).ravel(order="F")
        return found

    def properties(self, kind: str, *, stated_only: bool = False) -> list[dict[str, Any]]:
        """Property -> value of every element or general object of a class; all of them, or those that files set."""
        text = self.properties_json(kind, stated_only=stated_only)
        return parse_properties(text.decode()) if text else []

    def properties_json(self, kind: str, *, stated_only: bool = False) -> bytes:
        """The same, not taken apart; empty where the class has no elements."""
        pointer, count = self.batch(kind)
        json = b""
        if count:
            which = _JSON_STATED if stated_only else _JSON_FULL
            text = self.circuit._lib.Batch_ToJSON(pointer[0], count, which)
            json = bytes(self.ffi.string(text))
            self.circuit._lib.DSS_Dispose_String(text)
        self.circuit._lib.Batch_Dispose(pointer[0])
        return json

    def activate(self, name: str) -> None:
        if self.circuit.SetActiveElement(name) < 0:
            raise FeederError(f"No element {name} in {self.circuit.Name}.")

    def enabled(self, name: str) -> bool:
        self.activate(name)
        return bool(self.circuit.ActiveCktElement.Enabled)


def _context() -> Any:
    """A context that opens no window and changes no folder."""
    before = Path.cwd()
    dss: Any = opendssdirect.dss.NewContext().to_dss_python()
    os.chdir(before)  # a new context goes to where the process was started
    dss.AllowForms = False
    dss.AllowEditor = False
    dss.AllowChangeDir = False
    dss.AllowDOScmd = False
    dss.AdvancedTypes = True
    return dss


@cache
def vocabulary() -> Vocabulary:
    """The commands, options and properties of this OpenDSS, each list in its order."""
    dss = _context()
    executive = dss.Executive
    dss.Text.Command = "new circuit.words"
    classes = {}
    for kind in dss.Classes:
        with suppress(DSSException):  # controls complain that they have nothing to control; they are there
            dss.Text.Command = f"new {kind}.word"
        with suppress(DSSException):
            dss.Text.Command = f"? {kind}.word.like"  # a GICsource leaves its line active
        if not str(dss.ActiveCircuit.ActiveDSSElement.Name).lower().startswith(f"{kind.lower()}."):
            raise FeederError(f"This OpenDSS does not tell the properties of its class {kind}.")
        classes[kind.lower()] = Words(dss.ActiveCircuit.ActiveDSSElement.AllPropertyNames)
    commands = Words([str(executive.Command(i)) for i in range(1, executive.NumCommands + 1)])
    options = Words([str(executive.Option(i)) for i in range(1, executive.NumOptions + 1)])
    dss.ClearAll()
    return Vocabulary(commands, options, classes)


def words_of(fault: DSSException) -> str:
    """OpenDSS's message on one line, with file and line number, without its own headings."""
    parts = [part.strip() for part in str(fault.args[1]).splitlines()]
    return "; ".join(part for part in parts if part and not part.endswith((":", "follows.")))


class Journal:
    """What was done to a circuit since it was compiled, in order."""

    def __init__(self) -> None:
        self._actions: dict[str, Action] = {}
        self.open = False
        """Closed while the feeder's own files are read, and while the journal itself is gone through."""

    def remember(self, what: str, action: Action) -> None:
        """`action` takes the place of an earlier one on the same `what`."""
        if self.open:
            self._actions.pop(what, None)
            self._actions[what] = action

    def note_command(self, text: str, again: Action) -> None:
        """Keeps a command that changes the circuit for good; it stands for an earlier one on the same properties."""
        if self.open and (found := _WORDS.match(text)):
            verb, name, rest = found.groups()
            self.remember(f"{verb.lower()} {name.lower()} {' '.join(_KEY.findall(rest.lower()))}", again)

    def repeat(self) -> None:
        for action in list(self._actions.values()):
            action()
