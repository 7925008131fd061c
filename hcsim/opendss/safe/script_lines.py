"""One line of a script after another: what it says to OpenDSS, and what of it may pass.

A line passes as it is, passes with files and variables in it put in full, is left out, or is refused with file and
line. What a line means depends on those before it (variables, the active class, the solution mode), which are
followed here as OpenDSS does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hcsim.errors import FeederError
from hcsim.opendss.safe.allowed_words import (
    ACTIONS,
    COMMANDS,
    FILE_CLASSES,
    FILE_PROPERTIES,
    LEFT_OUT,
    NATIVE_CODE,
    OPTIONS,
    PROPERTIES,
    SET_BY_ENGINE,
)
from hcsim.opendss.safe.script_files import FeederFolder
from hcsim.opendss.safe.tokens import WHITE, Line, Param, Variables, Words, lower, quoted

_PLAIN_NEW = re.compile(r"[ \t]*(?:new|edit)[ \t]+(?:object=)?(\w+)\.[\w\-.#%&*+:;<>?$^`|~\\]+(?=[ \t]|$)", re.I | re.A)
_PLAIN_MORE = re.compile(r"[ \t]*(?:~|more[ \t])", re.I | re.A)
_LOOK_CLOSER = re.compile(r"@|[\"'(\[{]\W*(?:f|d|s)\w*\W*=", re.I | re.A)
"""In a line about a class without files and code of its own: a variable, or a list that may come from a file, as
`(file=...)` or `('file'=...)`."""

_HARMLESS_ANYWHERE = frozenset("acnort")
"""First letters of actions that write no file, whatever class they are of: allocate, clear, close, normalize, open,
reduce, reset, take, trip."""


@dataclass(frozen=True)
class Vocabulary:
    """OpenDSS's own lists, each in its order, which decides what an abbreviation means."""

    commands: Words
    options: Words
    classes: Mapping[str, Words]
    """Class in lower case -> its properties."""


@dataclass
class Place:
    """Where a line stands."""

    file: Path
    number: int
    base: Path
    """The folder that its references are relative to."""

    def __str__(self) -> str:
        return f"{self.file}, line {self.number}"


@dataclass(frozen=True)
class Read:
    """What becomes of a line: the `text` to be written; or a `script` to be followed in its place."""

    text: str
    script: Path | None = None
    compiles: bool = False


@dataclass
class LineReader:
    words: Vocabulary
    folder: FeederFolder
    without_solves: bool
    left_out: dict[str, int] = field(default_factory=dict)
    solves: bool = False
    """Whether a snapshot is solved."""

    def __post_init__(self) -> None:
        self.variables = Variables()
        self._class: str | None = None
        """Of the active object, None where it is not known."""
        self._series = ""
        self._dropping = False
        of_risk = FILE_CLASSES | ACTIONS.keys()
        self._plain = {
            name
            for name, properties in self.words.classes.items()
            if name not in of_risk and PROPERTIES.issuperset(properties.names) and "debugtrace" not in properties.names
        }
        self._of_risk = {
            name: properties
            for name, properties in self.words.classes.items()
            if name in of_risk or not (NATIVE_CODE | {"debugtrace"}).isdisjoint(properties.names)
        }
        """Classes that load code, read files or write them; all others are read as they are."""

    def read(self, raw: str, at: Place) -> Read:
        """Raises FeederError for what is refused."""
        if self._passes_at_once(raw):
            return Read(raw)
        bare = raw.strip(WHITE)
        if not bare or bare.startswith(("!", "//")):
            return Read(raw)
        line = Line(raw, self.variables)
        first = line.next()
        if not first.value:
            return Read("!" + raw)
        if first.name:
            self._dropping = False
            return self._property(first, line, at)
        self._known(first.value, at)
        verb = self.words.commands.find(first.value)
        if verb in ("more", "m", "~") and self._dropping:
            return Read("!" + raw)
        self._dropping = False
        return self._command(verb, first, line, raw, at)

    def _passes_at_once(self, raw: str) -> bool:
        """Most lines of a large feeder: they define or go on with an object whose class has neither files nor code
        of its own, without variables and lists from files."""
        if (plain := _PLAIN_NEW.match(raw)) and lower(plain[1]) in self._plain and not _LOOK_CLOSER.search(raw):
            self._class, self._dropping = lower(plain[1]), False
            return True
        going_on = _PLAIN_MORE.match(raw) and not self._dropping and self._class in self._plain
        return bool(going_on) and not _LOOK_CLOSER.search(raw)

    # -- commands -----------------------------------------------------------------------------------------

    def _command(self, verb: str, first: Param, line: Line, raw: str, at: Place) -> Read:
        if verb in LEFT_OUT:
            if verb == "cd" and (there := self.folder.folder(line.next().value, at.base)):
                at.base = there
            return self._leave_out(verb, raw)
        if verb not in COMMANDS:
            what = f"{first.value!r} is no command of OpenDSS" if not verb else f"the command {verb} is not allowed"
            raise FeederError(f"{at}: {what}.", "Take the line out.")
        if verb == "//":
            return Read("!" + raw)
        head = line.text[: first.end]
        if "@" in head:
            head = verb + " "
        if verb in ("new", "edit", "batchedit"):
            return self._define(verb, head, line, at)
        if verb in ("more", "m", "~"):
            return Read(head + self._properties(line, self._class, at))
        if verb in ("set", "solve"):
            return self._options(verb, head, line, raw, at)
        if verb in ("redirect", "compile"):
            return self._redirect(verb, line, raw, at)
        if verb in ("buscoords", "latlongcoords"):
            return self._table(verb, line, raw, at)
        before = line.position
        params = list(line.params())
        for param in params:
            self._known(param.value, at)
        self._class = None
        if verb == "var":
            for param in params:
                if param.name.startswith("@") and param.value:
                    self.variables.define(param.name, param.value)
        elif verb in ("remove", "reconductor"):
            for param in params:  # one of them may be a string of edits
                self._properties(Line(param.value, self.variables), None, at)
        elif verb in ("clear", "clearall"):
            self._series = ""
        elif verb == "select" and params and "." in params[0].value:
            self._class = lower(params[0].value.partition(".")[0])
        return Read(head + line.text[before:])

    def _leave_out(self, name: str, raw: str) -> Read:
        self.left_out[name] = self.left_out.get(name, 0) + 1
        self._dropping = True
        return Read("!" + raw)

    def _define(self, verb: str, head: str, line: Line, at: Place) -> Read:
        """`new class.name ...` and its kin."""
        start = line.position
        thing = line.next()
        self._known(thing.value, at)
        kind, dot, name = thing.value.partition(".")
        kind = lower(kind) if dot else ""
        if kind == "circuit":
            if re.search(r"[/\\]|\.\.", name):
                raise FeederError(f"{at}: the circuit's name {name!r} holds a path.", "Give it a plain name.")
            kind = "vsource"
        self._class = kind if kind in self.words.classes else None
        own = line.text[start : thing.end]
        if "@" in own:
            own = (f"{thing.name}=" if thing.name else "") + quoted(thing.value) + " "
        read = Read(head + own + self._properties(line, self._class, at))
        if verb == "batchedit":
            self._class = None
        return read

    def _property(self, first: Param, line: Line, at: Place) -> Read:
        """`class.name.property=value ...`: OpenDSS puts the value in quotes and reads on."""
        if '"' in first.value:
            raise FeederError(f"{at}: a quotation mark in the value of {first.name}.", "Take it out.")
        parts = lower(first.name).split(".")
        kind = parts[0] if len(parts) > 2 and parts[0] in self.words.classes else None
        rebuilt = Line(f'{parts[-1] if parts else ""}="{first.value}" {line.rest}', self.variables)
        rest = self._properties(rebuilt, kind, at)
        self._class = kind
        head, equals, value = rest.partition("=")
        if not equals or not value.strip(WHITE):
            return Read("! " + line.text)
        if head.strip(WHITE) != parts[-1]:  # the first was left out, another stands in its place
            return Read(f"edit {quoted('.'.join(parts[:2]))} {rest}")
        return Read(f"{first.name}={value}")

    def _options(self, verb: str, head: str, line: Line, raw: str, at: Place) -> Read:
        """`set` and `solve`. Remembers the solution mode, and where `datapath` points."""
        kept, pointer, lost, moved = [head], -1, [], False
        name_next = False
        for param in line.params():
            self._known(param.value, at)
            pointer = self.words.options.index(param.name) if param.name else pointer + 1
            names = self.words.options.names
            option = names[pointer] if 0 <= pointer < len(names) else ""
            if option == "datapath" and (there := self.folder.folder(param.value, at.base)):
                at.base = there
            if option and option not in OPTIONS:
                lost.append(option)
                name_next = True
                continue
            if option == "mode":
                word = lower(param.value)
                self._series = "" if "snapshot".startswith(word) or "direct".startswith(word) else word
            moved = moved or option in ("type", "class", "object", "element", "circuit")
            text = self._value(param, line.text, at)
            kept.append(f"{option}={text}" if name_next and not param.name and param.value else text)
            name_next = name_next and bool(not param.name)
        if moved:
            self._class = None
        for option in lost:
            self.left_out[f"set {option}"] = self.left_out.get(f"set {option}", 0) + 1
        if verb == "solve":
            self._class = None
            if self._series or self.without_solves:
                return self._leave_out(f"solve mode={self._series}" if self._series else "solve", raw)
            self.solves = True
        elif lost and len(kept) == 1:
            return Read("!" + raw)
        return Read("".join(kept))

    def _redirect(self, verb: str, line: Line, raw: str, at: Place) -> Read:
        param = line.next()
        self._known(param.value, at)
        if not param.value:
            return Read("!" + raw)
        file = self._file(param.value, at)
        if file is None and "." not in param.value:
            file = self._file(param.value + ".dss", at)
        if file is None:
            raise self._no_file(param.value, at)
        self._class = None
        return Read("", file, compiles=verb == "compile")

    def _table(self, verb: str, line: Line, raw: str, at: Place) -> Read:
        """Coordinates: a missing table is no reason to refuse a feeder."""
        param = line.next()
        self._known(param.value, at)
        file = self._file(param.value, at) if param.value else None
        if file is None:
            self.folder.note(f"{verb} left out: there is no file {param.value!r}.")
            return Read("!" + raw)
        return Read(f"{verb} {quoted(str(self.folder.copy(file)))}")

    # -- properties ---------------------------------------------------------------------------------------

    def _properties(self, line: Line, kind: str | None, at: Place) -> str:
        """The rest of a line that defines or edits an object of the class `kind`, None where it is not known."""
        start = line.position
        words = self.words.classes.get(kind) if kind else None
        kept: list[str] = []
        pointer, name_next, changed = -1, False, False
        pointers = dict.fromkeys(self._of_risk, -1)
        for param in line.params():
            self._known(param.value, at)
            if words is None:
                self._of_any_class(param, pointers, at)
                text = self._value(param, line.text, at)
            else:
                pointer = words.index(param.name) if param.name else pointer + 1
                name = words.names[pointer] if 0 <= pointer < len(words.names) else ""
                if param.value and name:
                    self._harmless(f"{kind}.{name}", name, param, at)
                if self._writes(kind or "", name, param.value):
                    self.left_out[f"{kind} {name}={param.value}"] = (
                        self.left_out.get(f"{kind} {name}={param.value}", 0) + 1
                    )
                    name_next = changed = True
                    continue
                text = self._value(param, line.text, at, kind in FILE_CLASSES and name in FILE_PROPERTIES)
                if name_next and not param.name and param.value and name:
                    text = f"{name}={text}"
                name_next = name_next and not param.name
            changed = changed or text != line.text[param.start : param.end]
            kept.append(text)
        return "".join(kept) if changed else line.text[start:]

    def _of_any_class(self, param: Param, pointers: dict[str, int], at: Place) -> None:
        """Whether a parameter is harmless whatever class it is of."""
        for name, words in self._of_risk.items():
            i = pointers[name] = words.index(param.name) if param.name else pointers[name] + 1
            if not param.value or not 0 <= i < len(words.names):
                continue
            own = words.names[i]
            self._harmless(f"{name}.{own}", own, param, at)
            reads = name in FILE_CLASSES and own in FILE_PROPERTIES
            acts = own == "action" and lower(param.value[:1]) not in _HARMLESS_ANYWHERE
            if reads or acts or _traces(own, param.value):
                said = f"{param.name}={param.value}" if param.name else param.value
                raise FeederError(
                    f"{at}: {said} may {'name' if reads else 'write'} a file, but not of which object.",
                    "Say it where the object is defined.",
                )

    def _harmless(self, full: str, name: str, param: Param, at: Place) -> None:
        said = f"{param.name or 'a value by position'} = {param.value}"
        if name in NATIVE_CODE:
            raise FeederError(
                f"{at}: {full} ({said}) loads native code into the program, which is not allowed.", "Take it out."
            )
        if name not in PROPERTIES:
            raise FeederError(f"{at}: {full} ({said}) is not known to be harmless.", "Take it out.")

    @staticmethod
    def _writes(kind: str, name: str, value: str) -> bool:
        """Or keeps values in a file where they cannot be looked up: in memory they are the same."""
        if kind == "loadshape" and name == "memorymapping":
            return True
        if name == "action" and kind in ACTIONS and value:
            return lower(value[:1]) not in ACTIONS[kind] or not ACTIONS[kind]
        return _traces(name, value)

    def _value(self, param: Param, text: str, at: Place, is_file: bool = False) -> str:
        """A parameter to be written: as it stands, or with variable and file in it put in full."""
        own = text[param.start : param.end]
        value = param.value
        if is_file and value:
            file = self._file(value, at)
            if file is None:
                raise self._no_file(value, at)
            value = str(self.folder.copy(file))
        elif "=" in value:
            value = self._list_from_file(value, at)
        if value == param.value and "@" not in own:
            return own
        try:
            return (f"{param.name}=" if param.name else "") + quoted(value) + " "
        except ValueError:
            raise FeederError(f"{at}: too many kinds of quotes and brackets in {own.strip()!r}.") from None

    def _list_from_file(self, value: str, at: Place) -> str:
        """`file=... column=2` inside the value of a list."""
        inner = Line(value, self.variables)
        first = inner.next()
        kind = lower(first.name)
        binary = any(full.startswith(kind) or kind.startswith(full) for full in ("dblfile", "sngfile"))
        if not kind or not (kind == "file" or binary):
            return value
        self._known(first.value, at)
        file = self._file(first.value, at)
        if file is None:
            raise self._no_file(first.value, at)
        return f'{first.name}="{self.folder.copy(file)}" {inner.rest}'.rstrip(WHITE)

    # -- helpers ------------------------------------------------------------------------------------------

    def _file(self, name: str, at: Place) -> Path | None:
        return self.folder.find(name.strip(), at.base, str(at))

    @staticmethod
    def _no_file(name: str, at: Place) -> FeederError:
        return FeederError(f"{at}: there is no file {name!r}.", f"Put it beside {at.file.name}, or mend the path.")

    @staticmethod
    def _known(value: str, at: Place) -> None:
        """Refuses what only the running engine could put in full."""
        head = lower(re.split(r"[.^]", value, maxsplit=1)[0]) if value.startswith("@") else lower(value)
        if head in SET_BY_ENGINE or head == "%result%":
            raise FeederError(f"{at}: {value} is known only to the running engine.", "Say what it stands for.")


def _traces(name: str, value: str) -> bool:
    """Whether a property has a file written while the circuit is solved."""
    return name == "debugtrace" and lower(value[:1]) in ("y", "t")
