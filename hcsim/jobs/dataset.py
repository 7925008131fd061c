"""One dataset per study: a Parquet file per finished task, and what the study was asked.

A part is written whole or not at all and carries the study's identity, so that a killed run goes on where it
was, and parts of another feeder, other settings or another version of hcsim are never mixed in. A part that is
damaged is set aside, named and made again. The result is put together from the parts in the order of the tasks: it
does not show how often the run was interrupted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hcsim import __version__
from hcsim.errors import ConfigError
from hcsim.jobs.pool import TaskResult
from hcsim.util.files import output_folder, to_plain_json, write_atomically, write_json

FORMAT = 2
"""Of the parts; a change makes old parts unusable, not wrong."""
_ABOUT = b"hcsim"


def fingerprint(identity: Mapping[str, Any]) -> str:
    """SHA-256 over everything that the results depend on."""
    text = json.dumps(to_plain_json({"format": FORMAT, "version": __version__, **identity}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Dataset:
    """Parts of one study in `folder`/parts."""

    folder: Path
    identity: Mapping[str, Any]
    """What the results depend on: feeder hash, settings. Plain types."""
    columns: Mapping[str, pa.DataType]
    power_flows: dict[str, int] = field(default_factory=dict)
    """Task -> power flows, of finished tasks, those of earlier runs included."""
    missing: dict[str, str] = field(default_factory=dict)
    """What finished tasks do not speak of, and why."""
    set_aside: dict[str, str] = field(default_factory=dict)
    """Task -> why its part, which lay there, could not be used."""

    def __post_init__(self) -> None:
        self.hash = fingerprint(self.identity)
        self._parts = self.folder / "parts"
        self._identity_file = self.folder / "identity.json"
        self._schema = pa.schema(list(self.columns.items()))

    def open(self, *, resume: bool) -> set[str]:
        """Tasks that are done. Without `resume` whatever lies there is cleared.

        Raises ConfigError where parts of a different study lie there, naming what differs; OutputError.
        """
        output_folder(self._parts)
        for half in self._parts.glob(".*.part"):  # of a run that was killed
            half.unlink()
        if resume:
            same_study(self._identity_file, self.identity, self.hash, parts=any(self._parts.glob("*.parquet")))
        else:
            for part in self._parts.glob("*.parquet"):
                part.unlink()
        write_json(self._identity_file, {"hash": self.hash, "identity": self.identity})
        for part in sorted(self._parts.glob("*.parquet")):
            task = unquote(part.stem)
            try:
                about = self._about(part, task)
            except Exception as error:  # a damaged file makes the libraries raise anything
                self.set_aside[task] = set_aside(part, self.folder / "damaged", error)
                continue
            self.power_flows[task] = int(about["power_flows"])
            self.missing |= dict(about["missing"])
        return set(self.power_flows)

    def _about(self, part: Path, task: str) -> dict[str, Any]:
        """What a part says of itself. Raises anything where it is damaged, or of another task or study."""
        table = pq.read_table(part)
        about: dict[str, Any] = json.loads((table.schema.metadata or {})[_ABOUT])
        for key, wanted in (("hash", self.hash), ("task", task), ("rows_sha256", _rows_sha256(table, self._schema))):
            if about[key] != wanted:
                raise ValueError(f"its {key} is {about[key]!s:.16}, not {wanted:.16}")
        return about

    def put(self, result: TaskResult) -> None:
        """One finished task. Raises OutputError where it cannot be written."""
        table = pa.Table.from_pylist([dict(row) for row in result.rows], schema=self._schema)
        about = {
            "hash": self.hash,
            "task": result.id,
            "power_flows": result.power_flows,
            "missing": result.missing,
            "rows_sha256": _rows_sha256(table, self._schema),
        }
        table = table.replace_schema_metadata({_ABOUT: json.dumps(about).encode()})
        write_atomically(self._part(result.id), lambda half: pq.write_table(table, half))
        self.power_flows[result.id] = result.power_flows
        self.missing |= dict(result.missing)

    def table(self, tasks: Sequence[str]) -> pd.DataFrame:
        """All rows of these tasks that are done, in their order."""
        parts = [pq.read_table(self._part(t), schema=self._schema) for t in tasks if t in self.power_flows]
        whole = pa.concat_tables(parts) if parts else self._schema.empty_table()
        return whole.replace_schema_metadata(None).to_pandas()

    def _part(self, task: str) -> Path:
        return self._parts / f"{quote(task, safe='')}.parquet"


def same_study(file: Path, identity: Mapping[str, Any], wanted: str, *, parts: bool) -> None:
    """Whether the identity in `file` has the hash `wanted`, that of `identity`. Raises ConfigError naming what differs;
    also where there are `parts` without any identity."""
    if not file.is_file():
        if parts:
            raise ConfigError(f"{file.parent} has parts but no {file.name}.", _AFRESH)
        return
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
        known, found = dict(there["identity"]), there["hash"]
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise ConfigError(f"{file} cannot be read: {error!r}.", _AFRESH) from None
    if found != wanted:
        now = to_plain_json(identity)
        differing = sorted(k for k in known.keys() | now.keys() if known.get(k) != now.get(k))
        raise ConfigError(
            f"{file.parent} holds a study that differs in: {', '.join(differing) or 'its format'}.", _AFRESH
        )


def set_aside(file: Path, folder: Path, error: Exception) -> str:
    """Moves a damaged part out of the way, not away, as it is made again; what is said of it."""
    output_folder(folder)
    number = next(n for n in count() if not (folder / f"{file.name}.{n}").exists())
    file.replace(folder / f"{file.name}.{number}")
    why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return f"damaged ({why}), now in {folder.name}/, and made again"


def _rows_sha256(table: pa.Table, schema: pa.Schema) -> str:
    """Hash over the rows, however the file packs them."""
    sink = pa.BufferOutputStream()
    rows = table.cast(schema).replace_schema_metadata(None).combine_chunks()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return hashlib.sha256(sink.getvalue()).hexdigest()


_AFRESH = "Leave --resume out to begin afresh, or name another folder with --out."
