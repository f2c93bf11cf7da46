// The board's page: order, search, filters, columns, pins, weights, cards, all of it in the URL.
import { arrange } from "./arrange";
import { startColumns } from "./columns";
import { openCard } from "./dialog";
import { all, copy, el, notice, one, page, query, setQuery, unhide } from "./dom";
import { t } from "./i18n";
import { load } from "./load";
import { fallsFirst, FILTERS, ordered, passes, rowOf, type Row } from "./rows";
import type { BoardData, SiteData } from "./schema";
import { startWeights } from "./sliders";
import { showStandings } from "./standing";
import { format, initial, parse, type Defaults, type State } from "./state";
import { published, type Standing } from "./weights";

const DEFAULTS: Defaults = { sort: "rank", descending: false };
const MAX_PINS = 10;
/** Rows that are shown at first: taking more out and in again takes longer than a reader should wait. */
const SHOWN = { ranked: 150, unranked: 50 };

export interface View {
  board: BoardData;
  table: HTMLTableElement;
  rows: Row[];
  lines: Map<Row, HTMLTableRowElement>;
  state: State;
  /** Puts the rows in order again and writes the URL. */
  update: () => void;
  /** Shows other standings than the published ones; null: those. */
  restand: (standings: Standing[] | null) => void;
}

export async function startBoard(site: SiteData): Promise<void> {
  const slug = document.body.dataset["board"] ?? "";
  if (elsewhere(site, slug)) return;
  const board = await load(`board-${slug}`);
  const table = one<HTMLTableElement>("#board");
  const form = one<HTMLFormElement>("#controls");
  if (!table || !form) return; // a board without rows
  const view = viewOf(site, board, table);
  const { show, reveal } = shower(view, form);
  let timer = 0;
  view.update = () => {
    show();
    window.clearTimeout(timer);
    timer = window.setTimeout(() => setQuery(format(view.state, DEFAULTS, query())), 100);
  };
  view.restand = (standings) => {
    showStandings(view, standings);
    restanded(view, standings ?? published(board));
    view.update();
  };
  startHeaders(view);
  startForm(view, form);
  startPins(view, form);
  startCells(view);
  startColumns(view);
  show();
  reveal();
  await startWeights(view);
  unhide(form, ...all("button.pin", table));
}

/** Leaves for an older state that the URL asks for; says so where there is none. */
function elsewhere(site: SiteData, slug: string): boolean {
  const parameters = new URLSearchParams(query());
  const at = parameters.get("at");
  if (at === null) return false;
  const found = site.snapshots.find((snapshot) => snapshot.id === at && snapshot.boards.includes(slug));
  if (!found) {
    notice(t("no_snapshot", at));
    return false;
  }
  parameters.delete("at");
  const rest = parameters.toString();
  location.replace(page(`at/${encodeURIComponent(found.id)}/${slug}.html`) + (rest && `?${rest}`));
  return true;
}

function viewOf(site: SiteData, board: BoardData, table: HTMLTableElement): View {
  const lines = new Map<Row, HTMLTableRowElement>();
  for (const line of all<HTMLTableRowElement>("tr[data-row]", table)) {
    const data = board.rows[Number(line.dataset["row"])];
    if (data) lines.set(rowOf(data, site.models[data.model]!), line);
  }
  const rows = [...lines.keys()];
  const state = parse(query(), DEFAULTS);
  const columns = new Set(all<HTMLElement>("thead th[data-col]", table).map((header) => header.dataset["col"]!));
  if (!columns.has(state.sort)) Object.assign(state, DEFAULTS);
  state.pins = state.pins.filter((id) => rows.some((row) => row.id === id)).slice(0, MAX_PINS);
  state.hidden = state.hidden.filter((column) => columns.has(column));
  return { board, table, rows, lines, state, update: () => undefined, restand: () => undefined };
}

/** New ranks and scores as values to sort by. */
function restanded(view: View, standings: Standing[]): void {
  const places = new Map(view.board.rows.map((row, place) => [row.id, place]));
  for (const row of view.rows) {
    const standing = standings[places.get(row.id)!];
    if (standing) Object.assign(row.values, { rank: standing.rank, score: standing.score });
  }
}

/** `show` writes rows, count and marks of the order as the state says; `reveal` unfolds the row that the URL names. */
function shower(view: View, form: HTMLFormElement): { show: () => void; reveal: () => void } {
  const { table, rows, lines, state } = view;
  const pinned = el("tbody", { id: "pinned" });
  const ranked = one<HTMLTableSectionElement>("#ranked", table)!;
  const unranked = one<HTMLTableSectionElement>("#unranked", table);
  const heading = unranked && one<HTMLElement>("tr.line", unranked);
  const more = one<HTMLButtonElement>("#more");
  let folded = more !== null;
  ranked.before(pinned);
  more?.addEventListener("click", () => {
    folded = false;
    view.update();
  });
  const reveal = (): void => {
    const anchor = location.hash.slice(1);
    const target = [...lines.values()].find(
      (line) => anchor !== "" && [line.id, encodeURIComponent(line.id)].includes(anchor),
    );
    if (!target || target.isConnected) return;
    folded = false;
    show(true);
    target.scrollIntoView({ block: "center" });
  };
  window.addEventListener("hashchange", reveal);
  const show = (atOnce = false): void => {
    const inOrder = ordered(
      rows.filter((row) => state.pins.includes(row.id) || passes(row, state, FILTERS)),
      state,
    );
    const [top, above, below]: [HTMLElement[], HTMLElement[], HTMLElement[]] = [[], [], []];
    for (const row of inOrder) {
      (state.pins.includes(row.id) ? top : row.ranked ? above : below).push(lines.get(row)!);
    }
    pinned.hidden = top.length === 0;
    const few = (of: HTMLElement[], limit: number): HTMLElement[] => (folded ? of.slice(0, limit) : of);
    const [first, last] = [few(above, SHOWN.ranked), few(below, SHOWN.unranked)];
    const bodies: [HTMLElement, HTMLElement[]][] = [
      [pinned, top],
      [ranked, first],
    ];
    if (unranked) bodies.push([unranked, [...(heading ? [heading] : []), ...last]]);
    arrange(bodies, atOnce);
    if (more) {
      const nFolded = above.length + below.length - first.length - last.length;
      more.hidden = nFolded === 0;
      more.textContent = t("more", nFolded);
    }
    one<HTMLOutputElement>("#count", form)!.textContent = t("count", inOrder.length, rows.length);
    for (const header of all<HTMLElement>("thead th[data-col]", table)) {
      if (header.dataset["col"] === state.sort)
        header.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    }
  };
  return { show, reveal };
}

function startHeaders(view: View): void {
  for (const header of all<HTMLElement>("thead th[data-col]", view.table)) {
    const column = header.dataset["col"]!;
    one("button.sort", header)?.addEventListener("click", () => {
      const { state } = view;
      state.descending = state.sort === column ? !state.descending : fallsFirst(column);
      state.sort = column;
      view.update();
    });
  }
}

function startForm(view: View, form: HTMLFormElement): void {
  const { state } = view;
  const fields = all<HTMLInputElement | HTMLSelectElement>("[name]", form).filter(
    (field) => field.name === "q" || field.name.startsWith("f."),
  );
  const fill = (): void => {
    for (const field of fields)
      field.value = field.name === "q" ? state.query : (state.filters[field.name.slice(2)]?.[0] ?? "");
  };
  const read = (): void => {
    for (const field of fields) {
      if (field.name === "q") state.query = field.value.trim();
      else if (field.value === "") delete state.filters[field.name.slice(2)];
      else state.filters[field.name.slice(2)] = [field.value];
    }
    view.update();
  };
  fill();
  // What no field can show is no filter.
  for (const name of Object.keys(state.filters))
    if (!fields.some((field) => field.name === `f.${name}` && field.value !== "")) delete state.filters[name];
  for (const field of fields)
    if (field.name !== "q" && field.value !== "") field.closest("details")?.setAttribute("open", "");
  for (const field of fields) field.addEventListener("input", read);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    Object.assign(state, initial(DEFAULTS));
    fill();
    notice("");
    form.dispatchEvent(new Event("kemb-reset"));
    view.restand(null);
  });
  const link = one<HTMLButtonElement>("#copy-link", form);
  link?.addEventListener("click", () => {
    setQuery(format(state, DEFAULTS, query()));
    void copy(location.href, link);
  });
}

function startPins(view: View, form: HTMLFormElement): void {
  const { state, table, rows, lines } = view;
  const mark = (): void => {
    for (const [row, line] of lines) {
      const pinned = state.pins.includes(row.id);
      line.classList.toggle("pinned", pinned);
      one("button.pin", line)?.setAttribute("aria-pressed", String(pinned));
    }
  };
  table.addEventListener("click", (event) => {
    const button = (event.target as Element).closest<HTMLElement>("button.pin");
    const row = button && rows.find((own) => lines.get(own) === button.closest("tr"));
    if (!row) return;
    if (state.pins.includes(row.id)) state.pins.splice(state.pins.indexOf(row.id), 1);
    else if (state.pins.length < MAX_PINS) state.pins.push(row.id);
    else notice(t("pins_full", MAX_PINS));
    mark();
    view.update();
    button.focus(); // moving the row took it away
  });
  form.addEventListener("kemb-reset", mark);
  one("#compare-pins", form)?.addEventListener("click", () => {
    if (state.pins.length < 2) return notice(t("pins_few"));
    const parameters = new URLSearchParams([
      ["board", view.board.slug],
      ...state.pins.slice(0, 4).map((id) => ["m", id]),
    ]);
    location.href = page(`compare.html?${parameters}`);
  });
  mark();
}

/** A plain click on a value opens its card; any other click follows the link to the task. */
function startCells(view: View): void {
  view.table.addEventListener("click", (event) => {
    const link = (event.target as Element).closest<HTMLAnchorElement>("a.cell");
    if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const row = Number(link.closest("tr")?.dataset["row"]);
    const cell = Number(link.closest("td")?.dataset["col"]?.slice(1));
    event.preventDefault();
    void openCard(view.board, row, cell, link);
  });
}
