"""LinDist3Flow against OpenDSS: where the two must agree, and how far they part on published feeders."""

import os
from pathlib import Path

import numpy as np
import pytest

from hcsim.cases.case import bundled_folder
from hcsim.feeder.read import read_network
from hcsim.opendss.circuit import Circuit
from optim.data.profiles import Profiles
from optim.linearize.lindist3flow import linearize

CASES = Path(__file__).parents[2] / "cases"
FEEDERS = os.environ.get("HCSIM_FEEDERS")
ONE = Profiles(("nominal",), 1.0, np.ones(1), np.zeros(1))


def read(master, *edits):
    circuit = Circuit.compile(master)
    for edit in edits:
        circuit.command(edit)
    circuit.solve(controls=False)
    return circuit, read_network(circuit)[0]


def both(network, **options):
    """Judged voltages in pu, by the linear model and by OpenDSS, and the node names."""
    model = linearize(network, ONE, (), **options)
    linear = model.voltages_pu(np.zeros((1, 0)), np.zeros((1, 0)))[0]
    at = [network.node_index[n] for n in model.nodes]
    return linear, network.judged_v_pu(network.v_solved_v)[at], model.nodes


def test_one_loaded_phase_moves_its_neighbours_as_in_opendss():
    """60 + j20 kVA on phase 2 of one coupled line. Losses are 1.3 % of the load, so each phase's change of
    voltage agrees to 3 % of the largest (0.018 pu); a wrong sign of gamma swaps phases 1 and 3, which part by
    0.0093 pu."""
    linear, opendss, nodes = both(read(CASES / "one_loaded_phase.dss")[1])
    at = {n: i for i, n in enumerate(nodes)}
    change = opendss - 1.0
    assert change[at["b.1"]] < -1e-3 and change[at["b.3"]] > 6e-3  # OpenDSS itself: one falls, the other rises
    assert np.abs(linear - opendss).max() < 0.03 * np.abs(change).max()


def test_one_loaded_phase_to_first_order():
    """At a thousandth of the load, per unit of load: losses and curvature gone, 1e-4 of the largest change."""
    edits = ("load.b.kw=0.06", "load.b.kvar=0.02")
    linear, opendss, nodes = both(read(CASES / "one_loaded_phase.dss", *edits)[1])
    # the line's far end against its near end: the source's own impedance and rounding of its voltage apart
    at = {n: i for i, n in enumerate(nodes)}
    for p in (1, 2, 3):
        found = linear[at[f"b.{p}"]] - linear[at[f"src.{p}"]]
        expected = opendss[at[f"b.{p}"]] - opendss[at[f"src.{p}"]]
        assert found == pytest.approx(expected, abs=1e-3 * 1.8e-5)


def test_delta_delta_line_to_line_as_in_opendss():
    """Loads between phases behind a delta-delta transformer, 16 % of its rating: losses are 1.2 % of them."""
    linear, opendss, nodes = both(read(CASES / "delta_delta.dss")[1])
    change = np.abs(opendss - 1.02).max()
    assert change > 0.007 and {"b.1", "b.2", "b.3"} <= set(nodes)
    assert np.abs(linear - opendss).max() < 0.04 * change


@pytest.mark.parametrize("bank", ["open_wye_open_delta", "delta_tertiary"])
def test_banks_of_single_phase_units_that_float(bank):
    """Sides without a path to ground, in banks whose units feed the same nodes. Losses are below 2 % of the load, so
    each line-to-line voltage agrees to 6 % of the largest change; a common mode left in gives thousands of pu."""
    network = read(CASES / f"{bank}.dss")[1]
    linear, opendss, nodes = both(network)
    change = np.abs(opendss - 1.02).max()
    assert 0.004 < change < 0.05 and {"b.1", "b.2", "b.3"} <= set(nodes)
    assert np.abs(linear - opendss).max() < 0.06 * change


def test_delta_delta_to_first_order():
    edits = [
        f"load.{n}.{k}={v}"
        for n, kw, kvar in (("ab", 60, 20), ("bc", 20, 15))
        for k, v in (("kw", kw / 1e3), ("kvar", kvar / 1e3))
    ]
    linear, opendss, nodes = both(read(CASES / "delta_delta.dss", *edits)[1])
    bare = both(read(CASES / "delta_delta.dss", "load.ab.enabled=no", "load.bc.enabled=no")[1])[1]
    linear_bare = both(read(CASES / "delta_delta.dss", "load.ab.enabled=no", "load.bc.enabled=no")[1])[0]
    behind = [i for i, n in enumerate(nodes) if n.startswith("b.")]
    change = (opendss - bare)[behind]
    assert (linear - linear_bare)[behind] == pytest.approx(change, abs=2e-3 * np.abs(change).max())


def test_ieee123_at_published_taps():
    """Target 0.006 pu; measured 0.0030 (at 114.1). What is left are the losses, 95 of 3585 kW."""
    linear, opendss, nodes = both(read(bundled_folder() / "ieee123" / "Master.dss")[1])
    assert len(nodes) >= 278
    assert np.abs(linear - opendss).max() < 0.0035
    assert np.abs(linear - opendss).mean() < 0.0015


@pytest.mark.skipif(not FEEDERS, reason="HCSIM_FEEDERS is not set")
@pytest.mark.parametrize(
    ("master", "nominal_pu", "voltage_dependent_pu"),
    [
        ("13Bus/IEEE13Nodeckt.dss", 0.0080, 0.0065),  # measured 0.0075, 0.0061
        # measured 0.0212, 0.0268 and 0.0201, 0.0262, all at 890.2, where OpenDSS has 0.93 pu. The model's own
        # premises fail here: losses are 13 % of what the feeder draws (given to it as loads, the trunk agrees to
        # 0.009), and phases differ by 0.05 pu where the drop takes them as equal. On IEEE 13 losses are all of it.
        ("34Bus/ieee34Mod1.dss", 0.0215, 0.0275),
        ("34Bus/ieee34Mod2.dss", 0.0205, 0.0270),
    ],
)
def test_published_feeders_at_their_solved_taps(master, nominal_pu, voltage_dependent_pu):
    circuit = Circuit.compile(Path(FEEDERS) / master)
    circuit.solve(controls=True)
    network = read_network(circuit)[0]
    served = {"voltage_dependent_loads": True, "losses": True}
    # measured 0.0027 on IEEE 13, 0.0132 and 0.0131 on IEEE 34: served loads and the base case's losses
    target_pu = 0.010 if "13" in master else 0.02
    for options, most in (
        ({}, nominal_pu),
        ({"voltage_dependent_loads": True}, voltage_dependent_pu),
        (served, target_pu),
    ):
        linear, opendss, _ = both(network, **options)
        assert np.abs(linear - opendss).max() < most
