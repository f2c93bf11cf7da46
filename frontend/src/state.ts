// What a reader chose on a board, and its form in the URL. Whatever is as it was at first is left out.

export interface State {
  /** Text that must stand in a row. */
  query: string;
  /** Key of the column that orders the rows, and whether from high to low. */
  sort: string;
  descending: boolean;
  /** Rows that stay on top, in the order they were pinned. */
  pins: string[];
  /** Columns that are hidden. */
  hidden: string[];
  /** Values chosen in each filter. */
  filters: Record<string, string[]>;
  /** Weights of groups, where they are not those of the formula. */
  weights: Record<string, number>;
}

export interface Defaults {
  sort: string;
  descending: boolean;
}

export function initial(defaults: Defaults): State {
  return { query: "", ...defaults, pins: [], hidden: [], filters: {}, weights: {} };
}

export function parse(search: string, defaults: Defaults): State {
  const state = initial(defaults);
  for (const [key, value] of new URLSearchParams(search)) {
    if (key === "q") state.query = value;
    else if (key === "sort" && value) {
      state.descending = value.startsWith("-");
      state.sort = value.replace(/^-/, "");
    } else if (key === "pin" && !state.pins.includes(value)) state.pins.push(value);
    else if (key === "hide" && !state.hidden.includes(value)) state.hidden.push(value);
    else if (key.startsWith("f.")) (state.filters[key.slice(2)] ??= []).push(value);
    else if (key.startsWith("w.")) {
      const weight = Number(value);
      if (value !== "" && Number.isFinite(weight) && weight >= 0) state.weights[key.slice(2)] = weight;
    }
  }
  return state;
}

/** The search part of a URL, with its question mark, or "". Other parameters of `previous` are kept. */
export function format(state: State, defaults: Defaults, previous = ""): string {
  const own = /^(q|sort|pin|hide|f\..*|w\..*)$/;
  const parts = [...new URLSearchParams(previous)].filter(([key]) => !own.test(key));
  if (state.query) parts.push(["q", state.query]);
  if (state.sort !== defaults.sort || state.descending !== defaults.descending) {
    parts.push(["sort", (state.descending ? "-" : "") + state.sort]);
  }
  for (const pin of state.pins) parts.push(["pin", pin]);
  for (const column of state.hidden) parts.push(["hide", column]);
  for (const [name, values] of Object.entries(state.filters))
    for (const value of values) parts.push([`f.${name}`, value]);
  for (const [group, weight] of Object.entries(state.weights)) parts.push([`w.${group}`, String(weight)]);
  const text = new URLSearchParams(parts).toString();
  return text ? `?${text}` : "";
}
