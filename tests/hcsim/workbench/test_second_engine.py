"""EPRI's engine beside ours: a circuit solved by hand, whole days with devices, and what happens where they part."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hcsim.opendss.series.alone import Alone, AloneTask
from hcsim.workbench import second_engine
from hcsim.workbench.allocation import Workbench
from hcsim.workbench.second_engine import bare_opinion, second_opinion, write_opinion
from optim.data.schedule import BessUnit, Schedule

pytest.importorskip("py_dss_interface")


@pytest.fixture(scope="module")
def bench():
    return Workbench.open("ieee33")


@pytest.fixture(scope="module")
def schedule(bench):
    """PV and a battery that charges at noon and gives back in the evening, with reactive power of both."""
    steps = len(bench.profiles)
    nodes, bess_nodes = ("18.1", "18.2", "18.3"), ("33.1", "33.2", "33.3")
    size_kw = np.array([100.0, 110.0, 120.0])
    charge, discharge = np.zeros((steps, 3)), np.zeros((steps, 3))
    charge[12], discharge[19] = 50.0, 40.0
    unit = BessUnit("b", "33", 600.0, 300.0, 0.9, 0.9, 0.1, 0.9)
    gained = np.zeros(steps)
    gained[12], gained[19] = 0.9 * 150.0, -120.0 / 0.9
    soc_kwh = np.concatenate([[200.0], 200.0 + np.cumsum(gained)])[:, None]
    return Schedule(
        case="by hand",
        times=bench.profiles.times,
        step_h=bench.profiles.step_h,
        pv_nodes=nodes,
        pv_kw=size_kw,
        pv_p_kw=bench.profiles.sun(nodes) * size_kw * 0.9,
        pv_q_kvar=np.full((steps, 3), -12.0),
        bess=(unit,),
        bess_nodes=bess_nodes,
        bess_of=(0, 0, 0),
        p_charge_kw=charge,
        p_discharge_kw=discharge,
        soc_kwh=soc_kwh,
        bess_q_kvar=np.full((steps, 3), 5.0),
    )


def test_epri_solves_two_buses_as_by_hand(tmp_path):
    """V2 = V1 - Z I with a constant impedance load: a voltage divider."""
    master = tmp_path / "m.dss"
    master.write_text(
        "clear\nnew circuit.two bus1=a basekv=1.0 phases=1 pu=1 angle=0 r1=0.0001 x1=0 r0=0.0001 x0=0\n"
        "new line.l bus1=a.1 bus2=b.1 phases=1 r1=1 x1=0 r0=1 x0=0 c1=0 c0=0 length=1\n"
        "new load.d bus1=b.1 phases=1 kv=1.0 kw=100 pf=1 model=2 vminpu=0.1\n"
        "set voltagebases=[1.732]\ncalcv\n"
    )
    task = AloneTask(str(master), (), "daily", 0.0, 3600.0, 2, 1e-9, read=("line.l",), engine="epri")
    found = Alone(task).result()
    r_load = 1000.0**2 / 100e3  # 10 ohm
    at = found.nodes.index("b.1")
    # the source's own 0.0001 ohm is known to 1e-4 of it (phases are split from sequence data)
    assert abs(abs(found.v_v[1, at]) - 1000.0 * r_load / (r_load + 1.0)) < 0.02
    assert abs(abs(found.current_a[1, 0]) - 1000.0 / (r_load + 1.0)) < 0.01


def test_epri_says_what_it_refuses(tmp_path):
    task = AloneTask(str(tmp_path / "nowhere.dss"), (), "daily", 0.0, 3600.0, 1, 1e-9, engine="epri")
    with pytest.raises(second_engine.FeederError, match="nowhere"):
        Alone(task).result()


@pytest.mark.parametrize("controls", ["locked", "free"])
def test_a_schedule_is_the_same_in_both(bench, schedule, controls):
    base = bench.replay(None, controls)
    first = bench.replay(schedule, controls, base=base)
    found = second_opinion(bench.model, bench.case, schedule, first, base)
    assert found.agree and found.verdict_first == found.verdict_second
    assert found.dv_max_pu < 1e-9
    assert found.engine.startswith("Version 10")
    assert len(found.differences) == np.isfinite(first.operation.v_pu).sum()


def test_controls_act_in_both(tmp_path):
    """The bare day of IEEE 123, seven regulators free."""
    found = bare_opinion(Workbench.open("ieee123"))
    assert found.agree and found.dv_max_pu < 1e-9


def test_devices_stand_in_the_second_one(bench, schedule):
    """Against the bare feeder's replay, the second engine must see what the devices do."""
    bare = bench.replay(None, "free")
    lie = replace(bench.replay(schedule, "free"), operation=bare.operation)
    found = second_opinion(bench.model, bench.case, schedule, lie, bare)
    assert found.agree is False and "voltages differ" in found.reason and found.bus in {"18", "33"}


def test_a_verdict_of_its_own(bench, schedule):
    """PV large enough for a violation, told to be none by the first."""
    large = replace(schedule, pv_kw=schedule.pv_kw * 20, pv_p_kw=schedule.pv_p_kw * 20, pv_q_kvar=schedule.pv_q_kvar)
    bare = bench.replay(None, "free")
    first = bench.replay(large, "free", base=bare)
    assert not first.passed
    lie = replace(first, violations=first.violations.iloc[:0])
    found = second_opinion(bench.model, bench.case, large, lie, bare)
    assert (found.verdict_first, found.verdict_second, found.agree) == ("holds", "refuted", False)


def test_without_it_the_first_stands_alone(bench, monkeypatch):
    monkeypatch.setattr(second_engine, "installed", lambda name: False)
    found = bare_opinion(bench)
    assert found.agree is None and "hcsim[epri]" in found.words and "first one's alone" in found.words


def test_files(bench, tmp_path):
    found = bare_opinion(bench)
    names = [p.name for p in write_opinion(found, tmp_path)]
    assert names == ["engines.json", "engines.csv"]
    table = pd.read_csv(tmp_path / "engines.csv", dtype={"bus": str, "phase": str})
    assert list(table.columns) == ["step", "time", "bus", "phase", "v_first_pu", "v_second_pu", "dv_pu"]
    assert np.allclose((table.v_first_pu - table.v_second_pu).abs(), table.dv_pu, atol=1e-12)  # text has 17 digits
    assert Path(tmp_path / "engines.json").read_text().count('"agree": true') == 1
