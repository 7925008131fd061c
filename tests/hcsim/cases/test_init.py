"""A .dss file alone: the study that `init` writes, the same that `study` runs; sites by rule and by list."""

import os
import tomllib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hcsim.cases.against_feeder import read_sites
from hcsim.cases.case import load_case
from hcsim.cases.defaults import SitesWanted, default_profiles_file
from hcsim.cases.profiles_csv import read_profiles
from hcsim.cli.app import app
from hcsim.errors import ConfigError, FeederError
from hcsim.feeder.read import read_network
from hcsim.feeder.sites import candidate_buses, head_bus, spread_sites
from hcsim.opendss.circuit import Circuit
from hcsim.studies.allocation import Study
from hcsim.workbench.allocation import Workbench
from optim.data.violations import new_violations
from optim.hosting.search import solve_hosting

ROOT = Path(__file__).parents[3]
THREE_BUS = ROOT / "tests" / "cases" / "three_bus" / "Master.dss"
SERIES_SOURCE = ROOT / "tests" / "cases" / "nasty" / "series_source.dss"
IEEE123 = ROOT / "dss_models" / "ieee123" / "Master.dss"
FEEDERS = os.environ.get("HCSIM_FEEDERS")
# a trunk of three sections and a lateral; distances in ohm from the source: a 1, b 3, c 6, lateral d 2
TREE = """clear
new circuit.tree basekv=12.47 bus1=src
new linecode.one nphases=3 r1=1 x1=0 r0=1 x0=0 c1=0 c0=0
new line.a bus1=src bus2=a linecode=one length=1
new line.b bus1=a bus2=b linecode=one length=2
new line.c bus1=b bus2=c linecode=one length=3
new line.d bus1=a bus2=d linecode=one length=1
new line.e bus1=c.1 bus2=e.1 phases=1 r1=9 x1=0
new transformer.t buses=[c low] conns=[delta wye] kvs=[12.47 0.48] kvas=[900 900] xhl=5
new load.low bus1=low kv=0.48 kw=300
new load.d bus1=d kv=12.47 kw=700
set voltagebases=[12.47 0.48]
calcvoltagebases
"""


def hcsim(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def tree(tmp_path):
    master = tmp_path / "tree.dss"
    master.write_text(TREE)
    return master


@pytest.fixture
def network(tree):
    return read_network(Circuit.compile(tree))[0]


def test_candidates_are_three_phase_and_medium_voltage(network):
    assert set(candidate_buses(network)) == {"a", "b", "c", "d"}  # not the source, not low, not the single phase e


def test_sites_are_the_farthest_from_those_chosen(network):
    # c (6 from the source); then b, 3 from both c and the source, before d (2 from the source); a (1) last
    assert spread_sites(network, 4) == ("c", "b", "d", "a")
    assert spread_sites(network, 2) == ("c", "b")
    assert len(spread_sites(network, 99)) == 4
    assert head_bus(network) == "a"


def test_sites_from_a_file(tmp_path):
    listed = tmp_path / "sites.csv"
    listed.write_text("\ufeffkw;bus # mine\n5;B\n\n6;d\n7;b\n", encoding="utf-8")
    assert read_sites(listed) == ("b", "d")
    listed.write_text("# two\nc\nD\n")
    assert read_sites(listed) == ("c", "d")
    listed.write_text("# none\n")
    with pytest.raises(ConfigError, match=r"is empty.*One bus per line"):
        read_sites(listed)
    with pytest.raises(ConfigError, match="no file of sites"):
        read_sites(tmp_path / "nothere.csv")


def test_init_writes_what_study_runs(tree, tmp_path):
    out = tmp_path / "mine"
    done = hcsim("init", tree, "--out", out, "--sites", "3")
    assert done.exit_code == 0, done.output
    written = (out / "study.toml").read_text()
    content = tomllib.loads(written)
    assert content["feeder"]["master"] == "../tree.dss"
    assert content["limits"]["existing"] == "forgive"
    assert content["program"]["linearization"] == "tangent"
    assert content["pv"]["buses"] == ["c", "b", "d"]
    assert content["bess"]["units"] == 3
    # 1.7 h and 0.65 of a peak of 1000 kW
    assert content["bess"]["energy_kwh"] == 1700.0
    assert content["bess"]["power_kw"] == 650.0
    assert content["bess"]["centralized_bus"] == "a"
    from_folder, from_file = load_case(out), load_case(tree, SitesWanted(count=3))
    bench = Workbench.open(from_file)
    assert bench.case.config.model_copy(update={"feeder": from_folder.config.feeder}) == from_folder.config
    assert np.array_equal(from_folder.profiles.load_pu, from_file.profiles.load_pu)
    assert hcsim("init", tree, "--out", out).exit_code == 2  # never over a study.toml that is there


def test_every_key_stands_in_the_written_study(tree, tmp_path):
    from hcsim.cases.config.bess import BessSection
    from hcsim.cases.config.certify import CertifySection
    from hcsim.cases.config.controls import ControlsSection
    from hcsim.cases.config.limits import LimitsSection, SimulationSection
    from hcsim.cases.config.program import ProgramSection
    from hcsim.cases.config.pv import PvSection
    from hcsim.cases.config.solver import SolverSection

    bench = Workbench.open(load_case(tree))
    text = bench.case.inputs["study.toml"]
    content = tomllib.loads(text)
    assert "# [[limits.bands]]" in text and "# max_tap_operations = " in text  # there is no default to spell out
    for name, model in (
        ("limits", LimitsSection),
        ("program", ProgramSection),
        ("pv", PvSection),
        ("bess", BessSection),
        ("solver", SolverSection),
        ("certify", CertifySection),
        ("controls", ControlsSection),
        ("simulation", SimulationSection),
    ):
        unset = {"bands", "max_tap_operations", "max_rounds"}
        assert set(model.model_fields) - unset <= set(content[name]), name


def test_unrated_lines_switch_the_loading_limit_off(tree):
    assert Workbench.open(load_case(tree)).limits.loading_max_pu is None
    tree.write_text(TREE.replace("c0=0\n", "c0=0 normamps=250\n"))
    assert Workbench.open(load_case(tree)).limits.loading_max_pu == 1.0


def test_default_profiles_are_a_day(tree):
    profiles = read_profiles(default_profiles_file())
    assert len(profiles) == 24
    assert profiles.load_pu.max() == 1.0
    assert profiles.pv_pu.max() == pytest.approx(0.8, abs=0.02)
    assert profiles.pv_pu[[0, 5, 19, 23]].max() == 0.0


def test_study_of_a_bare_feeder(tree, tmp_path):
    result = Study.load(tree, SitesWanted(count=2)).run(tmp_path / "out", programs=["none"])
    assert result.case == "tree"
    assert result.cases["none"].schedule.hc_kw > 100
    assert "program" in (tmp_path / "out" / "inputs" / "study.toml").read_text()
    assert (tmp_path / "out" / "inputs" / "profiles.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothere.dss"], "There is no feeder file"),
        ([THREE_BUS, "--sites", "0"], "no number of sites"),
        ([THREE_BUS, "--sites", "nothere.csv"], "no file of sites"),
        (["ieee123", "--sites", "3"], "--sites is for a .dss file"),
    ],
)
def test_wrong_use(arguments, words, tmp_path):
    done = hcsim("study", *arguments, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert words in " ".join((done.output + done.stderr).split())


def test_sites_that_the_feeder_lacks_are_named(tree, tmp_path):
    listed = tmp_path / "sites.csv"
    listed.write_text("bus\nc\nnowhere\n")
    with pytest.raises(ConfigError, match=r"sites\.csv.*nowhere"):
        Workbench.open(load_case(tree, SitesWanted(file=listed)))


def test_a_study_stops_at_the_gate(tmp_path):
    with pytest.raises(FeederError, match=r"Vsource\.boost .*between two buses.*--accept-gate"):
        Study.load(SERIES_SOURCE).run(tmp_path / "out", programs=["none"])
    assert hcsim("init", SERIES_SOURCE, "--out", tmp_path / "a").exit_code == 1
    assert hcsim("init", SERIES_SOURCE, "--out", tmp_path / "a", "--accept-gate").exit_code == 0


def test_ieee123_sites_are_spread():
    network = read_network(Circuit.compile(IEEE123))[0]
    sites = spread_sites(network, 20)
    assert len(set(sites)) == 20
    assert set(sites) <= set(candidate_buses(network))


@pytest.mark.skipif(FEEDERS is None, reason="HCSIM_FEEDERS is not set")
def test_sites_of_the_8500_node_feeder_are_on_the_medium_voltage():
    bench = Workbench.open(load_case(Path(FEEDERS or "") / "8500-Node" / "Master.dss", SitesWanted(count=30)))
    network = bench.network
    assert len(bench.pv.buses) == 30
    bases = [np.sqrt(3) * network.v_base_v[network.node_index[f"{bus}.1"]] for bus in bench.pv.buses]
    assert bases == pytest.approx([12470.0] * 30, rel=1e-4)


def test_taps_of_each_hour_need_the_tangent(tree):
    from hcsim.cases.config.study import parse_config

    case = Workbench.open(load_case(tree)).case
    text = case.inputs["study.toml"]
    assert parse_config(text, case.study_file).program.taps == "each_hour"
    spoiled = text.replace('linearization = "tangent"', 'linearization = "lindist3flow"')
    with pytest.raises(ConfigError, match=r"needs linearization = .tangent"):
        parse_config(spoiled, case.study_file)


@pytest.mark.skipif(FEEDERS is None, reason="HCSIM_FEEDERS is not set")
def test_the_claim_on_ieee13_holds_in_the_simulation():
    """Regulators where each hour puts them: first order from there is good for 3.6 MW of PV."""
    bench = Workbench.open(load_case(Path(FEEDERS or "") / "13Bus" / "IEEE13Nodeckt.dss"))
    schedule = solve_hosting(bench.problem("none"), "none", bench.solve_options())
    base = bench.replay(None, "free")
    found = bench.replay(schedule, "free", base=base)
    assert schedule.hc_kw > 3000
    assert new_violations(found.violations).empty
