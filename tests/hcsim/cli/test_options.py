"""Old spellings, options that nothing would use, and help texts that reach the reader whole."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hcsim.cli.app import COMMANDS, app
from hcsim.cli.common.console import err_console, out_console
from hcsim.cli.study import ALLOCATION_ONLY, PLANNING_ONLY

pytestmark = pytest.mark.smoke

CASE = Path(__file__).parents[2] / "cases" / "three_bus"
PLANNING = "ieee33"


def hcsim(*words, **more):
    return CliRunner().invoke(app, [str(w) for w in words], catch_exceptions=False, **more)


def refused(*words):
    done = hcsim(*words)
    said = " ".join(done.output.split())
    assert done.exit_code == 2 and "Traceback" not in said, said
    return said


# -- old spellings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["study", "optimize", "certify"])
@pytest.mark.parametrize("spelled", [["--case", "none"], ["--case=none"]])
def test_case_is_program_now(command, spelled):
    said = refused(command, CASE, *spelled)
    assert "--program NAME" in said and len(re.findall(r"\.( |$)", said)) == 1, said


@pytest.mark.parametrize("kind", ["planning", "allocation"])
@pytest.mark.parametrize("spelled", ["--program {}", "--program={}"])
def test_a_kind_of_study_is_study_now(kind, spelled):
    said = refused("study", CASE, *spelled.format(kind).split())
    assert f"--study {kind}" in said and len(re.findall(r"\.( |$)", said)) == 1, said


def test_other_wrong_words_keep_their_own_message():
    assert "centralised" in refused("study", CASE, "--program", "centralised")
    assert "--case" in refused("replay", CASE, "plan", "--case", "none")
    assert "siting" in refused("study", CASE, "--study", "siting")


# -- options that nothing would use -----------------------------------------------------------------------


def test_every_option_of_a_study_belongs_to_one_kind_or_to_both():
    """A new option has to say to which kind it belongs."""
    both = {"case", "out", "kind", "gap", "time_limit", "sites", "day", "zone", "accept_gate", "processes", "resume"}
    command = next(c for c in typer.main.get_command(app).commands.values() if c.name == "study")
    names = {p.name for p in command.params} - {"help"}
    assert names == both | set(ALLOCATION_ONLY) | set(PLANNING_ONLY)
    assert not set(ALLOCATION_ONLY) & set(PLANNING_ONLY)


@pytest.mark.parametrize(
    "option",
    [
        "--program none",
        "--certify",
        "--no-certify",
        "--certify-time 5",
        "--inverters volt_var",
        "--inverters off",
        "--robustness 50",
        "--margin-time 5",
    ],
)
def test_what_a_planning_study_does_not_know_it_refuses(option, tmp_path):
    said = refused("study", PLANNING, "--out", tmp_path / "r", *option.split())
    assert option.split()[0].replace("--no-", "--") in said and "planning study" in said
    assert not (tmp_path / "r").exists()


def test_all_of_them_at_once(tmp_path):
    """The command of the issue, in today's words."""
    options = ["--program", "none", "--schemes", "A", "--robustness", "50"]
    said = refused("study", PLANNING, *options, "--out", tmp_path / "r")
    assert "--program, --robustness" in said and "--schemes" not in said.split(".")[0]


@pytest.mark.parametrize("option", ["--schemes A", "--exactness none"])
def test_what_an_allocation_study_does_not_know_it_refuses(option, tmp_path):
    for case in ([CASE], [PLANNING, "--study", "allocation"]):
        said = refused("study", *case, "--out", tmp_path / "r", *option.split())
        assert option.split()[0] in said and "allocation study" in said.lower()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("study CASE --no-certify --certify-time 5", "--certify-time"),
        ("study CASE --no-certify --robustness 50", "--robustness"),
        ("study CASE --no-certify --margin-time 5", "--margin-time"),
        ("study CASE --robustness 0 --margin-time 5", "--margin-time"),
        ("study CASE --sites 5", "--sites"),
        ("certify CASE plan --program none", "--program"),
        ("certify CASE --margin-time 5", "--margin-time"),
        ("certify CASE --seed 5", "--seed"),
        ("replay CASE plan --controls locked --free all", "--free"),
        ("replay CASE plan --controls locked --lock x", "--lock"),
        ("baseline CASE --controls locked --free all", "--free"),
        ("baseline CASE --profiles year.csv", "--profiles"),
        ("baseline CASE --year --free all", "--free"),
        ("baseline CASE --year --lock x", "--lock"),
        ("baseline CASE --year --weights schedule", "--weights"),
        ("baseline CASE --year --inverters volt_var", "inverters"),
        ("baseline CASE --year --controls both", "--controls"),
        ("nodal CASE --profiles year.csv", "--hours"),
        ("nodal CASE --processes 2 --scheduler tcp://127.0.0.1:1", "--processes"),
        ("stochastic CASE --processes 2 --scheduler tcp://127.0.0.1:1", "--processes"),
        ("stochastic CASE --size-kw 5 --size-per-load 1", "--size-per-load"),
        ("sweep ieee33 --i-max 100,200", "--i-max"),
        ("sweep ieee33 --revenue nan", "--revenue"),
        ("study ieee33 --schemes ,", "--schemes"),
    ],
)
def test_an_option_without_use_is_wrong_use(words, named):
    assert named in refused(*(CASE if w == "CASE" else w for w in words.split()))


# -- help -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [c.__name__ for c in COMMANDS])
def test_help_reaches_the_reader_whole(command):
    """Rich takes <words> and some [words] for markup and swallows them without a sound."""
    shown = hcsim(command, "--help", env={"COLUMNS": "400", "TERMINAL_WIDTH": "400", "NO_COLOR": "1"}).output
    plain = re.sub(r"[\s│─]+", " ", shown)
    click_command = typer.main.get_command(app).commands[command]
    texts = [p.help for p in click_command.params if getattr(p, "help", None)] + [click_command.help]
    for text in texts:
        for sentence in text.split("\n\n"):
            words = " ".join(sentence.replace("`", "").split())
            assert words in plain, (command, words)


# -- the terminal -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_short_help_is_help(command):
    words = [] if command is None else [command.__name__]
    short, long = hcsim(*words, "-h"), hcsim(*words, "--help")
    assert short.exit_code == 0 and short.output == long.output and "Usage" in short.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell):
    """The script that bash gets is a function that calls the program itself."""
    told = CliRunner().invoke(app, [], prog_name="hcsim", env={"_HCSIM_COMPLETE": f"source_{shell}"})
    assert "_HCSIM_COMPLETE" in told.output and told.exit_code == 0


@pytest.mark.parametrize("at", [0, 1, 2])
def test_quiet_leaves_the_result_and_no_progress(tmp_path, at):
    words = ["optimize", CASE, "--program", "none", "--out", tmp_path / "plan"]
    loud = hcsim(*words)
    words.insert(at if at < 2 else len(words), "--quiet")
    still = hcsim(*words)
    assert loud.exit_code == still.exit_code == 0
    assert loud.stderr and not still.stderr
    assert still.stdout == loud.stdout and still.stdout


def test_quiet_still_says_what_is_wrong():
    assert "no bundled case" in hcsim("--quiet", "optimize", "ieee12", "--program", "none").stderr


@pytest.mark.parametrize("console", [out_console, err_console])
def test_no_number_becomes_a_picture(console):
    """rich draws :100: and :1234: as emoji where it is let."""
    with console.capture() as said:
        console.print("bus:100:5, :1234:, :on:", soft_wrap=True)
    assert said.get() == "bus:100:5, :1234:, :on:\n"


@pytest.mark.parametrize("named", ["ieee123", CASE])
def test_check_takes_a_bundled_case_and_a_study_folder(named):
    found = json.loads(hcsim("check", named, "--json").stdout)
    assert found["gate"]["passed"] and Path(found["master"]).suffix == ".dss"


def test_check_names_what_is_not_there():
    assert "ieee123" in refused("check", "ieee12") and "nowhere.dss" in refused("check", "nowhere.dss")


def test_more_sites_than_there_are_is_said(tmp_path):
    master = CASE / "Master.dss"
    done = hcsim("init", master, "--sites", "500", "--out", tmp_path / "study")
    text = (tmp_path / "study" / "study.toml").read_text(encoding="utf-8")
    n = len(tomllib.loads(text)["pv"]["buses"])
    said = f"500 sites were asked for, {n} are possible"
    assert done.exit_code == 0 and said in " ".join(done.output.split()) and said in " ".join(text.split())
    few = hcsim("init", master, "--sites", str(n), "--out", tmp_path / "few")
    assert "asked for" not in few.output
