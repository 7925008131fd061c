"""Where tasks run changes nothing: one process, a pool, Dask; workers may die."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
from crash_job import CrashJob, Number
from guards import HANG_S

from hcsim.cases.case import load_case
from hcsim.errors import ConfigError, FeederError
from hcsim.hosting.nodal import NodalJob, sites
from hcsim.hosting.open_feeder import FeederFiles as Feeder
from hcsim.hosting.open_feeder import open_feeder
from hcsim.hosting.stochastic import StochasticJob, deployments
from hcsim.jobs import pool as tasks
from hcsim.jobs.pool import DIED, do_task, run_tasks
from optim.data.limits import Limits

HERE = Path(__file__).parents[2] / "helpers"
NUMBERS = [Number(i) for i in range(12)]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Workers import this folder's helpers."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(HERE.parent.parent)]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def rows_of(results):
    """Task -> rows; fails where one comes twice."""
    found = {}
    for result in results:
        assert result.id not in found
        found[result.id] = (result.rows, result.error)
    return found


def test_a_pool_gives_what_one_process_gives(tmp_path):
    job = CrashJob(tmp_path, fails=(3,))
    alone = rows_of(run_tasks(job, NUMBERS, processes=1))
    assert alone["n003"] == ((), "3 does not converge.")
    assert rows_of(run_tasks(job, NUMBERS, processes=2)) == alone


def test_a_worker_that_dies_costs_no_other_task(tmp_path):
    job = CrashJob(tmp_path, kills=(5,), kills_once=(2,))
    found = rows_of(run_tasks(job, NUMBERS, processes=2))
    assert set(found) == {n.id for n in NUMBERS}
    assert found["n005"] == ((), DIED)
    for n in NUMBERS:
        if n.value != 5:
            assert found[n.id] == (({"number": n.value, "square": n.value**2},), "")


@pytest.fixture
def dask_cluster():
    """A real scheduler and two worker processes of their own."""
    pytest.importorskip("distributed")
    started = []

    def start(*words):
        process = subprocess.Popen([sys.executable, "-m", "dask", *words], stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    address = next(line.split()[-1] for line in scheduler.stderr if "Scheduler at:" in line)
    threading.Thread(target=scheduler.stderr.read, daemon=True).start()
    workers = []
    for _ in range(2):
        worker = start("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
        threading.Thread(target=worker.stderr.read, daemon=True).start()
        workers.append(worker)
    yield address, workers
    for process in reversed(started):
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=HANG_S)


def test_dask_gives_the_same_rows_though_a_worker_is_killed(tmp_path, dask_cluster):
    address, workers = dask_cluster
    job = CrashJob(tmp_path, pause_s=0.2)
    expected = rows_of(run_tasks(CrashJob(tmp_path), NUMBERS, processes=1))
    found = []
    for result in run_tasks(job, NUMBERS, scheduler=address):
        found.append(result)
        if len(found) == 3:
            os.kill(workers[0].pid, signal.SIGKILL)
    assert rows_of(found) == expected


def test_nobody_at_the_address_is_said(tmp_path):
    pytest.importorskip("distributed")
    with pytest.raises(ConfigError, match="No Dask scheduler answers"):
        next(iter(run_tasks(CrashJob(tmp_path), NUMBERS, scheduler="tcp://127.0.0.1:9")))


def test_a_scheduler_without_workers_is_said(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(tasks, "WORKERS_WITHIN_S", 0.5)
    words = ("-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    scheduler = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
    address = next(line.split()[-1] for line in scheduler.stderr if "Scheduler at:" in line)
    with pytest.raises(ConfigError, match="no worker for"):
        next(iter(run_tasks(CrashJob(tmp_path), NUMBERS, scheduler=address)))
    scheduler.terminate()
    scheduler.communicate(timeout=HANG_S)


# -- the real studies -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def feeder():
    return open_feeder(load_case("ieee123"))


def nodal(opened):
    job = NodalJob(opened.feeder, opened.case.profiles, Limits.screening(), largest_kw_per_phase=2000.0)
    return job, sites(opened.network, "generation", ("1", "83", "114", "610", "9r"))


def stochastic(opened):
    limits = Limits.screening()
    job = StochasticJob(opened.feeder, opened.case.profiles, limits, (20.0, 60.0), per_load=1.0)
    return job, deployments(4, ("random", "near", "far"))


@pytest.mark.parametrize("study", [nodal, stochastic])
def test_studies_give_identical_rows_everywhere(feeder, study, dask_cluster):
    job, tasks = study(feeder)
    alone = rows_of(run_tasks(job, tasks, processes=1))
    assert all(rows and not error for rows, error in alone.values())
    assert rows_of(run_tasks(job, list(reversed(tasks)), processes=1)) == alone
    assert rows_of(run_tasks(job, tasks, processes=2)) == alone
    assert rows_of(run_tasks(job, tasks, scheduler=dask_cluster[0])) == alone


def test_another_feeder_under_the_same_path_is_refused(feeder):
    job, tasks = nodal(feeder)
    other = NodalJob(Feeder(feeder.feeder.master, "0" * 64), job.profiles, job.limits)
    result = do_task(other, tasks[0])
    assert "not the feeder that this study began with" in result.error
    with pytest.raises(FeederError):
        other.prepare()


def test_rooftops_add_up(feeder):
    job, tasks = stochastic(feeder)
    rows = pd.DataFrame([row for t in tasks for row in do_task(job, t).rows])
    nominal = feeder.network.loads.p_kw.sum()
    for pct, some in rows.groupby("penetration_pct"):
        assert some["pv_kw"].to_numpy() == pytest.approx(nominal * pct / 100)
    assert rows.groupby(["deployment", "penetration_pct"]).size().eq(9).all()  # eight limits and convergence
