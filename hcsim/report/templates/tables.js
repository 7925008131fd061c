/* Tables that sort, filter and leave as CSV. Works on every table of class "sorted"; nothing is fetched. */
(() => {
  "use strict";
  const BY_NAME = new Intl.Collator("en", { numeric: true });
  const FILTER_FROM = 10; /* rows below which a filter is in the way */

  const number = (text) => {
    const found = /^[-+−]?[\d,]*\.?\d+(e[-+]?\d+)?/.exec(text.trim());
    return found ? Number(found[0].replace(/,/g, "").replace("−", "-")) : NaN;
  };

  /* a line break in a cell is a blank between words */
  function said(cell) {
    const copy = cell.cloneNode(true);
    for (const br of copy.querySelectorAll("br")) br.replaceWith(" ");
    return copy.textContent.trim().replace(/\s+/g, " ");
  }

  /* the last heading before the table, and the section's where that is a smaller one */
  function heading(table) {
    const before = (h) => h.compareDocumentPosition(table) & Node.DOCUMENT_POSITION_FOLLOWING;
    const all = [...document.querySelectorAll("h1, h2, h3, h4, summary")].filter(before);
    const last = all.filter((h) => h.tagName !== "SUMMARY" || h.parentElement.contains(table)).pop();
    if (!last) return "table";
    const section = all.filter((h) => h.tagName === "H2").pop();
    return [section, last].filter((h, k) => h && (k || h !== last)).map(said).join(", ");
  }

  /* numbers by size, then words; what is no number stays last in both directions */
  function compare(a, b, down) {
    const [x, y] = [number(a), number(b)], way = down ? -1 : 1;
    if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
    return way * (Number.isNaN(x) ? BY_NAME.compare(a, b) : x - y);
  }

  function sort(table, column, heading) {
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const th of table.tHead.rows[0].cells) th.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [said(row.cells[column]), row]);
    body.append(...rows.sort(([a], [b]) => compare(a, b, down)).map(([, row]) => row));
  }

  function csv(table) {
    const cell = (c) => {
      let text = said(c);
      if (/^[-+]?[\d,]+(\.\d+)?$/.test(text)) text = text.replace(/,/g, "");
      else if (/^[=+\-@]/.test(text)) text = "'" + text; /* no cell is run by a spreadsheet */
      return /[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
    };
    return [...table.rows].map((row) => [...row.cells].map(cell).join(",")).join("\n") + "\n";
  }

  function save(table, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv(table)], { type: "text/csv" }));
    link.download = `${name}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  /* a sentence in a cell keeps some width on a phone */
  const SENTENCE = 22;
  for (const cell of document.querySelectorAll("td:not(.n)")) if (cell.textContent.trim().length > SENTENCE) cell.classList.add("long");

  const used = new Map(); /* how often each title was given */

  function tools(table) {
    const bar = document.createElement("div");
    bar.className = "tools";
    if (table.tBodies[0].rows.length >= FILTER_FROM) {
      const label = document.createElement("label");
      const field = document.createElement("input");
      const count = document.createElement("span");
      field.type = "search";
      count.setAttribute("role", "status");
      label.append("Filter ", field);
      field.addEventListener("input", () => {
        const wanted = field.value.trim().toLowerCase();
        let shown = 0;
        for (const row of table.tBodies[0].rows) {
          row.hidden = !row.textContent.toLowerCase().includes(wanted);
          shown += !row.hidden;
        }
        count.textContent = wanted ? `${shown} of ${table.tBodies[0].rows.length} rows` : "";
      });
      bar.append(label, count);
    }
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "CSV";
    const title = heading(table).slice(0, 80), times = (used.get(title) || 0) + 1;
    const name = times > 1 ? `${title} ${times}` : title;
    used.set(title, times);
    button.setAttribute("aria-label", `Table as CSV: ${name}`);
    button.addEventListener("click", () => save(table, name.replace(/[^\w]+/g, "_").toLowerCase()));
    bar.append(button);
    (table.closest(".scroll") || table).before(bar);
  }

  const called = (box) => (box.matches(".picture") ? said(box.parentElement.querySelector("figcaption strong")) : heading(box.querySelector("table")));

  /* what is wider than the page is reached by keys too */
  const reach = new ResizeObserver((seen) => {
    for (const { target } of seen) {
      if (target.scrollWidth <= target.clientWidth) { for (const name of ["tabindex", "role", "aria-label"]) target.removeAttribute(name); continue; }
      target.tabIndex = 0;
      target.setAttribute("role", "region");
      target.setAttribute("aria-label", called(target));
    }
  });
  for (const box of document.querySelectorAll(".scroll:not(.tall)")) reach.observe(box);

  for (const table of document.querySelectorAll("table.sorted")) {
    if (!table.tHead || !table.tBodies.length) continue;
    [...table.tHead.rows[0].cells].forEach((th, column) => {
      const button = document.createElement("button");
      button.type = "button";
      if (!said(th) || th.querySelector("a")) button.setAttribute("aria-label", `Sort by ${said(th) || `column ${column + 1}`}`);
      else button.append(...th.childNodes);
      th.append(button);
      th.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sort(table, column, th));
    });
    tools(table);
  }
})();
