/* Tables that sort by a click, or a key, on the title of a column. */

function makeSortable(table) {
  for (const head of table.tHead.rows[0].cells) {
    const button = element("button", { type: "button", click: () => sortBy(table, head) });
    button.append(...head.childNodes);
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
  }
}

/** The first click puts the best on top, the second the worst; cells without a figure stay at the bottom. */
function sortBy(table, head) {
  const first = head.dataset.better === "higher" ? "descending" : "ascending";
  const second = first === "ascending" ? "descending" : "ascending";
  const order = head.getAttribute("aria-sort") === first ? second : first;
  for (const other of head.parentElement.cells) other.setAttribute("aria-sort", other === head ? order : "none");
  const body = table.tBodies[0];
  const keyed = Array.from(body.rows, (row) => [key(row.cells[head.cellIndex], head.dataset.target), row]);
  keyed.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : compare(a, b, order)));
  body.append(...keyed.map(([, row]) => row));
}

/** A figure, or how far it is from the target where the column has one. */
function key(cell, target) {
  if (cell.dataset.value !== undefined) return target === undefined ? Number(cell.dataset.value) : Math.abs(cell.dataset.value - target);
  return cell.classList.contains("missing") ? null : cell.textContent;
}

function compare(a, b, order) {
  const difference = typeof a === "number" ? (a === b ? 0 : a < b ? -1 : 1) : a.localeCompare(b, "en", { numeric: true });
  return order === "ascending" ? difference : -difference;
}
