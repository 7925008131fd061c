"""Claim, replay and baseline joined by name; verdicts in words; the contract of summary.json."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from synthetic_study import LOAD_PU, PV_PU, network, profiles, schedule, study, unit

from hcsim.replay.verdict import match_voltages, verdict, voltage_error
from hcsim.report.allocation.tables import main_rows, main_table
from hcsim.results.allocation import write_summary
from hcsim.results.allocation_summary import (
    circulation_by_step,
    penetration_capacity_pct,
    penetration_energy_pct,
    summarize,
)
from optim.data.violations import VIOLATION_COLUMNS, violations
from optim.errors import ModelError
from optim.hosting.problem import CASES

CASE_KEYS = {
    "hc_kw",
    "bound_kw",
    "gap",
    "cut",
    "status",
    "build_s",
    "solve_s",
    "bess_buses",
    "circulated_kwh",
    "penetration_capacity_pct",
    "penetration_energy_pct",
    "paper_hc_kw",
    "replay",
}
REPLAY_KEYS = {
    "converged",
    "verdict",
    "verdict_strict",
    "new_violations_strict",
    "ansi_a",
    "ansi_b",
    "v_min_pu",
    "v_max_pu",
    "new_violations",
    "existing_violations",
    "min_substation_kw",
    "dv_max_pu",
    "dv_mean_pu",
    "losses_kwh",
    "tap_operations",
    "energy_not_delivered_kwh",
}


@pytest.fixture(scope="module")
def result():
    return study()


def shuffled(replay, seed=4):
    """The same replay with its nodes in another order."""
    order = np.random.default_rng(seed).permutation(len(replay.operation.nodes))
    found = replace(
        replay.operation, nodes=tuple(replay.operation.nodes[i] for i in order), v_pu=replay.operation.v_pu[:, order]
    )
    return replace(replay, operation=found)


def with_voltages(replay, v):
    return replace(replay, operation=replace(replay.operation, v_pu=v))


def test_voltages_are_joined_by_name(result):
    case = result.cases["none"]
    replay = case.replays["locked"]
    assert case.schedule.predicted_nodes != replay.operation.nodes
    error = voltage_error(case.schedule, replay)
    assert voltage_error(case.schedule, shuffled(replay)) == error
    for t, node in ((10, "b9.3"), (19, "b5.2")):
        claim = case.schedule.predicted_v_pu[t, case.schedule.predicted_nodes.index(node)]
        found = replay.operation.v_pu[t, replay.operation.nodes.index(node)]
        table = match_voltages(case.schedule, replay)
        row = table[(table["step"] == t) & (table["node"] == node)]
        assert row["difference_pu"].item() == claim - found


def test_voltage_error_says_where_and_when(result):
    case = result.cases["none"]
    claim, nodes = case.schedule.predicted_v_pu, case.schedule.predicted_nodes
    replay = case.replays["locked"]
    v = claim[:, [nodes.index(n) for n in replay.operation.nodes]].copy()
    v[10, replay.operation.nodes.index("b5.2")] += 0.012
    error = voltage_error(case.schedule, with_voltages(replay, v))
    assert (error.node, error.time, error.points) == ("b5.2", "10:00", v.size)
    assert error.max_pu == pytest.approx(-0.012, abs=1e-12)  # negative: the claim was too low
    assert error.mean_pu == pytest.approx(0.012 / v.size, abs=1e-12)


def test_unjudged_nodes_and_failed_hours_do_not_count(result):
    case = result.cases["none"]
    replay = case.replays["locked"]
    v = replay.operation.v_pu.copy()
    v[:, 3] = np.nan
    v[5] = 99.0
    failed = replace(with_voltages(replay, v), converged=np.arange(24) != 5)
    error = voltage_error(case.schedule, failed)
    assert error.points == 23 * (v.shape[1] - 1)
    assert abs(error.max_pu) < 0.02
    assert verdict(failed).words == "not judged: no convergence at 05:00"


def test_a_claim_about_another_feeder_is_refused(result):
    made = result.cases["none"].schedule
    strange = replace(made, predicted_nodes=("nowhere.1", *made.predicted_nodes[1:]))
    with pytest.raises(ModelError, match=r"nowhere\.1"):
        voltage_error(strange, result.cases["none"].replays["locked"])


def test_verdict_names_the_worst_new_violation(result):
    base = result.base_replays["locked"].operation
    v = base.v_pu.copy()
    place = base.nodes.index("b5.1")
    v[10, place], v[11, place], v[12, place] = 1.0567, 1.0512, 1.0511
    found = replace(base, v_pu=v)
    replay = replace(
        result.cases["none"].replays["locked"], operation=found, violations=violations(found, result.limits, base)
    )
    assert verdict(replay).words == "refuted: 3 new violations, worst overvoltage 1.0567 pu at b5.1 at 10:00"
    excused = replace(replay, violations=violations(found, result.limits, found))
    assert verdict(excused).words == "holds (3 violations there before)"
    assert (verdict(excused).new, verdict(excused).existing) == (0, 3)


def test_verdict_speaks_of_every_criterion(result):
    replay = result.cases["none"].replays["locked"]
    rows = [
        ("not_delivered", "PVSystem.pv", "2", 3, "03:00", 10.0, 12.5, "kW", np.nan, False),
        ("not_delivered", "PVSystem.pv", "2", 4, "04:00", 10.0, 11.0, "kW", np.nan, False),
        ("stored_energy", "bess_18", "", 9, "09:00", 951.2, 950.0, "kWh", np.nan, False),
    ]
    short = replace(replay, violations=pd.DataFrame(rows, columns=list(VIOLATION_COLUMNS)))
    assert verdict(short).words == (
        "refuted: 3 new violations, worst not delivered 10.0 kW at PVSystem.pv.2 at 03:00; "
        "worst stored energy 951.2 kWh at bess_18 at 09:00"
    )


def test_penetration_on_both_bases(result):
    net, made = result.network, result.cases["none"].schedule
    nominal = 1950.0  # kW: phases 650 + 640 + 660, added up by hand from the tree
    assert penetration_capacity_pct(made, net, profiles()) == pytest.approx(
        100 * made.hc_kw / (nominal * LOAD_PU.max())
    )
    assert penetration_energy_pct(made, net, profiles()) == pytest.approx(
        100 * made.hc_kw * PV_PU.sum() / (nominal * LOAD_PU.sum())
    )


def test_circulation_names_who_charges_and_who_discharges():
    three = tuple(unit(n, n, 1000.0, 375.0) for n in ("b3", "b5", "b8"))
    made = schedule(network(), "distributed", 2000.0, three)
    table = circulation_by_step(made)
    assert list(table["time"]) == ["09:00"]
    assert table["circulated_kwh"].item() == pytest.approx(100.0)  # 0.1 of 1000 kWh, all of it charged elsewhere
    assert (table["charging"].item(), table["discharging"].item()) == ("b5, b8", "b3")
    assert circulation_by_step(replace(made, p_discharge_kw=0 * made.p_discharge_kw)).empty


def test_summary_has_the_keys_of_the_contract(result, tmp_path):
    path = write_summary(summarize(result), tmp_path)
    found = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert path.name == "summary.json"
    assert list(found) == [
        "case",
        "versions",
        "feeder",
        "limits",
        "controls",
        "assumptions",
        "cut",
        "cases",
        "baseline",
    ]
    feeder = {"buses": 10, "nodes": 24, "load_kw": 1950.0, "source_sha256": "ab" * 32, "loads_follow": []}
    assert found["feeder"] == feeder
    assert tuple(found["cases"]) == CASES
    for case in found["cases"].values():
        assert set(case) == CASE_KEYS
        assert set(case["replay"]) == {"locked", "free"}
        for replay in case["replay"].values():
            assert set(replay) == REPLAY_KEYS
            assert set(replay["min_substation_kw"]) == {"1", "2", "3"}
    for baseline in found["baseline"].values():
        assert {"hc_kw", "limit", "power_flows"} <= set(baseline)
        assert {"criterion", "element", "phase", "hour"} <= set(baseline["limit"])
    assert found["cases"]["distributed_no_circulation"]["paper_hc_kw"] is None


def test_summary_figures_are_those_of_the_arrays(result):
    found = summarize(result)["cases"]["centralized"]
    replay = result.cases["centralized"].replays["free"]
    assert found["bess_buses"] == ["head"]
    row = found["replay"]["free"]
    assert row["v_max_pu"] == replay.operation.v_pu.max()
    assert row["losses_kwh"] == pytest.approx(replay.losses_kw.sum())
    assert row["min_substation_kw"]["2"] == replay.operation.substation_kw[:, 1].min()


def test_not_a_number_becomes_null(result, tmp_path):
    case = result.cases["none"]
    replay = case.replays["free"]
    dead = replace(
        with_voltages(replay, np.full_like(replay.operation.v_pu, np.nan)),
        converged=np.zeros(24, bool),
        energy_not_delivered_kwh=float("nan"),
    )
    hopeless = replace(result, cases={"none": replace(case, replays={"free": dead})})
    path = write_summary(summarize(hopeless), tmp_path)
    row = json.loads(path.read_text(), parse_constant=pytest.fail)["cases"]["none"]["replay"]["free"]
    assert row["converged"] is False
    assert row["v_min_pu"] is row["dv_max_pu"] is row["energy_not_delivered_kwh"] is None


def test_main_table_shows_every_case_and_fits_the_terminal(result):
    summary = summarize(result)
    for width in (80, 100, 140):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(main_table(summary, width=width))
        text = console.export_text()
        for figure in ("1805.7", "2347.1", "2407.1", "2416.7", "0.40 %", "2298.0", "2440.0", "-1.35 %", "refuted:"):
            assert figure in text, (width, figure)
        assert "…" not in text


def test_main_table_says_which_case_is_missing(result):
    less = replace(result, cases={"none": result.cases["none"]}, baselines={})
    rows = {r.case: r for r in main_rows(summarize(less))}
    assert rows["centralized"].status == "no result" and rows["none"].simulation_kw == "–"
    assert rows["none"].locked == "holds"
