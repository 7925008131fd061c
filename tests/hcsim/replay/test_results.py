"""Replays and baselines as files."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from synthetic_study import study

from hcsim.errors import ConfigError
from hcsim.hosting.result import write_baseline
from hcsim.replay.result import read_replay, write_replay
from optim.data.operation import Operation


@pytest.fixture(scope="module")
def result():
    return study()


def assert_same(a, b):
    for f in fields(a):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if isinstance(x, np.ndarray):
            np.testing.assert_array_equal(x, y, err_msg=f.name)
        elif isinstance(x, pd.DataFrame):
            pd.testing.assert_frame_equal(x, y, check_dtype=False)
        elif isinstance(x, Operation):
            assert_same(x, y)
        else:
            assert x == y, f.name


@pytest.mark.parametrize("case", ["none", "distributed"])
def test_replay_round_trip_is_exact(result, case, tmp_path):
    replay = result.cases[case].replays["free"]
    write_replay(replay, tmp_path)
    assert_same(replay, read_replay(tmp_path))


def test_replay_without_loading_and_with_hours_that_did_not_converge(result, tmp_path):
    good = result.cases["none"].replays["locked"]
    v = good.operation.v_pu.copy()
    v[7] = np.nan
    found = replace(good.operation, v_pu=v, branches=(), loading_pu=None)
    bad = replace(good, operation=found, converged=np.arange(24) != 7, energy_not_delivered_kwh=float("nan"))
    write_replay(bad, tmp_path)
    again = read_replay(tmp_path)
    assert np.isnan(again.energy_not_delivered_kwh) and again.operation.loading_pu is None
    np.testing.assert_array_equal(again.operation.v_pu, v)


def test_replay_tables_are_long_and_speak_of_buses_and_phases(result, tmp_path):
    replay = result.cases["centralized"].replays["locked"]
    write_replay(replay, tmp_path)
    v = pd.read_parquet(tmp_path / "voltages.parquet")
    assert list(v.columns) == ["step", "time", "bus", "phase", "v_pu"]
    one = v[(v["bus"] == "b9") & (v["phase"] == "3") & (v["time"] == "10:00")]
    at = replay.operation.nodes.index("b9.3")
    assert one["v_pu"].item() == replay.operation.v_pu[10, at]


def test_half_a_replay_is_not_read(result, tmp_path):
    write_replay(result.cases["none"].replays["free"], tmp_path)
    (tmp_path / "taps.parquet").unlink()
    with pytest.raises(ConfigError, match=r"taps\.parquet missing"):
        read_replay(tmp_path)


def test_baseline_files_hold_every_probe(result, tmp_path):
    write_baseline(result.baselines["none"], tmp_path)
    facts = json.loads((tmp_path / "baseline.json").read_text())
    assert facts["hc_kw"] == result.baselines["none"].hc_kw and facts["limit"]["criterion"] == "reverse_flow"
    assert list(pd.read_csv(tmp_path / "probes.csv")["pv_kw"]) == [1000.0, 3000.0]
