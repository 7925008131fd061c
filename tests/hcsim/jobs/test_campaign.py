"""Every finished task is on disk; a killed run goes on and ends with the same bytes."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crash_job import CrashJob, Number
from guards import HANG_S, unmeasured, wait_until

from hcsim.cases.case import load_case
from hcsim.errors import ConfigError, OutputError
from hcsim.hosting.nodal_result import NodalSettings
from hcsim.hosting.open_feeder import open_feeder
from hcsim.jobs.campaign import Execution, run_campaign
from hcsim.studies.nodal import run_nodal
from hcsim.util.files import write_atomically
from optim.data.limits import Limits

ROOT = Path(__file__).parents[3]
COLUMNS = {"number": pa.int64(), "square": pa.int64()}
NUMBERS = [Number(i) for i in range(8)]
ONE = Execution(processes=1)
AGAIN = Execution(processes=1, resume=True)
RESULTS = ("nodal.parquet", "nodal.csv")


def run(folder, means=ONE, numbers=NUMBERS, identity=None, **faults):
    job = CrashJob(folder, **faults)
    return run_campaign(job, numbers, folder / "data", identity or {"feeder": "a"}, COLUMNS, means)


def test_rows_come_in_the_order_of_the_tasks(tmp_path):
    outcome = run(tmp_path, numbers=NUMBERS[::-1])
    assert outcome.table["number"].tolist() == [n.value for n in NUMBERS[::-1]]
    assert outcome.power_flows == 8 and outcome.resumed == 0 and not outcome.missing


def test_resume_does_only_what_is_missing(tmp_path):
    first = run(tmp_path, numbers=NUMBERS[:5], fails=(2,))
    assert first.missing == {"n002": "2 does not converge."}
    second = run(tmp_path, AGAIN)
    assert second.resumed == 4
    assert second.table["square"].tolist() == [n.value**2 for n in NUMBERS]
    for n in NUMBERS:
        assert len((tmp_path / f"{n.id}.log").read_text()) == (2 if n.value == 2 else 1)


def test_without_resume_everything_is_done_again(tmp_path):
    run(tmp_path)
    assert run(tmp_path).resumed == 0
    assert (tmp_path / "n000.log").read_text() == "xx"


def test_other_settings_are_not_mixed_in(tmp_path):
    run(tmp_path, numbers=NUMBERS[:3], identity={"feeder": "a", "seed": 1})
    with pytest.raises(ConfigError, match="differs in: seed"):
        run(tmp_path, AGAIN, identity={"feeder": "a", "seed": 2})
    stray = next((tmp_path / "data" / "parts").glob("*.parquet"))
    pq.write_table(pq.read_table(stray).replace_schema_metadata(None), stray)  # of unknown origin
    assert run(tmp_path, AGAIN, identity={"feeder": "a", "seed": 1}).resumed == 2


def test_a_torn_part_is_done_again(tmp_path):
    whole = run(tmp_path).table
    part = tmp_path / "data" / "parts" / "n003.parquet"
    part.write_bytes(part.read_bytes()[:100])
    again = run(tmp_path, AGAIN)
    assert again.resumed == 7 and again.table.equals(whole)


def test_a_full_disk_costs_the_part_not_the_study(tmp_path, monkeypatch):
    write = pq.write_table
    left = iter(range(3))

    def full(table, where, **options):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(table, where, **options)

    monkeypatch.setattr(pq, "write_table", full)
    outcome = run(tmp_path)
    assert outcome.table["square"].tolist() == [n.value**2 for n in NUMBERS]
    assert set(outcome.missing) == {n.id for n in NUMBERS[3:]}
    assert "No space left on device" in outcome.missing["n003"]
    monkeypatch.undo()
    assert run(tmp_path, AGAIN).resumed == 3
    assert not list((tmp_path / "data" / "parts").glob("*.part"))


def hcsim(*words):
    environment = unmeasured() | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "hcsim", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_a_run_killed_at_a_random_moment_ends_with_the_same_bytes(tmp_path):
    buses = [word for bus in (1, 18, 35, 51, 65, 83, 300, 610) for word in ("--bus", str(bus))]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = hcsim("nodal", "ieee123", "--processes", "1", "--out", str(whole), *buses)
    words, _ = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, words
    process = hcsim("nodal", "ieee123", "--processes", "2", "--out", str(killed), *buses)
    parts = killed / "datasets" / "generation" / "parts"
    wait_until(lambda: list(parts.glob("*.parquet")) != [], lambda: process.poll() is None)
    time.sleep(random.uniform(0.0, 0.5))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=HANG_S)
    done = len(list(parts.glob("*.parquet")))
    process = hcsim("nodal", "ieee123", "--processes", "2", "--resume", "--out", str(killed), *buses)
    words, _ = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, words
    assert f"{done} resumed" in words
    for name in RESULTS:
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
    process = hcsim("nodal", "ieee123", "--resume", "--limit", "loading=off", "--out", str(killed), *buses)
    words, _ = process.communicate(timeout=HANG_S)
    assert process.returncode == 2 and "differs in: limits" in words


def test_ctrl_c_keeps_what_is_finished_and_shows_no_traceback(tmp_path):
    process = hcsim("stochastic", "ieee123", "--deployments", "200", "--processes", "2", "--out", str(tmp_path))
    parts = tmp_path / "dataset" / "parts"
    wait_until(lambda: len(list(parts.glob("*.parquet"))) >= 2, lambda: process.poll() is None)
    os.killpg(process.pid, signal.SIGINT)
    words, _ = process.communicate(timeout=HANG_S)
    assert process.returncode == 130 and "Traceback" not in words, words
    assert 2 <= len(list(parts.glob("*.parquet"))) < 200


def descendants(pid):
    """Process numbers of children, their children and so on."""
    children = [int(p) for file in Path(f"/proc/{pid}/task").glob("*/children") for p in file.read_text().split()]
    return children + [p for child in children for p in descendants(child)]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for children in /proc")
def test_workers_end_with_a_study_that_is_killed(tmp_path):
    process = hcsim("stochastic", "ieee123", "--deployments", "500", "--processes", "2", "--out", str(tmp_path))
    wait_until(
        lambda: len(list((tmp_path / "dataset" / "parts").glob("*.parquet"))) >= 2, lambda: process.poll() is None
    )
    workers = descendants(process.pid)
    assert len(workers) >= 3  # the command's own process, and its two workers
    process.kill()
    process.wait(timeout=HANG_S)
    wait_until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in workers))
    process.stdout.close()


def test_a_table_that_cannot_be_written_is_named_and_the_others_are_there(tmp_path, monkeypatch):
    opened = open_feeder(load_case("ieee123"))
    settings = NodalSettings(Limits.screening(), buses=("83", "610"))
    to_csv = pd.DataFrame.to_csv

    def full(table, path, **words):
        to_csv(table.head(1), path, **words)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    result = run_nodal(opened, opened.case.profiles, settings, tmp_path, ONE)
    assert list(result.unwritten) == ["nodal.csv"] and "No space left on device" in result.missing["nodal.csv"]
    assert {p.name for p in tmp_path.iterdir()} == {"datasets", "nodal.parquet", "summary.json"}
    assert json.loads((tmp_path / "summary.json").read_text())["unwritten"] == result.unwritten


def test_what_to_do_about_a_full_disk_and_about_a_forbidden_one(tmp_path):
    for number, remedy in ((errno.ENOSPC, "Make room"), (errno.EACCES, "the right to write")):

        def fail(path, number=number):
            raise OSError(number, os.strerror(number))

        with pytest.raises(OutputError) as fault:
            write_atomically(tmp_path / "x", fail)
        assert os.strerror(number) in fault.value.message and remedy in fault.value.remedy
