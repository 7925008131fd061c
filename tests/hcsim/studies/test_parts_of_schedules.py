"""A day cut out of a longer dispatch, and put back."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from hcsim.schedules.repeat import on_days, part_of
from hcsim.studies.validate.how_far import _spliced
from hcsim.workbench.allocation import Workbench
from optim.data.profiles import Profiles
from optim.hosting.search import solve_hosting

CASE = Path(__file__).parents[2] / "cases" / "three_bus"


@pytest.fixture(scope="module")
def whole():
    """Three days with something in every array that steps have."""
    bench = Workbench.open(CASE)
    day = solve_hosting(bench.problem("centralized"), "centralized", bench.solve_options())
    profiles = Profiles(
        tuple(f"{k} {t}" for k in range(3) for t in bench.profiles.times),
        1.0,
        np.tile(bench.profiles.load_pu, 3),
        np.tile(bench.profiles.pv_pu, 3),
    )
    s = on_days(replace(day, bess_q_kvar=np.ones_like(day.p_charge_kw)), profiles)
    rng = np.random.default_rng(1)
    arrays = {f.name: getattr(s, f.name) for f in fields(s)}
    moved = {n: a + rng.random(a.shape) for n, a in arrays.items() if isinstance(a, np.ndarray) and len(a) in (72, 73)}
    return replace(s, **moved)


def test_put_back_it_is_what_it_was(whole):
    """Every array that has steps, whatever is added to `Schedule` one day."""
    empty = replace(
        whole,
        **{
            f.name: np.zeros_like(a)
            for f in fields(whole)
            if isinstance(a := getattr(whole, f.name), np.ndarray) and len(a) in (72, 73)
        },
    )
    for k in range(3):
        empty = _spliced(empty, part_of(whole, slice(24 * k, 24 * (k + 1))), 24 * k)
    for f in fields(whole):
        value = getattr(whole, f.name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(empty, f.name), value, err_msg=f.name)
