"use strict";
// The page is whole without this: it sorts, searches and filters the table. Text is only ever read, or set as text.
(() => {
  const table = document.getElementById("table");
  const rows = Array.from(table.tBodies, (body) => ({ body, line: body.rows[0], text: null }));
  const controls = document.getElementById("controls");
  const search = document.getElementById("search");
  const kind = document.getElementById("kind");
  const by = document.getElementById("by");
  const none = document.getElementById("none");
  const count = document.getElementById("count");
  const openAll = document.getElementById("open-all");

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      if (words.length > 0 && row.text === null) row.text = row.body.textContent.toLowerCase();
      const fits = (kind.value === "" || row.body.dataset.kind === kind.value)
        && (by.value === "" || row.body.dataset.by === by.value)
        && words.every((word) => row.text.includes(word));
      row.body.hidden = !fits;
      if (fits) shown += 1;
    }
    none.hidden = shown > 0;
    count.textContent = shown + " of " + rows.length + " shown";
  };

  const value = (row, column, isNumber) => {
    const cell = row.line.cells[column];
    const text = cell.dataset.value === undefined ? cell.textContent : cell.dataset.value;
    return isNumber ? Number(text) : text;
  };

  const sort = (heading) => {
    const isUp = heading.getAttribute("aria-sort") !== "ascending";
    const column = Number(heading.dataset.column);
    const isNumber = heading.dataset.number === "true";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", isUp ? "ascending" : "descending");
    const collator = new Intl.Collator("en", { numeric: true });
    const keyed = rows.map((row) => [value(row, column, isNumber), row]);
    keyed.sort(([a], [b]) => (isUp ? 1 : -1) * (isNumber ? a - b : collator.compare(a, b)));
    for (const [, row] of keyed) table.append(row.body);
  };

  const addCopy = (place) => {
    const code = place.querySelector("code");
    if (!code || place.querySelector("button")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", () => {
      navigator.clipboard.writeText(code.textContent).then(() => { button.textContent = "Copied"; }, () => {
        getSelection().selectAllChildren(code);
      });
    });
    place.append(button);
  };

  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => sort(heading));
  }
  controls.addEventListener("submit", (event) => event.preventDefault());
  for (const control of [search, kind, by]) control.addEventListener("input", filter);
  openAll.addEventListener("click", () => {
    for (const row of rows) if (!row.body.hidden) row.body.querySelector("details").open = true;
  });
  table.addEventListener("toggle", (event) => {
    if (event.target.open) event.target.querySelectorAll(".filter").forEach(addCopy);
  }, true);
  const openTarget = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target || target.tagName !== "TBODY") return;
    if (target.hidden) {
      for (const control of [search, kind, by]) control.value = "";
      filter();
    }
    target.querySelector("details").open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", openTarget);
  // A link to where the page stands already changes no hash.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (link && link.hash === location.hash) openTarget();
  });
  controls.hidden = rows.length === 0;
  filter();
  openTarget();
})();
