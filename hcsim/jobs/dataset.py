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
            self._compare()
        else:
            for part in self._parts.glob("*.parquet"):
                part.unlink()
        write_json(self._identity_file, {"hash": self.hash, "identity": self.identity})
        for part in sorted(self._parts.glob("*.parquet")):
            task = unquote(part.stem)
            try:
                about = self._about(part, task)
            except Exception as error:  # a damaged file makes the libraries raise anything
                self._put_aside(
                    part, task, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                )
                continue
            self.power_flows[task] = int(about["power_flows"])
            self.missing |= dict(about["missing"])
        return set(self.power_flows)

    def _compare(self) -> None:
        if not self._identity_file.is_file():
            if any(self._parts.glob("*.parquet")):
                raise ConfigError(f"{self.folder} has parts but no {self._identity_file.name}.", _AFRESH)
            return
        try:
            there = json.loads(self._identity_file.read_text(encoding="utf-8"))
            known, found = there["identity"], there["hash"]
            known = dict(known)
        except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
            raise ConfigError(f"{self._identity_file} cannot be read: {error!r}.", _AFRESH) from None
        if found != self.hash:
            now = to_plain_json(self.identity)
            differing = sorted(k for k in known.keys() | now.keys() if known.get(k) != now.get(k))
            raise ConfigError(
                f"{self.folder} holds a study that differs in: {', '.join(differing) or 'its format'}.", _AFRESH
            )

    def _about(self, part: Path, task: str) -> dict[str, Any]:
        """What a part says of itself. Raises anything where it is damaged, or of another task or study."""
        table = pq.read_table(part)
        about: dict[str, Any] = json.loads((table.schema.metadata or {})[_ABOUT])
        for key, wanted in (("hash", self.hash), ("task", task), ("rows_sha256", _rows_sha256(table, self._schema))):
            if about[key] != wanted:
                raise ValueError(f"its {key} is {about[key]!s:.16}, not {wanted:.16}")
        return about

    def _put_aside(self, part: Path, task: str, why: str) -> None:
        """Out of the way, not away: it is done again."""
        folder = output_folder(self.folder / "damaged")
        number = next(n for n in count() if not (folder / f"{part.name}.{n}").exists())
        part.replace(folder / f"{part.name}.{number}")
        self.set_aside[task] = f"damaged ({why}), now in {folder.name}/, and made again"

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


def _rows_sha256(table: pa.Table, schema: pa.Schema) -> str:
    """Hash over the rows, however the file packs them."""
    sink = pa.BufferOutputStream()
    rows = table.cast(schema).replace_schema_metadata(None).combine_chunks()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return hashlib.sha256(sink.getvalue()).hexdigest()


_AFRESH = "Leave --resume out to begin afresh, or name another folder with --out."
