"""A feeder's scripts, read before OpenDSS reads them.

Feeders come from strangers, with the commands of whoever ran them last: plot, show, export, save, solve a year. Only
what is known to define a circuit and nothing else passes (`allowed_words`); what writes or talks is left out, what
could run code or read elsewhere is refused. Texts that are not UTF-8 are turned into it. OpenDSS is given copies in a
scratch folder, line for line, so that line numbers in messages hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hcsim.errors import FeederError
from hcsim.opendss.safe.script_files import FeederFolder, allowed_folders
from hcsim.opendss.safe.script_lines import LineReader, Place, Vocabulary
from hcsim.opendss.safe.tokens import lines_of, quoted

_DEEPEST = 60
_MOST_LINES = 20_000_000


@dataclass
class Scripts:
    """What reading found. `start` is the file that OpenDSS shall be given."""

    start: Path
    files: Mapping[Path, bytes] = field(default_factory=dict)
    """Every file of the feeder, in reading order, with the SHA-256 of what was read."""
    notes: list[str] = field(default_factory=list)
    origin: dict[str, str] = field(default_factory=dict)
    """Copy -> the file it stands for, to put messages right."""
    solves: bool = False
    """Whether a snapshot is solved in the files."""
    lines: int = 0
    edits: tuple[str, ...] = ()
    """Commands of the study's own behind the last line of the files."""

    @property
    def sha256(self) -> str:
        """Hash over the contents of all files of the feeder, in reading order, names excluded, and over the edits."""
        whole = hashlib.sha256()
        for digest in self.files.values():
            whole.update(digest)
        for edit in self.edits:
            whole.update(b"edit" + hashlib.sha256(edit.encode()).digest())
        return whole.hexdigest()


def read_scripts(
    master: Path,
    words: Vocabulary,
    scratch: Path,
    *,
    without_solves: bool = False,
    allowed: Sequence[Path] | None = None,
    edits: Sequence[str] = (),
) -> Scripts:
    """Follow `master` through its redirects and write what may pass to `scratch`. `without_solves` leaves out every
    solve, not only those of a time series. `allowed`: folders that the feeder may read from beside its own, by
    default those of `--allow-folder`. `edits` are commands to follow the files, and pass as what stands in them.

    Raises FeederError, with file and line, for files that are not there or lie outside, for files that redirect to
    themselves, and for what is not allowed.
    """
    place = scratch / ("without_solves" if without_solves else "scripts")
    folder = FeederFolder(master, place, allowed_folders() if allowed is None else allowed)
    reader = _Reader(folder, LineReader(words, folder, without_solves), place)
    try:
        start, base = reader.follow(master, ())
        reader.add(edits, start, Place(master, 0, base))
    except OSError as error:
        raise FeederError(f"{error.filename or master} cannot be read: {error.strerror or error}.") from error
    return Scripts(
        start, folder.digests, reader.sentences(), reader.origin, reader.lines.solves, reader.count, tuple(edits)
    )


class _Reader:
    def __init__(self, folder: FeederFolder, lines: LineReader, place: Path) -> None:
        self.folder, self.lines, self._place = folder, lines, place
        self.origin: dict[str, str] = {}
        self.count = 0

    def sentences(self) -> list[str]:
        """What there is to say."""
        counted = [f"{name} ({n} times)" if n > 1 else name for name, n in self.lines.left_out.items()]
        said = [f"Left out of the feeder's scripts, as they define nothing: {', '.join(counted)}."] if counted else []
        return said + list(self.folder.notes)

    def follow(self, script: Path, above: tuple[Path, ...]) -> tuple[Path, Path]:
        """Read a script and all that it redirects to: its copy, and the folder in which it leaves OpenDSS."""
        if script in above:
            chain = " -> ".join(p.name for p in (*above[above.index(script) :], script))
            raise FeederError(f"{script} redirects to itself ({chain}).", "Take the redirect out.")
        if len(above) > _DEEPEST:
            raise FeederError(f"{script}: more than {_DEEPEST} redirects inside each other.")
        copy = self._place / str(len(self.origin)) / script.name
        self.origin[str(copy)] = str(script)
        written: list[str] = []
        comment = False
        at = Place(script, 0, script.parent)
        for number, raw in enumerate(lines_of(self._text(script)), start=1):
            at.number = number
            comment = comment or raw.startswith("/*")
            if comment:
                comment = "*/" not in raw
                written.append(raw)
                continue
            read = self.lines.read(raw, at)
            if read.script is None:
                written.append(read.text)
                continue
            inner, after = self.follow(read.script, (*above, script))
            if read.compiles:  # compile leaves OpenDSS in the folder of what it compiled
                at.base = after
            written.append(f"redirect {quoted(str(inner))}")
        self.count += len(written)
        if self.count > _MOST_LINES:
            raise FeederError(f"{script}: the feeder's scripts have more than {_MOST_LINES:,} lines.")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("\n".join(written) + "\n", encoding="utf-8")
        return copy, at.base

    def add(self, edits: Sequence[str], copy: Path, at: Place) -> None:
        """Let commands follow a script that has been read."""
        if not edits:
            return
        with copy.open("a", encoding="utf-8") as file:
            for edit in edits:
                read = self.lines.read(edit, at)
                if read.script is not None or read.text.startswith("!"):
                    raise FeederError(f"{edit!r} is no edit of an element.", "For one: edit regcontrol.reg1 vreg=122")
                file.write(f"{read.text}\n")
                self.count += 1

    def _text(self, script: Path) -> str:
        """A file as text. OpenDSS takes bytes; names that are not UTF-8 would come back as nothing."""
        data = self.folder.read(script)
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            self.folder.note(f"{script.name} is UTF-16; read as such.")
            return data.decode("utf-16", errors="replace")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            self.folder.note(f"{script.name} is not UTF-8; read as Windows-1252 (Latin-1).")
            return data.decode("cp1252", errors="replace")
