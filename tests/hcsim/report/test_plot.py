"""What a notebook shows: tables that say what summary.json says, names as text, pictures of every kind of result."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

import hcsim
from hcsim.errors import ConfigError
from hcsim.util.html_text import shown

CASE = Path(__file__).parents[2] / "cases" / "three_bus"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    programs = ["none", "centralized"]
    return hcsim.Study.load(CASE).run(folder, programs=programs, robustness_draws=0), folder


@pytest.fixture(scope="module")
def validation(tmp_path_factory):
    times = [f"{hour:02d}:00" for hour in range(24)]
    dispatch = pd.DataFrame(
        {"time": times, "bus": "a", "kind": "pv", "p_kw": [float(10 * (6 < h < 18)) for h in range(24)]}
    )
    return hcsim.validate(CASE, dispatch)


def test_the_table_is_that_of_summary_json(study):
    result, folder = study
    cases = json.loads((folder / "summary.json").read_text())["cases"]
    table = result.table.set_index("program")
    assert list(table.index) == ["none", "centralized"]
    for name, row in cases.items():
        assert table.loc[name, "claim_kw"] == row["hc_kw"] and table.loc[name, "lp_bound_kw"] == row["bound_kw"]
        assert table.loc[name, "certified_kw"] == row["certified_kw"]
        assert table.loc[name, "word"] == row["certified"]["word"]


def test_sites_sum_up_to_what_is_certified(study):
    result, _ = study
    by_program = result.sites.groupby("program")["pv_kw"].sum()
    for name, case in result.cases.items():
        assert by_program[name] == pytest.approx(case.certificate.certified_kw, rel=1e-9)
        assert case.certificate.sites["pv_kw"].sum() == pytest.approx(by_program[name], rel=1e-9)


def test_a_notebook_shows_sentences_and_tables(study, validation):
    result, _ = study
    for thing in (result, result.cases["none"].certificate, validation):
        assert "<table" in thing._repr_html_() or "<p>" in thing._repr_html_()
    assert "certified_kw" in result._repr_html_()
    said = shown("<script>", pd.DataFrame({"bus": ["<img src=x>"], "kw": [float("nan")]}))
    assert "<script>" not in said and "<img" not in said and "–" in said


@pytest.mark.parametrize("draw", ["capacities", "voltages", "source_power", "state_of_charge"])
def test_pictures_of_a_study(study, draw):
    figure = getattr(hcsim.plot, draw)(study[0])
    assert isinstance(figure, Figure) and figure.axes


@pytest.mark.parametrize("draw", ["voltages", "source_power"])
def test_pictures_of_a_validation(validation, draw):
    figure = getattr(hcsim.plot, draw)(validation)
    assert isinstance(figure, Figure) and figure.axes


def test_what_cannot_be_drawn_is_said(study, validation):
    result, _ = study
    with pytest.raises(ConfigError, match="no coordinates"):
        hcsim.plot.feeder_map(replace(result, network=replace(result.network, coordinates={})))
    with pytest.raises(ConfigError, match="no battery"):
        hcsim.plot.state_of_charge(validation)
