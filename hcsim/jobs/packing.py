"""Values as bytes and back, with every digit and no code: how a part's result travels and lies on disk.

A file is a zip archive without compression: `value.json`, and the arrays that it points to as .npy. What comes back
is built from the dataclasses that the caller names, numbers, texts, arrays and tables; nothing in a file can name
anything else, as a pickle could.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pandas as pd

VALUE, ARRAY = "value.json", "{}.npy"
_SAME_DAY = (1980, 1, 1, 0, 0, 0)


def pack(value: Any, classes: Iterable[type] = ()) -> bytes:
    """Raises TypeError for what is neither plain nor made of `classes`."""
    writer = _Writer({kind.__name__: kind for kind in classes})
    tree = writer.tree(value)
    return archive({VALUE: json.dumps(tree, ensure_ascii=False).encode(), **writer.members})


def unpack(data: bytes, classes: Iterable[type] = ()) -> Any:
    """The counterpart of `pack`. Raises ValueError, KeyError or TypeError where the bytes are not of its making."""
    members = members_of(data)
    reader = _Reader({kind.__name__: kind for kind in classes}, members)
    return reader.value(json.loads(members[VALUE]))


def archive(members: Mapping[str, bytes]) -> bytes:
    """The same members, the same bytes."""
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name, _SAME_DAY), content)
    return into.getvalue()


def members_of(data: bytes) -> dict[str, bytes]:
    """What `archive` put together. Raises ValueError where the bytes are no such archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in file.infolist()):
                raise ValueError("it is compressed")  # a few bytes may stand for many
            return {name: file.read(name) for name in file.namelist()}
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ValueError(str(error)) from None


class _Writer:
    def __init__(self, classes: Mapping[str, type]) -> None:
        self.classes = classes
        self.members: dict[str, bytes] = {}

    def tree(self, value: Any) -> Any:
        """JSON for a value; whatever JSON has not is an object with one key that says what it is."""
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, np.generic):
            return self.tree(value.item())
        if isinstance(value, int):
            return value
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"float": repr(float(value))}
        if type(value) is list:
            return [self.tree(item) for item in value]
        if type(value) is tuple:
            return {"tuple": [self.tree(item) for item in value]}
        if isinstance(value, Mapping):
            return {"mapping": [[self.tree(k), self.tree(v)] for k, v in value.items()]}
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, pd.DataFrame):
            return self._table(value)
        name = type(value).__name__
        if is_dataclass(value) and self.classes.get(name) is type(value):
            return {name: {f.name: self.tree(getattr(value, f.name)) for f in fields(value) if f.init}}
        raise TypeError(f"{type(value).__name__} cannot be kept in a file: {value!r:.200}")

    def _array(self, value: np.ndarray) -> Any:
        if value.dtype == object:
            return {"objects": [list(value.shape), [self.tree(item) for item in value.ravel().tolist()]]}
        into = io.BytesIO()
        np.save(into, value, allow_pickle=False)
        name = ARRAY.format(len(self.members))
        self.members[name] = into.getvalue()
        return {"array": name}

    def _table(self, table: pd.DataFrame) -> Any:
        columns = []
        for place, name in enumerate(table.columns):
            column = table.iloc[:, place]
            plain = isinstance(column.dtype, np.dtype) and column.dtype != object
            values = column.to_numpy() if plain else column.tolist()
            columns.append([self.tree(name), str(column.dtype), self.tree(values)])
        index = None if table.index.equals(pd.RangeIndex(len(table))) else self.tree(table.index.to_numpy())
        return {"table": [columns, len(table), index]}


class _Reader:
    def __init__(self, classes: Mapping[str, type], members: Mapping[str, bytes]) -> None:
        self.classes, self.members = classes, members

    def value(self, tree: Any) -> Any:
        if isinstance(tree, list):
            return [self.value(item) for item in tree]
        if not isinstance(tree, dict):
            return tree
        ((kind, content),) = tree.items()
        match kind:
            case "float":
                return float(content)
            case "tuple":
                return tuple(self.value(item) for item in content)
            case "mapping":
                return {self.value(k): self.value(v) for k, v in content}
            case "array":
                return np.load(io.BytesIO(self.members[content]), allow_pickle=False)
            case "objects":
                shape, items = content
                array = np.empty(math.prod(shape), dtype=object)
                array[:] = [self.value(item) for item in items]
                return array.reshape(shape)
            case "table":
                return self._table(*content)
        return self.classes[kind](**{name: self.value(item) for name, item in content.items()})

    def _table(self, columns: list[Any], rows: int, index: Any) -> pd.DataFrame:
        labels = pd.RangeIndex(rows) if index is None else pd.Index(self.value(index))
        series = [pd.Series(self.value(values), index=labels, dtype=kind) for _, kind, values in columns]
        table = pd.concat(series, axis=1) if series else pd.DataFrame(index=labels)
        table.columns = pd.Index([self.value(name) for name, _, _ in columns])
        return table
