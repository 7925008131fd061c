"""Pages that commands write of a small feeder without coordinates, in a browser: what the map says against the files
beside it, and what must be true of every page. Skipped where there is no Chromium."""

import re
import zlib
from contextlib import suppress
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from in_browser import BROKEN_WORDS, CONTRAST, SEEN, WHY_NOT, chromium, colours_of, place, seen_by, unfold, walk_by_tab
from synthetic_study import network
from typer.testing import CliRunner

from hcsim.cli.app import app
from hcsim.report.common.page import Annex, Answer, write_page
from hcsim.report.map.data import Shown

CASE = Path(__file__).parents[2] / "cases" / "three_bus"
PAGES = ("check/check.html", "validate/large/report.html", "validate/compare.html")
WITH_MAP = PAGES[:2]
LARGE = "validate/large/report.html"
PV_KW = {"a": 900.0, "b": 225.0}
V_MIN, V_MAX = 0.95, 1.05
PHONE, PAPER = 420, round((210 - 24) / 25.4 * 96)
"""Widths in CSS pixels: a narrow screen, and A4 less the margins of the page."""
OWN = ("file:", "data:", "blob:")

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


def dispatch(largest):
    """PV at two buses over a day, as a table that anyone could have written."""
    sun = np.clip(1.0 - ((np.arange(24) - 12) / 6.0) ** 2, 0.0, None)
    rows = [(f"{h:02d}:00", bus, "pv", round(kw * sun[h], 3)) for bus, kw in largest.items() for h in range(24)]
    return pd.DataFrame(rows, columns=["time", "bus", "kind", "p_kw"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("commands")
    for name, share in (("modest", 0.3), ("large", 1.0)):
        dispatch({bus: share * kw for bus, kw in PV_KW.items()}).to_csv(made / f"{name}.csv", index=False)
    files = [str(made / f"{name}.csv") for name in ("modest", "large")]
    asked = {
        "validate": (["validate", str(CASE), *files, "--verdict-only"], 3),
        "check": (["check", str(CASE / "Master.dss")], 0),
    }
    for name, (words, code) in asked.items():
        done = CliRunner().invoke(app, [*words, "--out", str(made / name)])
        assert done.exit_code == code, done.output
    net = network()
    capacities = pd.DataFrame({"bus": net.buses, "hc_kw": 90.0 * np.arange(len(net.buses)), "criterion": "loading"})
    capacities = capacities.assign(binding_element="b5", binding_hour="10:00")
    shown = Answer("A number.", map=Shown(net, nodal={"generation": capacities}))
    write_page("Nodal", shown, Annex(), made / "nodal.html")
    return made


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture
def faults():
    """What pages complained of, and the addresses outside that they asked for; each of these was refused."""
    return []


@pytest.fixture
def open_page(browser, folder, faults):
    contexts = []

    def refuse(route):
        if route.request.url.startswith(OWN):
            route.continue_()
        else:
            faults.append(route.request.url)
            route.abort()

    def open_it(name, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        context.route("**/*", refuse)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
        page.goto((folder / name).as_uri())
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert not faults


def of_bus(folder, bus):
    """Voltages by hour and phase, as the replay's file has them."""
    table = pd.read_parquet(folder / "validate" / "large" / "replay" / "voltages.parquet")
    return table[table["bus"] == bus].pivot(index="time", columns="phase", values="v_pu")


def worst_of(v):
    """As the map should say it, and the room that is left there."""
    room = np.minimum(V_MAX - v, v - V_MIN)
    time, phase = room.stack().idxmin()
    return f"worst voltage {v.loc[time, phase]:.4f} pu, phase {phase} at {time}"


def fills_of(paper):
    """(F, 3) colours of areas in a PDF; lines have their own."""
    found = []
    for stream in re.finditer(rb"stream\r?\n(.*?)endstream", paper, flags=re.S):
        with suppress(zlib.error):
            found += re.findall(rb"([\d.]+) ([\d.]+) ([\d.]+) rg\b", zlib.decompress(stream[1]))
    return np.array(found, dtype=float)


# -- the map of a feeder without coordinates ------------------------------------------------------------------


def test_a_feeder_without_coordinates_is_a_tree_that_fills_its_map(open_page):
    page = open_page(LARGE)
    assert "drawn as a tree" in page.locator("section.map > p.soft").inner_text()
    at = {bus: place(page, bus) for bus in ("src", "a", "b")}
    assert at["src"][0] < at["a"][0] < at["b"][0]
    box = page.locator("svg.feeder").bounding_box()
    middle = box["y"] + box["height"] / 2
    assert all(abs(y - middle) < 0.1 * box["height"] for _, y in at.values()), "one row stands in the middle"
    assert box["height"] < 0.25 * box["width"], "and needs no more height than a row"


@pytest.mark.parametrize("bus", ["a", "b"])
def test_the_map_says_what_the_files_say(open_page, folder, bus):
    page = open_page(LARGE)
    page.mouse.move(*place(page, bus))
    said = page.locator(".tip").inner_text().split("\n")
    v = of_bus(folder, bus)
    hour = page.locator("output").inner_text()
    given = pd.read_csv(folder / "large.csv")
    mine = given[given["bus"] == bus].set_index("time")["p_kw"]
    assert said[0].split() == [bus, "phases", *v.columns]
    assert f"PV {mine.max():,.1f} kW, now {mine[hour]:,.1f}" in said
    assert worst_of(v) in said
    lines = pd.read_parquet(folder / "validate" / "large" / "replay" / "loading.parquet")
    feeds = {"a": "Line.l1", "b": "Line.l2"}[bus]
    now = lines[(lines["element"] == feeds) & (lines["time"] == hour)]["loading_pu"].max()
    loaded = next(words for words in said if words.startswith(feeds))
    assert float(loaded.split()[1]) == pytest.approx(100 * now, abs=0.6)
    spoken = page.locator("section.map [aria-live]")
    page.mouse.click(*place(page, bus))
    assert bus in spoken.inner_text()
    page.locator(".day summary").click()
    rows = [row.locator("td").all_inner_texts() for row in page.locator(".day tbody tr").all()]
    heads = page.locator(".day th").all_inner_texts()
    table = pd.DataFrame(rows, columns=heads).set_index("hour")
    for phase in v.columns:
        np.testing.assert_allclose(table[f"phase {phase}"].astype(float), v[phase], atol=1e-4)
    np.testing.assert_allclose(table["PV"].str.replace(",", "").astype(float), mine, atol=0.06)


# -- of every page --------------------------------------------------------------------------------------------


def test_what_a_page_asks_for_is_seen(open_page, faults):
    """The net that all tests here rely on has no hole."""
    page = open_page("validate/compare.html")
    with pytest.raises(Exception, match="Failed to fetch"):
        page.evaluate("fetch('http://hcsim.invalid/').then(x => x.text())")
    page.wait_for_function("true")
    assert faults[0] == "http://hcsim.invalid/" and any("ERR_FAILED" in said for said in faults[1:])
    faults.clear()


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_and_keys_and_both_colour_schemes(open_page, name):
    page = open_page(name, width=PHONE)
    stops, reached, unseen = walk_by_tab(page)
    assert stops and reached == set(stops) and not unseen
    unfold(page)
    if name in WITH_MAP:
        page.mouse.click(*place(page, "b"))
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE
    assert page.evaluate(BROKEN_WORDS, "nav a, th, td.n, h1, h2, h3") == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        said = page.evaluate(CONTRAST)
        assert said["read"] > 40 and said["found"] == []


@pytest.mark.parametrize("name", PAGES)
def test_what_is_wider_than_a_phone_says_so_and_is_reached(open_page, name):
    page = open_page(name, width=PHONE)
    unfold(page)
    wide = "e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1"
    boxes = f"() => [...document.querySelectorAll('.scroll')].filter({wide})"
    page.wait_for_function(f"({boxes})().every(e => e.tabIndex === 0 && e.getAttribute('aria-label'))")
    shades = page.evaluate(
        f"({boxes})().filter(e => e.querySelector('table')).map(e => getComputedStyle(e).backgroundImage)"
    )
    assert all("gradient" in shade for shade in shades)
    drawn = page.locator("figure img")
    for width in drawn.evaluate_all("all => all.map(img => img.getBoundingClientRect().width)"):
        assert width >= 700, "letters in a picture are not shrunk with the screen"
    assert page.locator("figure").count() == (2 if name == LARGE else 0)
    names = page.locator(".picture").evaluate_all("all => all.map(e => e.getAttribute('aria-label'))")
    assert names == ([] if name != LARGE else ["Power from the source.", "Voltages."])
    sentence = "() => [...document.querySelectorAll('td.long')].map(e => e.getBoundingClientRect().width)"
    assert min(page.evaluate(sentence), default=150) >= 140, "a sentence is no column of single words"


@pytest.mark.parametrize("name", PAGES)
def test_paper(open_page, name):
    """Nothing is cut, no heading stands alone, words stay whole, letters are as large as in a book's notes."""
    page = open_page(name, width=PAPER, scheme="dark")
    unfold(page)
    page.emulate_media(media="print", color_scheme="dark")
    cut = f"""() => [...document.querySelectorAll("table, figure, img, svg, td, th, p, li")].filter(e =>
        e.checkVisibility() && e.getBoundingClientRect().right > {PAPER} + 1).map(e => e.outerHTML.slice(0, 80))"""
    assert page.evaluate(cut) == []
    assert page.evaluate(BROKEN_WORDS, "th, td.n, h1, h2, h3") == []
    small = """() => [...document.querySelectorAll("p, td, th, dd, dt, li, figcaption, caption")].filter(e =>
        e.checkVisibility() && parseFloat(getComputedStyle(e).fontSize) < 8.9).map(e => e.outerHTML.slice(0, 80))"""
    assert page.evaluate(small) == []
    alone = """() => [...document.querySelectorAll("h1, h2, h3, h4")].filter(
        e => getComputedStyle(e).breakAfter !== "avoid").map(e => e.textContent)"""
    assert page.evaluate(alone) == []
    led = """() => [...document.querySelectorAll("p")].filter(e => e.nextElementSibling
        && e.nextElementSibling.matches(".scroll, .tools") && getComputedStyle(e).breakAfter !== "avoid").length"""
    page.evaluate("document.querySelector('.scroll, .tools').before(document.createElement('p'))")
    assert page.evaluate(led) == 0, "what leads to a table stays with it"
    paper = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) >= 1
    if name in WITH_MAP:
        dots = page.locator(".key .dot").evaluate_all("all => all.map(e => getComputedStyle(e).backgroundColor)")
        colours = [np.array([int(x) for x in re.findall(r"\d+", dot)[:3]]) / 255 for dot in dots]
        bright = [colour for colour in colours if np.ptp(colour) > 0.2]
        assert bright and all(np.abs(fills_of(paper) - c).max(axis=1).min() < 0.01 for c in bright), "of the legend"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", [LARGE, "nodal.html"])
def test_legends_are_told_apart_with_any_colour_vision(open_page, name, scheme):
    """CIE76 between any two colours of one shape in a legend, as they are and as the colour-blind see them."""
    page = open_page(name, scheme=scheme)
    layers = page.locator("section.map input[type=radio]").evaluate_all("all => all.map(e => e.value)")
    assert ({"pv", "voltage", "loading"} if name == LARGE else {"nodal0"}) <= set(layers)
    for layer in layers:
        page.locator(f"input[value={layer}]").check()
        for ramp in page.locator(".key .ramp").evaluate_all("all => all.map(e => getComputedStyle(e).backgroundImage)"):
            stops = re.findall(r"rgb\([^)]*\)", ramp)
            assert len(set(stops)) == len(stops) >= 3
        groups = list(colours_of(page))
        assert sum(map(len, groups)) >= 2
        for colours, kind in product(groups, SEEN):
            lab = seen_by(kind, colours)
            far = np.linalg.norm(lab[:, None] - lab[None, :], axis=2)[~np.eye(len(lab), dtype=bool)]
            assert far.min(initial=100.0) > 15, (layer, kind, colours)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_capacities_stand_out_from_the_page_and_from_paper(open_page, scheme):
    """WCAG 2.1 AA of what is no text: 3 to 1."""
    page = open_page("nodal.html", scheme=scheme)
    drawn = """() => [...document.querySelectorAll("svg.feeder path")].map(e => e.getAttribute("stroke"))
        .filter(stroke => stroke.startsWith("rgb(")).map(stroke => stroke.match(/\\d+/g).map(Number))"""
    page.evaluate("addEventListener('beforeprint', () => { window.onPaper = (" + drawn + ")(); })")
    shown = np.array(page.evaluate(drawn)) / 255
    assert len(shown) == len(network().buses)
    ground = {"light": 1.0, "dark": light_of(np.array([0x14, 0x18, 0x1E]) / 255)}[scheme]
    assert contrast(light_of(shown), ground).min() >= 3
    page.pdf()
    assert contrast(light_of(np.array(page.evaluate("onPaper")) / 255), 1.0).min() >= 3
    assert (np.array(page.evaluate(drawn)) / 255 == shown).all(), "and back again"


def light_of(colours):
    """Relative luminance."""
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def contrast(a, b):
    return (np.maximum(a, b) + 0.05) / (np.minimum(a, b) + 0.05)
