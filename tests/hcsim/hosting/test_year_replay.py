"""A recorded year against the replay's own reading, and what becomes of it when something fails."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from hcsim.cases.case import load_case
from hcsim.errors import ConfigError, OutputError
from hcsim.feeder.model import FeederModel
from hcsim.feeder.read import read_network
from hcsim.hosting import year_recorder as year_replay
from hcsim.hosting.year_recorder import record_year
from hcsim.opendss.circuit import Circuit
from hcsim.replay.options import ReplayOptions
from hcsim.replay.run import replay
from hcsim.schedules.repeat import batteries_on
from optim.data.limits import Limits
from optim.data.profiles import Profiles
from optim.data.schedule import BessUnit, Schedule

pytestmark = pytest.mark.smoke

LIMITS = Limits(v_max_pu=1.04)
PV = {"83.1": 120.0, "83.2": 80.0, "114.1": 60.0}


@pytest.fixture(scope="module")
def bench():
    case = load_case("ieee123")
    circuit = Circuit.compile(case.master)
    circuit.solve(controls=False)
    day = case.profiles
    two = Profiles(
        tuple(f"{d} {t}" for d in "ab" for t in day.times), 1.0, np.tile(day.load_pu, 2), np.tile(day.pv_pu, 2)
    )
    return circuit, read_network(circuit)[0], two


def only_pv(profiles):
    size = np.array(list(PV.values()))
    none = np.zeros((len(profiles), 0))
    return Schedule(
        case="pv",
        times=profiles.times,
        step_h=1.0,
        pv_nodes=tuple(PV),
        pv_kw=size,
        pv_p_kw=profiles.pv_pu[:, None] * size,
        pv_q_kvar=np.zeros((len(profiles), 3)),
        bess=(),
        bess_nodes=(),
        bess_of=(),
        p_charge_kw=none,
        p_discharge_kw=none,
        soc_kwh=np.zeros((len(profiles) + 1, 0)),
    )


@pytest.mark.parametrize("pv", [None, PV])
@pytest.mark.parametrize("controls", ["free", "locked"])
def test_every_value_is_the_replays(bench, tmp_path, monkeypatch, pv, controls):
    circuit, network, profiles = bench
    monkeypatch.setattr(year_replay, "BUFFER", 7)
    found = record_year(FeederModel(circuit, network, profiles, LIMITS), tmp_path, pv_kw=pv, controls=controls)
    plan = only_pv(profiles) if pv else None
    by_replay = replay(FeederModel(circuit, network, profiles, LIMITS), plan, ReplayOptions(controls))
    voltages = pd.read_parquet(tmp_path / "voltages.parquet")
    assert voltages["time"].tolist() == list(profiles.times)
    judged = [n for n in network.nodes if network.v_judged[network.node_index[n]]]
    expected = by_replay.operation.v_pu[:, network.v_judged]
    assert list(voltages.columns) == ["step", "time", *judged]
    assert voltages[judged].to_numpy() == pytest.approx(expected, abs=1e-6)  # written as float32
    loading = pd.read_parquet(tmp_path / "loading.parquet").iloc[:, 2:]
    names = list(by_replay.operation.branches)
    columns = [names.index(n) for n in loading.columns]
    assert loading.to_numpy() == pytest.approx(by_replay.operation.loading_pu[:, columns], abs=1e-6)
    feeder = pd.read_parquet(tmp_path / "feeder.parquet")
    assert feeder["losses_kw"].to_numpy() == pytest.approx(by_replay.losses_kw, rel=1e-5)
    assert found.substation_kw == pytest.approx(by_replay.operation.substation_kw.sum(axis=1), rel=1e-6)
    above = (expected > 1.04 + LIMITS.v_tolerance_pu).sum(axis=0)
    assert found.hours_above == {n: float(h) for n, h in zip(judged, above, strict=True) if h}
    assert found.v_highest_pu == pytest.approx(expected.max(axis=1))
    assert found.v_worst_node_pu.max() == pytest.approx(expected.max(), abs=1e-6)
    taps = feeder[[f"tap {r}" for r in by_replay.regulators]].to_numpy()
    assert (taps == by_replay.tap).all()


def battery(times, last_kwh=100.0):
    """A day: 300 kW at the grid for two hours in, back out in the evening; 0.9 each way."""
    unit = BessUnit("u1", "76", 1000.0, 600.0, 0.9, 0.9, 0.1, 1.0)
    charge, discharge = np.zeros((24, 3)), np.zeros((24, 3))
    charge[[11, 12]], discharge[[19, 20]] = 100.0, 81.0
    stored = 100.0 + np.cumsum(np.concatenate([[0.0], (0.9 * charge - discharge / 0.9).sum(axis=1)]))
    stored[-1] = last_kwh
    none = np.zeros((24, 0))
    return Schedule(
        case="b",
        times=times,
        step_h=1.0,
        pv_nodes=(),
        pv_kw=np.zeros(0),
        pv_p_kw=none,
        pv_q_kvar=none,
        bess=(unit,),
        bess_nodes=("76.1", "76.2", "76.3"),
        bess_of=(0, 0, 0),
        p_charge_kw=charge,
        p_discharge_kw=discharge,
        soc_kwh=stored[:, None],
    )


def test_batteries_of_a_day_repeat_it(bench, tmp_path):
    """Energy by hand; the rest as in a replay of the schedule written out for both days."""
    circuit, network, profiles = bench
    beside = batteries_on(battery(profiles.times[:24]), profiles)
    found = record_year(FeederModel(circuit, network, profiles, LIMITS), tmp_path, bess=beside)
    by_replay = replay(FeederModel(circuit, network, profiles, LIMITS), beside, ReplayOptions("free"))
    assert found.substation_kw == pytest.approx(by_replay.operation.substation_kw.sum(axis=1), rel=1e-6)
    stored = pd.read_parquet(tmp_path / "feeder.parquet")["soc_kwh u1"].to_numpy().reshape(2, 24)
    by_hand = np.array([100.0] * 11 + [370.0] + [640.0] * 7 + [370.0] + [100.0] * 4)
    assert stored == pytest.approx(np.tile(by_hand, (2, 1)), abs=0.1)  # OpenDSS integrates powers met to 1e-4


def test_a_day_that_does_not_close_cannot_be_repeated(bench):
    profiles = bench[2]
    with pytest.raises(ConfigError, match="does not end its day"):
        batteries_on(battery(profiles.times[:24], last_kwh=300.0), profiles)


def test_memory_does_not_grow_with_the_year(bench, tmp_path, monkeypatch):
    circuit, network, profiles = bench
    monkeypatch.setattr(year_replay, "BUFFER", 10)
    record_year(FeederModel(circuit, network, profiles, LIMITS), tmp_path)
    assert pq.ParquetFile(tmp_path / "voltages.parquet").num_row_groups == 5


def test_an_hour_that_fails_is_named_and_empty(bench, tmp_path):
    circuit, network, profiles = bench
    load = profiles.load_pu.copy()
    load[5] = 9.0
    found = record_year(FeederModel(circuit, network, replace(profiles, load_pu=load), LIMITS), tmp_path)
    assert list(found.failures) == [profiles.times[5]]
    values = pd.read_parquet(tmp_path / "voltages.parquet").iloc[:, 2:].to_numpy()
    assert np.isnan(values[5]).all() and np.isfinite(values[np.arange(48) != 5]).all()


def test_a_full_disk_leaves_no_half_file(bench, tmp_path, monkeypatch):
    circuit, network, profiles = bench
    monkeypatch.setattr(year_replay, "BUFFER", 10)
    written = []

    def full(self, table):
        written.append(table)
        if len(written) > 4:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(OutputError, match="No space left"):
        record_year(FeederModel(circuit, network, profiles, LIMITS), tmp_path)
    assert not list(tmp_path.iterdir())
