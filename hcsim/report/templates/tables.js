/* Tables that sort, filter and leave as CSV. Works on every table of class "sorted"; nothing is fetched. */
(() => {
  "use strict";
  const FILTER_FROM = 10; /* rows below which a filter is in the way */

  const number = (text) => {
    const found = /^[-+−]?[\d,]*\.?\d+(e[-+]?\d+)?/.exec(text.trim());
    return found ? Number(found[0].replace(/,/g, "").replace("−", "-")) : NaN;
  };

  function compare(a, b) {
    const [x, y] = [number(a), number(b)];
    if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
    return Number.isNaN(x) ? a.localeCompare(b) : x - y;
  }

  function sort(table, column, heading) {
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const th of table.tHead.rows[0].cells) th.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const text = (row) => row.cells[column].textContent;
    const rows = [...body.rows].sort((a, b) => (down ? -1 : 1) * compare(text(a), text(b)));
    body.append(...rows);
  }

  function csv(table) {
    const cell = (c) => {
      let text = c.textContent.trim();
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
    const heading = table.caption || table.closest("section, details, body").querySelector("h2, h3, summary");
    const name = (heading ? heading.textContent : "table").trim().slice(0, 60);
    button.setAttribute("aria-label", `Table as CSV: ${name}`);
    button.addEventListener("click", () => save(table, name.replace(/[^\w]+/g, "_").toLowerCase()));
    bar.append(button);
    table.parentElement.before(bar);
  }

  for (const table of document.querySelectorAll("table.sorted")) {
    if (!table.tHead || !table.tBodies.length) continue;
    [...table.tHead.rows[0].cells].forEach((th, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...th.childNodes);
      th.append(button);
      th.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sort(table, column, th));
    });
    tools(table);
  }
})();
