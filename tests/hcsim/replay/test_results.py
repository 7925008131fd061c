"""Replays and baselines as files."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_study import study

from hcsim.errors import ConfigError
from hcsim.hosting.result import write_baseline
from hcsim.replay.operation_files import operation_facts, operation_from, operation_tables
from hcsim.replay.options import ReplayOptions
from hcsim.replay.result import read_replay, write_replay
from hcsim.replay.run import replay
from hcsim.util.files import to_plain_json
from hcsim.workbench.allocation import Workbench
from optim.data.criteria import Before
from optim.data.limits import VoltageBand
from optim.data.operation import Operation
from optim.data.schedule import Schedule
from optim.data.violations import violations


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
        elif f.name == "resting":
            assert len(x) == len(y)
            for one, other in zip(x, y, strict=True):
                assert_same(one, other)
        else:
            assert x == y, f.name


@pytest.mark.parametrize("case", ["none", "distributed"])
def test_replay_round_trip_is_exact(result, case, tmp_path):
    replay = result.cases[case].replays["free"]
    write_replay(replay, tmp_path)
    assert_same(replay, read_replay(tmp_path))


@pytest.fixture(scope="module")
def with_everything():
    """IEEE 123 with every criterion judged that a replay knows: the bare feeder's day with the two in which its
    regulators rest elsewhere, and a day with PV that breaks some limits."""
    bench = Workbench.open("ieee123")
    limits = replace(
        bench.limits,
        loading_max_pu=0.9,
        unbalance_max_pct=0.5,
        regulator_min_kw=0.0,
        tap_operations_max=1.0,
        bands=(VoltageBand(1.0, 10.0, 0.96, 1.03),),
    )
    model = replace(bench.model, limits=limits)
    bare = replay(model, None, ReplayOptions("free"))
    nodes = bench.pv_nodes
    pv = np.full(len(nodes), 120.0)
    steps = len(bench.profiles)
    schedule = Schedule(
        case="mine",
        times=bench.profiles.times,
        step_h=bench.profiles.step_h,
        pv_nodes=nodes,
        pv_kw=pv,
        pv_p_kw=np.outer(bench.profiles.pv_pu, pv),
        pv_q_kvar=np.zeros((steps, len(nodes))),
        bess=(),
        bess_nodes=(),
        bess_of=(),
        p_charge_kw=np.empty((steps, 0)),
        p_discharge_kw=np.empty((steps, 0)),
        soc_kwh=np.empty((steps + 1, 0)),
    )
    return bare, replay(model, schedule, ReplayOptions("free", before=bare.before))


def test_all_that_decides_a_verdict_comes_back(with_everything, tmp_path):
    bare, found = with_everything
    assert len(bare.resting) == 2 and found.operation.tap_steps is not None
    assert found.operation.regulator_kw.size and found.operation.unbalance_pct.size
    for name, result in (("bare", bare), ("found", found)):
        write_replay(result, tmp_path / name)
        assert_same(result, read_replay(tmp_path / name))


def test_a_verdict_can_be_found_again_from_the_files(with_everything, tmp_path):
    """The limits' own criteria, judged anew from what the files hold, are the table of violations."""
    for name, result in zip(("bare", "found"), with_everything, strict=True):
        write_replay(result, tmp_path / name)
    bare, found = read_replay(tmp_path / "bare"), read_replay(tmp_path / "found")
    again = violations(found.operation, found.limits, bare.before)
    assert {"overvoltage", "voltage_unbalance", "regulator_reverse_flow", "tap_operations"} <= set(again["criterion"])
    own = found.violations[~found.violations["criterion"].isin(("convergence", "not_delivered", "stored_energy"))]
    pd.testing.assert_frame_equal(again, own.reset_index(drop=True), check_dtype=False)
    alone = violations(found.operation, found.limits, Before((bare.operation,)))
    assert not alone["existing"].equals(again["existing"]), "the resting range decides some of them"


def test_the_resting_days_of_an_earlier_replay_do_not_stay(with_everything, tmp_path):
    bare, found = with_everything
    write_replay(bare, tmp_path)
    write_replay(found, tmp_path)
    assert not (tmp_path / "resting").exists() and read_replay(tmp_path).resting == ()


names = st.lists(st.text("abc12", min_size=1, max_size=4), max_size=3, unique=True)
values = st.floats(allow_nan=True, allow_infinity=False, width=64)


@st.composite
def operations(draw):
    """Any operation: names with and without phases, quantities recorded or not, hours without an answer."""
    steps = draw(st.integers(1, 3))

    def wide(width):
        flat = draw(st.lists(values, min_size=steps * width, max_size=steps * width))
        return np.array(flat, dtype=float).reshape(steps, width)

    def recorded(width):
        return wide(width) if draw(st.booleans()) else None

    def phased(some):
        return tuple(f"{name}.{draw(st.sampled_from(['1', '2', '3', '']))}" for name in some)

    nodes, source = phased(draw(names)), tuple(draw(names))
    branches, regulators = phased(draw(names)), phased(draw(names))
    buses, controls = tuple(draw(names)), tuple(draw(names))
    return Operation(
        times=tuple(f"{t:02d}:00" for t in range(steps)),
        nodes=nodes,
        v_pu=wide(len(nodes)),
        substation_phases=source,
        substation_kw=wide(len(source)),
        branches=branches,
        loading_pu=recorded(len(branches)),
        v_deviation_pu=recorded(len(nodes)),
        unbalance_buses=buses,
        unbalance_pct=recorded(len(buses)),
        regulator_phases=regulators,
        regulator_kw=recorded(len(regulators)),
        regulator_controls=controls,
        tap_steps=recorded(len(controls)),
        kv_base=wide(len(nodes))[0] if draw(st.booleans()) else None,
    )


@given(operations())
def test_any_operation_comes_back_from_its_tables(found):
    facts = json.loads(json.dumps(to_plain_json(operation_facts(found)), allow_nan=False))
    assert_same(found, operation_from(facts, operation_tables(found)))


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
