"""The commands on a three-bus case, and every fault a user can make: words, exit code, no traceback."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from guards import HANG_S, unmeasured, wait_until
from typer.testing import CliRunner

from hcsim.cli.app import app
from hcsim.replay.result import read_replay
from hcsim.schedules.files import read_schedule
from optim.hosting.problem import CASES

CASE = Path(__file__).parents[2] / "cases" / "three_bus"
PROFILE = "profiles.csv"


def hcsim(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def fails(code, *arguments, says):
    """The command ends with the code, says the words, and shows no traceback."""
    done = hcsim(*arguments)
    words = " ".join((done.output + done.stderr).split())
    assert done.exit_code == code, words
    assert "Traceback" not in words and "fault of hcsim itself" not in words
    for word in [says] if isinstance(says, str) else says:
        assert word in words, words
    return words


@pytest.fixture
def case(tmp_path):
    """A copy of the three-bus case to spoil."""
    return Path(shutil.copytree(CASE, tmp_path / "mine"))


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


# --- what works --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """One whole study through the command."""
    folder = tmp_path_factory.mktemp("study") / "results"
    done = hcsim("study", CASE, "--out", folder)
    assert done.exit_code == 0, done.output + done.stderr
    return folder, done


def test_a_study_ends_with_a_table_and_a_folder(study):
    folder, done = study
    assert "Distributed" in done.output and str(folder) in done.output.replace("\n", "")
    for name in ("summary.json", "report.html", "ledger.csv", "inputs/study.toml", "inputs/profiles.csv"):
        assert (folder / name).is_file(), name
    assert list(folder.rglob("*.png")) and list(folder.rglob("*.svg"))


def test_the_summary_has_the_keys_that_scripts_rely_on(study):
    folder, _ = study
    summary = json.loads((folder / "summary.json").read_text())
    assert {"case", "versions", "feeder", "assumptions", "cases", "baseline"} <= set(summary)
    assert set(summary["cases"]) == set(CASES) and set(summary["baseline"]) >= {"none", "with_schedule"}
    for name, found in summary["cases"].items():
        assert set(found) >= {
            "hc_kw",
            "bound_kw",
            "gap",
            "status",
            "build_s",
            "solve_s",
            "bess_buses",
            "circulated_kwh",
            "penetration_capacity_pct",
            "penetration_energy_pct",
            "paper_hc_kw",
        }, name
        for controls in ("locked", "free"):
            replayed = found["replay"][controls]
            assert set(replayed) >= {
                "converged",
                "v_min_pu",
                "v_max_pu",
                "new_violations",
                "existing_violations",
                "min_substation_kw",
                "dv_max_pu",
                "dv_mean_pu",
                "losses_kwh",
                "tap_operations",
                "energy_not_delivered_kwh",
            }, (name, controls)
            assert replayed["converged"]
    for found in summary["baseline"].values():
        assert {"hc_kw", "limit", "power_flows"} <= set(found)
    assert set(summary["controls"]) == {"free", "held"}


def test_certified_schedules_are_tried_on_other_days(study):
    folder, done = study
    for name in ("none", "centralized", "distributed"):
        tried = json.loads((folder / "summary.json").read_text())["cases"][name]["certified"]["robustness"]
        assert tried["draws"] == 20 and 0.0 <= tried["share_passed"] <= tried["share_in_range"] <= 1.0
        assert tried["margin_status"] == "not searched" and tried["robust_kw"] is None and tried["needed_kw"] > 0
        worst = tried["causes"][0]
        assert worst["criterion"] == "reverse_flow" and worst["element"] == "src", "its claim stands at that limit"
    assert "20 drawn days" in done.output and "Days of other load and sun" in (folder / "report.html").read_text()


def test_storage_never_lowers_the_claim(study):
    folder, _ = study
    found = json.loads((folder / "summary.json").read_text())["cases"]
    tolerance = 1 + 1e-3  # the gap that the study asks for
    assert found["centralized"]["hc_kw"] * tolerance >= found["none"]["hc_kw"]
    assert found["distributed"]["hc_kw"] * tolerance >= found["distributed_no_circulation"]["hc_kw"]


def test_schedules_and_replays_of_a_study_can_be_read_back(study):
    folder, _ = study
    for name in CASES:
        schedule = read_schedule(folder / "schedules" / name)
        assert schedule.case == name and schedule.solve is not None
        for controls in ("locked", "free"):
            assert read_replay(folder / "replays" / name / controls).converged.all()


def test_the_steps_work_from_the_files_of_the_step_before(tmp_path):
    plan = tmp_path / "plan"
    done = hcsim("optimize", CASE, "--program", "centralized", "--out", plan, "--gap", "0.001")
    assert done.exit_code == 0 and "BESS at a" in done.output
    done = hcsim("replay", CASE, plan, "--controls", "both", "--out", tmp_path / "replay")
    assert done.exit_code == 0, done.output + done.stderr
    assert "controls locked" in done.output and "controls free" in done.output
    assert read_replay(tmp_path / "replay" / "free").case == "centralized"
    for weights in ("uniform", "load", "schedule"):
        done = hcsim("baseline", CASE, "--bess", plan, "--weights", weights, "--out", tmp_path / weights)
        assert done.exit_code == 0, done.output + done.stderr
        assert "power flows" in done.output and (tmp_path / weights / "baseline.json").is_file()


def test_a_schedule_edited_by_hand_is_refuted(tmp_path):
    plan = tmp_path / "plan"
    assert hcsim("optimize", CASE, "--program", "none", "--out", plan).exit_code == 0
    schedule = read_schedule(plan)
    lines = (plan / "pv_dispatch.csv").read_text().splitlines()
    at = lines[0].split(",").index("p_kw")
    tripled = [",".join(str(3 * float(c)) if i == at else c for i, c in enumerate(row.split(","))) for row in lines[1:]]
    (plan / "pv_dispatch.csv").write_text("\n".join([lines[0], *tripled]) + "\n")
    capacity = [f"{node},{3 * kw}" for node, kw in zip(schedule.pv_nodes, schedule.pv_kw, strict=True)]
    (plan / "pv.csv").write_text("\n".join(["node,capacity_kw", *capacity]) + "\n")
    done = hcsim("replay", CASE, plan, "--controls", "locked")
    assert done.exit_code == 0 and "refuted" in done.output and "reverse flow" in done.output


def test_cases_and_export(tmp_path):
    done = hcsim("cases")
    assert done.exit_code == 0 and "ieee123" in done.output and "ieee33" in done.output
    done = hcsim("export", CASE, "--out", tmp_path / "model")
    assert done.exit_code == 0, done.output + done.stderr
    assert list((tmp_path / "model").glob("*.mtx")) and (tmp_path / "model" / "README.md").is_file()


def test_every_command_explains_itself():
    for command in ("study", "cases", "export", "optimize", "replay", "baseline"):
        done = hcsim(command, "--help")
        assert done.exit_code == 0 and len(done.output.splitlines()) > 4


# --- bad input ---------------------------------------------------------------------------------------------


def test_wrong_use_is_explained():
    fails(2, "studdy", "ieee123", says="No such command")
    fails(2, "study", says="Missing argument")
    fails(2, "study", "ieee123", "--gap", "lots", says="--gap")
    fails(2, "optimize", CASE, "--program", "decentral", says="decentral")
    fails(2, "study", "ieee132", says=["ieee132", "Nearest: ieee123", "ieee33"])


def test_a_missing_feeder_file(case, tmp_path):
    (case / "Master.dss").unlink()
    fails(1, "study", case, "--out", tmp_path / "r", says=["Master.dss does not exist", "study.toml"])


def test_a_broken_feeder_file_gives_opendss_s_words_with_file_and_line(case, tmp_path):
    edit(case / "Master.dss", "new load.b bus1=b.2 phases=1 conn=wye", "new load.b bus1=b.2 phasen=1 conn=wye")
    fails(1, "study", case, "--out", tmp_path / "r", says=["phasen", "Master.dss", "8"])


def test_a_redirect_to_a_file_that_is_not_there(case, tmp_path):
    edit(case / "Master.dss", "set voltagebases", "redirect Loads.dss\nset voltagebases")
    fails(1, "study", case, "--out", tmp_path / "r", says="Loads.dss")


def test_a_key_a_unit_and_a_range(case, tmp_path):
    edit(case / "study.toml", "energy_kwh = 800.0", "energy_mwh = 0.8")
    fails(2, "study", case, "--out", tmp_path / "r", says=["study.toml", "energy_mwh", "energy_kwh", "kWh, not MWh"])
    edit(case / "study.toml", "energy_mwh = 0.8", 'energy_kwh = "800 kWh"')
    fails(2, "study", case, "--out", tmp_path / "r", says=["'800 kWh'", "bare number in kWh"])


def test_a_bus_that_is_not_there(case, tmp_path):
    edit(case / "study.toml", 'buses = ["a", "b"]', 'buses = ["a", "sorc"]')
    fails(2, "study", case, "--out", tmp_path / "r", says=["[pv] buses", "'sorc'", "Nearest: src"])
    edit(case / "study.toml", '"sorc"', '"b.1"')
    fails(2, "study", case, "--out", tmp_path / "r", says=["'b.1'", "bus b has phases 2"])
    edit(case / "study.toml", '"b.1"', '"b"')
    edit(case / "study.toml", 'centralized_bus = "a"', 'centralized_bus = "z"')
    fails(2, "study", case, "--out", tmp_path / "r", says=["[bess] centralized_bus", "'z'"])


def test_a_profile_of_wrong_length_or_with_a_gap(case, tmp_path):
    rows = (case / PROFILE).read_text().splitlines()
    (case / PROFILE).write_text("\n".join(rows[:-1]) + "\n")
    fails(2, "study", case, "--out", tmp_path / "r", says=[PROFILE, "23 rows", "not a whole day"])
    (case / PROFILE).write_text("\n".join(rows[:9] + rows[10:]) + "\n")
    fails(2, "study", case, "--out", tmp_path / "r", says=[PROFILE, "Hour 8 is missing"])
    spoiled = [*rows[:9], rows[9].split(",")[0] + ",,0.1", *rows[10:]]
    (case / PROFILE).write_text("\n".join(spoiled) + "\n")
    fails(2, "study", case, "--out", tmp_path / "r", says=[PROFILE, "hour 8", "load_pu", "empty"])


def test_an_infeasible_program_names_limits_bus_and_hour(case, tmp_path):
    """The drop over the lines is more than 0.0001 pu, and by night nothing can raise the voltage."""
    edit(case / "study.toml", "[pv]", "[limits]\nv_min_pu = 0.9999\n[pv]\nnight_var = false")
    words = fails(1, "optimize", case, "--program", "none", "--out", tmp_path / "r", says="no solution")
    assert re.search(r"at least 0\.9999 pu at [ab]\.[123] at (2[0-3]|0[0-5]):00", words), words
    assert "no reactive power from PV" in words


def test_an_infeasible_program_does_not_cost_the_study(case, tmp_path):
    edit(case / "study.toml", "[pv]", "[limits]\nv_min_pu = 0.9999\n[pv]\nnight_var = false")
    fails(1, "study", case, "--out", tmp_path / "r", "--program", "none", says="Missing: none")
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert summary["cases"] == {} and "none" in summary["baseline"]


def test_an_output_folder_that_cannot_be_written_is_found_before_the_work(case, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr("hcsim.opendss.circuit.Circuit.compile", lambda *given, **options: pytest.fail("work"))
    for command in (["study", case], ["optimize", case], ["export", case], ["baseline", case]):
        fails(2, *command, "--out", tmp_path / "file" / "r", says=["Cannot write", "file"])


def test_a_circuit_that_does_not_converge_names_the_hour(case, tmp_path):
    rows = (case / PROFILE).read_text().splitlines()
    hour, _, pv = rows[13].split(",")
    (case / PROFILE).write_text("\n".join([*rows[:13], f"{hour},9.9,{pv}", *rows[14:]]) + "\n")
    edit(case / "Master.dss", "kw=600 kvar=200", "kw=9000 kvar=4000")
    fails(1, "study", case, "--out", tmp_path / "r", says=["bare feeder", "12:00"])


def test_a_schedule_of_another_feeder(tmp_path):
    plan = tmp_path / "plan"
    assert hcsim("optimize", CASE, "--program", "none", "--out", plan).exit_code == 0
    fails(2, "replay", "ieee33", plan, says=["pv.csv"])
    fails(2, "replay", CASE, tmp_path / "nothing", says="schedule.json")
    fails(2, "baseline", CASE, "--weights", "schedule", says="--bess")
    fails(2, "baseline", CASE, "--controls", "both", says="--controls free")


def test_the_time_limit_gives_the_best_so_far_with_its_gap(tmp_path):
    """0.1 s is a guard that cuts anywhere: what comes is a schedule with a proven bound, or the sentence that there is
    none yet. How far it gets is the machine's affair."""
    arguments = ["optimize", "ieee123", "--program", "distributed", "--time-limit", "0.1", "--out", tmp_path / "plan"]
    done = hcsim(*arguments)
    if done.exit_code:
        assert done.exit_code == 1 and "no schedule found within 0.1 s" in done.stderr
        return
    schedule = read_schedule(tmp_path / "plan")
    assert len(schedule.bess) == 6 and schedule.hc_kw > 0
    assert schedule.solve.bound >= schedule.hc_kw * (1 - 1e-6)
    assert schedule.solve.status == ("time_limit" if schedule.solve.gap > 1e-3 else "gap")
    assert "at most" in done.output


# --- Ctrl-C ------------------------------------------------------------------------------------------------


def test_ctrl_c_keeps_finished_parts(tmp_path):
    from hcsim import Study

    def listener(event):
        if event.part == "program centralized" and event.state == "started":
            raise KeyboardInterrupt

    result = Study.load(CASE).run(tmp_path / "r", listener=listener)
    assert set(result.cases) == {"none"} and "interrupted by the user" in result.missing.values()
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert set(summary["cases"]) == {"none"}
    assert read_replay(tmp_path / "r" / "replays" / "none" / "free").converged.all()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_real_ctrl_c_ends_in_order(tmp_path):
    code = "from hcsim.cli.app import main; main()"
    command = [sys.executable, "-c", code, "study", "ieee123", "--out", str(tmp_path / "r")]
    # a child of a background shell may have SIGINT ignored: restore what a terminal gives
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=unmeasured(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_until(lambda: (tmp_path / "r" / "schedules" / "none" / "schedule.json").exists(), lambda: child.poll() is None)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=HANG_S)
    assert child.returncode == 130, out + err
    assert "Traceback" not in out + err and "interrupted by the user" in err
    assert (tmp_path / "r" / "summary.json").is_file()


def test_ctrl_c_in_the_solver_keeps_its_best_schedule(tmp_path, monkeypatch):
    """Ctrl-C inside HiGHS is the solver's to answer: it ends with what it has, and the study ends after it."""
    from hcsim import Study
    from optim.solve.highs import HighsSession

    def pressed(session, deadline):
        stopped = run(session, deadline)
        session.interrupted = True
        return stopped

    run = HighsSession._run_interruptibly
    monkeypatch.setattr(HighsSession, "_run_interruptibly", pressed)
    result = Study.load(CASE).run(tmp_path / "r", programs=["distributed", "none"])
    assert set(result.cases) == {"distributed"} and "interrupted by the user" in result.missing.values()
    assert result.cases["distributed"].schedule.solve.status in ("interrupted", "gap", "optimal")
