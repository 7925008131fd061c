"""The balance bound of a case: above what OpenDSS passes, below what is plainly too much."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hcsim.workbench.allocation import Workbench
from hcsim.workbench.bounds import no_more_than


@pytest.fixture(scope="module")
def bench():
    return Workbench.open("ieee123")


def test_plain_simulation_is_never_above_it(bench):
    """OpenDSS's own hosting capacity, with its losses as part of the ceiling."""
    found = bench.baseline("uniform")
    bound = no_more_than(bench, "none")
    assert found.hc_kw <= bound.bound.bound_kw


def test_by_the_bare_feeders_own_balance(bench):
    """At nominal voltage range the poorest hour is close to load and losses over sun, by OpenDSS's own totals: no more
    than 6 % above, which is what loads can draw more at the upper limit."""
    bare = bench.bare("free").found
    with np.errstate(divide="ignore"):
        plain = np.min((bare.load_kw + bare.losses_kw) / bench.profiles.pv_pu)
    bound = no_more_than(bench, "none").bound.bound_kw
    assert plain <= bound <= 1.06 * plain


def test_loads_that_stay_are_counted_as_they_stay(tmp_path):
    """With status=fixed a load follows no profile: what loads can draw is no less than what the bare feeder's do."""
    case = tmp_path / "case"
    shutil.copytree(Path(__file__).parents[2] / "cases" / "three_bus", case)
    master = case / "Master.dss"
    fixed = "\nload.a.status=fixed\nset voltagebases="
    master.write_text(master.read_text().replace("\nset voltagebases=", fixed))
    bench = Workbench.open(case)
    bare, bound = bench.bare("free").found, no_more_than(bench, "none").bound
    noon = int(np.argmax(bench.profiles.pv_pu))
    assert bare.load_kw[noon] > 600.0
    assert bound.bound_kw >= (bare.load_kw[noon] + bare.losses_kw[noon]) / bench.profiles.pv_pu[noon] - 1e-3


def test_batteries_raise_it_and_one_status_less(bench):
    none, one, many = (no_more_than(bench, p).bound.bound_kw for p in ("none", "centralized", "distributed"))
    assert none < one <= many + 1e-6


def test_command_writes_bound_json(tmp_path):
    call = [
        sys.executable,
        "-m",
        "hcsim",
        "bound",
        "ieee123",
        "--program",
        "none",
        "--losses",
        "30",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "bound.json").read_text())
    assert content["status"] == "proven" and content["losses_ceiling_kw"] == 30.0 and content["hours"]


def test_nothing_certified_is_above_its_bound(tmp_path):
    """A whole study of a small feeder: OpenDSS has passed what is certified, and the bound is arithmetic on loads."""
    from hcsim import Study

    case = Path(__file__).parents[2] / "cases" / "three_bus"
    Study.load(case).run(tmp_path, programs=("none", "centralized"), robustness_draws=0)
    cases = json.loads((tmp_path / "summary.json").read_text())["cases"]
    for found in cases.values():
        assert found["method"] == "balance" and found["losses_ceiling_kw"] > 0
        assert found["certified_kw"] <= found["no_more_than_kw"]
