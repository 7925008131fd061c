"""Which controls are free: a held one stays where the feeder was read, and the feeder behaves as if it had none."""

import json
from pathlib import Path

import numpy as np
import pytest
from guards import NEVER_S
from typer.testing import CliRunner

from hcsim.cases.case import load_case
from hcsim.certify.certificate import write_certificate
from hcsim.certify.loop import certify
from hcsim.certify.options import LoopOptions
from hcsim.cli.app import app
from hcsim.devices.held_controls import select
from hcsim.errors import ConfigError
from hcsim.hosting.open_feeder import open_feeder
from hcsim.schedules.files import write_schedule
from hcsim.workbench.allocation import Workbench
from optim.hosting.search import solve_hosting

FEEDER = """
clear
new circuit.three_controls basekv=12.47 pu=1.0 bus1=src r1=1e-6 x1=1e-6 r0=1e-6 x0=1e-6
new line.l1 bus1=src bus2=m r1=1 x1=2 r0=1 x0=2 c1=0 c0=0 length=1 normamps=300
new transformer.one phases=3 windings=2 buses=[m b1] conns=[wye wye] kvs=[12.47 12.47] kvas=[20000 20000] xhl=0.001
new line.l2 bus1=b1 bus2=m2 r1=1 x1=2 r0=1 x0=2 c1=0 c0=0 length=1 normamps=300
new transformer.two phases=3 windings=2 buses=[m2 b2] conns=[wye wye] kvs=[12.47 12.47] kvas=[20000 20000] xhl=0.001
new load.ld1 bus1=b1 phases=3 conn=wye kv=12.47 kw=2000 kvar=900 vminpu=0.5 vmaxpu=1.5
new load.ld2 bus1=b2 phases=3 conn=wye kv=12.47 kw=2000 kvar=900 vminpu=0.5 vmaxpu=1.5
new capacitor.bank bus1=b2 phases=3 kv=12.47 kvar=600
{controls}
set voltagebases=[12.47]
calcvoltagebases
"""
ONE = "new regcontrol.creg1 transformer=one winding=2 vreg=120 band=2 ptratio=60 delay=15"
TWO = "new regcontrol.creg2 transformer=two winding=2 vreg=121 band=2 ptratio=60 delay=30"
CAP = "new capcontrol.ccap capacitor=bank element=line.l2 terminal=1 type=kvar onsetting=500 offsetting=-300 delay=45"
STUDY = """
[feeder]
master = "feeder.dss"
[limits]
v_min_pu = 0.9
substation_min_kw = "off"
[program]
linearization = "tangent"
taps = "each_hour"
[pv]
buses = ["b2"]
[controls]
{controls}
"""


def folder_of(folder: Path, controls: str = "", elements: str = "\n".join((ONE, TWO, CAP))) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "feeder.dss").write_text(FEEDER.format(controls=elements))
    (folder / "study.toml").write_text(STUDY.format(controls=controls))
    loads = (1.0, 0.3, 0.1, 0.6, 1.2, 0.9)
    rows = [f"{4 * h},{load},{pv}" for h, (load, pv) in enumerate(zip(loads, (0, 0.5, 1, 0.5, 0, 0), strict=True))]
    (folder / "profiles.csv").write_text("hour,load_pu,pv_pu\n" + "\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def all_free(tmp_path_factory):
    return Workbench.open(folder_of(tmp_path_factory.mktemp("controls") / "free"))


def tap(found, name: str) -> list[int]:
    return found.tap[:, found.regulators.index(name)].tolist()


def test_held_regulator_keeps_its_tap_and_the_free_one_moves(all_free, tmp_path):
    held = Workbench.open(folder_of(tmp_path / "held", 'locked = ["creg1"]'))
    read = held.circuit.taps()["creg1"]
    found, free = held.replay(None, "free"), all_free.replay(None, "free")
    assert tap(found, "creg1") == [read] * 6
    assert len(set(tap(free, "creg1"))) > 1 and len(set(tap(found, "creg2"))) > 1
    assert "RegControl.creg1" in " ".join(found.notes) and not free.notes
    # another road: the same feeder without that control, its winding where the control had left it
    fixed = f"{TWO}\n{CAP}\ntransformer.two.wdg=2 tap={1 + 0.00625 * held.circuit.taps()['creg2']}\n"
    fixed += f"transformer.one.wdg=2 tap={1 + 0.00625 * read}"
    without = Workbench.open(folder_of(tmp_path / "without", "", fixed))
    assert without.circuit.taps() == {"creg2": held.circuit.taps()["creg2"]}
    again = without.replay(None, "free")
    assert tap(again, "creg2") == tap(found, "creg2")
    assert again.operation.v_pu == pytest.approx(found.operation.v_pu, abs=1e-9)  # the same power flows


def test_held_capacitor_control_leaves_its_bank(all_free, tmp_path):
    held = Workbench.open(folder_of(tmp_path / "bank", 'free = ["regcontrol"]'))
    assert held.selection.held == ("CapControl.ccap",)
    with_bank, without = held.replay(None, "free"), all_free.replay(None, "free")
    q_held, q_free = with_bank.substation_kvar.sum(axis=1), without.substation_kvar.sum(axis=1)
    assert np.abs(q_held - q_free).max() > 300.0, "the bank of 600 kvar goes off where it is free"


def test_none_is_the_same_as_locked(tmp_path):
    none = Workbench.open(folder_of(tmp_path / "none", 'free = "none"'))
    assert none.replay(None, "free").operation.v_pu == pytest.approx(none.replay(None, "locked").operation.v_pu)
    assert "no control is free" in none.selection.words.lower()


@pytest.mark.parametrize(
    ("free", "locked", "held"),
    [
        ("all", (), ()),
        ("none", (), ("RegControl.creg1", "RegControl.creg2", "CapControl.ccap")),
        (("creg*",), (), ("CapControl.ccap",)),
        (("RegControl.CREG1", "capcontrol"), (), ("RegControl.creg2",)),
        ("all", ("*.creg2", "ccap"), ("RegControl.creg2", "CapControl.ccap")),
        (("regcontrol.*",), ("creg1",), ("RegControl.creg1", "CapControl.ccap")),
    ],
)
def test_patterns(all_free, free, locked, held):
    chosen = select(all_free.circuit, free, locked, "here")
    assert chosen.held == held and set(chosen.free) | set(held) == {
        "RegControl.creg1",
        "RegControl.creg2",
        "CapControl.ccap",
    }


@pytest.mark.parametrize(
    ("controls", "says"),
    [
        ('locked = ["creg3"]', r"locked: no control of three_controls matches 'creg3'.*Nearest: creg"),
        ('free = ["RegControl.creg9"]', r"free: .*'regcontrol.creg9'.*Nearest: RegControl.creg"),
        ('free = ["InvControl.*"]', r"has no invcontrol, but RegControl, CapControl"),
        ('free = "some"', "free"),
    ],
)
def test_names_that_are_not_there(tmp_path, controls, says):
    with pytest.raises(ConfigError, match=f"(?s){says}"):
        Workbench.open(folder_of(tmp_path / "bad", controls))


def test_feeder_without_controls_says_so(tmp_path):
    with pytest.raises(ConfigError, match="no controls at all"):
        Workbench.open(folder_of(tmp_path / "bare", 'locked = ["creg1"]', ""))
    assert Workbench.open(folder_of(tmp_path / "fine", 'free = "none"', "")).selection.held == ()


def test_simulation_studies_hold_them_in_every_worker(tmp_path):
    opened = open_feeder(load_case(folder_of(tmp_path / "sim", 'locked = ["creg1"]')))
    circuit, _ = opened.feeder.open()
    assert circuit.held == ("RegControl.creg1",) and "RegControl.creg1" in " ".join(opened.notes)


def test_certificate_and_commands_name_them(tmp_path):
    bench = Workbench.open(folder_of(tmp_path / "loop"), locked=("creg1",))
    claim = solve_hosting(bench.problem("none"), "none", bench.solve_options())
    found = certify(bench, claim, LoopOptions(time_limit_s=NEVER_S, max_rounds=3, bound=False))
    read = bench.circuit.taps()["creg1"]
    assert set(tap(found.replay, "creg1")) == {read}
    write_certificate(found, tmp_path / "out")
    facts = json.loads((tmp_path / "out/certificates/none/certificate.json").read_text())
    assert facts["controls"]["held"] == ["RegControl.creg1"]
    write_schedule(found.schedule, tmp_path / "plan")
    words = ["replay", str(bench.case.folder), str(tmp_path / "plan"), "--controls", "free", "--lock", "creg1"]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0 and "Held where the feeder was read" in said.output and "holds" in said.output
