"""Feeders after reports from the field, of the kinds that vary in time: the right value is obtained here by plain
OpenDSS, a fresh circuit per probe, and `hcsim` has to give the same."""

import os
from pathlib import Path

import numpy as np
import pytest
from plain_opendss import Day, largest_kw

from hcsim.cases.case import load_case
from hcsim.cases.defaults import SitesWanted
from hcsim.workbench.allocation import Workbench

FEEDERS = os.environ.get("HCSIM_FEEDERS")
pytestmark = pytest.mark.skipif(not FEEDERS, reason="HCSIM_FEEDERS names no folder of feeders")
STUDY_LOAD = ("batchedit load..* daily=plain_load",)
LABEL_CLOCK = ("edit capcontrol.t1 onsetting=8 offsetting=23",)
"""OpenDSS's clock stands at the end of a step: to act in the row of 7 o'clock it must be told 8."""


def master(kind: str) -> Path:
    return Path(FEEDERS or "") / "field" / kind / "master.dss"


def bench(kind: str, buses, tmp_path) -> Workbench:
    sites = tmp_path / "sites.csv"
    sites.write_text("bus\n" + "\n".join(buses) + "\n")
    return Workbench.open(load_case(master(kind), SitesWanted(file=sites)))


@pytest.mark.parametrize(
    "kind, buses, commands, most_kw",
    [
        ("01-own-shapes", ("a", "b"), (), 800),
        ("02-existing-pv", ("b",), (*STUDY_LOAD, "edit pvsystem.roof daily=sun"), 1600),
        ("03-names-alike", ("n-1", "n_1"), STUDY_LOAD, 4000),
        ("05-negative-load", ("a",), STUDY_LOAD, 2400),
        ("10b-time-cap", ("b",), (*STUDY_LOAD, *LABEL_CLOCK), 4000),
        ("13-source-shape", ("a",), STUDY_LOAD, 4000),
        ("25-own-battery-day2", ("a", "b"), STUDY_LOAD, 400),
    ],
)
def test_simulation_finds_what_plain_opendss_passes(kind, buses, commands, most_kw, tmp_path):
    right_kw = largest_kw(master(kind), buses, commands, most_kw)
    opened = bench(kind, buses, tmp_path)
    found = opened.baseline("uniform")
    assert right_kw - 1.0 <= found.bracket_kw[0] <= right_kw + 1.0  # both stop within 1 kW
    assert opened.day_gates.passed, opened.day_gates.failures


@pytest.mark.parametrize("kind", ["01-own-shapes", "02-existing-pv", "13-source-shape", "25-own-battery-day2"])
def test_the_program_claims_no_more_than_passes(kind, tmp_path):
    """The claim without batteries on the tangent, whose base is each hour of the bare feeder as it runs."""
    opened = bench(kind, ("b",) if kind != "13-source-shape" else ("a",), tmp_path)
    model, found = opened.linear_model, opened.bare("free").found.operation
    np.testing.assert_allclose(model.substation_base_kw, found.substation_kw, atol=1e-6)
    at = [opened.network.node_index[n] for n in model.nodes]
    np.testing.assert_allclose(model.v_base, found.v_pu[:, at], atol=1e-9)


def test_loads_follow_their_own_shapes(tmp_path):
    """800 kW at 0.3 and 600 kW at 0.1 are 300 kW at noon, and some losses."""
    opened = bench("01-own-shapes", ("a",), tmp_path)
    noon = opened.bare("free").found.load_kw[12]
    assert noon == pytest.approx(300.0, abs=1e-3)
    assert opened.case.time_notes[0] == "Loads: 2 follow their own shapes."


def test_own_pv_is_dark_at_midnight(tmp_path):
    opened = bench("02-existing-pv", ("a",), tmp_path)
    loads, source = opened.bare("free").found.load_kw, opened.bare("free").found.operation.substation_kw.sum(axis=1)
    assert source[0] > loads[0]
    assert source[12] == pytest.approx(loads[12] - 700.0, abs=20.0)


def test_a_clock_acts_at_the_hour_of_the_label(tmp_path):
    """Closed in the rows 07:00 to 21:00; in OpenDSS by itself one row earlier."""
    opened = bench("10b-time-cap", ("b",), tmp_path)
    closed = []
    from hcsim.replay.run import replay

    replay(opened.model, None, observer=lambda t: closed.append(opened.circuit.capacitor_states()["c1"] == (1,)))
    assert [h for h in range(24) if closed[h]] == list(range(7, 22))
    plain = [state["c1"] == (1,) for state in Day(master("10b-time-cap"), STUDY_LOAD).states]
    assert [h for h in range(24) if plain[h]] == list(range(6, 21))


def test_a_negative_load_is_named_and_takes_a_curve_of_its_own(tmp_path):
    opened = bench("05-negative-load", ("a",), tmp_path)
    assert any("Load.solarfarm" in words and "load_pu:solarfarm" in words for words in opened.case.time_notes)


def test_every_bare_run_of_a_battery_is_the_same(tmp_path):
    opened = bench("25-own-battery-day2", ("b",), tmp_path)
    gates = opened.day_gates
    assert gates.memory.passed and gates.memory.dv_max_pu == 0.0
    plain = Day(master("25-own-battery-day2"), STUDY_LOAD)
    again = opened.bare("free").found.operation.substation_kw
    np.testing.assert_allclose(again, plain.source_kw, atol=1e-3)
