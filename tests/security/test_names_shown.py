"""Names from feeders in what is shown: terminal, page, pictures, spreadsheets, commands to be typed."""

import io
import shlex

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from hcsim.cli.app import app
from hcsim.cli.common import console
from hcsim.report import style
from hcsim.schedules.files import read_schedule, write_schedule
from hcsim.util.files import guarded, unguarded, write_csv
from optim.data.schedule import Schedule

FORMULAS = ["=cmd|'/c calc'!A1", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"]


@pytest.mark.parametrize("name", FORMULAS)
def test_no_cell_is_run_by_a_spreadsheet(name, tmp_path):
    file = write_csv(tmp_path / "t.csv", pd.DataFrame({"bus": [name, "b"], name: [1.0, -2.0]}))
    cells = [cell.strip('"') for line in file.read_bytes().decode().split("\n") for cell in line.split(",")]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r", "-2+"))]
    assert unguarded(guarded(name)) == name


@pytest.mark.parametrize("name", ["-1", "+2.5e3", "bus", "", "'quoted", "a=b"])
def test_numbers_and_plain_names_stay(name):
    assert guarded(name) == name
    assert unguarded(name) == name


def test_schedules_come_back(tmp_path):
    zero = np.zeros((2, 1))
    node = "=cmd|'/c calc'!a1.1"
    empty = np.zeros((2, 0))
    schedule = Schedule(
        "mine",
        ("00:00", "01:00"),
        1.0,
        (node,),
        np.array([5.0]),
        zero,
        zero,
        (),
        (),
        (),
        empty,
        empty,
        np.zeros((3, 0)),
    )
    write_schedule(schedule, tmp_path)
    assert read_schedule(tmp_path).pv_nodes == (node,)


@pytest.mark.parametrize("name", ["b[/nope]", ":x:", "[bold]", "[link=http://x]y", "a b"])
def test_terminal_shows_names_as_they_are(name, feeder):
    done = CliRunner().invoke(app, ["check", str(feeder(f'new load."{name}" bus1=b kv=12.47 kw=1 model=4'))])
    assert "Traceback" not in done.output + done.stderr
    assert "fault of hcsim" not in done.output + done.stderr


def test_no_smileys():
    shown = io.StringIO()
    for each in (console.out_console, console.err_console):
        shadow = Console(file=shown, emoji=each._emoji)
        shadow.print(":x: :warning:")
    assert shown.getvalue().split() == [":x:", ":warning:"] * 2


@pytest.mark.parametrize("folder", ["a b", "a'b", "$(id)", "a;b", "[/nope]"])
def test_commands_can_be_typed(folder):
    text = console.command("hcsim", "study", folder)
    shown = io.StringIO()
    Console(file=shown, width=500).print(text)
    assert shlex.split(shown.getvalue()) == ["hcsim", "study", folder]


def test_a_dollar_is_no_formula():
    from matplotlib.figure import Figure

    with style.house_style():
        figure = Figure()
        figure.subplots().set_title("bus $\\frac{ and <script>alert(1)</script>")
        out = io.BytesIO()
        figure.savefig(out, format="svg")
    assert b"<script>alert" not in out.getvalue()
