"""The commands as a user types them, on a small part of the work."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from guards import HANG_S

from hcsim.cases.config.limits import LimitsSection, SimulationSection
from hcsim.cases.screening_limits import simulation_limits
from hcsim.cli.simulation import _steps
from hcsim.errors import ConfigError
from optim.data.criteria import CRITERIA
from optim.data.limits import Limits

ROOT = Path(__file__).parents[3]
NODAL = ["bus", "phases", "criterion", "hc_kw", "binding_element", "binding_phase", "binding_hour", "status"]
STOCHASTIC = ["deployment", "penetration_pct", "pv_kw", "criterion", "violated", "element", "phase", "hour"]


def hcsim(*words):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-m", "hcsim", *map(str, words)],
        env=environment,
        text=True,
        capture_output=True,
        timeout=HANG_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_nodal_leaves_what_it_promises(tmp_path):
    code, words = hcsim(
        "nodal",
        "ieee123",
        "--load",
        "--processes",
        "1",
        "--out",
        tmp_path,
        "--bus",
        "83",
        "--bus",
        "610",
        "--bus",
        "94_open",
    )
    assert code == 0, words
    for name in ("nodal", "nodal_load"):
        table = pd.read_parquet(tmp_path / f"{name}.parquet")
        assert list(table.columns)[:8] == NODAL
        assert len(table) == 3 * len([c for c in CRITERIA if c.name != "protection"])  # a blown fuse is no answer there
        assert table.groupby("bus")["smallest"].sum().to_dict() == {"83": 1, "610": 1, "94_open": 1}
        assert (tmp_path / f"{name}.csv").is_file()
    assert not list(tmp_path.glob("*.geojson"))  # nobody has said what the feeder's coordinates are
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["scenarios"]["generation"]["power_flows"] > 50
    assert any("rating" in note for note in summary["notes"])
    page = (tmp_path / "nodal.html").read_text()
    assert "data:image/svg+xml" in page and 'src="http' not in page and "http://" not in page


def test_a_bus_that_is_not_there_names_the_nearest(tmp_path):
    code, words = hcsim("nodal", "ieee123", "--out", tmp_path, "--bus", "83x")
    assert code == 2 and "Nearest: 83" in words


def test_stochastic_leaves_what_it_promises_and_names_what_the_roofs_cannot_hold(tmp_path):
    code, words = hcsim(
        "stochastic",
        "ieee123",
        "--deployments",
        "3",
        "--steps",
        "20,90",
        "--size-per-load",
        "0.5",
        "--processes",
        "1",
        "--out",
        tmp_path,
    )
    assert code == 0, words
    table = pd.read_parquet(tmp_path / "stochastic.parquet")
    assert list(table.columns) == STOCHASTIC
    assert set(table["penetration_pct"]) == {20.0} and len(table) == 3 * len(
        CRITERIA
    )  # any, and all but protection, which ends a step
    assert "90 %" in words and "the roofs together hold less" in words
    assert json.loads((tmp_path / "summary.json").read_text())["hc_kw"].keys() == {"p5", "p50", "p95"}
    page = (tmp_path / "stochastic.html").read_text()
    assert "hc kw, p50" in page and "at most 0.03 pu" in page and "random deployments" in page


def test_more_penetration_than_converges_is_a_row_of_its_own(tmp_path):
    code, words = hcsim(
        "stochastic",
        "ieee123",
        "--deployments",
        "1",
        "--steps",
        "50,5000",
        "--size-per-load",
        "60",
        "--processes",
        "1",
        "--out",
        tmp_path,
    )
    assert code == 0, words
    table = pd.read_parquet(tmp_path / "stochastic.parquet")
    lost = table[table["criterion"] == "convergence"].set_index("penetration_pct")["violated"]
    assert not lost[50.0] and lost[5000.0]


@pytest.mark.parametrize("steps", ["0:100:10", "30,20", "x", "10:5:1", "10:20:0"])
def test_steps_that_mean_nothing(steps):
    with pytest.raises(ConfigError, match="--steps"):
        _steps(steps)


def test_steps():
    assert _steps("10:30:10") == (10.0, 20.0, 30.0) and _steps("25,50") == (25.0, 50.0)


def test_a_bare_hour_that_cannot_be_solved_is_said_and_left_out(tmp_path):
    """One absurd hour in the case's profile: the other hours are judged."""
    shutil.copytree(ROOT / "dss_models" / "ieee123", tmp_path / "case")
    profile = tmp_path / "case" / "profiles.csv"
    lines = profile.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(("12,", "12.0,")))
    lines[at] = "12,9.5," + lines[at].split(",")[2]
    profile.write_text("\n".join(lines) + "\n")
    code, words = hcsim("nodal", tmp_path / "case", "--processes", "1", "--out", tmp_path / "out", "--bus", "83")
    assert code == 1 and "Missing: hour 12:00" in words, words
    table = pd.read_parquet(tmp_path / "out" / "nodal.parquet")
    assert (table["binding_hour"] != "12:00").all() and table["hc_kw"].notna().all()


def test_a_bus_without_a_live_phase_is_named_and_the_rest_judged(tmp_path):
    shutil.copytree(ROOT / "dss_models" / "ieee123", tmp_path / "case")
    with (tmp_path / "case" / "Switches.dss").open("a") as switches:
        switches.write("\nOpen Line.Sw3 1\n")  # 135 and all behind it
    code, words = hcsim(
        "nodal", tmp_path / "case", "--processes", "1", "--out", tmp_path / "out", "--bus", "83", "--bus", "35"
    )
    assert code == 0 and "no phase there is live: 35" in words, words
    table = pd.read_parquet(tmp_path / "out" / "nodal.parquet").set_index("bus")
    assert table.loc["35", "hc_kw"].isna().all() and table.loc["83", "hc_kw"].notna().all()
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["buses_without_phases"] == ["35"]


def test_limits_of_a_study_and_of_the_command_line():
    limits = simulation_limits(LimitsSection(v_max_pu=1.04, existing="forgive"), ["loading=off", "tap_operations=2"])
    assert (limits.v_max_pu, limits.v_min_pu, limits.loading_max_pu, limits.tap_operations_max) == (1.04, 0.95, None, 2)
    assert limits.v_deviation_max_pu == 0.03 and limits.unbalance_max_pct == 3.0
    spelled_out = LimitsSection(loading_max_pu="off", v_deviation_max_pu="off", unbalance_max_pct=2.0)  # as `init` does
    limits = simulation_limits(spelled_out, [], SimulationSection(tap_operations_max="off"))
    assert (limits.loading_max_pu, limits.v_deviation_max_pu, limits.unbalance_max_pct) == (1.0, 0.03, 2.0)
    assert limits.tap_operations_max is None and limits.regulator_min_kw == 0.0
    assert simulation_limits(LimitsSection()) == Limits.screening()
    for option, words in (("loadin=1", "loading"), ("loading=much", "neither a number"), ("overvoltage=0.9", "below")):
        with pytest.raises(ConfigError) as fault:
            simulation_limits(LimitsSection(), [option])
        assert words in f"{fault.value.message} {fault.value.remedy}"
