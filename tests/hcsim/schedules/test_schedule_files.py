"""Schedules come back from their files to the last bit, and every mistake of a hand is named."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from synthetic_study import TIMES, network, profiles, schedule, unit

from hcsim.errors import ConfigError, OutputError
from hcsim.schedules.edit import blend, idle, scaled
from hcsim.schedules.files import EDITED, read_schedule, write_schedule
from hcsim.schedules.repeat import batteries_on
from optim.data.profiles import Profiles
from optim.data.schedule import SolveStatus

pytestmark = pytest.mark.smoke


@pytest.fixture
def made():
    net = network()
    return schedule(net, "distributed", 3333.3 / 7, (unit("A", "b5", 1000.0, 375.0), unit("b", "b9", 500.0, 1 / 3)))


def assert_same(a, b):
    for f in fields(a):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if isinstance(x, np.ndarray):
            np.testing.assert_array_equal(x, y, err_msg=f.name)
        else:
            assert x == y, f.name


def test_round_trip_is_exact(made, tmp_path):
    write_schedule(made, tmp_path)
    assert_same(made, read_schedule(tmp_path, network=network(), profiles=profiles()))


def test_round_trip_without_batteries_predictions_and_solve_info(made, tmp_path):
    write_schedule(made, tmp_path)  # an older schedule in the same folder leaves nothing behind
    bare = replace(
        schedule(network(), "none", 1000.0),
        predicted_nodes=(),
        predicted_v_pu=None,
        substation_phases=(),
        predicted_substation_kw=None,
        solve=None,
    )
    write_schedule(bare, tmp_path)
    assert_same(bare, read_schedule(tmp_path))


def with_converters(made):
    """Nameplates above the kW, batteries that give vars, and two of the feeder's own elements replaced."""
    plates = np.array([1.0 + 1 / 3 * k for k in range(len(made.bess_nodes))])
    return replace(
        made,
        pv_kva=made.pv_kw * 1.1 + 1 / 3,
        bess_q_kvar=np.linspace(-1.0, 1 / 7, made.p_charge_kw.size).reshape(made.p_charge_kw.shape),
        bess_kva=plates,
        replaces=("storage.bess1", "pvsystem.roof"),
    )


def test_converters_and_replaced_elements_come_back(made, tmp_path):
    whole = with_converters(made)
    write_schedule(whole, tmp_path)
    assert_same(whole, read_schedule(tmp_path, network=network()))
    write_schedule(made, tmp_path)  # and leave nothing behind for a schedule without them
    assert_same(made, read_schedule(tmp_path))


def test_reactive_power_changed_by_hand_takes_the_proof_away(made, tmp_path):
    write_schedule(with_converters(made), tmp_path)
    table = pd.read_csv(tmp_path / "bess_dispatch.csv", dtype={"node": str, "bus": str, "phase": str})
    table.loc[3, "q_kvar"] += 0.5
    table.to_csv(tmp_path / "bess_dispatch.csv", index=False)
    assert EDITED in read_schedule(tmp_path).assumptions


def test_a_nameplate_below_the_output_is_named(made, tmp_path):
    write_schedule(replace(made, pv_kva=made.pv_kw * 0.1), tmp_path)
    with pytest.raises(ConfigError, match="kVA at"):
        read_schedule(tmp_path)


def test_scaling_and_blending_take_nameplates_and_reactive_power_along(made):
    """Halved, and halfway to standing still, are the same by hand."""
    whole = with_converters(made)
    half, middle = scaled(whole, 0.5), blend(idle(whole), whole, 0.5)
    for found in (half, middle):
        np.testing.assert_allclose(found.pv_kva, 0.5 * whole.pv_kva)
        np.testing.assert_allclose(found.bess_q_kvar, 0.5 * whole.bess_q_kvar)
        assert found.replaces == whole.replaces
    assert batteries_on(whole, profiles()).pv_kva is None


def test_an_infinite_bound_comes_back(made, tmp_path):
    unproven = replace(made, solve=replace(made.solve, bound=np.inf, gap=np.inf))
    write_schedule(unproven, tmp_path)
    json.loads((tmp_path / "schedule.json").read_text(), parse_constant=pytest.fail)
    assert read_schedule(tmp_path).solve == unproven.solve


@pytest.mark.parametrize("status", get_args(SolveStatus))
def test_every_status_a_program_may_end_with_comes_back(status, made, tmp_path):
    write_schedule(replace(made, solve=replace(made.solve, status=status)), tmp_path)
    assert read_schedule(tmp_path).solve.status == status


def test_a_plan_is_known_by_its_kind_not_by_its_name(made, tmp_path):
    """Its PV has a curve of its own: all of it at midnight is no fault of the file, as it is for other schedules."""
    night = replace(made, pv_p_kw=np.tile(made.pv_kw, (len(TIMES), 1)), pv_q_kvar=np.zeros_like(made.pv_q_kvar))
    plan = replace(night, case="mine", kind="planning", scenario="pvhc")
    write_schedule(plan, tmp_path / "plan")
    assert json.loads((tmp_path / "plan" / "schedule.json").read_text())["kind"] == "planning"
    assert_same(plan, read_schedule(tmp_path / "plan", profiles=profiles()))
    write_schedule(replace(night, case="planning C pvhc"), tmp_path / "named")
    with pytest.raises(ConfigError, match="p_kw"):
        read_schedule(tmp_path / "named", profiles=profiles())


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"kind": "plan"}, "kind 'plan' is unknown"),
        ({"kind": "planning"}, "scenario None"),
        ({"kind": "planning", "scenario": "pv"}, "scenario 'pv'"),
        ({"scenario": "pvhc"}, "belongs to the kind planning"),
    ],
)
def test_a_kind_that_is_none(keys, words, made, tmp_path):
    write_schedule(made, tmp_path)
    facts = json.loads((tmp_path / "schedule.json").read_text())
    (tmp_path / "schedule.json").write_text(json.dumps(facts | keys))
    with pytest.raises(ConfigError, match=words):
        read_schedule(tmp_path)


def test_a_file_without_a_kind_is_of_anyone_s_making(made, tmp_path):
    write_schedule(made, tmp_path)
    facts = json.loads((tmp_path / "schedule.json").read_text())
    del facts["kind"]
    (tmp_path / "schedule.json").write_text(json.dumps(facts))
    assert read_schedule(tmp_path).kind == "allocation"


def test_rows_are_found_by_name_not_by_position(made, tmp_path):
    write_schedule(made, tmp_path)
    for name in ("pv_dispatch.csv", "soc.csv", "predicted_voltages.csv"):
        table = pd.read_csv(tmp_path / name, dtype=str)
        table.sample(frac=1, random_state=3).drop(columns="time").to_csv(tmp_path / name, index=False)
    again = read_schedule(tmp_path)
    np.testing.assert_array_equal(again.pv_q_kvar, made.pv_q_kvar)
    np.testing.assert_array_equal(again.soc_kwh, made.soc_kwh)
    of = [again.predicted_nodes.index(n) for n in made.predicted_nodes]
    np.testing.assert_array_equal(again.predicted_v_pu[:, of], made.predicted_v_pu)


def test_an_edited_schedule_loses_its_proof_and_says_so(made, tmp_path):
    write_schedule(made, tmp_path)
    set_cell(tmp_path / "pv.csv", 3, "capacity_kw", "125")
    edited = read_schedule(tmp_path)
    assert edited.pv_kw[1] == 125.0
    assert edited.solve is None and edited.predicted_v_pu is None
    assert edited.assumptions == (*made.assumptions, EDITED)


def test_no_inverter_gives_more_than_the_sun_or_its_rating(made, tmp_path):
    write_schedule(made, tmp_path)
    set_cell(tmp_path / "pv.csv", 2, "capacity_kw", "20")
    with pytest.raises(ConfigError, match=r"row \d+, column p_kw: [\d.]+ kW at b3\.1, where 20 kW of inverter give"):
        read_schedule(tmp_path, profiles=profiles())
    write_schedule(made, tmp_path)
    set_cell(tmp_path / "pv_dispatch.csv", 2, "q_kvar", "-999")
    with pytest.raises(ConfigError, match=r"row 2, columns p_kw and q_kvar: 999 kVA at b3\.1, which has"):
        read_schedule(tmp_path, profiles=profiles())


def test_a_spreadsheet_that_drops_the_last_digits_edits_nothing(made, tmp_path):
    write_schedule(made, tmp_path)
    for name in ("pv.csv", "pv_dispatch.csv", "soc.csv"):
        pd.read_csv(tmp_path / name).to_csv(tmp_path / name, index=False, float_format="%.15g")
    assert read_schedule(tmp_path).solve == made.solve


def change(path, find, put):
    text = path.read_text()
    assert find in text
    path.write_text(text.replace(find, put, 1))


def set_cell(path, row, column, value):
    """`row` counts lines as an editor does: the header is row 1."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[row - 2, column] = value
    table.to_csv(path, index=False)


@pytest.mark.parametrize(
    ("file", "row", "column", "value", "words"),
    [
        ("pv.csv", 3, "capacity_kw", "", "row 3, column capacity_kw: is empty"),
        ("pv.csv", 3, "capacity_kw", "nan", "row 3, column capacity_kw: is nan"),
        ("pv.csv", 3, "capacity_kw", "12,5", "row 3, column capacity_kw: '12,5' is no number"),
        ("pv.csv", 4, "capacity_kw", "-1", "row 4, column capacity_kw: -1 is outside"),
        ("pv.csv", 2, "node", "b33.1", "row 2, column node: 'b33.1' is not in the feeder. Nearest: b3"),
        ("pv.csv", 2, "node", "b3.2", "row 3, column node: 'b3.2' is there twice"),
        ("pv_dispatch.csv", 5, "node", "b2.1", "row 5, column node: 'b2.1' is not in pv.csv"),
        ("pv_dispatch.csv", 7, "step", "24", "row 7, column step: '24' is no step. Steps go from 0 to 23"),
        ("pv_dispatch.csv", 7, "time", "01:00", "row 7, column time: '01:00', but step 0 is '00:00'"),
        ("bess_units.csv", 2, "eta_charge", "95", "row 2, column eta_charge: 95 is outside [1e-06, 1]. It is a share"),
        ("bess_units.csv", 2, "soc_min", "0.99", "row 2: unit A has soc_min above soc_max"),
        ("bess_units.csv", 2, "bus", "b4", "unit A stands at bus b4, not at node b5.1"),
        (
            "bess_dispatch.csv",
            2,
            "p_charge_kw",
            "-3",
            "row 2, column p_charge_kw: -3 is outside [0, inf]. Charging and",
        ),
        ("bess_dispatch.csv", 2, "unit", "C", "row 2, column unit: 'C' is not in bess_units.csv"),
        ("soc.csv", 9, "soc_kwh", "lots", "row 9, column soc_kwh: 'lots' is no number"),
        ("predicted_voltages.csv", 9, "v_pu", "NaN", "row 9, column v_pu: is NaN"),
    ],
)
def test_a_wrong_cell_is_named(made, tmp_path, file, row, column, value, words):
    write_schedule(made, tmp_path)
    set_cell(tmp_path / file, row, column, value)
    with pytest.raises(ConfigError) as caught:
        read_schedule(tmp_path, network=network())
    assert file in str(caught.value) and words in str(caught.value)


def test_all_faults_of_a_file_are_told_at_once(made, tmp_path):
    write_schedule(made, tmp_path)
    for row in range(2, 6):
        set_cell(tmp_path / "pv.csv", row, "capacity_kw", "?")
    with pytest.raises(ConfigError, match="4 faults") as caught:
        read_schedule(tmp_path)
    assert all(f"row {row}" in str(caught.value) for row in range(2, 6))


def test_missing_columns_rows_and_files(made, tmp_path):
    write_schedule(made, tmp_path)
    change(tmp_path / "pv_dispatch.csv", "p_kw", "p_kW")
    with pytest.raises(ConfigError, match=r"column 'p_kw' is missing\. Rename 'p_kW'"):
        read_schedule(tmp_path)
    write_schedule(made, tmp_path)
    rows = (tmp_path / "soc.csv").read_text().splitlines()
    (tmp_path / "soc.csv").write_text("\n".join(rows[:-1]))
    with pytest.raises(ConfigError, match=r"no row for step 24 \(end\) of unit b"):
        read_schedule(tmp_path)
    (tmp_path / "soc.csv").write_text("\n".join([*rows, rows[-1]]))
    with pytest.raises(ConfigError, match=r"row 52: unit b has step 24 twice"):
        read_schedule(tmp_path)
    (tmp_path / "soc.csv").unlink()
    with pytest.raises(ConfigError, match=r"soc\.csv is missing"):
        read_schedule(tmp_path)


def test_a_spreadsheet_with_semicolons_and_a_ragged_line(made, tmp_path):
    write_schedule(made, tmp_path)
    text = (tmp_path / "pv.csv").read_text()
    (tmp_path / "pv.csv").write_text(text.replace(",", ";").replace(".0;", ",0;"))  # as half of Europe writes it
    assert read_schedule(tmp_path).pv_nodes == made.pv_nodes
    assert read_schedule(tmp_path).pv_kw == pytest.approx(made.pv_kw, abs=0)
    (tmp_path / "pv.csv").write_text("\ufeff" + text.replace("\n", "\n\n"), encoding="utf-8")  # BOM, empty lines
    assert read_schedule(tmp_path).pv_nodes == made.pv_nodes
    (tmp_path / "pv.csv").write_text(text + "b4.1,b4,1,2,3\n")
    with pytest.raises(ConfigError, match=r"pv\.csv cannot be read as CSV: line 13 has more cells"):
        read_schedule(tmp_path)
    (tmp_path / "pv.csv").write_text("")
    with pytest.raises(ConfigError, match=r"pv\.csv is empty"):
        read_schedule(tmp_path)


@pytest.mark.parametrize(
    ("find", "put", "words"),
    [
        ('"case"', '"caes"', "key 'caes' is unknown"),
        ('"step_h": 1.0', '"step_h": "1 h"', "key 'step_h' is missing or no positive number"),
        ('"05:00"', '"5:00"', "step 5 is '5:00', in the profiles '05:00'"),
        ('"time_limit"', '"stopped"', "solve status 'stopped' is unknown"),
        ('"bound"', '"bond"', "key 'solve' is neither null nor a whole solve record"),
        ('"case"', "case", "is no JSON"),
    ],
)
def test_faults_of_schedule_json(made, tmp_path, find, put, words):
    write_schedule(made, tmp_path)
    change(tmp_path / "schedule.json", find, put)
    with pytest.raises(ConfigError) as caught:
        read_schedule(tmp_path, profiles=profiles())
    assert "schedule.json" in str(caught.value) and words in str(caught.value)


def test_a_schedule_for_other_steps_is_refused(made, tmp_path):
    write_schedule(made, tmp_path)
    half = Profiles(TIMES[:12], 1.0, profiles().load_pu[:12], profiles().pv_pu[:12])
    with pytest.raises(ConfigError, match="24 steps, the study's profiles have 12"):
        read_schedule(tmp_path, profiles=half)


def test_a_folder_that_cannot_be_written(made, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot write"):
        write_schedule(made, tmp_path / "file" / "out")


def test_every_node_has_a_bus_and_a_phase_that_survive_a_spreadsheet(made, tmp_path):
    """Read by pandas with its own guesses, as anyone would: the node "18.1" may be a number then, its parts are not."""
    write_schedule(made, tmp_path)
    for name in ("pv.csv", "pv_dispatch.csv", "bess_dispatch.csv", "predicted_voltages.csv"):
        table = pd.read_csv(tmp_path / name, dtype={"node": str, "bus": str})
        assert (table["bus"] + "." + table["phase"].astype(str)).tolist() == table["node"].tolist(), name
        table.drop(columns="node").to_csv(tmp_path / name, index=False)
    again = read_schedule(tmp_path, network=network())
    assert again.pv_nodes == made.pv_nodes and again.bess_nodes == made.bess_nodes
    assert again.predicted_nodes == made.predicted_nodes


def test_a_node_and_its_bus_and_phase_say_the_same(made, tmp_path):
    write_schedule(made, tmp_path)
    table = pd.read_csv(tmp_path / "pv.csv", dtype=str)
    table.loc[1, "phase"] = "7"
    table.to_csv(tmp_path / "pv.csv", index=False)
    with pytest.raises(ConfigError, match=r"row 3: node .* but bus and phase say .*\.7"):
        read_schedule(tmp_path)
