/* The feeder to point at: draws one map from the JSON beside it. No library, nothing is fetched, names are text only.

   Data (made by hcsim.report.map.data): places of buses, lines between them, and per hour voltages of node-phases,
   loading of lines, power of PV and batteries, packed as little-endian 16-bit integers times a scale. */
(() => {
  "use strict";
  const DARK = matchMedia("(prefers-color-scheme: dark)");
  /* mostly that part of viridis that stands out from the page (3 to 1), and from paper when that is printed on */
  let printed = false;
  const capacities = () => (DARK.matches && !printed ? ["#3579b8", "#1fa187", "#73d056", "#fde725"] : ["#440154", "#424086", "#2c738e", "#1fa188"]);
  const LOW = "#0072b2", HIGH = "#d55e00", SUN = "#e69f00", STORE = "#56b4e9";
  const PHASES = { 1: ["#cc79a7", ""], 2: ["#009e73", "6 3"], 3: ["#0072b2", "2 2"] };
  const NEAR_PX = 22, PLAY_MS = 600, MISSING = -32768;

  function unpack(packed) {
    if (!packed) return null;
    const bytes = Uint8Array.from(atob(packed.data), (c) => c.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const width = packed.width;
    const raw = (hour, k) => view.getInt16(2 * (hour * width + k), true);
    return (hour, k) => (raw(hour, k) === MISSING ? NaN : raw(hour, k) * packed.scale + packed.offset);
  }

  const hex = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  function blend(stops, share) {
    const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
    const i = Math.min(Math.floor(at), stops.length - 2);
    const [a, b] = [hex(stops[i]), hex(stops[i + 1])];
    return `rgb(${a.map((x, c) => Math.round(x + (b[c] - x) * (at - i))).join(",")})`;
  }
  const said = (value, digits) =>
    Number.isFinite(value) ? value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }) : "–";

  function element(name, words, attributes) {
    const made = document.createElement(name);
    if (words) made.textContent = words;
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    return made;
  }

  function start(host) {
    const d = JSON.parse(host.querySelector("script").textContent);
    const svg = host.querySelector("svg.feeder"), stage = host.querySelector(".stage");
    const bar = host.querySelector(".controls"), key = host.querySelector(".key");
    const live = host.querySelector("[aria-live]"), day = host.querySelector(".day");
    const tip = element("div", "", { class: "tip", hidden: "", "aria-hidden": "true" });
    stage.append(tip);
    const draw = (name, attributes, parent) => {
      const made = document.createElementNS(svg.namespaceURI, name);
      for (const [k, v] of Object.entries(attributes)) made.setAttribute(k, v);
      (parent || svg).append(made);
      return made;
    };
    const buses = d.bus.length, hours = d.times.length;
    const v = unpack(d.v), loading = unpack(d.loading), pv = unpack(d.pv && d.pv.p), store = unpack(d.bess && d.bess.p);
    const soc = unpack(d.bess && d.bess.soc), load = unpack(d.load);
    const nodes = d.bus.map(() => []);
    if (v) d.node.forEach((bus, n) => nodes[bus].push(n));
    const fed = d.bus.map(() => []);
    d.line.to.forEach((bus, l) => fed[bus].push(l));
    const at = (list) => { const found = new Map(); (list || []).forEach((b, k) => found.set(b, [...(found.get(b) || []), k])); return found; };
    const pvAt = at(d.pv && d.pv.bus), storeAt = at(d.bess && d.bess.bus), broken = new Map(d.broken);
    const limit = (side, bus) => { const x = d.limits[side]; return (Array.isArray(x) ? x[bus] : x) ?? NaN; };
    const sum = (ks, f) => (ks || []).reduce((s, k) => s + (f(k) || 0), 0);

    /* -- what is true of a bus ----------------------------------------------------------------------------- */

    function extreme(bus, from, to) { /* the voltage nearest to its limit, or farthest beyond: node, hour, value */
      let best = null, room = Infinity;
      for (const n of nodes[bus]) for (let t = from; t <= to; t++) {
        const value = v(t, n);
        if (Number.isNaN(value)) continue;
        const up = limit("v_max", bus) - value, down = value - limit("v_min", bus);
        const left = Math.min(Number.isNaN(up) ? Infinity : up, Number.isNaN(down) ? Infinity : down);
        const far = Number.isFinite(left) ? left : -Math.abs(value - 1);
        if (far < room) { room = far; best = { n, t, value, beyond: left < -1e-4 }; }
      }
      return best;
    }
    const worst = v ? d.bus.map((_, b) => extreme(b, 0, hours - 1)) : [];

    function words(bus, hour) {
      const lines = [`${d.bus[bus]}  phases ${[...d.phases[bus]].join(" ")}`];
      for (const k of pvAt.get(bus) || []) lines.push(`PV ${said(d.pv.kw[k], d.digits)} kW` + (pv ? `, now ${said(pv(hour, k), d.digits)}` : ""));
      for (const k of storeAt.get(bus) || [])
        lines.push(`battery ${said(d.bess.kwh[k], 0)} kWh` + (store ? `, now ${said(Math.abs(store(hour, k)), d.digits)} kW ${store(hour, k) < 0 ? "charging" : "discharging"}` : ""));
      if (load && sum([bus], (b) => load(hour, b))) lines.push(`load now ${said(load(hour, bus), d.digits)} kW`);
      const w = worst[bus];
      if (w) lines.push(`worst voltage ${said(w.value, 4)} pu, phase ${d.node_phase[w.n]} at ${d.times[w.t]}`);
      const now = v && hours > 1 && extreme(bus, hour, hour);
      if (now) lines.push(`at ${d.times[hour]}: ${said(now.value, 4)} pu`);
      if (loading) for (const l of fed[bus]) { const x = loading(hour, l); if (!Number.isNaN(x)) lines.push(`${d.line.name[l]} ${said(100 * x, 0)} % loaded`); }
      for (const layer of d.nodal) if (layer.kw[bus] !== null) lines.push(`${layer.title}: ${said(layer.kw[bus], d.digits)} kW, ${layer.why[bus]}`);
      if (broken.has(bus)) lines.push(`broken: ${broken.get(bus)}`);
      return lines.join("\n");
    }

    /* -- layers -------------------------------------------------------------------------------------------- */

    const layers = [];
    const add = (name, title, paint, legend) => layers.push({ name, title, paint, legend });
    const css = (name) => `var(${name})`; /* follows the colour scheme, and paper */
    const mid = () => css("--mid");

    if (d.pv) {
      const most = Math.max(...[...pvAt.values()].map((ks) => sum(ks, (k) => d.pv.kw[k])), 1e-9);
      const size = (kw) => 5 + 21 * Math.sqrt(Math.max(kw, 0) / most);
      add("pv", "PV", (hour) => {
        for (const [bus, ks] of pvAt) {
          const kw = sum(ks, (k) => d.pv.kw[k]);
          if (kw < d.least_kw) continue;
          spot(bus, size(kw), SUN, 0.45);
          if (pv) spot(bus, size(sum(ks, (k) => pv(hour, k))), SUN, 1);
        }
      }, () => [swatch(SUN, `PV: pale by rating, largest ${said(most, d.digits)} kW; full by its power at the hour`)]);
    }
    if (d.bess) {
      const most = Math.max(...d.bess.kw, 1e-9);
      const size = (kw) => 6 + 18 * Math.sqrt(Math.abs(kw) / most);
      add("bess", "batteries", (hour) => {
        for (const [bus, ks] of storeAt) {
          spot(bus, size(sum(ks, (k) => d.bess.kw[k])), mid(), 0.9, "square");
          const now = store ? sum(ks, (k) => store(hour, k)) : 0;
          if (Math.abs(now) >= d.least_kw) spot(bus, size(now), now < 0 ? STORE : HIGH, 1, "square");
        }
      }, () => [swatch(mid(), "battery by its rating", true), swatch(STORE, "charging", true), swatch(HIGH, "discharging", true)]);
    }
    if (v) {
      const lows = d.bus.map((_, b) => limit("v_min", b)).filter(Number.isFinite), highs = d.bus.map((_, b) => limit("v_max", b)).filter(Number.isFinite);
      const low = lows.length ? Math.min(...lows) : 0.9, high = highs.length ? Math.max(...highs) : 1.1;
      add("voltage", "voltage", (hour) => {
        for (let b = 0; b < buses; b++) {
          const found = extreme(b, hour, hour);
          dots[b].setAttribute("stroke", found ? blend([LOW, paler, HIGH], (found.value - low) / (high - low)) : mid());
          dots[b].setAttribute("stroke-width", 1.4 * small);
          if (found && found.beyond) ring(b);
        }
      }, () => [ramp([LOW, paler, HIGH], `${said(low, 3)} pu`, `${said(high, 3)} pu, the limits`), ringed("beyond its limit at this hour")]);
    }
    if (loading) {
      add("loading", "loading", (hour) => {
        for (let l = 0; l < lines.length; l++) {
          const x = loading(hour, l);
          lines[l].setAttribute("stroke", Number.isNaN(x) ? css("--thin") : blend([LOW, "#e0c050", HIGH], x));
          lines[l].setAttribute("stroke-width", Number.isNaN(x) ? 1 : 1.5 + 5 * Math.min(x, 1.2));
        }
      }, () => [ramp([LOW, "#e0c050", HIGH], "0 %", "100 % of the rating, thicker the fuller"), swatch(css("--thin"), "no rating stated")]);
    }
    d.nodal.forEach((layer) => {
      const known = layer.kw.filter((x) => x !== null).sort((a, b) => a - b);
      const top = known[Math.floor(0.98 * (known.length - 1))] || 1;
      add(layer.key, layer.title, () => {
        layer.kw.forEach((kw, b) => {
          dots[b].setAttribute("stroke", kw === null ? css("--thin") : blend(capacities(), kw / top));
          dots[b].setAttribute("stroke-width", kw === null ? small : 1.7 * small);
        });
      }, () => [ramp(capacities(), "0 kW", `${said(top, 0)} kW and more`), swatch(css("--thin"), "not judged")]);
    });
    if (!layers.length) add("feeder", "feeder", () => {}, () => []);

    /* -- drawing ------------------------------------------------------------------------------------------- */

    const paler = "#c9c2b4", small = buses > 1500 ? 3 : buses > 400 ? 4.5 : 6;
    svg.setAttribute("aria-label", `Map of ${d.name}: ${buses} buses. Arrow keys go from bus to bus, Enter shows the day of a bus, plus and minus zoom, 0 shows all.`);
    const lines = d.line.from.map((a, l) => {
      const b = d.line.to[l];
      return draw("path", { d: `M${d.x[a]} ${d.y[a]}L${d.x[b]} ${d.y[b]}` });
    });
    const dots = d.bus.map((_, b) => draw("path", { d: `M${d.x[b]} ${d.y[b]}h0` }));
    const over = draw("g", {}), fixed = draw("g", {}), focus = draw("g", {});
    const spot = (bus, width, colour, opacity, cap, parent) => draw("path", { d: `M${d.x[bus]} ${d.y[bus]}h0`, stroke: colour, "stroke-width": width, "stroke-opacity": opacity, style: cap ? `stroke-linecap:${cap}` : "" }, parent || over);
    const ring = (bus, parent) => { spot(bus, small + 9, css("--ink"), 1, "", parent || over); spot(bus, small + 5, css("--paper"), 1, "", parent || over); spot(bus, small, HIGH, 1, "", parent || over); };
    const swatch = (colour, text, square) => { const box = element("span"); const dot = element("span", "", { class: square ? "dot square" : "dot" }); dot.style.background = colour; box.append(dot, text); return box; };
    const ringed = (text) => { const box = swatch(HIGH, text); box.firstChild.style.boxShadow = `0 0 0 2px ${css("--paper")}, 0 0 0 4px ${css("--ink")}`; box.firstChild.style.marginRight = ".6rem"; return box; };
    const ramp = (stops, from, to) => { const box = element("span", from); const r = element("span", "", { class: "ramp" }); r.style.background = `linear-gradient(to right, ${stops.join(",")})`; box.append(r, to); return box; };

    let hour = d.hour, layer = layers.find((l) => l.name === d.layer) || layers[0], current = -1;
    const view = { x: 0, y: 0, w: d.width, h: d.height };

    function paint() {
      over.replaceChildren();
      fixed.replaceChildren();
      d.line.from.forEach((_, l) => { lines[l].setAttribute("stroke", css(d.line.phases[l] > 2 ? "--wire" : "--thin")); lines[l].setAttribute("stroke-width", d.line.phases[l] > 2 ? 2 : 1.2); });
      dots.forEach((dot) => { dot.setAttribute("stroke", css("--wire")); dot.setAttribute("stroke-width", small - 1); });
      for (const b of d.source) spot(b, 15, css("--ink"), 1, "square", fixed);
      for (const b of d.regulator) spot(b, 9, "#aa4499", 1, "square", fixed);
      layer.paint(hour);
      for (const b of broken.keys()) ring(b, fixed);
      key.replaceChildren(...layer.legend(), swatch(css("--ink"), "source", true), ...(d.regulator.length ? [swatch("#aa4499", "regulator", true)] : []), ...(broken.size ? [ringed(d.broken_words)] : []));
      clock.textContent = d.times[hour];
      slider.setAttribute("aria-valuetext", d.times[hour]);
      mark();
    }
    function look() {
      svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.w} ${view.h}`);
      svg.style.touchAction = view.w < d.width ? "none" : "pan-y";
    }
    function zoom(factor, cx, cy) {
      const w = Math.min(Math.max(view.w * factor, d.width / 60), d.width), f = w / view.w;
      view.x = Math.min(Math.max(cx - (cx - view.x) * f, 0), d.width - w);
      view.y = Math.min(Math.max(cy - (cy - view.y) * f, 0), d.height - view.h * f);
      view.w = w; view.h *= f;
      look();
    }
    const centre = () => [view.x + view.w / 2, view.y + view.h / 2];
    const whole = () => { Object.assign(view, { x: 0, y: 0, w: d.width, h: d.height }); look(); };

    /* -- controls ------------------------------------------------------------------------------------------ */

    const group = element("fieldset");
    group.append(element("legend", "Show"));
    const name = `layer${[...document.querySelectorAll(".map")].indexOf(host)}`;
    for (const each of layers) {
      const label = element("label"), radio = element("input", "", { type: "radio", name, value: each.name });
      radio.checked = each === layer;
      radio.addEventListener("change", () => { layer = each; paint(); });
      label.append(radio, ` ${each.title}`);
      group.append(label);
    }
    const slider = element("input", "", { type: "range", min: 0, max: hours - 1, value: hour, "aria-label": "Hour" });
    const clock = element("output"), play = element("button", "Play", { type: "button" });
    let timer = 0;
    const to = (t) => { hour = t; slider.value = t; paint(); };
    slider.addEventListener("input", () => to(Number(slider.value)));
    const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
    play.addEventListener("click", () => {
      if (timer) return stop();
      play.textContent = "Stop";
      timer = setInterval(() => to((hour + 1) % hours), PLAY_MS);
      return undefined;
    });
    const button = (text, label, act) => { const made = element("button", text, { type: "button", "aria-label": label }); made.addEventListener("click", act); return made; };
    const find = element("label", "Bus "), field = element("input", "", { type: "search", size: 9, list: `${name}_buses` });
    const names = element("datalist", "", { id: `${name}_buses` });
    if (buses <= 2000) for (const bus of d.bus) names.append(element("option", "", { value: bus }));
    field.addEventListener("change", () => { const b = d.bus.indexOf(field.value.trim().toLowerCase()); if (b >= 0) { go(b); show(b); } });
    find.append(field, names);
    bar.append(group, ...(hours > 1 ? [slider, clock, play] : [clock]), button("+", "Zoom in", () => zoom(0.6, ...centre())), button("−", "Zoom out", () => zoom(1 / 0.6, ...centre())), button("All", "Show all", whole), find);

    /* -- pointing ------------------------------------------------------------------------------------------ */

    const scale = () => svg.getBoundingClientRect().width / view.w;
    function point(event) {
      const box = svg.getBoundingClientRect();
      return [view.x + (event.clientX - box.left) / scale(), view.y + (event.clientY - box.top) / scale()];
    }
    function nearest([x, y], within) {
      let best = -1, least = within;
      for (let b = 0; b < buses; b++) { const far = Math.hypot(d.x[b] - x, d.y[b] - y); if (far < least) { least = far; best = b; } }
      return best;
    }
    function mark() {
      focus.replaceChildren();
      if (current < 0) { tip.hidden = true; return; }
      spot(current, small + 8, css("--mark"), 1, "", focus);
      spot(current, small + 3, css("--paper"), 1, "", focus);
      tip.textContent = words(current, hour);
      tip.hidden = false;
      const box = stage.getBoundingClientRect(), own = svg.getBoundingClientRect();
      const x = (d.x[current] - view.x) * scale() + own.left - box.left, y = (d.y[current] - view.y) * scale() + own.top - box.top;
      tip.style.left = `${Math.max(0, Math.min(x + 14, box.width - tip.offsetWidth - 4))}px`;
      tip.style.top = `${Math.max(0, y + 14 + tip.offsetHeight > box.height ? y - tip.offsetHeight - 14 : y + 14)}px`;
    }
    function go(bus) {
      current = bus;
      if (d.x[bus] < view.x || d.x[bus] > view.x + view.w || d.y[bus] < view.y || d.y[bus] > view.y + view.h) {
        view.x = Math.min(Math.max(d.x[bus] - view.w / 2, 0), d.width - view.w);
        view.y = Math.min(Math.max(d.y[bus] - view.h / 2, 0), d.height - view.h);
        look();
      }
      mark();
      live.textContent = words(bus, hour).replace(/\n/g, "; ");
    }
    let drag = null;
    svg.addEventListener("pointermove", (event) => {
      if (drag) {
        const [x, y] = point(event);
        drag.moved = drag.moved || Math.hypot(event.clientX - drag.px, event.clientY - drag.py) > 4;
        view.x = Math.min(Math.max(view.x + drag.x - x, 0), d.width - view.w);
        view.y = Math.min(Math.max(view.y + drag.y - y, 0), d.height - view.h);
        look();
        return;
      }
      current = nearest(point(event), NEAR_PX / scale());
      mark();
    });
    svg.addEventListener("pointerdown", (event) => { const [x, y] = point(event); drag = { x, y, px: event.clientX, py: event.clientY, moved: false }; svg.setPointerCapture(event.pointerId); });
    svg.addEventListener("pointerup", (event) => {
      const moved = drag && drag.moved;
      drag = null;
      const bus = nearest(point(event), NEAR_PX / scale());
      if (!moved && bus >= 0) { go(bus); show(bus); }
    });
    svg.addEventListener("pointerleave", () => { drag = null; current = -1; mark(); });
    svg.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey && document.activeElement !== svg) return;
      event.preventDefault();
      zoom(event.deltaY > 0 ? 1.25 : 0.8, ...point(event));
    }, { passive: false });
    const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    svg.addEventListener("keydown", (event) => {
      const way = ways[event.key];
      if (way) {
        if (current < 0) { go(d.source.length ? d.source[0] : 0); event.preventDefault(); return; }
        let best = -1, least = Infinity;
        for (let b = 0; b < buses; b++) {
          const x = d.x[b] - d.x[current], y = d.y[b] - d.y[current], along = x * way[0] + y * way[1], across = Math.abs(x * way[1] - y * way[0]);
          if (along > 0 && across <= along && along + across < least) { least = along + across; best = b; }
        }
        if (best >= 0) go(best);
      } else if (event.key === "Enter" && current >= 0) show(current);
      else if (event.key === "+" || event.key === "=") zoom(0.6, ...centre());
      else if (event.key === "-") zoom(1 / 0.6, ...centre());
      else if (event.key === "0") whole();
      else if (event.key === "Escape") { current = -1; mark(); day.hidden = true; }
      else return;
      event.preventDefault();
    });

    /* -- the day of a bus ---------------------------------------------------------------------------------- */

    const nice = (step) => { const ten = 10 ** Math.floor(Math.log10(step)); return [1, 2, 2.5, 5, 10].find((m) => m * ten >= step * 0.999) * ten; };
    function chart(title, unit, digits, series, marks) {
      const W = Math.max(300, Math.min(640, day.clientWidth - 32)), H = 190, left = 52, right = 74, top = 8, bottom = 22;
      const all = series.flatMap((s) => s.values).concat(marks).filter(Number.isFinite);
      let low = Math.min(...all), high = Math.max(...all);
      const step = nice(Math.max((high - low) / 4, 10 ** -digits));
      low = Math.floor(low / step) * step; high = Math.max(Math.ceil(high / step) * step, low + step);
      const x = (t) => left + (t / hours) * (W - left - right), y = (value) => top + ((high - value) / (high - low)) * (H - top - bottom);
      const box = element("div"), root = draw("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${title}: ` + series.map((s) => `${s.name} from ${said(Math.min(...s.values.filter(Number.isFinite)), digits)} to ${said(Math.max(...s.values.filter(Number.isFinite)), digits)} ${unit}`).join(", ") }, box);
      const text = (words, tx, ty, anchor) => { draw("text", { x: tx, y: ty, "text-anchor": anchor }, root).textContent = words; };
      for (let value = low; value <= high + step / 2; value += step) {
        draw("path", { d: `M${left} ${y(value)}H${W - right}`, stroke: css("--line"), "stroke-width": 1 }, root);
        text(said(value, step < 1 ? digits : 0), left - 5, y(value) + 4, "end");
      }
      for (let t = 0; t < hours; t += Math.ceil(hours / (W < 450 ? 4 : 6))) text(d.times[t].slice(-5), x(t), H - 6, "middle");
      for (const value of marks) draw("path", { d: `M${left} ${y(value)}H${W - right}`, stroke: HIGH, "stroke-width": 1.3, "stroke-dasharray": "7 4" }, root);
      let below = -99;
      for (const s of [...series].sort((a, b) => b.values.at(-1) - a.values.at(-1))) {
        const path = s.values.map((value, t) => (Number.isFinite(value) ? `${t && Number.isFinite(s.values[t - 1]) ? "L" : "M"}${x(t)} ${y(value)}H${x(t + 1)}` : "")).join("");
        draw("path", { d: path, stroke: s.colour, "stroke-width": 2, "stroke-dasharray": s.dash }, root);
        below = Math.max(y(s.values.at(-1)) + 4, below + 12);
        text(s.name, W - right + 4, Number.isFinite(below) ? below : H / 2, "start");
      }
      draw("path", { d: `M${x(hour + 0.5)} ${top}V${H - bottom}`, stroke: css("--soft"), "stroke-width": 1 }, root);
      box.prepend(element("p", `${title}, ${unit}`, { class: "soft" }));
      return box;
    }
    function show(bus) {
      day.hidden = false; /* before it is filled: charts are as wide as it is */
      const each = [...Array(hours).keys()], series = [], power = [];
      if (v) for (const n of nodes[bus]) series.push({ name: `phase ${d.node_phase[n]}`, values: each.map((t) => v(t, n)), colour: (PHASES[d.node_phase[n]] || ["#777777", ""])[0], dash: (PHASES[d.node_phase[n]] || ["", ""])[1] });
      if (load && each.some((t) => load(t, bus))) power.push({ name: "load", values: each.map((t) => load(t, bus)), colour: css("--ink"), dash: "" });
      if (pv && pvAt.has(bus)) power.push({ name: "PV", values: each.map((t) => sum(pvAt.get(bus), (k) => pv(t, k))), colour: SUN, dash: "6 3" });
      if (store && storeAt.has(bus)) power.push({ name: "battery", values: each.map((t) => sum(storeAt.get(bus), (k) => store(t, k))), colour: LOW, dash: "2 2" });
      day.replaceChildren(element("h3", `Bus ${d.bus[bus]}`), element("p", words(bus, hour).split("\n").slice(1).join("; ")));
      const bounds = [limit("v_min", bus), limit("v_max", bus)].filter(Number.isFinite);
      if (hours > 1) {
        if (series.length) day.append(chart("Voltage", "pu", 3, series, bounds));
        if (power.length) day.append(chart("Power; load as consumption, PV and battery into the network", "kW", d.digits, power, []));
      }
      if (soc && storeAt.has(bus)) power.push({ name: "stored kWh", values: each.map((t) => sum(storeAt.get(bus), (k) => soc(t, k))) });
      const columns = [...series.map((s) => ({ ...s, digits: 4 })), ...power.map((s) => ({ ...s, digits: d.digits }))];
      if (columns.length) {
        const box = element("details"), wide = element("div", "", { class: "scroll", tabindex: 0, role: "region", "aria-label": `The day of bus ${d.bus[bus]} as a table` }), table = element("table"), head = table.createTHead().insertRow(), body = table.createTBody();
        for (const words_ of ["hour", ...columns.map((c) => c.name)]) head.append(element("th", words_, { scope: "col" }));
        for (const t of each) { const row = body.insertRow(); row.append(element("td", d.times[t]), ...columns.map((c) => element("td", said(c.values[t], c.digits), { class: "n" }))); }
        wide.append(table);
        box.append(element("summary", "The same as a table"), wide);
        day.append(box);
      }
      day.append(button("Close", "Close the day of this bus", () => { day.hidden = true; svg.focus(); }));
      live.textContent = `The day of bus ${d.bus[bus]} stands below the map.`;
    }

    /* -- what the map shows, as a table: for those who do not see it, and to take away ------------------------ */

    function everything() {
      const columns = [["bus", (b) => d.bus[b]], ["phases", (b) => [...d.phases[b]].join(" ")]];
      const add_number = (title, value, digits) => columns.push([title, (b) => { const x = value(b); return x === null ? "–" : said(x, digits); }, "n"]);
      if (d.pv) add_number("PV, kW", (b) => sum(pvAt.get(b), (k) => d.pv.kw[k]), d.digits);
      if (d.bess) { add_number("battery, kW", (b) => sum(storeAt.get(b), (k) => d.bess.kw[k]), d.digits); add_number("battery, kWh", (b) => sum(storeAt.get(b), (k) => d.bess.kwh[k]), d.digits); }
      if (v) {
        add_number("worst voltage, pu", (b) => (worst[b] ? worst[b].value : null), 4);
        columns.push(["phase", (b) => (worst[b] ? d.node_phase[worst[b].n] : "–")], ["at", (b) => (worst[b] ? d.times[worst[b].t] : "–")]);
      }
      for (const each of d.nodal) { add_number(`${each.title}, kW`, (b) => each.kw[b], d.digits); columns.push(["what binds", (b) => each.why[b] || "–"]); }
      if (broken.size) columns.push([d.broken_words, (b) => broken.get(b) || "–"]);
      const box = element("details"), wide = element("div", "", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Every bus of the map" });
      const table = element("table", "", { class: "sorted" }), head = table.createTHead().insertRow(), body = table.createTBody();
      for (const [title, , kind] of columns) head.append(element("th", title, { scope: "col", class: kind || "" }));
      d.bus.forEach((_, b) => body.insertRow().append(...columns.map(([, value, kind]) => element("td", `${value(b)}`, { class: kind || "" }))));
      wide.append(table);
      box.append(element("summary", "Every bus of the map as a table"), wide);
      host.append(box);
    }

    look();
    paint();
    everything();
    DARK.addEventListener("change", paint);
    addEventListener("beforeprint", () => { printed = true; current = -1; whole(); paint(); });
    addEventListener("afterprint", () => { printed = false; paint(); });
  }

  for (const host of document.querySelectorAll("section.map")) start(host);
})();
