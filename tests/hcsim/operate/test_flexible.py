"""Years under a policy: against energy counted by hand, against plain repetition of days, and what is refused."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hcsim.cases.existing_devices import with_existing
from hcsim.errors import ConfigError
from hcsim.feeder.model import FeederModel
from hcsim.operate.capacity import operated_capacity
from hcsim.operate.days import OperatedDays, drawn, maker_of, plan_of
from hcsim.operate.operation import OperatedFeeder, PlanOfDay
from hcsim.operate.settings import OperateSettings
from hcsim.operate.year import YearOfDays, YearRun
from hcsim.replay.options import ReplayOptions
from hcsim.replay.run import replay
from hcsim.schedules.repeat import on_days
from hcsim.studies.flexible import flexible_capacity
from hcsim.studies.parts.flexible import capacity_at
from hcsim.workbench.allocation import Workbench
from optim.hosting.search import solve_hosting

CASE = Path(__file__).parents[2] / "cases" / "three_bus"
DAYS = 5


@pytest.fixture(scope="module")
def bench():
    return Workbench.open(CASE)


@pytest.fixture(scope="module")
def claims(bench):
    return {p: solve_hosting(bench.problem(p), p, bench.solve_options()) for p in ("none", "centralized")}


@pytest.fixture(scope="module")
def week(bench):
    """Days of summer, so that there is something to curtail."""
    year = with_existing(bench.case, bench.network, 8760, None).profiles
    hours = slice(24 * 170, 24 * (170 + DAYS))
    return replace(year, times=year.times[hours], load_pu=year.load_pu[hours], pv_pu=year.pv_pu[hours])


def year_of(bench, schedule, week, settings=None):
    settings = settings or OperateSettings()
    model = FeederModel(bench.circuit, bench.network, week, bench.limits)
    before = replay(model, None, ReplayOptions()).before
    return YearOfDays(bench, PlanOfDay.same(plan_of(bench, schedule, settings)), week, before, settings)


@pytest.mark.parametrize("program", ["none", "centralized"])
def test_days_on_end_under_the_schedule_are_a_replay_of_them(bench, claims, week, program):
    """The same commands through `replay`, which knows nothing of policies: the same violations."""
    schedule = claims[program]
    found = year_of(bench, schedule, week).run(schedule.hc_kw, maker_of("schedule"), "schedule")
    model = FeederModel(bench.circuit, bench.network, week, bench.limits)
    before = replay(model, None, ReplayOptions()).before
    again = replay(model, on_days(schedule, week), ReplayOptions(before=before))
    of_feeder = ~again.violations["criterion"].isin(["not_delivered", "stored_energy"])
    assert found.new_violations == int((~again.violations["existing"].astype(bool) & of_feeder).sum())
    assert found.tap_operations == again.tap_operations
    assert found.curtailed_share == pytest.approx(0.0, abs=1e-3)  # inverters give way to their reactive power


def test_follow_curtails_what_a_hand_would(bench, claims, week):
    """Without batteries reverse flow alone binds: what passes is the bare feeder's own draw, less the margin.

    Losses and the voltage's effect on the loads are a few kW of several hundred: 2 % of the energy.
    """
    schedule = claims["none"]
    settings = OperateSettings()
    year = year_of(bench, schedule, week, settings)
    kw = 1.5 * schedule.hc_kw
    found = year.run(kw, maker_of("follow"), "follow")
    assert found.passed
    phases = np.array([int(n.rsplit(".", 1)[1]) - 1 for n in found.nodes])
    power = week.pv_pu[:, None] * found.pv_kw
    by_phase = np.stack([power[:, phases == k].sum(axis=1) for k in range(3)], axis=1)
    room = year.before.days[0].substation_kw - settings.margin_kw
    by_hand = float(np.maximum(by_phase - room, 0.0).sum())
    assert found.curtailed_kwh.sum() == pytest.approx(by_hand, rel=0.03)
    np.testing.assert_allclose(found.available_kw, power.sum(axis=1), rtol=1e-9)
    assert (found.available_kw - found.delivered_kw).sum() == pytest.approx(found.curtailed_kwh.sum())
    assert found.limit["criterion"] == "reverse_flow"


def test_batteries_run_on_over_midnight(bench, claims, week):
    """Stored energy is counted from what was delivered, all days on end."""
    schedule = claims["centralized"]
    found = year_of(bench, schedule, week).run(schedule.hc_kw, maker_of("follow"), "follow")
    assert found.passed
    year = year_of(bench, schedule, week)
    plan = year.plans.plans[0]
    with OperatedFeeder(bench, plan, year.settings) as feeder:
        days = feeder.run_on(week, year.plans, maker_of("follow"), "follow")
    unit = schedule.bess[0]
    power = days.bess_p_kw  # of each converter, delivered
    gained = np.maximum(-power, 0.0) * unit.eta_charge - np.maximum(power, 0.0) / unit.eta_discharge
    stored = schedule.soc_kwh[0, 0] + np.cumsum(gained.sum(axis=1))
    np.testing.assert_allclose(days.soc_kwh[:, 0], stored, atol=1e-2)  # what converters deliver is rounded by OpenDSS
    assert found.full_cycles[0] == pytest.approx(np.maximum(days.bess_p_kw, 0.0).sum() / unit.energy_kwh)
    assert stored[23] != stored[-1]  # the days are not one day five times


def run_of(per_kw, through, hc_kw):
    available = np.asarray(per_kw) * hc_kw
    delivered = np.minimum(available, through)
    empty = np.zeros(1)
    lost = np.array([(available - delivered).sum()])
    return YearRun(
        hc_kw,
        ("a.1",),
        np.array([hc_kw]),
        1.0,
        available,
        delivered,
        lost,
        empty,
        0.0,
        0,
        {},
        {},
        0,
        0,
        empty,
        0,
        empty,
    )


@pytest.mark.parametrize("allowed", [1e-9, 0.1, 0.2])
def test_what_one_run_says_of_other_capacities(allowed):
    """Two hours of full sun, 100 kW pass in one and all in the other: S - 100 is lost of 2 S."""
    found = capacity_at(run_of([1.0, 1.0], [100.0, 1e9], 200.0), allowed)
    assert found == pytest.approx(100.0 / (1.0 - 2.0 * allowed), rel=1e-5)


def test_a_plan_that_passes_as_it_is_is_its_own_operated_capacity(bench, claims):
    days = drawn(20, 1, 0.0, len(bench.profiles))  # days exactly as planned
    found = operated_capacity(bench, claims["none"], "schedule", days, OperateSettings())
    assert found.share_passed == 1.0
    assert found.hc_kw == pytest.approx(claims["none"].hc_kw)


def test_operated_capacity_passes_when_it_is_put_back(bench, claims):
    """And a per cent more of the plan does not, where it is less than the plan."""
    from hcsim.schedules.edit import resized

    days = drawn(20, 1, 0.1, len(bench.profiles))
    settings = OperateSettings()
    found = operated_capacity(bench, claims["none"], "schedule", days, settings)
    assert 0 < found.hc_kw < claims["none"].hc_kw

    def passing(kw):
        work = OperatedDays(bench, resized(claims["none"], kw), settings)
        return work.run("schedule", maker_of("schedule"), days).share_passed

    assert passing(found.hc_kw) == found.share_passed >= 0.95
    assert passing(1.01 * found.hc_kw) < 0.95


@pytest.mark.parametrize(
    ("shares", "words"), [([], "no share"), ([-1.0], "from 0 to below 100"), ([100.0], "from 0 to below 100")]
)
def test_shares_that_are_none(bench, tmp_path, shares, words):
    with pytest.raises(ConfigError, match=words):
        flexible_capacity(bench.case, None, tmp_path / "out", shares)


def test_the_whole_command(tmp_path):
    """A point is a year: its files agree with each other, and the same again is the same."""
    command = [sys.executable, "-m", "hcsim", "flexible", str(CASE), "--program", "none", "--curtailment", "2"]
    done = subprocess.run(
        [*command, "--processes", "1", "--json", "--out", "out"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == json.loads((tmp_path / "out" / "summary.json").read_text())
    (point,) = found["points"]
    assert point["verified"]
    assert 1.0 < point["curtailed_pct"] <= 2.0
    lines = (tmp_path / "out" / "export_profiles.csv").read_text().splitlines()
    assert len(lines) == 1 + 288 + 24
    least = min(float(line.rsplit(",", 1)[1]) for line in lines[1:])
    assert 0 < least < point["hc_kw"]
    assert "8,760 hours" in (tmp_path / "out" / "flexible.html").read_text()
    again = subprocess.run([*command, "--resume", "--out", "out"], cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "of an earlier run" in again.stderr
