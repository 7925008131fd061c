"""Pipes and devices where a study of a stranger names a file: a sentence, and no waiting for their end."""

import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hcsim.cli.app import app

CASE = Path(__file__).parents[1] / "cases" / "three_bus"


@pytest.fixture
def case(tmp_path):
    return Path(shutil.copytree(CASE, tmp_path / "case"))


@pytest.mark.parametrize("named", ["pipe", "/dev/zero", "link"])
def test_profiles(named, case):
    os.mkfifo(case / "pipe")
    (case / "link").symlink_to("/dev/zero")
    study = case / "study.toml"
    study.write_text(study.read_text() + f'\n[profiles]\nfile = "{named}"\n')
    done = CliRunner().invoke(app, ["check", str(case)])
    assert done.exit_code == 2 and f"{named} is a pipe or device" in done.stderr


@pytest.mark.parametrize("file", ["study.toml", "Master.dss"])
def test_the_study_and_its_feeder(file, case):
    (case / file).unlink()
    os.mkfifo(case / file)
    done = CliRunner().invoke(app, ["check", str(case)])
    assert done.exit_code in (1, 2) and file in done.stderr and "Traceback" not in done.stderr
