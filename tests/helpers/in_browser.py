"""What tests of pages ask of a browser: where a bus of the map is, and which text is too pale."""

import json
import re
import shutil
from contextlib import contextmanager

import numpy as np

from optim.data.node import bus_of

try:
    from playwright.sync_api import sync_playwright
except ModuleNotFoundError:
    sync_playwright = None

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WHY_NOT = (
    "playwright is not installed" if sync_playwright is None else "" if CHROMIUM else "no Chromium on this machine"
)
"""Why nothing can be tried in a browser here; empty: it can."""


@contextmanager
def chromium():
    """The machine's own, without a window."""
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def place(page, bus):
    """Of a bus on the screen, the map scrolled into view."""
    stage = page.locator("svg.feeder")
    stage.scroll_into_view_if_needed()
    box, data = stage.bounding_box(), json.loads(page.locator("section.map script").inner_text())
    x, y, width, _ = map(float, stage.get_attribute("viewBox").split())
    scale, k = box["width"] / width, data["bus"].index(bus)
    return box["x"] + (data["x"][k] - x) * scale, box["y"] + (data["y"][k] - y) * scale


def at_bus(shown, bus):
    """What the results say: kW of PV by hour, volts by hour and phase, and the worst of these."""
    operation, plan = shown.replay.operation, shown.schedule
    nodes = [k for k, n in enumerate(operation.nodes) if bus_of(n) == bus]
    sites = [k for k, n in enumerate(plan.pv_nodes) if bus_of(n) == bus]
    v = operation.v_pu[:, nodes]
    room = np.minimum(shown.limits.v_max_pu - v, v - shown.limits.v_min_pu)
    t, k = np.unravel_index(np.argmin(room), room.shape)
    worst = f"worst voltage {v[t, k]:.4f} pu, phase {operation.nodes[nodes[k]][-1]} at {operation.times[t]}"
    return plan.pv_kw[sites].sum(), plan.pv_p_kw[:, sites].sum(axis=1), v, worst


def unfold(page):
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")


def walk_by_tab(page):
    """What keys should reach, what Tab has reached, and which of these had no ring around it."""
    page.wait_for_function(
        """() => [...document.querySelectorAll(".scroll")].every(
            e => !e.checkVisibility() || e.scrollWidth <= e.clientWidth || e.tabIndex === 0)"""
    )
    stops = page.evaluate(
        """() => [...document.querySelectorAll("a[href], button, input, summary, [tabindex='0']")].filter(
            e => e.checkVisibility() && !(e.type === "radio" && !e.checked)).map((e, k) => (e.dataset.stop = k))"""
    )
    look = """() => { const e = document.activeElement, s = getComputedStyle(e); return [e.dataset.stop ?? "",
        s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2, e.outerHTML.slice(0, 60)]; }"""
    reached, unseen = set(), []
    for _ in range(len(stops) + 5):
        page.keyboard.press("Tab")
        stop, ringed, what = page.evaluate(look)
        if not stop:
            break
        reached.add(int(stop))
        unseen += [] if ringed else [what]
    return stops, reached, unseen


CONTRAST = """() => {
  const part = c => { const m = c.match(/[\\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const light = c => c.slice(0, 3).map(x => x / 255).map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
    .reduce((s, x, i) => s + x * [0.2126, 0.7152, 0.0722][i], 0);
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3]));
  const ground = e => { const c = e ? part(getComputedStyle(e).backgroundColor) : [255, 255, 255, 1];
    return c[3] === 1 ? c : over(c, ground(e.parentElement)); };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  let read = 0;
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, s = getComputedStyle(e);
    if (!walk.currentNode.data.trim() || !e.getClientRects().length || e.closest("script, style, .unseen")) continue;
    const under = ground(e), own = part(e instanceof SVGElement ? s.fill : s.color), shown = over(own, under);
    const [a, b] = [light(shown), light(under)].sort((x, y) => y - x), size = parseFloat(s.fontSize);
    const least = size >= 24 || (size >= 18.66 && s.fontWeight >= 700) ? 3 : 4.5;
    read += 1;
    if ((a + 0.05) / (b + 0.05) < least) found.push([walk.currentNode.data.trim().slice(0, 40), s.color, `${under}`]);
  }
  return { read, found };
}"""
"""Texts that WCAG 2.1 AA calls illegible, with their colour and what is behind them; and how many texts were read."""

BROKEN_WORDS = """where => {
  const found = [];
  for (const e of document.querySelectorAll(where)) {
    const walk = document.createTreeWalker(e, NodeFilter.SHOW_TEXT), range = document.createRange();
    while (walk.nextNode()) for (const word of walk.currentNode.data.matchAll(/[^\\s\u2013-]+/g)) {
      range.setStart(walk.currentNode, word.index);
      range.setEnd(walk.currentNode, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1) found.push(word[0]);
    }
  }
  return found;
}"""
"""Words and numbers that begin on one line and end on the next."""

LEGEND = """shape => {
  const all = [...document.querySelectorAll(shape)].map(e => getComputedStyle(e));
  return all.flatMap(s => s.backgroundImage.match(/rgb\\([^)]*\\)/g) || [s.backgroundColor]);
}"""

SEEN = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""Machado, Oliveira and Fernandes 2009, of linear light, at full severity."""


def colours_of(page):
    """(C, 3) of the legend, 0 to 1, each once: those of squares, and all others."""
    for shape in (".key .square", ".key .dot:not(.square), .key .ramp"):
        found = {tuple(map(int, re.findall(r"\d+", text)[:3])) for text in page.evaluate(LEGEND, shape)}
        yield np.array(sorted(found)).reshape(-1, 3) / 255


def seen_by(kind, colours):
    """(C, 3) CIE Lab (D65) of colours as an eye of that kind sees them."""
    light = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    light = np.clip(light @ np.array(SEEN[kind]).T, 0, 1)
    xyz = light @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    f = np.where(xyz / [0.9505, 1.0, 1.089] > 0.008856, f, 7.787 * xyz / [0.9505, 1.0, 1.089] + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


CUT_SPOTS = """() => {
  const stage = document.querySelector(".stage").getBoundingClientRect();
  return [...document.querySelectorAll("svg.feeder path")].filter(spot => {
    const at = spot.getBoundingClientRect(), half = parseFloat(getComputedStyle(spot).strokeWidth) / 2;
    const x = (at.left + at.right) / 2;
    return x - half < stage.left || x + half > stage.right;
  }).length;
}"""
"""How many spots of the map reach over its edge."""
