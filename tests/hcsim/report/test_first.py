"""What page and terminal begin with: the number, what limits it, where and when, how sure; where the PV stands."""

from dataclasses import replace

import pytest
from synthetic_study import study

from hcsim.report.allocation.first import headline, site_table
from hcsim.report.allocation.page import render_html
from hcsim.report.allocation.tables import main_table
from hcsim.results.allocation_summary import summarize
from optim.hosting.binding import Price

pytestmark = pytest.mark.smoke
BINDING = (Price("battery full", "bess_b3", "13:00", 9.0, "kWh"), Price("reverse_flow", "source.2", "10:00", 1.0, "kW"))


def with_certificate(of, name="none", **changes):
    """The study with what `none` was certified, changed, as the certificate of `name` as well."""
    made = replace(of.cases["none"].certificate, schedule=of.cases[name].schedule, **changes)
    return replace(of, cases={**of.cases, name: replace(of.cases[name], certificate=made)})


def test_the_number_and_what_limits_it():
    """A battery that is full is no limit of the feeder; 9.99 kW are not 10."""
    made = study(certified=True)
    kw = made.cases["none"].schedule.pv_kw.sum()
    said = headline(with_certificate(made, binding=BINDING))
    assert f"{made.case} can take {int(kw):,} kW of PV, limited by reverse flow at source.2 at 10:00." in said
    assert "OpenDSS confirms it on the studied day, all controls acting." in said


def test_storage_beside_none_and_how_many_days():
    made = with_certificate(study(certified=True), "centralized", robustness={"draws": 200, "share_passed": 0.24})
    more, less = (int(made.cases[c].schedule.pv_kw.sum()) for c in ("centralized", "none"))
    said = headline(made)
    assert f"{more:,} kW of PV with centralized BESS, and {less:,} kW without" in said
    assert "it holds on 24 % of days" in said


def test_a_loop_that_was_cut_is_not_called_certain():
    assert "best found (cut by time)" in headline(with_certificate(study(certified=True), cut="time"))


def test_without_a_certificate_there_is_no_headline():
    assert headline(study()) == "" and site_table(study()).empty


def test_sites_add_up_to_the_number():
    made = study(certified=True)
    schedule = made.cases["none"].schedule
    table = site_table(made)
    small_kw = 0.05 * len(schedule.pv_nodes)  # less is not shown
    assert table["pv_kw"].sum() == pytest.approx(schedule.pv_kw.sum(), abs=small_kw)
    assert table["share_pct"].sum() == pytest.approx(100, abs=1e-6)
    standing = {n for n, kw in zip(schedule.pv_nodes, schedule.pv_kw, strict=True) if kw > 0.05}
    assert {f"{row.bus}.{phase}" for row in table.itertuples() for phase in row.phases.split()} == standing
    assert table["distance_pct"].between(0, 100 + 1e-9).all()


def test_what_binds_at_a_site():
    """By hand: its own bus comes before the line that feeds it, that before the source on its phases, and a limit
    elsewhere is last. b9 stands on phase 3 behind Line.b8 and b8."""
    prices = (
        Price("overvoltage", "b5.1", "11:00", 9.0, "pu"),
        Price("reverse_flow", "src.2", "10:00", 3.0, "kW"),
        Price("loading", "Line.b8.3", "12:00", 1.0, "kVA"),
    )
    binds = dict(site_table(with_certificate(study(certified=True), binding=prices))[["bus", "what_binds"]].values)
    assert binds["b5"] == "overvoltage at b5.1, 11:00"
    assert binds["b9"] == binds["b8"] == "loading at Line.b8.3, 12:00"
    assert binds["b3"] == "reverse flow at src.2, 10:00"  # on all phases, so phase 2's reverse flow concerns it
    assert binds["b6"] == "overvoltage at b5.1, 11:00"  # on phase 1 alone


@pytest.mark.parametrize("width", [80, 116])
def test_a_feeder_in_no_paper_has_no_column_for_one(width):
    made = study(certified=True)
    bare = replace(made, paper={})
    assert any("paper" in str(c.header) for c in main_table(summarize(made), width=width).columns)
    assert not any("paper" in str(c.header) for c in main_table(summarize(bare), width=width).columns)
    assert ">paper,<br>" in render_html(made, {}) and ">paper,<br>" not in render_html(bare, {})
