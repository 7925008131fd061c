"""Settings and commands of autonomous inverters: what study.toml and --inverters say, and what comes of it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from hcsim.cases.config.study import parse_config
from hcsim.cli.app import app
from hcsim.devices.inverter_curves import InverterControl
from hcsim.errors import ConfigError
from hcsim.replay.result import read_replay

CASES = Path(__file__).parents[2] / "cases"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('control = "volt_vr"', "none of 'off', 'volt_var'"),
        ("volt_var = [[0.9, 0.4], [1.1]]", "list of points [V in pu, share]"),
        ("volt_var = [[0.9, -0.4], [1.1, 0.4]]", "must not rise with voltage"),
        ("volt_var = [[92.0, 0.44], [108.0, -0.44]]", "0.5 to 1.5 pu"),
        ("volt_watt = [[1.1, 1.0], [1.06, 0.2]]", "rising order of V"),
        ("volt_watt = [[1.06, 1.0], [1.1, -0.2]]", "shares 0 to 1"),
        ("kva_per_kw = 0.9", "at least 1"),
        ("volt_varr = 1", "Nearest: volt_var"),
    ],
)
def test_settings_that_make_no_sense_are_named(line, says):
    with pytest.raises(ConfigError) as fault:
        parse_config(f"[inverters]\n{line}\n", Path("study.toml"))
    assert "[inverters" in str(fault.value)
    assert says in str(fault.value)


def test_settings_become_curves():
    text = '[inverters]\ncontrol = "volt_watt"\nvolt_watt = [[1.05, 1.0], [1.08, 0]]\nkva_per_kw = 1.1\n'
    section = parse_config(text, Path("study.toml")).inverters
    assert section.to_control() == InverterControl("volt_watt", volt_watt=((1.05, 1.0), (1.08, 0.0)), kva_per_kw=1.1)
    assert section.to_control("off") is None
    assert parse_config("", Path("study.toml")).inverters.to_control() is None


def hcsim(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of the three-bus case with volt-var laid beside, through the command."""
    folder = tmp_path_factory.mktemp("inverters")
    case = Path(shutil.copytree(CASES / "three_bus", folder / "mine"))
    text = (case / "study.toml").read_text()
    (case / "study.toml").write_text(text + '\n[inverters]\ncompare = "volt_var"\n')
    done = hcsim(
        "study", case, "--no-certify", "--program", "none", "--program", "distributed", "--out", folder / "out"
    )
    assert done.exit_code == 0, done.output + done.stderr
    return case, folder / "out", done


def test_a_study_lays_three_kinds_of_reactive_power_side_by_side(study):
    _, folder, done = study
    found = json.loads((folder / "summary.json").read_text())["inverters"]
    assert (found["control"], found["kva_per_kw"], found["night_var"]) == ("volt_var", 1.0, False)
    rows = found["hosting_capacity"]
    assert list(rows) == ["uniform", "none", "distributed"]
    assert set(rows["uniform"]) == {"unity", "volt_var"}
    for name in ("none", "distributed"):
        assert {"unity", "schedule", "volt_var", "claim_kw", "replay"} == set(rows[name])
        assert rows[name]["volt_var"]["limit"]["criterion"] != ""
        assert set(rows[name]["replay"]) == {"locked", "free"}
        assert rows[name]["replay"]["free"]["converged"]
    plain = json.loads((folder / "summary.json").read_text())["baseline"]["none"]["hc_kw"]
    assert rows["uniform"]["unity"]["hc_kw"] == plain
    page = (folder / "report.html").read_text()
    assert "Inverters on their own" in page
    assert "IEEE 1547-2018, category B" in page
    assert "with volt-var" in " ".join(done.output.split())
    assert (folder / "baselines" / "inverters" / "none" / "unity" / "baseline.json").is_file()
    devices = pd.read_parquet(folder / "replays" / "distributed" / "free_volt_var" / "devices.parquet")
    bess = devices[devices.kind == "bess"]  # batteries do as they are told
    assert bess.p_commanded_kw.abs().max() > 10
    np.testing.assert_allclose(bess.p_delivered_kw, bess.p_commanded_kw, atol=0.01)
    np.testing.assert_allclose(bess.q_delivered_kvar, 0.0, atol=0.01)


def test_the_study_has_what_the_baseline_command_has(study, tmp_path):
    case, folder, _ = study
    done = hcsim("baseline", case, "--inverters", "volt_var", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    mine = json.loads((tmp_path / "baseline.json").read_text())
    theirs = json.loads((folder / "baselines" / "inverters" / "uniform" / "volt_var" / "baseline.json").read_text())
    assert (mine["hc_kw"], mine["inverters"]) == (theirs["hc_kw"], "volt_var")
    assert "kvarh absorbed" in " ".join(done.output.split())


def test_a_replay_says_what_was_commanded_and_what_delivered(study, tmp_path):
    case, folder, _ = study
    done = hcsim(
        "replay",
        case,
        folder / "schedules" / "none",
        "--controls",
        "free",
        "--inverters",
        "volt_var",
        "--out",
        tmp_path,
    )
    words = " ".join(done.output.split())
    assert done.exit_code == 0, words
    for part in ("follows volt_var, not the schedule", "commanded were", "against unity power factor"):
        assert part in words
    assert read_replay(tmp_path / "free").inverters == "volt_var"
    devices = pd.read_parquet(tmp_path / "free" / "devices.parquet")
    table = pd.read_csv(tmp_path / "free" / "inverters.csv")
    assert table["absorbed_kvarh"].sum() == pytest.approx((-devices.q_delivered_kvar).clip(lower=0).sum())
    facts = json.loads((tmp_path / "free" / "inverters.json").read_text())
    assert facts["volt_var"][0] == [0.92, 0.44]
    theirs = json.loads((folder / "replays" / "none" / "free_volt_var" / "inverters.json").read_text())
    assert facts == theirs


def test_the_setting_is_the_default_of_replay_and_baseline(study, tmp_path):
    case, folder, _ = study
    own = Path(shutil.copytree(case, tmp_path / "own"))
    (own / "study.toml").write_text((own / "study.toml").read_text() + 'control = "volt_watt"\n')
    done = hcsim("replay", own, folder / "schedules" / "none", "--controls", "locked")
    assert "follows volt_watt" in " ".join(done.output.split())
    off = hcsim("replay", own, folder / "schedules" / "none", "--controls", "locked", "--inverters", "off")
    assert "follows" not in off.output
    year = hcsim("baseline", own, "--year")
    assert year.exit_code == 2
    assert "--inverters off" in year.output + year.stderr


@pytest.mark.parametrize("command", ["replay", "baseline", "study"])
def test_a_wrong_word_is_wrong_use(study, command):
    case, folder, _ = study
    arguments = [folder / "schedules" / "none"] if command == "replay" else []
    done = hcsim(command, case, *arguments, "--inverters", "volt_vr")
    assert done.exit_code == 2
    assert "volt_var_volt_watt" in done.output + done.stderr
