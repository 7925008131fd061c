"""The energy balance as a bound: by hand, and against brute force over a grid of dispatches."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optim.bounds.balance import balance_bound, most_load_kw
from optim.data.network import LoadLegs
from optim.data.schedule import BessUnit
from optim.errors import ModelError


def unit(energy=100.0, power=20.0, eta=1.0, low=0.0, high=1.0):
    return BessUnit("b", "x", energy, power, eta, eta, low, high)


def test_without_storage_it_is_the_poorest_hour():
    """Loads 100, 80 and 50 kW, losses up to 2: (80 + 2) / 0.5 = 164 and (50 + 2) / 0.2 = 260, night says nothing."""
    found = balance_bound(np.array([100.0, 80.0, 50.0]), np.full(3, 2.0), np.array([0.0, 0.5, 0.2]), 1.0)
    assert found.bound_kw == pytest.approx(164.0) and found.binding == (1,)


def test_storage_by_hand():
    """Two hours, sun 1 then none, load 10 each: a lossless battery of 20 kW takes 10 kW, as much as night can use
    again: S = 10 + 10."""
    found = balance_bound(np.array([10.0, 10.0]), np.zeros(2), np.array([1.0, 0.0]), 1.0, [unit()])
    assert found.bound_kw == pytest.approx(20.0, abs=1e-6)


def test_the_source_must_give():
    found = balance_bound(np.array([10.0]), np.zeros(1), np.array([1.0]), 1.0, source_min_kw=4.0)
    assert found.bound_kw == pytest.approx(6.0)
    assert "no bound" in balance_bound(np.array([10.0]), np.zeros(1), np.array([1.0]), 1.0, source_min_kw=11.0).status


def test_lengths():
    with pytest.raises(ModelError, match="do not fit"):
        balance_bound(np.ones(2), np.ones(3), np.ones(2), 1.0)


hours = st.lists(st.floats(1.0, 20.0), min_size=3, max_size=3)


@settings(max_examples=40, deadline=None)
@given(
    load=hours, sun=st.lists(st.floats(0.1, 1.0), min_size=3, max_size=3), eta=st.floats(0.8, 1.0), one=st.booleans()
)
def test_no_dispatch_on_a_grid_is_above_it(load, sun, eta, one):
    """Every cyclic dispatch of one battery on a grid of powers, charging or discharging in a step, gives a capacity;
    none is above the bound."""
    load, sun = np.array(load), np.array(sun)
    battery = unit(30.0, 9.0, eta)
    bound = balance_bound(load, np.zeros(3), sun, 1.0, [battery], one_status=one).bound_kw
    best = 0.0
    for p in itertools.product(np.linspace(-9.0, 9.0, 13), repeat=2):  # positive: charge
        stored = np.array([x * eta if x > 0 else x / eta for x in p])
        last = -stored.sum()
        third = last / eta if last > 0 else last * eta
        if abs(third) > 9.0:
            continue
        path = np.concatenate([[0.0], np.cumsum([*stored, last])])
        if np.ptp(path) > 30.0:
            continue
        best = max(best, float(np.min((load + np.array([*p, third])) / sun)))
    assert best <= bound + 1e-6


def test_the_most_a_load_draws():
    """Constant impedance draws most at the highest voltage, a negative current share at the lowest: by hand."""
    legs = LoadLegs(
        names=("Load.z", "Load.i"),
        node_plus=np.array([0, 1]),
        node_minus=np.array([-1, -1]),
        p_kw=np.array([10.0, 10.0]),
        q_kvar=np.zeros(2),
        v_rated_v=np.ones(2),
        zip_p=np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 2.0]]),
        zip_q=np.zeros((2, 3)),
        vmin_pu=np.full(2, 0.5),
        vmax_pu=np.full(2, 1.5),
    )
    found = most_load_kw(legs, np.array([1.0, 0.5]), np.full(2, 0.95), np.full(2, 1.05))
    np.testing.assert_allclose(found, np.array([1.0, 0.5]) * (10 * 1.05**2 + 10 * (2 - 0.95)))
