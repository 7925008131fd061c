"""The program over the rest of the day, and what all of the day known is worth."""

from pathlib import Path

import numpy as np
import pytest

from hcsim.certify.loop import certify
from hcsim.certify.options import LoopOptions
from hcsim.operate.days import OperatedDays, drawn, known_policies
from hcsim.operate.foresight import foresight
from hcsim.operate.operation import Day, OperatedFeeder
from hcsim.operate.settings import OperateSettings
from hcsim.workbench.allocation import Workbench
from optim.hosting.search import solve_hosting

CASE = Path(__file__).parents[2] / "cases" / "three_bus"


@pytest.fixture(scope="module")
def bench():
    return Workbench.open(CASE)


@pytest.fixture(scope="module")
def plan(bench):
    claim = solve_hosting(bench.problem("centralized"), "centralized", bench.solve_options())
    return certify(bench, claim, LoopOptions(bound=False)).schedule


@pytest.fixture(scope="module")
def work(bench, plan):
    return OperatedDays(bench, plan, OperateSettings())


@pytest.fixture(scope="module")
def days(bench):
    return drawn(8, 3, 0.1, len(bench.profiles))


@pytest.fixture(scope="module")
def found(work, days):
    return {name: work.run(name, known_policies()[name], days) for name in ("follow", "rolling")}


def test_every_day_passes_and_less_is_curtailed_than_by_follow(found):
    """The forecast is exact here, so that planning batteries can only help."""
    assert found["rolling"].share_passed == 1.0
    assert found["rolling"].curtailed_share.mean() <= found["follow"].curtailed_share.mean() + 1e-4


def test_energy_ends_where_the_plan_has_it(found, plan):
    scale = sum(u.energy_kwh for u in plan.bess)
    assert np.abs(found["rolling"].soc_end_off_kwh).max() < 0.02 * scale


def test_nobody_beats_perfect_foresight(bench, plan, work, days, found):
    """Up to what the repair leaves as a margin: 0.5 kW a phase in each hour, of which six or so bind."""
    seen = foresight(bench, plan, days, work.before)
    assert seen.found == len(days)
    share = seen.curtailed_kwh / seen.available_kwh
    slack = 3 * 0.5 * 12 / seen.available_kwh
    for policy in found.values():
        assert (share <= policy.curtailed_share + slack).all()
    kwh, pct = seen.regret(found["follow"].curtailed_share)
    mine = found["follow"].curtailed_share * seen.available_kwh
    assert kwh == pytest.approx(float(np.mean(mine - seen.curtailed_kwh)))
    assert pct == pytest.approx(100 * kwh / seen.available_kwh.mean())


def test_a_forecast_that_lies_costs_energy_but_no_limit(bench, plan, days):
    """What is within the step stays measured."""
    settings = OperateSettings(forecast_error_pct=30.0)
    blind = OperatedDays(bench, plan, settings).run("rolling", known_policies()["rolling"], days)
    assert blind.share_passed == 1.0


def test_without_batteries_it_is_follow(bench, days):
    claim = solve_hosting(bench.problem("none"), "none", bench.solve_options())
    work = OperatedDays(bench, claim, OperateSettings())
    one = {}
    for name in ("follow", "rolling"):
        with OperatedFeeder(bench, work.plan, work.settings) as feeder:
            one[name] = feeder.run(days[0], known_policies()[name](work.plan), name)
    assert one["follow"].pv_p_kw.tobytes() == one["rolling"].pv_p_kw.tobytes()


def test_repairs_give_a_battery_one_direction(bench, plan):
    """Three converters of one unit: none discharges in a step in which another charges."""
    from dataclasses import replace

    from hcsim.certify.least_change import least_change
    from hcsim.feeder.model import FeederModel
    from hcsim.operate.operation import available_kw
    from hcsim.replay.operating_points import visit
    from hcsim.replay.options import ReplayOptions
    from hcsim.replay.run import replay

    day = Day(np.full(24, 0.9), np.full(24, 1.1), "hard")
    model = FeederModel(bench.circuit, bench.network, bench.profiles.scaled(day.load), bench.limits)
    before = replay(model, None, ReplayOptions()).before
    asked = replace(plan, pv_p_kw=np.minimum(available_kw(plan, bench.profiles, day), 0.99 * plan.pv_kw))
    ports = tuple(dict.fromkeys([*plan.pv_nodes, *plan.bess_nodes]))
    options = ReplayOptions("free", before=before)
    repaired = least_change(asked, lambda s: visit(model, s, ports, options), bench.limits, before, battery=1e-2)
    assert repaired is not None and repaired.passed and repaired.changed_kwh > 10.0
    charges = repaired.schedule.p_charge_kw.sum(axis=1) > 1e-6
    discharges = repaired.schedule.p_discharge_kw.sum(axis=1) > 1e-6
    assert not (charges & discharges).any()
