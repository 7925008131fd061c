"""Parts of a killed run: what is damaged, or another's, is named, set aside and made again."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hcsim.errors import ConfigError
from hcsim.jobs.dataset import Dataset
from hcsim.jobs.pool import TaskResult

COLUMNS = {"bus": pa.string(), "kw": pa.float64()}


def opened(folder, resume=True, **identity):
    data = Dataset(folder, {"feeder": "f", **identity}, COLUMNS)
    return data, data.open(resume=resume)


@pytest.fixture
def finished(tmp_path):
    data, _ = opened(tmp_path, resume=False)
    for name in ("a", "b"):
        data.put(TaskResult(name, tuple({"bus": name, "kw": float(k)} for k in range(500)), 3, 0.1))
    return tmp_path


def cut(part):
    part.write_bytes(part.read_bytes()[:-20])


def flip(part):
    data = bytearray(part.read_bytes())
    for i in range(200, 230):
        data[i] ^= 0xFF
    part.write_bytes(data)


def empty(part):
    part.write_bytes(b"")


def others(part):
    shutil.copy(part.with_name("b.parquet"), part)


def other_rows(part):
    table = pq.read_table(part)
    changed = table.set_column(1, "kw", pa.array([1e6] * len(table)))
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), part)


def other_columns(part):
    table = pq.read_table(part)
    pq.write_table(table.select(["bus"]).replace_schema_metadata(table.schema.metadata), part)


@pytest.mark.parametrize("damage", [cut, flip, empty, others, other_rows, other_columns])
def test_damaged_part_is_set_aside_and_made_again(damage, finished):
    damage(finished / "parts" / "a.parquet")
    data, done = opened(finished)
    assert done == {"b"}
    assert list(data.set_aside) == ["a"]
    assert (finished / "damaged" / "a.parquet.0").exists()
    data.put(TaskResult("a", ({"bus": "a", "kw": 1.0},), 1, 0.1))
    assert len(data.table(["a", "b"])) == 501


def test_whole_parts_are_taken(finished):
    data, done = opened(finished)
    assert done == {"a", "b"}
    assert not data.set_aside


def test_another_study_is_refused(finished):
    with pytest.raises(ConfigError, match="differs in: seed"):
        opened(finished, seed=2)


def test_another_version_is_refused(finished, monkeypatch):
    monkeypatch.setattr("hcsim.jobs.dataset.__version__", "99")
    with pytest.raises(ConfigError, match="differs"):
        opened(finished)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"identity": 3, "hash": 4}', "[" * 100_000, "\0"])
def test_damaged_identity_is_said(text, finished):
    (finished / "identity.json").write_text(text)
    with pytest.raises(ConfigError, match="cannot be read"):
        opened(finished)
