// A small board for tests: three complete rows, one without a cell.
import type { BoardData, ModelData, ReplicateData, RowData } from "../src/schema";

export const model = (change: Partial<ModelData> = {}): ModelData => ({
  slug: "m",
  name: "m",
  kind: "dense",
  n_parameters: 5e8,
  dim: 1024,
  truncate_dims: [],
  max_tokens: 512,
  license: "mit",
  license_class: "commercial",
  open_weights: true,
  needs_prompt: false,
  released: "",
  texts_per_second: null,
  hardware: "",
  ...change,
});

export const row = (change: Partial<RowData> = {}): RowData => ({
  id: "r",
  model: 0,
  label: "r",
  mark: "",
  source: "",
  rank: 1,
  rank_low: 1,
  rank_high: 1,
  score: 0.5,
  low: null,
  high: null,
  win_rate: null,
  cells: [],
  groups: [],
  cut: [],
  cost: null,
  ...change,
});

const cell = (title: string, group: number, weight: number) => ({
  title,
  task: title,
  slug: title,
  group,
  weight,
  metric: "ndcg@10",
  has_items: true,
});
const name = (text: string) => ({ ko: text, en: text });

export const board: BoardData = {
  schema_version: 1,
  slug: "b",
  title: name("b"),
  groups: [
    { key: "retrieval", title: name("retrieval"), weight: 0.6 },
    { key: "sts", title: name("sts"), weight: 0.2 },
  ],
  cells: [cell("a", 0, 0.4), cell("b", 0, 0.2), cell("c", 1, 0.2)],
  rows: [
    row({ id: "x", rank: 1, rank_high: 2, score: 0.56, cells: [0.8, 0.6, 0.6] }),
    row({ id: "y", rank: 2, rank_high: 2, score: 0.54, cells: [0.7, 0.6, 0.7] }),
    row({ id: "z", rank: 3, rank_low: 3, rank_high: 3, score: 0.3, cells: [0.4, 0.3, 0.4] }),
    row({ id: "w", rank: null, rank_low: null, rank_high: null, score: null, cells: [0.75, null, 0.9] }),
  ],
  n_ranked: 3,
  mode: "items",
  level: 0.95,
  better: btoa(String.fromCharCode(0b00100100, 0)), // x and y are certainly better than z
  zone: 0.005,
};

/** 101 resamples of items: rows move together except that y wavers in cell a. */
export function itemDraws(): ReplicateData {
  const values = new Int16Array(101 * 3 * 3);
  for (let b = 0; b < 101; b++) {
    const shared = (b % 11) - 5;
    board.cells.forEach((_, c) =>
      [0, 1, 2].forEach((r) => {
        const waver = r === 1 && c === 0 ? 3 * (b - 50) : 0;
        values[(b * 3 + c) * 3 + r] = Math.round(board.rows[r]!.cells[c]! * 10000) + shared + waver;
      }),
    );
  }
  return {
    slug: "b",
    mode: "items",
    n_replicates: 101,
    scale: 10000,
    strata: [],
    values: base64(new Uint8Array(values.buffer)),
  };
}

export const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
