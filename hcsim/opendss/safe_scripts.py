"""A feeder's scripts, read before OpenDSS reads them.

Feeders come with the commands of whoever ran them last: plot, show, export, save, solve a year. Those commands
are left out; what defines the feeder stays. Files written on Windows are found whatever their case, slashes or
drive, and texts that are not UTF-8 are turned into it. A feeder that needs none of this is read from its own
files; any other from copies in a scratch folder, line for line, so that line numbers in messages hold.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from hcsim.errors import FeederError

LEFT_OUT = frozenset(
    {
        "save",
        "show",
        "plot",
        "dump",
        "help",
        "quit",
        "panel",
        "about",
        "export",
        "fileedit",
        "formedit",
        "top",
        "distribute",
        "di_plot",
        "comparecases",
        "yearlycurves",
        "cd",
        "visualize",
        "closedi",
        "doscmd",
        "sample",
        "cvrtloadshapes",
        "pstcalc",
        "addbusmarker",
        "clearbusmarkers",
        "connect",
        "disconnect",
        "exportoverloads",
        "exportvviolations",
        "newactor",
        "wait",
        "solveall",
        "abort",
        "clone",
        "comhelp",
        "alignfile",
        "rotate",
        "summary",
        "_showcontrolqueue",
        "giscoords",
    }
)
"""Commands that write files, open windows, start processes or only talk."""
MORE = ("more", "m", "~")
_REDIRECTS = ("redirect", "compile")
_TABLES = ("buscoords", "latlongcoords", "uuids")
_NAME = r"""(?:"([^"]+)"|'([^']+)'|\(([^)]+)\)|\[([^\]]+)\]|\{([^}]+)\}|([^\s!,)\]}]+))"""
_REFERENCE = re.compile(r"^(\s*[^\s=\"'(\[{]+\s*=?\s*(?:file\s*=\s*)?)" + _NAME, re.IGNORECASE)
_PROPERTY = re.compile(r"(\b(?:csv|sng|dbl|pqcsv)?file\s*=\s*)" + _NAME, re.IGNORECASE)
_MODE = re.compile(r"\bmode\s*=\s*[\"'(\[{]?\s*(\w+)", re.IGNORECASE)
_DATAPATH = re.compile(r"\bdatapath\s*=\s*" + _NAME, re.IGNORECASE)
_WRITES = re.compile(r"\b(?:action\s*=\s*(?:dbl|sng)?save|recorder\s*=\s*\w+|demandinterval\s*=\s*\w+)", re.IGNORECASE)
_DEEPEST = 60


@dataclass
class Scripts:
    """What reading found. `start` is the file that OpenDSS shall be given."""

    start: Path
    files: dict[Path, None] = field(default_factory=dict)
    """Every file of the feeder, in reading order."""
    notes: list[str] = field(default_factory=list)
    origin: dict[str, str] = field(default_factory=dict)
    """Copy -> the file it stands for, to put messages right."""
    solves: bool = False
    """Whether a snapshot is solved in the files."""


def read_scripts(master: Path, commands: Sequence[str], scratch: Path, *, without_solves: bool = False) -> Scripts:
    """Follow `master` through its redirects. Copies are written to `scratch` only where something has to change.
    `without_solves` leaves out every solve, not only those of a time series.

    `commands` are OpenDSS's own, in its order, which decides what an abbreviation means. Raises FeederError for
    files that are not there, and for files that redirect to themselves.
    """
    reader = _Reader(master, [c.lower() for c in commands], without_solves)
    reader.follow(master, ())
    scripts = Scripts(master, reader.files, reader.sentences(), solves=reader.solves)
    if reader.changed:
        folder = scratch / ("without_solves" if without_solves else "scripts")
        for number, file in enumerate(reader.lines):
            copy = reader.copy_of(file, folder, number)
            scripts.origin[str(copy)] = str(file)
        for file, lines in reader.lines.items():
            copy = reader.copies[file]
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text("\n".join(line.text(reader.copies) for line in lines) + "\n", encoding="utf-8")
        scripts.start = reader.copies[master]
    return scripts


def files_sha256(files: Iterable[Path]) -> str:
    """Hash over the contents of all files of a feeder, in reading order, names excluded."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


@dataclass(frozen=True)
class _Line:
    """A line to be written: as it is, or with the copy of another script in its place."""

    content: str
    script: Path | None = None

    def text(self, copies: dict[Path, Path]) -> str:
        return self.content if self.script is None else f'redirect "{copies[self.script]}"'


class _Reader:
    def __init__(self, master: Path, commands: list[str], without_solves: bool) -> None:
        self._home, self._commands, self._without_solves = master.parent, commands, without_solves
        self.solves = False
        self.files: dict[Path, None] = {}
        self.lines: dict[Path, list[_Line]] = {}
        self.copies: dict[Path, Path] = {}
        self.changed = False
        self._series = ""
        self._left_out: dict[str, int] = {}
        self._notes: dict[str, None] = {}

    # -- what there is to say -----------------------------------------------------------------------------

    def sentences(self) -> list[str]:
        counted = [f"{name} ({n} times)" if n > 1 else name for name, n in self._left_out.items()]
        said = [f"Left out of the feeder's scripts, as they define nothing: {', '.join(counted)}."] if counted else []
        return said + list(self._notes)

    def copy_of(self, file: Path, folder: Path, number: int) -> Path:
        self.copies[file] = folder / str(number) / file.name
        return self.copies[file]

    # -- reading ------------------------------------------------------------------------------------------

    def follow(self, script: Path, above: tuple[Path, ...]) -> Path:
        """Read a script and all that it redirects to; the folder in which it leaves OpenDSS."""
        if script in above:
            chain = " -> ".join(p.name for p in (*above[above.index(script) :], script))
            raise FeederError(f"{script} redirects to itself ({chain}).", "Take the redirect out.")
        if len(above) > _DEEPEST:
            raise FeederError(f"{script}: more than {_DEEPEST} redirects inside each other.")
        self.files[script] = None
        first_time = script not in self.lines
        written: list[_Line] = []
        base, dropping, comment = script.parent, False, False
        for number, raw in enumerate(self._text(script).splitlines(), start=1):
            bare = raw.strip()
            if comment or bare.startswith("/*"):
                comment = "*/" not in bare
                written.append(_Line(raw))
                continue
            if not bare or bare.startswith(("!", "//")):
                written.append(_Line(raw))
                continue
            verb = self._verb(bare)
            if verb in MORE:
                written.append(_Line("!" + raw) if dropping else self._with_files(raw, base))
                continue
            base = self._moved(verb, raw, base)
            dropping = self._drops(verb, bare)
            if dropping:
                written.append(_Line("!" + raw))
                self.changed = True
            elif verb in _REDIRECTS:
                line, base = self._redirect(verb, raw, base, (*above, script), number)
                written.append(line)
            elif verb in _TABLES:
                written.append(self._table(raw, base))
            else:
                written.append(self._with_files(raw, base))
        if first_time:
            self.lines[script] = written
        return base

    def _moved(self, verb: str, raw: str, base: Path) -> Path:
        """The folder in which later references are looked up: `cd` and `set datapath` move it."""
        match = _DATAPATH.search(raw) if verb == "set" else _REFERENCE.match(raw) if verb == "cd" else None
        if match is None:
            return base
        name = next(g for g in match.groups()[1 if verb == "cd" else 0 :] if g is not None).strip()
        folder = _in_any_case(base, PurePosixPath(name.replace("\\", "/")).parts)
        return folder if folder is not None and folder.is_dir() else base

    def _text(self, script: Path) -> str:
        """A file as text. OpenDSS takes bytes; names that are not UTF-8 would come back as nothing."""
        data = script.read_bytes()
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            self._mend(f"{script.name} is UTF-16; read as such.")
            return data.decode("utf-16", errors="replace")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            self._mend(f"{script.name} is not UTF-8; read as Windows-1252 (Latin-1).")
            return data.decode("cp1252", errors="replace")

    def _verb(self, line: str) -> str:
        """The command that a line gives, abbreviations resolved as OpenDSS does; "" where it gives none."""
        if line.startswith("~"):
            return "~"
        word = re.split(r"[\s=,\"'(\[{]", line, maxsplit=1)[0].lower()
        if word in self._commands:
            return word
        if "." in word or "@" in word or not word:
            return ""
        return next((c for c in self._commands if c.startswith(word)), "")

    def _drops(self, verb: str, line: str) -> bool:
        """Whether a line is left out; remembers the solution mode on the way."""
        if verb in LEFT_OUT:
            self._left_out[verb] = self._left_out.get(verb, 0) + 1
            return True
        if verb in ("clear", "clearall"):
            self._series = ""
        if verb in ("set", "solve") and (mode := _MODE.search(line)):
            word = mode[1].lower()
            self._series = "" if "snapshot".startswith(word) or "direct".startswith(word) else word
        if verb == "solve" and (self._series or self._without_solves):
            name = f"solve mode={self._series}" if self._series else "solve"
            self._left_out[name] = self._left_out.get(name, 0) + 1
            return True
        self.solves = self.solves or verb == "solve"
        return False

    def _redirect(self, verb: str, raw: str, base: Path, above: tuple[Path, ...], number: int) -> tuple[_Line, Path]:
        """A redirect and the folder that holds after it: compile stays in the folder of what it compiled."""
        name = _reference(raw)
        if name is None or "@" in name:
            return _Line(raw), base
        file = self._find(name, base)
        if file is None:
            raise FeederError(
                f"{above[-1]}, line {number}: there is no file {name!r}.",
                f"Put it beside {above[-1].name}, or mend the path.",
            )
        after = self.follow(file, above)
        if verb == "compile":
            self.changed = True  # it would move OpenDSS's output to the user's folder
            return _Line(raw, file), after
        return _Line(raw, file), base

    def _table(self, raw: str, base: Path) -> _Line:
        """Coordinates: a missing table is no reason to refuse a feeder."""
        name = _reference(raw)
        file = None if name is None else self._find(name, base)
        if name is not None and file is None:
            self._mend(f"{raw.split()[0]} left out: there is no file {name!r}.")
            return _Line("!" + raw)
        if file is None:
            return _Line(raw)
        self.files[file] = None
        return _Line(f'{raw.split()[0]} "{file}"')

    def _with_files(self, raw: str, base: Path) -> _Line:
        """A line with the files in its properties named absolutely, and without what would write."""
        code, mark, remark = _split_comment(raw)
        for harmful in (_DATAPATH, _WRITES):
            if harmful.search(code):
                code = harmful.sub("", code)
                self.changed = True
                if re.fullmatch(r"\s*set\s*", code, re.IGNORECASE):
                    code = "!" + code

        def absolute(match: re.Match[str]) -> str:
            name = next(g for g in match.groups()[1:] if g is not None).strip()
            file = self._find(name, base)
            if file is None:
                return match[0]
            self.files[file] = None
            return f'{match[1]}"{file}"' if " " in str(file) else f"{match[1]}{file}"

        return _Line(_PROPERTY.sub(absolute, code) + mark + remark)

    # -- finding ------------------------------------------------------------------------------------------

    def _find(self, name: str, base: Path) -> Path | None:
        """The file that a reference means, or None. Notes what had to be bent to find it."""
        plain = PurePosixPath(name.replace("\\", "/"))
        exact = base / plain
        if exact.is_file():
            return exact.resolve()
        if "\\" in name and (base / name).is_file():
            return (base / name).resolve()
        foreign = plain.is_absolute() or bool(PureWindowsPath(name).drive)
        parts = list(plain.parts)
        if foreign:
            parts = [p for p in PureWindowsPath(name).parts if not p.endswith(("\\", "/", ":"))]
        for folder in dict.fromkeys((base, self._home)):
            for skip in range(len(parts) if foreign else 1):
                found = _in_any_case(folder, parts[skip:])
                if found is not None and found.is_file():
                    if foreign:
                        self._mend(f"{name} is not on this machine; read {found.relative_to(folder)} in its place.")
                    self.changed = True
                    return found.resolve()
        return None

    def _mend(self, sentence: str) -> None:
        self.changed = True
        self._notes[sentence] = None


def _reference(raw: str) -> str | None:
    match = _REFERENCE.match(_split_comment(raw)[0])
    return next(g for g in match.groups()[1:] if g is not None).strip() if match else None


def _split_comment(raw: str) -> tuple[str, str, str]:
    """A line before its comment, the mark, and the rest. A slash pair inside a path is no comment."""
    match = re.search(r"!|(?:^|\s)//", raw)
    return (raw, "", "") if match is None else (raw[: match.start()], match[0], raw[match.end() :])


def _in_any_case(folder: Path, parts: Sequence[str]) -> Path | None:
    """A file or folder by its path, letters in any case."""
    here = folder
    for part in parts:
        if part in (".", ".."):
            here = here / part
            continue
        if (here / part).exists():
            here = here / part
            continue
        try:
            match = next((p for p in sorted(here.iterdir()) if p.name.lower() == part.lower()), None)
        except OSError:
            return None
        if match is None:
            return None
        here = match
    return here if here.exists() else None
