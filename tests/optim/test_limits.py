"""Every criterion by the one definition."""

from dataclasses import replace

import numpy as np
import pytest

from optim.data.criteria import CRITERIA, Before, thresholds
from optim.data.limits import Limits
from optim.data.operation import Operation
from optim.data.violations import new_violations, violations

pytestmark = pytest.mark.smoke


def operation(v=1.0, sub=10.0, load=0.5, dev=0.0, unb=1.0, reg=5.0, taps=0.0):
    one = np.ones((1, 1))
    return Operation(
        ("00:00",),
        ("b.1",),
        v * one,
        ("s.1",),
        sub * one,
        ("Line.a.b.1",),
        load * one,
        v_deviation_pu=dev * one,
        unbalance_buses=("b.x",),
        unbalance_pct=unb * one,
        regulator_phases=("Transformer.r.2",),
        regulator_kw=reg * one,
        regulator_controls=("c.1",),
        tap_steps=taps * one,
    )


@pytest.mark.parametrize(
    ("changed", "name", "element", "phase"),
    [
        ({"v": 1.06}, "overvoltage", "b", "1"),
        ({"v": 0.94}, "undervoltage", "b", "1"),
        ({"sub": -1.0}, "reverse_flow", "s", "1"),
        ({"load": 1.1}, "loading", "Line.a.b", "1"),
        ({"dev": 0.04}, "voltage_deviation", "b", "1"),
        ({"unb": 3.5}, "voltage_unbalance", "b.x", ""),
        ({"reg": -2.0}, "regulator_reverse_flow", "Transformer.r", "2"),
        ({"taps": 5.0}, "tap_operations", "c.1", ""),
    ],
)
def test_each_limit_speaks_for_itself(changed, name, element, phase):
    limits = Limits.screening()
    table = violations(operation(**changed), limits)
    assert table["criterion"].tolist() == [name]
    row = table.iloc[0]
    assert (row.element, row.phase) == (element, phase)
    assert row.value == pytest.approx(next(iter(changed.values())))
    off = {
        "overvoltage": "v_max_pu",
        "undervoltage": "v_min_pu",
        "reverse_flow": "substation_min_kw",
        "loading": "loading_max_pu",
        "voltage_deviation": "v_deviation_max_pu",
        "voltage_unbalance": "unbalance_max_pct",
        "regulator_reverse_flow": "regulator_min_kw",
        "tap_operations": "tap_operations_max",
    }[name]
    assert violations(operation(**changed), Limits(**{**vars(limits), off: None})).empty


def test_within_all_limits_there_is_nothing():
    assert violations(operation(), Limits.screening()).empty


def test_no_worse_than_before_is_existing_and_the_threshold_says_the_same():
    limits = Limits.screening()
    for value, new in ((-5.0, False), (-5.04, False), (-5.06, True)):
        table = violations(operation(sub=value), limits, operation(sub=-5.0))
        assert bool(len(new_violations(table))) == new
        flow = next(c for c in CRITERIA if c.name == "reverse_flow")
        assert (flow.sign * value > thresholds(flow, limits, np.array([[-5.0]]))[0, 0]) == new


def test_an_overloaded_branch_may_carry_half_a_per_cent_more():
    """Three times its rating: 3.015 exists, 3.02 is new. One that was just below it gets nothing."""
    limits = Limits(loading_max_pu=1.0)

    def loaded(pu):
        return replace(operation(), branches=("Line.a.1",), loading_pu=np.array([[pu]]))

    for before, value, new in ((3.0, 3.0149, False), (3.0, 3.0152, True), (0.99, 1.002, True)):
        assert bool(len(new_violations(violations(loaded(value), limits, loaded(before))))) == new


def test_limits_alone_are_the_two_of_the_paper():
    """A study that does not ask for more gets no more; but protection that has cut customers off is always a limit."""
    plain = Limits()
    judged = [c.name for c in CRITERIA if c.limit(plain) is not None]
    assert judged == ["overvoltage", "undervoltage", "reverse_flow", "protection"]


def test_before_is_the_worst_of_its_days_and_the_table_shows_the_first():
    """A day at 0.94 that may as well rest at 0.93, nowhere at 0.92: 0.93 exists, 0.9299 is new."""
    before = Before((operation(v=0.94), operation(v=0.93), operation(v=np.nan), operation(v=1.07)))
    for v, new in ((0.94, False), (0.93, False), (0.9299, True), (1.051, True)):
        table = violations(operation(v=v), Limits(), before)
        assert table["base_value"].tolist() == [0.94]
        assert bool(len(new_violations(table))) == new
    assert not violations(operation(sub=-1.0), Limits(), before)["existing"].any()


def test_where_the_own_day_breaks_nothing_the_limit_holds():
    """Two nodes, two hours, range from 0.93: only at the first does the own day break 0.95, in one of the hours."""
    v_pu = np.array([[0.94, 0.96], [0.96, 0.96]])
    own = replace(operation(), times=("00:00", "01:00"), nodes=("a.1", "b.1"), v_pu=v_pu)
    found = replace(own, v_pu=np.full((2, 2), 0.93))
    before = Before((own, replace(own, v_pu=np.full((2, 2), 0.93))))
    table = violations(found, Limits(substation_min_kw=None), before)
    assert set(table.loc[table["existing"].astype(bool), "element"]) == {"a"}
    assert set(new_violations(table)["element"]) == {"b"}
    assert len(table) == 4


def test_what_rounding_alone_tells_apart_is_in_the_feeder_s_order():
    """Three phases of a balanced bus differ by the engine's last digits, which depend on what it solved before."""
    dust = np.array([1e-15, 3e-15, 2e-15])
    one = operation()
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        found = replace(one, nodes=("b.1", "b.2", "b.3"), v_pu=1.06 + dust[order][None, :])
        table = violations(found, Limits(v_max_pu=1.05))
        assert list(table["phase"]) == ["1", "2", "3"]
