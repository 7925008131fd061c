"""Programs over several days, and a plan for the year."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hcsim.cases.existing_devices import with_existing
from hcsim.certify.decisions import decisions_of
from hcsim.schedules.repeat import part_of
from hcsim.studies.parts.year_plan import first_days, most_similar, on_days_of
from hcsim.studies.year_plan import plan_year
from hcsim.workbench.allocation import Workbench
from optim.data.profiles import Profiles
from optim.errors import ModelError
from optim.hosting.decided import DecidedProgram
from optim.hosting.search import solve_hosting

CASE = Path(__file__).parents[2] / "cases" / "three_bus"


@pytest.fixture(scope="module")
def bench():
    return Workbench.open(CASE)


def days_of(bench, *factors):
    """The case on so many days, load times a factor each."""
    day = bench.profiles
    profiles = Profiles(
        tuple(f"{k} {t}" for k in range(len(factors)) for t in day.times),
        day.step_h,
        np.concatenate([f * day.load_pu for f in factors]),
        np.tile(day.pv_pu, len(factors)),
        days=len(factors),
    )
    return replace(bench, case=replace(bench.case, profiles=profiles))


def solved(bench, program):
    return solve_hosting(bench.problem(program), program, bench.solve_options())


@pytest.mark.parametrize("program", ["none", "centralized"])
def test_the_same_day_twice_is_the_day(bench, program):
    assert solved(days_of(bench, 1.0, 1.0), program).hc_kw == pytest.approx(solved(bench, program).hc_kw, rel=1e-4)


def test_energy_returns_at_the_end_of_every_day(bench):
    found = solved(days_of(bench, 1.0, 0.8, 1.1), "centralized")
    for end in (24, 48, 72):
        np.testing.assert_allclose(found.soc_kwh[end], found.soc_kwh[0], atol=1e-4)
    assert found.p_charge_kw[24:48].sum() > 1.0


@pytest.mark.parametrize("program", ["none", "centralized"])
def test_the_worst_day_decides(bench, program):
    """By hand: sizes are common, so no pair of days takes more than its worse one alone, and here it is just that."""
    alone = [solved(days_of(bench, f), program).hc_kw for f in (0.8, 1.0)]
    both = solved(days_of(bench, 1.0, 0.8), program).hc_kw
    assert both == pytest.approx(min(alone), rel=1e-4)


def test_matrices_and_equations_agree_on_two_days(bench):
    """The program where all is decided, by its own matrices, against the Pyomo one it is decided by."""
    two = days_of(bench, 1.0, 0.8)
    claim = solved(two, "centralized")
    decisions = decisions_of(claim)
    problem = replace(two.problem("centralized"), fleet=decisions.fleet, charging=decisions.charging)
    again = DecidedProgram().solve(problem, "centralized", order=0)
    assert again.schedule.hc_kw == pytest.approx(claim.hc_kw, rel=1e-5)
    np.testing.assert_allclose(again.schedule.soc_kwh[24], again.schedule.soc_kwh[0], atol=1e-4)


def test_a_day_cut_out_is_a_schedule_of_its_own(bench):
    two = days_of(bench, 1.0, 0.8)
    found = solved(two, "centralized")
    second = part_of(found, slice(24, 48))
    assert len(second.times) == 24 and second.soc_kwh.shape == (25, 1)
    gained = second.p_charge_kw @ np.ones(3) * second.bess[0].eta_charge
    gained -= second.p_discharge_kw @ np.ones(3) / second.bess[0].eta_discharge
    np.testing.assert_allclose(np.diff(second.soc_kwh[:, 0]), gained, atol=1e-4)


def test_days_that_are_none():
    with pytest.raises(ModelError, match="not 5 days"):
        Profiles(tuple(map(str, range(24))), 1.0, np.ones(24), np.ones(24), days=5)


def test_the_days_to_begin_with(bench):
    """A year in which they are known: day 40 has least load, day 100 most sun, day 7 the highest load."""
    year = with_existing(bench.case, bench.network, 8760, None).profiles
    load, sun = np.ones((365, 24)), np.tile(np.clip(np.sin(np.pi * (np.arange(24) - 6) / 12), 0, None) * 0.8, (365, 1))
    load[40], sun[100], load[7] = 0.5, sun[100] * 1.1, 1.3
    year = replace(year, load_pu=load.ravel(), pv_pu=sun.ravel())
    assert first_days(bench, year, 24) == [40, 100, 7]
    choice = most_similar(bench, year, [40, 100, 7], 24)
    assert (choice[40], choice[100], choice[7]) == (0, 1, 2)
    together = on_days_of(bench, year, [40, 100], 24)
    assert together.profiles.days == 2 and together.profiles.load_pu[0] == 0.5


def test_a_plan_for_the_year(bench, tmp_path):
    found = plan_year(bench.case, None, tmp_path / "year", ["none"], processes=1)
    plan = found.plans["none"]
    assert found.missing == {}
    assert plan.status in ("holds", "holds operated")
    assert plan.open_loop.available_kw.shape == (8760,)
    alone = solved(bench, "none").hc_kw
    assert 0 < plan.schedule.hc_kw < alone  # a weekend of a spring day takes less than the case's own day
    written = json.loads((tmp_path / "year" / "summary.json").read_text())
    year = written["cases"]["none"]["year"]
    assert year["days_in_program"] == list(plan.days) and 3 <= len(plan.days) <= 12
    assert {"days_failing", "new_violations", "curtailed_kwh", "cycles"} <= set(year)
    # with each round the program knows more, so that it never promises more
    sizes = [r.hc_kw for r in plan.rounds]
    assert all(b <= a * 1.002 for a, b in pairwise(sizes))
