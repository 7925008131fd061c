"""Policies at work on a small feeder: what they may see and set, and what is left of their days."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hcsim.errors import ConfigError
from hcsim.operate.days import OperatedDays, drawn, known_policies
from hcsim.operate.operation import Day, OperatedFeeder
from hcsim.operate.policy import Commands, PolicyError
from hcsim.operate.settings import OperateSettings
from hcsim.studies.operate import maker_of, operate, read_days
from hcsim.workbench.allocation import Workbench
from optim.hosting.search import solve_hosting

CASE = Path(__file__).parents[2] / "cases" / "three_bus"


@pytest.fixture(scope="module")
def bench():
    return Workbench.open(CASE)


@pytest.fixture(scope="module")
def plan(bench):
    return solve_hosting(bench.problem("centralized"), "centralized", bench.solve_options())


@pytest.fixture(scope="module")
def work(bench, plan):
    return OperatedDays(bench, plan, OperateSettings())


def planned_day(bench):
    steps = len(bench.profiles)
    return Day(np.ones(steps), np.ones(steps), "as planned")


def run(bench, work, policy, day, settings=None):
    with OperatedFeeder(bench, work.plan, settings or OperateSettings()) as feeder:
        return feeder.run(day, policy, "mine")


def test_the_schedule_on_its_own_day_is_the_replay(bench, plan, work):
    """Against the replay, another road through the same circuit: the same commands, so the same voltages."""
    from hcsim.replay.options import ReplayOptions
    from hcsim.replay.run import replay

    found = run(bench, work, known_policies()["schedule"](work.plan), planned_day(bench))
    expected = replay(bench.model, plan, ReplayOptions())
    np.testing.assert_allclose(found.operation.v_pu, expected.operation.v_pu, atol=1e-6, equal_nan=True)
    np.testing.assert_allclose(found.soc_kwh[-1], plan.soc_kwh[-1], atol=1e-3)


def test_energy_adds_up(bench, work):
    """What a day delivers and curtails is what the sun gave; stored energy moves by what the battery did."""
    day = Day(np.full(len(bench.profiles), 0.95), np.full(len(bench.profiles), 1.08))
    found = run(bench, work, known_policies()["follow"](work.plan), day)
    step_h = bench.profiles.step_h
    there = found.available_kw.sum() * step_h
    assert found.pv_p_kw.sum() * step_h + found.curtailed_kwh(step_h).sum() == pytest.approx(there, rel=1e-6)
    unit = work.plan.schedule.bess[0]
    p = found.bess_p_kw  # each phase by itself: one may charge while another gives
    moved = np.where(p < 0, -p * unit.eta_charge, -p / unit.eta_discharge).sum(axis=1) * step_h
    start = work.plan.schedule.soc_kwh[0, 0]
    np.testing.assert_allclose(found.soc_kwh[:, 0], start + np.cumsum(moved), atol=1e-3)


@pytest.mark.parametrize("delay", [0, 1])
def test_no_policy_sees_the_future(bench, work, delay):
    """Other hours after noon change nothing before it."""
    steps = len(bench.profiles)
    noon = steps // 2
    one, other = np.full(steps, 1.06), np.full(steps, 1.06)
    other[noon:] = 0.9
    settings = OperateSettings(delay_steps=delay)
    plan = replace(work.plan, settings=settings)
    make = known_policies()["follow"]
    days = [run(bench, work, make(plan), Day(np.full(steps, 0.97), pv), settings) for pv in (one, other)]
    np.testing.assert_array_equal(days[0].pv_p_kw[:noon], days[1].pv_p_kw[:noon])
    np.testing.assert_array_equal(days[0].bess_p_kw[:noon], days[1].bess_p_kw[:noon])


class Raises:
    def __init__(self, plan): ...

    def act(self, sight):
        raise RuntimeError("no idea")


class Nonsense(Raises):
    def act(self, sight):
        return 42


class TooMuch(Raises):
    def act(self, sight):
        more = sight.available_kw + 100.0
        return Commands(more, np.zeros_like(more), np.zeros(len(sight.p_kw) - len(more) if len(sight.p_kw) else 3))


class NeverRests(Raises):
    def __init__(self, plan):
        self.plan = plan

    def act(self, sight):
        s = self.plan.schedule
        share = 0.5 if sight.iteration % 2 else 0.9
        return Commands(share * sight.available_kw, np.zeros(len(s.pv_nodes)), s.bess_p_kw[sight.step])


@pytest.mark.parametrize(
    ("policy", "said"),
    [(Raises, "RuntimeError: no idea"), (Nonsense, "returned int"), (TooMuch, "the sun gives|shape")],
)
def test_a_policy_that_may_not_is_named(bench, plan, policy, said):
    name = f"{__name__}:{policy.__name__}"
    found = operate(bench, plan, [name, "schedule"], [planned_day(bench)])
    assert name not in found.policies and "schedule" in found.policies
    assert "step 0" in found.cut[name]
    with pytest.raises(PolicyError, match=said):
        OperatedDays(bench, plan).run("bad", policy, [planned_day(bench)])


def test_a_policy_that_never_rests_hunts_and_its_day_ends(bench, work):
    found = run(bench, work, NeverRests(work.plan), planned_day(bench))
    assert len(found.hunting) == len(bench.profiles) and found.operation is not None


def test_unknown_policies_and_days_are_refused(bench, plan, tmp_path):
    with pytest.raises(ConfigError, match="no policy 'folow'") as caught:
        maker_of("folow")
    assert "follow" in caught.value.remedy
    with pytest.raises(ConfigError, match="no_such_module"):
        maker_of("no_such_module:X")
    (tmp_path / "d.csv").write_text("day,step,load_factor,pv_factor\na,0,1,1\n")
    with pytest.raises(ConfigError, match="day a has 1 steps"):
        read_days(tmp_path / "d.csv", len(bench.profiles))
    with pytest.raises(ConfigError, match="delay_steps"):
        operate(bench, plan, ["schedule"], [planned_day(bench)], OperateSettings(delay_steps=99))


def test_same_days_same_bytes(bench, work):
    days = drawn(3, 1, 0.1, len(bench.profiles))
    one, other = (work.run("follow", known_policies()["follow"], days).to_json() for _ in range(2))
    assert {k: v for k, v in one.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}


def test_follow_passes_no_fewer_days_than_the_schedule(bench, work):
    """Recourse can only help on a feeder whose limits the devices' own terminals show."""
    days = drawn(12, 3, 0.1, len(bench.profiles))
    shares = {name: work.run(name, make, days).share_passed for name, make in known_policies().items()}
    assert shares["follow"] >= shares["schedule"]


def test_command(plan, tmp_path):
    from hcsim.schedules.files import write_schedule

    write_schedule(plan, tmp_path / "s")
    call = [sys.executable, "-m", "hcsim", "operate", str(CASE), str(tmp_path / "s"), "--draws", "2", "--json", "--out"]
    done = subprocess.run([*call, str(tmp_path / "o")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content == json.loads((tmp_path / "o" / "summary.json").read_text())
    wanted = {
        "draws",
        "share_passed",
        "share_low",
        "share_high",
        "curtailed_share_mean",
        "curtailed_share_worst",
        "worst",
        "tap_operations_mean",
        "seconds",
    }
    assert wanted <= content["policies"]["follow"].keys()
    assert (tmp_path / "o" / "operate.html").is_file() and (tmp_path / "o" / "days.csv").is_file()
