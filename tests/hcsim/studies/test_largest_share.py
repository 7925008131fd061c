"""The largest share that passes: found to its step on any faults, and in fewer replays than by halving where they are
straight."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcsim.studies.validate.how_far import FINE, _Fault, largest_share


def faults_of(limits, curve=1.0, says=True):
    """Places that are beyond their limit from a share on, straight or curved; and what was asked."""
    asked = []

    def fault(share):
        asked.append(share)
        beyond = {("overvoltage", f"b{k}", "1", k): share**curve - at**curve for k, at in enumerate(limits)}
        left = {place: value for place, value in beyond.items() if value > 0}
        if not left:
            return None
        index = pd.MultiIndex.from_tuples(list(left))
        return _Fault(share, 0, pd.Series(list(left.values()), index=index) if says else None)

    return fault, asked


@given(
    st.lists(st.floats(0.0, 0.999), min_size=1, max_size=5),
    st.floats(0.2, 5.0),
    st.booleans(),
    st.sampled_from([0.005, 0.05]),
)
def test_it_is_found_to_its_step(limits, curve, says, step):
    fault, asked = faults_of(limits, curve, says)
    low = largest_share(fault, step, fault(1.0))
    assert low <= min(limits) <= low + step + 1e-12
    assert low == 0.0 or low in asked  # it was seen to pass
    assert len(asked) <= 3 * np.ceil(np.log2(1.0 / step))  # never worse than three for one halving


@pytest.mark.parametrize(
    ("limit", "most"), [(0.03, 4), (0.21, 4), (0.445, 4), (0.6, 5), (0.85, 6), (0.898, 7), (0.99, 9)]
)
def test_straight_faults_take_few_replays(limit, most):
    """By halving it is 9 always, the whole counted. Near 1 halving is what is left: one fault alone has no slope."""
    fault, asked = faults_of([limit, (1.0 + limit) / 2.0])
    largest_share(fault, FINE, fault(1.0))
    assert len(asked) <= most


def test_a_place_that_only_one_fault_has_says_nothing():
    """The root is that of what both break, whatever else the larger share breaks."""
    fault, asked = faults_of([0.3, 0.9])
    assert 0.3 - FINE <= largest_share(fault, FINE, fault(1.0)) <= 0.3
    assert len(asked) <= 4
