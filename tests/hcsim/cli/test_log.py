"""`logging` under the name hcsim: silent by default, a file with --log."""

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from guards import HANG_S
from typer.testing import CliRunner

from hcsim.cli.app import app

CASE = str(Path(__file__).parents[2] / "cases" / "three_bus")
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR) hcsim[\w.]*: .+")


def hcsim(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.mark.smoke
@pytest.mark.parametrize("before", [True, False])
def test_the_log_tells_what_was_compiled_solved_and_written(tmp_path, before):
    """The option stands before the command or after it."""
    file = tmp_path / "run.log"
    command = ["optimize", CASE, "--program", "none", "--out", tmp_path / "plan"]
    done = hcsim(*(["--log", file, *command] if before else [*command, f"--log={file}"]))
    assert done.exit_code == 0, done.output
    lines = file.read_text().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    text = "\n".join(lines)
    assert "hcsim.opendss.circuit: compiled" in text and "Master.dss" in text
    assert "hcsim.optim.solve" in text and "objective" in text


def test_a_mistake_of_the_user_is_a_line_and_a_second_run_is_appended(tmp_path):
    file = tmp_path / "run.log"
    assert hcsim("replay", CASE, tmp_path / "nothing", "--log", file).exit_code == 2
    first = file.read_text()
    assert "ERROR hcsim.cli.app" in first and "schedule.json" in first and "Traceback" not in first
    assert hcsim("cases", "--log", file).exit_code == 0
    assert file.read_text().startswith(first) and len(file.read_text()) > len(first)


def test_a_fault_of_hcsim_itself_leaves_its_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr("hcsim.cases.case.load_case", lambda *given: 1 / 0)
    file = tmp_path / "run.log"
    done = hcsim("optimize", CASE, "--program", "none", "--out", tmp_path / "plan", "--log", file)
    assert done.exit_code == 1
    assert "a fault of hcsim itself" in file.read_text() and "ZeroDivisionError" in file.read_text()


def test_a_log_that_cannot_be_written(tmp_path):
    done = hcsim("cases", "--log", tmp_path)
    assert done.exit_code == 2 and "Cannot write the log" in done.output + done.stderr


def test_the_handler_goes_with_the_command(tmp_path):
    assert hcsim("cases", "--log", tmp_path / "run.log").exit_code == 0
    logger = logging.getLogger("hcsim")
    assert [type(handler) for handler in logger.handlers] == [logging.NullHandler]
    assert logger.level == logging.NOTSET


def test_the_library_is_silent_by_default():
    """Nothing is printed, not by logging's handler of last resort either."""
    code = (
        "import logging, hcsim; from hcsim.opendss.circuit import Circuit; "
        f"Circuit.compile({CASE + '/Master.dss'!r}); logging.getLogger('hcsim.x').error('not seen')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=HANG_S)
    assert (done.stdout, done.stderr) == ("", "")
