// Order and choice of rows: pure functions, tested without a browser.
import type { ModelData, RowData } from "./schema";
import type { State } from "./state";

/** A row of a board as its table holds it. */
export interface Row {
  id: string;
  /** Complete rows have a rank; the others stay below the line whatever the order. */
  ranked: boolean;
  /** Lower-case text that the search looks at. */
  text: string;
  /** Values by column key: numbers where they are numbers, null where missing. */
  values: Record<string, number | string | null>;
}

export type Operation = "in" | "min" | "max";

/** Filters of the board's form: name -> what it asks of the value of the same name. */
export const FILTERS: Record<string, Operation> = {
  license: "in",
  kind: "in",
  open: "in",
  source: "in",
  params_min: "min",
  params_max: "max",
  dim_max: "max",
  tokens_min: "min",
};

/** Values of a row by column and by filter. */
export function rowOf(data: RowData, model: ModelData): Row {
  const millions = model.n_parameters === null ? null : model.n_parameters / 1e6;
  const values: Row["values"] = {
    rank: data.rank,
    model: data.label,
    score: data.rank === null ? data.win_rate : data.score,
    params: model.n_parameters,
    dim: model.dim,
    tokens: model.max_tokens,
    korean: data.cost?.tokens_per_1000_korean ?? null,
    index: data.cost?.index_bytes_per_document ?? null,
    speed: data.cost?.texts_per_second ?? null,
    usd: data.cost?.usd ?? null,
    license: model.license_class || null,
    prompt: model.needs_prompt === null ? null : Number(model.needs_prompt),
    source: data.source ? "claimed" : "measured",
    kind: model.kind || null,
    open: model.open_weights === null ? null : model.open_weights ? "open" : "closed",
    params_min: millions,
    params_max: millions,
    dim_max: model.dim,
    // Words are counted, not read: any length will do.
    tokens_min: model.kind === "lexical" ? Infinity : model.max_tokens,
  };
  data.groups.forEach((value, group) => (values[`g${group}`] = value));
  data.cells.forEach((value, cell) => (values[`c${cell}`] = value));
  const text = [data.label, model.name, model.license, data.source].join(" ").normalize("NFC").toLowerCase();
  return { id: data.id, ranked: data.rank !== null, text, values };
}

/** Whether a column is best shown from high to low at first: numbers, but not ranks. */
export function fallsFirst(column: string): boolean {
  return /^(score|params|dim|tokens|speed|prompt|[gc]\d+)$/.test(column);
}

/** Whether a row passes the search and every filter; a row that lacks the value of a filter does not pass it. */
export function passes(row: Row, state: State, operations: Record<string, Operation>): boolean {
  const words = state.query.toLowerCase().normalize("NFC").split(/\s+/).filter(Boolean);
  if (!words.every((word) => row.text.includes(word))) return false;
  return Object.entries(state.filters).every(([name, chosen]) => {
    const operation = operations[name];
    const limit = Number(chosen[0]);
    // No choice, a filter of another version of the site, or no number.
    if (operation === undefined || chosen.length === 0 || (operation !== "in" && Number.isNaN(limit))) return true;
    const value = row.values[name] ?? null;
    if (value === null) return false;
    if (operation === "in") return chosen.includes(String(value));
    return operation === "min" ? Number(value) >= limit : Number(value) <= limit;
  });
}

/** Rows in order: ranked before unranked, within each by the column, missing values last, equal ones as they were. */
export function ordered(rows: readonly Row[], state: State): Row[] {
  const sign = state.descending ? -1 : 1;
  const place = new Map(rows.map((row, index) => [row, index]));
  const pin = (row: Row): number => {
    const index = state.pins.indexOf(row.id);
    return index < 0 ? state.pins.length : index;
  };
  return [...rows].sort((a, b) => {
    if (pin(a) !== pin(b)) return pin(a) - pin(b);
    if (a.ranked !== b.ranked) return a.ranked ? -1 : 1;
    return compare(a.values[state.sort] ?? null, b.values[state.sort] ?? null, sign) || place.get(a)! - place.get(b)!;
  });
}

function compare(a: number | string | null, b: number | string | null, sign: number): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b), "ko");
}
