"""One walk of the closed loop with a program and a simulation of our own: what becomes of the region."""

from types import SimpleNamespace

import numpy as np
import pytest

from hcsim.certify.margins import Margins
from hcsim.certify.options import LoopOptions
from hcsim.certify.stalls import price_kw
from hcsim.certify.trials import Trials
from hcsim.certify.walk import Walk
from hcsim.errors import SolverError

LARGEST_KW = 1000.0


def walk_of(options, *, passes=lambda round_: False, solves=lambda round_: True, rounds=60):
    """A walk in which the program always offers more; `passes(round)` says what the simulation makes of it."""
    told, asked = [], []
    best = SimpleNamespace(schedule=SimpleNamespace(case="x"), merit=100.0)
    trials = SimpleNamespace(
        bench=SimpleNamespace(
            network=SimpleNamespace(loads=SimpleNamespace(p_kw=np.array([1000.0]))),
            profiles=SimpleNamespace(load_pu=np.ones(1), __len__=lambda self: 1),
        ),
        best=best,
        anchor=best,
        visit=lambda proposal: SimpleNamespace(found=SimpleNamespace(passed=False)),
    )
    walk = object.__new__(Walk)
    walk.trials, walk.options, walk.largest_kw = trials, options, LARGEST_KW
    walk.least = Margins.least(options)
    walk.learned = SimpleNamespace(forget=lambda: None, take=lambda found, moved: None)
    walk.visited, walk.why, walk.tell = [], "", told.append
    walk.cut = lambda: len(asked) >= rounds

    def solve(problem, case, order):
        asked.append(problem)
        if not solves(len(asked)):
            raise SolverError("none found.")
        return SimpleNamespace(schedule=SimpleNamespace(hc_kw=200.0), worth_mw=1.0)

    walk.program = SimpleNamespace(solve=solve)
    walk._problem = lambda center, reach: reach
    walk._take = lambda proposal, seen, center: (passes(len(asked)), center)
    return walk, best, told, asked


def test_a_region_in_which_nothing_passes_shrinks_until_it_is_too_small():
    """The walk ends by itself, long before its rounds are over, and every region is smaller than the one before."""
    options = LoopOptions(first_radius=0.1, smallest_radius=2e-3)
    walk, best, told, asked = walk_of(options)
    assert walk.go(best, options.first_radius) == "refused"
    assert asked[0] == pytest.approx(100.0)
    shrunk = np.array(asked[1:]) / np.array(asked[:-1])
    assert len(asked) > 3 and np.all(shrunk < 0.9)
    assert all(reach >= options.smallest_radius * LARGEST_KW for reach in asked)
    assert [r.radius_kw for r in told] == asked
    assert len(asked) < 40  # a fiftieth of the first region, with a tenth less each round at the least: 38


def test_a_region_in_which_all_passes_grows_to_the_claim_and_no_further():
    walk, best, _, asked = walk_of(LoopOptions(), passes=lambda _: True, rounds=30)
    assert walk.go(best, 0.1) == "cut"
    assert np.all(np.diff(asked) >= 0) and asked[-1] == pytest.approx(LARGEST_KW)


def test_a_program_without_a_solution_is_tried_in_smaller_regions_and_given_up():
    walk, best, told, asked = walk_of(LoopOptions(), solves=lambda _: False)
    assert walk.go(best, 0.1) == "failed" and walk.why.startswith("none found")
    assert told == [] and len(asked) == 4 and np.all(np.array(asked[1:]) < 0.5 * np.array(asked[:-1]))


def test_what_a_replay_breaks_is_priced_by_hand():
    """0.01 pu beyond a limit, at 200,000 kW per pu of the programs a twentieth of it: 100 kW. 3 kW back: 30. What was
    so before, or worse, costs nothing; of what became worse only the difference: 0.002 pu are 20 kW."""
    import pandas as pd

    rows = [
        ("overvoltage", 1.06, 1.05, "pu", np.nan, False),
        ("reverse_flow", -3.0, 0.0, "kW", np.nan, False),
        ("overvoltage", 1.09, 1.05, "pu", 1.1, True),
        ("overvoltage", 1.072, 1.05, "pu", 1.07, False),
    ]
    table = pd.DataFrame(rows, columns=["criterion", "value", "limit", "unit", "base_value", "existing"])
    found = SimpleNamespace(violations=table)
    assert price_kw(found, 1e4, 10.0) == pytest.approx(100.0 + 30.0 + 20.0)
    found.violations = pd.concat([table, table.iloc[:1].assign(value=np.nan)])
    assert price_kw(found, 1e4, 10.0) == np.inf


def test_what_a_round_is_worth_by_hand():
    """A kW is worth a kW; 0.01 pu beyond a limit costs 100 kW of it, at a twentieth of 200,000 kW per pu; what is lost
    beyond what may be, 10 kW a kW."""
    import pandas as pd

    columns = ["criterion", "value", "limit", "unit", "base_value", "existing"]
    table = pd.DataFrame([("overvoltage", 1.06, 1.05, "pu", np.nan, False)], columns=columns)
    options = LoopOptions(elastic_kw_per_pu=2e5, elastic_kw_per_kw=10.0, broken_pu_price=0.05)
    loop = SimpleNamespace(options=options, lost_too_much_kw=lambda _: 2.0, worth_kw=lambda schedule: schedule.hc_kw)
    found = SimpleNamespace(violations=table)
    assert Trials.merit(loop, SimpleNamespace(hc_kw=900.0), found) == pytest.approx(900.0 - 100.0 - 20.0)
