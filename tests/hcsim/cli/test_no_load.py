"""A feeder that draws nothing: nothing can be hosted against reverse flow, and every command says so in order."""

import pytest
from typer.testing import CliRunner

from hcsim.cli.app import app

FEEDER = """
clear
new circuit.c basekv=12.47 bus1=s
new line.l bus1=s bus2=b r1=0.1 x1=0.3 length=1
set voltagebases=[12.47]
calcvoltagebases
"""
COMMANDS = {
    "check": (),
    "study": ("--program", "none", "--robustness", "2", "--processes", "1"),
    "baseline": (),
    "nodal": ("--processes", "1", "--load"),
    "certify": ("--program", "none"),
    "bound": (),
    "template": (),
    "validate": ("{home}/template/example.csv", "--units", "{home}/template/example_units.csv"),
    "operate": ("{home}/certify/schedules/none_certified", "--draws", "2"),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("no load")
    (home / "m.dss").write_text(FEEDER)
    return home


def said(home, command, *more):
    words = [word.format(home=home) for word in more]
    done = CliRunner().invoke(app, [command, str(home / "m.dss"), *words, "--out", str(home / command)])
    assert "fault of hcsim" not in done.output + done.stderr and "Traceback" not in done.output, command
    return done.exit_code, done.output


def test_every_command_ends_in_order(home):
    for command, more in COMMANDS.items():
        code, words = said(home, command, *more)
        assert code == (1 if command == "study" else 0), (command, words)
    _, words = said(home, "study", *COMMANDS["study"])  # shares of nothing are missing, and nothing else
    assert words.count("Missing:") == 1 and "no PV capacity to take weights from" in words
    code, words = said(home, "stochastic", "--deployments", "2", "--processes", "1")
    assert code == 1 and "no load at a live node" in words
