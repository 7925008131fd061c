"""What commands that do one step after the other go on from; a resumed run has the bytes of one never stopped."""

import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from guards import HANG_S
from typer.testing import CliRunner

from hcsim.cases.case import load_case
from hcsim.cases.time_axis import TimeAxis
from hcsim.cli.app import app
from hcsim.errors import ConfigError
from hcsim.hosting.open_feeder import open_feeder
from hcsim.jobs.kept_steps import KeptSteps
from hcsim.studies import planning_sweep
from hcsim.studies.year import run_year

ROOT = Path(__file__).parents[3]
CASE = ROOT / "tests" / "cases" / "three_bus"


@dataclass(frozen=True)
class Curve:
    values: np.ndarray
    name: str


def kept(folder, resume=True, **identity):
    return KeptSteps(folder, {"feeder": "a"} | identity, (Curve,), resume=resume)


def twice(steps, made):
    """Two steps, the second on top of the first."""

    def first():
        made.append("first")
        return Curve(np.array([1.0, np.nan, 1e-300]), "b[/nope]")

    one = steps.do("first", first, {"size": 1.0})

    def second():
        made.append("second")
        return pd.DataFrame({"kw": one.values * 2})

    return steps.do("second", second, stands_on=["first"])


def test_what_is_finished_is_not_made_again(tmp_path):
    made = []
    whole = twice(kept(tmp_path, resume=False), made)
    steps = kept(tmp_path)
    assert twice(steps, made).equals(whole) and made == ["first", "second"] and steps.resumed == ["first", "second"]
    twice(kept(tmp_path, resume=False), made)
    assert made == ["first", "second"] * 2


def test_what_stands_on_something_else_is_made_again(tmp_path):
    made = []
    twice(kept(tmp_path, resume=False), made)
    steps = kept(tmp_path)
    steps.do("first", lambda: Curve(np.zeros(1), "other"), {"size": 2.0})
    steps.do("second", lambda: made.append("anew"), stands_on=["first"])
    assert made[-1] == "anew" and steps.resumed == []
    with pytest.raises(ConfigError, match="differs in: feeder"):
        kept(tmp_path, feeder="b")


def test_a_damaged_step_is_set_aside_and_made_again(tmp_path):
    made = []
    whole = twice(kept(tmp_path, resume=False), made)
    file = tmp_path / "parts" / "first.zip"
    file.write_bytes(file.read_bytes()[:50])
    assert twice(kept(tmp_path), made).equals(whole) and made == ["first", "second", "first"]
    assert list((tmp_path / "parts" / "damaged").iterdir())


def test_what_was_cut_is_no_step_to_go_on_from(tmp_path):
    found = [
        kept(tmp_path, resume=k > 0).do("a", lambda k=k: {"cut": k < 2}, whole=lambda v: not v["cut"]) for k in range(4)
    ]
    assert [f["cut"] for f in found] == [True, True, False, False]


# -- the commands -----------------------------------------------------------------------------------------------


def compared(a, b):
    words = [sys.executable, str(ROOT / "scripts" / "compare_results.py"), str(a), str(b)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stdout


def said(*words):
    done = CliRunner().invoke(app, [str(w) for w in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def as_killed(whole, folder, parts, *lost):
    """A copy of it as a kill leaves it: these steps not yet there, nor what is written at the end."""
    shutil.copytree(whole, folder)
    for name in lost:
        (folder / parts / f"{name}.zip").unlink()
    for file in ("summary.json", "certify.html", "sweep.html", "sweep.csv"):
        (folder / file).unlink(missing_ok=True)
    return folder


def test_certify_goes_on_where_it_was_killed(tmp_path):
    words = ("certify", CASE, "--robustness", 3, "--margin-time", 0)
    said(*words, "--out", tmp_path / "whole")
    killed = as_killed(
        tmp_path / "whole",
        tmp_path / "killed",
        "certificates/parts",
        "centralized closed loop",
        "centralized other days",
    )
    output = said(*words, "--resume", "--out", killed)
    assert output.count("of an earlier run") == 1
    compared(tmp_path / "whole", killed)


def test_a_year_goes_on_where_it_was_killed(tmp_path):
    opened = open_feeder(load_case(CASE))
    profiles = opened.case.profiles
    axis = TimeAxis(replace(profiles), ())

    def year(folder, resume=False):
        return run_year(opened, axis, folder, resume=resume)

    found = year(tmp_path / "whole")
    killed = as_killed(tmp_path / "whole", tmp_path / "killed", "parts", "year with_pv")
    torn = killed / "bare" / "voltages.parquet"
    torn.write_bytes(torn.read_bytes()[:-20])  # a step whose files are no longer what they were
    again = year(killed, resume=True)
    assert again.capacity.hc_kw == found.capacity.hc_kw
    compared(tmp_path / "whole", killed)


def test_a_sweep_goes_on_where_it_was_killed(tmp_path, monkeypatch):
    """The plans by hand: what is planned is of other tests."""
    made = []

    def planned(case, revenue, options, tell):
        made.append(revenue)
        row = dict.fromkeys(planning_sweep.COLUMNS, 1.0) | {
            "revenue_cny_per_mw": revenue,
            "buses": "18",
            "status": "optimal",
        }
        return f"{revenue}", row

    monkeypatch.setattr(planning_sweep, "_planned", planned)
    words = ("sweep", "ieee33", "--revenue", "2300,4600,9200")
    said(*words, "--out", tmp_path / "whole")
    killed = as_killed(tmp_path / "whole", tmp_path / "killed", "parts", "scheme C at 9%2C200 CNY%2FMW")
    said(*words, "--resume", "--out", killed)
    assert made == [2300.0, 4600.0, 9200.0, 9200.0]
    compared(tmp_path / "whole", killed)
