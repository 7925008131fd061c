"""--day and --zone on every command where they mean something: the day and the feeder that the numbers are of."""

import re

import pytest
from typer.testing import CliRunner

from hcsim.cases.case import load_case
from hcsim.cli.app import app
from hcsim.workbench.allocation import Workbench

COMMANDS = ("study", "check", "replay", "baseline", "nodal", "stochastic", "certify", "validate", "operate")
FEEDER = """
clear
new circuit.zy basekv=12.47 bus1=s
new loadshape.two npts=48 interval=1 mult=({first} {second})
new line.f1 bus1=s bus2=a r1=0.1 x1=0.3 length=1 normamps=400
new line.f2 bus1=s bus2=b r1=0.1 x1=0.3 length=1 normamps=400
new load.a bus1=a kv=12.47 kw=800 kvar=100 yearly=two
new load.b bus1=b kv=12.47 kw=600 kvar=100 yearly=two
new energymeter.ma element=line.f1 terminal=1
new energymeter.mb element=line.f2 terminal=1
set voltagebases=[12.47]
calcvoltagebases
"""


@pytest.fixture
def master(tmp_path):
    file = tmp_path / "master.dss"
    file.write_text(FEEDER.format(first=" ".join(["0.5"] * 24), second=" ".join(["1"] * 24)))
    return file


def said(*words):
    done = CliRunner().invoke(app, [str(w) for w in words], catch_exceptions=False)
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_them(command):
    code, words = said(command, "--help")
    assert code == 0 and "--day" in words and "--zone" in words


@pytest.mark.parametrize("day, share", [("2025-01-01", 0.5), ("2025-01-02", 1.0)])
@pytest.mark.parametrize("zone, kw", [("ma", 800.0), ("mb", 600.0)])
def test_a_zone_on_a_day_is_that_load_of_that_day(master, day, share, zone, kw):
    """What enters a zone is what its one load draws, and less than 1 % of losses."""
    bench = Workbench.open(load_case(master, None, day, zone))
    entering = bench.bare("free").found.operation.substation_kw.sum(axis=1)
    assert entering == pytest.approx([share * kw] * 24, rel=1e-2) and (entering > share * kw).all()


def test_a_search_is_of_the_zone_and_the_day(master, tmp_path):
    """No reverse flow at the head of the zone: at most sun is 1 (noon), PV can be what its load draws."""
    code, words = said("baseline", master, "--day", "2025-01-01", "--zone", "mb", "--quiet")
    noon = float(load_case(master).profiles.pv_pu.max())
    capacity_kw = re.search(r"can take ([\d,]+) kW", words)
    assert code == 0 and float(capacity_kw[1].replace(",", "")) == pytest.approx(300.0 / noon, abs=2.0)
    code, words = said("baseline", master, "--year", "--day", "2025-01-01")
    assert code == 2 and "--day" in words


def test_check_judges_the_zone_that_is_named(master):
    code, words = said("check", master, "--zone", "mb", "--day", "2025-01-02")
    assert code == 0 and "2 January" in words
    code, words = said("check", master, "--zone", "mx")
    assert code == 1 and "ma, mb" in words


def test_a_study_folder_says_what_was_put_in_its_place(master, tmp_path):
    folder = tmp_path / "study"
    assert said("init", master, "--out", folder, "--zone", "ma")[0] == 0
    case = load_case(folder, None, "2025-01-02", "mb")
    assert case.config.feeder.zone == "mb" and load_case(folder).config.feeder.zone == "ma"
    assert "--day 2025-01-02 --zone mb" in "".join(case.inputs["study.toml"].splitlines()[:2])
