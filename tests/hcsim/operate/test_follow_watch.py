"""A regulator whose line-drop compensation turns answers round: what *follow* draws to lower a voltage raises a tap."""

from dataclasses import replace

import pytest

from hcsim.cases.case import load_case
from hcsim.operate import follow
from hcsim.operate.days import OperatedDays, drawn, maker_of
from hcsim.operate.settings import OperateSettings
from hcsim.workbench.allocation import Workbench
from optim.hosting.search import solve_hosting

FEEDER = """clear
new circuit.ldc basekv=12.47 pu=1.0 bus1=src r1=1e-3 x1=1e-3 r0=1e-3 x0=1e-3
new transformer.reg phases=3 windings=2 buses=[src r] conns=[wye wye] kvs=[12.47 12.47] kvas=[9000 9000] xhl=0.01
~ %loadloss=0.001
new regcontrol.reg transformer=reg winding=2 vreg=123 band=1 ptratio=60 ctprim=300 r=1 x=24
new line.l bus1=r bus2=m r1=0.3 x1=0.8 r0=0.3 x0=0.8 c1=0 c0=0 length=1
new load.m bus1=m phases=3 kv=12.47 kw=3000 kvar=400 vminpu=0.5 vmaxpu=1.5
set voltagebases=[12.47]
calcvoltagebases
"""
STUDY = """title = "Line drop"
[feeder]
master = "m.dss"
[pv]
buses = ["m"]
max_kw_per_bus = "off"
"""
EVENING, KVAR = slice(17, 23), -1000.0


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The bare feeder holds every limit; a plan that draws 1,000 kvar in the evening has its taps above 1.05 pu."""
    folder = tmp_path_factory.mktemp("ldc")
    (folder / "m.dss").write_text(FEEDER, encoding="utf-8")
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    profiles = load_case("ieee123").folder / "profiles.csv"
    (folder / "profiles.csv").write_text(profiles.read_text(encoding="utf-8"), encoding="utf-8")
    bench = Workbench.open(load_case(folder))
    assert not len(bench.replay(None, "free").violations)
    claim = solve_hosting(bench.problem("none"), "none", bench.solve_options())
    q = claim.pv_q_kvar.copy()
    q[EVENING] = KVAR / len(claim.pv_nodes)
    plan = replace(claim, pv_kw=0.9 * claim.pv_kw, pv_p_kw=0.9 * claim.pv_p_kw, pv_q_kvar=q)
    return OperatedDays(bench, plan, OperateSettings())


def passed(work, policy):
    return work.run(policy, maker_of(policy), drawn(6, 1, 0.10, 24)).share_passed


def test_it_goes_back_and_tries_the_other_way(work, monkeypatch):
    assert passed(work, "schedule") == 0.0
    assert passed(work, "follow") == 1.0
    monkeypatch.setattr(follow, "PATIENCE", 10**6)  # the tangent believed to the end
    assert passed(work, "follow") == 0.0
