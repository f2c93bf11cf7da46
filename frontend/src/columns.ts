// The column chooser. Columns are hidden by one style sheet, not cell by cell.
import { all, el, one } from "./dom";
import { named, t } from "./i18n";
import type { View } from "./table";

/** What a row is known by. */
const ALWAYS = ["rank", "model", "score"];

export function startColumns(view: View): void {
  const place = one<HTMLElement>("#columns");
  if (!place) return;
  const style = document.head.appendChild(el("style"));
  const boxes = new Map<string, HTMLInputElement>();
  const hide = (): void => {
    style.textContent = view.state.hidden.map((column) => `#board [data-col="${column}"]{display:none}`).join("");
    for (const [column, box] of boxes) box.checked = !view.state.hidden.includes(column);
  };
  const set = (column: string, hidden: boolean): void => {
    view.state.hidden = view.state.hidden.filter((other) => other !== column).concat(hidden ? [column] : []);
  };
  const panel = el("div", { class: "panel" });
  for (const { title, columns } of sections(view)) {
    const list = el("fieldset", {}, el("legend", {}, title));
    for (const [column, text] of columns) {
      const box = el("input", { type: "checkbox" });
      box.addEventListener("change", () => {
        set(column, !box.checked);
        hide();
        view.update();
      });
      boxes.set(column, box);
      list.append(el("label", {}, box, el("span", {}, text)));
    }
    if (columns.length > 1)
      list.querySelector("legend")!.append(
        allOf(
          list,
          columns.map(([column]) => column),
          set,
          () => (hide(), view.update()),
        ),
      );
    panel.append(list);
  }
  place.append(panel);
  one("#controls")?.addEventListener("kemb-reset", hide);
  hide();
}

/** One box for a whole section. */
function allOf(
  list: HTMLElement,
  columns: string[],
  set: (column: string, hidden: boolean) => void,
  done: () => void,
): HTMLElement {
  const button = el("button", { type: "button", class: "all" }, t("columns_toggle"));
  button.addEventListener("click", () => {
    const shown = all<HTMLInputElement>("input", list).some((box) => box.checked);
    for (const column of columns) set(column, shown);
    done();
  });
  return button;
}

/** Columns under their headings: facts, groups, then tasks by group. */
function sections(view: View): { title: string; columns: [string, string][] }[] {
  const { board } = view;
  const found = new Map<string, [string, string][]>();
  for (const header of all<HTMLElement>("thead th[data-col]", view.table)) {
    const column = header.dataset["col"]!;
    if (ALWAYS.includes(column)) continue;
    const place = Number(column.slice(1));
    const title = /^g\d+$/.test(column)
      ? t("columns_groups")
      : /^c\d+$/.test(column)
        ? named(board.groups[board.cells[place]!.group]!.title)
        : t("columns_facts");
    found.set(title, [...(found.get(title) ?? []), [column, header.textContent?.trim() ?? column]]);
  }
  return [...found].map(([title, columns]) => ({ title, columns }));
}
