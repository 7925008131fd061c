"""`hcsim validate`: one dispatch in every shape gives one answer, by command, by Python, by plain OpenDSS; the repaired
one passes when it is validated anew."""

from __future__ import annotations

import json
import re

import dispatch_shapes as shapes
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import hcsim
from hcsim.cases.case import load_case
from hcsim.cli.app import app
from hcsim.errors import ConfigError
from hcsim.replay.options import ReplayOptions
from hcsim.results.validation import share_in_words
from hcsim.schedules.dispatch.layout import Reading
from hcsim.schedules.dispatch.read import read_dispatch
from hcsim.schedules.edit import with_parts
from hcsim.schedules.files import write_schedule
from hcsim.studies.validate.dispatch_axis import with_loads
from hcsim.studies.validate.how_far import Piece, scales
from hcsim.studies.validation import Asked, judge, validate, write_all
from hcsim.workbench.allocation import Workbench
from hcsim.workbench.own_devices import own_units
from optim.data.schedule import Schedule

HOURS = np.arange(24)
SUN = np.round(np.clip(np.cos((HOURS - 12) / 12 * np.pi), 0.0, None), 4)


@pytest.fixture(scope="module")
def bench():
    return Workbench.open(load_case("ieee123"))


def much(kw: float) -> pd.DataFrame:
    """More than the line to bus 83 takes, as whole kW."""
    return pd.DataFrame({"hour": HOURS, "pv_83_kw": np.round(kw * SUN, 1)})


@pytest.fixture(scope="module")
def refuted(bench):
    return judge(bench, much(4500.0), Asked())


def answer(found: hcsim.Validation) -> str:
    """All that it says, but for the time it took and the sentences on the file's own shape."""
    content = found.to_json()
    del content["seconds"], content["read_as"]
    return json.dumps(content, sort_keys=True)


def test_thirteen_shapes_give_one_answer_to_the_last_byte(bench, tmp_path):
    (tmp_path / "units.csv").write_text(shapes.UNITS)
    asked = Asked(units=tmp_path / "units.csv", how_far=False)
    answers = {}
    for shape, write in shapes.SHAPES.items():
        (tmp_path / shape).mkdir()
        answers[shape] = answer(judge(bench, write(tmp_path / shape), asked))
    first = answers["long csv"]
    assert {shape for shape, text in answers.items() if text != first} == set()
    assert len(answers) >= 12


def test_a_refuted_dispatch_is_scaled_and_its_repair_passes_anew(refuted, bench, tmp_path):
    assert refuted.verdict == "refuted" and 0.0 < refuted.scales.whole < 1.0
    assert refuted.repaired is not None
    folder = tmp_path / "out"
    write_all(refuted, folder)
    units = folder / "dispatch_repaired_units.csv"
    again = judge(bench, folder / "dispatch_repaired.csv", Asked(units=units, how_far=False))
    assert again.verdict == "holds"
    smaller = much(4500.0 * refuted.scales.whole)
    assert judge(bench, smaller.assign(pv_83_kw=refuted.scales.whole * much(4500.0)["pv_83_kw"]), Asked()).holds
    above = refuted.scales.whole + refuted.scales.step
    more = smaller.assign(pv_83_kw=above * much(4500.0)["pv_83_kw"])
    assert judge(bench, more, Asked(how_far=False)).verdict == "refuted"
    for name in ("validation.json", "violations.csv", "report.html", "verdict.pdf", "dispatch_findings.csv"):
        assert (folder / name).stat().st_size > 0
    content = json.loads((folder / "validation.json").read_text())
    keys = (
        "verdict verdict_strict dispatch_findings new_violations existing_violations ansi_a ansi_b worst "
        "undelivered_kwh curtailed_kwh scale_that_passes repair_kwh read_as rules"
    )
    for key in keys.split():
        assert key in content
    page = (folder / "report.html").read_text()
    shown = re.search(r"([\d.]+) % \(found to 0\.5 %\)", page)
    assert shown and refuted.scales.whole - 0.001 < float(shown[1]) / 100 <= refuted.scales.whole  # never rounded up
    assert f"{shown[1]} %, not in the dispatch, not in the dispatch" in page
    for share in np.linspace(0.0, 1.0, 2001):
        assert float(share_in_words(share).split()[0]) / 100 <= share + 1e-9


def test_hours_are_counted_once_however_many_phases(refuted):
    """Three phases at once are one hour each: the hours that pandas counts in the table, step by step."""
    from hcsim.replay.spans import hours_broken

    new = refuted.new_violations
    by_hand = new.groupby("criterion")["step"].nunique()
    fresh = refuted.spans[refuted.spans["is_new"]]
    assert hours_broken(fresh, 1.0) == by_hand.astype(float).to_dict()
    assert max(by_hand) <= 24
    assert refuted.spans["duration_h"].sum() == len(refuted.violations)  # an hour a row


def test_ansi_counts_are_those_of_the_verdict(refuted):
    from hcsim.replay.verdict import ansi_counts, verdict_facts

    content = refuted.to_json()
    assert {k: content[k] for k in ("ansi_a", "ansi_b")} == ansi_counts(refuted.replay)
    assert content["verdict_strict"] == verdict_facts(refuted.replay)["verdict_strict"]


def test_by_python_by_schedule_by_folder_and_by_frame_it_is_the_same(refuted, bench, tmp_path):
    said = refuted.to_json()["new_violations"]
    asked = Asked(how_far=False)
    write_schedule(refuted.schedule, tmp_path / "mine")
    for given in (refuted.schedule, tmp_path / "mine", refuted.schedule.to_frame(), str(tmp_path / "mine")):
        assert judge(bench, given, asked).to_json()["new_violations"] == said
    assert hcsim.replay(bench.model, refuted.schedule).violations["existing"].dtype == bool
    by_replay = hcsim.replay(bench.model, refuted.schedule).violations
    assert int((~by_replay["existing"]).sum()) == said


def test_a_frame_gives_its_schedule_back_to_the_last_bit(refuted):
    for schedule in (refuted.schedule, refuted.repaired):
        back = Schedule.from_frame(schedule.to_frame(), schedule.case)
        for name in ("pv_kw", "pv_p_kw", "pv_q_kvar", "p_charge_kw", "p_discharge_kw", "soc_kwh"):
            np.testing.assert_array_equal(getattr(back, name), getattr(schedule, name))
        assert (back.times, back.pv_nodes, back.bess) == (schedule.times, schedule.pv_nodes, schedule.bess)


def test_loads_of_the_dispatch_take_the_place_of_the_studys(bench):
    """Load s65a has 35 kW: a series of 70 kW is twice that at every hour, and no other load moves."""
    table = much(10.0).assign(load_s65a_kw=70.0)
    found = judge(bench, table, Asked(how_far=False))
    plain = judge(bench, much(10.0), Asked(how_far=False))
    assert any("1 of" in s and "own series" in s for s in found.read_as)
    assert np.all(found.replay.load_kw > plain.replay.load_kw + 15.0)  # 35 kW more at nominal, by a curve of 0.5 to 1
    read = read_dispatch(table, bench.network, own=own_units(bench.circuit, bench.network))
    legs, _ = with_loads(bench.profiles, bench, read)
    mine = np.array([name.lower() == "load.s65a" for name in bench.network.loads.names])
    np.testing.assert_allclose(legs.load_pu[:, mine], 2.0)
    others = np.repeat(bench.profiles.load_pu[:, None], (~mine).sum(), axis=1)
    np.testing.assert_array_equal(legs.load_pu[:, ~mine], others)


def test_loads_at_a_bus_share_a_series_by_their_size(bench):
    at = own_units(bench.circuit, bench.network)
    bus = next(b for b in bench.network.buses if sum(u.bus == b and u.kind == "load" for u in at.values()) > 1)
    mine = {n: u.kw for n, u in at.items() if u.bus == bus and u.kind == "load"}
    read = read_dispatch(much(10.0).assign(**{f"load_{bus}_kw": 10.0}), bench.network, own=at)
    assert read.loads_kw.keys() == mine.keys()
    for name, series in read.loads_kw.items():
        np.testing.assert_allclose(series, 10.0 * mine[name] / sum(mine.values()))


def test_a_date_leaves_a_feeder_without_yearly_shapes_as_it_is(bench):
    dated = much(100.0).assign(hour=pd.date_range("2025-05-04", periods=24, freq="h")).rename(columns={"hour": "time"})
    a, b = (judge(bench, t, Asked(how_far=False)) for t in (dated, much(100.0)))
    np.testing.assert_array_equal(a.replay.operation.v_pu, b.replay.operation.v_pu)
    assert a.schedule.times == b.schedule.times and "The day is 2025-05-04." in a.read_as


@pytest.mark.parametrize("step_minutes", [15, 30])
def test_durations_are_hours_not_steps(bench, step_minutes):
    fine = 60 // step_minutes
    table = pd.DataFrame(
        {"step": np.arange(24 * fine), "pv_83_kw": np.repeat(much(4500.0)["pv_83_kw"].to_numpy(), fine)}
    )
    found = judge(bench, table, Asked(reading=Reading(step_minutes=step_minutes), how_far=False))
    fresh = found.spans[found.spans["is_new"]]
    assert fresh["duration_h"].max() <= 24.0 and (fresh["duration_h"] % (step_minutes / 60.0) == 0.0).all()


def test_rules_set_limits_and_say_what_they_ask(bench):
    from hcsim.cases.rules import KNOWN, find_rules

    strict = judge(bench, much(2500.0), Asked(rules=find_rules("ansi-a"), how_far=False))
    wide = judge(bench, much(2500.0), Asked(rules=find_rules("ANSI-B"), how_far=False))
    assert strict.to_json()["rules"]["name"] == "ansi-a"
    over = [f.violations[f.violations["criterion"] == "overvoltage"] for f in (strict, wide)]
    assert len(over[0]) >= len(over[1])
    assert wide.replay.limits.v_max_pu == pytest.approx(127 / 120)
    for rules in KNOWN.values():
        assert rules.source and rules.asks and rules.unconfirmed


def test_en50160_lets_one_step_in_twenty_of_a_week_sag():
    """168 hours: 8 of them are 4.8 %, 9 are 5.4 %; below 0.85 pu none."""
    from hcsim.cases.rules import find_rules

    rules = find_rules("en50160")

    def table(steps, value):
        return pd.DataFrame(
            {
                "criterion": "undervoltage",
                "element": "83",
                "phase": "1",
                "step": list(steps),
                "value": value,
                "existing": False,
            }
        )

    assert rules.judged(table(range(8), 0.89), 168, 1.0).empty
    assert len(rules.judged(table(range(9), 0.89), 168, 1.0)) == 9
    assert len(rules.judged(table(range(1), 0.84), 168, 1.0)) == 1
    split = rules.judged(table([*range(8), *range(168, 176)], 0.89), 336, 1.0)
    assert split.empty  # eight in each of two weeks


def test_rules_of_ones_own(tmp_path):
    from hcsim.cases.rules import find_rules

    file = tmp_path / "ours.toml"
    file.write_text('title = "Ours"\nsource = "Grid code 7"\nasks = ["1.08 at most"]\n[limits]\nv_max_pu = 1.08\n')
    rules = find_rules(file)
    assert rules.limits == {"v_max_pu": 1.08} and rules.title == "Ours"
    file.write_text("[limits]\nv_mx_pu = 1.08\n")
    with pytest.raises(ConfigError, match="v_mx_pu"):
        find_rules(file)
    with pytest.raises(ConfigError, match="ansi-a"):
        find_rules("ansi-c")


def test_ceilings_by_month_and_hour_become_a_year():
    from hcsim.schedules.dispatch.ceilings import over_a_year
    from hcsim.schedules.dispatch.cells import read_table

    months = np.repeat(np.arange(1, 13), 24)
    table = pd.DataFrame({"month": months, "hour": np.tile(np.arange(24), 12), "pv_83_kw": months * 100.0})
    year = over_a_year(read_table(table)).cells
    assert len(year) == 8760 and year["pv_83_kw"].iloc[0] == 100.0 and year["pv_83_kw"].iloc[-1] == 1200.0
    assert year["pv_83_kw"].iloc[31 * 24] == 200.0  # 1 February, 0:00
    blocks = pd.DataFrame({"month": np.repeat(np.arange(1, 13), 2), "hour_from": [8, 18] * 12, "hour_to": [18, 8] * 12})
    blocks["pv_83_kw"] = [50.0, 500.0] * 12
    day = over_a_year(read_table(blocks)).cells["pv_83_kw"].to_numpy()[:24]
    assert day.tolist() == [500.0] * 8 + [50.0] * 10 + [500.0] * 6
    with pytest.raises(ConfigError, match="no row for December"):
        over_a_year(read_table(table.iloc[:-1]))


def test_the_command_gives_its_exit_codes_and_a_table_of_two(bench, tmp_path):
    much(4500.0).to_csv(tmp_path / "a.csv", index=False)
    much(10.0).to_csv(tmp_path / "b.csv", index=False)
    run = CliRunner().invoke
    both = [str(tmp_path / f) for f in ("a.csv", "b.csv")]
    two = run(app, ["validate", "ieee123", *both, "--out", str(tmp_path / "o"), "--verdict-only"])
    assert two.exit_code == 3, two.output
    table = pd.read_csv(tmp_path / "o" / "compare.csv", index_col="quantity")
    assert table.loc["verdict"].tolist() == ["refuted", "holds"]
    assert (tmp_path / "o" / "compare.html").is_file()
    good = run(app, ["validate", "ieee123", str(tmp_path / "b.csv"), "--out", str(tmp_path / "b"), "--json"])
    assert good.exit_code == 0 and json.loads(good.stdout)["verdict"] == "holds"
    missing = run(app, ["validate", "ieee123", str(tmp_path / "none.csv"), "--out", str(tmp_path / "n")])
    assert missing.exit_code == 2


def test_python_is_the_command(tmp_path):
    found = validate("ieee123", much(10.0))
    assert found.verdict == "holds" and "holds" in found._repr_html_() and found.voltages.shape[0] == 24
    assert hcsim.validate is validate


def test_what_a_battery_s_reactive_power_breaks_is_mended_with_it(bench, tmp_path):
    """A converter that injects kvar all day at the end of a long line: the repair takes kvar back, no energy."""
    (tmp_path / "units.csv").write_text("name,bus,kind,kw,kva,kwh\nb,83,bess,100,3000,400\n")
    dispatch = pd.DataFrame({"hour": HOURS, "name": "b", "p_kw": 0.0, "q_kvar": 1200.0, "soc_kwh": 200.0})
    found = judge(bench, dispatch, Asked(units=tmp_path / "units.csv"))
    assert found.verdict == "refuted" and set(found.new_violations["criterion"]) == {"overvoltage"}
    assert found.repaired is not None and found.repair_kwh == pytest.approx(0.0, abs=1.0)
    now, before = found.repaired.bess_q_kvar, found.schedule.bess_q_kvar
    assert np.all(now <= before + 1e-6) and now.sum() < before.sum() - 100.0
    write_all(found, tmp_path / "out")
    units = tmp_path / "out" / "dispatch_repaired_units.csv"
    assert (
        judge(bench, tmp_path / "out" / "dispatch_repaired.csv", Asked(units=units, how_far=False)).verdict == "holds"
    )


def test_days_that_pass_by_themselves_have_no_share(refuted, bench):
    """Of a long dispatch a day begins with other taps than in the whole: then no share of it says anything."""
    idle = Piece(bench.model, with_parts(refuted.schedule, pv=0.0), ReplayOptions(before=refuted.bare.before), 0)
    found = scales([idle], 1, None, lambda words: None)
    assert found.whole is None and found.pv is None and found.step is None
    assert found.replays == 1 and "no share was sought" in found.left_out
