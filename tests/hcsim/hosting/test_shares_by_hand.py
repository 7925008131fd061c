"""Who is near, who is far, and whose load counts how often: on feeders small enough to say so by hand."""

import numpy as np
import pytest
from hand_feeders import HandFeeder
from hypothesis import given
from hypothesis import strategies as st

from hcsim.errors import ConfigError
from hcsim.feeder.topology import distance_graph, distances
from hcsim.hosting.stochastic import rooftops
from hcsim.hosting.weights import PvShares, shares_of
from optim.hosting.spread import Cap


def two_levels():
    """Customers m, at 4160 V behind 4 ohm, and low, at 480 V behind a tenth of an ohm: 4 ohm at 4160 V are
    0.23 pu of 1 MVA, a tenth of one at 480 V is 0.43."""
    feeder = HandFeeder(v_base_v=4160.0 / np.sqrt(3))
    feeder.line("long", "src", "m", 4.0)
    feeder.transformer("t", "src", "low", np.eye(3) * 480.0 / 4160.0, 0.1, v_base_v=480.0 / np.sqrt(3))
    for bus in ("m", "low"):
        for phase in (1, 2, 3):
            feeder.load(f"{bus}.{phase}", 10.0)
    return feeder.network()


def test_distance_counts_ohm_by_the_voltage_of_their_level():
    network = two_levels()
    found = dict(zip(network.buses, distances(distance_graph(network), 0), strict=True))
    assert found["src"] == 0.0
    assert found["m"] == pytest.approx(4.0 / (4.16**2 / 3), rel=1e-9)  # by phase voltage: three times 0.23
    assert found["low"] == pytest.approx(0.1 / (0.48**2 / 3), rel=1e-9)
    roofs = rooftops(network, per_load=1.0, fixed_kw=None)
    by_bus = dict(zip([n.split(".")[0] for n in roofs.nodes], roofs.share.T @ roofs.distance, strict=True))
    assert by_bus["m"] < by_bus["low"], "in ohm it is the other way round"


def test_distance_is_the_shortest_way_and_the_least_of_branches_side_by_side():
    feeder = HandFeeder(v_base_v=1000.0)  # 1 ohm is 1 pu of 1 MVA
    feeder.line("a", "src", "b", 3.0).line("beside", "src", "b", 1.0)
    feeder.line("c", "b", "c", 2.0).line("round", "src", "c", 5.0).line("switch", "c", "d", 0.0)
    network = feeder.network()
    found = dict(zip(network.buses, distances(distance_graph(network), 0), strict=True))
    assert [found[b] for b in ("src", "b", "c", "d")] == pytest.approx([0.0, 1.0, 3.0, 3.0], abs=1e-9)


def row_of_customers(count=30):
    feeder = HandFeeder(phases=(1,))
    for k in range(count):
        feeder.line(f"l{k}", f"b{k - 1}" if k else "src", f"b{k}", 0.1, phases=(1,))
        feeder.load(f"b{k}.1", 5.0)
    return rooftops(feeder.network(), per_load=1.0, fixed_kw=None)


@pytest.mark.parametrize(("pattern", "first_are"), [("near", "the first"), ("far", "the last")])
def test_near_begins_at_the_source_and_far_at_the_end(pattern, first_are):
    """Along a line customer k stands k sections away. Ranks are blurred by a third of the feeder, so of the first
    third to get PV all stand in the nearer (farther) two thirds and their mean in the third itself."""
    roofs = row_of_customers()
    assert np.all(np.diff(roofs.distance) > 0)
    count = len(roofs.customers)
    for deployment in range(20):
        first = roofs.order(pattern, 1, deployment)[: count // 3]
        away = first / (count - 1) if first_are == "the first" else 1.0 - first / (count - 1)
        assert away.mean() < 0.4 and away.max() <= 1 / 3 + 2 * 0.35 + 1e-9, (deployment, first)


def test_random_knows_no_distance():
    roofs = row_of_customers()
    firsts = np.array([roofs.order("random", 1, d)[:10].mean() for d in range(200)])
    assert firsts.mean() == pytest.approx(14.5, abs=5 * 8.66 / np.sqrt(2000))  # five standard errors


def two_bus(legs):
    feeder = HandFeeder()
    feeder.line("l", "src", "b", 0.1)
    for plus, minus, kw in legs:
        feeder.load(f"b.{plus}", kw, minus=None if minus is None else f"b.{minus}")
    return feeder.network()


def test_a_load_between_two_phases_counts_once():
    """100 kW from phase 1 to ground and 100 from 1 to 2: 150 of the 200 stand at phase 1, 50 at phase 2."""
    network = two_bus([(1, None, 100.0), (1, 2, 100.0)])
    found = shares_of(network, ("b.1", "b.2", "b.3"), "load", None)
    assert found.weights == pytest.approx([0.75, 0.25, 0.0], abs=1e-12)


loads = st.lists(
    st.tuples(st.sampled_from([(1, None), (2, None), (3, None), (1, 2), (2, 3), (3, 1)]), st.integers(1, 500)),
    min_size=1,
    max_size=6,
)


@given(loads)
def test_shares_by_load_are_those_of_a_delta_cut_in_half(found):
    """Every leg between two phases replaced by two to ground of half its power: the same shares."""
    legs = [(plus, minus, float(kw)) for (plus, minus), kw in found]
    halves = [
        (phase, None, kw / (1 if minus is None else 2))
        for plus, minus, kw in legs
        for phase in (plus, minus)
        if phase is not None
    ]
    nodes = ("b.1", "b.2", "b.3")
    mixed, cut = (shares_of(two_bus(of), nodes, "load", None).weights for of in (legs, halves))
    np.testing.assert_allclose(mixed, cut, atol=1e-12)


# -- caps ---------------------------------------------------------------------------------------------------


def test_where_a_site_is_full_the_others_go_on():
    """Shares 1 : 1 : 2 and 30, 100 and no kW of cap: at 100 kW 25, 25 and 50 stand; at 190 kW the first is full and the
    rest is shared 1 : 2; at 500 kW the second is full too."""
    shares = PvShares(("a.1", "b.1", "c.1"), np.array([1.0, 1.0, 2.0]), most_kw=np.array([30.0, 100.0, np.inf]))
    assert shares.sizes(100.0) == pytest.approx([25.0, 25.0, 50.0])
    assert shares.sizes(190.0) == pytest.approx([30.0, 160.0 / 3, 320.0 / 3])
    assert shares.sizes(500.0) == pytest.approx([30.0, 100.0, 370.0])
    assert shares.largest_kw == np.inf


@given(
    st.lists(st.tuples(st.floats(0.01, 10), st.floats(0, 100)), min_size=1, max_size=8),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_sizes_sum_up_keep_the_caps_and_never_fall(sites, one, other):
    weights, most = map(np.array, zip(*sites, strict=True))
    shares = PvShares(tuple(f"b{k}.1" for k in range(len(sites))), weights, most_kw=most)
    low, high = (shares.sizes(share * shares.largest_kw) for share in sorted((one, other)))
    for sizes, share in ((low, min(one, other)), (high, max(one, other))):
        assert sizes.sum() == pytest.approx(share * shares.largest_kw, abs=1e-6)
        assert np.all(sizes <= most * (1 + 1e-12) + 1e-12)
    assert np.all(high >= low - 1e-9 * (1 + low))


def test_a_cap_holds_at_a_bus_not_at_each_of_its_phases():
    network = two_bus([(1, None, 100.0)])
    shares = shares_of(network, ("b.1", "b.2", "b.3"), "uniform", None, (Cap("b", ("b.1", "b.2", "b.3"), 60.0),))
    assert shares.sizes(60.0) == pytest.approx([20.0] * 3) and shares.largest_kw == pytest.approx(60.0)
    with pytest.raises(ConfigError, match="cap of nothing"):
        shares_of(network, ("b.1",), "uniform", None, (Cap("b", ("b.1",), 0.0),))
