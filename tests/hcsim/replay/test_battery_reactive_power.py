"""A battery's reactive power, its converter's circle, and elements of the feeder that a schedule commands instead."""

from dataclasses import replace

import numpy as np
import pytest

from hcsim.feeder.model import FeederModel
from hcsim.feeder.read import read_network
from hcsim.opendss.circuit import Circuit
from hcsim.replay.options import ReplayOptions
from hcsim.replay.run import replay
from optim.data.limits import Limits
from optim.data.profiles import Profiles
from optim.data.schedule import BessUnit, Schedule

FEEDER = """clear
new circuit.q basekv=4.16 bus1=src phases=3 r1=0.001 x1=0.001 r0=0.001 x0=0.001
new linecode.lc nphases=3 rmatrix=[1|0 1|0 0 1] xmatrix=[2|0 2|0 0 2] cmatrix=[0|0 0|0 0 0] units=none normamps=900
new line.l bus1=src.1.2.3 bus2=b.1.2.3 linecode=lc length=0.1 units=none
new load.d bus1=b.1.2.3 phases=3 kv=4.16 kw=300 pf=1 model=1
new loadshape.s npts=24 interval=1 mult=[0 0 0 0 0 0 0 0 0 0 -1 -1 0 0 0 0 0 0 1 1 0 0 0 0]
new storage.own bus1=b.1.2.3 phases=3 kv=4.16 kwrated=60 kwhrated=240 %stored=50 dispmode=follow daily=s %idlingkw=0
set voltagebases=[4.16]
calcvoltagebases
solve
"""
HOURS = tuple(f"{h:02d}:00" for h in range(24))


def model_of(tmp_path):
    (tmp_path / "m.dss").write_text(FEEDER)
    circuit = Circuit.compile(tmp_path / "m.dss")
    profiles = Profiles(HOURS, 1.0, np.ones(24), np.zeros(24))
    return FeederModel(circuit, read_network(circuit)[0], profiles, Limits(v_min_pu=0.9, v_max_pu=1.1))


def schedule(p_kw, q_kvar, kva=30.0, replaces=()):
    """One unit of 60 kW at b, the same on every phase; (24,) kW and kvar of each phase."""
    p = np.repeat(np.asarray(p_kw, dtype=float)[:, None], 3, axis=1)
    unit = BessUnit("mine", "b", 240.0, 60.0, 1.0, 1.0, 0.0, 1.0)
    moved = np.concatenate([[0.0], -np.cumsum(p.sum(axis=1))])
    none = np.zeros((24, 0))
    return Schedule(
        case="q",
        times=HOURS,
        step_h=1.0,
        pv_nodes=(),
        pv_kw=np.zeros(0),
        pv_p_kw=none,
        pv_q_kvar=none,
        bess=(unit,),
        bess_nodes=("b.1", "b.2", "b.3"),
        bess_of=(0, 0, 0),
        p_charge_kw=np.maximum(-p, 0.0),
        p_discharge_kw=np.maximum(p, 0.0),
        soc_kwh=(120.0 + moved)[:, None],
        bess_q_kvar=np.repeat(np.asarray(q_kvar, dtype=float)[:, None], 3, axis=1),
        bess_kva=np.full(3, kva),
        replaces=replaces,
    )


def test_reactive_power_is_delivered_in_every_state(tmp_path):
    """Charging, discharging and at rest; commanded and delivered agree to the power flow's tolerance."""
    hours = np.arange(24)
    p = np.where(hours == 10, -18.0, np.where(hours == 18, 18.0, 0.0))
    q = np.where(hours % 2 == 0, 12.0, -9.0)
    found = replay(model_of(tmp_path), schedule(p, q), ReplayOptions())
    np.testing.assert_allclose(found.devices["q_delivered_kvar"], found.devices["q_commanded_kvar"], atol=1e-5)
    np.testing.assert_allclose(found.devices["p_delivered_kw"], found.devices["p_commanded_kw"], atol=1e-5)
    np.testing.assert_allclose(found.soc["soc_delivered_kwh"], found.soc["soc_commanded_kwh"], atol=1e-6)
    assert "not_delivered" not in set(found.violations["criterion"])


def test_the_circle_binds_and_is_said(tmp_path):
    """18 kW and 18 kvar need 25.5 kVA; a converter of 20 keeps the kvar and cuts the kW to sqrt(400 - 324)."""
    hours = np.arange(24)
    p = np.where(hours == 18, 18.0, np.where(hours == 10, -6.0, 0.0))
    found = replay(model_of(tmp_path), schedule(p, np.where(hours == 18, 18.0, 0.0), kva=20.0), ReplayOptions())
    at = found.devices[found.devices["step"] == 18]
    np.testing.assert_allclose(at["p_delivered_kw"], np.sqrt(400 - 324), atol=1e-4)
    assert "not_delivered" in set(found.violations["criterion"])


def test_a_commanded_element_leaves_and_comes_back(tmp_path):
    """The feeder's own battery would charge at 10 and discharge at 18; replaced by an idle unit the source sees the
    load alone, and the bare feeder afterwards is the bare feeder before, to the bit."""
    model = model_of(tmp_path)
    before = replay(model, None, ReplayOptions())
    idle = schedule(np.zeros(24), np.zeros(24))
    beside = replay(model, idle, ReplayOptions()).operation.substation_kw.sum(axis=1)
    instead = replay(model, replace(idle, replaces=("storage.own",)), ReplayOptions()).operation.substation_kw.sum(
        axis=1
    )
    assert np.ptp(instead) < 1e-6 < np.ptp(beside)
    assert instead[0] == pytest.approx(beside[0], abs=1e-6)
    after = replay(model, None, ReplayOptions())
    np.testing.assert_array_equal(before.operation.v_pu, after.operation.v_pu)
