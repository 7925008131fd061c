"""Parts of a study side by side: the same bytes from any crew, what is finished is kept, what dies costs itself."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_parts import Square, Sum, Total, ToyJob

from hcsim.errors import ConfigError
from hcsim.jobs.packing import archive, members_of, pack, unpack
from hcsim.jobs.part_files import PartFiles
from hcsim.jobs.side_by_side import SideBySide
from hcsim.jobs.workers import Here, Workers, processes_that_fit

JOB = ToyJob()
PARTS = [Square(3), Square(2), Square(5, "fails"), Total((2, 3), also=(5,)), Total((5,), name="never")]


def run(folder, parts, *, processes=1, resume=False, hear=lambda event: None, **identity):
    """Name -> what a run over `parts` ends with, and the files that it leaves."""
    files = PartFiles(folder, {"feeder": "f", **identity})
    files.open(resume=resume)
    crew = Here(JOB, "here") if processes == 1 else Workers(JOB, processes)
    try:
        return {e.part.name: e for e in SideBySide(parts, files, JOB.classes, hear).run(crew)}, files
    finally:
        crew.end(at_once=True)


def contents(folder):
    found = {}
    for file in sorted((folder / "parts").glob("*.zip")):
        found[file.name] = members_of(file.read_bytes())["value.zip"]
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same study in this process and in two others."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    events = []
    return (one, run(one, PARTS)[0]), (two, run(two, PARTS, processes=2, hear=events.append)[0]), events


def test_another_crew_changes_no_byte(both):
    (one, here), (two, there), _ = both
    assert contents(one) == contents(two) and len(contents(one)) == 3
    assert here.keys() == there.keys() == {"square 2", "square 3", "square 5", "total"}
    assert there["total"].value.total == (4 + 9) / 3.0
    pd.testing.assert_frame_equal(here["total"].value.table, there["total"].value.table)


def test_a_failure_costs_itself_and_what_needs_it(both):
    _, (_, there), events = both
    assert there["square 5"].made.error == "5 does not converge." and there["square 5"].value is None
    assert there["total"].made.words == "2 given"  # what only uses it goes on without
    last = {event.part: (event.state, event.words) for event in events}
    assert last["square 5"] == ("failed", "5 does not converge.") and "never" not in last
    assert last["square 2"][0] == "done" and str(os.getpid()) not in last["square 2"][1]  # done in another process


def test_resume_takes_over_what_is_the_same(tmp_path):
    run(tmp_path, PARTS)
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "parts").glob("*.zip")}
    again, _ = run(tmp_path, PARTS, resume=True)
    assert {name for name, e in again.items() if e.kept} == {"square 2", "square 3", "total"}
    assert before == {f: f.stat().st_mtime_ns for f in before}
    # a part with other settings is made again, and so is what stands on it, even where its result is the same
    other, _ = run(tmp_path, [Square(2, "writes " + os.devnull), *PARTS[0:1], *PARTS[2:]], resume=True)
    assert {name for name, e in other.items() if e.kept} == {"square 3"}
    # and where a part has a result that had none, what did without it
    mended, _ = run(tmp_path, [*PARTS[:2], Square(5), *PARTS[3:]], resume=True)
    assert not mended["total"].kept and mended["total"].value.numbers == (4, 9, 25) and "never" in mended


def test_parts_of_another_study_are_refused(tmp_path):
    run(tmp_path, PARTS, gap=1)
    with pytest.raises(ConfigError, match="differs in: gap"):
        run(tmp_path, PARTS, resume=True, gap=2)
    afresh, _ = run(tmp_path, PARTS[:1], gap=2)
    assert not afresh["square 3"].kept and list(contents(tmp_path)) == ["square 3.zip"]


def cut(file):
    file.write_bytes(file.read_bytes()[:-30])


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x01
    file.write_bytes(data)


def others(file):
    file.write_bytes(file.with_name("square 3.zip").read_bytes())


def another_value(file):
    members = members_of(file.read_bytes())
    file.write_bytes(archive({**members, "value.zip": pack(7)}))


@pytest.mark.parametrize("damage", [cut, flip, others, another_value, lambda file: file.write_bytes(b"")])
def test_what_is_damaged_is_named_set_aside_and_made_again(damage, tmp_path):
    run(tmp_path, PARTS)
    before = contents(tmp_path)
    damage(tmp_path / "parts" / "square 2.zip")
    again, files = run(tmp_path, PARTS, resume=True)
    assert list(files.set_aside) == ["square 2"] and "made again" in files.set_aside["square 2"]
    assert (tmp_path / "parts" / "damaged" / "square 2.zip.0").is_file()
    assert not again["square 2"].kept and again["square 3"].kept
    assert contents(tmp_path) == before


def test_a_worker_that_dies_costs_its_part(tmp_path):
    parts = [Square(1, "dies"), Square(2), Square(3), Total((2, 3))]
    ended, _ = run(tmp_path, parts, processes=2)
    assert "died (Killed)" in ended["square 1"].made.error and "--resume" in ended["square 1"].made.error
    assert ended["total"].value.numbers == (4, 9)


def test_workers_write_in_their_own_folder_only(tmp_path):
    from hcsim.util.sandbox import landlock_version

    if not landlock_version():
        pytest.skip("the system has no Landlock")
    with pytest.raises(RuntimeError, match="square 1: PermissionError") as caught:
        run(tmp_path, [Square(1, f"writes {tmp_path / 'mine'}"), Square(2)], processes=2)
    assert not (tmp_path / "mine").exists()
    assert any("toy_parts.py" in note for note in caught.value.__notes__)  # where in the worker it was


def test_a_fault_of_ours_is_told_as_one(tmp_path):
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, [Square(1, "broken")])


def test_ctrl_c_ends_the_workers_at_once_and_keeps_what_is_finished(tmp_path):
    def pressed(event):
        if event.part == "square 2" and event.state == "done":
            raise KeyboardInterrupt

    parts = [Square(1, "hangs"), Square(2), Square(3)]
    files = PartFiles(tmp_path, {})
    files.open(resume=False)
    crew = Workers(JOB, 2)
    pids = [w.process.pid for w in crew._workers]
    with pytest.raises(KeyboardInterrupt):
        list(SideBySide(parts, files, (), pressed).run(crew))
    assert Square(1, "hangs") in crew.at_work
    crew.end(at_once=True)
    begun = time.monotonic()
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() - begun < 60.0, "orphans"
    assert "square 2.zip" in contents(tmp_path)


def test_parts_that_wait_for_each_other_are_a_mistake(tmp_path):
    with pytest.raises(ValueError, match="wait for each other"):
        run(tmp_path, [Total((), also=(), name="square 1"), _Circle()])


class _Circle(Square):
    def __init__(self):
        object.__setattr__(self, "number", 9)
        object.__setattr__(self, "how", "")

    @property
    def needs(self):
        return (self.name,)


def test_memory_bounds_the_number_of_workers(monkeypatch):
    from hcsim.jobs import workers

    monkeypatch.setattr(workers, "free_memory_bytes", lambda: 1.0)
    assert processes_that_fit(8) == 1
    monkeypatch.setattr(workers, "free_memory_bytes", lambda: 1e15)
    assert processes_that_fit(8) == 8


# -- packing ----------------------------------------------------------------------------------------------

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@settings(max_examples=40, deadline=None)
@given(plain)
def test_values_come_back_with_every_digit(value):
    assert repr(unpack(pack(value))) == repr(value)


def test_arrays_and_tables_come_back():
    table = pd.DataFrame(
        {"name": ["a", "b"], "kw": [0.1, np.nan], "on": [True, False], "mixed": pd.Series([1, None], dtype=object)}
    )
    filtered = table[table["on"]]
    empty = pd.DataFrame(columns=["a", "b"])
    arrays = (np.arange(6.0).reshape(2, 3), np.array([1 + 2j]), np.zeros((0, 3)), np.array(["x", None], dtype=object))
    value = Sum((1,), 1 / 3, table)
    again = unpack(pack((value, filtered, empty, arrays), (Sum,)), (Sum,))
    assert again[0].total == 1 / 3 and again[0].numbers == (1,)
    for a, b in zip((table, filtered, empty), (again[0].table, *again[1:3]), strict=True):
        pd.testing.assert_frame_equal(a, b)
    for a, b in zip(arrays, again[3], strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape and a.tolist() == b.tolist()


def test_nothing_but_the_named_classes_is_built():
    data = pack(Sum((1,), 0.0, pd.DataFrame()), (Sum,))
    with pytest.raises(KeyError):
        unpack(data)
    with pytest.raises(TypeError):
        pack(Path("x"))
    with pytest.raises(TypeError):
        pack(Sum((1,), 0.0, pd.DataFrame()))
