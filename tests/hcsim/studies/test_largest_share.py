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


@pytest.mark.parametrize("limit", [0.03, 0.21, 0.445, 0.6, 0.85])
def test_straight_faults_take_few_replays(limit):
    fault, asked = faults_of([limit, (1.0 + limit) / 2.0])
    largest_share(fault, FINE, fault(1.0))
    assert len(asked) <= 7  # 9 by halving, the whole counted
