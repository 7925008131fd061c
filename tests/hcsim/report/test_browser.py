"""Pages in a browser: what a reader points at, clicks, types, hears and prints. Skipped where there is no Chromium."""

import base64
import io
import itertools
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from in_browser import BROKEN_WORDS, CONTRAST, CUT_SPOTS, WHY_NOT, at_bus, chromium, place, unfold, walk_by_tab
from synthetic_study import study

from hcsim.report.allocation.figures import PICTURES
from hcsim.report.allocation.page import render_html
from hcsim.report.map.data import Shown
from hcsim.report.pictures import draw_pictures, save_figures
from hcsim.report.simulation.page import Answer, write_page
from hcsim.report.simulation.page import Shown as Figure
from optim.data.node import bus_of
from optim.hosting.binding import Price

LAYERS = ("pv", "bess", "voltage", "loading", "nodal0")
PAGES = ("report", "study")
"""The page of an allocation, and the one that all other studies have."""

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def made():
    return study(certified=True)


@pytest.fixture(scope="module")
def shown(made):
    """A feeder with PV, batteries, voltages, loadings that differ by line and hour, and capacities by bus."""
    case = made.cases["distributed"]
    replay = case.replays["free"]
    lines = np.linspace(0.1, 1.1, len(replay.operation.branches))
    loading = np.outer(np.linspace(0.5, 1.0, len(replay.operation.times)), lines)
    replay = replace(replay, operation=replace(replay.operation, loading_pu=loading))
    nodal = pd.DataFrame(
        [(bus, 90.0 * k, "overvoltage", "b5", "10:00") for k, bus in enumerate(made.network.buses) if bus != "src"],
        columns=["bus", "hc_kw", "criterion", "binding_element", "binding_hour"],
    )
    return Shown(made.network, made.limits, made.profiles, replay, case.schedule, {"generation": nodal})


@pytest.fixture(scope="module")
def files(made, shown, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    case = made.cases["none"]
    price = (Price("reverse_flow", "src.2", "10:00", 1.0, "kW"),)
    certified = replace(case, certificate=replace(case.certificate, binding=price))
    made = replace(made, cases={"none": certified, "distributed": made.cases["distributed"]})
    some = [p for p in PICTURES if p.key[:2] in ("02", "05", "06")]
    figures = draw_pictures(some, made)
    page = render_html(made, save_figures(figures, folder / "figures"))
    (folder / "report.html").write_text(page)
    rows = pd.DataFrame({"bus": [f"n{k}" for k in range(24)], "hc_kw": [(7 * k % 24) * 50.5 for k in range(24)]})
    rows.loc[5, "hc_kw"] = np.nan
    answer = Answer(
        "One number.", verdict="holds", colour="good", map=shown, limits=made.limits, bare=case.replays["free"]
    )
    pictures = [Figure("profiles", "Curves", "Load and sun.", draw_pictures(some[:1], made)[some[0].key])]
    write_page("Nodal", {"case": "c", "notes": ["A note."]}, pictures, {"Buses": rows}, folder, "study.html", answer)
    return folder


@pytest.fixture
def open_page(browser, files):
    """Opens a page; nobody may complain in its console, and it may ask for nothing outside of itself."""
    wrong, asked, opened = [], [], []

    def open_it(name, width=1280, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        opened.append(page)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("request", lambda request: asked.append(request.url))
        page.goto((files / f"{name}.html").as_uri())
        return page

    yield open_it
    for page in opened:
        page.close()
    assert not wrong
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]


def numbers(cells):
    return [float(x.replace(",", "")) for x in cells.all_inner_texts()]


# -- the map --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bus", ["b5", "b9"])
def test_pointing_at_a_bus_says_what_the_results_say(open_page, shown, bus):
    page = open_page("study")
    page.mouse.move(*place(page, bus))
    said = page.locator(".tip").inner_text().split("\n")
    kw, power, _, worst = at_bus(shown, bus)
    hour = shown.replay.operation.times.index(page.locator("output").inner_text())
    phases = " ".join(shown.network.nodes[n][-1] for n in shown.network.nodes_of(bus))
    assert said[0].split() == [bus, "phases", *phases.split()]
    assert f"PV {kw:,.1f} kW, now {power[hour]:,.1f}" in said and worst in said
    if bus == "b5":
        assert "battery 1,000 kWh, now" in "\n".join(said)
    page.mouse.move(1, 1)
    assert not page.locator(".tip").is_visible()


def test_a_click_shows_the_day_of_the_bus(open_page, shown):
    page = open_page("study", width=420)
    page.mouse.click(*place(page, "b5"))
    day = page.locator(".day")
    assert day.locator("h3").inner_text() == "Bus b5"
    charts = [svg.get_attribute("aria-label") for svg in day.locator("svg[role=img]").all()]
    _, power, v, _ = at_bus(shown, "b5")
    assert charts[0].startswith(f"Voltage: phase 1 from {v[:, 0].min():.3f} to {v[:, 0].max():.3f} pu")
    assert f"PV from 0.0 to {power.max():,.1f}" in charts[1]
    day.locator("summary").click()
    heads = day.locator("th").all_inner_texts()
    found = np.array([numbers(row.locator("td.n")) for row in day.locator("tbody tr").all()])
    assert day.locator("tbody td:first-child").all_inner_texts() == list(shown.replay.operation.times)
    np.testing.assert_allclose(found[:, heads.index("phase 2") - 1], v[:, 1], atol=1e-4)
    np.testing.assert_allclose(found[:, heads.index("PV") - 1], power, atol=0.11)
    stored = shown.schedule.soc_kwh[1:, [u.bus for u in shown.schedule.bess].index("b5")]
    np.testing.assert_allclose(found[:, heads.index("stored kWh") - 1], stored, atol=0.11)
    day.get_by_role("button", name="Close").click()
    assert not day.is_visible() and page.evaluate("document.activeElement.matches('svg.feeder')")


def test_zoom_and_drag(open_page):
    page = open_page("study")
    stage = page.locator("svg.feeder")

    def view():
        return [float(x) for x in stage.get_attribute("viewBox").split()]

    whole = view()
    page.get_by_role("button", name="Zoom in").click()
    near = view()
    assert near[2] == pytest.approx(0.6 * whole[2]) and near[3] / near[2] == pytest.approx(whole[3] / whole[2])
    x, y = place(page, "b4")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 60, y - 5, steps=3)
    page.mouse.up()
    assert view()[0] > near[0] and not page.locator(".day").is_visible(), "what is dragged is not clicked"
    page.get_by_role("button", name="Show all").click()
    assert view() == whole
    stage.focus()
    page.keyboard.press("+")
    assert view()[2] < whole[2]
    page.mouse.move(x, y)
    page.mouse.wheel(0, -100)
    page.wait_for_function(
        "w => Number(document.querySelector('svg.feeder').getAttribute('viewBox').split(' ')[2]) < w", arg=near[2]
    )
    page.keyboard.press("0")
    assert view() == whole


def test_every_layer_draws_something_else(open_page, shown):
    page = open_page("study")
    drawn = {}
    for layer in LAYERS:
        page.locator(f"input[value={layer}]").check()
        drawn[layer] = page.locator("svg.feeder").inner_html(), page.locator(".key").inner_text()
    for width in (1280, 420):
        page.set_viewport_size({"width": width, "height": 800})
        page.locator("input[value=pv]").check()
        assert page.evaluate(CUT_SPOTS) == 0, "no bus is cut at the edge"
    for a, b in itertools.combinations(LAYERS, 2):
        assert drawn[a][0] != drawn[b][0] and drawn[a][1] != drawn[b][1]
    sites = {bus_of(n) for n in shown.schedule.pv_nodes}
    assert drawn["pv"][0].lower().count('stroke="#e69f00" stroke-width') == 2 * len(sites), "rating and power"
    for layer, words in zip(LAYERS, ("PV", "battery", "the limits", "of the rating", "kW and more"), strict=True):
        assert words in drawn[layer][1]


def test_the_slider_and_play_move_the_hour(open_page, shown):
    page = open_page("study")
    slider, clock = page.get_by_role("slider", name="Hour"), page.locator("output")
    page.locator("input[value=voltage]").check()
    page.get_by_label("Bus", exact=True).fill("b5")
    page.keyboard.press("Enter")
    times, (_, _, v, _) = shown.replay.operation.times, at_bus(shown, "b5")
    slider.focus()
    drawn = set()
    for key, hour in (("Home", 0), ("ArrowRight", 1), ("End", 23)):
        page.keyboard.press(key)
        assert clock.inner_text() == slider.get_attribute("aria-valuetext") == times[hour]
        drawn.add(page.locator("svg.feeder").inner_html())
        now = float(re.search(rf"at {times[hour]}: ([\d.]+) pu", page.locator(".tip").inner_text())[1])
        assert np.abs(v[hour] - now).min() < 1e-4
    assert len(drawn) == 3
    play = page.locator(".controls button", has_text="Play")
    play.click()
    page.wait_for_function("before => document.querySelector('output').textContent !== before", arg=times[23])
    page.get_by_role("button", name="Stop").click()
    assert play.inner_text() == "Play"


def test_arrows_go_from_bus_to_bus_and_are_spoken(open_page, shown):
    page = open_page("study")
    page.locator("svg.feeder").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")  # the source, head, b2
    spoken = page.locator("section.map [aria-live]").inner_text()
    assert spoken.startswith("b2") and at_bus(shown, "b2")[3] in spoken
    page.keyboard.press("Enter")
    assert page.locator(".day h3").inner_text() == "Bus b2"
    page.keyboard.press("Escape")
    assert not page.locator(".day").is_visible()


# -- tables and pictures --------------------------------------------------------------------------------------


def test_tables_sort_by_number_and_filter(open_page):
    page = open_page("study")
    box = page.locator("div.tall", has=page.locator("th", has_text="hosting capacity"))
    table, heading = box.locator("table"), box.locator("th", has_text="hosting capacity")
    for way, sign in (("ascending", 1), ("descending", -1)):
        heading.locator("button").press("Enter")
        assert heading.get_attribute("aria-sort") == way
        texts = table.locator("tbody td.n").all_inner_texts()
        found = [float(x.replace(",", "")) for x in texts[:-1]]
        assert found == sorted(found, key=lambda x: sign * x) and len(set(map(len, texts))) > 2
        assert texts[-1] == "", "what has no number is last"
    table.locator("th button").first.click()
    assert table.locator("td:first-child").all_inner_texts() == [f"n{k}" for k in range(24)], "n2 before n10"
    tools = page.locator(".tools", has=page.get_by_role("button", name="Table as CSV: Buses"))
    tools.get_by_label("Filter").fill("n1")
    assert table.locator("tbody tr").locator("visible=true").count() == 11, "n1 and n10 to n19"
    assert tools.get_by_role("status").inner_text() == "11 of 24 rows"


def test_tables_leave_as_csv_from_beside_themselves(open_page):
    page = open_page("report")
    unfold(page)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Table as CSV: Result, Where the PV stands").click()
    table = pd.read_csv(saved.value.path())
    assert table["share, %"].sum() == pytest.approx(100, abs=0.1 * len(table))
    with page.expect_download() as saved:
        page.get_by_role("button", name="Table as CSV: Certified hosting capacity", exact=True).click()
    assert "bound of its program" in pd.read_csv(saved.value.path()).columns
    assert (
        page.get_by_role("button", name="Table as CSV: Assumptions, How the feeder was read", exact=True).count() == 1
    )
    far = """() => [...document.querySelectorAll("table.sorted")].filter(t => t.tHead).map(t => {
        const box = t.closest(".scroll") || t, tools = box.previousElementSibling;
        return tools && tools.matches(".tools") ? "" : t.textContent.slice(0, 50); }).filter(Boolean)"""
    assert page.evaluate(far) == []


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_has_its_data(open_page, files, name):
    page = open_page(name)
    figures = page.locator("figure").all()
    assert len(figures) == (3 if name == "report" else 1)
    for figure in figures:
        assert figure.locator("img").evaluate("img => img.complete && img.naturalWidth") > 0
        link = figure.locator("figcaption a[download]")
        if link.count():
            text = base64.b64decode(link.get_attribute("href").partition("base64,")[2]).decode()
        else:
            text = (files / re.search(r"Data: (\S+\.csv)", figure.inner_text())[1]).read_text()
        assert pd.read_csv(io.StringIO(text))["y"].notna().any()


def test_the_map_is_also_a_table(open_page, shown):
    page = open_page("study")
    page.locator("section.map summary").click()
    table = page.locator("section.map table.sorted")
    heads = [re.sub(r"\W+$", "", h) for h in table.locator("th").all_inner_texts()]
    rows = [row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()]
    found = pd.DataFrame(rows, columns=heads).set_index("bus")
    assert set(found.index) == set(shown.network.buses)
    for bus in ("b5", "b9"):
        kw, _, _, worst = at_bus(shown, bus)
        row = found.loc[bus]
        assert float(row["PV, kW"]) == pytest.approx(kw, abs=0.06)
        assert f"worst voltage {row['worst voltage, pu']} pu, phase {row['phase']} at {row['at']}" == worst
    capacities = shown.nodal["generation"].set_index("bus")["hc_kw"]
    assert float(found.loc["b9", "generation, kW"]) == capacities["b9"] and found.loc["src", "generation, kW"] == "–"


# -- for everybody, everywhere --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_keys_reach_everything_and_show_where_they_are(open_page, name):
    page = open_page(name, width=420)
    stops, reached, unseen = walk_by_tab(page)
    assert len(stops) >= 15
    assert reached == set(stops) and not unseen
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert summary.evaluate("s => s.parentElement.open")


@pytest.mark.parametrize("name", PAGES)
def test_everything_to_use_or_see_has_a_name(open_page, name):
    """As a screen reader is told by the browser."""
    page = open_page(name, width=420)
    unfold(page)
    page.mouse.click(*place(page, "b5"))
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    asked = {"application", "button", "link", "slider", "radio", "searchbox", "combobox", "image", "img", "region"}
    asked |= {"DisclosureTriangle", "group", "columnheader", "textbox"}
    seen = [n for n in nodes if not n["ignored"] and n["role"]["value"] in asked]
    names = [(n["role"]["value"], n.get("name", {}).get("value", "").strip()) for n in seen]
    assert {"button", "slider", "radio", "link", "region", "columnheader"} <= {role for role, _ in names}
    assert not [role for role, said in names if not said and role != "group"]
    assert any(said.startswith("Map of") for _, said in names)
    saves = [said for role, said in names if role == "button" and said.startswith("Table as CSV")]
    assert len(set(saves)) == len(saves), "names say which table"
    assert page.evaluate("[...document.querySelectorAll('th')].every(th => th.scope)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_text_is_legible(open_page, name, scheme):
    """WCAG 2.1 AA of every visible text: 4.5 to 1, of large text 3 to 1. Paper is white, and so is the map on it."""
    page = open_page(name, scheme=scheme)
    unfold(page)
    page.mouse.click(*place(page, "b5"))
    for media in ("screen", "print"):
        page.emulate_media(color_scheme=scheme, media=media)
        said = page.evaluate(CONTRAST)
        assert said["read"] > 200 and said["found"] == []
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
        assert dark == (scheme == "dark" and media == "screen")
        line = page.evaluate("getComputedStyle(document.querySelector('svg.feeder path')).stroke")
        assert (line == "rgb(138, 144, 153)") == (not dark)


@pytest.mark.parametrize("name", PAGES)
def test_420_pixels_are_wide_enough(open_page, name):
    page = open_page(name, width=420)
    unfold(page)
    page.mouse.click(*place(page, "b5"))
    assert page.evaluate("document.documentElement.scrollWidth") == 420
    cut = """() => [...document.querySelectorAll("body *")].filter(e => {
        const { left, right } = e.getBoundingClientRect();
        return e.checkVisibility() && !e.closest(".scroll, svg, .unseen") && (right > 421 || left < -1);
    }).map(e => e.outerHTML.slice(0, 80))"""
    assert page.evaluate(cut) == []
    tip, stage = page.locator(".tip").bounding_box(), page.locator(".stage")
    inside = tip["y"] + tip["height"] <= stage.bounding_box()["y"] + stage.bounding_box()["height"]
    assert inside or stage.evaluate("e => getComputedStyle(e).overflow") == "visible", "words at a bus are not cut"
    for width in range(320, 430, 10):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(BROKEN_WORDS, "nav a, th, td.n") == []
        assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("name", PAGES)
def test_print_cuts_no_table_and_leaves_no_heading_alone(open_page, name):
    """On A4 with the page's own margins: what is wider than the paper would be cut."""
    page = open_page(name, width=round((210 - 24) / 25.4 * 96))
    unfold(page)
    page.emulate_media(media="print")
    wide = """() => [...document.querySelectorAll("table, figure, svg.feeder")].filter(e => e.checkVisibility()
        && e.getBoundingClientRect().right > e.parentElement.getBoundingClientRect().right + 1)
        .map(e => e.outerHTML.slice(0, 80))"""
    assert page.evaluate(wide) == [] and page.evaluate("document.documentElement.scrollWidth") <= 704
    folded = (
        "() => [...document.querySelectorAll('.scroll, .tall')].filter(e => e.scrollHeight > e.clientHeight + 1).length"
    )
    assert page.evaluate(folded) == 0
    heads = "h1, h2, h3, h4, caption, summary"
    after = "heads => [...document.querySelectorAll(heads)].map(e => getComputedStyle(e).breakAfter)"
    assert set(page.evaluate(after, heads)) == {"avoid"}
    inside = "() => [...document.querySelectorAll('figure, tr')].map(e => getComputedStyle(e).breakInside)"
    assert set(page.evaluate(inside)) == {"avoid"}
    assert page.evaluate(BROKEN_WORDS, "th, td.n") == []
    keys = (
        "() => [...document.querySelectorAll('.key .dot, .key .ramp')].map(e => getComputedStyle(e).printColorAdjust)"
    )
    assert set(page.evaluate(keys)) == {"exact"}, "a legend without its colours says nothing"
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
