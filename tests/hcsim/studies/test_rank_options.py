"""What changes are worth: against the same change typed into the feeder's file, and against plain bisection."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hcsim.cases.case import load_case
from hcsim.cli.app import app
from hcsim.errors import ConfigError, FeederError
from hcsim.opendss.circuit import Circuit
from hcsim.results.options import cost_of, read_costs
from hcsim.schedules.files import read_schedule
from hcsim.studies.options import rank_options
from hcsim.workbench.allocation import Workbench

FEEDER = """clear
new circuit.end basekv=12.47 pu=1.0 bus1=src r1=1e-4 x1=1e-4 r0=1e-4 x0=1e-4
new transformer.reg phases=3 windings=2 buses=[src r] conns=[wye wye] kvs=[12.47 12.47] kvas=[9000 9000] xhl=0.01
~ %loadloss=0.001
new regcontrol.reg transformer=reg winding=2 vreg={vreg} band=1 ptratio=60 ctprim=300
new line.near bus1=r bus2=m r1=0.5 x1=0.02 r0=0.5 x0=0.02 c1=0 c0=0 length=1
new line.far bus1=m bus2=e r1=2 x1=0.02 r0=2 x0=0.02 c1=0 c0=0 length=1
new load.m bus1=m phases=3 kv=12.47 kw=2500 kvar=300 vminpu=0.5 vmaxpu=1.5
new load.e bus1=e phases=3 kv=12.47 kw=300 kvar=100 vminpu=0.5 vmaxpu=1.5
new capacitor.bank bus1=m phases=3 kv=12.47 kvar=300 states=(1)
set voltagebases=[12.47]
calcvoltagebases
"""
STUDY = """title = "Held back by voltage"
[feeder]
master = "m.dss"
{edits}
[pv]
buses = ["e"]
max_kw_per_bus = "off"
[bess]
energy_kwh = 2000.0
power_kw = 600.0
centralized_bus = "e"
units = 1
[limits]
substation_min_kw = "off"
[certify]
max_rounds = 8
"""


def case_in(folder, vreg="125", edits=""):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "m.dss").write_text(FEEDER.format(vreg=vreg), encoding="utf-8")
    (folder / "study.toml").write_text(STUDY.format(edits=edits), encoding="utf-8")
    profiles = load_case("ieee123").folder / "profiles.csv"
    (folder / "profiles.csv").write_text(profiles.read_text(encoding="utf-8"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def ranking(tmp_path_factory):
    folder = tmp_path_factory.mktemp("options")
    costs = folder / "costs.csv"
    costs.write_text("option,cost\nregulators*,100\nbattery*,200000\n*,5000\n", encoding="utf-8")
    case = load_case(case_in(folder / "case"))
    kinds = ("regulator", "capacitor", "battery", "conductor")
    found = rank_options(
        case, folder / "out", kinds=kinds, steps_v=(-3.0, 1.0), batteries=1, sections=1, costs=costs, processes=1
    )
    return folder, found, {o.change.name: o for o in found.options}


def test_a_lower_set_point_is_worth_what_the_file_with_it_says(ranking, tmp_path):
    """The schedule certified under the edit passes on the feeder whose file has it, and fails on the one without."""
    folder, _, options = ranking
    lower = options["regulators at r -3 V"]
    assert lower.gained_kw > 100
    assert lower.verified
    typed = Workbench.open(case_in(tmp_path / "typed", vreg="122"))
    schedule = read_schedule(
        folder / "out" / "schedules" / "regulators_at_r_minus_3_v", network=typed.network, profiles=typed.profiles
    )
    assert typed.replay(schedule, "free", base=typed.replay(None, "free")).passed
    bare = Workbench.open(case_in(tmp_path / "bare"))
    assert not bare.replay(schedule, "free", base=bare.replay(None, "free")).passed


def test_what_helps_where_voltage_binds(ranking):
    """A raised set point leaves less room; a section of half the resistance more, and a battery. On lines without
    reactance a bank changes next to nothing."""
    _, found, options = ranking
    assert options["regulators at r +1 V"].gained_kw < 0
    assert options["capacitor bank open"].gained_kw == pytest.approx(0.0, abs=0.01 * found.base_kw)
    assert options["second conductor Line.far"].gained_kw > 100, "it carries the PV, and drops most"
    assert options["battery at e"].gained_kw > 100
    best = found.options[0]
    assert best.change.name == "regulators at r -3 V", "kW per cost"
    assert best.kw_per_cost == pytest.approx(best.gained_kw / 100.0)
    assert "takes" in found.headline
    assert "set point 122 V" in found.headline


def test_its_files_say_what_was_found(ranking):
    folder, found, _ = ranking
    content = json.loads((folder / "out" / "options.json").read_text(encoding="utf-8"))
    assert [o["name"] for o in content["options"]] == [o.change.name for o in found.options]
    assert content["base"]["hc_kw"] == found.base_kw
    lower = next(o for o in content["options"] if o["name"] == "regulators at r -3 V")
    assert lower["edits"] == ['edit "regcontrol.reg" vreg=122']
    assert {"hc_kw", "gained_kw", "word", "verified", "cost", "kw_per_cost", "limit"} <= set(lower)
    assert {"criterion", "element", "phase", "time"} == set(lower["limit"]) and lower["losses_pct"] > 0


def test_what_breaks_a_limit_by_itself_is_refused(tmp_path):
    """At 128 V the bare feeder is above 1.05 pu: such a change must not be forgiven what it breaks."""
    found = rank_options(
        load_case(case_in(tmp_path / "case")), tmp_path / "out", kinds=("regulator",), steps_v=(8.0,), processes=1
    )
    (option,) = found.options
    assert option.hc_kw is None
    assert "overvoltage" in option.refused


def test_an_edit_of_the_study_is_an_edit_of_the_file(tmp_path):
    edits = 'edits = ["edit regcontrol.reg vreg=122"]'
    edited, typed = Workbench.open(case_in(tmp_path / "a", edits=edits)), Workbench.open(case_in(tmp_path / "b", "122"))
    a, b = edited.replay(None, "free"), typed.replay(None, "free")
    assert (a.operation.v_pu == b.operation.v_pu).all()
    assert edited.day_gates.passed, "OpenDSS by itself has the edits too"
    assert edited.circuit.source_sha256 != Workbench.open(case_in(tmp_path / "c")).circuit.source_sha256


@pytest.mark.parametrize(
    "edit", ["redirect other.dss", "new load.x bus1=e", "edit load.m kw=1\\nsave circuit", "solve"]
)
def test_only_edits_are_edits(tmp_path, edit):
    with pytest.raises(ConfigError, match="no edit of an element"):
        load_case(case_in(tmp_path / "case", edits=f'edits = ["{edit}"]'))


def test_an_edit_of_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FeederError, match=r"(?i)regcontrol\.other"):
        Workbench.open(case_in(tmp_path / "case", edits='edits = ["edit regcontrol.other vreg=122"]'))


@pytest.mark.parametrize("edit", ["batchedit load.x.* kw=1", "edit regcontrl.reg vreg=122"])
def test_an_edit_of_nothing_is_refused(tmp_path, edit):
    with pytest.raises(FeederError, match=r"load\.x|regcontrl"):
        Workbench.open(case_in(tmp_path / "case", edits=f'edits = ["{edit}"]'))


def test_batches_and_capitals_are_edits(tmp_path):
    edited = Workbench.open(case_in(tmp_path / "case", edits='edits = ["BatchEdit Load..* kw=100"]'))
    assert edited.network.loads.p_kw == pytest.approx(100.0 / 3, abs=1e-9)


def test_an_edit_cannot_bring_code(tmp_path):
    master = case_in(tmp_path / "case") / "m.dss"
    with pytest.raises(FeederError, match="native code"):
        Circuit.compile(master, edits=["edit generator.g usermodel=/tmp/x.so"])
    with pytest.raises(FeederError, match="lies outside"):
        Circuit.compile(master, edits=["edit loadshape.s csvfile=/etc/passwd"])


def test_costs_are_read_row_by_row(tmp_path):
    file = tmp_path / "costs.csv"
    file.write_text("option,cost\nregulators at r*,5\n*,7\n", encoding="utf-8")
    costs = read_costs(file)
    assert cost_of("Regulators at R +2 V", costs) == 5
    assert cost_of("battery at e", costs) == 7
    file.write_text("option,cost\nx,cheap\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="row 2"):
        read_costs(file)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--kinds", "magic"], "magic"),
        (["--steps", "a"], "no list of numbers"),
        (["--steps", "0"], "not by nothing"),
        (["--costs", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_wrong_use_is_said(tmp_path, words, says):
    case = case_in(tmp_path / "case")
    found = CliRunner().invoke(app, ["options", str(case), "--out", str(tmp_path / "out"), *words])
    assert found.exit_code == 2
    assert says in " ".join(found.output.split())


def test_the_command_and_its_page(tmp_path):
    case = case_in(tmp_path / "case")
    words = ["options", str(case), "--kinds", "capacitor,inverters", "--out", str(tmp_path / "out"), "--processes", "1"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    assert "capacitor bank open" in found.output
    page = Path(tmp_path / "out" / "options.html").read_text(encoding="utf-8")
    assert "inverters volt-var" in page
    assert "simulated, nothing dispatched" in page
