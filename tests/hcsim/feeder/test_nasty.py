"""Feeders as they come: run files, other machines' paths and letters, missing bases, open phases, loops.

Each is read, with what had to be done said in a sentence, or refused in one; nothing is written beside it.
"""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hcsim.cli.app import app
from hcsim.errors import ConvergenceError, FeederError
from hcsim.feeder.check import check_feeder
from hcsim.opendss.circuit import Circuit

NASTY = Path(__file__).parents[2] / "cases" / "nasty"
READ = {  # file -> what its notes must say
    "writes_files": ["export (2 times)", "doscmd", "quit"],
    "solves_a_year": ["solve mode=yearly", "solve mode=dutycycle", "closedi"],
    "moves_datapath": ["export"],
    "compiles_another": ["export"],
    "windows_path": ["is not on this machine; read parts/lines.dss", "buscoords left out"],
    "no_bases": ["4 buses had no voltage base: set from source and windings (12.47, 4.16, 0.2078 kV)"],
    "missing_level": ["lacked a level of the windings: 0.48 kV added"],
    "open_phase_60_pu": ["1 buses had the voltage base of another level"],
    "isolated_load": [],
    "changes_folder": ["cd"],
    "loops": [],
    "bus_in_two_cases": [],
    "crlf": [],
    "latin1": ["latin1.dss is not UTF-8"],
    "regulating_generator": [],
    "everything_else": ["own solve fails"],
}
REFUSED = {  # file -> words of its one sentence
    "no_convergence": "did not converge",
    "redirects_to_itself": "redirects to itself",
    "missing_part": "line 3: there is no file 'Transformers.dss'",
    "zero_impedance": 'Matrix Inversion Error for Line "l1"',
    "no_source_path": "serves 0.0 of 500.0 kW",
    "no_circuit": "You Must Create a circuit first",
    "unknown_word": 'Unknown parameter "rone"',
    "two_named_alike": r"Line\.l1 is defined twice",
}


@pytest.fixture
def nasty(tmp_path, monkeypatch):
    """A copy of the folder, and a check afterwards that nothing in it or in the working directory has changed."""
    folder = Path(shutil.copytree(NASTY, tmp_path / "feeders"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    yield folder
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before
    assert not list(work.iterdir())


def test_every_nasty_feeder_is_in_a_table():
    assert {p.stem for p in NASTY.glob("*.dss")} == {*READ, *REFUSED, "series_source", "unknown_device"}


@pytest.mark.parametrize("name", READ)
def test_what_can_be_read_is_read_and_the_gate_holds(name, nasty):
    found = check_feeder(nasty / f"{name}.dss")
    assert found.sound, found.gate.reason
    for words in READ[name]:
        assert any(words in note for note in found.notes), found.notes
    if not READ[name]:
        assert found.notes == ()
    # the base case is the feeder's, whatever its scripts did last
    assert abs(found.gate.dp_source_kw) < 1e-3


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_says_why(name, nasty):
    with pytest.raises((FeederError, ConvergenceError), match=REFUSED[name]):
        check_feeder(nasty / f"{name}.dss")
    done = CliRunner().invoke(app, ["check", str(nasty / f"{name}.dss")], catch_exceptions=False)
    assert done.exit_code == 1
    assert "Traceback" not in done.output + done.stderr
    assert json.loads(
        CliRunner().invoke(app, ["check", str(nasty / f"{name}.dss"), "--json"], catch_exceptions=False).stdout
    )["error"]


def test_messages_name_the_users_file_not_the_copy(tmp_path):
    master = tmp_path / "mine.dss"
    master.write_text((NASTY / "writes_files.dss").read_text().replace("kw=500", "kiloo=500"))
    with pytest.raises(FeederError, match=rf"{tmp_path.name}/mine\.dss.*line: 5"):
        Circuit.compile(master)


def test_a_load_behind_an_unknown_device_is_refused_not_passive(nasty):
    found = check_feeder(nasty / "unknown_device.dss")
    assert {row.element for row in found.ledger.refused} == {"UPFC.u", "Load.c"}
    assert not found.gate.passed
    assert found.gate.worst_element == "UPFC.u"


def test_open_phase_and_its_service_are_judged_sensibly(nasty):
    network = check_feeder(nasty / "open_phase_60_pu.dss").network
    v_pu = network.judged_v_pu(network.v_solved_v)[network.v_judged]
    assert v_pu.min() > 0.9
    assert v_pu.max() < 1.1


def test_a_year_is_not_solved(nasty):
    circuit = Circuit.compile(nasty / "solves_a_year.dss")
    # nominal load, not the shape's 0.4
    assert circuit.load_kw() == pytest.approx(500, rel=1e-6)


def test_isolated_load_is_passive_with_its_power(nasty):
    rows = {r.element: r for r in check_feeder(nasty / "isolated_load.dss").ledger}
    assert rows["Load.x"].verdict == "passive"
    assert rows["Load.x"].kw == 100
    assert rows["Line.l2"].verdict == "passive"


def test_hash_is_of_the_users_files(nasty):
    circuit = Circuit.compile(nasty / "compiles_another.dss")
    assert [p.name for p in circuit.files] == ["compiles_another.dss", "inner.dss", "lines.dss"]
    assert all(nasty in p.parents for p in circuit.files)
    assert circuit.source_sha256 == Circuit.compile(nasty / "compiles_another.dss").source_sha256


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_texts_with_a_byte_order_mark(encoding, tmp_path):
    master = tmp_path / "m.dss"
    master.write_text((NASTY / "loops.dss").read_text(), encoding=encoding)
    assert check_feeder(master).sound


def test_binary_file_is_refused(tmp_path):
    master = tmp_path / "picture.dss"
    master.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(FeederError):
        Circuit.compile(master)
