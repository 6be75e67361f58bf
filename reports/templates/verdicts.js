"use strict";
// Adds a filter and sortable columns to the table of verdicts, which is whole without.
(() => {
  const table = document.querySelector("table.verdicts");
  const form = document.getElementById("filter");
  if (!table || !form) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const count = form.querySelector("output");
  const field = (name) => form.elements.namedItem(name);

  const shows = (row) => {
    const words = field("words").value.trim().toLowerCase();
    const text = row.textContent.toLowerCase();
    return words.split(/\s+/).every((word) => text.includes(word))
      && ["verdict", "scale", "outcome"].every((name) => {
        const wanted = field(name).value;
        return !wanted || row.dataset[name] === wanted;
      });
  };
  const filter = () => {
    let shown = 0;
    for (const row of rows) {
      row.hidden = !shows(row);
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = `${shown} of ${rows.length} rows`;
  };

  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.number === undefined ? cell.textContent.trim() : Number(cell.dataset.number);
  };
  const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, "en"));
  const sort = (header) => {
    const falling = header.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const sign = falling ? -1 : 1;
    const column = header.cellIndex;
    rows.sort((a, b) => sign * compare(key(a, column), key(b, column)));
    body.append(...rows);
  };

  for (const header of table.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => sort(header));
  }
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
})();
