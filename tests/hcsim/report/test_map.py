"""What the map is told, decoded again by another road; and the page in a browser, where there is one."""

import base64
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import sync_playwright
from synthetic_study import TREE, study

from hcsim.report.allocation.page import render_html
from hcsim.report.map.data import Shown, broken_buses, map_of, packed
from hcsim.report.map.layout import layout
from hcsim.report.simulation.page import write_page
from optim.data.node import bus_of
from optim.hosting.binding import Price

V_DIGIT = 1e-4


def unpack(found):
    """As the script reads it: little-endian 16-bit integers, the least of them for a gap."""
    raw = np.frombuffer(base64.b64decode(found["data"]), dtype="<i2").reshape(-1, found["width"]).astype(float)
    return np.where(raw == -32768, np.nan, raw * found["scale"] + found["offset"])


def told(**changes):
    made = study()
    case = made.cases["distributed"]
    shown = Shown(made.network, made.limits, made.profiles, case.replays["free"], case.schedule)
    return made, json.loads(map_of(replace(shown, **changes))["json"])


@pytest.mark.parametrize("largest", [0.5, 3_000.0, 4.0e6])
def test_numbers_come_back_to_their_digit(largest):
    rng = np.random.default_rng(1)
    values = rng.uniform(-largest, largest, (7, 5))
    values[2, 3] = np.nan
    found = packed(values, 0.1)
    back = unpack(found)
    assert np.isnan(back[2, 3]) and np.nanmax(np.abs(back - values)) <= 0.5001 * found["scale"]
    assert found["scale"] == pytest.approx(max(0.1, 10 ** np.ceil(np.log10(largest / 32_000) - 1e-9)), rel=1e-9)


def test_voltages_loads_and_devices_are_the_results():
    made, data = told()
    case = made.cases["distributed"]
    operation = case.replays["free"].operation
    names = [f"{data['bus'][b]}.{p}" for b, p in zip(data["node"], data["node_phase"], strict=True)]
    assert names == list(operation.nodes)
    np.testing.assert_allclose(unpack(data["v"]), operation.v_pu, atol=0.51 * V_DIGIT)
    load = dict(zip(data["bus"], unpack(data["load"]).T, strict=True))
    for bus, (_, phases, kw, *_xy) in TREE.items():
        np.testing.assert_allclose(load[bus], len(phases) * kw * made.profiles.load_pu, atol=0.06)
    at = {data["bus"][b]: kw for b, kw in zip(data["pv"]["bus"], data["pv"]["kw"], strict=True)}
    for bus, kw in at.items():
        mine = [k for k, n in enumerate(case.schedule.pv_nodes) if bus_of(n) == bus]
        assert kw == pytest.approx(case.schedule.pv_kw[mine].sum(), abs=0.06)
    np.testing.assert_allclose(unpack(data["bess"]["p"]).sum(axis=1), case.schedule.bess_p_kw.sum(axis=1), atol=0.2)
    ends = {(data["bus"][a], data["bus"][b]) for a, b in zip(data["line"]["from"], data["line"]["to"], strict=True)}
    assert ends == {(parent, bus) for bus, (parent, *_rest) in TREE.items()}


def test_coordinates_keep_their_shape():
    """North is up, and both axes have one scale."""
    drawn, net = layout(study().network), study().network
    xy = np.array([net.coordinates[b] for b in net.buses])
    assert drawn.own
    ratio_x = np.diff(drawn.x) / np.where(np.diff(xy[:, 0]), np.diff(xy[:, 0]), np.nan)
    ratio_y = np.diff(drawn.y) / np.where(np.diff(xy[:, 1]), np.diff(xy[:, 1]), np.nan)
    np.testing.assert_allclose(np.nanmedian(ratio_x), -np.nanmedian(ratio_y), rtol=0.02)


def test_without_coordinates_a_tree_is_drawn_and_said():
    net = replace(study().network, coordinates={})
    drawn = layout(net)
    assert "drawn as a tree" in drawn.words and not drawn.own
    place = dict(zip(net.buses, zip(drawn.x.tolist(), drawn.y.tolist(), strict=True), strict=True))
    for bus, (parent, *_rest) in TREE.items():
        assert place[bus][0] > place[parent][0]
    assert len(set(place.values())) == len(place)


def test_a_long_time_is_cut_to_a_day_and_that_is_said(monkeypatch):
    monkeypatch.setattr("hcsim.report.map.data.MOST_VALUES", 100)
    made = study()
    replay = made.cases["none"].replays["free"]
    operation = replay.operation
    long = replace(
        operation,
        times=tuple(f"{d} {t}" for d in range(3) for t in operation.times),
        v_pu=np.vstack([operation.v_pu, operation.v_pu + 0.2, operation.v_pu]),
        loading_pu=np.vstack([operation.loading_pu] * 3),
    )
    found = map_of(Shown(made.network, made.limits, None, replace(replay, operation=long)))
    data = json.loads(found["json"])
    assert data["times"] == [f"1 {t}" for t in operation.times] and "Of 72 steps" in found["words"]


def test_names_stay_text():
    net = study().network
    evil = replace(net, name="</script><script>alert(1)</script>")
    assert "<" not in map_of(Shown(evil))["json"]
    assert json.loads(map_of(Shown(evil))["json"])["name"] == evil.name


def test_the_worst_at_a_bus_is_named_and_an_element_stands_at_its_end():
    rows = [
        ("b5", "1", "overvoltage", "10:00", 1.06, 1.05),
        ("b5", "1", "overvoltage", "11:00", 1.08, 1.05),
        ("Line.b9", "3", "loading", "12:00", 1.2, 1.0),
        ("src", "1", "reverse_flow", "12:00", -9.0, 0.0),
    ]
    table = pd.DataFrame(rows, columns=["element", "phase", "criterion", "time", "value", "limit"])
    assert broken_buses(table, study().network) == {
        "src": "reverse flow, phase 1 at 12:00",
        "b9": "loading, phase 3 at 12:00",
        "b5": "overvoltage, phase 1 at 11:00",
    }


# -- in a browser ---------------------------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    made = study(certified=True)
    case = made.cases["none"]
    price = (Price("reverse_flow", "src.2", "10:00", 1.0, "kW"),)
    certified = replace(case, certificate=replace(case.certificate, binding=price))
    made = replace(made, cases={"none": certified, "centralized": made.cases["centralized"]})
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render_html(made, {}))
    return made, file


@pytest.fixture
def opened(browser, page_file):
    """The page at 420 px, whatever it complains about, and that it asks for nothing outside."""
    wrong, asked = [], []
    page = browser.new_page(viewport={"width": 420, "height": 800})
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file[1].as_uri())
    yield page
    page.close()
    assert not wrong
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]


def test_keys_go_from_bus_to_bus_and_show_a_day(opened, page_file):
    made = page_file[0]
    assert opened.evaluate("document.documentElement.scrollWidth") == 420
    stage = opened.locator("svg.feeder")
    stage.focus()
    for _ in range(3):
        opened.keyboard.press("ArrowRight")  # the source, head, b2
    said = opened.locator("section.map [aria-live]").inner_text()
    replay = made.cases["none"].certificate.replay
    at = [k for k, n in enumerate(replay.operation.nodes) if bus_of(n) == "b2"]
    room = np.minimum(1.05 - replay.operation.v_pu[:, at], replay.operation.v_pu[:, at] - 0.95)
    t, k = np.unravel_index(np.argmin(room), room.shape)
    assert said.startswith("b2") and f"{replay.operation.v_pu[t, at[k]]:.4f} pu" in said
    opened.keyboard.press("Enter")
    day = opened.locator(".day")
    assert day.locator("h3").inner_text() == "Bus b2" and day.locator("svg[role=img]").count() == 2
    day.locator("summary").click()
    assert day.locator("tbody tr").count() == len(replay.operation.times)
    first = [float(x.replace(",", "")) for x in day.locator("tbody tr").first.locator("td.n").all_inner_texts()]
    assert first[0] == pytest.approx(replay.operation.v_pu[0, at].max(), abs=1e-3)  # phases differ by less
    opened.keyboard.press("Escape")


def test_pointing_layers_and_hours(opened):
    opened.set_viewport_size({"width": 1280, "height": 800})
    box = opened.locator("svg.feeder").bounding_box()
    data = json.loads(opened.locator("section.map script").inner_text())
    scale = box["width"] / data["width"]
    b5 = data["bus"].index("b5")
    opened.locator("svg.feeder").scroll_into_view_if_needed()
    box = opened.locator("svg.feeder").bounding_box()
    opened.mouse.move(box["x"] + data["x"][b5] * scale, box["y"] + data["y"][b5] * scale)
    assert opened.locator(".tip").inner_text().startswith("b5")
    for layer, words in (("voltage", "the limits"), ("loading", "of the rating"), ("pv", "PV")):
        opened.locator(f"input[value={layer}]").check()
        assert words in opened.locator(".key").inner_text()
    slider = opened.locator("input[type=range]")
    slider.focus()
    before = opened.locator("output").inner_text()
    opened.keyboard.press("ArrowRight")
    assert opened.locator("output").inner_text() != before
    assert slider.get_attribute("aria-valuetext") == opened.locator("output").inner_text()
    opened.get_by_role("button", name="Zoom in").click()
    assert float(opened.locator("svg.feeder").get_attribute("viewBox").split()[2]) < data["width"]


def test_tables_sort_and_leave_as_csv(opened):
    sites = opened.locator("table.sites")
    heading = sites.locator("th").first
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    buses = sites.locator("tbody tr td:first-child").all_inner_texts()
    assert buses == sorted(buses)
    with opened.expect_download() as saved:
        opened.get_by_role("button", name=re.compile("Table as CSV: Sites")).click()
    table = pd.read_csv(saved.value.path())
    assert list(table["bus"]) == buses and table["share, %"].sum() == pytest.approx(100, abs=0.1 * len(table))


def test_text_is_legible_in_both_colour_schemes(opened):
    """WCAG 2.1 AA: 4.5 to 1 of every colour that text has on the page."""

    def luminance(colour):
        part = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(part <= 0.03928, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    read = "names => names.map(n => getComputedStyle(document.documentElement).getPropertyValue(n).trim())"
    for scheme in ("light", "dark"):
        opened.emulate_media(color_scheme=scheme)
        names = ["--ink", "--soft", "--good", "--bad", "--open", "--link", "--paper", "--pale"]
        colours = [c if len(c) == 7 else "#" + "".join(2 * x for x in c[1:]) for c in opened.evaluate(read, names)]
        *texts, paper, pale = map(luminance, colours)
        for text in texts:
            for ground in (paper, pale):
                assert (max(text, ground) + 0.05) / (min(text, ground) + 0.05) >= 4.5


def test_print_cuts_no_table_and_leaves_no_heading_alone(opened):
    """On A4 with the page's own margins: what is wider than the paper would be cut."""
    opened.set_viewport_size({"width": round((210 - 24) / 25.4 * 96), "height": 1000})
    opened.emulate_media(media="print")
    wide = """() => [...document.querySelectorAll("table, figure, svg.feeder")]
        .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
        .map(e => e.outerHTML.slice(0, 80))"""
    assert opened.evaluate(wide) == []
    hidden = (
        "() => [...document.querySelectorAll('.scroll, .tall')].filter(e => e.scrollHeight > e.clientHeight + 1).length"
    )
    assert opened.evaluate(hidden) == 0
    after = "() => [...document.querySelectorAll('h1, h2, h3')].map(e => getComputedStyle(e).breakAfter)"
    assert set(opened.evaluate(after)) == {"avoid"}
    assert opened.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_play_goes_through_the_hours_and_stops(opened):
    clock, play = opened.locator("output"), opened.locator(".controls button", has_text="Play")
    before = clock.inner_text()
    play.click()
    opened.wait_for_function("before => document.querySelector('output').textContent !== before", arg=before)
    opened.get_by_role("button", name="Stop").click()
    assert play.inner_text() == "Play"


def test_a_long_table_filters_and_sorts_by_number(browser, tmp_path):
    rows = pd.DataFrame({"bus": [f"n{k}" for k in range(24)], "hc_kw": [(7 * k % 24) * 50.5 for k in range(24)]})
    page = browser.new_page()
    page.goto(write_page("Nodal", {"case": "c"}, [], {"Buses": rows}, tmp_path, "page.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    page.locator("th button", has_text="kW").click()
    numbers = [float(x.replace(",", "")) for x in page.locator("table.sorted tbody td.n").all_inner_texts()]
    assert numbers == sorted(numbers)
    page.get_by_label("Filter").fill("n1")
    shown = page.locator("table.sorted tbody tr").locator("visible=true")
    assert shown.count() == 11, "n1 and n10 to n19"
    assert page.get_by_role("status").inner_text() == "11 of 24 rows"
    page.close()
