"""`hcsim bound --method sdp`: what it writes, what it refuses, and that it fits the bare feeder."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hcsim.cli.app import app
from hcsim.errors import ConfigError
from hcsim.workbench.allocation import Workbench
from hcsim.workbench.bounds import no_more_than
from hcsim.workbench.sdp_bounds import at_point, hours_asked, no_more_than_sdp

pytest.importorskip("clarabel")
CASE = Path(__file__).parents[2] / "cases" / "three_bus"


@pytest.fixture(scope="module")
def bench():
    return Workbench.open("ieee123")


def hcsim(*words):
    return CliRunner().invoke(app, [str(w) for w in words], catch_exceptions=False)


def test_ieee123_at_ten(bench):
    """Delta loads, seven regulators, a transformer with a floating side: its solved state fits, and what OpenDSS
    passes at that hour is below the bound. With taps free it is no less."""
    found = {
        taps: no_more_than_sdp(bench, "none", losses_kw=30.0, hours=["10:00"], taps=taps).bound
        for taps in ("any", "bare")
    }
    assert all(b.status == "proven" for b in found.values())
    assert 3400.0 < found["bare"].bound_kw <= found["any"].bound_kw
    assert found["any"].bound_kw <= 1.001 * no_more_than(bench, "none", losses_kw=30.0).bound.bound_kw


def test_a_tap_that_moves_is_a_ratio_behind_the_same_impedance(bench):
    """What free taps rest on: transfer by the ratio, impedance by its square."""
    moved = 0
    for point in bench.bare("free").points[::6]:
        for before, after in zip(bench.network.branches, at_point(bench.network, point).branches, strict=True):
            if before.name in point.admittance_of:
                at = np.unravel_index(int(np.argmax(np.abs(before.transfer))), before.transfer.shape)
                ratio, moved = after.transfer[at] / before.transfer[at], moved + 1
                np.testing.assert_allclose(after.transfer, ratio * before.transfer, atol=1e-12)
                np.testing.assert_allclose(after.z_ohm, ratio**2 * before.z_ohm, rtol=1e-6)
    assert moved


def test_a_ceiling_nobody_can_keep(bench):
    bound = no_more_than_sdp(bench, "none", losses_kw=0.5, hours=["20:00"]).bound
    assert np.isnan(bound.bound_kw) and bound.status.startswith("no bound") and "losses" in bound.status


def test_command_writes_bound_json(tmp_path):
    done = hcsim("bound", CASE, "--method", "sdp", "--hours", "12:00,13:00", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "bound.json").read_text())
    none = content["programs"]["none"]
    assert none["method"] == "sdp" and none["status"] == "proven" and none["hours"] == ["12:00", "13:00"]
    assert {"bound_kw", "losses_ceiling_kw", "seconds", "assumes"} <= set(none)
    assert none["bound_kw"] <= content["programs"]["centralized"]["bound_kw"]


def test_exit_code_where_there_is_none():
    done = hcsim("bound", CASE, "--method", "sdp", "--program", "none", "--losses", "0", "--hours", "19:00")
    assert done.exit_code == 1 and "no bound" in done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "magic"], "balance, sdp"),
        (["--method", "sdp", "--hours", "25:00"], "no hour '25:00'"),
        (["--hours", "10:00"], "no use for --hours"),
        (["--method", "balance", "--taps", "bare"], "no use for --taps"),
    ],
)
def test_bad_input(words, said):
    done = hcsim("bound", CASE, *words)
    assert done.exit_code == 2 and said in " ".join(done.output.split()), done.output


def test_clarabel_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "clarabel", None)
    done = hcsim("bound", CASE, "--method", "sdp")
    assert done.exit_code == 1 and "pip install" in done.output


def test_hours_by_name():
    assert hours_asked(("00:00", "01:00", "02:00"), ["02:00", "00:00"]) == [0, 2]
    with pytest.raises(ConfigError, match="Its hours: 00:00, 01:00"):
        hours_asked(("00:00", "01:00"), ["7"])
