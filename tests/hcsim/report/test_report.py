"""Figures and the page, from a made-up study: whole, interrupted, and hardly begun."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html import unescape

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic_study import study

from hcsim.errors import OutputError
from hcsim.report.allocation.figures import PICTURES, draw_all
from hcsim.report.allocation.page import write_report
from hcsim.report.allocation.words import hours_words, ledger_reasons, missing_parts, violation_rows
from hcsim.report.pictures import svg_of
from hcsim.results.allocation import CaseResult
from optim.data.violations import VIOLATION_COLUMNS

pytestmark = pytest.mark.smoke


@pytest.fixture(scope="module")
def result():
    return study(certified=True)


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    made = tmp_path_factory.mktemp("report")
    write_report(result, made)
    return made


def text_of(page: str) -> str:
    """What a reader sees: markup and style taken out, blanks folded."""
    body = re.sub(r"<style>.*?</style>|<script.*?</script>|<[^>]+>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", unescape(body))


def test_every_figure_is_there_as_png_and_svg(folder):
    for picture in PICTURES:
        with Image.open(folder / "figures" / f"{picture.key}.png") as png:
            assert png.width >= 1500  # legible on a page 10 inches wide
        assert (folder / "figures" / f"{picture.key}.svg").read_text().startswith("<?xml")
    assert (folder / "summary.json").is_file()


def test_the_page_needs_nothing_from_outside(folder):
    page = (folder / "report.html").read_text()
    code_free = re.sub(r'(base64,|"data":")[A-Za-z0-9+/=]+', "", page)
    assert not re.search(r"https?:|<script[^>]* src|<link|@import|url\(|//[a-z]", code_free)
    assert len(page) < 3_000_000  # it is mailed
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == len(PICTURES)
    for source in sources:
        kind, _, code = source.partition(",")
        assert kind == "data:image/svg+xml;base64"
        svg = base64.b64decode(code).decode()
        assert not re.search(r'(href|src)="(?!#|data:)', svg)


def test_the_page_says_what_was_found(folder):
    text = text_of((folder / "report.html").read_text())
    for words in (
        "No BESS: the program claims 1,805.7 kW of PV (proven optimal)",
        "with taps locked the claim is confirmed by OpenDSS",
        "(cut: time, at most 2,416.7 kW)",
        "with taps free the claim is refuted: 5 new violations, worst reverse flow",
        "+60.0 kW against one central battery. In that schedule 100 kWh are charged",
        "With such circulation forbidden the change is +0.0 kW",
        "reverse flow src 3 12:00, 14:00",
        "09:00 100.0 bess_b5, bess_b8 bess_b3",
        "constant current, taken at nominal voltage",
        "sites ours five PV buses.",
        "92.6 % of the peak load of 1,950 kW",
        "Bracket and bisection.",
        "288 power flows in",
        "3,000.0 no overvoltage at b5.1, 10:00: 1.0567 pu",
    ):
        assert words.lower() in text.lower(), words
    assert "not complete" not in text


def test_an_interrupted_study_still_has_a_page(result, tmp_path):
    first = result.cases["none"]
    half = replace(
        result,
        cases={"none": CaseResult(first.schedule, {"locked": first.replays["locked"]})},
        baselines={},
        missing={
            "program centralized": "Infeasible: v_max at 83.1",
            "the rest of the study": "interrupted by the user",
        },
    )
    text = text_of(write_report(half, tmp_path).read_text())
    assert "Not complete. What failed:" in text
    assert "Centralized BESS: Infeasible: v_max at 83.1" in text
    assert "No BESS, replay with taps free: interrupted by the user" in text
    assert "Simulation without battery: interrupted by the user" in text
    assert missing_parts(result) == []
    assert missing_parts(replace(half, missing={})) == []  # a program that was not asked for is not missing


def test_a_study_without_any_case_still_has_a_page(result, tmp_path):
    bare = replace(result, cases={}, baselines={}, base_replays={}, paper={}, assumptions={})
    bare = replace(bare, network=replace(bare.network, coordinates={}))
    assert set(draw_all(bare)) == {"02_profiles"}
    assert "no result" in text_of(write_report(bare, tmp_path).read_text())


def test_hours_that_did_not_converge_leave_gaps_not_errors(result, tmp_path):
    case = result.cases["centralized"]
    replay = case.replays["free"]
    v, power = replay.operation.v_pu.copy(), replay.operation.substation_kw.copy()
    v[3:6], power[3:6] = np.nan, np.nan
    lost = pd.DataFrame(
        [("convergence", "feeder", "", t, f"0{t}:00", np.nan, np.nan, "", np.nan, False) for t in (3, 4, 5)],
        columns=list(VIOLATION_COLUMNS),
    )
    failed = replace(
        replay,
        violations=lost,
        converged=~np.isin(np.arange(24), (3, 4, 5)),
        operation=replace(replay.operation, v_pu=v, substation_kw=power),
    )
    broken = replace(result, cases={"centralized": CaseResult(case.schedule, {"free": failed})})
    text = text_of(write_report(broken, tmp_path).read_text())
    assert "not judged: no convergence at 03:00, 04:00, 05:00" in text
    assert "convergence feeder 03:00–05:00 –" in text
    assert "21 of 24" in text and "nan" not in text.lower().replace("finan", "")


def test_the_same_study_gives_the_same_picture(result):
    first, second = (svg_of(draw_all(result)["05_voltages"]) for _ in range(2))
    assert first == second


def test_violations_are_grouped_by_place_with_their_hours(result):
    rows, more = violation_rows(result.cases["distributed"].replays["locked"].violations)
    assert more == 0 and {r["kind"] for r in rows} == {"new"}
    assert (rows[0]["element"], rows[0]["phase"], rows[0]["hours"]) == ("src", "3", "12:00, 14:00")
    assert hours_words({9: "09:00", 10: "10:00", 11: "11:00", 14: "14:00"}) == "09:00–11:00, 14:00"


def test_only_what_is_not_exact_needs_a_reason(result):
    assert ledger_reasons(result.ledger) == [
        ["approximated", "constant current, taken at nominal voltage", "1", "Load.b4"]
    ]


def test_a_folder_that_cannot_be_written(result, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_report(result, tmp_path / "file")
