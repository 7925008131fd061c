"""Writing that leaves a whole file or none, and says clearly when it cannot."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import tempfile
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hcsim.errors import ConfigError, OutputError
from optim.data.node import columns

if TYPE_CHECKING:
    import pandas as pd


def with_an_end(path: Path) -> Path:
    """The path itself; also where nothing is there. Raises ConfigError for a pipe or device, which may never end."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # not there; a name that none can have
        return path
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ConfigError(f"{path} is a pipe or device.", "Name a file.")
    return path


def output_folder(folder: Path) -> Path:
    """The folder, made with its parents if need be. Raises OutputError where nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


def write_atomically(path: Path, write: Callable[[Path], None]) -> Path:
    """Let `write` fill a temporary neighbour, then rename: Ctrl-C leaves the old file or the new, no half.

    Raises OutputError naming the path and the system's reason.
    """
    output_folder(path.parent)
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(half)
        half.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        half.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str) -> Path:
    return write_atomically(path, lambda half: _write_utf8(half, text))


def with_bus_and_phase(table: pd.DataFrame) -> pd.DataFrame:
    """The table with columns `bus` and `phase` behind its `node`: "18.1" alone becomes the number 18.1 in pandas and
    in spreadsheets, and "18.10" the same."""
    if "node" not in table or {"bus", "phase"} <= set(table.columns):
        return table
    import pandas as pd  # here and below: what writes no table starts without it

    cut = table.copy()
    at = cut.columns.get_loc("node")
    for k, (column, names) in enumerate(columns(table["node"]).items(), start=1):
        if column not in cut:
            cut.insert(at + k, column, pd.Series(names, index=cut.index, dtype=object))
    return cut


FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins so for a formula, and some formulas start programs."""


def guarded(text: str) -> str:
    """A name as a cell of a CSV file: what a spreadsheet would run has an apostrophe before it. Numbers stay."""
    if not text.startswith(FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text


def unguarded(text: str) -> str:
    """The counterpart of `guarded`."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def _guard_cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its texts and headings guarded; itself where none needs it."""
    import pandas as pd

    found = {}
    for place, column in enumerate(table.columns):
        values = table.iloc[:, place]
        if values.dtype == object or pd.api.types.is_string_dtype(values.dtype):
            cells = [guarded(v) if isinstance(v, str) else v for v in values]
            if any(new is not old for new, old in zip(cells, values, strict=True)):
                found[column] = pd.Series(cells, index=values.index, dtype=object)
    safe = table.assign(**{str(k): v for k, v in found.items()}) if found else table
    headings = [guarded(str(c)) for c in safe.columns]
    return safe if headings == [str(c) for c in safe.columns] else safe.set_axis(headings, axis=1)


def write_csv(path: Path, table: pd.DataFrame) -> Path:
    """Comma-separated, no index, floats with all digits they need to come back the same; a `node` has `bus` and
    `phase` beside it."""
    table = _guard_cells(with_bus_and_phase(table))
    return write_atomically(path, lambda half: table.to_csv(half, index=False, lineterminator="\n"))


def write_parquet(path: Path, table: pd.DataFrame) -> Path:
    """No index; a `node` has `bus` and `phase` beside it."""
    table = with_bus_and_phase(table)
    return write_atomically(path, lambda half: table.to_parquet(half, index=False))


def write_json(path: Path, content: Any) -> Path:
    """Strict JSON with plain types: NaN and infinity become null."""
    text = json_text(content)
    return write_text(path, text + "\n")


def json_text(content: Any) -> str:
    """Strict JSON, two spaces deep; NaN and infinities become null."""
    return json.dumps(to_plain_json(content), indent=2, ensure_ascii=False, allow_nan=False)


def to_plain_json(value: Any) -> Any:
    """The same content in the types JSON has. Tuples and arrays become lists, not-a-number null."""
    if is_dataclass(value) and not isinstance(value, type):
        return to_plain_json(asdict(value))
    if isinstance(value, dict):
        return {str(key): to_plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain_json(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if type(value).__module__ == "numpy":  # arrays and scalars
        return to_plain_json(value.tolist())
    raise TypeError(f"{type(value).__name__} has no plain form: {value!r}")


def _write_utf8(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def write_or_say(unwritten: dict[str, str], path: Path, write: Callable[[Path], object]) -> None:
    """`write(path)`; where that fails, the reason under the file's name, and the study goes on."""
    try:
        write(path)
    except OutputError as error:
        unwritten[path.name] = error.message


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The error of a path that cannot be written, with the system's reason and the remedy."""
    full = error.errno == errno.ENOSPC or f"[errno {errno.ENOSPC}]" in str(error)  # pyarrow has it in words only
    why = os.strerror(errno.ENOSPC) if full else error.strerror or str(error)
    remedy = "Make room there" if full else "Give yourself the right to write there"
    return OutputError(f"Cannot write {path}: {why}.", f"{remedy}, or name another folder with --out.")
