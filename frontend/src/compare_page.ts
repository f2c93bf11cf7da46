// The page that compares two to four rows of a board.
import { compare, flips, groupMeans, type Comparison, type Difference, type Flip } from "./compare";
import { all, el, notice, one, page, query, setQuery, unhide } from "./dom";
import { forest, radar, reach } from "./figures";
import { points, signed } from "./format";
import { named, t } from "./i18n";
import { load } from "./load";
import type { BoardData, BoardRef, ReplicateData, RowData, SiteData } from "./schema";

const LETTERS = ["A", "B", "C", "D"];

export async function startCompare(site: SiteData): Promise<void> {
  const form = one<HTMLFormElement>("#pick");
  const result = one<HTMLElement>("#result");
  if (!form || !result || site.boards.length === 0) return;
  const asked = new URLSearchParams(query());
  const boards = el("select", { name: "board" }, ...boardOptions(site.boards));
  const pickers = LETTERS.map((letter) => el("select", { name: "m", "aria-label": t("model_n", letter) }));
  form.append(
    field(t("board"), boards),
    ...pickers.map((picker, place) => field(t("model_n", LETTERS[place]!), picker)),
  );
  const wanted = site.boards.find((ref) => ref.slug === asked.get("board")) ?? site.boards[0]!;
  boards.value = wanted.slug;
  let board = await load(`board-${wanted.slug}`);
  const fill = (ids: string[]): void => {
    const given = ids.length > 0 ? ids : board.rows.slice(0, 2).map((row) => row.id);
    pickers.forEach((picker, place) => {
      picker.replaceChildren(...rowOptions(board));
      picker.value = given[place] ?? "";
      if (picker.selectedIndex < 0) picker.value = "";
    });
    const unknown = given.filter((id) => !board.rows.some((row) => row.id === id));
    notice(unknown.length > 0 ? t("unknown_row", unknown.join(", ")) : "");
  };
  const show = (): void => {
    const ids = [...new Set(pickers.map((picker) => picker.value).filter(Boolean))];
    setQuery(`?${new URLSearchParams([["board", board.slug], ...ids.map((id) => ["m", id])])}`);
    void render(result, board, ids);
  };
  boards.addEventListener("change", () => {
    const ids = pickers.map((picker) => picker.value).filter(Boolean);
    void load(`board-${boards.value}`).then(
      (next) => {
        board = next;
        fill(ids.filter((id) => board.rows.some((row) => row.id === id)));
        show();
      },
      (error: Error) => notice(error.message),
    );
  });
  for (const picker of pickers) picker.addEventListener("change", show);
  fill(asked.getAll("m").slice(0, LETTERS.length));
  unhide(form);
  show();
}

export function boardOptions(boards: readonly BoardRef[]): HTMLOptionElement[] {
  return boards.map((ref) => el("option", { value: ref.slug }, `${named(ref.title)} (${ref.n_rows})`));
}

function field(text: string, input: HTMLElement): HTMLElement {
  return el("label", {}, el("span", {}, text), input);
}

function rowOptions(board: BoardData): HTMLElement[] {
  const options = board.rows.map((row) =>
    el("option", { value: row.id }, row.source ? `${row.label} (${row.source})` : row.label),
  );
  const part = (label: string, own: HTMLElement[]): HTMLElement[] =>
    own.length > 0 ? [el("optgroup", { label }, ...own)] : [];
  return [
    el("option", { value: "" }, t("none")),
    ...part(t("ranked"), options.slice(0, board.n_ranked)),
    ...part(t("unranked"), options.slice(board.n_ranked)),
  ];
}

/** Counts renders: an answer that comes late is dropped. */
let latest = 0;

async function render(result: HTMLElement, board: BoardData, ids: string[]): Promise<void> {
  const own = ++latest;
  const places = ids.map((id) => board.rows.findIndex((row) => row.id === id)).filter((place) => place >= 0);
  if (places.length < 2) return result.replaceChildren(el("p", { class: "empty" }, t("pick_two")));
  let draws: ReplicateData | null = null;
  if (board.mode !== "none" && places.every((place) => place < board.n_ranked)) {
    try {
      draws = await load(`draws-${board.slug}`);
    } catch (error) {
      notice((error as Error).message);
    }
  }
  if (own !== latest) return;
  const found = compare(board, places, draws);
  if (found.lines.length === 0) return result.replaceChildren(el("p", { class: "empty" }, t("common_none")));
  const mode =
    draws === null
      ? t("modes_none")
      : t(board.mode === "items" ? "modes_items" : "modes_tasks", Math.round(board.level * 100));
  const zone = draws === null ? "" : ` ${t("zone", board.zone * 100)}`;
  result.replaceChildren(
    el("p", {}, `${t("common", found.lines.length, board.cells.length)} ${mode}${zone}`),
    table(board, found),
    ...figures(board, found),
    ...flipped(board, found),
  );
}

function table(board: BoardData, found: Comparison): HTMLElement {
  const others = found.rows.slice(1);
  const head = el(
    "tr",
    {},
    el("th", { scope: "col" }, t("task")),
    ...found.rows.map((row, place) =>
      el(
        "th",
        { scope: "col", class: `num series-${place}` },
        `${LETTERS[place]} `,
        el("span", { dir: "auto" }, row.label),
        ...sourceOf(row),
      ),
    ),
    ...others.map((_, place) => el("th", { scope: "col" }, `${LETTERS[place + 1]} − A`)),
  );
  const line = (title: Node | string, scores: number[], differences: Difference[], type = ""): HTMLElement =>
    el(
      "tr",
      type ? { class: type } : {},
      el("th", { scope: "row" }, title),
      ...scores.map((score) => el("td", { class: "num" }, points(score))),
      ...differences.map(difference),
    );
  const body = found.lines.map((own) => {
    const cell = board.cells[own.cell]!;
    return line(
      el("a", { href: page(`task/${encodeURIComponent(cell.slug)}.html`) }, cell.title),
      own.scores,
      own.differences,
    );
  });
  const overall = line(
    t(found.overall.isScore ? "overall" : "common_mean"),
    found.overall.scores,
    found.overall.differences,
    "overall",
  );
  const record = el(
    "tr",
    {},
    el("th", { scope: "row", colspan: 1 + found.rows.length }, t("record")),
    ...found.counts.map((own) => el("td", { class: "difference" }, own.join(" / "))),
  );
  const whole = el(
    "table",
    { class: "comparison" },
    el("caption", { class: "visually-hidden" }, t("comparison")),
    el("thead", {}, head),
    el("tbody", {}, overall, record, ...body),
  );
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("comparison") }, whole);
}

/** Whose numbers they are, where they were not measured here. */
export function sourceOf(row: RowData): HTMLElement[] {
  return row.source ? [el("small", { class: "claimed", dir: "auto" }, ` (${row.source})`)] : [];
}

function difference(own: Difference): HTMLElement {
  const range =
    own.low === null || own.high === null
      ? []
      : [" ", el("span", { class: "pm" }, `[${signed(own.low)}, ${signed(own.high)}]`)];
  const said =
    own.verdict === null ? [] : [" ", el("span", { class: `verdict-${own.verdict.split(" ").pop()}` }, t(own.verdict))];
  return el("td", { class: "difference" }, el("span", { class: "num" }, signed(own.value)), ...range, ...said);
}

function figures(board: BoardData, found: Comparison): HTMLElement[] {
  const labels = found.rows.map((row, place) => `${LETTERS[place]} ${row.label}`);
  const bars = found.lines.map((line) => ({ label: board.cells[line.cell]!.title, values: line.differences }));
  const out = [forest(t("differences"), t("differences_note"), bars, labels.slice(1), board.zone)];
  const series = labels.map((label, row) => ({ label, values: groupMeans(board, found.lines, row) }));
  if (board.groups.length >= 3) {
    const note = t("profile_note", Math.round(reach(series)[0] * 100));
    out.push(
      radar(
        t("profile"),
        note,
        board.groups.map((group) => named(group.title)),
        series,
      ),
    );
  }
  return out;
}

/** Items of every common task that has them, read when opened. */
function flipped(board: BoardData, found: Comparison): HTMLElement[] {
  const measured = found.rows.map((row) => row.source === "");
  const cells = found.lines.map((line) => board.cells[line.cell]!).filter((cell) => cell.has_items);
  if (!measured[0] || !measured.slice(1).some(Boolean) || cells.length === 0) return [];
  const parts = cells.map((cell) => {
    const details = el("details", {}, el("summary", {}, cell.title), el("p", {}, t("loading")));
    details.addEventListener("toggle", () => void fillFlips(details, cell.slug, found, measured), { once: true });
    return details;
  });
  return [el("section", { class: "flips" }, el("h2", {}, t("flips")), ...parts)];
}

async function fillFlips(details: HTMLElement, slug: string, found: Comparison, measured: boolean[]): Promise<void> {
  for (const old of all(":scope > :not(summary)", details)) old.remove();
  try {
    const items = await load(`items-${slug}`);
    details.append(el("p", {}, named(items.meaning)));
    found.rows.forEach((row, place) => {
      if (place === 0 || !measured[place]) return;
      const { worse, better } = flips(items, found.rows[0]!.id, row.id);
      const name = LETTERS[place]!;
      if (worse.length + better.length === 0) details.append(el("p", {}, `${name}: ${t("flips_none")}`));
      const pair = el("div", { class: "pair" });
      if (worse.length > 0) pair.append(flipTable(t("flips_worse", name), name, worse));
      if (better.length > 0) pair.append(flipTable(t("flips_better", name), name, better));
      details.append(pair);
    });
    if (items.n_left_out > 0) details.append(el("p", {}, t("flips_out", items.n_left_out)));
  } catch (error) {
    details.append(el("p", {}, (error as Error).message));
  }
}

function flipTable(title: string, name: string, found: Flip[]): HTMLElement {
  const withTexts = found.some((flip) => flip.text !== "");
  const head = [t("item"), ...(withTexts ? [t("text")] : []), "A", name].map((text) =>
    el("th", { scope: "col" }, text),
  );
  const rows = found.map((flip) =>
    el(
      "tr",
      {},
      el("th", { scope: "row", dir: "auto" }, flip.id),
      ...(withTexts ? [el("td", { dir: "auto" }, flip.text)] : []),
      el("td", { class: "num" }, flip.first.toFixed(2)),
      el("td", { class: "num" }, flip.other.toFixed(2)),
    ),
  );
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
    el(
      "table",
      { class: "plain" },
      el("caption", {}, title),
      el("thead", {}, el("tr", {}, ...head)),
      el("tbody", {}, ...rows),
    ),
  );
}
