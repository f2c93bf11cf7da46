// What any page may have: tables to sort, code to copy.
import { all, copy, el, one, unhide } from "./dom";
import { keyOf, type Key } from "./format";

export function startPlain(): void {
  for (const button of all<HTMLButtonElement>(".code > button.copy")) {
    const code = one("pre", button.parentElement!);
    button.addEventListener("click", () => void copy(code?.textContent ?? "", button));
    unhide(button);
  }
  for (const table of all<HTMLTableElement>("table.sortable")) sortable(table);
}

function sortable(table: HTMLTableElement): void {
  const body = table.tBodies[0];
  if (!body) return;
  for (const header of all<HTMLTableCellElement>("thead th", table)) {
    let button = one<HTMLButtonElement>("button", header);
    if (!button) {
      button = el("button", { type: "button", class: "sort" }, ...header.childNodes);
      header.replaceChildren(button);
    }
    button.addEventListener("click", () => {
      const rows = [...body.rows];
      const keys = rows.map((row) => sortKey(row.cells[header.cellIndex]));
      const numeric = keys.some((key) => typeof key === "number");
      const before = header.getAttribute("aria-sort");
      const down = before === null ? numeric : before === "ascending";
      for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = rows.map((_, place) => place).sort((a, b) => byKey(keys[a]!, keys[b]!, down ? -1 : 1) || a - b);
      body.append(...order.map((place) => rows[place]!));
    });
  }
}

/** What a cell is sorted by: `data-value`, else what its text says; null where it is empty. */
function sortKey(cell: HTMLTableCellElement | undefined): Key {
  return keyOf(cell?.dataset["value"] ?? cell?.textContent ?? "");
}

function byKey(a: Key, b: Key, sign: number): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b), "ko", { numeric: true });
}
